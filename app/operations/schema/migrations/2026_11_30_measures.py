"""When the last backup was made, and what is overdue by the last count, stand in a collection of their own."""

from __future__ import annotations

from app.operations import measures
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create the collection."""
    create(store, measures.COLLECTIONS)
