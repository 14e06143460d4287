"""Threads that wait for what is handed over and for kept descriptors: whoever is free takes it, and nothing is lost."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from app.serve.serving_threads import ServingThreads


def until(holds: Callable[[], object], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def readable(descriptor: int, seconds: float = 0.0) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])


class Crew:
    """Threads, and what they were told; those of ``held`` items wait until ``gate`` opens."""

    def __init__(self, size: int) -> None:
        self.served: list[str] = []
        self.resumed: list[tuple[int, str]] = []
        self.inside = 0
        self.gate = threading.Event()
        self._lock = threading.Lock()
        self.threads: ServingThreads[str] = ServingThreads(size, self._serve, self._resume)

    def _serve(self, item: str) -> None:
        if item == "held":
            with self._lock:
                self.inside += 1
            self.gate.wait(10)
        with self._lock:
            self.served.append(item)

    def _resume(self, descriptor: int) -> str | None:
        self.resumed.append((descriptor, threading.current_thread().name))
        return f"of {descriptor}"


def serving() -> int:
    return sum(thread.name.startswith("serving-") for thread in threading.enumerate())


def ended(crew: Crew) -> None:
    crew.threads.shutdown()
    until(lambda: not serving())


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew(3)
    yield made
    made.gate.set()
    ended(made)


def test_all_that_is_handed_over_is_served_by_no_more_threads_than_there_are(crew: Crew) -> None:
    for _ in range(10):
        crew.threads.submit("held")
    until(lambda: crew.inside == 3)
    time.sleep(0.05)
    assert crew.inside == 3
    crew.gate.set()
    until(lambda: len(crew.served) == 10)


def test_what_is_handed_over_by_many_at_once_is_served_once_each(crew: Crew) -> None:
    def hand(number: int) -> None:
        for place in range(200):
            crew.threads.submit(f"{number}-{place}")

    handing = [threading.Thread(target=hand, args=(number,)) for number in range(4)]
    for thread in handing:
        thread.start()
    for thread in handing:
        thread.join()
    until(lambda: len(crew.served) == 800)
    assert len(set(crew.served)) == 800


def test_a_kept_descriptor_is_told_of_once_to_a_thread_that_is_free(crew: Crew) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        crew.threads.submit("first")
        until(lambda: crew.served == ["first"])
        crew.threads.keep(ours.fileno(), again=False)
        theirs.send(b"x")
        until(lambda: len(crew.served) == 2)
        time.sleep(0.05)
        assert [descriptor for descriptor, _ in crew.resumed] == [ours.fileno()]
        assert crew.resumed[0][1].startswith("serving-")
        # It was not read, so there is something still.
        crew.threads.keep(ours.fileno(), again=True)
        until(lambda: len(crew.served) == 3)


def test_the_event_loop_is_asked_only_while_every_thread_is_at_work(crew: Crew) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(3):
            crew.threads.submit("held")
        until(lambda: crew.inside == 3)
        crew.threads.keep(ours.fileno(), again=False)
        assert not readable(crew.threads.fileno())
        theirs.send(b"x")
        assert readable(crew.threads.fileno(), 1.0)
        crew.threads.resume_all()
        assert crew.resumed == [(ours.fileno(), "MainThread")]
        crew.gate.set()
        until(lambda: f"of {ours.fileno()}" in crew.served)
        # One of them waits again.
        until(lambda: not readable(crew.threads.fileno()))
        crew.threads.keep(ours.fileno(), again=True)
        until(lambda: len(crew.resumed) == 2)
        assert crew.resumed[1][1].startswith("serving-")


def test_many_kept_descriptors_at_once_wake_whoever_is_needed(crew: Crew) -> None:
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(20)]
        for ours, theirs in pairs:
            stack.enter_context(ours)
            stack.enter_context(theirs)
            crew.threads.keep(ours.fileno(), again=False)
        for _, theirs in pairs:
            theirs.send(b"x")
        # Nobody was started yet: it is for the event loop.
        assert readable(crew.threads.fileno(), 1.0)
        crew.threads.resume_all()
        until(lambda: len(crew.served) == 20)
        for turn in range(50):
            for ours, _ in pairs:
                crew.threads.keep(ours.fileno(), again=True)
            until(lambda turn=turn: len(crew.served) == 20 * (turn + 2))  # type: ignore[misc]


def test_threads_that_wait_end_at_once_and_those_at_work_once_they_are_done() -> None:
    crew = Crew(4)
    crew.threads.submit("held")
    for number in range(3):
        crew.threads.submit(str(number))
    until(lambda: crew.inside == 1 and len(crew.served) == 3)
    crew.threads.shutdown()
    until(lambda: serving() == 1)
    assert len(crew.served) == 3
    crew.gate.set()
    until(lambda: not serving())
    assert sorted(crew.served) == ["0", "1", "2", "held"]
