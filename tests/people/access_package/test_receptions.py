"""Receptions outlive the audit log, as long as there are data, and no longer than the person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
import pytest

from app.core import clock
from app.core.errors import SillageError
from app.governance.audit.log import Audit
from app.governance.audit.retention import DAY_US, AuditRetention
from app.governance.audit.store import AuditRepository
from app.people.access_package import receptions
from app.people.access_package.recipients import Received
from app.standards.xapi.documents import Resource
from app.standards.xapi.query import parse_query
from app.traces.queries.statements import Reader
from app.wiring.container import Container
from tests.people.people import account, container, document, named, person, place, send

__all__ = ["container"]

DAYS = 365


def reader(container: Container, label: str) -> str:
    return container.operations.sources.issue(source=None, label=label, scopes=["statements/read"], actor="cli:test").id


def ask(
    container: Container, credential: str, purpose: str | None = None, mine: str | None = None, **params: str
) -> None:
    """A reading as the statements resource makes it, and records it."""
    page = container.traces.statement_queries.page(
        parse_query(list(params.items()), page_limit=100), Reader(credential, mine)
    )
    detail: dict[str, Any] = {"tokens": [*page.tokens], "count": len(page.bodies), "first": page.first}
    detail |= {"last": page.last} | ({} if purpose is None else {"purpose": purpose})
    container.governance.audit.append("statements-read", credential, detail)


def agent(name: str) -> str:
    return orjson.dumps({"account": account(name)["account"]}).decode()


def remover(container: Container) -> AuditRetention:
    """Whoever removes what is old."""
    return AuditRetention(
        container.governance.audit,
        AuditRepository(container.platform.store),
        DAYS,
        container.people.receptions,
    )


def trim(container: Container, days: float = DAYS + 2) -> None:
    """Remove the log as it is some days from now; this process goes on in another chain."""
    container.governance.audit.close()
    remover(container).apply(clock.now_us() + round(days * DAY_US), dry_run=False)


def reported(container: Container, *names: str) -> Received:
    return container.people.disclosures.of(person(*names), actor="cli:test")


def seen(found: Received) -> list[tuple[str, str, str | None, int]]:
    return [(one.name, one.way, one.purpose, one.number) for one in found.readings]


def read_by_all(container: Container) -> None:
    """Alice's data go to many, Bob's to fewer."""
    (mine,) = send(container, named("alice"))
    send(container, named("bob"))
    document(container, Resource.AGENT_PROFILE, "alice")
    who = {name: reader(container, name) for name in ("inspection", "poller", "verbs", "single", "files", "stranger")}
    ask(container, who["inspection"], "support", agent=agent("alice"))
    ask(container, who["inspection"], "support", agent=agent("alice"))
    ask(container, who["inspection"], "research", agent=agent("alice"))
    ask(container, who["poller"], "research")
    ask(container, who["verbs"], verb="http://adlnet.gov/expapi/verbs/experienced")
    ask(container, who["stranger"], verb="https://v.example/nothing")
    ask(container, who["stranger"], mine="nobody")
    container.governance.audit.append("statements-read", who["single"], {"statement": str(mine), "count": 1})
    container.traces.documents.read(place(Resource.AGENT_PROFILE, "alice", "d"), actor=who["files"])
    container.governance.audit.append(
        "export-written", "job:export", {"package": "p-1", "aggregates": ["a@1"], "recipients": ["The ministry"]}
    )


def test_what_the_log_said_of_recipients_is_said_without_it(container: Container) -> None:
    read_by_all(container)
    before = reported(container, "alice")
    assert seen(before) == [
        ("files", "asked", None, 1),
        ("inspection", "asked", "research", 1),
        ("inspection", "asked", "support", 2),
        ("single", "asked", None, 1),
        ("poller", "passed", "research", 1),
        ("verbs", "possible", None, 1),
    ]
    trim(container)
    assert not [
        *AuditRepository(container.platform.store).of_kinds(["statements-read", "export-written", "documents-read"])
    ]
    after = reported(container, "alice")
    assert seen(after) == seen(before)
    # By the month, and no more by the day.
    assert {len(one.first) for one in after.readings} == {len("2026-11")}
    assert {one.first[:7] for one in before.readings} == {one.first for one in after.readings}
    assert [(one.package, one.recipients) for one in after.exports] == [("p-1", ("The ministry",))]
    assert seen(reported(container, "bob")) == [("poller", "passed", "research", 1), ("verbs", "possible", None, 1)]


def test_readings_on_both_sides_of_the_age_are_counted_together(container: Container) -> None:
    send(container, named("alice"))
    poller = reader(container, "poller")
    ask(container, poller, "support")
    trim(container)
    ask(container, poller, "support")
    (one,) = reported(container, "alice").readings
    assert (one.number, len(one.first), len(one.last)) == (2, len("2026-11"), len("2026-11-30"))


@pytest.mark.parametrize("cut", ["after condensing", "after saying so"])
def test_a_run_that_was_cut_off_counts_nothing_twice(
    container: Container, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(container, named("alice"))
    ask(container, reader(container, "poller"), "support")

    class Cut(SillageError):
        pass

    def stop(*_: object) -> None:
        raise Cut

    place = (Audit, "append") if cut == "after condensing" else (AuditRepository, "remove_front")
    container.governance.audit.close()
    with monkeypatch.context() as patch:
        patch.setattr(*place, stop)
        with pytest.raises(Cut):
            remover(container).apply(clock.now_us() + (DAYS + 2) * DAY_US, dry_run=False)
    trim(container)
    assert seen(reported(container, "alice")) == [("poller", "passed", "support", 1)]
    assert container.platform.store.collection("reception_marks").count_documents({}) == 0


def test_entries_that_a_restore_brings_back_are_not_counted_twice(container: Container) -> None:
    send(container, named("alice"))
    ask(container, reader(container, "poller"), "support")
    back = [*container.platform.store.collection("audit").find({"kind": "statements-read"})]
    trim(container)
    container.platform.store.collection("audit").insert_many(back)
    for entry in back:
        container.people.receptions.condense(entry["_id"]["chain"], entry["_id"]["n"] + 5)
    assert [each.count for kept in container.people.receptions.every() for each in kept.groups] == [1]


def test_much_is_condensed_piece_by_piece(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    send(container, named("alice"))
    monkeypatch.setattr(receptions, "_PIECE", 3)
    poller = reader(container, "poller")
    for _ in range(10):
        ask(container, poller, "support")
    trim(container)
    assert container.platform.store.collection("receptions").count_documents({}) > 2
    assert seen(reported(container, "alice")) == [("poller", "passed", "support", 10)]


def test_a_dry_run_condenses_nothing(container: Container) -> None:
    send(container, named("alice"))
    ask(container, reader(container, "poller"))
    container.governance.audit.close()
    remover(container).apply(clock.now_us() + (DAYS + 2) * DAY_US, dry_run=True)
    assert container.platform.store.collection("receptions").count_documents({}) == 0


def test_nothing_personal_is_in_clear_in_it_and_readings_cost_no_writing(container: Container) -> None:
    read_by_all(container)
    # Nothing is written when statements are read, but for the log.
    assert container.platform.store.collection("receptions").count_documents({}) == 0
    trim(container)
    kept = [*container.platform.store.collection("receptions").find({})]
    assert kept
    assert set().union(*kept) <= {"_id", "since", "until", "tokens", "documents", "sealed"}
    for word in ("alice", "inspection", "support", "ent.example"):
        assert word not in str(kept)


def test_it_follows_the_documents_key(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    read_by_all(container)
    trim(container)
    before = seen(reported(container, "alice"))
    monkeypatch.setattr(container.operations.documents_rotation, "_settle", 0.0)
    done = container.operations.documents_rotation.rotate()
    assert (done.unopened, done.finished) == (0, True)
    # Another process: this one is not waited for here, and may have the old key in mind.
    other = Container(container.settings)
    try:
        assert seen(reported(other, "alice")) == before
    finally:
        other.close()


# --- as long as there are data, and no longer than the person ----------------------------------------


def test_it_goes_with_the_last_of_the_data(container: Container) -> None:
    read_by_all(container)
    trim(container)
    collection = container.platform.store.collection("receptions")
    container.people.receptions.prune(0)
    assert collection.count_documents({}) == 2
    container.platform.store.collection("documents").delete_many({})
    container.people.receptions.prune(0)
    assert [one.get("documents", False) for one in collection.find({})] == [False]
    # Something that came in after all these readings is left.
    container.platform.store.collection("statements").delete_many({})
    send(container, named("carol"))
    container.people.receptions.prune(0)
    assert collection.count_documents({}) == 0


ACTS: dict[str, Callable[[Container], None]] = {
    "condensed, then erased": lambda container: (trim(container), erase(container))[-1],
    "erased, then condensed": lambda container: (erase(container), trim(container))[-1],
}


def erase(container: Container) -> dict[str, Any]:
    erasure = container.people.erasures.erase(person("alice"), actor="cli:test")
    done = container.people.erasures.advance(erasure.id)
    assert done.receipt is not None
    content: dict[str, Any] = orjson.loads(done.receipt)["content"]
    return content


@pytest.mark.parametrize("order", ACTS)
def test_gdpr_17_an_erased_person_is_asked_for_nowhere_in_it(container: Container, order: str) -> None:
    read_by_all(container)
    sought = set(container.people.finder.named(person("alice")))
    ACTS[order](container)
    container.people.receptions.prune(0)
    kept = {
        bytes(token) for row in container.platform.store.collection("receptions").find({}) for token in row["tokens"]
    }
    assert not kept & sought
    for piece in container.people.receptions.every():
        assert not {token for group in piece.groups for token in group.tokens} & {each.hex() for each in sought}
    # What the pages gave of others is told of them as before, and not as more than it was.
    assert seen(reported(container, "bob")) == [("poller", "passed", "research", 1), ("verbs", "possible", None, 1)]
    # Whoever comes back begins anew.
    send(container, named("alice"))
    assert seen(reported(container, "alice")) == []


def test_graves_go_with_the_entries_that_they_are_for(container: Container) -> None:
    send(container, named("alice"))
    erase(container)
    graves = container.platform.store.collection("reception_graves")
    assert graves.count_documents({}) > 0
    container.people.receptions.prune(clock.now_us() - DAY_US)
    assert graves.count_documents({}) > 0
    container.people.receptions.prune(clock.now_us() + DAY_US)
    assert graves.count_documents({}) == 0


@pytest.mark.parametrize("trimmed", [False, True])
def test_gdpr_19_the_receipt_of_an_erasure_names_who_received(container: Container, trimmed: bool) -> None:
    read_by_all(container)
    if trimmed:
        trim(container)
    content = erase(container)
    assert [(one["name"], one["way"], one["purpose"], one["number"]) for one in content["received"]] == [
        ("files", "asked", None, 1),
        ("inspection", "asked", "research", 1),
        ("inspection", "asked", "support", 2),
        ("single", "asked", None, 1),
        ("poller", "passed", "research", 1),
        ("verbs", "possible", None, 1),
    ]
    assert [(one["package"], one["recipients"]) for one in content["exports"]] == [("p-1", ["The ministry"])]
    assert "sk-" not in str(content)
    assert content["recipients"][0]["purposes"]


def test_an_act_on_a_case_writes_the_recipients_on_it(container: Container) -> None:
    send(container, named("alice"))
    ask(container, reader(container, "Inspection"), agent=agent("alice"))
    request = container.people.requests.open("objection", person("alice"), actor="cli:test").id
    container.people.requests.identify(request, actor="cli:test")
    container.people.disclosures.of(person("alice"), actor="cli:test", request=request)
    last = container.people.requests.show(request, actor="cli:test").steps[-1]
    assert (last.what, last.detail) == ("recipients-listed", {"recipients": ["Inspection"]})


def test_a_credential_that_nobody_knows_is_not_named_by_its_id(container: Container) -> None:
    send(container, named("alice"))
    ask(container, f"sk-{uuid4().hex[:16]}", agent=agent("alice"))
    assert [one.name for one in reported(container, "alice").readings] == ["?"]
