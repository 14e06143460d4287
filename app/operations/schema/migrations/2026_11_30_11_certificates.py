"""What is done on the operator's word is kept with its certificate, in a collection of its own."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.retention.certificate_store import COLLECTIONS


def apply(store: Store) -> None:
    """Create the collection and its indexes."""
    create(store, COLLECTIONS)
