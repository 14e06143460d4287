"""Storage: what each collection takes of MongoDB's disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.operations.schema.catalogue import COLLECTIONS
from app.platform.mongo.connection import Store, translated


class Taken(NamedTuple):
    """Storage of a collection: documents, bytes on disk, bytes of its indexes."""

    name: str
    documents: int
    bytes: int
    index_bytes: int


def storage(store: Store) -> Sequence[Taken]:
    """Every declared collection that is there, the largest first; MongoDB knows these figures without counting."""
    found = []
    with translated():
        present = set(store.db.list_collection_names())
        for name in sorted({each.name for each in COLLECTIONS} & present):
            asked = store.collection(name).aggregate([{"$collStats": {"storageStats": {}}}])
            stats = next(iter(asked), {}).get("storageStats", {})
            figures = (stats.get("count", 0), stats.get("storageSize", 0), stats.get("totalIndexSize", 0))
            found.append(Taken(name, *map(int, figures)))
    return sorted(found, key=lambda each: (-(each.bytes + each.index_bytes), each.name))
