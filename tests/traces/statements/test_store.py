"""The collection of statements: atomic batches, retries, conflicts, voiding, paging."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from uuid import UUID, uuid4

import pytest

from app.core import clock
from app.core.errors import DatabaseUnavailable
from app.platform.mongo.connection import Store
from app.traces.statements import store as module
from app.traces.statements.store import (
    CHAIN,
    LINKED_AT_ONCE,
    LINKING,
    MAX_CARRIED,
    MIN_CARRIED,
    NAME,
    Clash,
    Filter,
    Foreign,
    Inserted,
    Position,
    Row,
    Statements,
    Voiding,
    beyond,
    query,
    query_through,
)
from tests.sinks import VoidingTokens

VOIDS = b"verb:voided!"
SOURCE = b"source-token"


def row(stored: int, id: UUID | None = None, mark: bytes = b"same", *more: bytes) -> Row:
    return Row(id or uuid4(), stored, "tutor", b"s" * 16, (SOURCE, *more), mark, b"body")


@pytest.fixture
def statements(store: Store) -> Statements:
    return Statements(store, VoidingTokens(VOIDS))


def everything(statements: Statements) -> list[UUID]:
    return [one.id for one in statements.page(Filter(), after=None, ascending=True, limit=10_000).rows]


def test_a_retry_stores_nothing_new(statements: Statements) -> None:
    rows = [row(n) for n in range(5)]
    ids = tuple(one.id for one in rows)
    assert statements.insert(rows) == Inserted(ids, ())
    assert statements.insert(rows) == Inserted((), ids)
    assert everything(statements) == list(ids)


def test_a_batch_partly_known_stores_the_rest(statements: Statements) -> None:
    rows = [row(n) for n in range(6)]
    statements.insert(rows[:3])
    outcome = statements.insert(rows)
    assert outcome == Inserted(tuple(one.id for one in rows[3:]), tuple(one.id for one in rows[:3]))


def test_a_conflict_stores_nothing_of_the_batch(statements: Statements) -> None:
    taken = row(1)
    statements.insert([taken])
    batch = [row(2), taken._replace(stored=3, fingerprint=b"other"), row(4)]
    assert statements.insert(batch) == Clash({taken.id: taken.fingerprint})
    assert everything(statements) == [taken.id]


def test_the_same_batch_from_many_threads_is_stored_once(statements: Statements) -> None:
    rows = [row(n) for n in range(50)]
    outcomes: list[Inserted | Clash] = []

    def send(order: Sequence[Row]) -> None:
        outcomes.append(statements.insert(order))

    threads = [threading.Thread(target=send, args=(rows if n % 2 else rows[::-1],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert sorted(len(one.stored) for one in outcomes if isinstance(one, Inserted)) == [0] * 7 + [50]
    assert sorted(everything(statements)) == sorted(one.id for one in rows)


def voiding(stored: int, target: UUID, source: str | None = "tutor") -> tuple[Row, Voiding]:
    by = row(stored, None, b"void", VOIDS)
    return by, Voiding(by.id, target, source)


def test_voiding_after_its_target(statements: Statements) -> None:
    target = row(1)
    statements.insert([target])
    by, void = voiding(2, target.id)
    statements.insert([by], [void])
    found = statements.get(target.id)
    assert found is not None
    assert found.voided
    assert everything(statements) == [by.id]


def test_voiding_before_its_target(statements: Statements) -> None:
    target = row(2)
    by, void = voiding(1, target.id)
    statements.insert([by], [void])
    assert statements.get(target.id) is None
    assert statements.insert([target]) == Inserted((target.id,), ())
    found = statements.get(target.id)
    assert found is not None
    assert found.voided
    assert statements.insert([target]) == Inserted((), (target.id,))


def test_voiding_and_target_in_one_batch(statements: Statements) -> None:
    target = row(1)
    by, void = voiding(2, target.id)
    statements.insert([target, by], [void])
    assert everything(statements) == [by.id]


def test_a_voiding_statement_cannot_be_voided(statements: Statements) -> None:
    # xAPI-Data 2.3.2
    first, void = voiding(1, uuid4())
    statements.insert([first], [void])
    second, again = voiding(2, first.id)
    statements.insert([second], [again])
    assert everything(statements) == [first.id, second.id]


def test_two_voidings_of_one_unknown_target(statements: Statements) -> None:
    target = uuid4()
    for stored in (1, 2):
        by, void = voiding(stored, target)
        assert statements.insert([by], [void]) == Inserted((by.id,), ())


def test_a_source_cannot_void_another_sources_statement(statements: Statements) -> None:
    target = row(1)
    statements.insert([target])
    by, void = voiding(2, target.id, "other")
    assert statements.insert([row(3), by], [void]) == Foreign((by.id,))
    assert everything(statements) == [target.id]
    by, void = voiding(2, target.id, None)
    assert statements.insert([by], [void]) == Inserted((by.id,), ())
    assert everything(statements) == [by.id]


def test_an_early_voiding_by_another_source_has_no_effect(statements: Statements) -> None:
    target, later = row(3), row(5)
    for stored, source in ((1, "other"), (2, "tutor")):
        by, void = voiding(stored, later.id, source)
        assert statements.insert([by], [void]) == Inserted((by.id,), ())
    by, void = voiding(4, target.id, "other")
    statements.insert([by], [void])
    statements.insert([target, later])
    found = [statements.get(one.id) for one in (target, later)]
    assert [one.voided for one in found if one] == [False, True]


def test_a_voiding_that_comes_between_look_up_and_replacement_counts(
    store: Store, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = row(9)
    by, void = voiding(1, target.id, "other")
    statements.insert([by], [void])
    real = statements._taken

    def late(fingerprints: dict[UUID, bytes]) -> object:
        found = real(fingerprints)
        owner, own = voiding(2, target.id)
        Statements(store, VoidingTokens(VOIDS)).insert([owner], [own])
        monkeypatch.undo()
        return found

    monkeypatch.setattr(statements, "_taken", late)
    statements.insert([target])
    found = statements.get(target.id)
    assert found is not None
    assert found.voided


def test_restamping_moves_a_statement_in_the_order(statements: Statements) -> None:
    rows = [row(n) for n in range(3)]
    statements.insert(rows)
    statements.restamp([rows[0]._replace(stored=9, body=b"later")])
    assert everything(statements) == [rows[1].id, rows[2].id, rows[0].id]
    assert statements.insert([rows[0]]) == Inserted((), (rows[0].id,))


def test_a_restamped_statement_is_found_by_what_its_body_names(statements: Statements, store: Store) -> None:
    sent = row(1, None, b"same", b"agent-erased")
    statements.insert([sent])
    # An erasure redacts it before its writer learns that it was declared dead.
    store.collection("statements").update_one({"_id": sent.id}, {"$set": {"t": [SOURCE], "body": b"redacted"}})
    statements.restamp([sent._replace(stored=9)])
    found = statements.page(Filter(((b"agent-erased",),)), after=None, ascending=True, limit=10).rows
    assert [(each.id, each.body) for each in found] == [(sent.id, b"body")]


def test_target_and_voiding_at_the_same_moment_end_voided(statements: Statements) -> None:
    for turn in range(12):
        target = row(100 + turn * 10)
        by, void = voiding(101 + turn * 10, target.id)
        sends = [
            threading.Thread(target=statements.insert, args=([target],)),
            threading.Thread(target=statements.insert, args=([by], [void])),
        ]
        for send in sends:
            send.start()
        for send in sends:
            send.join()
        found = statements.get(target.id)
        assert found is not None
        assert found.voided


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 9, 200])
def test_pages_visit_each_statement_once_in_order(statements: Statements, ascending: bool, limit: int) -> None:
    # Equal stored on purpose, and more of them than a page holds.
    rows = [row(n // 7) for n in range(60)]
    rows += [referring(n // 7, rows[0].id) for n in range(60, 75)]
    statements.insert(rows)
    seen: list[tuple[int, UUID]] = []
    after, ended = None, False
    while not ended:
        page, ended = statements.page(Filter(((SOURCE,),)), after=after, ascending=ascending, limit=limit)
        assert 0 < len(page) <= limit
        seen += [(one.stored, one.id) for one in page]
        after = beyond(page, after)
    assert sorted(seen) == sorted((one.stored, one.id) for one in rows)
    assert [stored for stored, _ in seen] == sorted((one.stored for one in rows), reverse=not ascending)


def test_a_page_is_cut_at_its_bytes_and_the_next_goes_on(
    statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MongoDB sends 16 MiB at a time: three of these.
    rows = [row(n)._replace(body=bytes(5_000_000)) for n in range(8)]
    rows.append(referring(8, rows[0].id))
    for one in rows:
        statements.insert([one])
    monkeypatch.setattr("app.traces.statements.store.MAX_BYTES", 10_000_000)
    seen, after, ended, pages = [], None, False, 0
    while not ended:
        page, ended = statements.page(Filter(((SOURCE,),)), after=after, ascending=True, limit=100)
        assert len(page) <= 4
        seen += [one.stored for one in page]
        after, pages = beyond(page, after), pages + 1
    assert seen == list(range(9))
    assert pages > 2


def test_since_is_exclusive_and_until_inclusive(statements: Statements) -> None:
    # xAPI-Communication 2.1.3
    rows = [row(n) for n in range(5)]
    statements.insert(rows)
    found = statements.page(Filter((), since=1, until=3), after=None, ascending=True, limit=10).rows
    assert [one.stored for one in found] == [2, 3]


def test_alternatives_give_each_statement_once(statements: Statements) -> None:
    both = row(1, None, b"x", b"agent-direct", b"agent-relatd")
    other = row(2, None, b"x", b"agent-relatd")
    statements.insert([both, other])
    found = statements.page(
        Filter(((b"agent-direct", b"agent-relatd"), (SOURCE,))), after=None, ascending=True, limit=10
    ).rows
    assert [one.id for one in found] == [both.id, other.id]


def test_every_query_is_an_index_scan_in_order(store: Store, statements: Statements) -> None:
    statements.insert([row(n, None, b"x", b"agent-direct") for n in range(50)])
    from app.traces.statements.store import query

    for wanted in (Filter(), Filter(((SOURCE,),)), Filter(((b"agent-direct", b"agent-relatd"), (SOURCE,)), since=3)):
        plan = store.collection("statements").find(query(wanted, Position(5, (uuid4(),)), True)).sort([("stored", 1)])
        stages = str(plan.explain()["queryPlanner"]["winningPlan"])
        assert "COLLSCAN" not in stages
        assert "'stage': 'SORT'" not in stages


def test_a_span_holds_all_of_its_last_stored(statements: Statements) -> None:
    statements.insert([row(n // 7) for n in range(100)])
    seen, after = [], None
    while found := statements.span(after, 12, 10):
        seen += [one.stored for one in found]
        after = found[-1].stored
    assert seen == [n // 7 for n in range(84)]


def test_span_marks_the_voided(statements: Statements) -> None:
    rows = [row(n) for n in range(4)]
    statements.insert(rows)
    by, void = voiding(9, rows[1].id)
    statements.insert([by], [void])
    assert [one.voided for one in statements.span(None, 100, 10)] == [False, True, False, False, False]
    assert [one.stored for one in statements.span(1, 3, 10)] == [2]


def test_rows_come_back_as_they_were_whatever_their_layout(statements: Statements, store: Store) -> None:
    rows = [
        row(1),
        row(2)._replace(source="", body=b""),
        row(3)._replace(source="école", body=bytes(200_000)),
        row(4)._replace(verdict=1, templates=(3, -4), subject=b"\0" * 16),
        row(5)._replace(subject=b"of another length", body=b"\x05body\0\0"),
        row(1 << 62)._replace(tokens=()),
    ]
    statements.insert(rows)
    # Fields in another order, as after a restoration by another tool.
    store.collection("statements").insert_one(
        {"body": b"x", "_id": UUID(int=7), "subject": b"s" * 16, "source": "tutor", "stored": 6}
    )
    read = {one.id: one for one in statements.span(None, (1 << 62) + 1, 100)}
    assert len(read) == 7
    for one in rows:
        assert read[one.id] == (one.id, one.stored, one.source, one.subject, one.body, False)
    assert read[UUID(int=7)] == (UUID(int=7), 6, "tutor", b"s" * 16, b"x", False)
    statements.insert(*[[item] for item in voiding(9, rows[3].id)])
    voided = statements.get(rows[3].id)
    assert voided is not None
    assert (voided.voided, voided.body) == (True, b"body")


def referring(stored: int, target: UUID, id: UUID | None = None, *more: bytes) -> Row:
    return row(stored, id, b"refers", *more)._replace(refers=target)


def found(statements: Statements, *wanted: bytes, mine: bytes | None = None, since: int | None = None) -> list[int]:
    asked = Filter(tuple((token,) for token in wanted), since=since, mine=() if mine is None else (mine,))
    return [one.stored for one in statements.page(asked, after=None, ascending=True, limit=100).rows]


@pytest.mark.parametrize("order", [*permutations(range(4))])
@pytest.mark.parametrize("together", [True, False])
def test_a_chain_of_references_is_found_by_its_end_in_any_order(
    statements: Statements, order: tuple[int, ...], together: bool
) -> None:
    end = row(0, None, b"same", b"agent-of-end", b"verb-of-end")
    first = referring(1, end.id, None, b"verb-of-first")
    second = referring(2, first.id)
    third = referring(3, second.id)
    rows = [(end, first, second, third)[place] for place in order]
    for batch in [rows] if together else [[one] for one in rows]:
        statements.insert(batch)
    assert found(statements, b"agent-of-end") == [0, 1, 2, 3]
    assert found(statements, b"agent-of-end", since=1) == [2, 3]
    # One statement of the chain meets all the conditions.
    assert found(statements, b"agent-of-end", b"verb-of-end") == [0, 1, 2, 3]
    assert found(statements, b"agent-of-end", b"verb-of-first") == []
    assert found(statements, b"verb-of-first") == [1, 2, 3]


def test_references_in_a_circle_end(statements: Statements) -> None:
    one, two = uuid4(), uuid4()
    statements.insert([referring(1, two, one, b"token-of-one")])
    statements.insert([referring(2, one, two, b"token-of-two")])
    itself = uuid4()
    statements.insert([referring(3, itself, itself, b"token-itself")])
    assert found(statements, b"token-of-one") == [1, 2]
    assert found(statements, b"token-of-two") == [1, 2]
    assert found(statements, b"token-itself") == [3]


def test_a_chain_is_followed_twenty_deep(store: Store, statements: Statements) -> None:
    ids = [uuid4() for _ in range(30)]
    statements.insert([row(0, ids[0], b"same", b"agent-of-end")])
    for place in range(1, 30):
        statements.insert([referring(place, ids[place - 1], ids[place])])
    assert found(statements, b"agent-of-end") == list(range(CHAIN + 1))
    assert store.collection(NAME).count_documents({"wait": {"$exists": True}}) == 0


def crowded(stored: int, id: UUID, refers: UUID | None, count: int) -> Row:
    """A statement that names very many."""
    tokens = (f"{stored}-{number}".encode() for number in range(count))
    return row(stored, id, b"same", *tokens)._replace(refers=refers)


def carried_by(store: Store, id: UUID) -> list[tuple[UUID, list[bytes]]]:
    document = store.collection(NAME).find_one({"_id": id})
    assert document is not None
    return [(each["i"], each["t"]) for each in document.get("refs", [])]


def test_behind_a_chain_of_crowded_statements_only_the_nearest_is_carried(store: Store, statements: Statements) -> None:
    ids = [uuid4() for _ in range(CHAIN + 1)]
    for place, id in enumerate(ids):
        statements.insert([crowded(place, id, ids[place - 1] if place else None, 2_000)])
    late = referring(100, ids[-1])
    before = entries(store)
    statements.insert([late])
    # It is 200 bytes long, and cost 40,000 entries of the index.
    assert entries(store) - before == MAX_CARRIED
    ((nearest, tokens),) = carried_by(store, late.id)
    assert nearest == ids[-1]
    assert tokens == [SOURCE, *(f"{CHAIN}-{number}".encode() for number in range(MAX_CARRIED - 1))]
    (size,) = store.collection(NAME).aggregate(
        [{"$match": {"_id": late.id}}, {"$project": {"bytes": {"$bsonSize": "$$ROOT"}}}]
    )
    assert size["bytes"] < 25 * MAX_CARRIED + 500
    assert found(statements, f"{CHAIN}-0".encode(), SOURCE) == [CHAIN, 100]
    assert found(statements, f"{CHAIN}-1999".encode()) == [CHAIN]


def entries(store: Store) -> int:
    """Entries of the index of what is carried."""
    (counted,) = store.collection(NAME).aggregate(
        [
            {"$match": {"refs": {"$exists": True}}},
            {"$project": {"n": {"$sum": {"$map": {"input": "$refs", "in": {"$size": "$$this.t"}}}}}},
            {"$group": {"_id": None, "n": {"$sum": "$n"}}},
        ]
    )
    return int(counted["n"])


def test_twenty_ordinary_statements_are_carried_whole(store: Store, statements: Statements) -> None:
    ids = [uuid4() for _ in range(CHAIN)]
    for place, id in enumerate(ids):
        statements.insert([crowded(place, id, ids[place - 1] if place else None, 11)])
    late = referring(100, ids[-1])
    statements.insert([late])
    assert [(id, len(tokens)) for id, tokens in carried_by(store, late.id)] == [(i, 12) for i in ids[::-1]]
    assert found(statements, b"0-10") == [*range(CHAIN), 100]


def test_where_what_is_carried_ends_a_statement_is_carried_in_part_and_those_behind_it_not(
    store: Store, statements: Statements
) -> None:
    ids = [uuid4() for _ in range(3)]
    statements.insert([crowded(0, ids[0], None, 5), crowded(1, ids[1], ids[0], 300), crowded(2, ids[2], ids[1], 9)])
    late = referring(100, ids[2])
    statements.insert([late])
    assert [(id, len(tokens)) for id, tokens in carried_by(store, late.id)] == [
        (ids[2], 10),
        (ids[1], MAX_CARRIED - 10),
    ]


@pytest.mark.parametrize(("count", "each"), [(4, MAX_CARRIED), (10, 200), (300, MIN_CARRIED)])
def test_many_that_refer_at_once_share_what_one_transaction_can_hold(
    store: Store, statements: Statements, monkeypatch: pytest.MonkeyPatch, count: int, each: int
) -> None:
    # With 256 for each of a thousand, MongoDB refused some: the transaction did not fit into its cache.
    monkeypatch.setattr(module, "CARRIED_AT_ONCE", 2_000)
    target = crowded(0, uuid4(), None, 2_000)
    statements.insert([target])
    batch = [referring(1 + place, target.id) for place in range(count)]
    statements.insert(batch)
    assert entries(store) == count * each
    assert {len(tokens) for one in batch for _, tokens in carried_by(store, one.id)} == {each}


def test_what_comes_late_is_carried_within_the_same_bounds(store: Store, statements: Statements) -> None:
    target = uuid4()
    waiting = [referring(place, target) for place in range(5)]
    for each in waiting:
        statements.insert([each])
    statements.insert([crowded(10, target, None, 2_000)])
    assert [len(tokens) for each in waiting for _, tokens in carried_by(store, each.id)] == [MAX_CARRIED] * 5


def test_a_statement_comes_after_all_that_referred_to_it_was_deleted(store: Store, statements: Statements) -> None:
    target = row(2)
    early = referring(1, target.id)
    statements.insert([early])
    store.collection(NAME).delete_one({"_id": early.id})  # as retention does
    assert statements.insert([target]) == Inserted((target.id,), ())
    assert everything(statements) == [target.id]


def test_singles_at_once_are_each_stored_repeated_or_refused(statements: Statements) -> None:
    there = row(1)
    statements.insert([there])
    fresh = [row(n) for n in range(2, 30)]
    sends = [*fresh, there, there._replace(fingerprint=b"other")]
    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(lambda one: statements.insert([one]), sends))
    assert outcomes[:-2] == [Inserted((one.id,), ()) for one in fresh]
    assert outcomes[-2:] == [Inserted((), (there.id,)), Clash({there.id: there.fingerprint})]
    assert sorted(everything(statements)) == sorted(one.id for one in (there, *fresh))


def test_many_refer_at_once_to_what_is_not_there(statements: Statements) -> None:
    target = row(99, None, b"same", b"agent-target")
    comments = [referring(n, target.id) for n in range(16)]
    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(lambda one: statements.insert([one]), comments))
    assert outcomes == [Inserted((one.id,), ()) for one in comments]
    statements.insert([target])
    assert found(statements, b"agent-target") == [*range(16), 99]


@pytest.mark.parametrize("early", [True, False])
def test_a_voiding_statement_is_found_by_the_statement_that_it_voids(statements: Statements, early: bool) -> None:
    target = row(1, None, b"same", b"agent-target")
    by = row(2, None, b"void", VOIDS)._replace(refers=target.id)
    sends = [([target], []), ([by], [Voiding(by.id, target.id, "tutor")])]
    for rows, voidings in reversed(sends) if early else sends:
        statements.insert(rows, voidings)
    assert found(statements, b"agent-target") == [2]
    late = referring(3, target.id)
    statements.insert([late])
    assert found(statements, b"agent-target") == [2, 3]


def test_a_reference_does_not_hide_that_an_early_voiding_waits(statements: Statements) -> None:
    target = row(9, None, b"same", b"agent-target")
    statements.insert([referring(1, target.id)])
    by, void = voiding(2, target.id)
    statements.insert([by], [void])
    statements.insert([target])
    there = statements.get(target.id)
    assert there is not None
    assert there.voided
    assert found(statements, b"agent-target") == [1]


def test_a_source_finds_its_own_references_to_its_own_statements(statements: Statements) -> None:
    other = b"other-source"
    theirs = Row(uuid4(), 1, "other", b"s" * 16, (other, b"agent-target"), b"same", b"body")
    statements.insert([theirs, referring(2, theirs.id)])
    assert found(statements, b"agent-target") == [1, 2]
    assert found(statements, b"agent-target", mine=SOURCE) == []
    assert found(statements, b"agent-target", mine=other) == [1]


def test_references_stored_at_the_same_moment_as_their_targets_are_linked(statements: Statements) -> None:
    for turn in range(12):
        token = b"agent-" + str(turn).encode()
        end = row(1, None, b"same", token)
        first = referring(2, end.id)
        second = referring(3, first.id)
        sends = [threading.Thread(target=statements.insert, args=([one],)) for one in (second, first, end)]
        for send in sends:
            send.start()
        for send in sends:
            send.join()
        assert found(statements, token) == [1, 2, 3]


def test_a_query_by_tokens_reads_its_indexes_in_order(store: Store, statements: Statements) -> None:
    statements.insert([row(n, None, b"same", b"agent-target") for n in range(200)])
    statements.insert([referring(200, statements.page(Filter(), after=None, ascending=True, limit=1).rows[0].id)])
    for agents in ((b"agent-target",), (b"agent-target", b"agent-relatd")):
        for after in (None, Position(150, (uuid4(),))):
            wanted = Filter((agents, (SOURCE,)), since=3)
            for asked in (query, query_through):
                cursor = store.collection(NAME).find(asked(wanted, after, False)).sort([("stored", -1)])
                plan = str(cursor.limit(10).explain()["queryPlanner"]["winningPlan"])
                assert asked is query or "'referred'" in plan
                assert "'stage': 'SORT'" not in plan
                assert "COLLSCAN" not in plan


@pytest.mark.parametrize("ascending", [True, False])
def test_one_answer_holds_what_two_queries_find(
    statements: Statements, ascending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, target = b"agent-target", uuid4()
    statements.insert([row(n, target if n == 20 else None, b"same", token) for n in range(5, 40, 3)])
    # Among them in time; every other one has the token itself too, and is found in both ways.
    for n in range(6, 30, 4):
        own = (token,) if n % 8 else ()
        statements.insert([referring(n, target)._replace(tokens=(SOURCE, *own))])

    def pages() -> list[list[UUID]]:
        given, after = [], None
        while True:
            found = statements.page(Filter(((token,),)), after=after, ascending=ascending, limit=4)
            given.append([one.id for one in found.rows])
            if found.ended:
                return given
            after = beyond(found.rows, after)

    together = pages()
    monkeypatch.setattr(module, "first_batch", lambda *_: None)
    assert together == pages()
    assert len({id for page in together for id in page}) == sum(map(len, together)) == 18


def link_all(statements: Statements) -> int:
    steps = 0
    while statements.link_some():
        steps += 1
        assert steps < 10_000
    return steps


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two referrers are the most that one transaction links."""
    monkeypatch.setattr(module, "LINKED_AT_ONCE", 2)


