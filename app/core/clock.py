"""The clock and the source of randomness: the one place where the product reads them."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, date, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """A clock: microseconds since 1970-01-01T00:00:00Z."""

    def __call__(self) -> int:
        """Read it."""


class Now(Protocol):
    """A clock: the time, aware."""

    def __call__(self) -> datetime:
        """Read it."""


class Today(Protocol):
    """A calendar: the date where the organisation is."""

    def __call__(self) -> date:
        """Read it."""


class SteadyClock(Protocol):
    """A clock that never steps back: seconds, of which only differences mean something."""

    def __call__(self) -> float:
        """Read it."""


class RandomBytes(Protocol):
    """A source of randomness, fit for keys and nonces."""

    def __call__(self, count: int, /) -> bytes:
        """Draw so many bytes."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A day inside the calendar at either end: it can be told in any zone.
_FIRST_US = (datetime(1, 1, 2, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST_US = (datetime(9999, 12, 30, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def moment_of(microseconds: int) -> datetime:
    """The instant of microseconds since 1970 UTC, as far as the calendar goes in every zone."""
    return _EPOCH + timedelta(microseconds=min(max(microseconds, _FIRST_US), _LAST_US))


def now_us() -> int:
    """Microseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000


def now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


def today() -> int:
    """Whole days since 1970-01-01, in UTC."""
    return now_us() // 86_400_000_000


def steady() -> float:
    """Seconds on a clock that never steps back; only differences mean something."""
    return time.monotonic()


def random_bytes(count: int) -> bytes:
    """Random bytes of the operating system, fit for keys and nonces."""
    if count > _KEPT_BYTES // 8:
        return os.urandom(count)
    # A system call lets other threads run first, which costs a request more than all its encryption.
    kept: bytes = getattr(_kept, "bytes", b"")
    if len(kept) < count:
        kept = os.urandom(_KEPT_BYTES)
    # Bytes are given once: what is given is not kept.
    _kept.bytes = kept[count:]
    return kept[:count]


_KEPT_BYTES = 1_024
_kept = threading.local()


def _forget_kept() -> None:
    global _kept
    _kept = threading.local()


os.register_at_fork(after_in_child=_forget_kept)
