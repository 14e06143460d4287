"""Consistent-Through and the access epoch, between several processes' presences."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from app.core import clock
from app.core.errors import ClockOff, DatabaseUnavailable
from app.platform.cluster.low_watermark import Observer
from app.platform.cluster.membership import Lapsed, Presence
from app.platform.cluster.processes import next_epoch, notes
from app.platform.mongo.connection import Store
from app.traces.statements.store import Inserted, Row, Statements
from tests.sinks import VoidingTokens

INTERVAL = 0.05
TTL = 1.0


@contextmanager
def present(store: Store) -> Iterator[Presence]:
    presence = Presence(store, interval=INTERVAL, ttl=TTL)
    presence.start()
    try:
        yield presence
    finally:
        presence.close()


def beats(count: int = 4) -> None:
    time.sleep(count * INTERVAL)


def observer(store: Store) -> Observer:
    return Observer(store, interval=INTERVAL, ttl=TTL)


def test_the_bound_follows_the_clock_when_nothing_is_written(store: Store) -> None:
    with present(store) as one:
        before = one.consistent_through()
        beats()
        assert before < one.consistent_through() <= clock.now_us()


def test_what_a_process_notes_is_known_while_it_lives(store: Store) -> None:
    with present(store) as one, present(store):
        one.note("spool", {"chain": "a", "since": None})
        beats()
        assert notes(store, "spool", TTL) == [{"chain": "a", "since": None}]
        # Held for dead, and back.
        store.collection("processes").delete_many({"spool": {"$exists": True}})
        beats(8)
        assert notes(store, "spool", TTL) == [{"chain": "a", "since": None}]
        assert notes(store, "other", TTL) == []
    assert notes(store, "spool", TTL) == []
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    store.collection("processes").insert_one({"_id": "silent", "spool": {"chain": "b"}, "at": long_ago})
    assert notes(store, "spool", TTL) == []


def test_a_write_under_way_holds_every_bound_back(store: Store) -> None:
    with present(store) as one, present(store) as other:
        with one.writing(3) as writing:
            beats()
            assert one.consistent_through() <= writing.first
            assert other.consistent_through() <= writing.first
            assert observer(store).consistent_through() <= writing.first
        beats()
        assert other.consistent_through() > writing.first + 2


def test_stamps_never_repeat_nor_go_back_with_the_clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with present(store) as one:
        with one.writing(10) as first:
            pass
        shift(monkeypatch, -50)
        with one.writing(1) as second:
            pass
        assert second.first >= first.first + 10


def test_a_process_started_with_a_clock_behind_stamps_above_every_bound_given(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with present(store) as one:
        beats()
        shift(monkeypatch, -50)
        with present(store) as late:
            given = one.consistent_through()
            with late.writing(1) as writing:
                assert writing.first >= given


def test_a_clock_that_steps_back_holds_nobody_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with present(store) as other:
        ahead = clock.now_us() + 50_000_000
        with monkeypatch.context() as patch:
            patch.setattr(clock, "now_us", lambda: ahead)
            beats()
            with present(store) as one, one.writing(5) as writing:
                pass
        # The clock of this process is behind what was stamped: its low watermark follows all the same.
        assert writing.first >= ahead
        for _ in range(100):
            if other.consistent_through() >= writing.first + 5:
                break
            beats(1)
        assert other.consistent_through() >= writing.first + 5


# --- a clock that is off (ADR 0046) -----------------------------------------------------------------


def shift(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Step the clock of this process."""
    right = clock.now_us
    patch.setattr(clock, "now_us", lambda: right() + round(seconds * 1_000_000))


def low_watermark(store: Store, presence: Presence) -> int:
    return int(observer(store).read()[0][presence._name]["floor"])


