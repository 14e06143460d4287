"""Deletion on the operator's word: a statement, or what a source sent in a time, with a certificate."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.core import clock
from app.core.errors import BadRequest, DataSubjectRestricted, LeaseLost, NotFound
from app.crypto import kinds, signing
from app.governance.audit.log import DELETION_APPLIED, DELETION_STARTED
from app.retention import deletions
from app.retention.certificate_store import DELETING, DONE
from app.retention.certificates import CERTIFICATE, act_of
from app.retention.closed_account_store import AccountRepository, Closing
from app.standards.xapi.documents import Resource
from app.standards.xapi.versions import Version
from app.traces.statements.store import Filter
from app.wiring.container import Container
from tests.people.people import bodies, container, document, named, person, refers, send, with_attachment
from tests.sinks import Sink

__all__ = ("container",)

SAID: dict[str, Any] = {"word": "head of digital services", "reason": "the contract ended", "actor": "cli:test"}


def entries(container: Container, kind: str) -> list[dict[str, Any]]:
    return [entry.detail for entry in reversed(container.governance.audit.newest([kind]))]  # type: ignore[misc]


def stored(container: Container, id: object) -> dict[str, Any] | None:
    return container.platform.store.collection("statements").find_one({"_id": UUID(str(id))})


def test_what_a_source_sent_in_a_time_goes_and_nothing_else(container: Container) -> None:
    before = send(container, named("lea"))
    document(container, Resource.STATE, "lea", "before")
    since = clock.now_us()
    gone = send(container, named("lea"), named("tom"), with_attachment("lea", b"data"), data=(b"data",))
    document(container, Resource.STATE, "lea", "within")
    document(container, Resource.AGENT_PROFILE, "tom", "within")
    until = clock.now_us()
    after = send(container, named("lea"))
    assert container.retention.deletions.plan("tutor", since, until) == (3, 2, 0)
    assert len(bodies(container)) == 5
    act = container.retention.deletions.delete_data("tutor", since, until, **SAID)
    assert set(bodies(container)) == {*before, *after}
    assert all(stored(container, each) is None for each in gone)
    assert container.platform.store.collection("attachments").count_documents({}) == 0
    assert container.platform.store.collection("documents").count_documents({}) == 1
    assert (act.phase, act.counts["statements"], act.counts["documents"]) == (DONE, 3, 2)
    (started,), (applied,) = entries(container, DELETION_STARTED), entries(container, DELETION_APPLIED)
    assert (started["certificate"], started["due"], started["documents_due"]) == (str(act.id), 3, 2)
    assert applied["counts"]["statements"] == 3


def test_the_certificate_is_verified_with_the_public_key_alone_and_names_nobody(container: Container) -> None:
    send(container, named("lea"))
    act = container.retention.deletions.delete_data("tutor", **SAID)
    assert act.document is not None
    signed = signing.verified(act.document, signing.parse_public_key(container.keys.signer.pem.encode()))
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


def test_a_statement_is_deleted_with_its_attachment_and_no_other(container: Container) -> None:
    (kept,) = send(container, named("lea"))
    (gone,) = send(container, with_attachment("lea", b"data"), data=(b"data",))
    act = container.retention.deletions.delete_statement(gone, **SAID)
    assert set(bodies(container)) == {kept}
    assert container.platform.store.collection("attachments").count_documents({}) == 0
    assert (act.statement, act.counts["statements"]) == (gone, 1)
    with pytest.raises(NotFound):
        container.retention.deletions.delete_statement(gone, **SAID)


def test_gdpr_18_what_is_of_restricted_persons_stays(container: Container) -> None:
    (kept,) = send(container, named("lea"))
    document(container, Resource.STATE, "lea")
    send(container, named("tom"))
    container.people.restriction.restrict(person("lea"), actor="cli:test")
    with pytest.raises(DataSubjectRestricted):
        container.retention.deletions.delete_statement(kept, **SAID)
    assert container.retention.deletions.plan("tutor") == (1, 0, 1)
    act = container.retention.deletions.delete_data("tutor", **SAID)
    assert set(bodies(container)) == {kept}
    assert container.platform.store.collection("documents").count_documents({}) == 1
    assert (act.counts["statements"], act.counts["restricted"]) == (1, 1)


def test_ends_of_accounts_go_when_nothing_is_left_of_before_them(container: Container) -> None:
    send(container, named("lea"))
    since, hour = clock.now_us(), 3_600_000_000
    ends = AccountRepository(container.platform.store)
    lea, tom = (container.people.finder.subjects(person(name))[0] for name in ("lea", "tom"))
    ends.close("tutor", [Closing(lea, since, b"x"), Closing(tom, since + hour, b"x")])
    ends.close("other", [Closing(lea, since, b"x")])
    send(container, named("lea"))
    container.retention.deletions.delete_data("tutor", since, **SAID)
    assert sorted(ends.of([lea, tom])) == [("other", since), ("tutor", since), ("tutor", since + hour)]
    container.retention.deletions.delete_data("tutor", **SAID)
    assert sorted(ends.of([lea, tom])) == [("other", since), ("tutor", since + hour)]


def test_statements_that_refer_to_it_are_found_by_it_no_more_until_it_comes_again(container: Container) -> None:
    target = named("lea")
    (gone,) = send(container, target)
    (first,) = send(container, refers("tom", gone))
    (second,) = send(container, refers("ada", first))
    agent = container.keys.organisation.index.tokens(kinds.AGENT, "account:https://ent.example|lea")

    def found() -> set[UUID]:
        page = container.traces.statements.page(Filter((agent,)), after=None, ascending=True, limit=10)
        return {row.id for row in page.rows}

    assert found() == {gone, first, second}
    container.retention.deletions.delete_statement(gone, **SAID)
    assert found() == set()
    assert "refs" not in (stored(container, first) or {})
    # What carries the tokens of the one between stays as it is.
    assert [each["i"] for each in (stored(container, second) or {})["refs"]] == [first]
    send(container, target)
    assert found() == {gone, first, second}


def test_one_that_was_voided_is_voided_when_it_comes_again(container: Container) -> None:
    target = named("lea")
    (gone,) = send(container, target)
    send(
        container,
        named(
            "lea",
            verb={"id": "http://adlnet.gov/expapi/verbs/voided"},
            object={"objectType": "StatementRef", "id": str(gone)},
        ),
    )
    container.retention.deletions.delete_statement(gone, **SAID)
    send(container, target)
    assert (stored(container, gone) or {}).get("void") is True


def test_figures_of_its_months_are_counted_again_before_and_after(container: Container) -> None:
    send(container, named("lea", timestamp="2026-03-02T10:00:00Z"), named("tom", timestamp="2026-05-01T10:00:00Z"))
    act = container.retention.deletions.delete_data("tutor", **SAID)
    # 1 May 2026 is a Friday: its week is kept with April.
    assert act.months == ("2026-03", "2026-04", "2026-05")
    notes = list(container.platform.store.collection("aggregate_corrections").find({}))
    assert [sorted(note["months"]) for note in notes] == [list(act.months)] * 2


def test_figures_are_those_of_what_is_left(container: Container) -> None:
    send(container, *(named(f"pupil-{n}") for n in range(12)))
    tables = container.platform.store.collection("aggregate_parts")
    container.research.aggregates.run(1, lambda *_: None, lambda: None)
    assert tables.count_documents({"table": "learner"})
    container.retention.deletions.delete_data("tutor", **SAID)
    container.research.aggregates.run(2, lambda *_: None, lambda: None)
    # Of nothing nothing is counted.
    assert tables.count_documents({"table": "learner"}) == 0
    assert container.platform.store.collection("aggregate_corrections").count_documents({}) == 0


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
    container: Container, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    send(container, *(named("lea") for _ in range(5)))
    document(container, Resource.STATE, "lea")
    made = container.retention.deletions
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
    container.retention.deletions.run()
    (act,) = container.retention.certificates.newest()
    assert (act.phase, act.counts["statements"], act.counts["documents"]) == (DONE, 5, 1)
    assert act.document is not None
    assert bodies(container) == {}


@pytest.mark.usefixtures("small_batches")
def test_the_same_command_goes_on_with_one_that_was_cut_off(container: Container) -> None:
    send(container, *(named("lea") for _ in range(5)))
    with pytest.raises(LeaseLost):
        container.retention.deletions.delete_data("tutor", check=lost_at(2), **SAID)
    (open_,) = container.retention.certificates.newest()
    assert (open_.phase, open_.document) == (DELETING, None)
    seen: list[tuple[int, int]] = []
    act = container.retention.deletions.delete_data("tutor", progress=lambda *said: seen.append(said), **SAID)
    assert act.id == open_.id
    assert seen[-1] == (5, 5)
    assert len(container.retention.certificates.newest()) == 1


def test_nothing_is_deleted_when_the_intent_cannot_be_written(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(container, named("lea"))

    def refuse(*_: object) -> None:
        raise LeaseLost

    monkeypatch.setattr(container.retention.deletions, "_audit", Sink(refuse))
    with pytest.raises(LeaseLost):
        container.retention.deletions.delete_data("tutor", **SAID)
    assert len(bodies(container)) == 1
    assert container.retention.certificates.newest() == []


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
def test_what_cannot_stand_in_a_certificate_is_refused(container: Container, changes: dict[str, Any]) -> None:
    send(container, named("lea"))
    with pytest.raises(BadRequest):
        container.retention.deletions.delete_data("tutor", **{**SAID, **changes})
    with pytest.raises(NotFound):
        container.retention.deletions.plan("nobody")
    assert len(bodies(container)) == 1


def test_what_comes_after_it_was_asked_for_stays(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    target = named("lea")
    (gone,) = send(container, target)
    delete = container.retention.deletions._removal.delete

    def again(*given: Any) -> None:
        delete(*given)
        send(container, target)
        delete(*given)

    monkeypatch.setattr(container.retention.deletions._removal, "delete", again)
    container.retention.deletions.delete_statement(gone, **SAID)
    assert set(bodies(container)) == {gone}


def test_a_statement_of_another_source_stays(container: Container) -> None:
    send(container, named("lea"))
    container.operations.sources.add(
        "other", name="Other", activity=container.governance.register.list()[0].id, actor="cli:test"
    )
    source = container.access.sources_repository.get("other")
    assert source is not None
    mine = named("lea")
    container.traces.recorder.record(orjson.dumps([mine]), source, Version.V2)
    container.retention.deletions.delete_data("tutor", **SAID)
    assert set(bodies(container)) == {UUID(mine["id"])}
