"""The register of processing activities."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from jsonschema import Draft202012Validator

from app.core import contracts
from app.core.errors import ActivityNotInForce, NotFound, RegisterInvalid
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import ACTIVITY_ADDED, Audit
from app.governance.audit.store import AuditRepository
from app.governance.register.service import ProcessingActivity, Register
from app.governance.register.store import ProcessingActivityRepository
from app.platform.mongo.connection import Store
from tests.places import ROOT

EXAMPLES = ROOT / "docs" / "examples" / "processing-activities"


@pytest.fixture
def register(store: Store, vault: OrganisationKeys) -> Register:
    ticks = count(1_790_000_000_000_000)
    clock = lambda: next(ticks)  # noqa: E731
    return Register(ProcessingActivityRepository(store), Audit(AuditRepository(store), vault, clock, os.urandom), clock)


@pytest.fixture
def unplugged() -> Register:
    """A register whose database does not exist: what it refuses, it refuses without a look there."""
    store = Store.open("mongodb://127.0.0.1:1", "nowhere", timeout_seconds=0.5)
    keys = OrganisationKeys("default", dict.fromkeys(OrganisationKeys.PURPOSES, bytes(32)), os.urandom)
    audit = Audit(AuditRepository(store), keys, lambda: 0, os.urandom)
    return Register(ProcessingActivityRepository(store), audit, lambda: 0)


def document(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((EXAMPLES / "ent.json").read_bytes())
    return content | changes


def encoded(**changes: Any) -> bytes:
    return json.dumps(document(**changes)).encode()


def faults(register: Register, content: bytes) -> set[tuple[str, str]]:
    with pytest.raises(RegisterInvalid) as refused:
        register.add(content)
    return {(fault.pointer, fault.rule) for fault in refused.value.faults}


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(contracts.load("sillage", "processing-activity.schema.json"))


@pytest.mark.parametrize("name", ["ent", "p2ia"])
def test_the_examples_are_taken(register: Register, name: str) -> None:
    added = register.add((EXAMPLES / f"{name}.json").read_bytes())
    assert (added.id, added.version, added.legal_basis, added.minors) == (name, 1, "6.1.e", True)
    assert register.get(name) == added
    assert added.retention.justification.fr


@pytest.mark.parametrize("name", ["ent", "p2ia"])
def test_the_examples_promise_nothing_that_is_not_there(name: str) -> None:
    text = (EXAMPLES / f"{name}.json").read_text().casefold()
    # There are no conventions, no data on persons for research, and no figures for a head of school alone.
    for absent in ("convention", "pseudonymised data", "données pseudonymisées", "by school", "par établissement"):
        assert absent not in text
    assert json.loads(text)["retention"]["active_days"] <= 396


def test_a_change_is_a_new_version_and_the_old_one_is_kept(register: Register) -> None:
    register.add(encoded())
    changed = document()
    changed["retention"]["active_days"] = 30
    assert register.add(json.dumps(changed).encode()).version == 2
    assert register.get("ent").retention.active_days == 30
    assert [version.retention.active_days for version in register.history("ent")] == [92, 30]
    assert [(activity.id, activity.version) for activity in register.list()] == [("ent", 2)]


def test_the_same_document_again_changes_nothing(register: Register, store: Store) -> None:
    first = register.add(encoded())
    assert register.add(json.dumps(document(), indent=4, sort_keys=True).encode()) == first
    assert store.collection("audit").count_documents({"kind": ACTIVITY_ADDED}) == 1


def test_every_version_leaves_an_audit_entry(register: Register, store: Store) -> None:
    register.add(encoded())
    register.add(encoded(minors=False))
    details = [e["detail"] for e in store.collection("audit").find({"kind": ACTIVITY_ADDED}).sort("_id", 1)]
    assert details == [{"activity": "ent", "version": number, "in_force_from": "2026-09-01"} for number in (1, 2)]


def test_ten_versions_stay_in_order(register: Register) -> None:
    for days in range(1, 12):
        changed = document()
        changed["retention"]["active_days"] = days
        register.add(json.dumps(changed).encode())
    assert register.get("ent").version == 11
    assert [version.version for version in register.history("ent")] == list(range(1, 12))


@pytest.mark.parametrize(
    "name",
    sorted(contracts.load("sillage", "processing-activity.schema.json")["required"]),
)
def test_what_article_30_requires_is_required(unplugged: Register, name: str) -> None:
    content = document()
    del content[name]
    assert faults(unplugged, json.dumps(content).encode()) == {(f"/{name}", "required")}


@pytest.mark.parametrize(
    ("retention", "pointer", "rule"),
    [
        ({"active_days": 30, "basis": "stored"}, "/retention/justification", "required"),
        ({"unlimited": True}, "/retention/unlimited", "const"),
        ({"active_days": 0}, "/retention/active_days", "minimum"),
        ({"active_days": "30"}, "/retention/active_days", "type"),
        ({"active_days": 30.5}, "/retention/active_days", "type"),
        ({"justification": {"fr": "parce que", "en": " "}}, "/retention/justification/en", "pattern"),
        ({"basis": "timestamp"}, "/retention/basis", "enum"),
    ],
)
def test_gdpr_5_1_e_retention_needs_a_duration_and_a_reason(
    unplugged: Register, retention: dict[str, Any], pointer: str, rule: str
) -> None:
    content = document()
    content["retention"] = retention if rule == "required" else content["retention"] | retention
    assert (pointer, rule) in faults(unplugged, json.dumps(content).encode())


@pytest.mark.parametrize(
    ("changes", "pointer", "rule"),
    [
        ({"id": "Not A Slug"}, "/id", "pattern"),
        ({"id": "ent\n"}, "/id", "pattern"),
        ({"legal_basis": {"article": "6.1.g", "reference": {"fr": "x", "en": "x"}}}, "/legal_basis/article", "enum"),
        ({"purposes": []}, "/purposes", "minItems"),
        ({"name": {"fr": "seulement"}}, "/name/en", "required"),
        ({"in_force_from": "2026-13-01"}, "/in_force_from", "format"),
        ({"review_by": "2026-08-31"}, "/review_by", "date-order"),
        ({"a/b": 1}, "/a~1b", "additionalProperties"),
        ({"transfers": [{"country": "US"}]}, "/transfers/0/safeguards", "required"),
    ],
)
def test_a_fault_says_where_and_which_rule(
    unplugged: Register, changes: dict[str, Any], pointer: str, rule: str
) -> None:
    assert (pointer, rule) in faults(unplugged, encoded(**changes))


def test_a_fault_cites_the_article_and_never_the_value(unplugged: Register) -> None:
    with pytest.raises(RegisterInvalid) as refused:
        unplugged.add(encoded(purposes="Jeanne Martin"))
    (fault,) = refused.value.faults
    assert fault.section == "GDPR art. 5(1)(b), art. 30(1)(b)"
    assert "Jeanne" not in fault.message + refused.value.detail


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff{}",
        b'{"id": "a", "id": "b"}',
        b'{"id": NaN}',
        b"[" * 100_000,
        b" " * 1_000_001,
        b"[]",
        b"null",
    ],
    ids=["empty", "truncated", "not-utf8", "twice", "nan", "deep", "large", "array", "null"],
)
def test_what_is_not_an_activity_is_refused(unplugged: Register, content: bytes) -> None:
    with pytest.raises(RegisterInvalid):
        unplugged.add(content)


def test_an_unknown_activity_is_not_found(register: Register) -> None:
    with pytest.raises(NotFound):
        register.get("nowhere")
    assert register.history("nowhere") == ()


def test_two_who_add_at_once_get_two_versions(store: Store, vault: OrganisationKeys, register: Register) -> None:
    class Late(ProcessingActivityRepository):
        """Another writer comes between this one's look and its insert."""

        def latest(self, identifier: str) -> Any:
            found = super().latest(identifier)
            if found is None:
                register.add(encoded(minors=False))
            return found

    clock: Callable[[], int] = lambda: 1_790_000_000_000_000  # noqa: E731
    late = Register(Late(store), Audit(AuditRepository(store), vault, clock, os.urandom), clock)
    assert late.add(encoded()).version == 2
    assert [version.minors for version in register.history("ent")] == [False, True]


