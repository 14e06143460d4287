"""Counters of refusals, as those who refuse see them."""

from __future__ import annotations

from typing import Protocol


class RefusalCounter(Protocol):
    """Counts refusals."""

    def refused(self, outcome: str, statements: int) -> None:
        """Statements of a batch that was not stored."""
