"""What is known of activities has a collection of its own, for the Activities resource and canonical statements."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.statements.activity_store import COLLECTIONS


def apply(store: Store) -> None:
    """Create the collection."""
    create(store, COLLECTIONS)
