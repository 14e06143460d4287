"""Turns to leave of workers that take much memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from app.core import clock
from app.web import memory
from app.web.memory import MIB, Ceiling, Turn


def ceiling(taken: list[int], turn: Callable[[float], bool] = lambda _: True, most: int = 100) -> Ceiling:
    return Ceiling(most, turn, measure=lambda: taken[0], give_back=lambda: None)


def looks(one: Ceiling, taken: list[int], *sizes: int) -> list[int | None]:
    now = clock.steady() + 100
    found = []
    for second, size in enumerate(sizes):
        taken[0] = size
        found.append(one.passed(now + 2 * second))
    return found


def test_it_is_above_at_two_looks() -> None:
    taken = [0]
    assert looks(ceiling(taken), taken, 150, 90, 150, 160) == [None, None, None, 160]


def test_none_is_none() -> None:
    taken = [0]
    assert looks(ceiling(taken, most=0), taken, 1 << 50, 1 << 50) == [None, None]


def test_a_young_worker_stays() -> None:
    taken = [150]
    one = ceiling(taken)
    now = clock.steady()
    assert [one.passed(now + second) for second in (2.0, 4.0, 8.0)] == [None, None, None]
    assert one.passed(now + 12.0) == 150


def test_it_waits_for_its_turn_unless_it_is_far_above() -> None:
    taken = [0]
    assert looks(ceiling(taken, lambda _: False), taken, 150, 150, 150, 201) == [None, None, None, 201]


def test_looks_are_a_second_apart() -> None:
    count = [0]

    def measure() -> int:
        count[0] += 1
        return 0

    one = Ceiling(100, lambda _: True, measure=measure, give_back=lambda: None)
    now = clock.steady() + 100
    for step in range(1_000):
        one.passed(now + step / 1_000)
    assert count[0] == 1


def test_what_is_free_is_given_back_when_it_is_worth_it() -> None:
    taken, given = [0], []

    def less() -> None:
        given.append(taken[0] // MIB)
        taken[0] -= 50 * MIB

    # Above 120 MiB only until it is given back.
    one = Ceiling(120 * MIB, lambda _: True, measure=lambda: taken[0], give_back=less)
    now = clock.steady() + 100
    for second, size, left, so_far in (
        (0, 100, 100, []),
        (2, 160, 160, []),
        (4, 166, 116, [166]),
        (6, 119, 119, [166]),
        (20, 200, 150, [166, 200]),
        # Worth it, and too soon.
        (22, 119, 119, [166, 200]),
        (24, 190, 190, [166, 200]),
    ):
        taken[0] = size * MIB
        assert one.passed(now + second) is None
        assert (taken[0] // MIB, given) == (left, so_far)


def test_what_was_in_use_when_it_was_to_be_given_back_is_given_back_later() -> None:
    free, given = [0], []

    def less() -> None:
        given.append(second)
        taken[0] -= free[0]

    taken = [100 * MIB]
    one = Ceiling(0, lambda _: True, measure=lambda: taken[0], give_back=less)
    now = clock.steady() + 100
    for second in range(0, 40, 2):
        if second == 2:
            taken[0] = 260 * MIB  # of a request that is served
        if second == 20:
            free[0], taken[0] = 160 * MIB, 260 * MIB  # it has ended
        one.passed(now + second)
    assert given == [2, 8, 14, 20]
    assert taken[0] == 100 * MIB


def test_what_the_c_library_keeps_goes_back_to_the_system() -> None:
    if memory.resident() == 0:
        pytest.skip("the system does not tell what a process takes")
    code = """
import sys
from app.web.memory import MIB, give_back, resident
texts = [bytes(60_000) for _ in range(4_000)]
last = bytes(60_000)
del texts
kept = resident()
give_back()
sys.exit(not kept - resident() > 150 * MIB)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_worker_of_a_server_leaves_at_a_time() -> None:
    turn = Turn()
    read, write = os.pipe()
    hold, let = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"y" if turn(100.0) else b"n")
        os.read(hold, 1)
        os._exit(0)
    assert os.read(read, 1) == b"y"
    assert not turn(200.0)
    os.write(let, b"x")
    os.waitpid(child, 0)
    # It has gone, and another one gets time to come.
    assert not turn(102.0)
    assert turn(106.0)


def test_what_is_taken_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.default_max_bytes(10_000) == memory.MIN_MIB * MIB
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory.MIN_MIB * MIB <= memory.default_max_bytes(1) <= max(machine // 2, memory.MIN_MIB * MIB)
    assert 10 * MIB < memory.resident() < 4_000 * MIB
