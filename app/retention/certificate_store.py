"""Acts on the operator's word, and their signed certificates: the history of sources and of the register.

``certificates``, one document an act::

    _id       UUID
    kind      str      ``source-closed``, ``source-moved``, ``activity-ended``, ``statement-deleted``, ``data-deleted``
    at        date     when it was asked for
    actor     str      who asked: ``cli:<command>``
    word      str      on whose word: a function, not a name
    reason    str      why; nothing that tells a person
    activity  str      entry of the register, as the source was under it then
    source    str      id of the source; absent for ``activity-ended``
    to        str      of ``source-moved``: the entry that it is under now
    on        str      of ``activity-ended``: its last day (``2026-12-31``)
    statement UUID     of ``statement-deleted``
    since     int64    of ``data-deleted``: what was stored at or after it, microseconds since 1970 UTC
    until     int64    of a deletion: and before it; nothing that was stored later goes, whenever it is done again
    kept      [binary] of ``data-deleted``: subject tokens of those who were restricted, whose data stayed
    phase     str      ``waiting`` (for the day), ``deleting``, ``done``
    counts    {}       what went, and what stayed
    months    [str]    months whose figures are counted again (``2026-11``)
    batch     {}       the statements that are being deleted: their ids, and which of them were voided
    claim     {}       ``by``, ``until``: who goes on with it
    finished  date
    document  binary   the signed certificate, once it is done

Nothing personal: ids of statements, and tokens. They are never removed: a restore carries them out again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from app.core.personal_data import Personal, Restored
from app.platform.cluster.claim_store import Claims
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Document, Store, translated
from app.traces.statements.attachment_store import AttachmentRepository
from app.traces.statements.store import NAME as STATEMENTS

NAME = "certificates"
COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="acts on the operator's word: ids of statements, tokens of whose data stayed",
            locate="id of the statement",
            export="none: told by the act",
            erase="stays: proof of the deletion",
            retain="kept as proof",
            restore="carried out again",
            apart={
                "locate": "none: nobody is named; a token of whose data stayed names nobody without the keys",
                "export": "none: told by the act",
                "erase": "none: proof of the deletion (GDPR art. 5(2))",
                "retain": "none: kept as proof",
            },
        ),
        (
            Index("at", (("at", 1),)),
            Index("activity", (("activity", 1), ("at", 1))),
            Index("open", (("phase", 1), ("at", 1))),
        ),
        restored=Restored.IN_FORCE,
    ),
)

SOURCE_CLOSED = "source-closed"
SOURCE_MOVED = "source-moved"
ACTIVITY_ENDED = "activity-ended"
STATEMENT_DELETED = "statement-deleted"
DATA_DELETED = "data-deleted"
DELETIONS = frozenset({STATEMENT_DELETED, DATA_DELETED})

WAITING = "waiting"
DELETING = "deleting"
DONE = "done"

_DUPLICATE = 11000


class Batch(NamedTuple):
    """Statements that are being deleted: their ids, and those of them that were voided."""

    ids: tuple[UUID, ...]
    voided: tuple[UUID, ...]


class Act(NamedTuple):
    """An act as stored; see the module's text."""

    id: UUID
    kind: str
    at: datetime
    actor: str
    word: str
    reason: str
    activity: str
    source: str | None = None
    to: str | None = None
    on: str | None = None
    statement: UUID | None = None
    since: int | None = None
    until: int | None = None
    kept: tuple[bytes, ...] = ()
    phase: str = DONE
    counts: Mapping[str, int] = {}
    months: tuple[str, ...] = ()
    batch: Batch | None = None
    finished: datetime | None = None
    document: bytes | None = None


