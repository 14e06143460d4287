"""Values that cost a look, remembered until somebody says that they have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """A value that is read when first asked for, and again once forgotten. Safe to share between threads."""

    def __init__(self, read: Callable[[], Value]) -> None:
        """``read`` is called without a lock; what it gives is the same object for all who ask until ``forget``."""
        self._read = read
        self._known: tuple[Value] | None = None
        self._forgotten = 0

    def get(self) -> Value:
        """The value."""
        known = self._known
        if known is None:
            forgotten = self._forgotten
            known = (self._read(),)
            # What was read before it changed is no answer to who asks after that.
            if forgotten == self._forgotten:
                self._known = known
        return known[0]

    def forget(self) -> None:
        """Read it again the next time; what is being read now is not remembered."""
        self._forgotten += 1
        self._known = None
