"""Group commit: writes of several threads as one. Who comes while one is under way goes with all others in the next.

A durable write costs MongoDB a flush of its journal, whatever it holds, and this process a round trip. Nobody waits for
others to come: a write alone goes at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from app.core.errors import DatabaseUnavailable

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class _Ticket(Generic[Item, Outcome]):
    """An item that waits for its write."""

    __slots__ = ("done", "error", "item", "outcome")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.outcome: Outcome
        self.error: BaseException | None = None
        self.done = False


class GroupCommit(Generic[Item, Outcome]):
    """Group commit: the items of several threads in one write at a time. Made after a fork, never before."""

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Outcome]]) -> None:
        """``write`` stores items, at least one, and gives the outcome of each, in step. What it raises, each raises."""
        self._write = write
        self._turn = threading.Condition(threading.Lock())
        self._waiting: list[_Ticket[Item, Outcome]] = []
        self._writing = False

    def put(self, item: Item) -> Outcome:
        """Write one item, with those of others; its outcome.

        Raises:
            DatabaseUnavailable: the thread that wrote was ended in the midst of it.
        """
        ticket: _Ticket[Item, Outcome] = _Ticket(item)
        with self._turn:
            self._waiting.append(ticket)
            while self._writing and not ticket.done:
                self._turn.wait()
            if not ticket.done:
                self._writing = True
                group, self._waiting = self._waiting, []
        if not ticket.done:
            self._lead(group)
        if ticket.error is not None:
            raise ticket.error
        return ticket.outcome

    def _lead(self, group: list[_Ticket[Item, Outcome]]) -> None:
        error: BaseException | None = DatabaseUnavailable("The write was ended in the midst of it. Send it again.")
        outcomes: Sequence[Outcome] = ()
        try:
            outcomes = self._write([ticket.item for ticket in group])
            error = None
        except Exception as failed:
            error = failed
        finally:
            with self._turn:
                self._writing = False
                for place, ticket in enumerate(group):
                    if error is None:
                        ticket.outcome = outcomes[place]
                    ticket.error = error
                    ticket.done = True
                self._turn.notify_all()
