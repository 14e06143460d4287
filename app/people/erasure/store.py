"""Erasures under way and done, and what they do to statements of others: by the batch, conditional, repeatable.

Document::

    _id           UUID
    phase         str      see ``PHASES``; the next step to be done
    destroyed     date     when the keys were destroyed
    actor         str      who asked: credential id or ``cli:<command>``
    case          str      id of the request that it answers; absent if none
    tombstones    [binary(16)]  ids of its tombstones
    subjects      [binary(16)]  while it is under way: subject tokens
    tokens        [[binary(12), binary(12)]]  while it is under way: agent and related-agent token of each identifier
    named         [binary(12)]  while it is under way: what the audit log calls the data subject in queries
    recipients    [{name, way, purpose, activity, number, first, last}]  who received what is erased
    pseudonyms    [str]    sources in whose statements the data subject stood under a pseudonym of what was given
    placeholder   str      while it is under way: the name that stands for the data subject in statements of others
    until_stored  int64    what was stored at or before this is erased; microseconds since 1970 UTC
    counts        {str: int}  what was found and done
    months        [{source, month, statements}]  their own statements, by the month of ``stored``
    aggregates    {recounted, published}  lists of {aggregate, month}
    claim         {by, until}  who is at it, until when (date)
    finished      date     absent until it is done
    receipt       binary   signed, once it is done

No identity stands in it; the tokens go with its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import pymongo
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from app.core.errors import DatabaseUnavailable
from app.core.personal_data import Personal, Restored
from app.keys.learners import NAME as SUBJECTS
from app.people.erasure.tombstones import Tombstone, Tombstones
from app.platform.cluster.claim_store import Claims
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Document, Store, translated
from app.traces.statements.attachment_store import NAME as ATTACHMENTS
from app.traces.statements.attachment_store import AttachmentRepository
from app.traces.statements.store import NAME as STATEMENTS
from app.traces.statements.store import SOME_TOKENS, Position, carried

NAME = "erasures"
# The tokens are there as long as it is under way.
COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="erasures: tokens while they are under way, recipients, receipts without a name",
            locate="tokens, while under way",
            export="none: the receipt is given to whom it concerns",
            erase="tokens go with the last step",
            retain="kept as proof",
            restore="those under way go on",
            apart={
                "locate": "none: by tokens while it is under way, and by nothing later",
                "export": "none: the receipt is given to whom it concerns",
                "erase": "`app/people/erasure/store.py`: the last step takes the tokens out",
                "retain": "none: kept as proof",
            },
        ),
        (Index("open", (("destroyed", 1),), only_with="tokens"),),
        restored=Restored.IN_FORCE,
    ),
)

FORGETTING = "forgetting"
DELETING = "deleting"
REDACTING = "redacting"
REFERRING = "referring"
RECOUNTING = "recounting"
DONE = "done"
PHASES = (FORGETTING, DELETING, REDACTING, REFERRING, RECOUNTING, DONE)
"""Wait until no process has the keys; delete what is theirs; take them out of statements of others; refresh the tokens
that referring statements carry; count the aggregates again; done."""

_TRIES = 5
_COUNT_SECONDS = 600.0


class Erasure(NamedTuple):
    """An erasure as stored; see the module's text."""

    id: UUID
    phase: str
    destroyed: datetime
    actor: str
    request: str | None
    tombstones: tuple[bytes, ...]
    subjects: tuple[bytes, ...]
    tokens: tuple[tuple[bytes, bytes], ...]
    placeholder: str
    until_stored: int
    counts: Mapping[str, int]
    months: tuple[Mapping[str, object], ...]
    aggregates: Mapping[str, Sequence[Mapping[str, str]]]
    finished: datetime | None
    receipt: bytes | None
    named: tuple[bytes, ...] = ()
    recipients: tuple[Mapping[str, object], ...] = ()
    pseudonyms: tuple[str, ...] = ()

    @property
    def flat(self) -> tuple[bytes, ...]:
        """Every token by which statements name the data subject."""
        return tuple(token for pair in self.tokens for token in pair)


class Redaction(NamedTuple):
    """A statement to be changed in place, if its body and tokens are still those that were read.

    Attributes:
        id: Of the statement.
        read: Sealed body as it was read.
        found_by: Its tokens as they were read.
        body: Sealed body as it is to be; None: only the tokens change.
        tokens: Its tokens as they are to be.
    """

    id: UUID
    read: bytes
    found_by: tuple[bytes, ...]
    body: bytes | None
    tokens: tuple[bytes, ...]