def test_thousands_that_wait_for_a_statement_do_not_keep_it_from_being_stored(
    store: Store, statements: Statements
) -> None:
    target = row(99_999, None, b"same", b"agent-target")
    statements.insert([referring(0, target.id)])
    count = 3 * LINKED_AT_ONCE
    waiting = [{**module._document(referring(n, target.id))} for n in range(1, count)]
    store.collection(NAME).insert_many(waiting)  # as if each had come by itself: the placeholder is there
    assert statements.insert([target]) == Inserted((target.id,), ())
    linked = {"refs.i": target.id}
    assert store.collection(NAME).count_documents(linked) == 0
    assert link_all(statements) == 4
    assert store.collection(NAME).count_documents(linked) == count
    assert store.collection(LINKING).count_documents({}) == 0


@pytest.mark.usefixtures("few")
def test_chains_to_what_many_wait_for_are_linked_up_to_their_beginning(statements: Statements, store: Store) -> None:
    target = row(99, None, b"same", b"agent-target")
    direct = [referring(n, target.id) for n in range(5)]
    above = [referring(10 + n, direct[2].id) for n in range(5)]
    top = [referring(20 + n, above[n].id) for n in range(5)]
    for one in (*top, *above, *direct):
        statements.insert([one])
        link_all(statements)
    statements.insert([target, referring(30, target.id)])
    late = referring(31, target.id)
    statements.insert([late])
    assert found(statements, b"agent-target") == [30, 31, 99]
    link_all(statements)
    assert found(statements, b"agent-target") == [*range(5), *range(10, 15), *range(20, 25), 30, 31, 99]
    assert store.collection(LINKING).count_documents({}) == 0


