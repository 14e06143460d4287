"""Places of a person: statements by their tokens, what is kept under their subjects; by the batch, by indexes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import pymongo
from pymongo.collection import Collection

from app.platform.mongo.connection import Document, Store, translated
from app.traces.conformance.session_store import SESSIONS
from app.traces.documents.store import NAME as DOCUMENTS
from app.traces.statements.attachment_store import NAME as ATTACHMENTS
from app.traces.statements.store import MAX_BYTES, Position, Stored
from app.traces.statements.store import NAME as STATEMENTS

_FIELDS = {"stored": 1, "source": 1, "subject": 1, "body": 1, "void": 1, "t": 1}
# Counting a million statements takes longer than a request may.
_COUNT_SECONDS = 600.0


class Tokened(NamedTuple):
    """A sealed statement with its tokens."""

    row: Stored
    tokens: tuple[bytes, ...]


class PersonRepository:
    """Finds what is kept of a person. Placeholders (no ``stored``) name nobody and are never returned."""

    def __init__(self, store: Store) -> None:
        self._client = store.client
        self._statements = store.collection(STATEMENTS)
        self._documents = store.collection(DOCUMENTS)
        self._sessions = store.collection(SESSIONS)
        self._attachments = store.collection(ATTACHMENTS)

    def page(
        self, tokens: Sequence[bytes], *, after: Position | None, until: int | None = None, limit: int = 1_000
    ) -> list[Tokened]:
        """The next statements that have one of these tokens, voided ones included, oldest first.

        Args:
            tokens: Of agents and related agents.
            after: Beyond this place.
            until: Stored at or before this, microseconds.
            limit: At most so many; and, but for the first, ``MAX_BYTES`` of bodies.
        """
        query: Document = {"t": {"$in": list(tokens)}, "stored": _bounds(after, until)}
        return self._read(query, after, limit)

    def referring_page(
        self,
        agents: Sequence[bytes],
        tokens: Sequence[bytes],
        *,
        after: Position | None,
        limit: int = 1_000,
    ) -> list[Stored]:
        """The next statements, voided ones included, that refer to one with a token of ``agents``, oldest first.

        Those that have one of ``tokens`` themselves are left out. The limits are those of ``page``.
        """
        query: Document = {
            # With ``refs`` in it, the query may use the index that holds only such statements.
            "refs": {"$exists": True},
            "refs.t": {"$in": list(agents)},
            "t": {"$nin": list(tokens)},
            "stored": _bounds(after, None),
        }
        return [each.row for each in self._read(query, after, limit)]

    def _read(self, query: Document, after: Position | None, limit: int) -> list[Tokened]:
        if after is not None and after.seen:
            query = {**query, "_id": {"$nin": list(after.seen)}}
        rows: list[Tokened] = []
        total = 0
        # At one moment: what moves from one token to another (``docs/adr/0032-index-key-rotation.md``) is not missed.
        with translated(), self._client.start_session(snapshot=True) as session:
            asked = self._statements.find(query, _FIELDS, session=session)
            with asked.sort([("stored", 1)]).limit(limit).batch_size(limit + 1) as found:
                for each in found:
                    total += len(each["body"])
                    if rows and total > MAX_BYTES:
                        break
                    rows.append(_tokened(each))
        return rows

    def ids(
        self,
        tokens: Sequence[bytes],
        subjects: Sequence[bytes],
        *,
        after: Position | None,
        until: int | None,
        limit: int,
    ) -> list[tuple[UUID, int]]:
        """Id and ``stored`` of the next statements that have one of the tokens and are sealed for one of these."""
        query: Document = {
            "t": {"$in": list(tokens)},
            "stored": _bounds(after, until),
            "subject": {"$in": list(subjects)},
        }
        if after is not None and after.seen:
            query["_id"] = {"$nin": list(after.seen)}
        with translated(), self._client.start_session(snapshot=True) as session:
            found = self._statements.find(query, {"stored": 1}, session=session).sort([("stored", 1)]).limit(limit)
            return [(each["_id"], int(each["stored"])) for each in found.batch_size(limit + 1)]

    def count(self, tokens: Sequence[bytes], subjects: Sequence[bytes] | None = None, until: int | None = None) -> int:
        """The number of statements that have one of the tokens; of these subjects only, if given."""
        query: Document = {"t": {"$in": list(tokens)}, "stored": _bounds(None, until)}
        if subjects is not None:
            query["subject"] = {"$in": list(subjects)}
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._statements.count_documents(query)

    def any(self, tokens: Sequence[bytes], subjects: Sequence[bytes]) -> bool:
        """True if a statement has one of these tokens, or anything else is sealed for one of these subjects."""
        listed = {"$in": list(subjects)}
        asked: tuple[tuple[Collection[Document], Document], ...] = (
            (self._statements, {"t": {"$in": list(tokens)}, "stored": _bounds(None, None)}),
            (self._documents, {"subject": {**listed, "$exists": True}}),
            (self._attachments, {"keys.subject": listed}),
            (self._sessions, {"subject": listed}),
        )
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return any(where.find_one(query, {"_id": 1}) is not None for where, query in asked)

    def referring(self, tokens: Sequence[bytes]) -> int:
        """The number of statements that refer to one that has one of the tokens."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            # With ``refs`` in it, the query may use the index that holds only such statements.
            return self._statements.count_documents({"refs": {"$exists": True}, "refs.t": {"$in": list(tokens)}})

    def documents(self, subjects: Sequence[bytes]) -> int:
        """The number of documents that are sealed for these subjects."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            # With ``$exists`` the query may use the index that holds only such documents.
            return self._documents.count_documents({"subject": {"$in": list(subjects), "$exists": True}})

    def in_contexts(self, groups: Sequence[bytes]) -> int:
        """The number of documents in these contexts."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._documents.count_documents({"group": {"$in": list(groups)}})

    def sessions(self, subjects: Sequence[bytes]) -> int:
        """The number of sessions held to patterns that are sealed for these subjects."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._sessions.count_documents({"subject": {"$in": list(subjects)}})

    def attachments(self, subjects: Sequence[bytes]) -> int:
        """The number of attachments that have their key wrapped for these subjects."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._attachments.count_documents({"keys.subject": {"$in": list(subjects)}})


def _bounds(after: Position | None, until: int | None) -> Document:
    # ``$exists`` would take the placeholders out as well, but no bound of the index.
    bounds: Document = {"$gte": 0 if after is None else after.stored}
    if until is not None:
        bounds["$lte"] = until
    return bounds


def _tokened(found: Document) -> Tokened:
    row = Stored(
        found["_id"],
        int(found["stored"]),
        found["source"],
        bytes(found["subject"]),
        bytes(found["body"]),
        "void" in found,
    )
    return Tokened(row, tuple(bytes(token) for token in found["t"]))
