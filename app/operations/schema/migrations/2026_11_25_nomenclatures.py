"""Nomenclatures have a collection of their own, with their history."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.conformance.nomenclature_store import COLLECTIONS


def apply(store: Store) -> None:
    """Create the collection."""
    create(store, COLLECTIONS)
