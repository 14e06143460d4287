"""Requests of persons as cases, found by what is due and by whose they are (GDPR art. 12(3))."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.people.requests import store as cases
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create the collection and its indexes."""
    create(store, cases.COLLECTIONS)
