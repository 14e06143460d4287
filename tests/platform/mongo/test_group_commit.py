"""Threads share writes, and each gets its own outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.core.errors import DatabaseUnavailable
from app.platform.mongo.group_commit import GroupCommit


def test_a_write_alone_goes_at_once() -> None:
    groups: list[list[int]] = []

    def write(items: Sequence[int]) -> list[int]:
        groups.append([*items])
        return [item * 2 for item in items]

    assert GroupCommit(write).put(4) == 8
    assert groups == [[4]]


def test_those_who_come_meanwhile_go_together_and_get_their_own() -> None:
    first, go = threading.Event(), threading.Event()
    groups: list[list[int]] = []

    def write(items: Sequence[int]) -> list[int]:
        groups.append([*items])
        first.set()
        assert go.wait(10)
        return [item * 2 for item in items]

    shared = GroupCommit(write)
    with ThreadPoolExecutor(20) as threads:
        leader = threads.submit(shared.put, 0)
        assert first.wait(10)
        others = [threads.submit(shared.put, item) for item in range(1, 20)]
        while len(shared._waiting) < 19:
            pass
        go.set()
        assert [one.result(10) for one in (leader, *others)] == [item * 2 for item in range(20)]
    assert [len(group) for group in groups] == [1, 19]


def test_a_failure_is_everybodys_and_the_next_write_goes_on() -> None:
    fail = True

    def write(items: Sequence[int]) -> Sequence[int]:
        if fail:
            raise DatabaseUnavailable
        return items

    shared = GroupCommit(write)
    with ThreadPoolExecutor(8) as threads:
        sent = [threads.submit(shared.put, item) for item in range(8)]
        assert all(isinstance(one.exception(10), DatabaseUnavailable) for one in sent)
    fail = False
    assert shared.put(3) == 3


def test_one_that_is_ended_in_the_midst_leaves_nobody_waiting() -> None:
    def write(items: Sequence[int]) -> Sequence[int]:
        raise SystemExit

    shared = GroupCommit(write)
    with pytest.raises(SystemExit):
        shared.put(1)
    with pytest.raises(SystemExit):
        shared.put(2)


def test_many_threads_with_many_writes_each_get_their_own_and_share_them() -> None:
    groups: list[int] = []

    def write(items: Sequence[int]) -> list[int]:
        groups.append(len(items))
        time.sleep(0.0005)
        return [item * 2 for item in items]

    shared = GroupCommit(write)

    def put(number: int) -> bool:
        return all(shared.put(number * 1_000 + place) == (number * 1_000 + place) * 2 for place in range(100))

    with ThreadPoolExecutor(8) as threads:
        sent = [threads.submit(put, number) for number in range(8)]
        assert all(one.result(30) for one in sent)
    assert sum(groups) == 800
    assert len(groups) < 400
