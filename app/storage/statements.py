"""The statements: sealed documents, blind tokens, keyset order ``(stored, id)``.

Document of a statement::

    _id      UUID        statement id
    stored   int64       microseconds since 1970, UTC; the order of everything
    source   str         id of the source, clear
    subject  binary(16)  token of the learner whose key seals the body
    t        [binary(12)] blind tokens: source, agents, verb, activities, registration, related ones
    print    binary(16)  keyed fingerprint of the immutable content
    body     binary      sealed JSON, see ``app/vault/bodies.py``
    v        int         profile verdict (absent: not checked)
    p        [int, ...]  templates that matched: number from the collection ``templates``, negative when failed
    void     true        voided, or waiting to be: absent otherwise

A *placeholder* has only ``_id`` and ``void``: a voiding arrived before its target. The unique index on ``_id`` then
tells the target's writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from app.errors import DatabaseUnavailable
from app.storage.connection import Document, Store, translated
from app.storage.declared import Declared, Index

NAME = "statements"
COLLECTIONS = (
    Declared(
        NAME,
        (
            Index("order", (("stored", 1), ("_id", 1))),
            Index("tokens", (("t", 1), ("stored", 1), ("_id", 1))),
        ),
    ),
)

ATTEMPTS = 5


class Row(NamedTuple):
    """A sealed statement, ready to store."""

    id: UUID
    stored: int
    source: str
    subject: bytes
    tokens: tuple[bytes, ...]
    print: bytes
    body: bytes
    verdict: int | None = None
    templates: tuple[int, ...] = ()


class Voiding(NamedTuple):
    """A statement of a batch that voids another."""

    by: UUID
    target: UUID


class Position(NamedTuple):
    """A place in the order of statements."""

    stored: int
    id: UUID


class Stored(NamedTuple):
    """A sealed statement as read back."""

    id: UUID
    stored: int
    source: str
    subject: bytes
    body: bytes
    voided: bool


class Plain(NamedTuple):
    """An opened statement: ``body`` holds the exact JSON bytes."""

    id: UUID
    stored: int
    source: str
    subject: bytes
    body: bytes


class Inserted(NamedTuple):
    """What became of a batch: ids stored now, and ids that were there already with the same content."""

    stored: tuple[UUID, ...]
    repeated: tuple[UUID, ...]


class Clash(NamedTuple):
    """Nothing was stored: these ids are taken by different statements."""

    ids: tuple[UUID, ...]


class Filter(NamedTuple):
    """Which statements: one of each group of ``tokens``, stored after ``since`` and not after ``until``."""

    tokens: tuple[tuple[bytes, ...], ...] = ()
    since: int | None = None
    until: int | None = None


_FIELDS = {"stored": 1, "source": 1, "subject": 1, "body": 1, "void": 1}


class Statements:
    """Reads and writes the collection ``statements``."""

    def __init__(self, store: Store, voided_verbs: tuple[bytes, ...] = ()) -> None:
        """``voided_verbs``: tokens of the verb that voids; a statement that has one is never voided itself."""
        self._store = store
        self._collection = store.collection(NAME)
        self._voided_verbs = list(voided_verbs)

    def insert(self, rows: Sequence[Row], voidings: Sequence[Voiding] = ()) -> Inserted | Clash:
        """Store a batch, all or nothing; majority-acknowledged and journalled when this returns.

        Ids that are already there with the same fingerprint are left as they are.

        Raises:
            DatabaseUnavailable, StorageFull: nothing was stored, or it is not known; a retry is safe.
        """
        documents = [_document(row) for row in rows]
        prints = {row.id: row.print for row in rows}
        repeated: list[UUID] = []
        placeholders: set[UUID] = set()
        for _ in range(ATTEMPTS):
            try:
                with translated():
                    self._write(documents, voidings, placeholders)
                stored = tuple(document["_id"] for document in documents)
                return Inserted(stored, tuple(repeated))
            except _Taken:
                taken = self._taken(prints)
                clashes = tuple(
                    identity for identity, mark in taken.items() if mark is not None and mark != prints[identity]
                )
                if clashes:
                    return Clash(clashes)
                placeholders = {identity for identity, mark in taken.items() if mark is None}
                known = {identity for identity, mark in taken.items() if mark is not None}
                repeated = [row.id for row in rows if row.id in known]
                documents = [document for document in documents if document["_id"] not in known]
                voidings = [voiding for voiding in voidings if voiding.by not in known]
                if not documents:
                    return Inserted((), tuple(repeated))
        raise DatabaseUnavailable("Other writers hold the same statements. Send the same request again.", retry_after=1)

    def _write(self, documents: list[Document], voidings: Sequence[Voiding], placeholders: set[UUID]) -> None:
        try:
            if len(documents) == 1 and not voidings and not placeholders:
                self._collection.insert_one(documents[0])
                return
            with self._store.transaction() as session:
                if placeholders:
                    self._replace_placeholders(documents, placeholders, session)
                self._collection.insert_many(documents, ordered=True, session=session)
                if voidings:
                    self._void(voidings, session)
        except (DuplicateKeyError, BulkWriteError) as error:
            if isinstance(error, DuplicateKeyError) or all(e["code"] == 11000 for e in error.details["writeErrors"]):
                raise _Taken from None
            raise
        except OperationFailure as error:
            # WriteConflict: another transaction holds one of the ids. Look again at what is there.
            if error.code == 112:
                raise _Taken from None
            raise

    def _replace_placeholders(self, documents: list[Document], placeholders: set[UUID], session: ClientSession) -> None:
        for document in documents:
            if document["_id"] in placeholders and not set(document["t"]) & set(self._voided_verbs):
                document["void"] = True
        self._collection.delete_many(
            {"_id": {"$in": list(placeholders)}, "stored": {"$exists": False}}, session=session
        )

    def _void(self, voidings: Sequence[Voiding], session: ClientSession) -> None:
        targets = sorted({voiding.target for voiding in voidings})
        present = {
            document["_id"]
            for document in self._collection.find({"_id": {"$in": targets}}, {"_id": 1}, session=session)
        }
        # xAPI-Data 2.3.2: a statement that voids cannot itself be voided.
        self._collection.update_many(
            {"_id": {"$in": list(present)}, "t": {"$nin": self._voided_verbs}},
            {"$set": {"void": True}},
            session=session,
        )
        absent = [target for target in targets if target not in present]
        if absent:
            self._collection.insert_many([{"_id": target, "void": True} for target in absent], session=session)

    def _taken(self, prints: dict[UUID, bytes]) -> dict[UUID, bytes | None]:
        """Fingerprints of those ids that are there; None for a placeholder."""
        with translated():
            found = self._collection.find({"_id": {"$in": list(prints)}}, {"print": 1})
            return {document["_id"]: bytes(document["print"]) if "print" in document else None for document in found}

    def withdraw(self, ids: Sequence[UUID]) -> None:
        """Take back statements that were never acknowledged."""
        with translated():
            self._collection.delete_many({"_id": {"$in": list(ids)}})

    def get(self, identity: UUID) -> Stored | None:
        """One statement by id, voided or not."""
        with translated():
            document = self._collection.find_one({"_id": identity, "stored": {"$exists": True}}, _FIELDS)
        return _stored(document) if document else None

    def page(self, wanted: Filter, *, after: Position | None, ascending: bool, limit: int) -> list[Stored]:
        """The next ``limit`` statements that are not voided, in order of ``(stored, id)``, beyond ``after``."""
        way = 1 if ascending else -1
        with translated():
            cursor = (
                self._collection.find(query(wanted, after, ascending), _FIELDS)
                .sort([("stored", way), ("_id", way)])
                .limit(limit)
                .batch_size(limit + 1)
            )
            return [_stored(document) for document in cursor]

    def span(self, after: Position | None, before: int, limit: int) -> list[Stored]:
        """Statements beyond ``after`` and stored before ``before``, oldest first, voided ones marked."""
        bounds: Document = {"stored": {"$lt": before}}
        clauses = [bounds] if after is None else [bounds, _beyond(after, ascending=True)]
        with translated():
            cursor = (
                self._collection.find({"$and": clauses}, _FIELDS)
                .sort([("stored", 1), ("_id", 1)])
                .hint("order")
                .limit(limit)
                .batch_size(limit + 1)
            )
            return [_stored(document) for document in cursor]

    def count(self) -> int:
        """How many statements there are, roughly (metadata; placeholders included)."""
        with translated():
            return int(self._collection.estimated_document_count())


class _Taken(Exception):
    """Some id of the batch is already there."""


def query(wanted: Filter, after: Position | None, ascending: bool) -> Document:
    """The MongoDB filter. Its planner tries which token leads the index; the others are checked on what that finds."""
    clauses: list[Document] = [_one_of(alternatives) for alternatives in wanted.tokens]
    bounds: dict[str, int] = {}
    # xAPI-Communication 2.1.3: stored since (exclusive), until (inclusive).
    if wanted.since is not None:
        bounds["$gt"] = wanted.since
    if wanted.until is not None:
        bounds["$lte"] = wanted.until
    clauses.append({"stored": bounds or {"$exists": True}})
    clauses.append({"void": {"$exists": False}})
    if after is not None:
        clauses.append(_beyond(after, ascending))
    return {"$and": clauses}


def _one_of(alternatives: Iterable[bytes]) -> Document:
    tokens = list(alternatives)
    return {"t": tokens[0]} if len(tokens) == 1 else {"t": {"$in": tokens}}


def _beyond(position: Position, ascending: bool) -> Document:
    edge, step = ("$gte", "$gt") if ascending else ("$lte", "$lt")
    return {
        "stored": {edge: position.stored},
        "$or": [{"stored": {step: position.stored}}, {"_id": {step: position.id}}],
    }


def _document(row: Row) -> Document:
    document: Document = {
        "_id": row.id,
        "stored": row.stored,
        "source": row.source,
        "subject": row.subject,
        "t": list(row.tokens),
        "print": row.print,
        "body": row.body,
    }
    if row.verdict is not None:
        document["v"] = row.verdict
        if row.templates:
            document["p"] = list(row.templates)
    return document


def _stored(document: Document) -> Stored:
    return Stored(
        document["_id"],
        document["stored"],
        document["source"],
        bytes(document["subject"]),
        bytes(document["body"]),
        "void" in document,
    )
