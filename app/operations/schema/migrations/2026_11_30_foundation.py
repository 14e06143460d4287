"""The collections and indexes of the first release: everything that the catalogue declares.

What a later version adds is a migration of its own, beside this one. On an empty database this one makes that as well,
since it goes by the catalogue of the version that runs; so a later one must do no harm where it finds its work done.
"""

from __future__ import annotations

from app.operations.schema.catalogue import COLLECTIONS
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create every declared collection and index."""
    create(store, COLLECTIONS)
