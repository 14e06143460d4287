"""The indexes of statements without ``_id``, and compressed: a statement takes half the disk, and fewer bytes to write.

Sixteen random bytes in each of some eight entries a statement were most of what the store kept. Statements of one
``stored`` have no order among themselves any more: whoever pages says which of them it has seen
(docs/adr/0022-order-without-ids.md). The collection itself is compressed more only where it is made anew.
"""

from __future__ import annotations

from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.statements.store import COLLECTIONS, NAME


def apply(store: Store) -> None:
    """Put the new indexes in the place of the old ones."""
    statements = store.collection(NAME)
    present = statements.index_information()
    for name in ("order", "tokens", "referred"):
        if any(key == "_id" for key, _ in present.get(name, {}).get("key", ())):
            statements.drop_index(name)
    create(store, COLLECTIONS)
