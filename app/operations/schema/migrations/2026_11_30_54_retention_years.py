"""What retention deleted is counted by year: the audit log does not reach back a year when the report is written."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.retention import yearly_store


def apply(store: Store) -> None:
    """Create the collection."""
    create(store, yearly_store.COLLECTIONS)