def test_a_version_takes_the_place_of_the_one_that_it_was_made_from_alone(
    store: Store, vault: OrganisationKeys, register: Register
) -> None:
    class Late(ProcessingActivityRepository):
        """Another writer comes between this one's look and its insert."""

        def insert(self, activity: Any) -> bool:
            register.add(encoded(minors=False))
            return super().insert(activity)

    def refused(base: int) -> set[str]:
        rules = set()
        for act in (register.draft, register.add):
            with pytest.raises(RegisterInvalid) as problem:
                act(encoded(), base=base)
            rules.update(fault.rule for fault in problem.value.faults)
        return rules

    assert register.add(encoded(), base=0).version == 1
    assert refused(0) == {"taken"} and refused(2) == {"base"}
    clock: Callable[[], int] = lambda: 1_790_000_000_000_000  # noqa: E731
    late = Register(Late(store), Audit(AuditRepository(store), vault, clock, os.urandom), clock)
    with pytest.raises(RegisterInvalid):
        late.add(encoded(review_by="2090-01-01"), base=1)
    assert [version.minors for version in register.history("ent")] == [True, False]
    assert refused(1) == {"base"} and register.add(encoded(), base=2).version == 3


def test_an_entry_whose_persons_are_all_pupils_says_so(register: Register) -> None:
    pupils = {"fr": "Élèves", "en": "Pupils", "category": "pupil"}
    teachers = {"fr": "Enseignants", "en": "Teachers", "category": "teacher"}
    unsaid = {"fr": "Élèves", "en": "Pupils"}
    for persons, only in (([pupils], True), ([pupils, teachers], False), ([unsaid], False), ([pupils, unsaid], False)):
        assert register.add(encoded(data_subjects=persons)).pupils_only is only


