"""Accounts that have ended: durations may run from there (GDPR art. 5(1)(e))."""

from __future__ import annotations

from app.platform.mongo.connection import Store
from app.retention import closed_account_store as accounts
from app.storage.migrations import create


def apply(store: Store) -> None:
    """Create the collection and its index."""
    create(store, accounts.COLLECTIONS)
