"""The stored statements and what opens them, each made when it is first asked for."""

from __future__ import annotations

from typing import Protocol

from app.crypto.bodies import Bodies
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Statements


class StatementStock(Protocol):
    """Statements for those who need them late, or not always: looking opens no key."""

    @property
    def statements(self) -> Statements:
        """The stored statements."""

    @property
    def bodies(self) -> Bodies:
        """Seals and opens them."""

    @property
    def reader(self) -> StatementReader:
        """Reads them, opened."""
