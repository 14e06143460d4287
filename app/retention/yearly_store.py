"""Retention by year: ``retention_years``. The audit log, which says it run by run, is kept for less.

Document::

    _id         int    year, where the controller is
    first       date   the first run of that year; ``last``: the last one
    last        date
    runs        int64  how many runs came to their end
    statements  int64  deleted
    documents   int64  deleted

Numbers alone. What a process was deleting when it was killed is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Document, Store, translated

NAME = "retention_years"
COLLECTIONS = (Declared(NAME, Impersonal("numbers of statements and documents, by year")),)


class RetentionYear(NamedTuple):
    """Counts of a year's retention; see the module's text."""

    year: int
    first: datetime
    last: datetime
    runs: int
    statements: int
    documents: int


class RetentionYears:
    """Counts, and reads."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def deleted(self, year: int, at: datetime, statements: int, documents: int) -> None:
        """Add what was deleted."""
        self._add(year, at, {"statements": statements, "documents": documents})

    def ran(self, year: int, at: datetime) -> None:
        """A run came to its end."""
        self._add(year, at, {"runs": 1})

    def read(self) -> Sequence[RetentionYear]:
        """Every year, the oldest first."""
        with translated():
            return [
                RetentionYear(
                    int(one["_id"]),
                    one["first"],
                    one["last"],
                    *(int(one.get(name, 0)) for name in ("runs", "statements", "documents")),
                )
                for one in self._collection.find({}).sort("_id", 1)
            ]

    def _add(self, year: int, at: datetime, counts: Document) -> None:
        change = {"$min": {"first": at}, "$max": {"last": at}, "$inc": counts}
        with translated():
            self._collection.update_one({"_id": year}, change, upsert=True)
