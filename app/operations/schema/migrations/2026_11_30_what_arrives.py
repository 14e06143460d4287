"""Arrivals of each source by day, and the faults it is told of: vendors see why statements are refused.

Nothing was counted before: the first days of a store that was there already are empty.
"""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.quality.store import COLLECTIONS


def apply(store: Store) -> None:
    """Create both collections."""
    create(store, COLLECTIONS)
