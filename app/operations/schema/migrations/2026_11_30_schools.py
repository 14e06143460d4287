"""The collections of the directory of schools, for a store that was there before."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.schools import store as schools


def apply(store: Store) -> None:
    """Create them and their indexes, where they are not."""
    create(store, schools.COLLECTIONS)
