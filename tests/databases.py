"""Databases for tests: made once, with every collection and index, and emptied after each test.

To make one takes a quarter of a second, to drop it a tenth; to empty it a fiftieth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from app.operations.schema.migrations import NOTES, migrate, names
from app.platform.mongo.connection import Store

_Layout = dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]


class Databases:
    """The databases of one test process."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._free: list[str] = []
        self._layout: _Layout = {}

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The name of a database that is as ``sillage migrate`` leaves it; emptied afterwards, or dropped."""
        name = self._free.pop() if self._free else self._made()
        yield name
        store = Store.open(self._uri, name, timeout_seconds=20)
        try:
            if self._emptied(store):
                self._free.append(name)
            else:
                store.client.drop_database(name)
        finally:
            store.close()

    def _made(self) -> str:
        name = f"sillage_t{uuid4().hex[:12]}"
        store = Store.open(self._uri, name, timeout_seconds=20)
        try:
            migrate(store)
            self._layout = self._layout or _layout(store)
        finally:
            store.close()
        return name

    def _emptied(self, store: Store) -> bool:
        """True if it could be made as it was: a test may have dropped an index, or a note of a migration."""
        applied = sorted(note["_id"] for note in store.db[NOTES].find({}, {"_id": 1}))
        if applied != names() or _layout(store) != self._layout:
            return False
        for name in self._layout.keys() - {NOTES}:
            # As durable as any write here: the next test reads what the majority has.
            store.collection(name).delete_many({})
        return True


def _layout(store: Store) -> _Layout:
    """Options and indexes of each collection."""
    return {
        each["name"]: (each["options"], sorted(store.db[each["name"]].list_indexes(), key=lambda index: index["name"]))
        for each in store.db.list_collections()
    }