@pytest.mark.usefixtures("few")
def test_another_process_goes_on_linking_where_one_died(
    store: Store, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = row(99, None, b"same", b"agent-target")
    for n in range(7):
        statements.insert([referring(n, target.id)])
    statements.insert([target])
    assert statements.link_some()

    def died(*_: object) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(statements, "_link", died)
        with pytest.raises(DatabaseUnavailable):
            statements.link_some()
    other = Statements(store, VoidingTokens(VOIDS))
    assert not other.link_some()
    assert len(found(statements, b"agent-target")) == 3
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(seconds=40))
    assert link_all(other) == 3
    assert found(other, b"agent-target") == [*range(7), 99]


@pytest.mark.usefixtures("few")
def test_a_circle_that_many_wait_for_ends(statements: Statements) -> None:
    one, two = uuid4(), uuid4()
    for n in range(5):
        statements.insert([referring(n, one)])
    statements.insert([referring(10, one, two, b"token-of-two")])
    statements.insert([referring(11, two, one, b"token-of-one")])
    link_all(statements)
    assert found(statements, b"token-of-one") == found(statements, b"token-of-two") == [*range(5), 10, 11]


@pytest.mark.usefixtures("few")
def test_linking_goes_on_while_what_the_chains_lead_to_comes(statements: Statements, store: Store) -> None:
    for turn in range(6):
        token = b"agent-" + str(turn).encode()
        end = row(90, None, b"same", token)
        middle = referring(80, end.id)
        waiting = [referring(n, middle.id) for n in range(9)]
        for one in waiting:
            statements.insert([one])
        statements.insert([middle])
        others = [Statements(store, VoidingTokens(VOIDS)) for _ in range(2)]
        sends = [threading.Thread(target=link_all, args=(each,)) for each in others]
        sends += [threading.Thread(target=statements.insert, args=([one],)) for one in (end, referring(50, middle.id))]
        for send in sends:
            send.start()
        for send in sends:
            send.join()
        link_all(statements)
        assert found(statements, token) == [*range(9), 50, 80, 90]
