"""Counting and deleting the statements of a source by age, on the index (token, stored)."""

from __future__ import annotations

from typing import NamedTuple

import pymongo

from app.storage.attachments import AttachmentRepository
from app.storage.connection import Document, Store, translated

NAME = "statements"

# Counting a source of a hundred million statements takes longer than a request may.
_COUNT_SECONDS = 600.0


class Age(NamedTuple):
    """How many statements a source has, the oldest one's ``stored`` (microseconds), and how many are old."""

    kept: int
    oldest: int | None
    due: int
    overdue: int


class RetentionRepository:
    """Statements of a source by ``stored``. Placeholders (no ``stored``) are never counted nor touched."""

    def __init__(self, store: Store, attachments: AttachmentRepository) -> None:
        self._collection = store.collection(NAME)
        self._attachments = attachments

    def age(self, source: bytes, due_before: int, overdue_before: int) -> Age:
        """Count by index scans; ``source`` is the source's blind token, the bounds are microseconds."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            first = self._collection.find_one(
                _stored_before(source, None), {"_id": 0, "stored": 1}, sort=[("stored", 1)]
            )
            if first is None:
                return Age(0, None, 0, 0)
            oldest = int(first["stored"])
            return Age(
                self._collection.count_documents(_stored_before(source, None)),
                oldest,
                self.count(source, due_before) if oldest < due_before else 0,
                self.count(source, overdue_before) if oldest < overdue_before else 0,
            )

    def count(self, source: bytes, before: int) -> int:
        """How many statements of the source have ``stored < before``."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._collection.count_documents(_stored_before(source, before))

    def delete(self, source: bytes, before: int, limit: int) -> int:
        """Delete the oldest statements of the source with ``stored < before``, at most ``limit``, attachments too.

        Returns:
            How many were deleted; 0 when none is left. Durable when this returns.
        """
        with translated():
            ids = [
                document["_id"]
                for document in self._collection.find(_stored_before(source, before), {"_id": 1})
                .sort([("stored", 1)])
                .limit(limit)
            ]
            if not ids:
                return 0
            # First, so that none outlives its statements, whenever this process ends.
            self._attachments.release(ids)
            # The bound is said again: an id may have been taken over by something newer in between.
            deleted = self._collection.delete_many({"_id": {"$in": ids}, "stored": {"$lt": before}})
            return deleted.deleted_count


def _stored_before(source: bytes, before: int | None) -> Document:
    bounds = {"$gte": 0} if before is None else {"$gte": 0, "$lt": before}
    return {"t": source, "stored": bounds}
