"""The documents of State, Activity Profile and Agent Profile have a collection of their own."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.documents.store import COLLECTIONS


def apply(store: Store) -> None:
    """Create the collection and its index."""
    create(store, COLLECTIONS)
