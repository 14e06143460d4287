"""School and day of the event of each statement, by which perimeters limit what is read.

Statements that are there get theirs by the job ``reindex``: bodies are opened for it, which a migration does not do.
"""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.statements import whereabouts_entries
from app.traces.statements.whereabouts_entries import WhereaboutsEntries


def apply(store: Store) -> None:
    """Create the collection, and note that they are to be made if there is a statement without them."""
    create(store, whereabouts_entries.COLLECTIONS)
    WhereaboutsEntries(store).begin()
