"""New keys for learners: how far a rekey has come, and the writes to learners' keys that go with it.

Document of ``rekeyings``, one a rekey; the latest is the one that is under way, or was done last::

    _id       int     1 for the first, one more for each
    stage     str     see ``Stage``
    since     date    when it reached that stage, MongoDB's clock
    started   date    when it began
    finished  date    when no old key was left; absent while it is under way
    given     binary(16)  while keys are given out: learners up to this subject have theirs
    learners  int     how many got a key
    until     int64   what was stored up to it may be under an old key; absent until that is known
    part      str     collection that it is at; absent before the first
    after     any     how far it has come in there: ``stored`` of statements, ``_id`` of the others
    moved     int     values sealed anew: statements, and documents of other collections
    unopened  int     statements that do not open (erased or damaged), left as they are
    again     int     after it one with this number begins: a restore brought it back, and later ones had been done
    claim     {by, until}  who is at it, until when (date)

A learner who has two keys has the one that is to come in ``next``, beside ``key`` (``app/keys/learners.py``), both
under one version. This module writes there too: what it gives out is given in one transaction with the stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, PyMongoError

from app.core import clock
from app.core.errors import DatabaseUnavailable
from app.core.personal_data import Impersonal, Restored
from app.crypto.keys import Wrapped
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Document, Store, translated

NAME = "rekeyings"
COLLECTIONS = (
    Declared(
        NAME,
        Impersonal("how far a rekey has come; one subject token of no meaning meanwhile"),
        restored=Restored.BY_ITSELF,
    ),
)
_SUBJECTS = "subjects"


class Stage(StrEnum):
    """Stage of a rekey.

    Every learner gets a second key, which opens (``giving-out``); every process learns of them (``given-out``); it
    seals, and what is there follows (``moving``); the first one is used no more, and goes (``closing``).
    """

    GIVING = "giving-out"
    GIVEN = "given-out"
    MOVING = "moving"
    CLOSING = "closing"
    DONE = "done"


ENCRYPTING_ANEW = frozenset({Stage.MOVING, Stage.CLOSING})
"""Stages at which the newer key of two seals."""


class Rekeying(NamedTuple):
    """A rekey; see the document. ``seconds``: since when it is at its stage."""

    number: int
    stage: Stage
    seconds: float
    started: datetime
    finished: datetime | None
    given: bytes | None
    learners: int
    until: int | None
    part: str | None
    after: object | None
    moved: int
    unopened: int
    again: int | None

    @property
    def under_way(self) -> bool:
        """True while the rekey has not ended."""
        return self.stage is not Stage.DONE


class Given(NamedTuple):
    """A learner's key as it was read, the same as it is to be wrapped, and the one that is to take its place."""

    subject: bytes
    before: Wrapped
    after: Wrapped
    next: Wrapped


def stage(collection: Collection[Document]) -> Stage | None:
    """The stage of the latest rekey; None when there was none yet."""
    with translated():
        found = collection.find_one({}, {"stage": 1}, sort=[("_id", -1)])
    return None if found is None else Stage(found["stage"])


