"""The first collections and indexes: nothing stood before, so everything declared is created."""

from __future__ import annotations

from app.operations.schema.catalogue import COLLECTIONS
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create every declared collection and index."""
    create(store, COLLECTIONS)
