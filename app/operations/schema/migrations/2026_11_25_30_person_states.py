"""Who is restricted and who objects to what (GDPR art. 18, 21)."""

from __future__ import annotations

from app.access.restrictions import store as person_states
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create the collection."""
    create(store, person_states.COLLECTIONS)
