"""Deletion on the operator's word: a statement, or what a source sent in a time, with a certificate."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.core import clock
from app.core.errors import BadRequest, LeaseLost, NotFound, PersonRestricted
from app.crypto import kinds, signing
from app.factory import Parts
from app.governance.audit.log import DELETION_APPLIED, DELETION_STARTED
from app.retention import deletions
from app.retention.certificate_store import DELETING, DONE
from app.retention.certificates import CERTIFICATE, act_of
from app.standards.xapi.documents import Resource
from app.standards.xapi.versions import Version
from app.traces.statements.store import Filter
from tests.people.people import bodies, document, named, parts, person, refers, send, with_attachment

__all__ = ("parts",)

SAID: dict[str, Any] = {"word": "head of digital services", "reason": "the contract ended", "actor": "cli:test"}


def entries(parts: Parts, kind: str) -> list[dict[str, Any]]:
    return [entry.detail for entry in reversed(parts.audit.newest([kind]))]  # type: ignore[misc]


def stored(parts: Parts, identity: object) -> dict[str, Any] | None:
    return parts.store.collection("statements").find_one({"_id": UUID(str(identity))})


def test_what_a_source_sent_in_a_time_goes_and_nothing_else(parts: Parts) -> None:
    before = send(parts, named("lea"))
    document(parts, Resource.STATE, "lea", "before")
    since = clock.now_us()
    gone = send(parts, named("lea"), named("tom"), with_attachment("lea", b"data"), data=(b"data",))
    document(parts, Resource.STATE, "lea", "within")
    document(parts, Resource.AGENT_PROFILE, "tom", "within")
    until = clock.now_us()
    after = send(parts, named("lea"))
    assert parts.deletions.plan("tutor", since, until) == (3, 2, 0)
    assert len(bodies(parts)) == 5
    act = parts.deletions.delete_data("tutor", since, until, **SAID)
    assert set(bodies(parts)) == {*before, *after}
    assert all(stored(parts, each) is None for each in gone)
    assert parts.store.collection("attachments").count_documents({}) == 0
    assert parts.store.collection("documents").count_documents({}) == 1
    assert (act.phase, act.counts["statements"], act.counts["documents"]) == (DONE, 3, 2)
    (started,), (applied,) = entries(parts, DELETION_STARTED), entries(parts, DELETION_APPLIED)
    assert (started["certificate"], started["due"], started["documents_due"]) == (str(act.id), 3, 2)
    assert applied["counts"]["statements"] == 3


def test_the_certificate_is_verified_with_the_public_key_alone_and_names_nobody(parts: Parts) -> None:
    send(parts, named("lea"))
    act = parts.deletions.delete_data("tutor", **SAID)
    assert act.document is not None
    signed = signing.verified(act.document, signing.parse_public_key(parts.signer.pem.encode()))
    assert signed.format == CERTIFICATE
    said = signed.content
    assert (said["kind"], said["source"], said["decided_by"], said["reason"], said["counts"]["statements"]) == (
        "data-deleted",
        "tutor",
        "head of digital services",
        "the contract ended",
        1,
    )
    assert b"lea" not in act.document
    assert (act_of(said).since, act_of(said).until, act_of(said).id) == (act.since, act.until, act.id)


def test_a_statement_is_deleted_with_its_attachment_and_no_other(parts: Parts) -> None:
    (kept,) = send(parts, named("lea"))
    (gone,) = send(parts, with_attachment("lea", b"data"), data=(b"data",))
    act = parts.deletions.delete_statement(gone, **SAID)
    assert set(bodies(parts)) == {kept}
    assert parts.store.collection("attachments").count_documents({}) == 0
    assert (act.statement, act.counts["statements"]) == (gone, 1)
    with pytest.raises(NotFound):
        parts.deletions.delete_statement(gone, **SAID)


def test_gdpr_18_what_is_of_restricted_persons_stays(parts: Parts) -> None:
    (kept,) = send(parts, named("lea"))
    document(parts, Resource.STATE, "lea")
    send(parts, named("tom"))
    parts.restriction.restrict(person("lea"), actor="cli:test")
    with pytest.raises(PersonRestricted):
        parts.deletions.delete_statement(kept, **SAID)
    assert parts.deletions.plan("tutor") == (1, 0, 1)
    act = parts.deletions.delete_data("tutor", **SAID)
    assert set(bodies(parts)) == {kept}
    assert parts.store.collection("documents").count_documents({}) == 1
    assert (act.counts["statements"], act.counts["restricted"]) == (1, 1)


def test_statements_that_refer_to_it_are_found_by_it_no_more_until_it_comes_again(parts: Parts) -> None:
    target = named("lea")
    (gone,) = send(parts, target)
    (first,) = send(parts, refers("tom", gone))
    (second,) = send(parts, refers("ada", first))
    agent = parts.keys.index.tokens(kinds.AGENT, "account:https://ent.example|lea")

    def found() -> set[UUID]:
        page = parts.statements.page(Filter((agent,)), after=None, ascending=True, limit=10)
        return {row.id for row in page.rows}

    assert found() == {gone, first, second}
    parts.deletions.delete_statement(gone, **SAID)
    assert found() == set()
    assert "refs" not in (stored(parts, first) or {})
    # What carries the tokens of the one between stays as it is.
    assert [each["i"] for each in (stored(parts, second) or {})["refs"]] == [first]
    send(parts, target)
    assert found() == {gone, first, second}


def test_one_that_was_voided_is_voided_when_it_comes_again(parts: Parts) -> None:
    target = named("lea")
    (gone,) = send(parts, target)
    send(
        parts,
        named(
            "lea",
            verb={"id": "http://adlnet.gov/expapi/verbs/voided"},
            object={"objectType": "StatementRef", "id": str(gone)},
        ),
    )
    parts.deletions.delete_statement(gone, **SAID)
    send(parts, target)
    assert (stored(parts, gone) or {}).get("void") is True


def test_figures_of_its_months_are_counted_again_before_and_after(parts: Parts) -> None:
    send(parts, named("lea", timestamp="2026-03-02T10:00:00Z"), named("tom", timestamp="2026-05-01T10:00:00Z"))
    act = parts.deletions.delete_data("tutor", **SAID)
    # 1 May 2026 is a Friday: its week is kept with April.
    assert act.months == ("2026-03", "2026-04", "2026-05")
    notes = list(parts.store.collection("aggregate_corrections").find({}))
    assert [sorted(note["months"]) for note in notes] == [list(act.months)] * 2


def test_figures_are_those_of_what_is_left(parts: Parts) -> None:
    send(parts, *(named(f"pupil-{n}") for n in range(12)))
    tables = parts.store.collection("aggregate_parts")
    parts.aggregates.run(1, lambda *_: None, lambda: None)
    assert tables.count_documents({"table": "learner"})
    parts.deletions.delete_data("tutor", **SAID)
    parts.aggregates.run(2, lambda *_: None, lambda: None)
    # Of nothing nothing is counted.
    assert tables.count_documents({"table": "learner"}) == 0
    assert parts.store.collection("aggregate_corrections").count_documents({}) == 0


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletions, "BATCH", 2)


def lost_at(number: int) -> Callable[[], None]:
    calls = count()

    def check() -> None:
        if next(calls) == number:
            raise LeaseLost

    return check


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("step", ["delete", "end_batch", "finish"])
def test_cut_off_anywhere_it_is_gone_on_with_and_each_statement_counts_once(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    send(parts, *(named("lea") for _ in range(5)))
    document(parts, Resource.STATE, "lea")
    made = parts.deletions
    whole = made._removal if step == "delete" else made._repository
    done = getattr(whole, step)
    calls = count()

    def cut(*given: object) -> None:
        done(*given)
        if next(calls) == (0 if step == "finish" else 1):
            raise LeaseLost

    monkeypatch.setattr(whole, step, cut)
    with pytest.raises(LeaseLost):
        made.delete_data("tutor", **SAID)
    monkeypatch.undo()
    parts.deletions.run()
    (act,) = parts.certificates.newest()
    assert (act.phase, act.counts["statements"], act.counts["documents"]) == (DONE, 5, 1)
    assert act.document is not None
    assert bodies(parts) == {}


@pytest.mark.usefixtures("small_batches")
def test_the_same_command_goes_on_with_one_that_was_cut_off(parts: Parts) -> None:
    send(parts, *(named("lea") for _ in range(5)))
    with pytest.raises(LeaseLost):
        parts.deletions.delete_data("tutor", check=lost_at(2), **SAID)
    (open_,) = parts.certificates.newest()
    assert (open_.phase, open_.document) == (DELETING, None)
    seen: list[tuple[int, int]] = []
    act = parts.deletions.delete_data("tutor", progress=lambda *said: seen.append(said), **SAID)
    assert act.id == open_.id
    assert seen[-1] == (5, 5)
    assert len(parts.certificates.newest()) == 1


def test_nothing_is_deleted_when_the_intent_cannot_be_written(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    send(parts, named("lea"))

    def refuse(*_: object) -> None:
        raise LeaseLost

    monkeypatch.setattr(parts.deletions, "_audit", refuse)
    with pytest.raises(LeaseLost):
        parts.deletions.delete_data("tutor", **SAID)
    assert len(bodies(parts)) == 1
    assert parts.certificates.newest() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"word": ""},
        {"reason": " "},
        {"reason": "asked by lea@ent.example"},
        {"reason": "a\nb"},
        {"reason": "a" * 501},
        {"since": 10, "until": 10},
        {"since": -1},
        {"since": 1 << 60},
    ],
)
def test_what_cannot_stand_in_a_certificate_is_refused(parts: Parts, changes: dict[str, Any]) -> None:
    send(parts, named("lea"))
    with pytest.raises(BadRequest):
        parts.deletions.delete_data("tutor", **{**SAID, **changes})
    with pytest.raises(NotFound):
        parts.deletions.plan("nobody")
    assert len(bodies(parts)) == 1


def test_what_comes_after_it_was_asked_for_stays(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    target = named("lea")
    (gone,) = send(parts, target)
    delete = parts.deletions._removal.delete

    def again(*given: Any) -> None:
        delete(*given)
        send(parts, target)
        delete(*given)

    monkeypatch.setattr(parts.deletions._removal, "delete", again)
    parts.deletions.delete_statement(gone, **SAID)
    assert set(bodies(parts)) == {gone}


def test_a_statement_of_another_source_stays(parts: Parts) -> None:
    send(parts, named("lea"))
    parts.sources.add("other", name="Other", activity=parts.register.list()[0].id, actor="cli:test")
    source = parts.sources_repository.get("other")
    assert source is not None
    mine = named("lea")
    parts.recorder.record(orjson.dumps([mine]), source, Version.V2)
    parts.deletions.delete_data("tutor", **SAID)
    assert set(bodies(parts)) == {UUID(mine["id"])}