@pytest.mark.parametrize("hours", [48, -48])
def test_a_process_whose_clock_is_off_does_not_start(store: Store, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    shift(monkeypatch, 3_600 * hours)
    with pytest.raises(ClockOff, match=f"{'ahead of' if hours > 0 else 'behind'} MongoDB"), present(store):
        pass
    assert not store.collection("processes").count_documents({"beat": {"$exists": True}})


@pytest.mark.parametrize("hours", [48, -48])
def test_a_clock_stepped_while_it_serves_gives_no_stamp_and_moves_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    one = Presence(store, interval=INTERVAL, ttl=TTL)
    one.start()
    one._stop.set()  # it speaks only when it finds cause to
    beats()
    with present(store) as other:
        with monkeypatch.context() as patch:
            # Of both: in one process there is one clock. Between two beats of the first, which asks before it refuses.
            shift(patch, 3_600 * hours)
            with pytest.raises(ClockOff), one.writing(1):
                pass
            with pytest.raises(ClockOff):
                one.require_right_clock()
            beats(6)
            # Low watermarks go on by MongoDB's time.
            held = low_watermark(store, other)
            beats(6)
            assert held < low_watermark(store, other)
        now = clock.now_us()
        assert all(abs(int(entry["floor"]) - now) < 30_000_000 for entry in observer(store).read()[0].values())
        for presence in (one, other):
            with presence.writing(1) as writing:
                assert abs(writing.first - clock.now_us()) < 30_000_000
    one.close()


def test_a_clock_that_is_known_to_be_off_costs_no_question_for_each_refusal(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Presence(store, interval=INTERVAL, ttl=TTL)
    one.start()
    one._stop.set()
    beats()
    shift(monkeypatch, 3_600)
    asked: list[None] = []
    speak = one._speak
    monkeypatch.setattr(one, "_speak", lambda: (asked.append(None), speak()))
    for _ in range(20):
        with pytest.raises(ClockOff):
            one.require_right_clock()
    # More than once only where this took so long that it has to say again that it lives.
    assert len(asked) < 10
    one.close()


def test_how_far_a_clock_is_off_is_measured_within_a_second(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.require_right_clock()
    assert abs(store.clock.offset_seconds()) < 1
    shift(monkeypatch, 40)
    assert 38 < store.clock.offset_seconds() <= 40.1
    store.require_right_clock()


def test_a_beat_tells_the_clock_without_a_question_of_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with present(store):
        hello = store._hello
        monkeypatch.setattr(store, "_hello", lambda: pytest.fail("asked"))
        heard = store.clock._heard
        beats(6)
        assert store.clock._heard is not None and heard is not None
        assert store.clock._heard.asked > heard.asked
        monkeypatch.setattr(store, "_hello", hello)


def test_a_write_of_unknown_outcome_holds_the_bound_for_a_while(store: Store) -> None:
    with present(store) as one:
        with pytest.raises(DatabaseUnavailable), one.writing(1) as writing:
            raise DatabaseUnavailable
        beats()
        assert one.consistent_through() <= writing.first
        time.sleep(TTL)
        beats()
        assert one.consistent_through() > writing.first


def test_a_write_of_unknown_outcome_holds_the_bound_until_mongodb_was_heard_of_again(store: Store) -> None:
    one = Presence(store, interval=INTERVAL, ttl=TTL)
    one.start()
    one._stop.set()  # from here on it speaks only when the test says so
    beats()
    with pytest.raises(DatabaseUnavailable), one.writing(1) as writing:
        raise DatabaseUnavailable
    time.sleep(TTL + 2 * INTERVAL)  # as long as MongoDB was away
    one._speak()
    assert one.consistent_through() <= writing.first
    one._speak()
    assert one.consistent_through() <= writing.first
    time.sleep(TTL + INTERVAL)
    one._speak()
    assert one.consistent_through() > writing.first
    one.close()


def test_a_silent_process_that_nobody_removed_has_not_lapsed(store: Store) -> None:
    one = Presence(store, interval=INTERVAL, ttl=TTL)
    one.start()
    one._stop.set()
    with one.writing(1) as writing:
        time.sleep(TTL)
        assert not one.fresh()
        assert not writing.lapsed()
        assert one.fresh()
    one.close()


def test_a_process_that_speaks_just_before_it_is_removed_keeps_its_low_watermark(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Presence(store, interval=INTERVAL, ttl=TTL)
    one.start()
    one._stop.set()
    watching = observer(store)
    steady = clock.steady()
    for _ in range(40):  # silence counts by two intervals at most for each look
        steady += 10 * INTERVAL
        monkeypatch.setattr(clock, "steady", lambda now=steady: now)
        if watching._silence.get(one._name, 0.0) + 2 * INTERVAL > TTL:
            break
        watching.read()
    find = type(watching._collection).find

    def find_then_it_speaks(collection: Any, *arguments: Any) -> Any:
        found = list(find(collection, *arguments))
        store.collection("processes").update_one({"_id": one._name}, {"$inc": {"beat": 1}})
        return found

    with monkeypatch.context() as patched:
        patched.setattr(type(watching._collection), "find", find_then_it_speaks)
        entries, _ = watching.read()
    assert one._name in entries
    assert one._name in watching.read()[0]
    one.close()


def test_a_dead_process_is_noticed_and_then_waited_for_no_more(store: Store) -> None:
    with present(store) as living:
        dead = Presence(store, interval=INTERVAL, ttl=TTL)
        dead.start()
        dead._stop.set()
        beats()
        held = living.consistent_through()
        time.sleep(TTL + 6 * INTERVAL)
        assert living.consistent_through() > held
        # It finds out, registers again, and starts above what was promised meanwhile.
        promised = living.consistent_through()
        with dead.writing(1) as writing:
            assert writing.first >= promised
        dead.close()


def test_one_held_for_dead_registers_again_and_its_stamps_have_lapsed(store: Store) -> None:
    with present(store) as one, one.writing(1) as writing:
        assert not writing.lapsed()
        store.collection("processes").delete_many({"beat": {"$exists": True}})
        beats(8)
        assert writing.lapsed()


@contextmanager
def silent(store: Store) -> Iterator[Presence]:
    """A process that has stopped speaking; by and by others hold it for dead."""
    presence = Presence(store, interval=INTERVAL, ttl=TTL)
    presence.start()
    presence._stop.set()
    yield presence


def rows_of(first: int, count: int) -> list[Row]:
    return [Row(uuid4(), first + place, "tutor", b"s" * 16, (), b"print", b"body") for place in range(count)]


@pytest.mark.parametrize("count", [1, 3])
def test_one_held_for_dead_can_store_nothing_any_more(store: Store, count: int) -> None:
    statements = Statements(store, VoidingTokens())
    with present(store), silent(store) as one, one.writing(count) as writing:
        time.sleep(TTL + 6 * INTERVAL)
        with pytest.raises(Lapsed):
            statements.insert(rows_of(writing.first, count), writing=writing)
    assert not store.collection("statements").count_documents({})


def test_one_about_to_commit_is_not_removed_before_it_has(store: Store) -> None:
    with silent(store) as one, present(store) as other, one.writing(1) as writing:
        with store.transaction() as session:
            store.collection("statements").insert_one({"_id": 1, "stored": writing.first}, session=session)
            writing.fence(session)
            time.sleep(TTL + 10 * INTERVAL)
            assert other.consistent_through() <= writing.first
        time.sleep(8 * INTERVAL)
        assert other.consistent_through() > writing.first
        assert not writing.lapsed()


def test_writers_beyond_the_fences_share_them(store: Store) -> None:
    statements = Statements(store, VoidingTokens())
    one = Presence(store, interval=INTERVAL, ttl=TTL, writers=1)
    one.start()
    with one.writing(2) as first, one.writing(2) as second:
        assert isinstance(statements.insert(rows_of(first.first, 2), writing=first), Inserted)
        assert isinstance(statements.insert(rows_of(second.first, 2), writing=second), Inserted)
    one.close()
    assert not store.collection("fences").count_documents({})
    assert not store.collection("processes").count_documents({"beat": {"$exists": True}})


def test_one_that_was_silent_trusts_its_caches_only_once_it_has_heard(store: Store) -> None:
    trusted: list[bool] = []
    presence = Presence(store, interval=INTERVAL, ttl=TTL, on_epoch=lambda: trusted.append(presence.fresh()))
    presence.start()
    presence._stop.set()
    beats()
    time.sleep(TTL)
    next_epoch(store)
    trusted.clear()
    presence._speak()
    assert trusted == [False]
    assert presence.fresh()
    presence.close()


def test_without_processes_the_bound_is_just_above_the_last_statement(store: Store) -> None:
    store.collection("statements").insert_one({"_id": "x", "stored": 41})
    assert observer(store).consistent_through() == 42


def test_an_epoch_is_noticed_by_all_before_the_wait_ends(store: Store) -> None:
    noticed: list[str] = []
    presences = []
    for name in ("a", "b"):
        presence = Presence(store, interval=INTERVAL, ttl=TTL, on_epoch=lambda name=name: noticed.append(name))
        presence.start()
        presences.append(presence)
    noticed.clear()
    assert observer(store).wait_for_epoch(next_epoch(store))
    assert sorted(noticed) == ["a", "b"]
    for presence in presences:
        presence.close()


# --- who destroys a key -----------------------------------------------------------------------------


def test_whoever_has_noticed_an_epoch_has_said_its_last_stamp_of_before(store: Store) -> None:
    with present(store) as one, present(store):
        ahead = clock.now_us() + 60_000_000
        one._raise_to(ahead)
        with one.writing(5) as writing:
            epoch = next_epoch(store)
            assert observer(store).wait_for_epoch(epoch)
            assert observer(store).highest() >= writing.first + 4 > ahead


def test_a_low_watermark_is_waited_for_until_the_write_under_way_has_ended(store: Store) -> None:
    with present(store) as one:
        with one.writing(1) as writing:
            beats()
            assert not observer(store).wait_for_low_watermark(writing.first)
        assert observer(store).wait_for_low_watermark(writing.first)
    assert observer(store).wait_for_low_watermark(1 << 62), "nobody is there to write"


def test_without_anybody_the_highest_is_what_is_stored(store: Store) -> None:
    assert observer(store).highest() == 0
    store.collection("statements").insert_one({"_id": uuid4(), "stored": 77})
    assert observer(store).highest() == 77
