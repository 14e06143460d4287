"""The collections of links of accounts to learners, for a store that was there before."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.people.family import store as family
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create them and their indexes, where they are not."""
    create(store, family.COLLECTIONS)
