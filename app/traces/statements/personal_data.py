"""Statements and their attachments in the rights of data subjects: what finds, counts and deletes those of one data
subject.

Both are declared here, above the two stores: with statements go the attachments that only these declare.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import pymongo
from pymongo import UpdateOne

from app.core.personal_data import DataSubject, Erasing, Gone, PersonalDataStore
from app.crypto import attachments as attachment_encryption
from app.platform.mongo.collection import DataContext, Declared
from app.platform.mongo.connection import Document, translated
from app.traces.statements import attachment_store, store
from app.traces.statements.attachment_store import AttachmentRepository

# Counting a million statements takes longer than a request may.
_COUNT_SECONDS = 600.0


class StatementData(PersonalDataStore):
    """Statements, by their blind index entries; own ones are sealed for one of the data subject's subject tokens."""

    name = store.NAME

    def __init__(self, context: DataContext) -> None:
        self._client = context.store.client
        self._statements = context.store.collection(store.NAME)
        self._attachments = AttachmentRepository(context.store)

    def locate(self, who: DataSubject) -> Mapping[str, int]:
        """Their own; those of others that name them; and those that refer to one of these, and carry its tokens."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            named: Document = {"t": {"$in": list(who.tokens)}, "stored": {"$gte": 0}}
            own = self._statements.count_documents({**named, "subject": {"$in": list(who.subjects)}})
            every = self._statements.count_documents(named)
            # With ``refs`` in it, the query may use the index that holds only such statements.
            referring = self._statements.count_documents(
                {"refs": {"$exists": True}, "refs.t": {"$in": list(who.tokens)}}
            )
        return {"own": own, "mentions": max(every - own, 0), "referring": referring}

    def holds(self, who: DataSubject) -> bool:
        """True if one names them."""
        # ``$exists`` would take the placeholders out as well, but no bound of the index.
        asked: Document = {"t": {"$in": list(who.tokens)}, "stored": {"$gte": 0}}
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._statements.find_one(asked, {"_id": 1}) is not None

    def erase(self, asked: Erasing) -> Iterator[Gone]:
        """Delete their own statements stored up to the bound, the oldest first, and what only these declare.

        They were counted before the first went (``app/people/erasure/service.py``): each is told as progress alone.
        """
        # What a process stores that had the key in hand has a stamp beyond the bound.
        if asked.again:
            return
        while gone := self.delete_some(asked):
            yield Gone(gone)

    def delete_some(self, asked: Erasing) -> int:
        """Delete the oldest of them, at most ``limit``; how many went, 0 when none is left."""
        ids = self._next(asked)
        if not ids:
            return 0
        # First, so that none outlives its statements, whenever this process ends.
        self._attachments.release(ids)
        with translated():
            # All is said again: an id may have been taken over by something newer in between.
            wanted = {
                "_id": {"$in": ids},
                "subject": {"$in": list(asked.who.subjects)},
                "stored": {"$lte": asked.until},
            }
            self._statements.delete_many(wanted)
        return len(ids)

    def _next(self, asked: Erasing) -> list[UUID]:
        theirs: Document = {
            "t": {"$in": list(asked.who.agents)},
            "stored": {"$gte": 0, "$lte": asked.until},
            "subject": {"$in": list(asked.who.subjects)},
        }
        # At one moment: what moves from one token to another (``docs/adr/0032-index-key-rotation.md``) is not missed.
        with translated(), self._client.start_session(snapshot=True) as session:
            found = self._statements.find(theirs, {"_id": 1}, session=session).sort([("stored", 1)]).limit(asked.limit)
            return [each["_id"] for each in found.batch_size(asked.limit + 1)]


class AttachmentData(PersonalDataStore):
    """Keys of attachments, wrapped for each learner whose statements declare them."""

    name = attachment_store.NAME

    def __init__(self, context: DataContext) -> None:
        self._attachments = context.store.collection(attachment_store.NAME)
        self._repository = AttachmentRepository(context.store)
        self._organisation = context.keys.organisation
        self._learners = context.learners

    def locate(self, who: DataSubject) -> Mapping[str, int]:
        """Attachments that their own statements declare."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return {"attachments": self._attachments.count_documents(_wrapped_for(who.subjects))}

    def holds(self, who: DataSubject) -> bool:
        """True if a key is wrapped for them."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._attachments.find_one(_wrapped_for(who.subjects), {"_id": 1}) is not None

    def foresee(self, who: DataSubject) -> Mapping[str, int]:
        """The same as ``locate``: most go with their statements."""
        return self.locate(who)

    def erase(self, asked: Erasing) -> Iterator[Gone]:
        """Take out the wrapped keys that their present keys do not open, and what nobody can open any more."""
        wanted, after = set(asked.who.subjects), None
        while rows := self._page(asked.who.subjects, after, asked.limit):
            wrapped = [
                (bytes(row["_id"]), bytes(one["subject"]), bytes(one["key"]))
                for row in rows
                for one in row["keys"]
                if bytes(one["subject"]) in wanted
            ]
            # Read after the rows: what is sealed with a key that lives was sealed with one that is there by now.
            living = self._learners.existing({subject for _, subject, _ in wrapped})
            dead = [
                (id, subject, key)
                for id, subject, key in wrapped
                if subject not in living
                or not attachment_encryption.unwraps(living[subject], self._organisation, id, key)
            ]
            yield Gone(self._unwrap(dead))
            after = rows[-1]["_id"]

    def _page(self, subjects: Sequence[bytes], after: object | None, limit: int) -> list[Document]:
        asked = _wrapped_for(subjects)
        if after is not None:
            asked["_id"] = {"$gt": after}
        with translated():
            return list(self._attachments.find(asked, {"keys": 1}).sort("_id", 1).limit(limit))

    def _unwrap(self, dead: Sequence[tuple[bytes, bytes, bytes]]) -> int:
        """Take these keys out; the number of attachments that are gone with them."""
        if not dead:
            return 0
        changes = [
            UpdateOne({"_id": id}, {"$pull": {"keys": {"subject": subject, "key": key}}}) for id, subject, key in dead
        ]
        with translated():
            self._attachments.bulk_write(changes, ordered=False)
            found = self._attachments.find({"_id": {"$in": [id for id, *_ in dead]}, "keys": []}, {"_id": 1})
            unreadable = [bytes(each["_id"]) for each in found]
        self._repository.drop(unreadable)
        return len(unreadable)


def _wrapped_for(subjects: Sequence[bytes]) -> Document:
    return {"keys.subject": {"$in": list(subjects)}}


_DATA = {store.NAME: StatementData, attachment_store.NAME: AttachmentData}
COLLECTIONS: tuple[Declared, ...] = tuple(
    declared._replace(data=_DATA.get(declared.name)) for declared in (*store.COLLECTIONS, *attachment_store.COLLECTIONS)
)
