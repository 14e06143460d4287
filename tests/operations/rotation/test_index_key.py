"""The rotation of the index key, on a real MongoDB: at each stage everything is found, and nothing stays behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import orjson
import pytest

from app.access.store import Source
from app.core.errors import BadCursor, KeysBusy, StatementConflict
from app.crypto import kinds
from app.crypto.keys import IndexKey
from app.keys import organisation as organisation_keys
from app.keys.organisation import Stage, index_keys
from app.operations.rotation import index_key as rules
from app.operations.rotation.index_key import IndexRotation
from app.people.finding.finder import data_subject_of
from app.settings import Settings
from app.standards.xapi.identifiers import VOIDED, keys_of
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.traces.statements import index_tokens as tokens
from app.traces.statements.store import MAX_CARRIED, Plain
from app.traces.statements.whereabouts import whereabouts
from app.wiring.container import Container
from tests.served import ACTIVITY, statement
from tests.stores import initialised, look_after_keys

WHO = Reader("sk-test", None)
ANA, BO = ({"account": {"homePage": "https://ent.example", "name": name}} for name in ("ana", "bo"))
PASSED = {"id": "http://adlnet.gov/expapi/verbs/passed"}


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    """A started process over a store of its own that looks after the index key all the time."""
    with initialised(settings, database_name) as made:
        look_after_keys(made)
        made.governance.register.add(orjson.dumps(ACTIVITY))
        made.lifecycle.start()
        yield made


@pytest.fixture
def source(container: Container) -> Source:
    """A registered source."""
    container.operations.sources.add(
        "tutor", name="Tutor", activity=ACTIVITY["id"], profiles=[], scopes=["statements/write"], actor="cli:test"
    )
    return next(each for each in container.access.sources_repository.list() if each.id == "tutor")


@pytest.fixture
def rotation(container: Container, monkeypatch: pytest.MonkeyPatch) -> IndexRotation:
    """The rotation, in small batches, without waiting for other processes."""
    monkeypatch.setattr(rules, "BATCH", 3)
    monkeypatch.setattr(rules, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(container.operations.index_rotation, "_settle", 0.0)
    return container.operations.index_rotation


def send(container: Container, source: Source, *statements: dict[str, Any]) -> tuple[UUID, ...]:
    return container.traces.recorder.record(orjson.dumps(statements), source, Version.V2).ids


def found(container: Container, **query: Any) -> set[UUID]:
    page = container.traces.statement_queries.page(StatementQuery(**{"limit": 500, **query}), WHO)
    return {UUID(orjson.loads(body)["id"]) for body in page.bodies}


def old_key(container: Container) -> IndexKey:
    return index_keys(container.platform.store, container.keys.keyring, container.settings.organisation).writing


def of_statement(index: IndexKey, one: Plain) -> tuple[bytes, ...]:
    said = orjson.loads(one.body)
    return tokens.of_statement(
        index, one.source, keys_of(said), whereabouts(said, one.stored, ZoneInfo("Europe/Paris"))
    )


def stop_after(batches: int) -> Callable[[], None]:
    left = [batches]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeysBusy("stop")

    return check


def some(container: Container, source: Source) -> dict[str, Any]:
    """Statements of each kind, and for some queries what they find."""
    target, voided = str(uuid4()), str(uuid4())
    registration = str(uuid4())
    plain = send(
        container,
        source,
        statement(actor=ANA, id=target, verb=PASSED, context={"registration": registration}),
        statement(actor=BO, context={"instructor": ANA}),
        statement(actor=ANA, id=voided, timestamp="2026-11-24T10:00:00Z"),
        *(statement(actor=BO) for _ in range(5)),
    )
    reference = send(
        container, source, statement(actor=BO, verb=PASSED, object={"objectType": "StatementRef", "id": target})
    )
    gone = send(
        container,
        source,
        statement(actor=BO, verb={"id": VOIDED}, object={"objectType": "StatementRef", "id": voided}),
    )
    ana, bo = "account:https://ent.example|ana", "account:https://ent.example|bo"
    everything = {*plain, *reference, *gone} - {UUID(voided)}
    # One that refers to a statement is found by what that one has, and so is one that voids.
    return {
        "all": ({}, everything),
        "agent": ({"agent": ana}, {plain[0], *reference, *gone}),
        "related": ({"agent": ana, "related_agents": True}, {plain[0], plain[1], *reference, *gone}),
        "verb": ({"verb": PASSED["id"]}, {plain[0], *reference}),
        "both": ({"agent": bo, "verb": PASSED["id"]}, {*reference}),
        "registration": ({"registration": registration}, {plain[0], *reference}),
        "activity": ({"activity": "https://ent.example/lessons/1"}, everything),
    }


def all_found(container: Container, queries: dict[str, Any]) -> None:
    for name, (query, expected) in queries.items():
        assert found(container, **query) == expected, name


def test_everything_is_found_at_each_stage_of_a_rotation(
    container: Container, source: Source, rotation: IndexRotation
) -> None:
    queries = some(container, source)
    all_found(container, queries)
    organisation_keys.begin_index(container.platform.store, container.keys.keyring, container.settings.organisation, 1)
    all_found(container, queries)
    assert rotation.rotate() == 2
    all_found(container, queries)
    for _ in range(4):
        with pytest.raises(KeysBusy):
            rotation.reindex(check=stop_after(1))
        all_found(container, queries)
    done = rotation.reindex()
    assert done.finished
    all_found(container, queries)
    assert rotation.status() == (2, None, pytest.approx(0, abs=60), 0)


def test_what_comes_in_meanwhile_is_found_and_follows(
    container: Container, source: Source, rotation: IndexRotation
) -> None:
    old = old_key(container)
    send(container, source, *(statement(actor=ANA) for _ in range(7)))
    organisation_keys.begin_index(container.platform.store, container.keys.keyring, container.settings.organisation, 1)
    (given_out,) = send(container, source, statement(actor=BO))
    rotation.rotate()
    assert rotation.status()[:2] == (1, Stage.MOVING)
    assert rotation.status().left == 8
    (moving,) = send(container, source, statement(actor=BO))
    assert rotation.status().left == 8
    assert found(container, agent="account:https://ent.example|bo") == {given_out, moving}
    reported: list[tuple[int, int]] = []
    done = rotation.reindex(progress=lambda *now: reported.append(now))
    assert (done.statements, done.unopened, done.finished) == (8, 0, True)
    assert reported[-1] == (8, 8)
    assert found(container, agent="account:https://ent.example|bo") == {given_out, moving}
    assert erasure_targets(container, old) == []


def erasure_targets(container: Container, old: IndexKey) -> list[UUID]:
    """Statements that have a token or a fingerprint of this key, or copies of such tokens."""
    left = []
    rows = {row.id: row for row in container.traces.statements.span(None, 1 << 62, 10_000)}
    plain = container.traces.reader.decrypted(list(rows.values()))
    made = {one.id: of_statement(old, one) for one in plain}
    anywhere = {token for each in made.values() for token in each}
    for document in container.platform.store.collection("statements").find({"stored": {"$exists": True}}):
        copied = [token for each in document.get("refs", ()) for token in each["t"]]
        if anywhere.intersection(document["t"]) or anywhere.intersection(copied):
            left.append(document["_id"])
    return left


def test_nothing_of_the_old_key_remains(container: Container, source: Source, rotation: IndexRotation) -> None:
    some(container, source)
    old = old_key(container)
    before = {each["_id"]: each["print"] for each in container.platform.store.collection("statements").find({})}
    assert len(erasure_targets(container, old)) == len(before)
    rotation.rotate()
    rotation.reindex()
    new = old_key(container)
    assert new.generation == 2
    assert erasure_targets(container, old) == []
    after = {each["_id"]: each for each in container.platform.store.collection("statements").find({})}
    assert not {each["print"] for each in after.values()} & set(before.values())
    plain = container.traces.reader.decrypted(container.traces.statements.span(None, 1 << 62, 10_000))
    for one in plain:
        again = of_statement(new, one)
        assert sorted(after[one.id]["t"]) == sorted(again)
        for ref in after[one.id].get("refs", ()):
            assert ref["t"] == after[ref["i"]]["t"]
    entries = [each.kind for each in reversed(container.governance.audit.newest()) if each.kind.startswith("index")]
    assert entries == ["index-key-given-out", "index-key-retired"]


def test_a_retry_is_recognised_before_during_and_after(
    container: Container, source: Source, rotation: IndexRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [statement(actor=ANA, id=str(uuid4())) for _ in range(8)]
    send(container, source, *sent)

    def repeated() -> int:
        # By its words alone: what is stored is not opened for it.
        with monkeypatch.context() as only:
            only.setattr(container.traces.recorder, "_reader", None)
            return len(container.traces.recorder.record(orjson.dumps(sent), source, Version.V2).inserted.repeated)

    def another() -> None:
        with pytest.raises(StatementConflict):
            send(container, source, {**sent[-1], "verb": PASSED})

    organisation_keys.begin_index(container.platform.store, container.keys.keyring, container.settings.organisation, 1)
    assert repeated() == 8
    rotation.rotate()
    assert repeated() == 8
    with pytest.raises(KeysBusy):
        rotation.reindex(check=stop_after(2))
    assert 0 < rotation.status().left < 8
    assert repeated() == 8
    another()
    rotation.reindex()
    assert repeated() == 8
    another()


def test_a_rotation_that_is_stopped_goes_on_from_there(
    container: Container, source: Source, rotation: IndexRotation
) -> None:
    send(container, source, *(statement(actor=ANA) for _ in range(9)))
    rotation.rotate()
    with pytest.raises(KeysBusy):
        rotation.reindex(check=stop_after(2))
    left = rotation.status().left
    assert 0 < left < 9
    # Begun again, it is the same rotation.
    assert rotation.rotate() == 2
    done = rotation.reindex()
    assert (done.statements, done.finished) == (left, True)
    assert rotation.reindex() == (0, 0, 0, 0.0, False)
    assert rotation.rotate() == 3
    assert rotation.reindex().statements == 9


def test_what_a_process_left_behind_wrote_with_the_old_key_is_noticed_and_follows(
    container: Container, source: Source, rotation: IndexRotation
) -> None:
    old = old_key(container)
    (paused, target) = send(container, source, statement(actor=ANA), statement(actor=BO))
    (refers,) = send(
        container, source, statement(actor=BO, verb=PASSED, object={"objectType": "StatementRef", "id": str(target)})
    )
    collection = container.platform.store.collection("statements")
    written = {each["_id"]: each for each in collection.find({})}
    rotation.rotate()
    assert rotation.reindex().finished
    # As if the process had been paused for longer than anybody waited, and stored these just now.
    collection.replace_one({"_id": paused}, written[paused])
    collection.update_one({"_id": refers}, {"$set": {"refs": written[refers]["refs"]}})
    assert erasure_targets(container, old) == [paused, refers]
    done = rotation.reindex("job:reindex")
    assert (done.statements, done.referring, done.finished) == (1, 1, False)
    assert erasure_targets(container, old) == []
    assert paused in found(container, agent="account:https://ent.example|ana")
    assert rotation.reindex("job:reindex").statements == 0


def test_what_does_not_open_is_counted_and_loses_what_it_was_found_by(
    container: Container, source: Source, rotation: IndexRotation
) -> None:
    erased, damaged, whole = send(container, source, statement(actor=ANA), statement(actor=BO), statement(actor=BO))
    container.platform.store.collection("subjects").delete_one(
        {"_id": container.keys.organisation.subject("account:https://ent.example|ana")}
    )
    container.keys.subjects.forget()
    collection = container.platform.store.collection("statements")
    collection.update_one({"_id": damaged}, {"$set": {"body": b"damaged" * 10}})
    rotation.rotate()
    done = rotation.reindex()
    assert (done.statements, done.unopened, done.finished) == (3, 2, True)
    index = container.keys.organisation.index.writing
    for id in (erased, damaged):
        document = collection.find_one({"_id": id})
        assert document is not None
        assert document["t"] == [index.token(kinds.SOURCE, "tutor")]
    assert found(container, agent="account:https://ent.example|bo") == {whole}


def test_what_an_erasure_is_still_to_find_keeps_its_tokens_until_it_has(
    container: Container, source: Source, rotation: IndexRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = send(container, source, *(statement(actor=ANA) for _ in range(4)))
    send(container, source, *(statement(actor=BO) for _ in range(4)))
    rotation.rotate()
    erasure = container.people.erasures.erase(data_subject_of([ANA]), actor="cli:test")
    # As far as it comes while nobody goes on with the erasure.
    with pytest.raises(KeysBusy):
        rotation.reindex(check=stop_after(30))
    assert rotation.status().left == 4
    assert container.people.erasures.advance(erasure.id).phase == "done"
    assert container.traces.statements.some(own) == []
    done = rotation.reindex()
    assert (done.unopened, done.finished) == (0, True)


def test_statements_do_not_move_while_an_erasure_knows_the_old_tokens_only(
    container: Container, source: Source, rotation: IndexRotation
) -> None:
    (mention,) = send(container, source, statement(actor=BO, context={"instructor": ANA}))
    erasure = container.people.erasures.erase(data_subject_of([ANA]), actor="cli:test")
    organisation_keys.begin_index(container.platform.store, container.keys.keyring, container.settings.organisation, 1)
    with pytest.raises(KeysBusy):
        rotation.reindex(check=stop_after(30))
    assert rotation.status().stage is Stage.GIVEN_OUT
    assert container.people.erasures.advance(erasure.id).phase == "done"
    assert rotation.rotate() == 2
    assert rotation.reindex().finished
    assert b"/ana" not in container.traces.reader.decrypted(container.traces.statements.some([mention]))[0].body
    assert found(container, agent="account:https://ent.example|ana", related_agents=True) == set()


def test_what_refers_to_a_statement_that_is_gone_keeps_no_token_of_it(
    container: Container, source: Source, rotation: IndexRotation
) -> None:
    old = old_key(container)
    (target,) = send(container, source, statement(actor=ANA))
    (refers,) = send(
        container, source, statement(actor=BO, verb=PASSED, object={"objectType": "StatementRef", "id": str(target)})
    )
    collection = container.platform.store.collection("statements")
    collection.delete_one({"_id": target})
    rotation.rotate()
    rotation.reindex()
    document = collection.find_one({"_id": refers})
    assert document is not None
    assert document["refs"] == [{"i": target, "t": []}]
    assert not collection.count_documents({"refs.t": old.token(kinds.SOURCE, "tutor")})


def test_a_statement_changed_between_its_reading_and_its_writing_is_read_again(
    container: Container, source: Source, rotation: IndexRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = send(container, source, *(statement(actor=ANA) for _ in range(5)))
    old = old_key(container)
    collection = container.platform.store.collection("statements")
    real = rotation._statements.move
    changed = []

    def move(moves: Any) -> int:
        if not changed:
            changed.append(True)
            # A later place in the order, as for a process that had lost touch; the body says another time.
            row = container.traces.statements.some([ids[0]])[0]
            plain = container.traces.reader.decrypted([row])[0]
            sealed = container.traces.bodies.encrypt(
                [(row.id, plain.body.replace(b'"stored":"20', b'"stored":"30'))],
                [container.keys.subjects.existing([row.subject])[row.subject]],
            )
            collection.update_one({"_id": row.id}, {"$set": {"body": sealed[0], "stored": row.stored + 10_000_000}})
        return real(moves)

    monkeypatch.setattr(rotation._statements, "move", move)
    rotation.rotate()
    assert rotation.reindex().finished
    assert erasure_targets(container, old) == []
    assert b'"stored":"30' in container.traces.reader.decrypted(container.traces.statements.some([ids[0]]))[0].body


def test_a_cursor_goes_on_where_its_tokens_still_serve_and_says_so_where_not(
    container: Container, source: Source, rotation: IndexRotation
) -> None:
    send(container, source, *(statement(actor=ANA) for _ in range(9)))
    query = StatementQuery(agent="account:https://ent.example|ana", limit=4)
    before = container.traces.statement_queries.page(query, WHO).cursor
    everything = container.traces.statement_queries.page(StatementQuery(limit=4), WHO).cursor
    assert before and everything
    organisation_keys.begin_index(container.platform.store, container.keys.keyring, container.settings.organisation, 1)
    given_out = container.traces.statement_queries.page(query, WHO).cursor
    assert given_out
    assert len(container.traces.statement_queries.next_page(before, WHO).bodies) == 4
    rotation.rotate()
    with pytest.raises(BadCursor, match="replaced"):
        container.traces.statement_queries.next_page(before, WHO)
    rotation.reindex()
    for cursor in (given_out, everything):
        assert len(container.traces.statement_queries.next_page(cursor, WHO).bodies) == 4


def test_a_page_misses_nothing_that_moves_while_it_is_read(
    container: Container, source: Source, rotation: IndexRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BATCH", 10)
    ids = {id for _ in range(6) for id in send(container, source, *(statement(actor=ANA) for _ in range(200)))}
    stop = threading.Event()
    faults: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            seen, cursor = set(), None
            while True:
                query = StatementQuery(agent="account:https://ent.example|ana", ascending=True, limit=500)
                page = (
                    container.traces.statement_queries.next_page(cursor, WHO)
                    if cursor
                    else container.traces.statement_queries.page(query, WHO)
                )
                seen |= {UUID(orjson.loads(body)["id"]) for body in page.bodies}
                cursor = page.cursor
                if cursor is None:
                    break
            if seen != ids:
                faults.append(len(ids - seen))

    rotation.rotate()
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert rotation.reindex().statements == len(ids)
    finally:
        stop.set()
        asking.join()
    assert faults == []


def test_retention_counts_and_deletes_under_both_keys(
    container: Container, source: Source, rotation: IndexRotation
) -> None:
    send(container, source, *(statement(actor=ANA) for _ in range(7)))
    rotation.rotate()
    with pytest.raises(KeysBusy):
        rotation.reindex(check=stop_after(2))
    send(container, source, statement(actor=ANA))
    assert 0 < rotation.status().left < 7
    now = time.time_ns() // 1_000
    assert [line.kept for line in container.retention.service.report(now)] == [8]
    assert container.retention.service.apply(now + 20 * 365 * 86_400_000_000, dry_run=False).statements == 8
    assert container.platform.store.collection("statements").count_documents({}) == 0


def test_what_is_carried_of_a_crowded_statement_stays_bounded_under_another_key(
    container: Container, source: Source, rotation: IndexRotation
) -> None:
    crowd = [{"account": {"homePage": "https://ent.example", "name": f"e-{number}"}} for number in range(400)]
    (target,) = send(container, source, statement(actor={"objectType": "Group", "member": crowd}, verb=PASSED))
    refers = {"objectType": "StatementRef", "id": str(target)}
    (late,) = send(container, source, statement(actor=BO, object=refers))
    rotation.rotate()
    assert rotation.reindex().finished
    document = container.platform.store.collection("statements").find_one({"_id": late})
    assert document is not None
    assert [len(each["t"]) for each in document["refs"]] == [MAX_CARRIED]
    assert found(container, verb=PASSED["id"]) == {target, late}
    first = "account:https://ent.example|e-0"
    assert target in found(container, agent=first)
