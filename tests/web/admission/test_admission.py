"""Admission: threads, waiting, refusal."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Overloaded, TooManyRequests
from app.web.admission.admission import OPERATIONS_THREADS, PRESENT_SECONDS, SPARE_THREADS, Admission, Admitted, Limits
from app.web.admission.request_head import Asking, Kind

LIMITS = Limits(threads=4, body_bytes=1_000, max_body_bytes=400, waiting=6, seconds=5.0)


def ask(source: str, size: int = 10, kind: Kind = Kind.WRITE) -> Asking:
    return Asking(kind, source.encode() or None, size)


class Worker:
    """An ``Admission`` that knows its sources, and what became of each request."""

    def __init__(self, *sources: str, **limits: float) -> None:
        self.admission: Admission[str] = Admission(LIMITS._replace(**limits))  # type: ignore[arg-type]
        for source in sources:
            self.admission.learn(source.encode(), source)
        self.served: list[Admitted[str]] = []
        self.refused: dict[str, str] = {}
        self.now = 0.0

    def asks(self, name: str, source: str, size: int = 10, kind: Kind = Kind.WRITE) -> None:
        started, shed = self.admission.arrive(name, ask(source, size, kind), self.now)
        self.served += started
        self.refused |= {each.item: each.reason for each in shed}

    def answers(self, name: str) -> None:
        (one,) = [each for each in self.served if each.item == name]
        self.served.remove(one)
        self.served += self.admission.leave(one)

    def waits(self, seconds: float) -> None:
        self.now += seconds
        self.refused |= {each.item: each.reason for each in self.admission.sweep(self.now)}

    @property
    def names(self) -> list[str]:
        return [each.item for each in self.served]


def test_a_source_alone_may_hold_every_thread_and_as_many_as_may_wait() -> None:
    worker = Worker("a")
    for n in range(12):
        worker.asks(f"a{n}", "a")
    assert worker.names == ["a0", "a1", "a2", "a3"]
    assert worker.refused == {"a10": "waiting", "a11": "waiting"}


def test_a_thread_that_is_free_goes_to_the_source_that_holds_least() -> None:
    worker = Worker("a", "b", "c")
    for n in range(8):
        worker.asks(f"a{n}", "a")
    worker.asks("c0", "c")
    worker.asks("b0", "b")
    # The spare one: whoever holds nothing need not wait for those that hold much.
    assert worker.names[4:] == ["c0"]
    worker.answers("a0")
    assert worker.names[-1] == "b0"


def test_two_sources_that_both_wait_come_to_hold_the_same() -> None:
    worker = Worker("a", "b", waiting=100)
    for n in range(30):
        worker.asks(f"a{n}", "a")
    for n in range(10):
        worker.asks(f"b{n}", "b")
    for _ in range(8):
        worker.answers(worker.names[0])
    held = Counter(name[0] for name in worker.names)
    assert abs(held["a"] - held["b"]) <= 1


def test_a_large_body_weighs_as_much_as_many_threads() -> None:
    worker = Worker("big", "small")
    worker.asks("big0", "big", 400)
    for n in range(3):
        worker.asks(f"small{n}", "small", 1)
    worker.asks("big1", "big", 400)
    worker.asks("small3", "small", 1)
    worker.answers("small0")
    # Four tenths of the bytes against two of four threads.
    assert worker.names[-1] == "big1"


def test_bodies_wait_for_room_and_smaller_ones_do_not_pass_them_for_ever() -> None:
    worker = Worker("a", "b", "c", "d")
    for n in range(2):
        worker.asks(f"a{n}", "a", 400)
    worker.asks("a2", "a", 400)
    worker.asks("b0", "b", 100)
    assert worker.names == ["a0", "a1", "b0"]
    worker.asks("c0", "c", 300)  # in the spare thread, where there is room for one body
    assert worker.names == ["a0", "a1", "b0", "c0"]
    worker.asks("d0", "d", 300)
    worker.asks("b1", "b", 50)
    assert "b1" not in worker.names
    worker.answers("a0")
    assert worker.names[2:] == ["c0", "d0", "b1"]


def test_reads_do_not_wait_for_room() -> None:
    worker = Worker("a")
    worker.asks("a0", "a", 400)
    worker.asks("a1", "a", 400)
    worker.asks("a2", "a", 400)
    worker.asks("read", "a", 0, Kind.READ)
    assert worker.names == ["a0", "a1", "read"]


def test_a_body_larger_than_all_the_room_is_taken_alone() -> None:
    worker = Worker("a", max_body_bytes=5_000)
    worker.asks("huge0", "a", 5_000)
    worker.asks("huge1", "a", 5_000)
    assert worker.names == ["huge0"]
    worker.answers("huge0")
    assert worker.names == ["huge1"]


def test_reads_of_a_source_do_not_wait_for_all_of_its_writes() -> None:
    worker = Worker("a")
    for n in range(10):
        worker.asks(f"a{n}", "a")
    worker.asks("read", "a", 0, Kind.READ)
    worker.answers("a0")
    assert worker.names[-1] == "read"
    assert not worker.refused


def test_health_checks_have_threads_of_their_own() -> None:
    worker = Worker("a")
    for n in range(10):
        worker.asks(f"a{n}", "a")
    for n in range(OPERATIONS_THREADS + 1):
        worker.asks(f"health{n}", "", 0, Kind.OPERATIONS)
    assert worker.names[4:] == [f"health{n}" for n in range(OPERATIONS_THREADS)]
    worker.answers("health0")
    assert worker.names[-1] == f"health{OPERATIONS_THREADS}"


def test_when_too_many_wait_the_source_with_most_of_them_loses_one() -> None:
    worker = Worker("noisy", "quiet")
    for n in range(10):
        worker.asks(f"noisy{n}", "noisy")
    for n in range(3):  # the first is served at once
        worker.asks(f"quiet{n}", "quiet")
    assert worker.refused == {"noisy9": "source", "noisy8": "source"}
    worker.asks("noisy10", "noisy")
    assert worker.refused["noisy10"] == "source"


def test_the_errors_say_whose_fault_it_is_and_when_to_come_back() -> None:
    worker = Worker("a", "b")
    for n in range(10):
        worker.asks(f"a{n}", "a")
    _, (alone,) = worker.admission.arrive("a10", ask("a"), worker.now)
    worker.asks("b0", "b")
    _, (among,) = worker.admission.arrive("a11", ask("a"), worker.now)
    assert type(alone.error) is Overloaded and type(among.error) is TooManyRequests
    assert alone.error.retry_after and among.error.retry_after


def test_strangers_share_one_place_and_are_told_503() -> None:
    worker = Worker("known")
    for n in range(10):
        worker.asks(f"x{n}", f"unheard-of-{n}")
    worker.asks("known0", "known")
    assert worker.names[-1] == "known0"
    worker.asks("x10", "unheard-of-10")
    assert set(worker.refused.values()) == {"waiting"}


def test_a_stranger_loses_nothing_to_one_who_is_known_and_holds_more() -> None:
    worker = Worker("noisy")
    for n in range(20):
        worker.asks(f"noisy{n}", "noisy")
        if n == 15:
            worker.asks("x0", "unheard-of")
            worker.asks("x1", "unheard-of")
    assert worker.names[-1] == "x0"
    assert worker.refused.keys() == {f"noisy{n}" for n in range(9, 20)}
    # It does when it shares its place with many: they could all be one.
    for n in range(12):
        worker.asks(f"y{n}", f"other-{n}")
    worker.asks("x2", "unheard-of")
    assert worker.refused["x2"] == "waiting"


def test_who_is_served_makes_the_next_one_known() -> None:
    worker = Worker()
    worker.asks("first", "secret")
    worker.served[0].learn("a")
    worker.answers("first")
    worker.asks("second", "secret")
    assert worker.served[0].holding.key == "a"


def test_nobody_waits_too_long() -> None:
    worker = Worker("a")
    for n in range(6):
        worker.asks(f"a{n}", "a", kind=Kind.READ if n == 5 else Kind.WRITE)
    worker.waits(4.9)
    assert not worker.refused
    worker.waits(0.5)
    assert worker.refused == {"a4": "time", "a5": "time"}
    worker.answers("a0")
    assert worker.names == ["a1", "a2", "a3"]


def test_a_body_that_turns_out_longer_takes_the_room_there_is() -> None:
    worker = Worker("a")
    for n in range(3):
        worker.asks(f"a{n}", "a", 100)
    worker.served[0].hold(800)
    with pytest.raises(Overloaded) as refused:
        worker.served[1].hold(101)
    assert refused.value.retry_after
    worker.answers("a0")
    worker.served[0].hold(900)


def test_a_longer_body_alone_takes_more_than_the_room() -> None:
    worker = Worker("a")
    worker.asks("a0", "a", 100)
    worker.served[0].hold(5_000)
    worker.answers("a0")
    worker.asks("a1", "a", 400)
    worker.asks("a2", "a", 400)
    assert worker.names == ["a1", "a2"]


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("ask"),
            st.sampled_from("abc?"),
            st.integers(0, 600),
            st.sampled_from([Kind.READ, Kind.WRITE, Kind.WRITE, Kind.OPERATIONS]),
        ),
        st.tuples(st.just("answer"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.sampled_from([0.01, PRESENT_SECONDS, 3.0])),
    ),
    max_size=120,
)


@given(STEPS)
def test_limits_hold_and_nobody_is_forgotten(steps: list[tuple[object, ...]]) -> None:
    worker = Worker("a", "b", "c")
    asked: set[str] = set()
    ended: set[str] = set()
    for step in steps:
        match step:
            case ("ask", str(source), int(size), Kind() as kind):
                name = f"{source}{len(asked)}"
                asked.add(name)
                worker.asks(name, source, 0 if kind is not Kind.WRITE else size, kind)
            case ("answer", int(place)) if worker.served:
                name = worker.names[place % len(worker.served)]
                ended.add(name)
                worker.answers(name)
            case ("wait", float(seconds)):
                worker.waits(seconds)
        ordinary = [each for each in worker.served if each.kind is not Kind.OPERATIONS]
        spare = [each for each in ordinary if each.spare]
        assert len(spare) <= SPARE_THREADS
        assert len(ordinary) - len(spare) <= LIMITS.threads
        assert len(worker.served) - len(ordinary) <= OPERATIONS_THREADS
        assert sum(each.bytes for each in ordinary if not each.spare) <= LIMITS.body_bytes
        waiting = asked - ended - set(worker.names) - worker.refused.keys()
        assert len(waiting) == 0 or len(worker.served) > 0, "nothing waits while nothing is served"
    while worker.served:
        ended.add(worker.names[0])
        worker.answers(worker.names[0])
    assert ended | worker.refused.keys() == asked
    assert not ended & worker.refused.keys()
