"""Learners' keys are found by the version that wraps them, and processes say which versions they hold.

Without the index, knowing whether a version may be destroyed would read every learner's key.
"""

from __future__ import annotations

from app.keys import holders as key_holders
from app.keys import learners as subjects
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create the index and the collection."""
    create(store, (*subjects.COLLECTIONS, *key_holders.COLLECTIONS))
