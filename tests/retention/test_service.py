"""Retention: what is due, and deleting it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from app.access.restrictions.store import Restricted
from app.core.errors import DatabaseUnavailable, LeaseLost, RegisterInvalid
from app.core.personal_data import Ended, PersonalDataStore
from app.crypto.keys import KeyEncryptionKeys, OrganisationKeys
from app.governance.audit.log import RETENTION_APPLIED, RETENTION_RUN, RETENTION_STARTED, Audit
from app.governance.audit.store import AuditRepository
from app.governance.register.service import Register, SourceLink
from app.governance.register.store import ProcessingActivityRepository
from app.keys.data_subject_cipher import DataSubjectCipher
from app.keys.learners import SubjectKeys
from app.operations.schema.catalogue import personal_data
from app.platform.mongo.collection import DataContext
from app.platform.mongo.connection import Store
from app.retention import store as retention_storage
from app.retention.closed_account_store import PLACE, AccountRepository, Closing
from app.retention.service import DAY_US, Retention
from app.retention.store import RetentionRepository
from app.retention.yearly_store import RetentionYears
from app.traces.statements.attachment_store import AttachmentRepository
from tests.places import ROOT

EXAMPLES = ROOT / "docs" / "examples" / "processing-activities"
NOW = 1_790_000_000_000_000
LINKS = [SourceLink("ent1", "ent"), SourceLink("tutor", "p2ia"), SourceLink("quiet", "p2ia")]


class House:
    """Two activities (10 and 100 days), three sources, and their statements."""

    def __init__(self, store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> None:
        ticks = count(NOW)
        self.store = store
        self.vault = vault
        self.audit = Audit(AuditRepository(store), vault, lambda: next(ticks), os.urandom)
        self.register = Register(ProcessingActivityRepository(store), self.audit, lambda: NOW)
        for name, days in (("ent", 10), ("p2ia", 100)):
            content = json.loads((EXAMPLES / f"{name}.json").read_bytes())
            content["retention"]["active_days"] = days
            self.register.add(json.dumps(content).encode())
        self.repository = RetentionRepository(store, AttachmentRepository(store))
        self.accounts = AccountRepository(store)
        self.cipher = DataSubjectCipher(SubjectKeys(store, keks, "default"), "default", os.urandom)
        self.held: list[Restricted] = []
        self.years = RetentionYears(store)
        self.keks = keks
        self.stores = personal_data(DataContext(store, vault, SubjectKeys(store, keks, "default")))
        self.retention = self.made()

    def made(self) -> Retention:
        return Retention(
            self.repository,
            self.register,
            lambda: LINKS,
            self.audit,
            self.vault,
            stores=self.stores,
            accounts=self.accounts,
            cipher=self.cipher,
            years=self.years,
            held=lambda: self.held,
        )

    def put(self, source: str, days_old: float, number: int) -> None:
        token = self.vault.index.writing.token("source", source)
        other = self.vault.index.writing.token("verb", "http://example.org/verbs/tried")
        stored = NOW - round(days_old * DAY_US)
        self.store.collection("statements").insert_many(
            [
                {"_id": uuid4(), "stored": stored + n % 7, "source": source, "t": [other, token], "body": b"x"}
                for n in range(number)
            ]
        )

    def left(self, source: str) -> int:
        return self.store.collection("statements").count_documents({"source": source})

    def entries(self, kind: str) -> list[dict[str, object]]:
        return [e["detail"] for e in self.store.collection("audit").find({"kind": kind}).sort("_id", 1)]


@pytest.fixture
def house(store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> House:
    house = House(store, keks, vault)
    house.put("ent1", 1, 3)
    house.put("ent1", 11, 4)
    house.put("ent1", 13, 5)
    house.put("tutor", 13, 6)
    house.store.collection("statements").insert_one({"_id": uuid4(), "void": True})
    return house


def test_the_report_says_what_is_kept_due_and_overdue(house: House) -> None:
    lines = {line.source: line for line in house.retention.report(NOW)}
    ent = lines["ent1"]
    assert (ent.activity, ent.kept, ent.due, ent.overdue, ent.active_days) == ("ent", 12, 9, 5, 10)
    assert (ent.oldest, ent.cutoff) == (NOW - 13 * DAY_US, NOW - 10 * DAY_US)
    assert (lines["tutor"].kept, lines["tutor"].due) == (6, 0)
    assert (lines["quiet"].kept, lines["quiet"].oldest, lines["quiet"].due) == (0, None, 0)


def test_a_statement_is_due_once_it_is_older_than_the_duration(house: House) -> None:
    token = house.vault.index.writing.token("source", "edge")
    for age in (10 * DAY_US + 1, 10 * DAY_US):
        house.store.collection("statements").insert_one({"_id": uuid4(), "stored": NOW - age, "t": [token]})
    assert house.repository.count([token], NOW - 10 * DAY_US) == 1


def test_a_dry_run_counts_and_deletes_nothing(house: House) -> None:
    run = house.retention.apply(NOW)
    assert run.dry_run
    assert {(d.source, d.statements) for d in run.deletions} == {("ent1", 9), ("tutor", 0), ("quiet", 0)}
    assert (house.left("ent1"), house.entries(RETENTION_STARTED)) == (12, [])


def test_what_is_due_goes_and_nothing_else(house: House) -> None:
    run = house.retention.apply(NOW, dry_run=False)
    assert run.statements == 9
    assert (house.left("ent1"), house.left("tutor")) == (3, 6)
    assert house.store.collection("statements").count_documents({"stored": {"$exists": False}}) == 1
    where = {"activity": "ent", "source": "ent1", "stored_before": NOW - 10 * DAY_US}
    assert house.entries(RETENTION_STARTED) == [where | {"due": 9, "documents_due": 0}]
    assert house.entries(RETENTION_APPLIED) == [where | {"deleted": 9, "documents_deleted": 0, "complete": True}]


def test_what_else_is_kept_of_each_source_is_forgotten_by_the_same_bounds(house: House) -> None:
    forgotten: list[tuple[str, int]] = []

    class Following(PersonalDataStore):
        name = "following"

        def expire(self, source: str, before: int) -> None:
            forgotten.append((source, before))

    retention = Retention(
        house.repository,
        house.register,
        lambda: LINKS,
        house.audit,
        house.vault,
        stores=[Following()],
        accounts=house.accounts,
        cipher=house.cipher,
        years=house.years,
    )
    retention.apply(NOW)
    assert forgotten == []
    retention.apply(NOW, dry_run=False)
    assert forgotten == [
        (source, NOW - days * DAY_US) for source, days in (("ent1", 10), ("quiet", 100), ("tutor", 100))
    ]


def test_a_second_run_has_nothing_to_do_and_says_that_it_looked(house: House) -> None:
    house.retention.apply(NOW, dry_run=False)
    assert house.retention.apply(NOW, dry_run=False).statements == 0
    assert len(house.entries(RETENTION_STARTED)) == 1
    sources = ["ent1", "quiet", "tutor"]
    assert house.entries(RETENTION_RUN) == [
        {"sources": sources, "deleted": 9, "documents_deleted": 0},
        {"sources": sources, "deleted": 0, "documents_deleted": 0},
    ]


def test_a_dry_run_leaves_no_entry_and_is_not_counted(house: House) -> None:
    house.retention.apply(NOW)
    assert house.entries(RETENTION_RUN) == []
    assert house.years.read() == []


def test_what_is_deleted_is_counted_by_year(house: House) -> None:
    house.retention.apply(NOW, dry_run=False)
    house.retention.apply(NOW, dry_run=False)
    (year,) = house.years.read()
    assert (year.year, year.runs, year.statements, year.documents) == (house.register.day(NOW).year, 2, 9, 0)


def test_the_report_says_until_when_the_oldest_may_be_kept(house: House) -> None:
    line = next(line for line in house.retention.report(NOW) if line.source == "ent1")
    assert line.oldest is not None
    assert line.oldest_until == line.oldest + 10 * DAY_US
    assert line.documents_oldest_until is None


def test_the_version_of_the_activity_in_force_decides(house: House) -> None:
    content = json.loads((EXAMPLES / "ent.json").read_bytes())
    content["retention"]["active_days"] = 12
    house.register.add(json.dumps(content).encode())
    assert house.retention.apply(NOW, dry_run=False).statements == 5


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.retention.service._BATCH", 4)


@pytest.mark.usefixtures("small_batches")
def test_a_run_cut_off_is_resumed_by_the_next(house: House) -> None:
    calls = count()

    def lost() -> None:
        if next(calls) == 2:
            raise LeaseLost

    seen: list[tuple[int, int]] = []
    with pytest.raises(LeaseLost):
        house.retention.apply(NOW, False, lambda done, total: seen.append((done, total)), check=lost)
    assert seen == [(4, 9), (8, 9)]
    assert house.left("ent1") == 4
    assert house.entries(RETENTION_APPLIED)[0]["complete"] is False
    assert house.entries(RETENTION_APPLIED)[0]["deleted"] == 8
    assert house.retention.apply(NOW, False).statements == 1
    assert [entry["deleted"] for entry in house.entries(RETENTION_APPLIED)] == [8, 1]
    assert house.audit.verify().intact


def test_nothing_is_deleted_when_the_intent_cannot_be_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(house.audit, "append", refuse)
    with pytest.raises(DatabaseUnavailable):
        house.retention.apply(NOW, dry_run=False)
    assert house.left("ent1") == 12


def test_the_oldest_go_first_and_by_the_index(house: House) -> None:
    token = house.vault.index.writing.token("source", "ent1")
    assert house.repository.delete([token], NOW - 10 * DAY_US, 5) == 5
    oldest = house.store.collection("statements").find_one({"source": "ent1"}, sort=[("stored", 1)])
    assert oldest is not None
    assert oldest["stored"] == NOW - 11 * DAY_US
    plan = (
        house.store.collection("statements")
        .find({"t": token, "stored": {"$gte": 0, "$lt": NOW}}, {"_id": 1})
        .sort([("stored", 1)])
        .limit(5)
        .explain()
    )
    assert "COLLSCAN" not in str(plan)
    assert "'SORT'" not in str(plan)


# --- accounts that ended, and persons whose data are kept -------------------------------------------


def microseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)


TODAY = microseconds("2026-09-21T12:00:00+00:00")


def subject(house: House, name: str) -> bytes:
    return house.vault.subject(f"account:https://ent.example|{name}")


def agent(house: House, name: str) -> bytes:
    return house.vault.token("agent", f"account:https://ent.example|{name}")


def put_of(house: House, name: str, source: str, stored: int, number: int = 1) -> None:
    tokens = [house.vault.token("source", source), agent(house, name)]
    house.store.collection("statements").insert_many(
        [
            {"_id": uuid4(), "stored": stored + n, "source": source, "t": tokens, "subject": subject(house, name)}
            for n in range(number)
        ]
    )


def left_of(house: House, name: str) -> int:
    return house.store.collection("statements").count_documents({"subject": subject(house, name)})


def close(house: House, name: str, source: str, day: str) -> None:
    whose = subject(house, name)
    who = house.cipher.encrypt(PLACE, {whose: f"account:https://ent.example|{name}".encode()})[whose]
    house.accounts.close(source, [Closing(whose, microseconds(f"{day}T00:00:00+00:00"), who)])


@pytest.fixture
def closing_house(store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> House:
    """The source ``tutor`` keeps its statements for 1,000 days, or three months after the end of an account."""
    house = House(store, keks, vault)
    content = json.loads((EXAMPLES / "p2ia.json").read_bytes())
    content["retention"] |= {"active_days": 1_000, "basis": "account-closed"}
    house.register.add(json.dumps(content).encode())
    return house


def test_three_months_after_the_end_of_an_account_its_statements_go(closing_house: House) -> None:
    house = closing_house
    before = microseconds("2026-05-01T10:00:00+00:00")
    for name, day in (("gone", "2026-06-21"), ("going", "2026-06-22"), ("here", None)):
        put_of(house, name, "tutor", before, 3)
        if day is not None:
            close(house, name, "tutor", day)
    line = next(line for line in house.retention.report(TODAY) if line.source == "tutor")
    assert (line.account_closed_months, line.accounts_closed, line.accounts_due, line.closed_due) == (3, 2, 1, 3)
    run = house.retention.apply(TODAY, dry_run=False)
    assert [(each.statements, each.closed) for each in run.deletions if each.source == "tutor"] == [(3, 3)]
    assert [left_of(house, name) for name in ("gone", "going", "here")] == [0, 3, 3]
    # It has led to what it could, so nothing of the person is kept for it.
    assert house.accounts.count("tutor") == 1
    where = {"activity": "p2ia", "source": "tutor", "stored_before": TODAY - 1_000 * DAY_US, "accounts": 1}
    assert house.entries(RETENTION_APPLIED) == [where | {"deleted": 3, "documents_deleted": 0, "complete": True}]


def test_the_end_of_an_account_of_one_who_was_erased_leads_to_nothing(closing_house: House) -> None:
    house = closing_house
    close(house, "erased", "tutor", "2026-03-10")
    house.store.collection("subjects").delete_many({})
    house.cipher = DataSubjectCipher(SubjectKeys(house.store, house.keks, "default"), "default", os.urandom)
    retention = house.made()
    assert retention.apply(TODAY, dry_run=False).statements == 0
    assert house.accounts.count("tutor") == 0


def test_an_account_that_is_opened_again_keeps_its_statements(closing_house: House) -> None:
    house = closing_house
    put_of(house, "back", "tutor", microseconds("2026-05-01T10:00:00+00:00"))
    close(house, "back", "tutor", "2026-06-01")
    assert house.accounts.reopen("tutor", [subject(house, "back")]) == 1
    assert house.retention.apply(TODAY, dry_run=False).statements == 0
    assert left_of(house, "back") == 1


def test_the_end_of_an_account_concerns_its_source_and_what_came_before_its_time_was_over(
    closing_house: House,
) -> None:
    house = closing_house
    close(house, "used", "tutor", "2026-06-01")
    put_of(house, "used", "tutor", microseconds("2026-08-31T10:00:00+00:00"))
    put_of(house, "used", "tutor", microseconds("2026-09-02T10:00:00+00:00"))
    put_of(house, "used", "quiet", microseconds("2026-05-01T10:00:00+00:00"))
    assert house.retention.apply(TODAY, dry_run=False).statements == 1
    assert left_of(house, "used") == 2


def test_the_end_of_an_account_means_nothing_to_a_rule_that_counts_from_storage(house: House) -> None:
    put_of(house, "gone", "tutor", NOW - DAY_US)
    day = datetime.fromtimestamp(NOW / 1_000_000 - 99 * 86_400, UTC).date().isoformat()
    close(house, "gone", "tutor", day)
    house.retention.apply(NOW, dry_run=False)
    assert left_of(house, "gone") == 1
    # All that was stored before it is gone after that long, so it goes too.
    house.retention.apply(NOW + 3 * DAY_US, dry_run=False)
    assert house.accounts.count("tutor") == 0


def test_gdpr_18_what_is_restricted_is_not_deleted(closing_house: House) -> None:
    house = closing_house
    for name in ("kept", "other"):
        put_of(house, name, "ent1", TODAY - 50 * DAY_US, 4)
        put_of(house, name, "tutor", TODAY - 200 * DAY_US, 2)
        close(house, name, "tutor", "2026-03-10")
    house.held = [Restricted(subject(house, "kept"), (agent(house, "kept"),))]
    lines = {line.source: line for line in house.retention.report(TODAY)}
    assert (lines["ent1"].kept, lines["ent1"].due, lines["ent1"].overdue) == (8, 4, 4)
    assert (lines["tutor"].accounts_due, lines["tutor"].closed_due) == (1, 2)
    assert house.retention.apply(TODAY, dry_run=False).statements == 6
    assert (left_of(house, "kept"), left_of(house, "other")) == (6, 0)
    assert house.accounts.count("tutor") == 1
    house.held = []
    assert house.retention.apply(TODAY, dry_run=False).statements == 6
    assert left_of(house, "kept") == 0


def test_statements_of_ended_accounts_are_found_by_the_learner(closing_house: House) -> None:
    house = closing_house
    put_of(house, "gone", "tutor", TODAY - 200 * DAY_US)
    ended = [Ended(subject(house, name), (agent(house, name),), TODAY) for name in ("gone", "other")]
    asked = retention_storage._of_ended(house.vault.token("source", "tutor"), ended, 0)
    plan = str(house.store.collection("statements").find(asked).explain()["queryPlanner"]["winningPlan"])
    assert "COLLSCAN" not in plan
    assert plan.count("IXSCAN") == 2


# --- documents: states, agent profiles, activity profiles -------------------------------------------


def write(house: House, source: str, days_old: float, number: int = 1, of: bytes | None = None) -> None:
    """Documents that a source wrote last so long ago; ``of``: subject token of their learner, none for a profile."""
    whose = {} if of is None else {"subject": of}
    updated = NOW - round(days_old * DAY_US)
    house.store.collection("documents").insert_many(
        [{"_id": os.urandom(16), "source": source, "updated": updated + n, **whose} for n in range(number)]
    )


def written(house: House, **asked: object) -> int:
    return house.store.collection("documents").count_documents(asked)


def test_gdpr_5_documents_are_kept_for_as_long_as_statements_of_their_source(house: House) -> None:
    write(house, "ent1", 9, 2)
    write(house, "ent1", 11, 3, subject(house, "alice"))
    write(house, "ent1", 13, 4)
    write(house, "tutor", 13, 5)
    line = next(line for line in house.retention.report(NOW) if line.source == "ent1")
    assert (line.documents, line.documents_due, line.documents_overdue) == (9, 7, 4)
    assert line.documents_oldest == NOW - 13 * DAY_US
    planned = house.retention.apply(NOW)
    assert (planned.documents, written(house)) == (7, 14)
    seen: list[tuple[int, int]] = []
    run = house.retention.apply(NOW, False, lambda done, total: seen.append((done, total)))
    assert [(each.statements, each.documents) for each in run.deletions if each.source == "ent1"] == [(9, 7)]
    assert seen[-1] == (16, 16)
    assert (written(house, source="ent1"), written(house, source="tutor")) == (2, 5)
    assert house.entries(RETENTION_STARTED)[0]["documents_due"] == 7
    assert house.entries(RETENTION_APPLIED)[0]["documents_deleted"] == 7


def test_a_source_of_which_only_documents_are_due_is_framed_by_entries_too(house: House) -> None:
    write(house, "quiet", 101)
    assert house.retention.apply(NOW, dry_run=False).documents == 1
    assert [entry["documents_deleted"] for entry in house.entries(RETENTION_APPLIED) if entry["source"] == "quiet"] == [
        1
    ]


def test_gdpr_18_documents_of_persons_who_are_restricted_are_not_deleted(house: House) -> None:
    for name in ("kept", "other"):
        write(house, "ent1", 11, 2, subject(house, name))
    write(house, "ent1", 11)
    house.held = [Restricted(subject(house, "kept"), (agent(house, "kept"),))]
    line = next(line for line in house.retention.report(NOW) if line.source == "ent1")
    assert (line.documents, line.documents_due) == (5, 3)
    assert house.retention.apply(NOW, dry_run=False).documents == 3
    assert written(house, subject=subject(house, "kept")) == 2
    house.held = []
    assert house.retention.apply(NOW, dry_run=False).documents == 2


def test_the_documents_of_an_account_that_ended_go_with_its_statements(closing_house: House) -> None:
    house = closing_house
    ago = (NOW - microseconds("2026-05-01T10:00:00+00:00")) / DAY_US
    for name in ("gone", "here"):
        write(house, "tutor", ago, 3, subject(house, name))
    # Written since: somebody uses the account. And of another source, which said nothing.
    write(house, "tutor", (NOW - microseconds("2026-09-22T10:00:00+00:00")) / DAY_US, 1, subject(house, "gone"))
    write(house, "quiet", ago, 1, subject(house, "gone"))
    close(house, "gone", "tutor", "2026-06-21")
    line = next(line for line in house.retention.report(TODAY) if line.source == "tutor")
    assert (line.documents_due, line.documents_closed_due) == (0, 3)
    run = house.retention.apply(TODAY, dry_run=False)
    assert [(each.documents, each.documents_closed) for each in run.deletions if each.source == "tutor"] == [(3, 3)]
    assert (written(house, subject=subject(house, "gone")), written(house, subject=subject(house, "here"))) == (2, 3)


def documents(house: House) -> Any:
    (ageing,) = [store.ageing for store in house.stores if store.ageing is not None]
    return ageing


@pytest.mark.usefixtures("small_batches")
def test_documents_go_some_at_a_time_the_oldest_first_by_the_index(house: House) -> None:
    write(house, "tutor", 102, 5)
    write(house, "tutor", 101, 5)
    calls = count()

    def lost() -> None:
        # Four for the statements of `ent1`, one for its documents, one for those of `tutor`; then its documents.
        if next(calls) == 7:
            raise LeaseLost

    with pytest.raises(LeaseLost):
        house.retention.apply(NOW, False, check=lost)
    assert written(house, updated={"$lt": NOW - 101 * DAY_US - DAY_US // 2}) == 1
    assert written(house, updated={"$gte": NOW - 101 * DAY_US}) == 5
    assert house.retention.apply(NOW, False).documents == 6
    asked = documents(house)._written("tutor", NOW, 0)
    plan = str(house.store.collection("documents").find(asked).sort([("updated", 1)]).limit(5).explain())
    assert "COLLSCAN" not in plan
    assert "'SORT'" not in plan


def test_a_document_that_is_written_anew_meanwhile_is_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    write(house, "ent1", 11, 2)
    collection = house.store.collection("documents")
    delete_many = type(collection).delete_many

    def written_first(self: object, asked: dict[str, object], *more: object, **options: object) -> object:
        collection.update_one({"updated": NOW - 11 * DAY_US}, {"$set": {"updated": NOW}})
        return delete_many(self, asked, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(collection), "delete_many", written_first)
    assert documents(house).delete("ent1", NOW - 10 * DAY_US, 10) == 1
    assert written(house, updated=NOW) == 1


@pytest.mark.parametrize(
    ("basis", "months", "valid"), [("stored", 3, False), ("account-closed", 0, False), ("account-closed", 120, True)]
)
def test_months_after_the_end_of_an_account_are_for_that_basis(
    house: House, basis: str, months: int, valid: bool
) -> None:
    content = json.loads((EXAMPLES / "p2ia.json").read_bytes())
    content["retention"] |= {"basis": basis, "account_closed_months": months}
    if valid:
        assert house.register.add(json.dumps(content).encode()).retention.account_closed_months == months
    else:
        with pytest.raises(RegisterInvalid) as refused:
            house.register.add(json.dumps(content).encode())
        assert [fault.pointer for fault in refused.value.faults] == ["/retention/account_closed_months"]


# --- versions that are in force later ---------------------------------------------------------------


def version(house: House, **retention: object) -> bytes:
    content = json.loads((EXAMPLES / "ent.json").read_bytes())
    day = retention.pop("in_force_from", "2026-09-01")
    content |= {"in_force_from": day, "review_by": "2030-01-01"}
    content["retention"] |= retention
    return json.dumps(content).encode()


def test_a_version_that_is_not_in_force_deletes_nothing(house: House) -> None:
    house.register.add(version(house, active_days=1, in_force_from="2027-01-01"))
    assert {line.source: (line.active_days, line.due) for line in house.retention.report(NOW)}["ent1"] == (10, 9)
    assert house.retention.apply(NOW, dry_run=False).statements == 9
    assert house.left("ent1") == 3


def test_a_source_whose_activity_is_not_in_force_is_left_alone(house: House) -> None:
    content = json.loads(version(house, active_days=1, in_force_from="2027-01-01"))
    house.register.add(json.dumps({**content, "id": "later"}).encode())
    house.put("soon", 400, 2)
    LINKS.append(SourceLink("soon", "later"))
    try:
        assert house.retention.apply(NOW, dry_run=False).statements == 9
        assert house.left("soon") == 2
    finally:
        LINKS.pop()


def test_a_shorter_duration_says_what_it_would_make_due(house: House) -> None:
    # Due already: 9 that are older than 10 days. Of the others 3 are a day old.
    draft = house.register.draft(version(house, active_days=1))
    house.put("ent1", 5, 7)
    effect = house.retention.effect(draft, NOW)
    assert (effect.shorter, effect.due, effect.at) == (True, 7, NOW)
    assert effect.before is not None and effect.before.active_days == 10
    assert house.left("ent1") == 19
    longer = house.retention.effect(house.register.draft(version(house, active_days=11)), NOW)
    assert (longer.shorter, longer.due) == (False, 0)
    ends = version(house, active_days=10, basis="account-closed", account_closed_months=3)
    assert house.retention.effect(house.register.draft(ends), NOW).shorter


def test_what_a_later_version_makes_due_is_counted_for_that_day(house: House) -> None:
    # 2026-09-24 begins two days and some hours after NOW: by then the three that are a day old are due under 3 days.
    draft = house.register.draft(version(house, active_days=3, in_force_from="2026-09-24"))
    effect = house.retention.effect(draft, NOW)
    assert effect.at == round(datetime(2026, 9, 24, tzinfo=UTC).timestamp() * 1_000_000)
    assert (effect.shorter, effect.due) == (True, 3)


def test_a_first_version_makes_nothing_due(house: House) -> None:
    content = json.loads(version(house, active_days=1))
    effect = house.retention.effect(house.register.draft(json.dumps({**content, "id": "new"}).encode()), NOW)
    assert (effect.before, effect.shorter, effect.due) == (None, False, 0)
