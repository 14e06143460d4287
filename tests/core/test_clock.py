"""Randomness is given once: to one thread, in one process."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

from app.core.clock import random_bytes


def _drawn(count: int) -> list[bytes]:
    return [random_bytes(12) for _ in range(count)]


def test_random_bytes_are_as_many_as_asked_and_never_the_same() -> None:
    assert [len(random_bytes(count)) for count in (0, 1, 32, 127, 129, 5_000)] == [0, 1, 32, 127, 129, 5_000]
    with ThreadPoolExecutor(8) as threads:
        drawn = [each for given in threads.map(_drawn, [2_000] * 8) for each in given]
    assert len(set(drawn)) == len(drawn) == 16_000


def test_a_forked_process_gives_others_than_its_parent() -> None:
    random_bytes(1)
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as processes:
        drawn = [each for given in processes.map(_drawn, [20, 20]) for each in given]
    drawn += _drawn(20)
    assert len(set(drawn)) == 60