class RekeyRepository:
    """Keeps rekeys, and gives learners' keys out and takes them back."""

    def __init__(self, store: Store, prefix: str = "") -> None:
        """``prefix``: of the names of collections; a restore fills others first."""
        self._store = store
        self._collection = store.collection(prefix + NAME)
        self._subjects = store.collection(prefix + _SUBJECTS)
        self._statements = store.collection("statements")

    def latest(self) -> Rekeying | None:
        """The rekey under way, or the one that was done last."""
        fields = {"age": {"$subtract": ["$$NOW", "$since"]}}
        with translated():
            found = list(self._collection.aggregate([{"$sort": {"_id": -1}}, {"$limit": 1}, {"$addFields": fields}]))
        return _rekeying(found[0]) if found else None

    def statements(self) -> int:
        """About how many statements there are, at once."""
        with translated():
            return self._statements.estimated_document_count()

    def begin(self, number: int) -> bool:
        """Begin a rekey; false when another process just did."""
        said = {"stage": Stage.GIVING, "since": "$$NOW", "started": "$$NOW"}
        counts = {"learners": 0, "moved": 0, "unopened": 0}
        with translated():
            try:
                self._collection.update_one(
                    {"_id": number, "stage": {"$exists": False}}, [{"$set": {**said, **counts}}], upsert=True
                )
            except DuplicateKeyError:
                return False
        return True

    def follow_with(self, number: int, again: int) -> None:
        """Note that after a rekey another one is to begin, with this number."""
        with translated():
            self._collection.update_one({"_id": number}, {"$set": {"again": again}})

    def advance(self, number: int, before: Stage, after: Stage) -> bool:
        """Reach the next stage; false when another process just did."""
        change: list[Document] = [
            {"$set": {"stage": after, "since": "$$NOW"}},
            {"$unset": ["given", "part", "after"]},
        ]
        with translated():
            return bool(self._collection.update_one({"_id": number, "stage": before}, change).matched_count)

    def bound(self, number: int, until: int) -> None:
        """Note up to where what was stored may be under an old key; what was noted first stays."""
        with translated():
            self._collection.update_one({"_id": number, "until": {"$exists": False}}, {"$set": {"until": until}})

    def mark(self, number: int, part: str, after: object, moved: int, unopened: int = 0) -> None:
        """Note how far it has come, and what was done since the last time."""
        change = {"$set": {"part": part, "after": after}, "$inc": {"moved": moved, "unopened": unopened}}
        with translated():
            self._collection.update_one({"_id": number, "stage": {"$in": [Stage.MOVING, Stage.CLOSING]}}, change)

    def finish(self, number: int) -> bool:
        """No old key is left; false when another process just noted so."""
        change: list[Document] = [
            {"$set": {"stage": Stage.DONE, "since": "$$NOW", "finished": "$$NOW"}},
            {"$unset": ["given", "part", "after", "claim"]},
        ]
        with translated():
            return bool(self._collection.update_one({"_id": number, "stage": Stage.CLOSING}, change).matched_count)

    # --- who is at it ---------------------------------------------------------------------------

    def claim(self, number: int, by: bytes, seconds: float) -> bool:
        """Take, or keep, the claim on a rekey; false when another has it."""
        now = clock.now()
        free = [{"claim": {"$exists": False}}, {"claim.until": {"$lt": now}}, {"claim.by": by}]
        claim = {"by": by, "until": now + timedelta(seconds=seconds)}
        with translated():
            done = self._collection.update_one({"_id": number, "$or": free}, {"$set": {"claim": claim}})
        return bool(done.matched_count)

    def release(self, number: int, by: bytes) -> None:
        """Give the claim back."""
        with translated():
            self._collection.update_one({"_id": number, "claim.by": by}, {"$unset": {"claim": ""}})

    # --- learners' keys -------------------------------------------------------------------------

    def give(self, number: int, keys: Sequence[Given], last: bytes) -> bool:
        """Give learners a second key, all or none of them, while the rekey is at that stage.

        Args:
            number: Of the rekey.
            keys: At least one; learners who have a second one already are not among them.
            last: Up to which subject every learner has one then.

        Returns:
            False, and nothing given, when the rekey is further by now, or one of the learners' keys was changed or
            destroyed: they are to be read again.
        """
        at_it = {"_id": number, "stage": Stage.GIVING}
        writes = [
            UpdateOne(
                {"_id": one.subject, "version": one.before.version, "key": one.before.sealed, "next": None},
                {"$set": {"version": one.after.version, "key": one.after.sealed, "next": one.next.sealed}},
            )
            for one in keys
        ]
        try:
            with translated(), self._store.transaction() as session:
                done = self._collection.update_one(
                    at_it, {"$set": {"given": last}, "$inc": {"learners": len(keys)}}, session=session
                )
                if done.matched_count and writes:
                    given = self._subjects.bulk_write(writes, ordered=False, session=session).matched_count
                if not done.matched_count or (writes and given < len(writes)):
                    session.abort_transaction()
                    return False
        except DatabaseUnavailable as failed:
            # An erasure, a rewrap or a first statement writes the same keys at this moment.
            cause = failed.__cause__
            if isinstance(cause, PyMongoError) and cause.has_error_label("TransientTransactionError"):
                return False
            raise
        return True

    def settle(self, after: bytes | None, limit: int) -> tuple[int, bytes | None]:
        """Destroy the first key of the next learners who have two: the second one takes its place.

        Returns:
            How many there were, and the last one; (0, None) when there are no more.
        """
        asked: Document = {"next": {"$exists": True}}
        if after is not None:
            asked["_id"] = {"$gt": after}
        with translated():
            found = list(
                self._subjects.find(asked, {"version": 1, "key": 1, "next": 1}).sort("_id", 1).hint("_id_").limit(limit)
            )
            if not found:
                return 0, None
            self._subjects.bulk_write(
                [
                    # As it was read: one that is wrapped anew at this moment is met by the next look.
                    UpdateOne(one, {"$set": {"key": one["next"]}, "$unset": {"next": ""}})
                    for one in found
                ],
                ordered=False,
            )
        return len(found), bytes(found[-1]["_id"])

    def two_keys(self) -> bool:
        """True while a learner has two keys."""
        with translated():
            return self._subjects.find_one({"next": {"$exists": True}}, {"_id": 1}) is not None


def _rekeying(found: Document) -> Rekeying:
    given = found.get("given")
    return Rekeying(
        int(found["_id"]),
        Stage(found["stage"]),
        found["age"] / 1000,
        found["started"],
        found.get("finished"),
        None if given is None else bytes(given),
        int(found["learners"]),
        found.get("until"),
        found.get("part"),
        found.get("after"),
        int(found["moved"]),
        int(found["unopened"]),
        found.get("again"),
    )
