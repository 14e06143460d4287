"""The collection of messages on their way by e-mail, for a store that was there before."""

from __future__ import annotations

from app.mail import outbox_store
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create it and its indexes, where they are not."""
    create(store, outbox_store.COLLECTIONS)
