"""The collections of accounts and sessions, for a store that was there before."""

from __future__ import annotations

from app.access.users import store as users
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create them and their indexes, where they are not."""
    create(store, users.COLLECTIONS)
