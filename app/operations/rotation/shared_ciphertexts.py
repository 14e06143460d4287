"""Values encrypted with the documents key, in every collection: looked through, and encrypted anew where each is as it
was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pymongo import UpdateOne

from app.operations.rotation.pages import unchanged, up_to
from app.operations.schema.catalogue import COLLECTIONS
from app.platform.mongo.connection import Store, translated


class Kind(NamedTuple):
    """Values of one kind.

    Attributes:
        collection: Where they are.
        fields: Of each document there, the sealed ones.
        place: From a document's ``_id`` and a field to what the value is bound to.
        asked: Which documents have such values.
    """

    collection: str
    fields: tuple[str, ...]
    place: Callable[[Any, str], str]
    asked: Mapping[str, Any]


KINDS = tuple(
    Kind(declared.name, *declared.under_documents_key)
    for declared in COLLECTIONS
    if declared.under_documents_key is not None
)
"""Everything, but for cursors, which nobody keeps: a test seals one of each, and looks for others."""


class Row(NamedTuple):
    """The sealed values of one document, by field."""

    id: object
    values: dict[str, bytes]


class Change(NamedTuple):
    """Sealed values as they were read, and as they are to be."""

    row: Row
    after: dict[str, bytes]


class SharedCiphertexts:
    """Reads and writes these values, by the page."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def total(self) -> int:
        """About how many documents there are to look through, at once."""
        with translated():
            return sum(self._store.collection(kind.collection).estimated_document_count() for kind in KINDS)

    def page(self, kind: Kind, after: object | None, limit: int) -> list[Row]:
        """The next documents of a kind, in the order of their ids."""
        asked = kind.asked if after is None else {**kind.asked, "_id": {"$gt": after}}
        with translated():
            found = self._store.collection(kind.collection).find(asked, dict.fromkeys(kind.fields, 1))
            rows = (
                Row(each["_id"], {field: bytes(each[field]) for field in kind.fields})
                for each in found.sort("_id", 1).limit(limit)
            )
            return up_to(rows, lambda row: sum(map(len, row.values.values())))

    def replace(self, kind: Kind, changes: Sequence[Change]) -> int:
        """Put values in the place of others, each document as it was read, in one write; how many were."""
        if not changes:
            return 0
        writes = [UpdateOne({"_id": row.id, **unchanged(row.values)}, {"$set": after}) for row, after in changes]
        with translated():
            return self._store.collection(kind.collection).bulk_write(writes, ordered=False).modified_count
