"""The rotation of the index key, on a real MongoDB: at each stage everything is found, and nothing stays behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from app.access.store import Source
from app.core.errors import BadCursor, KeysBusy, StatementConflict
from app.crypto import kinds
from app.crypto.keys import IndexKey
from app.factory import Parts
from app.keys import organisation as organisation_keys
from app.keys.organisation import Stage, index_keys
from app.operations.rotation import index_key as rules
from app.operations.rotation.index_key import IndexRotation
from app.people.finding.finder import person_of
from app.settings import Settings
from app.standards.xapi.identifiers import VOIDED, keys_of
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.traces.statements import index_tokens as tokens
from app.traces.statements.store import MAX_CARRIED
from tests.served import ACTIVITY, statement
from tests.stores import initialised, look_after_keys

WHO = Reader("sk-test", None)
ANA, BO = ({"account": {"homePage": "https://ent.example", "name": name}} for name in ("ana", "bo"))
PASSED = {"id": "http://adlnet.gov/expapi/verbs/passed"}


@pytest.fixture
def parts(settings: Settings, database_name: str) -> Iterator[Parts]:
    """A started process over a store of its own that looks after the index key all the time."""
    with initialised(settings, database_name) as made:
        look_after_keys(made)
        made.register.add(orjson.dumps(ACTIVITY))
        made.start()
        yield made


@pytest.fixture
def source(parts: Parts) -> Source:
    """A registered source."""
    parts.sources.add(
        "tutor", name="Tutor", activity=ACTIVITY["id"], profiles=[], scopes=["statements/write"], actor="cli:test"
    )
    return next(each for each in parts.sources_repository.list() if each.id == "tutor")


@pytest.fixture
def rotation(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> IndexRotation:
    """The rotation, in small batches, without waiting for other processes."""
    monkeypatch.setattr(rules, "BATCH", 3)
    monkeypatch.setattr(rules, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(parts.index_rotation, "_settle", 0.0)
    return parts.index_rotation


def send(parts: Parts, source: Source, *statements: dict[str, Any]) -> tuple[UUID, ...]:
    return parts.recorder.record(orjson.dumps(statements), source, Version.V2).ids


def found(parts: Parts, **query: Any) -> set[UUID]:
    page = parts.library.page(StatementQuery(**{"limit": 500, **query}), WHO)
    return {UUID(orjson.loads(body)["id"]) for body in page.bodies}


def old_key(parts: Parts) -> IndexKey:
    return index_keys(parts.store, parts.keyring, parts.settings.organisation).writing


def stop_after(batches: int) -> Callable[[], None]:
    left = [batches]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeysBusy("stop")

    return check


def some(parts: Parts, source: Source) -> dict[str, Any]:
    """Statements of each kind, and for some queries what they find."""
    target, voided = str(uuid4()), str(uuid4())
    registration = str(uuid4())
    plain = send(
        parts,
        source,
        statement(actor=ANA, id=target, verb=PASSED, context={"registration": registration}),
        statement(actor=BO, context={"instructor": ANA}),
        statement(actor=ANA, id=voided, timestamp="2026-11-24T10:00:00Z"),
        *(statement(actor=BO) for _ in range(5)),
    )
    reference = send(
        parts, source, statement(actor=BO, verb=PASSED, object={"objectType": "StatementRef", "id": target})
    )
    gone = send(
        parts,
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


def all_found(parts: Parts, queries: dict[str, Any]) -> None:
    for name, (query, expected) in queries.items():
        assert found(parts, **query) == expected, name


def test_everything_is_found_at_each_stage_of_a_rotation(parts: Parts, source: Source, rotation: IndexRotation) -> None:
    queries = some(parts, source)
    all_found(parts, queries)
    organisation_keys.begin_index(parts.store, parts.keyring, parts.settings.organisation, 1)
    all_found(parts, queries)
    assert rotation.rotate() == 2
    all_found(parts, queries)
    for _ in range(4):
        with pytest.raises(KeysBusy):
            rotation.reindex(check=stop_after(1))
        all_found(parts, queries)
    done = rotation.reindex()
    assert done.finished
    all_found(parts, queries)
    assert rotation.status() == (2, None, pytest.approx(0, abs=60), 0)


def test_what_comes_in_meanwhile_is_found_and_follows(parts: Parts, source: Source, rotation: IndexRotation) -> None:
    old = old_key(parts)
    send(parts, source, *(statement(actor=ANA) for _ in range(7)))
    organisation_keys.begin_index(parts.store, parts.keyring, parts.settings.organisation, 1)
    (given_out,) = send(parts, source, statement(actor=BO))
    rotation.rotate()
    assert rotation.status()[:2] == (1, Stage.MOVING)
    assert rotation.status().left == 8
    (moving,) = send(parts, source, statement(actor=BO))
    assert rotation.status().left == 8
    assert found(parts, agent="account:https://ent.example|bo") == {given_out, moving}
    told: list[tuple[int, int]] = []
    done = rotation.reindex(progress=lambda *now: told.append(now))
    assert (done.statements, done.unopened, done.finished) == (8, 0, True)
    assert told[-1] == (8, 8)
    assert found(parts, agent="account:https://ent.example|bo") == {given_out, moving}
    assert remains(parts, old) == []


def remains(parts: Parts, old: IndexKey) -> list[UUID]:
    """Statements that have a token or a fingerprint of this key, or copies of such tokens."""
    left = []
    rows = {row.id: row for row in parts.statements.span(None, 1 << 62, 10_000)}
    plain = parts.reader.decrypted(list(rows.values()))
    made = {one.id: tokens.of_statement(old, one.source, keys_of(orjson.loads(one.body))) for one in plain}
    anywhere = {token for each in made.values() for token in each}
    for document in parts.store.collection("statements").find({"stored": {"$exists": True}}):
        copied = [token for each in document.get("refs", ()) for token in each["t"]]
        if anywhere.intersection(document["t"]) or anywhere.intersection(copied):
            left.append(document["_id"])
    return left


def test_nothing_of_the_old_key_remains(parts: Parts, source: Source, rotation: IndexRotation) -> None:
    some(parts, source)
    old = old_key(parts)
    before = {each["_id"]: each["print"] for each in parts.store.collection("statements").find({})}
    assert len(remains(parts, old)) == len(before)
    rotation.rotate()
    rotation.reindex()
    new = old_key(parts)
    assert new.generation == 2
    assert remains(parts, old) == []
    after = {each["_id"]: each for each in parts.store.collection("statements").find({})}
    assert not {each["print"] for each in after.values()} & set(before.values())
    plain = parts.reader.decrypted(parts.statements.span(None, 1 << 62, 10_000))
    for one in plain:
        again = tokens.of_statement(new, one.source, keys_of(orjson.loads(one.body)))
        assert sorted(after[one.id]["t"]) == sorted(again)
        for ref in after[one.id].get("refs", ()):
            assert ref["t"] == after[ref["i"]]["t"]
    entries = [each.kind for each in reversed(parts.audit.newest()) if each.kind.startswith("index")]
    assert entries == ["index-key-given-out", "index-key-retired"]


def test_a_retry_is_recognised_before_during_and_after(
    parts: Parts, source: Source, rotation: IndexRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [statement(actor=ANA, id=str(uuid4())) for _ in range(8)]
    send(parts, source, *sent)

    def repeated() -> int:
        # By its words alone: what is stored is not opened for it.
        with monkeypatch.context() as only:
            only.setattr(parts.recorder, "_opened", None)
            return len(parts.recorder.record(orjson.dumps(sent), source, Version.V2).inserted.repeated)

    def another() -> None:
        with pytest.raises(StatementConflict):
            send(parts, source, {**sent[-1], "verb": PASSED})

    organisation_keys.begin_index(parts.store, parts.keyring, parts.settings.organisation, 1)
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


def test_a_rotation_that_is_stopped_goes_on_from_there(parts: Parts, source: Source, rotation: IndexRotation) -> None:
    send(parts, source, *(statement(actor=ANA) for _ in range(9)))
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
    parts: Parts, source: Source, rotation: IndexRotation
) -> None:
    old = old_key(parts)
    (paused, target) = send(parts, source, statement(actor=ANA), statement(actor=BO))
    (refers,) = send(
        parts, source, statement(actor=BO, verb=PASSED, object={"objectType": "StatementRef", "id": str(target)})
    )
    collection = parts.store.collection("statements")
    written = {each["_id"]: each for each in collection.find({})}
    rotation.rotate()
    assert rotation.reindex().finished
    # As if the process had been paused for longer than anybody waited, and stored these just now.
    collection.replace_one({"_id": paused}, written[paused])
    collection.update_one({"_id": refers}, {"$set": {"refs": written[refers]["refs"]}})
    assert remains(parts, old) == [paused, refers]
    done = rotation.reindex("job:reindex")
    assert (done.statements, done.referring, done.finished) == (1, 1, False)
    assert remains(parts, old) == []
    assert paused in found(parts, agent="account:https://ent.example|ana")
    assert rotation.reindex("job:reindex").statements == 0


def test_what_does_not_open_is_counted_and_loses_what_it_was_found_by(
    parts: Parts, source: Source, rotation: IndexRotation
) -> None:
    erased, damaged, whole = send(parts, source, statement(actor=ANA), statement(actor=BO), statement(actor=BO))
    parts.store.collection("subjects").delete_one({"_id": parts.keys.subject("account:https://ent.example|ana")})
    parts.subjects.forget()
    collection = parts.store.collection("statements")
    collection.update_one({"_id": damaged}, {"$set": {"body": b"damaged" * 10}})
    rotation.rotate()
    done = rotation.reindex()
    assert (done.statements, done.unopened, done.finished) == (3, 2, True)
    index = parts.keys.index.writing
    for id in (erased, damaged):
        document = collection.find_one({"_id": id})
        assert document is not None
        assert document["t"] == [index.token(kinds.SOURCE, "tutor")]
    assert found(parts, agent="account:https://ent.example|bo") == {whole}


def test_what_an_erasure_is_still_to_find_keeps_its_tokens_until_it_has(
    parts: Parts, source: Source, rotation: IndexRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = send(parts, source, *(statement(actor=ANA) for _ in range(4)))
    send(parts, source, *(statement(actor=BO) for _ in range(4)))
    rotation.rotate()
    erasure = parts.erasures.erase(person_of([ANA]), actor="cli:test")
    # As far as it comes while nobody goes on with the erasure.
    with pytest.raises(KeysBusy):
        rotation.reindex(check=stop_after(30))
    assert rotation.status().left == 4
    assert parts.erasures.advance(erasure.id).phase == "done"
    assert parts.statements.some(own) == []
    done = rotation.reindex()
    assert (done.unopened, done.finished) == (0, True)


def test_statements_do_not_move_while_an_erasure_knows_the_old_tokens_only(
    parts: Parts, source: Source, rotation: IndexRotation
) -> None:
    (mention,) = send(parts, source, statement(actor=BO, context={"instructor": ANA}))
    erasure = parts.erasures.erase(person_of([ANA]), actor="cli:test")
    organisation_keys.begin_index(parts.store, parts.keyring, parts.settings.organisation, 1)
    with pytest.raises(KeysBusy):
        rotation.reindex(check=stop_after(30))
    assert rotation.status().stage is Stage.GIVEN_OUT
    assert parts.erasures.advance(erasure.id).phase == "done"
    assert rotation.rotate() == 2
    assert rotation.reindex().finished
    assert b"/ana" not in parts.reader.decrypted(parts.statements.some([mention]))[0].body
    assert found(parts, agent="account:https://ent.example|ana", related_agents=True) == set()


def test_what_refers_to_a_statement_that_is_gone_keeps_no_token_of_it(
    parts: Parts, source: Source, rotation: IndexRotation
) -> None:
    old = old_key(parts)
    (target,) = send(parts, source, statement(actor=ANA))
    (refers,) = send(
        parts, source, statement(actor=BO, verb=PASSED, object={"objectType": "StatementRef", "id": str(target)})
    )
    collection = parts.store.collection("statements")
    collection.delete_one({"_id": target})
    rotation.rotate()
    rotation.reindex()
    document = collection.find_one({"_id": refers})
    assert document is not None
    assert document["refs"] == [{"i": target, "t": []}]
    assert not collection.count_documents({"refs.t": old.token(kinds.SOURCE, "tutor")})


def test_a_statement_changed_between_its_reading_and_its_writing_is_read_again(
    parts: Parts, source: Source, rotation: IndexRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = send(parts, source, *(statement(actor=ANA) for _ in range(5)))
    old = old_key(parts)
    collection = parts.store.collection("statements")
    real = rotation._statements.move
    changed = []

    def move(moves: Any) -> int:
        if not changed:
            changed.append(True)
            # A later place in the order, as for a process that had lost touch; the body says another time.
            row = parts.statements.some([ids[0]])[0]
            plain = parts.reader.decrypted([row])[0]
            sealed = parts.bodies.encrypt(
                [(row.id, plain.body.replace(b'"stored":"20', b'"stored":"30'))],
                [parts.subjects.existing([row.subject])[row.subject]],
            )
            collection.update_one({"_id": row.id}, {"$set": {"body": sealed[0], "stored": row.stored + 10_000_000}})
        return real(moves)

    monkeypatch.setattr(rotation._statements, "move", move)
    rotation.rotate()
    assert rotation.reindex().finished
    assert remains(parts, old) == []
    assert b'"stored":"30' in parts.reader.decrypted(parts.statements.some([ids[0]]))[0].body


def test_a_cursor_goes_on_where_its_tokens_still_serve_and_says_so_where_not(
    parts: Parts, source: Source, rotation: IndexRotation
) -> None:
    send(parts, source, *(statement(actor=ANA) for _ in range(9)))
    query = StatementQuery(agent="account:https://ent.example|ana", limit=4)
    before = parts.library.page(query, WHO).cursor
    everything = parts.library.page(StatementQuery(limit=4), WHO).cursor
    assert before and everything
    organisation_keys.begin_index(parts.store, parts.keyring, parts.settings.organisation, 1)
    given_out = parts.library.page(query, WHO).cursor
    assert given_out
    assert len(parts.library.next_page(before, WHO).bodies) == 4
    rotation.rotate()
    with pytest.raises(BadCursor, match="replaced"):
        parts.library.next_page(before, WHO)
    rotation.reindex()
    for cursor in (given_out, everything):
        assert len(parts.library.next_page(cursor, WHO).bodies) == 4


def test_a_page_misses_nothing_that_moves_while_it_is_read(
    parts: Parts, source: Source, rotation: IndexRotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "BATCH", 10)
    ids = {id for _ in range(6) for id in send(parts, source, *(statement(actor=ANA) for _ in range(200)))}
    stop = threading.Event()
    faults: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            seen, cursor = set(), None
            while True:
                query = StatementQuery(agent="account:https://ent.example|ana", ascending=True, limit=500)
                page = parts.library.next_page(cursor, WHO) if cursor else parts.library.page(query, WHO)
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


def test_retention_counts_and_deletes_under_both_keys(parts: Parts, source: Source, rotation: IndexRotation) -> None:
    send(parts, source, *(statement(actor=ANA) for _ in range(7)))
    rotation.rotate()
    with pytest.raises(KeysBusy):
        rotation.reindex(check=stop_after(2))
    send(parts, source, statement(actor=ANA))
    assert 0 < rotation.status().left < 7
    now = time.time_ns() // 1_000
    assert [line.kept for line in parts.retention.report(now)] == [8]
    assert parts.retention.apply(now + 20 * 365 * 86_400_000_000, dry_run=False).statements == 8
    assert parts.store.collection("statements").count_documents({}) == 0


def test_what_is_carried_of_a_crowded_statement_stays_bounded_under_another_key(
    parts: Parts, source: Source, rotation: IndexRotation
) -> None:
    crowd = [{"account": {"homePage": "https://ent.example", "name": f"e-{number}"}} for number in range(400)]
    (target,) = send(parts, source, statement(actor={"objectType": "Group", "member": crowd}, verb=PASSED))
    refers = {"objectType": "StatementRef", "id": str(target)}
    (late,) = send(parts, source, statement(actor=BO, object=refers))
    rotation.rotate()
    assert rotation.reindex().finished
    document = parts.store.collection("statements").find_one({"_id": late})
    assert document is not None
    assert [len(each["t"]) for each in document["refs"]] == [MAX_CARRIED]
    assert found(parts, verb=PASSED["id"]) == {target, late}
    first = "account:https://ent.example|e-0"
    assert target in found(parts, agent=first)
