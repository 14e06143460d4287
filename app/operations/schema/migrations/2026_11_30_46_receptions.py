"""Who received what is kept as long as the data, beyond the age of the audit log (``docs/adr/0045-recipients.md``)."""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.people.access_package import reception_store as receptions
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Create the collections and their indexes."""
    create(store, receptions.COLLECTIONS)
