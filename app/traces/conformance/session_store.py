"""Sessions held to the patterns of profiles: sealed states, and how each stands.

Document of a session::

    _id      binary(16)  blind index entry of source, profile, registration, subregistration and order
    source   str         id of the source, clear
    live     bool        in the order of receipt (by the way in), or of timestamp (by the job)
    profile  str         IRI
    pattern  str         IRI of the primary pattern that it follows best
    outcome  str         ``success``, ``partial`` or ``failure``
    wanted   [str]       of a failure: templates one of which was needed where it went wrong
    found    [str]       of a failure: templates that the statement there follows
    at       int         of a failure: its place in the session, from 0
    subject  binary(16)  token of the learner whose key seals the state
    updated  int64       when it changed last, microseconds since 1970 UTC
    n        int         counts its changes
    by       binary(8)   random, of the change: tells a writer which of its changes were made
    state    binary      sealed state

``pattern_marks`` holds how far the job has read each source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from pymongo import InsertOne, ReplaceOne
from pymongo.errors import BulkWriteError

from app.core.personal_data import Impersonal, Personal
from app.crypto.documents import Layer, session_place
from app.platform.mongo.collection import DataContext, Declared, Index, UnderLearners
from app.platform.mongo.connection import Document, Store, translated
from app.platform.mongo.learner_collection import Export, LearnerCollection
from app.standards.xapi.timestamps import render
from app.traces.conformance.asked import Asked, among

SESSIONS = "pattern_sessions"
MARKS = "pattern_marks"


def _layers(found: Mapping[str, Any], _: str) -> tuple[Layer, ...]:
    return (Layer(bytes(found["subject"]), session_place(bytes(found["_id"]))),)


def _exported(found: Mapping[str, Any], _: Mapping[str, bytes]) -> Mapping[str, object]:
    row = _row(found)
    return {
        "source": row.source,
        "profile": row.profile,
        "pattern": row.pattern,
        "order": "receipt" if row.live else "timestamp",
        "outcome": row.outcome,
        "fault": None if row.fault is None else row.fault._asdict(),
        "updated": render(row.updated),
    }


class SessionData(LearnerCollection):
    """Sessions in the rights of data subjects."""

    def __init__(self, context: DataContext) -> None:
        export = Export("sessions/sessions", _exported)
        super().__init__(context, SESSIONS, _UNDER, counted="pattern_sessions", receipt="sessions", export=export)
        self._repository = SessionRepository(context.store)

    def expire(self, source: str, before: int) -> None:
        """Delete the sessions of a source that did not change since an instant: their statements are gone."""
        self._repository.forget(source, before)


_UNDER = UnderLearners(("state",), _layers, ("subject",))
COLLECTIONS = (
    Declared(
        SESSIONS,
        Personal(
            what="sessions under patterns of profiles, encrypted with learners' keys",
            locate="subject token",
            export="sessions",
            erase="with the key, then the documents",
            retain="with the statements of the session",
            restore="erased again by tombstones",
        ),
        (
            Index(
                "standing",
                (("source", 1), ("live", 1), ("profile", 1), ("pattern", 1), ("outcome", 1), ("updated", 1)),
            ),
            Index("age", (("source", 1), ("updated", 1))),
            Index("learner", (("subject", 1),)),
        ),
        under_learners=_UNDER,
        data=SessionData,
    ),
    Declared(MARKS, Impersonal("how far each source was followed")),
)


class Fault(NamedTuple):
    """The break of a session: its place in it, the templates wanted there and found there, by IRI."""

    at: int
    wanted: tuple[str, ...]
    found: tuple[str, ...]


class SessionRow(NamedTuple):
    """A session as stored; ``revision`` counts its changes, 0 for one that is not stored yet."""

    id: bytes
    source: str
    live: bool
    profile: str
    pattern: str
    outcome: str
    fault: Fault | None
    subject: bytes
    updated: int
    revision: int
    state: bytes


class Mark(NamedTuple):
    """Position up to which the job has read a source, with patterns of this fingerprint.

    Attributes:
        stored, seen: The place (``statements.Position``) after what was read.
    """

    stored: int
    seen: tuple[UUID, ...]
    fingerprint: str


class Standings(NamedTuple):
    """The number of sessions of a source that stand alike."""

    source: str
    live: bool
    profile: str
    pattern: str
    outcome: str
    sessions: int


class Breaks(NamedTuple):
    """The number of sessions that went wrong in the same way."""

    source: str
    live: bool
    pattern: str
    wanted: tuple[str, ...]
    found: tuple[str, ...]
    sessions: int


class SessionRepository:
    """Reads and writes sessions by the batch."""

    def __init__(self, store: Store) -> None:
        self._sessions = store.collection(SESSIONS)
        self._marks = store.collection(MARKS)

    def get(self, ids: Iterable[bytes]) -> dict[bytes, SessionRow]:
        """Those of these sessions that are stored."""
        with translated():
            found = self._sessions.find({"_id": {"$in": list(ids)}})
            return {row.id: row for row in map(_row, found)}

    def put(self, rows: Sequence[SessionRow], by: bytes) -> set[bytes]:
        """Store the new state of sessions, each where it is still as it was read.

        Args:
            rows: With the revision that was read.
            by: 8 random bytes of this writing.

        Returns:
            Ids of those that another writer changed meanwhile: read them again.
        """
        changes = [
            InsertOne(_document(row, by))
            if row.revision == 0
            else ReplaceOne({"_id": row.id, "n": row.revision}, _document(row, by))
            for row in rows
        ]
        if not changes:
            return set()
        with translated():
            try:
                done = self._sessions.bulk_write(changes, ordered=False)
                if done.inserted_count + done.matched_count == len(rows):
                    return set()
            except BulkWriteError as error:
                if any(each["code"] != 11000 for each in error.details["writeErrors"]):
                    raise
            wanted = {"_id": {"$in": [row.id for row in rows]}, "by": by}
            return {row.id for row in rows} - {bytes(each["_id"]) for each in self._sessions.find(wanted, {"_id": 1})}

    def standings(self, source: Asked = None, since: int | None = None) -> list[Standings]:
        """Counts by source, order, profile, pattern and outcome, of sessions changed at or after ``since``."""
        stages = [
            {"$match": _match(source, since)},
            _alike("source", "live", "profile", "pattern", "outcome"),
            {"$sort": {"_id": 1}},
        ]
        with translated():
            return [
                Standings(
                    row["_id"]["source"],
                    row["_id"]["live"],
                    row["_id"]["profile"],
                    row["_id"]["pattern"],
                    row["_id"]["outcome"],
                    int(row["count"]),
                )
                for row in self._sessions.aggregate(stages)
            ]

    def breaks(self, source: Asked = None, since: int | None = None, limit: int = 20) -> list[Breaks]:
        """The commonest ways in which sessions went wrong."""
        stages: list[Document] = [
            {"$match": {**_match(source, since), "outcome": "failure"}},
            _alike("source", "live", "pattern", "wanted", "found"),
            {"$sort": {"count": -1, "_id": 1}},
            {"$limit": limit},
        ]
        with translated():
            return [
                Breaks(
                    row["_id"]["source"],
                    row["_id"]["live"],
                    row["_id"]["pattern"],
                    tuple(row["_id"]["wanted"]),
                    tuple(row["_id"]["found"]),
                    int(row["count"]),
                )
                for row in self._sessions.aggregate(stages)
            ]

    def forget(
        self, source: str, before: int | None = None, *, live: bool | None = None, since: int | None = None
    ) -> int:
        """Delete the sessions of a source not changed since ``before`` (microseconds); how many there were.

        With ``since``, only those that changed at or after it.
        """
        wanted: Document = {"source": source}
        bounds = {name: bound for name, bound in (("$lt", before), ("$gte", since)) if bound is not None}
        if bounds:
            wanted["updated"] = bounds
        if live is not None:
            wanted["live"] = live
        with translated():
            return self._sessions.delete_many(wanted).deleted_count

    def marks(self) -> Mapping[str, Mark]:
        """The position up to which each source was read."""
        with translated():
            return {
                each["_id"]: Mark(each["stored"], tuple(each["seen"]), each["print"]) for each in self._marks.find({})
            }

    def mark(self, source: str, mark: Mark | None) -> None:
        """Note how far a source was read; None: not at all."""
        with translated():
            if mark is None:
                self._marks.delete_one({"_id": source})
            else:
                new = {"stored": mark.stored, "seen": [*mark.seen], "print": mark.fingerprint}
                self._marks.replace_one({"_id": source}, new, upsert=True)


def _alike(*keys: str) -> Document:
    return {"$group": {"_id": {key: f"${key}" for key in keys}, "count": {"$sum": 1}}}


def _match(source: Asked, since: int | None) -> Document:
    match: Document = {}
    if source is not None:
        match["source"] = among(source)
    if since is not None:
        match["updated"] = {"$gte": since}
    return match


def _document(row: SessionRow, by: bytes) -> Document:
    document: Document = {
        "_id": row.id,
        "source": row.source,
        "live": row.live,
        "profile": row.profile,
        "pattern": row.pattern,
        "outcome": row.outcome,
        "subject": row.subject,
        "updated": row.updated,
        "n": row.revision + 1,
        "by": by,
        "state": row.state,
    }
    if row.fault is not None:
        document |= {"at": row.fault.at, "wanted": [*row.fault.wanted], "found": [*row.fault.found]}
    return document


def _row(found: Mapping[str, Any]) -> SessionRow:
    fault = Fault(found["at"], tuple(found["wanted"]), tuple(found["found"])) if "at" in found else None
    return SessionRow(
        bytes(found["_id"]),
        found["source"],
        found["live"],
        found["profile"],
        found["pattern"],
        found["outcome"],
        fault,
        bytes(found["subject"]),
        int(found["updated"]),
        int(found["n"]),
        bytes(found["state"]),
    )
