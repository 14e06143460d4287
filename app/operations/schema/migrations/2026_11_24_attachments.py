"""The data of attachments have collections of their own: they are large, and few statements have any."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.statements.attachment_store import COLLECTIONS


def apply(store: Store) -> None:
    """Create the collections and their indexes."""
    create(store, COLLECTIONS)
