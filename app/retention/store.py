"""Counting and deleting by age what is kept of a source.

Statements by ``stored``, on the index (token, stored). Documents (states, agent profiles, activity profiles) by when
they were last written, as of the source that wrote them then, on the index (source, updated).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pymongo

from app.access.restrictions.store import Restricted
from app.platform.mongo.connection import Document, Store, translated
from app.traces.documents.store import NAME as DOCUMENTS
from app.traces.statements.attachment_store import AttachmentRepository

NAME = "statements"

# Counting a source of a hundred million statements takes longer than a request may.
_COUNT_SECONDS = 600.0
# Persons in one query.
_AT_ONCE = 1_000


class Age(NamedTuple):
    """The number of statements, or documents, of a source, the instant of the oldest (microseconds), and the number of
    old ones.
    """

    kept: int
    oldest: int | None
    due: int
    overdue: int


class Ended(NamedTuple):
    """A learner whose account ended: subject token, tokens that find them, and what is stored before goes."""

    subject: bytes
    agents: tuple[bytes, ...]
    before: int


class RetentionRepository:
    """Statements of a source by ``stored``, its documents by ``updated``. Placeholders are never counted nor touched.

    Nor is what is of persons who are ``held``: restricted, so that their data are kept (GDPR art. 18).
    """

    def __init__(self, store: Store, attachments: AttachmentRepository) -> None:
        self._collection = store.collection(NAME)
        self._documents = store.collection(DOCUMENTS)
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

    # --- documents ------------------------------------------------------------------------------------

    def document_age(self, source: str, due_before: int, overdue_before: int, held: Sequence[Restricted] = ()) -> Age:
        """As ``age``, of the documents that the source, by its id, wrote last."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            first = self._documents.find_one({"source": source}, {"_id": 0, "updated": 1}, sort=[("updated", 1)])
            if first is None:
                return Age(0, None, 0, 0)
            oldest = int(first["updated"])
            return Age(
                self._documents.count_documents({"source": source}),
                oldest,
                self.count_documents(source, due_before, held) if oldest < due_before else 0,
                self.count_documents(source, overdue_before, held) if oldest < overdue_before else 0,
            )

    def count_documents(self, source: str, before: int, held: Sequence[Restricted] = (), since: int = 0) -> int:
        """The number of documents that the source wrote last, from ``since`` on and before; of none who is held."""
        asked = _written(source, before, since)
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            counted = self._documents.count_documents(asked)
            for place in range(0, len(held), _AT_ONCE):
                theirs = {"$in": [one.subject for one in held[place : place + _AT_ONCE]]}
                counted -= self._documents.count_documents({**asked, "subject": theirs})
            return counted

    def count_ended_documents(self, source: str, ended: Sequence[Ended], since: int) -> int:
        """The number of documents that go because the learner's account ended, of those written from ``since`` on."""
        if not ended:
            return 0
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._documents.count_documents(_written_of_ended(source, ended, since))

    def delete_documents(
        self, source: str, before: int, limit: int, held: Sequence[Restricted] = (), since: int = 0
    ) -> int:
        """Delete what ``count_documents`` counts, the oldest first, at most ``limit``; how many were."""
        return self._delete_documents(_kept_out(_written(source, before, since), held), limit)

    def delete_ended_documents(self, source: str, ended: Sequence[Ended], since: int, limit: int) -> int:
        """Delete what ``count_ended_documents`` counts, at most ``limit``; how many were."""
        return self._delete_documents(_written_of_ended(source, ended, since), limit) if ended else 0

    def _delete_documents(self, asked: Document, limit: int) -> int:
        with translated():
            found = self._documents.find(asked, {"_id": 1}).sort([("updated", 1)]).limit(limit)
            ids = [document["_id"] for document in found]
            # Asked again: one may have been written anew in between, and is kept from then.
            return self._documents.delete_many({**asked, "_id": {"$in": ids}}).deleted_count if ids else 0


def _written(source: str, before: int, since: int) -> Document:
    return {"source": source, "updated": {"$gte": since, "$lt": before}}


def _written_of_ended(source: str, ended: Sequence[Ended], since: int) -> Document:
    return {"$or": [{"subject": one.subject, **_written(source, one.before, since)} for one in ended]}


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
