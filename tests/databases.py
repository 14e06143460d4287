"""Databases for tests: made once, with every collection and index, and emptied after each test.

To make one takes a fifth of a second, to drop it a tenth; to empty it a hundredth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from pymongo import MongoClient

from app.operations.schema.migrations import NOTES, migrate, names
from app.platform.mongo.connection import Store

_Layout = dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]
_FILLED: list[dict[str, Any]] = [{"$collStats": {"count": {}}}, {"$match": {"count": {"$gt": 0}}}]


class Databases:
    """The databases of one test process; ``close`` lets go of the connection."""

    def __init__(self, uri: str) -> None:
        self._client: MongoClient[dict[str, Any]] = Store.open(uri, "admin", timeout_seconds=20).client
        self._free: list[str] = []
        self._layout: _Layout = {}

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The name of a database that is as ``sillage migrate`` leaves it; emptied afterwards, or dropped."""
        name = self._free.pop() if self._free else self._made()
        yield name
        if self._emptied(Store(self._client, name)):
            self._free.append(name)
        else:
            self._client.drop_database(name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _made(self) -> str:
        name = f"sillage_t{uuid4().hex[:12]}"
        store = Store(self._client, name)
        migrate(store)
        self._layout = self._layout or _layout(store)
        return name

    def _emptied(self, store: Store) -> bool:
        """True if it could be made as it was: a test may have dropped an index, or a note of a migration."""
        applied = sorted(note["_id"] for note in store.db[NOTES].find({}, {"_id": 1}))
        found = _layout(store)
        if applied != names() or {name: found.get(name) for name in self._layout} != self._layout:
            return False
        for name in found.keys() - self._layout.keys():
            store.db.drop_collection(name)
        # In one question, what there is to empty: most of them are as they were.
        others = [{"$unionWith": {"coll": name, "pipeline": _FILLED}} for name in self._layout if name != NOTES]
        for found in list(store.db[NOTES].aggregate([*_FILLED, *others])):
            name = str(found["ns"]).partition(".")[2]
            if name != NOTES:
                # As durable as any write here: the next test reads what the majority has.
                store.collection(name).delete_many({})
        return True


def _layout(store: Store) -> _Layout:
    """Options and indexes of each collection."""
    catalog = store.client["admin"].aggregate([{"$listCatalog": {}}, {"$match": {"db": store.db.name}}])
    return {
        each["name"]: (
            {name: value for name, value in each["md"]["options"].items() if name != "uuid"},
            sorted((index["spec"] for index in each["md"]["indexes"]), key=lambda spec: str(spec["name"])),
        )
        for each in catalog
    }
