"""The home page of the accounts that replace addresses is kept, whatever public URL a process has later."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.conformance import pseudonym_home_store as pseudonym_home


def apply(store: Store) -> None:
    """Create the collection; the first process that serves, or needs it, notes its public URL."""
    create(store, pseudonym_home.COLLECTIONS)
