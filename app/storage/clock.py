"""The clock and the source of randomness: the one place where the product reads them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime


def now_us() -> int:
    """Microseconds since 1970-01-01T00:00:00Z."""
    return time.time_ns() // 1_000


def now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


def steady() -> float:
    """Seconds on a clock that never steps back; only differences mean something."""
    return time.monotonic()


def random_bytes(count: int) -> bytes:
    """Random bytes of the operating system, fit for keys and nonces."""
    return os.urandom(count)
