"""References between statements, linked beside requests: now and then, by each process that serves."""

from __future__ import annotations

from threading import Event

from app.core.clock import SteadyClock
from app.traces.statements.store import Statements

_SECONDS = 5.0
_IN_A_ROW = 20
"""Links that a process makes before it looks after something else."""


class Linking:
    """Links references that are still to be linked. For one thread."""

    def __init__(self, statements: Statements, steady: SteadyClock) -> None:
        self._statements = statements
        self._steady = steady
        self._due = 0.0

    def keep(self, stop: Event) -> None:
        """Link some, if that was long ago or there were more; leaves off once ``stop`` is set."""
        if stop.is_set() or self._steady() < self._due:
            return
        self._due = self._steady() + _SECONDS
        for _ in range(_IN_A_ROW):
            if stop.is_set() or not self._statements.link_some():
                return
        self._due = 0.0
