"""A filter that a statement meets finds those that refer to it: two indexes that hold the referring ones only.

Statements stored before this migration have no ``ref``: what they refer to is not looked into.
"""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.statements.store import COLLECTIONS


def apply(store: Store) -> None:
    """Create the indexes."""
    create(store, COLLECTIONS)
