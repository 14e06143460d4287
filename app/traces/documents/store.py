"""The documents of State, Activity Profile and Agent Profile, as sealed by those who store them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pymongo
from pymongo import InsertOne, ReplaceOne
from pymongo.errors import BulkWriteError

from app.core.personal_data import DataSubject, Personal
from app.crypto.documents import Layer, place, token
from app.platform.mongo.collection import DataContext, Declared, Index, UnderDocumentsKey, UnderLearners
from app.platform.mongo.connection import Document, Store, taken_places, translated
from app.platform.mongo.group_commit import GroupCommit
from app.platform.mongo.learner_collection import Aged, LearnerCollection
from app.standards.xapi.documents import Resource

NAME = "documents"
_COUNT_SECONDS = 600.0
# Larger ones are written alone: those of others would wait for all their bytes.
_MAX_SHARED_BYTES = 64 * 1024
_Write = InsertOne[Document] | ReplaceOne[Document]


def _layers(found: Mapping[str, Any], field: str) -> tuple[Layer, ...]:
    return (Layer(bytes(found["subject"]), place(bytes(found["_id"]), field)),)


def _of_learners(subjects: Sequence[bytes]) -> Document:
    # With ``$exists`` the query may use the index that holds only such documents.
    return {"subject": {"$in": list(subjects), "$exists": True}}


class DocumentData(LearnerCollection):
    """Documents in the rights of data subjects; what agent profiles are is known by their contexts alone."""

    def __init__(self, context: DataContext) -> None:
        super().__init__(context, NAME, _UNDER, find=_of_learners, aged=Aged())
        self._keys = context.keys

    def locate(self, who: DataSubject) -> Mapping[str, int]:
        """Documents of the State resource, and of the Agent Profile resource."""
        # In the context of an agent are all their agent profiles.
        contexts = [
            token(self._keys, "document-context", Resource.AGENT_PROFILE.value, None, identifier, None)
            for identifier in who.identifiers
        ]
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            profiles = self._collection.count_documents({"group": {"$in": contexts}})
        return {"states": max(self._count(who) - profiles, 0), "agent_profiles": profiles}


_UNDER = UnderLearners(("name", "body"), _layers, ("subject",), {"subject": {"$exists": True}})
COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="documents of State and Agent Profile, encrypted with their learners' keys; of Activity Profile, with "
            "the documents key",
            locate="subject token",
            export="documents",
            erase="with the key, then the documents",
            retain="durations of the processing activity, by the last change",
            restore="erased again by tombstones",
            apart={
                "export": "`app/people/access_package/subject_access_export.py`: the activities and registrations that "
                "tokens stand for are told by the statements, which it reads first",
            },
        ),
        (
            Index("group", (("group", 1), ("updated", 1))),
            # What is a learner's: for whoever asks about one, and for erasure.
            Index("learner", (("subject", 1),), only_with="subject"),
            # What a source wrote last, by when: for retention.
            Index("age", (("source", 1), ("updated", 1))),
        ),
        under_learners=_UNDER,
        under_documents_key=UnderDocumentsKey(("name", "body"), place, {"subject": {"$exists": False}}),
        data=DocumentData,
    ),
)


class DocumentRow(NamedTuple):
    """A document as stored.

    Attributes:
        id: 16-byte blind index entry of all that addresses it.
        groups: 16-byte blind index entries of the contexts whose lists it is in.
        subject: Subject token of the learner whose key seals it; None where there is no learner.
        source: Id of the source that wrote it last.
        updated: When that was, microseconds since 1970 UTC.
        etag: Keyed token of its entity tag.
        name: Its id in the standard's sense, sealed.
        body: Content type and content, sealed.
    """

    id: bytes
    groups: tuple[bytes, ...]
    subject: bytes | None
    source: str
    updated: int
    etag: bytes
    name: bytes
    body: bytes


class Listed(NamedTuple):
    """An entry of a list of documents."""

    id: bytes
    name: bytes
    updated: int


class DocumentRepository:
    """Documents by token. Every change compares and sets in one operation of MongoDB."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)
        self._writes: GroupCommit[_Write, bool] = GroupCommit(self._write)

    def get(self, id: bytes) -> DocumentRow | None:
        """The document, if there is one."""
        with translated():
            found = self._collection.find_one({"_id": id})
        return _row(found) if found else None

    def of_subjects(self, subjects: Sequence[bytes], *, after: bytes | None, limit: int) -> list[DocumentRow]:
        """The next documents that are sealed for these learners, in the order of their tokens, beyond ``after``."""
        asked: Document = {"subject": {"$in": list(subjects)}}
        if after is not None:
            asked["_id"] = {"$gt": after}
        with translated():
            return [_row(found) for found in self._collection.find(asked).sort([("_id", 1)]).limit(limit)]

    def etag(self, id: bytes) -> bytes | None:
        """The token of the entity tag of a document, if there is one."""
        with translated():
            found = self._collection.find_one({"_id": id}, {"etag": 1})
        return bytes(found["etag"]) if found else None

    def listed(self, group: bytes, *, after: int | None, limit: int) -> list[Listed]:
        """The first documents of a context updated after an instant (microseconds), oldest first, ``limit`` at most."""
        wanted: Document = {"group": group}
        if after is not None:
            wanted["updated"] = {"$gt": after}
        with translated():
            found = self._collection.find(wanted, {"name": 1, "updated": 1}).sort([("updated", 1)]).limit(limit)
            return [Listed(bytes(each["_id"]), bytes(each["name"]), int(each["updated"])) for each in found]

    def insert(self, row: DocumentRow) -> bool:
        """Store a new document; False, and nothing stored, when there is one already."""
        return self._shared(row, InsertOne(_document(row)))

    def overwrite(self, row: DocumentRow) -> bool:
        """Store a document, whatever is there; False, and nothing stored, when another writer creates it just now."""
        return self._shared(row, ReplaceOne({"_id": row.id}, _document(row), upsert=True))

    def _shared(self, row: DocumentRow, write: _Write) -> bool:
        # What several threads store at once goes together: it costs MongoDB one flush of its journal.
        with translated():
            return self._writes.put(write) if len(row.body) <= _MAX_SHARED_BYTES else self._write([write])[0]

    def _write(self, writes: Sequence[_Write]) -> list[bool]:
        """Store documents that have nothing to do with each other; whether each was stored, else its id is taken."""
        try:
            self._collection.bulk_write(writes, ordered=False)
        except BulkWriteError as failed:
            taken = taken_places(failed)
            return [place not in taken for place in range(len(writes))]
        return [True] * len(writes)

    def replace(self, row: DocumentRow, *, expected: bytes) -> bool:
        """Replace a document that has the tag token ``expected``; False when it is not so."""
        with translated():
            outcome = self._collection.replace_one({"_id": row.id, "etag": expected}, _document(row))
        return outcome.matched_count == 1

    def delete(self, id: bytes, *, expected: bytes) -> bool:
        """Delete a document that has the tag token ``expected``; False when it is not so."""
        with translated():
            return self._collection.delete_one({"_id": id, "etag": expected}).deleted_count == 1

    def withdraw(self, row: DocumentRow) -> None:
        """Delete a document if it is still the very one that was written."""
        with translated():
            self._collection.delete_one({"_id": row.id, "body": row.body})

    def delete_group(self, group: bytes) -> int:
        """Delete every document of a context; how many there were."""
        with translated():
            return self._collection.delete_many({"group": group}).deleted_count


def _document(row: DocumentRow) -> Document:
    document: Document = {
        "_id": row.id,
        "group": list(row.groups),
        "source": row.source,
        "updated": row.updated,
        "etag": row.etag,
        "name": row.name,
        "body": row.body,
    }
    if row.subject is not None:
        document["subject"] = row.subject
    return document


def _row(found: Document) -> DocumentRow:
    subject = found.get("subject")
    return DocumentRow(
        bytes(found["_id"]),
        tuple(bytes(group) for group in found["group"]),
        None if subject is None else bytes(subject),
        found["source"],
        int(found["updated"]),
        bytes(found["etag"]),
        bytes(found["name"]),
        bytes(found["body"]),
    )
