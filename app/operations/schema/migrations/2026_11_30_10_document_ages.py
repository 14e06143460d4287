"""Documents are kept for as long as the register says: those of a source are found by when they were last written.

Without the index, retention would read every document for every source.
"""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.documents.store import COLLECTIONS


def apply(store: Store) -> None:
    """Create the index."""
    create(store, COLLECTIONS)
