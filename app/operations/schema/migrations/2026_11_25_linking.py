"""What many wait for is linked some at a time: it is noted, and its referrers are read in the order of their ids."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.statements.store import COLLECTIONS, NAME


def apply(store: Store) -> None:
    """Create the collection and the index, and drop the index without the order."""
    create(store, COLLECTIONS)
    collection = store.collection(NAME)
    if "references" in {index["name"] for index in collection.list_indexes()}:
        collection.drop_index("references")
