"""Values encrypted with learners' keys besides statements: looked through, replaced where each is as it was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pymongo import UpdateOne

from app.crypto.documents import Layer
from app.operations.rotation.pages import unchanged, up_to
from app.operations.schema.catalogue import COLLECTIONS
from app.platform.mongo.connection import Document, Store, translated
from app.traces.statements import attachment_store as attachments


class Kind(NamedTuple):
    """Values of one kind.

    Attributes:
        collection: Where they are.
        fields, layers, needs, asked: As its collection declares them (``UnderLearners``).
    """

    collection: str
    fields: tuple[str, ...]
    layers: Callable[[Mapping[str, Any], str], tuple[Layer, ...]]
    needs: tuple[str, ...]
    asked: Mapping[str, Any]


KINDS = tuple(
    Kind(declared.name, *declared.under_learners) for declared in COLLECTIONS if declared.under_learners is not None
)
"""Everything but statements and the keys of attachments: a test has one of each moved, and its old key destroyed."""


class Value(NamedTuple):
    """A sealed value: the keys that it is sealed with, one after another, and the bytes."""

    layers: tuple[Layer, ...]
    sealed: bytes


class Row(NamedTuple):
    """The sealed values of one document, by field."""

    id: Any
    values: Mapping[str, Value]

    @property
    def subjects(self) -> set[bytes]:
        """The subjects whose keys they are sealed with."""
        return {layer.subject for value in self.values.values() for layer in value.layers}


class Change(NamedTuple):
    """A document as it was read, and those of its values that are to be others."""

    row: Row
    after: Mapping[str, bytes]


def _sealed(row: Row) -> dict[str, bytes]:
    return {field: value.sealed for field, value in row.values.items()}


class AttachmentKeys(NamedTuple):
    """The keys of an attachment, wrapped: with the subject whose key wraps them, in order."""

    id: bytes
    keys: tuple[tuple[bytes, bytes], ...]


class LearnerCiphertexts:
    """Reads and writes these values, by the page."""

    def __init__(self, store: Store, prefix: str = "") -> None:
        """``prefix``: of the names of collections; a restore fills others first."""
        self._store = store
        self._prefix = prefix
        self._attachments = store.collection(prefix + attachments.NAME)

    def page(self, kind: Kind, after: object | None, limit: int) -> list[Row]:
        """The next documents of a kind, in the order of their ids: fewer than ``limit`` where they are large."""
        asked = kind.asked if after is None else {**kind.asked, "_id": {"$gt": after}}
        with translated():
            found = self._store.collection(self._prefix + kind.collection).find(
                asked, dict.fromkeys((*kind.fields, *kind.needs), 1)
            )
            rows = (
                Row(
                    each["_id"],
                    {field: Value(kind.layers(each, field), bytes(each[field])) for field in kind.fields},
                )
                for each in found.sort("_id", 1).limit(limit)
            )
            return up_to(rows, lambda row: sum(len(value.sealed) for value in row.values.values()))

    def replace(self, kind: Kind, changes: Sequence[Change]) -> int:
        """Put values in the place of others, each document as it was read, in one write; how many were."""
        if not changes:
            return 0
        writes = [
            UpdateOne(
                {"_id": row.id, **unchanged({field: one.sealed for field, one in row.values.items()})},
                {"$set": {**after}},
            )
            for row, after in changes
        ]
        with translated():
            return (
                self._store.collection(self._prefix + kind.collection).bulk_write(writes, ordered=False).matched_count
            )

    def attachments(self, after: bytes | None, limit: int) -> list[AttachmentKeys]:
        """The next attachments, in the order of their ids."""
        asked: Document = {} if after is None else {"_id": {"$gt": after}}
        with translated():
            found = self._attachments.find(asked, {"keys": 1}).sort("_id", 1).limit(limit)
            return [
                AttachmentKeys(
                    bytes(each["_id"]), tuple((bytes(one["subject"]), bytes(one["key"])) for one in each["keys"])
                )
                for each in found
            ]

    def rewrap(self, changes: Sequence[tuple[AttachmentKeys, AttachmentKeys]]) -> int:
        """Put wrapped keys in the place of others, each attachment as it was read, in one write; how many were."""
        if not changes:
            return 0
        writes = [
            UpdateOne({"_id": before.id, "keys": _listed(before)}, {"$set": {"keys": _listed(after)}})
            for before, after in changes
        ]
        with translated():
            return self._attachments.bulk_write(writes, ordered=False).matched_count


def _listed(attachment: AttachmentKeys) -> list[Document]:
    return [{"subject": subject, "key": key} for subject, key in attachment.keys]
