"""The clock and the source of randomness: the one place where the product reads them."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime


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
