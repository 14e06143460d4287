"""Statements move to a newer format of bodies in the background: how far this has come is noted."""

from __future__ import annotations

from app.operations.rotation import resealing
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create the collection."""
    create(store, resealing.COLLECTIONS)
