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
        self._mark = object()
        self._known: tuple[object, Value] | None = None

    def get(self) -> Value:
        """The value."""
        known, mark = self._known, self._mark
        # What was read before it changed has an older mark, and is no answer to who asks after that.
        if known is None or known[0] is not mark:
            self._known = known = (mark, self._read())
        return known[1]

    def forget(self) -> None:
        """Read it again the next time; what is being read now is not remembered."""
        self._mark = object()
