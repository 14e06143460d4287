"""Statements that name a data subject, by their tokens, in the order they were stored: by the batch, by indexes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import pymongo

from app.platform.mongo.connection import Document, Store, translated
from app.traces.statements.store import MAX_BYTES, Position, Stored
from app.traces.statements.store import NAME as STATEMENTS

_FIELDS = {"stored": 1, "source": 1, "subject": 1, "body": 1, "void": 1, "t": 1}
# Counting a million statements takes longer than a request may.
_COUNT_SECONDS = 600.0
# Of what somebody waits for before a page.
_PLACED_SECONDS = 20.0


class Tokened(NamedTuple):
    """A sealed statement with its tokens."""

    row: Stored
    tokens: tuple[bytes, ...]


class Placed(NamedTuple):
    """Position of a statement, without its body: id, when it was stored (microseconds), source, subject token."""

    id: UUID
    stored: int
    source: str
    subject: bytes
    voided: bool


class DataSubjectRepository:
    """Finds the statements that name a data subject. Placeholders (no ``stored``) name nobody and are never
    returned.
    """

    def __init__(self, store: Store) -> None:
        self._client = store.client
        self._statements = store.collection(STATEMENTS)

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

    def placed(self, tokens: Sequence[bytes], limit: int) -> list[Placed]:
        """The statements that have one of these tokens, the newest first, at most so many, without their bodies."""
        fields = {"stored": 1, "source": 1, "subject": 1, "void": 1}
        with translated(), pymongo.timeout(_PLACED_SECONDS):
            asked = self._statements.find({"t": {"$in": list(tokens)}, "stored": _bounds(None, None)}, fields)
            return [
                Placed(each["_id"], int(each["stored"]), each["source"], bytes(each["subject"]), "void" in each)
                for each in asked.sort([("stored", -1)]).limit(limit)
            ]

    def any_of_source(self, tokens: Sequence[bytes], subjects: Sequence[bytes], source: str) -> bool:
        """True if a source sent a statement with one of the tokens, of one of these subjects."""
        asked: Document = {"t": {"$in": list(tokens)}, "stored": _bounds(None, None)}
        asked |= {"subject": {"$in": list(subjects)}, "source": source}
        with translated(), pymongo.timeout(_PLACED_SECONDS):
            return self._statements.find_one(asked, {"_id": 1}) is not None

    def count(self, tokens: Sequence[bytes], subjects: Sequence[bytes] | None = None, until: int | None = None) -> int:
        """The number of statements that have one of the tokens; of these subjects only, if given."""
        query: Document = {"t": {"$in": list(tokens)}, "stored": _bounds(None, until)}
        if subjects is not None:
            query["subject"] = {"$in": list(subjects)}
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._statements.count_documents(query)


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
