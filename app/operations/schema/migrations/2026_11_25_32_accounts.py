"""Accounts that have ended: durations may run from there (GDPR art. 5(1)(e))."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.retention import closed_account_store as accounts


def apply(store: Store) -> None:
    """Create the collection and its index."""
    create(store, accounts.COLLECTIONS)