# --- in force on a day ------------------------------------------------------------------------------


class Calendar:
    """A register in Paris, and the day and hour there."""

    def __init__(self, store: Store, vault: OrganisationKeys) -> None:
        self.now = self.at("2026-10-01T12:00:00+02:00")
        clock = lambda: self.now  # noqa: E731
        audit = Audit(AuditRepository(store), vault, clock, os.urandom)
        self.register = Register(ProcessingActivityRepository(store), audit, clock, ZoneInfo("Europe/Paris"))

    @staticmethod
    def at(text: str) -> int:
        return round(datetime.fromisoformat(text).timestamp() * 1_000_000)

    def add(self, days: int, day: str, **changes: Any) -> ProcessingActivity:
        content = document(in_force_from=day, **changes)
        content["retention"] = content["retention"] | {"active_days": days}
        return self.register.add(json.dumps(content).encode())

    @property
    def days(self) -> int:
        return self.register.get("ent").retention.active_days


@pytest.fixture
def calendar(store: Store, vault: OrganisationKeys) -> Calendar:
    return Calendar(store, vault)


def test_until_a_version_is_in_force_the_one_before_it_governs(calendar: Calendar) -> None:
    calendar.add(400, "2026-09-01", review_by="2028-01-01")
    calendar.add(30, "2026-11-01", review_by="2028-01-01")
    # The day begins in Paris, an hour before it does in UTC.
    for instant, days in (
        ("2026-10-01T12:00:00+02:00", 400),
        ("2026-10-31T23:59:59+01:00", 400),
        ("2026-11-01T00:00:00+01:00", 30),
        ("2027-11-01T00:00:00+01:00", 30),
    ):
        calendar.now = calendar.at(instant)
        assert (calendar.days, [one.retention.active_days for one in calendar.register.list()]) == (days, [days])
    assert [one.version for one in calendar.register.history("ent")] == [1, 2]
    assert calendar.register.get("ent", calendar.at("2026-10-31T12:00:00+01:00")).version == 1


