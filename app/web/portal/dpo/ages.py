"""Statements by age, which cost much to count: once for the page and both of its files, for all who look at them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from app.core import clock
from app.retention.service import Retention

KEPT_SECONDS: Final = 300.0


class Counted(NamedTuple):
    """A count of statements by age.

    Attributes:
        at: Its instant, microseconds since 1970 UTC.
        ages: As of ``Retention.ages``.
    """

    at: int
    ages: Mapping[str, Sequence[int]]


class Ages:
    """Counts at most every ``KEPT_SECONDS``. Safe to share between threads."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._lock = threading.Lock()
        self._kept: tuple[tuple[int, ...], Counted, float] | None = None

    def of(self, edges: Sequence[int]) -> Counted:
        """The count of the last minutes between these ages, as of ``Retention.ages``."""
        wanted = tuple(edges)
        with self._lock:
            if self._kept is None or self._kept[0] != wanted or clock.steady() >= self._kept[2]:
                now = clock.now_us()
                counted = Counted(now, self._retention.ages(now, wanted))
                self._kept = wanted, counted, clock.steady() + KEPT_SECONDS
            return self._kept[1]
