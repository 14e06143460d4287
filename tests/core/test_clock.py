"""Randomness is given once: to one thread, in one process; instants are told in every zone."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from app.core.clock import moment_of, random_bytes


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


@pytest.mark.parametrize("zone", ["America/Guadeloupe", "Europe/Paris", "Pacific/Kiritimati"])
def test_an_instant_at_the_ends_of_the_calendar_is_told_in_every_zone(zone: str) -> None:
    assert moment_of(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert moment_of(-1_000_000).year == 1969
    for microseconds, year in (
        (-(10**18), 1),
        (-62_135_596_800_000_000, 1),
        (253_402_300_799_999_999, 9999),
        (10**18, 9999),
    ):
        assert moment_of(microseconds).astimezone(ZoneInfo(zone)).year == year
