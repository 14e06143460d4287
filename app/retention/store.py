"""Counting and deleting by age the statements of a source: by ``stored``, on the index (token, stored)."""

from __future__ import annotations

from collections.abc import Sequence

import pymongo

from app.access.restrictions.store import Restricted
from app.core.personal_data import Age, Ended
from app.platform.mongo.connection import Document, Store, translated
from app.traces.statements.attachment_store import AttachmentRepository

NAME = "statements"

# Counting a source of a hundred million statements takes longer than a request may.
_COUNT_SECONDS = 600.0
# Data subjects in one query.
_AT_ONCE = 1_000


class RetentionRepository:
    """Statements of a source by ``stored``. Placeholders are never counted nor touched.

    Nor is what is of data subjects who are ``held``: restricted, so that their data are kept (GDPR art. 18).
    """

    def __init__(self, store: Store, attachments: AttachmentRepository) -> None:
        self._collection = store.collection(NAME)
        self._attachments = attachments

    def age(
        self, source: Sequence[bytes], due_before: int, overdue_before: int, held: Sequence[Restricted] = ()
    ) -> Age:
        """Count by index scans; ``source`` are the source's blind index entries, the bounds are microseconds.

        The statements of those who are ``held`` are kept, and not due.
        """
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
                self.count(source, due_before, held) if oldest < due_before else 0,
                self.count(source, overdue_before, held) if oldest < overdue_before else 0,
            )

    def count(self, source: Sequence[bytes], before: int, held: Sequence[Restricted] = (), since: int = 0) -> int:
        """The number of statements of the source with ``since <= stored < before``, those of who is held left out."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            # All by the index alone, then those of the few who are held: to look whose each is would read each.
            counted = self._collection.count_documents(_stored_before(source, before, since))
            for place in range(0, len(held), _AT_ONCE):
                some = held[place : place + _AT_ONCE]
                counted -= self._collection.count_documents(
                    {
                        "t": {"$in": [agent for one in some for agent in one.agents]},
                        "subject": {"$in": [one.subject for one in some]},
                        "stored": {"$gte": since, "$lt": before},
                        **_of_source(source),
                    }
                )
            return counted

    def count_ended(self, source: Sequence[bytes], ended: Sequence[Ended], since: int) -> int:
        """The number of own statements that go as the learner's account ended, of those stored from ``since`` on."""
        if not ended:
            return 0
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._collection.count_documents(_of_ended(source, ended, since))

    def delete_ended(self, source: Sequence[bytes], ended: Sequence[Ended], since: int, limit: int) -> int:
        """Delete what ``count_ended`` counts, at most ``limit``, attachments too; how many were."""
        if not ended:
            return 0
        asked = _of_ended(source, ended, since)
        with translated():
            ids = [document["_id"] for document in self._collection.find(asked, {"_id": 1}).limit(limit)]
            if not ids:
                return 0
            self._attachments.release(ids)
            return self._collection.delete_many({"_id": {"$in": ids}, **asked}).deleted_count

    def delete(self, source: Sequence[bytes], before: int, limit: int, held: Sequence[Restricted] = ()) -> int:
        """Delete the oldest statements of the source with ``stored < before``, at most ``limit``, attachments too.

        Returns:
            How many were deleted; 0 when none is left. Durable when this returns.
        """
        with translated():
            ids = [
                document["_id"]
                for document in self._collection.find(_kept_out(_stored_before(source, before), held), {"_id": 1})
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


def _kept_out(asked: Document, held: Sequence[Restricted]) -> Document:
    return {**asked, "subject": {"$nin": [one.subject for one in held]}} if held else asked


def _of_source(source: Sequence[bytes]) -> Document:
    # In an expression, so that no plan leads with it: a source has many statements, a learner few.
    return {"$expr": {"$or": [{"$in": [{"$literal": token}, "$t"]} for token in source]}}


def _of_ended(source: Sequence[bytes], ended: Sequence[Ended], since: int) -> Document:
    return {
        "$or": [
            {
                "t": {"$in": [*one.agents]},
                "subject": one.subject,
                "stored": {"$gte": since, "$lt": one.before},
                **_of_source(source),
            }
            for one in ended
        ]
    }


def _stored_before(source: Sequence[bytes], before: int | None, since: int = 0) -> Document:
    bounds = {"$gte": since} if before is None else {"$gte": since, "$lt": before}
    return {"t": source[0] if len(source) == 1 else {"$in": list(source)}, "stored": bounds}
