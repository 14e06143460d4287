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

    __slots__ = ("called", "done", "error", "item", "outcome")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.outcome: Outcome
        self.error: BaseException | None = None
        self.done = False
        self.called = threading.Lock()
        self.called.acquire()


class GroupCommit(Generic[Item, Outcome]):
    """Group commit: the items of several threads in one write at a time. Made after a fork, never before."""

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Outcome]]) -> None:
        """``write`` stores items, at least one, and gives the outcome of each, in step. What it raises, each raises."""
        self._write = write
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[Item, Outcome]] = []
        self._writing = False

    def put(self, item: Item) -> Outcome:
        """Write one item, with those of others; its outcome.

        Raises:
            DatabaseUnavailable: the thread that wrote was ended in the midst of it.
        """
        ticket: _Ticket[Item, Outcome] = _Ticket(item)
        with self._lock:
            self._waiting.append(ticket)
            leads, self._writing = not self._writing, True
        if not leads:
            # Called once: with the outcome, or to write for all who wait. A condition that all wait for would wake each
            # at the end of every write.
            ticket.called.acquire()
        if not ticket.done:
            self._lead()
        if ticket.error is not None:
            raise ticket.error
        return ticket.outcome

    def _lead(self) -> None:
        with self._lock:
            group, self._waiting = self._waiting, []
        error: BaseException | None = DatabaseUnavailable("The write was ended in the midst of it. Send it again.")
        outcomes: Sequence[Outcome] = ()
        try:
            outcomes = self._write([ticket.item for ticket in group])
            error = None
        except Exception as failed:
            error = failed
        finally:
            with self._lock:
                called = [*group, *self._waiting[:1]]
                self._writing = bool(self._waiting)
            for place, ticket in enumerate(group):
                if error is None:
                    ticket.outcome = outcomes[place]
                ticket.error = error
                ticket.done = True
            # The next to write first: the others have only to answer.
            for ticket in reversed(called):
                ticket.called.release()
