"""Learners get new keys in the background: how far this has come is noted."""

from __future__ import annotations

from app.keys import rekeying
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create the collection."""
    create(store, rekeying.COLLECTIONS)
