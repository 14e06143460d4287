"""The audit log is listed in the order of (time, place): its indexes take in the place, so that a page ends exactly."""

from __future__ import annotations

from app.governance.audit.store import COLLECTIONS, NAME
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create the indexes by time and place, and drop those by time alone."""
    create(store, COLLECTIONS)
    collection = store.collection(NAME)
    present = {index["name"] for index in collection.list_indexes()}
    for name in sorted(present & {"at", "kind_at"}):
        collection.drop_index(name)