class CertificateRepository:
    """Keeps acts. Who deletes for one holds its claim."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)
        self.claims = Claims(self._collection)

    def add(self, act: Act) -> bool:
        """Keep a new act; False when it is there already."""
        with translated():
            done = self._collection.update_one({"_id": act.id}, {"$setOnInsert": _document(act)}, upsert=True)
        return done.upserted_id is not None

    def get(self, id: UUID) -> Act | None:
        """One act."""
        with translated():
            found = self._collection.find_one({"_id": id})
        return None if found is None else _act(found)

    def newest(self, limit: int, *, activity: str | None = None) -> list[Act]:
        """The newest acts, of one entry of the register if it is given."""
        with translated():
            asked = {} if activity is None else {"$or": [{"activity": activity}, {"to": activity}]}
            return [_act(each) for each in self._collection.find(asked).sort("at", -1).limit(limit)]

    def every(self) -> list[Act]:
        """All acts, the oldest first."""
        with translated():
            return [_act(each) for each in self._collection.find({}).sort([("at", 1), ("_id", 1)])]

    def finished(self, kinds: Iterable[str], since: datetime, before: datetime) -> list[dict[str, int]]:
        """The counts of each act of these kinds that ended in a period."""
        asked: Document = {"kind": {"$in": sorted(kinds)}, "finished": {"$gte": since, "$lt": before}}
        with translated():
            return [
                {name: int(count) for name, count in one["counts"].items()}
                for one in self._collection.find(asked, {"counts": 1})
            ]

    def open(self, phase: str) -> list[Act]:
        """Those in a phase, the oldest first."""
        with translated():
            return [_act(each) for each in self._collection.find({"phase": phase}).sort("at", 1)]

    def ends(self) -> dict[str, str]:
        """The last day of each entry of the register that has one; the last word counts."""
        with translated():
            found = self._collection.find({"kind": ACTIVITY_ENDED}, {"activity": 1, "on": 1}).sort("at", 1)
            return {str(each["activity"]): str(each["on"]) for each in found}

    def begin_batch(self, id: UUID, batch: Batch, months: Iterable[str]) -> None:
        """Note what is about to be deleted, so that whoever goes on after a kill does all that belongs to it."""
        noted = {"ids": list(batch.ids), "voided": list(batch.voided)}
        with translated():
            self._collection.update_one(
                {"_id": id}, {"$set": {"batch": noted}, "$addToSet": {"months": {"$each": sorted(months)}}}
            )

    def end_batch(self, id: UUID, batch: Batch, counts: Mapping[str, int]) -> None:
        """End a batch that was noted and is deleted: counted once, whoever did it."""
        with translated():
            self._collection.update_one(
                {"_id": id, "batch.ids.0": batch.ids[0]},
                {"$inc": {f"counts.{name}": count for name, count in counts.items()}, "$unset": {"batch": ""}},
            )

    def count(self, id: UUID, counts: Mapping[str, int]) -> None:
        """Set counts."""
        with translated():
            self._collection.update_one(
                {"_id": id}, {"$set": {f"counts.{name}": count for name, count in counts.items()}}
            )

    def reopen(self, id: UUID) -> None:
        """A deletion is to be done again; its certificate stays as it is."""
        with translated():
            self._collection.update_one({"_id": id}, {"$set": {"phase": DELETING}})

    def finish(self, id: UUID, finished: datetime, document: bytes | None) -> None:
        """It is done. ``document``: its certificate; None: it has one already."""
        said: Document = {"phase": DONE} if document is None else {"document": document, "finished": finished}
        with translated():
            self._collection.update_one({"_id": id}, {"$set": {**said, "phase": DONE}, "$unset": {"claim": ""}})


class Removal:
    """Finds and deletes statements of a source between two instants of ``stored``."""

    def __init__(self, store: Store, attachments: AttachmentRepository) -> None:
        self._statements = store.collection(STATEMENTS)
        self._attachments = attachments

    def next(self, source: Sequence[bytes], since: int, until: int, without: Sequence[bytes], limit: int) -> list[UUID]:
        """The ids of the oldest; ``source``: its blind index entries, ``without``: subjects whose statements stay."""
        asked: Document = {"t": {"$in": list(source)}, "stored": {"$gte": since, "$lt": until}}
        if without:
            asked["subject"] = {"$nin": list(without)}
        with translated():
            return [each["_id"] for each in self._statements.find(asked, {"_id": 1}).sort("stored", 1).limit(limit)]

    def delete(self, batch: Batch, until: int) -> None:
        """Delete statements stored before ``until``, with the attachments that only these declare.

        Of those that others refer to a placeholder stays, so that these are found through it if it comes again; of
        those that were voided one that voids it again.
        """
        ids = list(batch.ids)
        # First, so that none outlives its statements, whenever this process ends.
        self._attachments.release(ids)
        with translated():
            self._statements.delete_many({"_id": {"$in": ids}, "stored": {"$lt": until}})
            referred = self._statements.distinct("ref", {"ref": {"$in": ids}})
            changes = [
                UpdateOne({"_id": each, "stored": {"$exists": False}}, {"$inc": {"wait": 1}}, upsert=True)
                for each in referred
            ] + [
                UpdateOne(
                    {"_id": each, "stored": {"$exists": False}},
                    {"$set": {"void": True}, "$addToSet": {"by": None}},
                    upsert=True,
                )
                for each in batch.voided
            ]
            if not changes:
                return
            try:
                self._statements.bulk_write(changes, ordered=False)
            except BulkWriteError as failed:
                # One was sent again meanwhile: it is there, and waits for nothing.
                if any(each["code"] != _DUPLICATE for each in failed.details["writeErrors"]):
                    raise


def _document(act: Act) -> Document:
    document: Document = {name: value for name, value in act._asdict().items() if value is not None}
    del document["id"]
    document.pop("batch", None)
    document |= {"kept": list(act.kept), "months": list(act.months), "counts": dict(act.counts)}
    return document


def _act(found: Document) -> Act:
    given: dict[str, Any] = {name: found[name] for name in Act._fields if name in found}
    batch = found.get("batch")
    given |= {
        "kept": tuple(map(bytes, found["kept"])),
        "months": tuple(sorted(found["months"])),
        "counts": {name: int(count) for name, count in found["counts"].items()},
        "batch": None if batch is None else Batch(tuple(batch["ids"]), tuple(batch["voided"])),
        "document": None if found.get("document") is None else bytes(found["document"]),
    }
    return Act(id=found["_id"], **given)
