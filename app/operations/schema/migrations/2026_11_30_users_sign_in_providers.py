"""The collection of sign-ins by a provider that are under way, for a store that was there before."""

from __future__ import annotations

from app.access.sign_in import store as sign_in
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create it and its index, where it is not."""
    create(store, sign_in.COLLECTIONS)