def test_a_version_added_later_takes_the_place_of_one_that_is_still_to_come(calendar: Calendar) -> None:
    calendar.add(400, "2026-09-01", review_by="2028-01-01")
    calendar.add(30, "2026-12-01", review_by="2028-01-01")
    assert [one.version for one in calendar.register.planned()] == [2]
    calendar.add(200, "2026-11-01", review_by="2028-01-01")
    assert [one.version for one in calendar.register.planned()] == [3]
    calendar.now = calendar.at("2027-01-01T12:00:00+01:00")
    assert (calendar.days, calendar.register.planned()) == (200, ())


def test_under_an_activity_that_is_not_in_force_nothing_is_stored(calendar: Calendar) -> None:
    calendar.add(400, "2026-11-01", review_by="2028-01-01")
    assert calendar.register.list() == ()
    assert [one.id for one in calendar.register.planned()] == ["ent"]
    for refused, ask in (
        (ActivityNotInForce, calendar.register.require),
        (RegisterInvalid, calendar.register.takes_sources),
        (NotFound, calendar.register.get),
    ):
        with pytest.raises(refused, match="2026-11-01"):
            ask("ent")
    assert not calendar.register.takes_sources("nowhere")
    with pytest.raises(ActivityNotInForce):
        calendar.register.require("nowhere")
    calendar.now = calendar.at("2026-11-01T00:00:00+01:00")
    calendar.register.require("ent")
    assert calendar.register.takes_sources("ent")


def test_whether_an_activity_is_in_force_is_asked_once_a_day(calendar: Calendar, store: Store) -> None:
    asked = []

    class Counting(ProcessingActivityRepository):
        def history(self, identifier: str) -> Any:
            asked.append(identifier)
            return super().history(identifier)

    calendar.add(400, "2026-09-01", review_by="2028-01-01")
    register = Register(Counting(store), calendar.register._audit, lambda: calendar.now, ZoneInfo("Europe/Paris"))
    for _ in range(5):
        register.require("ent")
    assert len(asked) == 1
    register.forget()
    register.require("ent")
    calendar.now += 86_400_000_000
    register.require("ent")
    assert len(asked) == 3


def test_a_review_is_overdue_after_its_day_until_another_version_is_there(calendar: Calendar) -> None:
    calendar.add(400, "2026-09-01", review_by="2026-10-01")
    assert calendar.register.overdue_reviews() == ()
    calendar.now = calendar.at("2026-10-02T00:00:00+02:00")
    assert [one.id for one in calendar.register.overdue_reviews()] == ["ent"]
    calendar.add(400, "2026-11-01", review_by="2027-11-01")
    assert calendar.register.overdue_reviews() == ()


def test_a_draft_is_checked_and_not_added(calendar: Calendar) -> None:
    calendar.add(400, "2026-09-01", review_by="2028-01-01")
    draft = calendar.register.draft(encoded(minors=False))
    assert (draft.version, draft.minors, len(calendar.register.history("ent"))) == (2, False, 1)
    with pytest.raises(RegisterInvalid):
        calendar.register.draft(b"{}")


# --- what is told of a document ---------------------------------------------------------------------


def test_each_missing_property_is_told_once(unplugged: Register) -> None:
    with pytest.raises(RegisterInvalid) as refused:
        unplugged.add(b"{}")
    required = contracts.load("sillage", "processing-activity.schema.json")["required"]
    assert sorted(fault.pointer for fault in refused.value.faults) == sorted(f"/{name}" for name in required)
    assert len(required) == 14


def test_gdpr_7_consent_is_refused_with_a_sentence(unplugged: Register) -> None:
    basis = {"article": "6.1.a", "reference": {"fr": "x", "en": "x"}}
    with pytest.raises(RegisterInvalid) as refused:
        unplugged.add(encoded(legal_basis=basis))
    (fault,) = refused.value.faults
    assert (fault.pointer, fault.rule, fault.section) == ("/legal_basis/article", "consent", "GDPR art. 7")
    assert "cannot hold" in fault.message
    # Beside other faults too.
    assert ("/legal_basis/article", "consent") in faults(unplugged, encoded(legal_basis=basis, purposes=[]))
