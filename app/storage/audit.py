"""The audit log's collection: entries are inserted and read, never changed or removed.

Document::

    _id     {chain: str, n: int}   place in a chain; the unique index decides who takes it
    at      int                    microseconds since 1970, UTC
    kind    str
    actor   str                    credential id, or "cli:<command>", or "job:<name>"
    detail  document               no personal data
    prev    binary                 MAC of the entry before, 32 zero bytes for the first
    mac     binary                 32 bytes
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from bson.max_key import MaxKey
from bson.son import SON
from pymongo.errors import BulkWriteError

from app.storage.connection import Document, Store, translated
from app.storage.declared import Declared, Index

NAME = "audit"
COLLECTIONS = (
    Declared(
        NAME,
        (
            Index("at", (("at", 1),)),
            Index("kind_at", (("kind", 1), ("at", 1))),
        ),
    ),
)

# JSON values: what another kind of value would read back as differs from what its MAC covered.
Detail: TypeAlias = Mapping[str, object]

_DUPLICATE = 11000
_PAGE = 5_000


class Entry(NamedTuple):
    """One entry as stored; ``at`` in microseconds since 1970 UTC, ``prev`` and ``mac`` 32 bytes."""

    chain: str
    n: int
    at: int
    kind: str
    actor: str
    detail: Detail
    prev: bytes
    mac: bytes


class Head(NamedTuple):
    """The last known entry of a chain."""

    chain: str
    n: int
    mac: bytes


class AuditRepository:
    """Reads and inserts audit entries."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def insert(self, entries: Sequence[Entry]) -> bool:
        """Insert entries of one chain, in order, in one round trip; durable when this returns.

        Returns:
            False when a place was already taken; the entries before it, and only they, were inserted.
        """
        with translated():
            try:
                self._collection.insert_many([_document(entry) for entry in entries], ordered=True)
            except BulkWriteError as failed:
                if any(error["code"] != _DUPLICATE for error in failed.details["writeErrors"]):
                    raise
                return False
        return True

    def head(self, chain: str) -> Entry | None:
        """The last entry of a chain."""
        with translated():
            document = self._collection.find_one(_places(chain), sort=[("_id", -1)])
        return _entry(document) if document else None

    def last_at(self, kinds: Sequence[str]) -> int | None:
        """When the newest entry of one of these kinds was written."""
        with translated():
            document = self._collection.find_one({"kind": {"$in": list(kinds)}}, {"at": 1}, sort=[("at", -1)])
        return int(document["at"]) if document else None

    def heads(self, since: int) -> list[Head]:
        """The last entry of each chain that has one at or after ``since`` (microseconds), by chain."""
        # The places alone come from an index; the MACs are then read for one entry a chain.
        with translated():
            last = list(
                self._collection.aggregate(
                    [
                        {"$match": {"at": {"$gte": since}}},
                        {"$group": {"_id": "$_id.chain", "n": {"$max": "$_id.n"}}},
                    ]
                )
            )
            places = [SON([("chain", document["_id"]), ("n", document["n"])]) for document in last]
            found = self._collection.find({"_id": {"$in": places}}, {"mac": 1}).sort("_id", 1)
            return [Head(str(d["_id"]["chain"]), int(d["_id"]["n"]), bytes(d["mac"])) for d in found]

    def of_kinds(self, kinds: Sequence[str]) -> Iterator[Entry]:
        """Every entry of these kinds, in no promised order."""
        with translated():
            for document in self._collection.find({"kind": {"$in": list(kinds)}}, batch_size=1_000):
                yield _entry(document)

    def stream(self) -> Iterator[Entry]:
        """Every entry, chain by chain, each in the order of ``n``; memory stays flat."""
        # By pages rather than one cursor: a server ends a cursor that works longer than one operation may.
        query: Document = {}
        while True:
            with translated():
                page = list(self._collection.find(query).sort("_id", 1).limit(_PAGE))
            for document in page:
                yield _entry(document)
            if len(page) < _PAGE:
                return
            query = {"_id": {"$gt": page[-1]["_id"]}}

    def newest(self, kinds: Sequence[str], before: int | None, limit: int) -> list[Entry]:
        """The newest entries first: of these kinds (all when empty), written before ``before``."""
        query: Document = {"kind": {"$in": list(kinds)}} if kinds else {}
        if before is not None:
            query["at"] = {"$lt": before}
        with translated():
            return [_entry(d) for d in self._collection.find(query).sort([("at", -1)]).limit(limit)]


def _places(chain: str) -> Document:
    # A range over the compound _id: SON keeps the order of the fields, which is part of the comparison.
    return {
        "_id": {
            "$gte": SON([("chain", chain), ("n", 0)]),
            "$lt": SON([("chain", chain), ("n", MaxKey())]),
        }
    }


def _document(entry: Entry) -> Document:
    return {
        "_id": SON([("chain", entry.chain), ("n", entry.n)]),
        "at": entry.at,
        "kind": entry.kind,
        "actor": entry.actor,
        "detail": entry.detail,
        "prev": entry.prev,
        "mac": entry.mac,
    }


def _entry(document: Document) -> Entry:
    # An altered document may lack fields: what is missing reads as empty, and its MAC will not match.
    place = document["_id"] if isinstance(document["_id"], dict) else {}
    n = place.get("n")
    at = document.get("at")
    detail = document.get("detail")
    return Entry(
        str(place.get("chain", "")),
        n if isinstance(n, int) else -1,
        at if isinstance(at, int) else -1,
        str(document.get("kind", "")),
        str(document.get("actor", "")),
        detail if isinstance(detail, dict) else {},
        _bytes(document.get("prev")),
        _bytes(document.get("mac")),
    )


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes) else b""
