"""The audit log's collection: entries are inserted and read, never changed, and removed for their age alone.

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
from contextlib import nullcontext
from typing import NamedTuple, TypeAlias, TypeGuard

import bson
import pymongo
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.son import SON
from pymongo.errors import BulkWriteError, DuplicateKeyError

from app.core.personal_data import Personal, Restored
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Document, Store, translated

NAME = "audit"
COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="who read what: subject tokens, no names",
            locate="tokens of the person",
            export="readings, recipients",
            erase="stays: proof of what was done; tokens name nobody without the keys",
            retain="`SILLAGE_AUDIT_DAYS`",
            apart={
                "locate": "`app/people/audit_search.py`: a search that is on record itself",
                "export": "`app/people/access_package/recipients.py`: recipients, without which reader did what",
                "erase": "none: proof of what was done; tokens name nobody without the keys",
                "retain": "`app/governance/audit/retention.py`: by `SILLAGE_AUDIT_DAYS`, in closed chains",
            },
        ),
        (
            Index("at_id", (("at", 1), ("_id", 1))),
            Index("kind_at_id", (("kind", 1), ("at", 1), ("_id", 1))),
        ),
        restored=Restored.ADDED,
    ),
)

# JSON values: what another kind of value would read back as differs from what its MAC covered.
Detail: TypeAlias = Mapping[str, object]

TOKEN_FIELDS = ("tokens", "subjects", "subject", "person")
"""Fields of an entry's detail that hold blind index entries of data subjects, in hexadecimal."""

_DUPLICATE = 11000
# A search by data subject reads every entry of its period.
_SEARCH_SECONDS = 600.0
_PAGE = 5_000
_FIELDS = frozenset({"_id", "at", "kind", "actor", "detail", "prev", "mac"})
# Whoever can write to the database can put anything there, and no document may end the check of the others:
# text that is not UTF-8, dates beyond Python's calendar and UUIDs of any length are read as something.
_LENIENT: CodecOptions[Document] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


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


class Listed(NamedTuple):
    """Entries, and the place of the last one when others follow (for ``after``), else None."""

    entries: list[Entry]
    further: bytes | None


