"""Amounts counted in memory, to be written together now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Generic, TypeVar

from app.core.errors import SillageError

K = TypeVar("K")
V = TypeVar("V")


class Buffer(Generic[K, V]):
    """Amounts by key that wait to be written. Safe to share between threads."""

    def __init__(self, write: Callable[[Mapping[K, V]], object], together: Callable[[V, V], V]) -> None:
        """``write`` writes amounts; ``together`` makes one of two of a key."""
        self._write = write
        self._together = together
        self._waiting: dict[K, V] = {}
        self._lock = threading.Lock()
        self._flushing = threading.Lock()

    def add(self, amounts: Mapping[K, V]) -> None:
        """Add amounts to those that wait."""
        with self._lock:
            for key, amount in amounts.items():
                known = self._waiting.get(key)
                self._waiting[key] = amount if known is None else self._together(known, amount)

    def flush(self) -> None:
        """Write what waits. What cannot be written now is kept for the next time."""
        # One at a time: when this returns, none of what was added before is still on its way by another thread.
        with self._flushing:
            with self._lock:
                amounts, self._waiting = self._waiting, {}
            if not amounts:
                return
            with suppress(SillageError):
                try:
                    self._write(amounts)
                except BaseException:
                    self.add(amounts)
                    raise