class Referring(NamedTuple):
    """Outcome of a pass over referring statements: how many it looked at and changed, and where it ended."""

    seen: int
    changed: int
    place: Position | None


class ErasureRepository:
    """Keeps erasures. Whoever works on one holds its claim."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._collection = store.collection(NAME)
        self.claims = Claims(self._collection)
        self._subjects = store.collection(SUBJECTS)
        self._tombstones = Tombstones(store)

    def begin(self, erasure: Erasure, tombstones: Sequence[Tombstone], keys: Sequence[bytes]) -> int:
        """Destroy the learners' keys: in one transaction with the tombstones and the erasure itself.

        Args:
            erasure: As it begins.
            tombstones: To be kept.
            keys: Subject tokens whose keys are to be destroyed.

        Returns:
            How many keys there were.

        Raises:
            DatabaseUnavailable: nothing was done, or it is not known; asking again is safe.
        """

        def destroy(session: ClientSession) -> int:
            gone = self._subjects.delete_many({"_id": {"$in": list(keys)}}, session=session).deleted_count
            self._tombstones.keep(tombstones, session)
            document = _document(erasure)
            document["counts"] = {**erasure.counts, "keys": gone}
            self._collection.insert_one(document, session=session)
            return gone

        return self._together(destroy)

    def begin_bare(self, erasure: Erasure, *, made_before: datetime) -> bool:
        """Destroy the one key of an erasure that has no tombstones: in one transaction with the erasure itself.

        Args:
            erasure: As it begins, of one subject.
            made_before: Only if the key was made before this; else nothing is done.

        Returns:
            True if there was such a key.

        Raises:
            DatabaseUnavailable: nothing was done, or it is not known; asking again is safe.
        """
        (subject,) = erasure.subjects

        def destroy(session: ClientSession) -> int:
            asked: Document = {"_id": subject, "created": {"$lt": made_before}}
            gone = self._subjects.delete_one(asked, session=session).deleted_count
            if gone:
                self._collection.insert_one(_document(erasure), session=session)
            return gone

        return self._together(destroy) == 1

    def drop(self, id: UUID) -> None:
        """Forget an erasure that has no tombstones, once it is done."""
        with translated():
            self._collection.delete_one({"_id": id, "tombstones": []})

    def _together(self, destroy: Callable[[ClientSession], int]) -> int:
        """Destroy keys in a transaction, which is tried again when others write the same keys."""
        for attempt in range(_TRIES):
            try:
                with translated(), self._store.transaction() as session:
                    return destroy(session)
            except DatabaseUnavailable as failed:
                # A rewrap, or a first statement, writes the same keys at this moment.
                cause = failed.__cause__
                conflict = isinstance(cause, PyMongoError) and cause.has_error_label("TransientTransactionError")
                if not conflict or attempt == _TRIES - 1:
                    raise
        raise DatabaseUnavailable("Others write the same keys. Ask again.")

    def get(self, id: UUID) -> Erasure | None:
        """One erasure."""
        with translated():
            found = self._collection.find_one({"_id": id})
        return None if found is None else _erasure(found)

    def open(self) -> list[Erasure]:
        """Those under way, the oldest first."""
        with translated():
            return [
                _erasure(each) for each in self._collection.find({"tokens": {"$exists": True}}).sort("destroyed", 1)
            ]

    def under_way(self, subjects: Iterable[bytes]) -> dict[bytes, int | None]:
        """Those of these subjects whose erasure is under way, and up to which ``stored`` what is theirs is erased.

        None for the bound: it is not known yet, whatever does not open may have been sealed with the destroyed key.
        """
        wanted = set(subjects)
        query = {"tokens": {"$exists": True}, "subjects": {"$in": list(wanted)}}
        with translated():
            found = list(self._collection.find(query, {"subjects": 1, "phase": 1, "until_stored": 1}))
        bounds: dict[bytes, int | None] = {}
        for each in found:
            bound = None if each["phase"] == FORGETTING else int(each["until_stored"])
            for subject in wanted.intersection(map(bytes, each["subjects"])):
                known = bounds.get(subject, -1)
                # Of two that are under way at once, the further one holds.
                bounds[subject] = None if bound is None or known is None else max(bound, known)
        return bounds

    def open_since(self) -> list[datetime]:
        """The begin of each of those under way, the oldest first."""
        with translated():
            found = self._collection.find({"tokens": {"$exists": True}}, {"destroyed": 1}).sort("destroyed", 1)
            return [one["destroyed"] for one in found]

    def begun(self, since: datetime, before: datetime) -> list[str]:
        """The actor of each of those begun in a period."""
        asked: Document = {"destroyed": {"$gte": since, "$lt": before}}
        with translated():
            return [str(one["actor"]) for one in self._collection.find(asked, {"actor": 1})]

    def newest(self, limit: int) -> list[Erasure]:
        """The newest, done or not."""
        with translated():
            return [_erasure(each) for each in self._collection.find({}).sort("destroyed", -1).limit(limit)]

    def advance(self, erasure: Erasure, by: bytes, phase: str, **changes: object) -> Erasure:
        """Note that a step is done, and what came of it.

        Raises:
            DatabaseUnavailable: another has the claim now.
        """
        return self._changed(
            {"_id": erasure.id, "phase": erasure.phase, "claim.by": by}, {"$set": {"phase": phase, **changes}}
        )

    def finish(self, erasure: Erasure, by: bytes, finished: datetime, receipt: bytes) -> Erasure:
        """Note that everything is done; the tokens go.

        Raises:
            DatabaseUnavailable: another has the claim now.
        """
        return self._changed(
            {"_id": erasure.id, "claim.by": by},
            {
                "$set": {"phase": DONE, "finished": finished, "receipt": receipt},
                "$unset": {"tokens": "", "subjects": "", "named": "", "placeholder": "", "claim": ""},
            },
        )

    def _changed(self, asked: Document, change: Document) -> Erasure:
        with translated():
            # Not find_one_and_update: MongoDB keeps what that gives, for a retry, in a collection of its own.
            done = self._collection.update_one(asked, change).matched_count
            found = self._collection.find_one({"_id": asked["_id"]}) if done else None
        if found is None:
            raise DatabaseUnavailable("Another process goes on with this erasure.")
        return _erasure(found)

    def note_months(self, id: UUID, recounted: Sequence[tuple[str, str]], published: Sequence[tuple[str, str]]) -> None:
        """Note what becomes of months of aggregates, as pairs of aggregate and month; each once."""
        with translated():
            self._collection.update_one(
                {"_id": id},
                {
                    "$addToSet": {
                        f"aggregates.{name}": {"$each": [{"aggregate": one, "month": month} for one, month in pairs]}
                        for name, pairs in (("recounted", recounted), ("published", published))
                    }
                },
            )

    def add(self, id: UUID, counts: Mapping[str, int]) -> None:
        """Add to the counts."""
        if any(counts.values()):
            with translated():
                self._collection.update_one(
                    {"_id": id}, {"$inc": {f"counts.{name}": number for name, number in counts.items()}}
                )


class ErasureTargets:
    """Statements of others that name a data subject, or refer to theirs; and what is told of theirs before they go.

    What is kept of the data subject goes by the collections themselves (``app/core/personal_data.py``). Statements
    alone are of one data subject and name others.
    """

    def __init__(self, store: Store, attachments: AttachmentRepository) -> None:
        self._attachment_repository = attachments
        self._statements = store.collection(STATEMENTS)
        self._attachments = store.collection(ATTACHMENTS)

    def months(self, tokens: Sequence[bytes], subjects: Sequence[bytes], until: int) -> list[dict[str, object]]:
        """Their own statements stored at or before ``until``, by source and month of ``stored``."""
        month = {
            "$dateToString": {"format": "%Y-%m", "date": {"$toDate": {"$toLong": {"$divide": ["$stored", 1_000]}}}}
        }
        stages: list[Document] = [
            {"$match": _theirs(tokens, subjects, until)},
            {"$group": {"_id": {"source": "$source", "month": month}, "statements": {"$sum": 1}}},
            {"$sort": {"_id.source": 1, "_id.month": 1}},
        ]
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return [
                {
                    "source": str(each["_id"]["source"]),
                    "month": str(each["_id"]["month"]),
                    "statements": int(each["statements"]),
                }
                for each in self._statements.aggregate(stages)
            ]

    def release_data(self, statement: UUID, marks: Sequence[bytes]) -> None:
        """A statement does not declare attachments with these marks any more: what no other declares is deleted."""
        wanted = {"statements": statement, "mark": {"$in": list(marks)}}
        with translated():
            found = list(self._attachments.find(wanted, {"statements": 1}))
            alone = [bytes(each["_id"]) for each in found if set(each["statements"]) == {statement}]
            self._attachment_repository.drop(alone)
            self._attachments.update_many(wanted, {"$pull": {"statements": statement}})

    def redact(self, redactions: Sequence[Redaction]) -> int:
        """Change statements in place, each where it is still as it was read; how many were."""
        if not redactions:
            return 0
        changes = [
            UpdateOne(
                # The tokens too: who enters schools and days, or moves to another index key, leaves the body.
                {"_id": each.id, "body": each.read, "t": list(each.found_by)},
                {"$set": {"t": list(each.tokens), **({} if each.body is None else {"body": each.body})}},
            )
            for each in redactions
        ]
        with translated():
            return self._statements.bulk_write(changes, ordered=False).modified_count

    def refresh_referring(self, tokens: Sequence[bytes], after: Position | None, limit: int) -> Referring:
        """Have the next statements that refer to one with these tokens carry what that one's tokens are by now.

        What is carried of a statement that is gone goes too. A chain is refreshed as it is; nothing is followed anew.
        """
        wanted = set(tokens)
        query: Document = {"refs": {"$exists": True}, "refs.t": {"$in": list(tokens)}}
        if after is not None:
            query |= {"stored": {"$gte": after.stored}, "_id": {"$nin": list(after.seen)}}
        with translated():
            found = list(self._statements.find(query, {"refs": 1, "stored": 1}).sort([("stored", 1)]).limit(limit))
            if not found:
                return Referring(0, 0, after)
            named = {one["i"] for each in found for one in each["refs"] if not wanted.isdisjoint(map(bytes, one["t"]))}
            targets = self._statements.find(
                {"_id": {"$in": list(named)}, "stored": {"$exists": True}}, {"t": SOME_TOKENS}
            )
            now = {each["_id"]: each["t"] for each in targets}
            changes = [change for each in found if (change := _refreshed(each, named, now)) is not None]
            changed = self._statements.bulk_write(changes, ordered=False).modified_count if changes else 0
        last = int(found[-1]["stored"])
        earlier = after.seen if after is not None and after.stored == last else ()
        seen = (*earlier, *(each["_id"] for each in found if int(each["stored"]) == last))
        return Referring(len(found), changed, Position(last, seen))


def _refreshed(referring: Document, named: set[UUID], now: Mapping[UUID, Sequence[object]]) -> UpdateOne | None:
    kept = carried(
        {"i": each["i"], "t": now[each["i"]]} if each["i"] in named else each
        for each in referring["refs"]
        if each["i"] not in named or each["i"] in now
    )
    if kept == referring["refs"]:
        return None
    # Only as it was read: who links a chain meanwhile has read the present tokens.
    asked = {"_id": referring["_id"], "refs": referring["refs"]}
    return UpdateOne(asked, {"$set": {"refs": kept}} if kept else {"$unset": {"refs": ""}})


def _theirs(tokens: Sequence[bytes], subjects: Sequence[bytes], until: int) -> Document:
    return {
        "t": {"$in": list(tokens)},
        "stored": {"$gte": 0, "$lte": until},
        "subject": {"$in": list(subjects)},
    }


def _document(erasure: Erasure) -> Document:
    document: Document = {
        "_id": erasure.id,
        "phase": erasure.phase,
        "destroyed": erasure.destroyed,
        "actor": erasure.actor,
        "tombstones": list(erasure.tombstones),
        "subjects": list(erasure.subjects),
        "tokens": [list(pair) for pair in erasure.tokens],
        "placeholder": erasure.placeholder,
        "until_stored": erasure.until_stored,
        "counts": dict(erasure.counts),
        "months": [dict(each) for each in erasure.months],
        "aggregates": {},
        "named": list(erasure.named),
        "recipients": [dict(each) for each in erasure.recipients],
        "pseudonyms": list(erasure.pseudonyms),
    }
    if erasure.request is not None:
        document["case"] = erasure.request
    return document


def _erasure(found: Document) -> Erasure:
    receipt = found.get("receipt")
    return Erasure(
        found["_id"],
        found["phase"],
        found["destroyed"],
        found["actor"],
        found.get("case"),
        tuple(map(bytes, found["tombstones"])),
        tuple(map(bytes, found.get("subjects", ()))),
        tuple((bytes(agent), bytes(related)) for agent, related in found.get("tokens", ())),
        found.get("placeholder", ""),
        int(found["until_stored"]),
        {name: int(number) for name, number in found["counts"].items()},
        tuple(found["months"]),
        found["aggregates"],
        found.get("finished"),
        None if receipt is None else bytes(receipt),
        tuple(map(bytes, found.get("named", ()))),
        tuple(found.get("recipients", ())),
        tuple(found.get("pseudonyms", ())),
    )