class AuditRepository:
    """Reads and inserts audit entries."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME).with_options(codec_options=_LENIENT)

    def insert(self, entries: Sequence[Entry]) -> bool:
        """Insert entries of one chain, in order, in one round trip; durable when this returns.

        Returns:
            False when a place was already taken; the entries before it, and only they, were inserted.
        """
        documents = [_document(entry) for entry in entries]
        with translated():
            try:
                if len(documents) == 1:  # half the work of a bulk of one
                    self._collection.insert_one(documents[0])
                else:
                    self._collection.insert_many(documents, ordered=True)
            except DuplicateKeyError:
                return False
            except BulkWriteError as failed:
                if any(error["code"] != _DUPLICATE for error in failed.details["writeErrors"]):
                    raise
                return False
        return True

    def ship(self, entries: Sequence[Entry]) -> int:
        """Insert what is not there yet of entries that have their places; durable when this returns.

        Returns:
            The number of places that hold another entry, as they did before.
        """
        with translated():
            try:
                self._collection.insert_many(map(_document, entries), ordered=False)
                return 0
            except BulkWriteError as failed:
                refused = failed.details["writeErrors"]
                if any(error["code"] != _DUPLICATE for error in refused):
                    raise
                taken = [entries[error["index"]] for error in refused]
            ids = [_document(entry)["_id"] for entry in taken]
            there = {(one.n, one.mac) for one in map(_entry, self._collection.find({"_id": {"$in": ids}}))}
        return sum((entry.n, entry.mac) not in there for entry in taken)

    def open_spools(self) -> dict[str, tuple[str, int]]:
        """The host of each chain that is written in a spool and not closed, and when its last entry here was written.

        Whether these entries are genuine nobody looks.
        """
        spooled = {"kind": "chain-opened", "detail.host": {"$type": "string"}}
        with translated():
            hosts = {
                str(document["_id"]["chain"]): str(document["detail"]["host"])
                for document in self._collection.find(spooled, {"detail.host": 1})
                if isinstance(document["_id"], dict) and "chain" in document["_id"]
            }
            for document in self._collection.find({"kind": "chain-closed"}, {"_id": 1}):
                hosts.pop(str(document["_id"].get("chain")) if isinstance(document["_id"], dict) else "", None)
        heads = ((chain, host, self.head(chain)) for chain, host in hosts.items())
        return {chain: (host, head.at) for chain, host, head in heads if head is not None}

    def head(self, chain: str) -> Entry | None:
        """The last entry of a chain."""
        with translated():
            document = self._collection.find_one(_places(chain), sort=[("_id", -1)])
        return _entry(document) if document else None

    def last_at(self, kinds: Sequence[str], until: int) -> int | None:
        """The instant at which the newest entry of one of these kinds was written, up to ``until`` (microseconds)."""
        query = {"kind": {"$in": list(kinds)}, "at": {"$type": ["int", "long"], "$lte": until}}
        with translated():
            document = self._collection.find_one(query, {"at": 1}, sort=[("at", -1)])
        return int(document["at"]) if document else None

    def by_actor(self, kind: str, since: int, *, outcome: str) -> dict[str, tuple[int, int]]:
        """The number of entries of a kind with an outcome, written at or after ``since``, and when the newest was."""
        query: Document = {"kind": kind, "actor": {"$type": "string"}, "detail.outcome": outcome}
        query["at"] = {"$type": ["int", "long"], "$gte": since}
        group = {"_id": "$actor", "number": {"$sum": 1}, "at": {"$max": "$at"}}
        with translated():
            found = self._collection.aggregate([{"$match": query}, {"$group": group}])
            return {str(each["_id"]): (int(each["number"]), int(each["at"])) for each in found}

    def heads(self, since: int) -> list[Head]:
        """The last entry of each chain that has one at or after ``since`` (microseconds), by chain."""
        # The places come from the index by time alone; the MACs are then read for one entry a chain.
        number = {"$cond": [{"$in": [{"$type": "$_id.n"}, ["int", "long"]]}, "$_id.n", None]}
        with translated():
            last = self._collection.aggregate(
                [
                    {"$match": {"at": {"$gte": since}}},
                    {"$project": {"_id": 1}},
                    {"$group": {"_id": "$_id.chain", "n": {"$max": number}}},
                ],
                hint="at_id",
            )
            places = [
                SON([("chain", document["_id"]), ("n", document["n"])])
                for document in last
                if type(document["_id"]) is str and document["n"] is not None
            ]
            found = self._collection.find({"_id": {"$in": places}}).sort("_id", 1)
            return [Head(entry.chain, entry.n, entry.mac) for entry in map(_entry, found)]

    def of_kinds(self, kinds: Sequence[str]) -> Iterator[Entry]:
        """Every entry of these kinds, in no promised order."""
        with translated():
            for document in self._collection.find({"kind": {"$in": list(kinds)}}, batch_size=1_000):
                yield _entry(document)

    def oldest(self) -> int | None:
        """The instant at which the oldest entry was written, microseconds; None when there is none."""
        with translated():
            document = self._collection.find_one({"at": {"$gte": 0}}, {"at": 1}, sort=[("at", 1)])
        return int(document["at"]) if document else None

    def since(self, kinds: Sequence[str], since: int) -> Iterator[Entry]:
        """The entries of these kinds written at or after ``since`` (microseconds), kind by kind in order."""
        for kind in kinds:
            yield from self._in_order({"kind": kind}, since, None)

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
            # $expr compares values of any type with each other: a forged _id of another type does not end the stream.
            query = {"$expr": {"$gt": ["$_id", {"$literal": page[-1]["_id"]}]}}

    def newest(
        self,
        kinds: Sequence[str],
        before: int | None,
        after: bytes | None,
        limit: int,
        *,
        since: int | None = None,
        actor: str | None = None,
        tokens: Sequence[str] = (),
    ) -> Listed:
        """The newest entries first; those of one microsecond in the descending order of their places.

        Args:
            kinds: Of these kinds; of all when empty.
            before: Written before this, in microseconds since 1970 UTC.
            after: Where an earlier listing ended: its ``further``, from a trusted hand.
            limit: How many at most.
            since: Written at or after this, likewise.
            actor: By this one; by anybody when none.
            tokens: With one of these texts in one of ``TOKEN_FIELDS`` of the detail; any when empty.
        """
        query: Document = {"kind": {"$in": list(kinds)}} if kinds else {}
        bounds = {name: value for name, value in (("$lt", before), ("$gte", since)) if value is not None}
        if bounds:
            query["at"] = bounds
        if actor is not None:
            query["actor"] = actor
        if tokens:
            query["$or"] = [{f"detail.{name}": {"$in": list(tokens)}} for name in TOKEN_FIELDS]
        if after is not None:
            query |= _below(bson.decode(after, codec_options=_LENIENT))
        with translated():
            order: list[tuple[str, int]] = [("at", -1), ("_id", -1)]
            with pymongo.timeout(_SEARCH_SECONDS) if tokens or actor else nullcontext():
                found = list(self._collection.find(query).sort(order).limit(limit + 1))
        shown = found[:limit]
        last = {"at": shown[-1].get("at"), "_id": shown[-1]["_id"]} if len(found) > limit else None
        return Listed([_entry(document) for document in shown], None if last is None else bson.encode(last))

    def newest_of_each(self, kind: str, name: str) -> list[Entry]:
        """The newest entry of a kind for each value of a field of its detail."""
        with translated():
            found = self._collection.aggregate(
                [
                    {"$match": {"kind": kind}},
                    {"$sort": SON([("at", -1), ("_id", -1)])},
                    {"$group": {"_id": f"$detail.{name}", "entry": {"$first": "$$ROOT"}}},
                ]
            )
            return [_entry(document["entry"]) for document in found]

    def between(self, since: int, until: int) -> Iterator[Entry]:
        """The entries written from ``since`` to before ``until`` (microseconds), in that order; memory stays flat."""
        return self._in_order({}, since, until)

    def _in_order(self, asked: Document, since: int, until: int | None) -> Iterator[Entry]:
        # By pages, as ``stream``; beyond a page go on those of its last microsecond that were not in it.
        end: Document = {} if until is None else {"$lt": until}
        seen: list[object] = []
        while True:
            query = {**asked, "at": {"$gte": since, **end}, "_id": {"$nin": seen}}
            with translated():
                page = list(self._collection.find(query).sort([("at", 1), ("_id", 1)]).limit(_PAGE))
            for document in page:
                yield _entry(document)
            if len(page) < _PAGE:
                return
            last = page[-1]["at"]
            seen = (seen if since == last else []) + [each["_id"] for each in page if each["at"] == last]
            since = last

    # --- removing, for their age ----------------------------------------------------------------

    def chains_before(self, before: int) -> list[str]:
        """The chains that have an entry written before this (microseconds), oldest first; by the index by time."""
        with translated(), pymongo.timeout(_SEARCH_SECONDS):
            found = self._collection.aggregate(
                [{"$match": {"at": {"$lt": before}}}, {"$group": {"_id": "$_id.chain"}}, {"$sort": {"_id": 1}}],
                hint="at_id",
            )
            return [str(document["_id"]) for document in found if type(document["_id"]) is str]

    def last_before(self, chain: str, before: int) -> Entry | None:
        """The last of the entries at the front of a chain that were all written before this; None for none."""
        with translated():
            younger = self._collection.find_one(
                {**_places(chain), "at": {"$gte": before}}, {"_id": 1}, sort=[("_id", 1)]
            )
            end: object = MaxKey() if younger is None else younger["_id"]["n"]
            document = self._collection.find_one(_places(chain, end), sort=[("_id", -1)])
        return _entry(document) if document else None

    def front(self, chain: str, last: int) -> Iterator[Entry]:
        """The entries of a chain from its first up to this place, in order; memory stays flat."""
        with translated():
            for document in self._collection.find(_places(chain, last + 1)).sort("_id", 1).batch_size(_PAGE):
                yield _entry(document)

    def readings(self, chain: str, kinds: Sequence[str], after: int, last: int) -> Iterator[Entry]:
        """The entries of a chain of these kinds beyond a place, up to another, in order; memory stays flat."""
        asked = {**_places(chain, last + 1, after + 1), "kind": {"$in": list(kinds)}}
        with translated():
            for document in self._collection.find(asked).sort("_id", 1).batch_size(_PAGE):
                yield _entry(document)

    def remove_front(self, chain: str, last: int) -> int:
        """Remove the entries of a chain up to this place, in order; how many."""
        with translated(), pymongo.timeout(_SEARCH_SECONDS):
            return self._collection.delete_many(_places(chain, last + 1)).deleted_count


def _below(place: Document) -> Document:
    # By value and not by $lt of a query, which looks at values of one type only: an altered entry, whose ``at`` is no
    # number, hides none of the others.
    at, id = {"$literal": place["at"]}, {"$literal": place["_id"]}
    earlier: Document = {"$lt": [{"$ifNull": ["$at", None]}, at]}
    return {"$expr": {"$and": [{"$lte": ["$at", at]}, {"$or": [earlier, {"$lt": ["$_id", id]}]}]}}


def _places(chain: str, end: object = MaxKey(), begin: int = 0) -> Document:
    # A range over the compound _id: SON keeps the order of the fields, which is part of the comparison.
    return {
        "_id": {
            "$gte": SON([("chain", chain), ("n", begin)]),
            "$lt": SON([("chain", chain), ("n", end)]),
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
    place = document["_id"] if isinstance(document["_id"], dict) else {}
    n = place.get("n")
    at = document.get("at")
    detail = document.get("detail")
    mac = document.get("mac")
    prev = document.get("prev")
    return Entry(
        str(place.get("chain", "")),
        n if _is_int(n) else -1,
        at if _is_int(at) else -1,
        str(document.get("kind", "")),
        str(document.get("actor", "")),
        detail if isinstance(detail, dict) else {},
        prev if isinstance(prev, bytes) else b"",
        # What is not of the form that ``_document`` gives was not written here: no MAC is right for it.
        mac if isinstance(mac, bytes) and _well_formed(document, place) else b"",
    )


def _well_formed(document: Document, place: Document) -> bool:
    return (
        document.keys() == _FIELDS
        and list(place) == ["chain", "n"]
        and _is_int(place["n"])
        and _is_int(document["at"])
        and all(type(text) is str for text in (place["chain"], document["kind"], document["actor"]))
        and type(document["detail"]) is dict
        and type(document["prev"]) is bytes
    )


def _is_int(value: object) -> TypeGuard[int]:
    return type(value) in (int, Int64)
