"""Statements by the generation of the index key that their tokens are of, for those who move them to another.

A statement has the token of its source, and so have the copies in ``refs`` of those that refer to it: what is still
under a generation is what the indexes show under its tokens of the sources. There is no other state to resume from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import pymongo
from pymongo import UpdateOne

from app.platform.mongo.connection import Document, Store, translated
from app.traces.statements.store import LATE, NAME, ON_TIME, SOME_TOKENS, Stored, carried

# Counting a hundred million takes longer than a request may.
_COUNT_SECONDS = 600.0

_REFERRERS = [("ref", 1), ("_id", 1)]


class Move(NamedTuple):
    """A statement as it was read, and what it is found by from then on: tokens, its fingerprint; whether it is late,
    None where it did not open.
    """

    id: UUID
    body: bytes
    tokens: tuple[bytes, ...]
    fingerprint: bytes
    late: bool | None = None


class Unmoved(NamedTuple):
    """A statement under an old key, its body empty if that was taken away, and its fingerprint."""

    stored: Stored
    fingerprint: bytes


class Referring(NamedTuple):
    """A statement that refers to others, and ``refs`` as they were read."""

    id: UUID
    refs: Sequence[Document]

    def targets(self) -> list[UUID]:
        """The statements that it leads to."""
        return [each["i"] for each in self.refs]


class Relink(NamedTuple):
    """``refs`` of a statement as they were read, and as they are to be."""

    id: UUID
    before: Sequence[Document]
    after: Sequence[Document]


class TokenRepository:
    """Finds statements by the tokens of sources, and gives them others."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def count(self, tokens: Sequence[bytes], report: Callable[[int], None] = lambda _: None) -> int:
        """The number of statements that have one of these tokens; ``report`` gets the sum after each."""
        counted = 0
        for token in tokens:
            with translated(), pymongo.timeout(_COUNT_SECONDS):
                counted += self._collection.count_documents({"t": token}, hint="tokens")
            report(counted)
        return counted

    def any(self, tokens: Sequence[bytes]) -> bool:
        """True if a statement has one of these tokens, or refers to one that had it."""
        if not tokens:
            return False
        with translated():
            for asked, index in ((_with(tokens), "tokens"), (_leading(tokens), "referred")):
                if self._collection.find_one(asked, {"_id": 1}, hint=index) is not None:
                    return True
        return False

    def under(self, token: bytes, since: int | None, limit: int) -> list[Unmoved]:
        """The next statements that have the token, in the order of ``stored``, from ``since`` on."""
        asked: Document = {"t": token}
        if since is not None:
            asked["stored"] = {"$gte": since}
        return self._unmoved(asked, "tokens", limit)

    def _unmoved(self, asked: Document, index: str, limit: int) -> list[Unmoved]:
        fields = {"stored": 1, "source": 1, "subject": 1, "body": 1, "void": 1, "print": 1}
        with translated():
            found = list(self._collection.find(asked, fields).sort("stored", 1).hint(index).limit(limit))
        return [
            Unmoved(
                Stored(
                    one["_id"],
                    int(one["stored"]),
                    str(one["source"]),
                    bytes(one["subject"]),
                    # One whose content was taken away.
                    bytes(one.get("body", b"")),
                    "void" in one,
                ),
                bytes(one.get("print", b"")),
            )
            for one in found
        ]

    def without_entries(self, since: int, limit: int) -> list[Unmoved]:
        """The next statements without entries of school and day, by ``stored``, from ``since`` on."""
        asked: Document = {"stored": {"$gte": since}, "e": {"$exists": False}}
        return self._unmoved(asked, "order", limit)

    def move(self, moves: Sequence[Move]) -> int:
        """Give statements their tokens and fingerprints, in one write; how many were as they had been read."""
        if not moves:
            return 0
        writes = [
            UpdateOne(
                # What was changed or given a later place meanwhile is read again.
                {"_id": move.id, "body": move.body or {"$exists": False}},
                {
                    "$set": {
                        "t": list(move.tokens),
                        "print": move.fingerprint,
                        **({} if move.late is None else {"e": LATE if move.late else ON_TIME}),
                    }
                },
            )
            for move in moves
        ]
        with translated():
            return self._collection.bulk_write(writes, ordered=False).matched_count

    def referring(self, token: bytes, limit: int) -> list[Referring]:
        """Some statements that lead to one that has, or had, the token."""
        asked = _leading([token])
        with translated():
            found = list(self._collection.find(asked, {"refs": 1}).hint("referred").limit(limit))
        return [Referring(one["_id"], one["refs"]) for one in found]

    def every_referring(self, after: tuple[UUID, UUID] | None, limit: int) -> list[tuple[tuple[UUID, UUID], Referring]]:
        """The next statements that lead to others, each with its place, beyond ``after``."""
        with translated():
            cursor = self._collection.find({"ref": {"$exists": True}}, {"ref": 1, "refs": 1}).hint(_REFERRERS)
            if after is not None:
                bound: Any = [("ref", after[0]), ("_id", after[1])]  # PyMongo types it as if it were an order
                cursor = cursor.min(bound)
            found = list(cursor.limit(limit + 1))
        rows = [((one["ref"], one["_id"]), Referring(one["_id"], one.get("refs", ()))) for one in found]
        return [(place, row) for place, row in rows if place != after][:limit]

    def tokens(self, ids: Iterable[UUID]) -> dict[UUID, list[bytes]]:
        """The tokens that are carried of those of these statements that are there."""
        among = {"_id": {"$in": list(ids)}, "stored": {"$exists": True}}
        with translated():
            return {one["_id"]: one["t"] for one in self._collection.find(among, {"t": SOME_TOKENS})}

    def relink(self, changes: Sequence[Relink]) -> int:
        """Replace ``refs``, in one write, where they are as they were read; how many were."""
        if not changes:
            return 0
        writes = [
            UpdateOne({"_id": change.id, "refs": change.before}, {"$set": {"refs": carried(change.after)}})
            for change in changes
        ]
        with translated():
            return self._collection.bulk_write(writes, ordered=False).matched_count


def _with(tokens: Sequence[bytes]) -> Document:
    return {"t": {"$in": list(tokens)}}


def _leading(tokens: Sequence[bytes]) -> Document:
    # That ``refs`` exist lets the index of these alone be used.
    return {"refs": {"$exists": True}, "refs.t": {"$in": list(tokens)}}
