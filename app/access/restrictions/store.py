"""Acts of data subjects on the use of their data: restriction (GDPR art. 18), objection (art. 21).

Document::

    _id         binary(16)  subject token
    who         binary      identifiers of the actor that it stands for, sealed with the key of the subject: what is
                            theirs is found by tokens of them. Of one who was erased it does not open; what holds stays
    since       date        when the first of these was noted
    restricted  date        since when it is restricted; absent: it is not
    objects     [str]       purposes objected to; absent: none
    refuse      true        new statements are refused at the door; absent: they are stored
    taken_out   date        when aggregates were counted again without them; absent: not yet, or they are in research

Each process holds who is there in memory, and forgets it when the access epoch moves
(``app/platform/cluster/membership.py``): a statement as it is stored says whose it is, so readers need no query to
leave some out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pymongo import UpdateOne

from app.core.personal_data import DataSubject, Erasing, Gone, Personal, PersonalDataStore, Restored
from app.crypto.documents import Layer, data_subject_layer
from app.platform.mongo.collection import DataContext, Declared, UnderLearners
from app.platform.mongo.connection import Document, Store, translated

NAME = "person_states"
PLACE = "person-state"
"""Place that the identifiers of data subjects are sealed for."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _layers(found: Mapping[str, Any], _: str) -> tuple[Layer, ...]:
    return (data_subject_layer(PLACE, bytes(found["_id"])),)


class DataSubjectStateData(PersonalDataStore):
    """Restrictions and objections in the rights of data subjects."""

    name = NAME

    def __init__(self, context: DataContext) -> None:
        self._collection = context.store.collection(NAME)

    def locate(self, who: DataSubject) -> Mapping[str, int]:
        """Identifiers of theirs for which something is noted."""
        with translated():
            return {"restrictions": self._collection.count_documents({"_id": {"$in": list(who.subjects)}})}

    def erase(self, asked: Erasing) -> Iterator[Gone]:
        """Delete what was noted of them up to the bound, but for an objection, which is to hold if they come back."""
        # A restriction of later is of who came back, and holds, however often this is done again.
        until = _EPOCH + timedelta(microseconds=asked.until)
        theirs: Document = {"_id": {"$in": list(asked.who.subjects)}, "restricted": {"$not": {"$gt": until}}}
        with translated():
            lasting = {"objects": {"$exists": False}, "refuse": {"$exists": False}}
            gone = self._collection.delete_many({**theirs, **lasting}).deleted_count
            self._collection.update_many(theirs, {"$unset": {"restricted": ""}})
        if gone:
            yield Gone(gone)


COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="restrictions and objections; identifiers encrypted with the learner's key",
            locate="subject token",
            export="standing",
            erase="the identifiers with the key; an objection stays, without a name",
            retain="until it is withdrawn",
            apart={
                "export": "`app/people/restriction.py`: what holds now, in `about.json` and on the page; a reading on "
                "record",
                "retain": "`app/people/restriction.py`: kept until it is withdrawn",
            },
        ),
        under_learners=UnderLearners(("who",), _layers),
        data=DataSubjectStateData,
        restored=Restored.IN_FORCE,
    ),
)

RESEARCH = "research"
PURPOSES = (RESEARCH,)
"""Purposes that a data subject may object to."""


class Restricted(NamedTuple):
    """A data subject whose data are only stored, and so kept (GDPR art. 18(2)): subject token, and tokens that find
    them as an agent.
    """

    subject: bytes
    agents: tuple[bytes, ...]


class SubjectIdentifiers(NamedTuple):
    """An actor that a data subject is: subject token; and identifiers, sealed."""

    subject: bytes
    who: bytes


class DataSubjectState(NamedTuple):
    """State of one identifier of a data subject; see the module's text."""

    subject: bytes
    since: datetime
    restricted: datetime | None
    objects: tuple[str, ...]
    refuses: bool
    who: bytes = b""


class States(NamedTuple):
    """Data subjects to be left out, by reason, as subject tokens.

    Attributes:
        restricted: Subjects whose data are only kept.
        objecting: Subjects who object to research.
        refusing: Subjects whose new statements are refused.
    """

    restricted: frozenset[bytes]
    objecting: frozenset[bytes]
    refusing: frozenset[bytes]

    @property
    def out_of_research(self) -> frozenset[bytes]:
        """Subjects that research is not made with."""
        return self.restricted | self.objecting


NOBODY = States(frozenset(), frozenset(), frozenset())


class DataSubjectStateRepository:
    """Reads and changes the states. Each change is one operation for each identifier, and may be repeated."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def restrict(self, ids: Sequence[SubjectIdentifiers], at: datetime) -> None:
        """Restrict; one that is restricted already keeps its date."""
        self._write([_upsert(one, at, {"$min": {"restricted": at}}) for one in ids])

    def lift(self, subjects: Iterable[bytes]) -> int:
        """End a restriction; for how many identifiers there was one."""
        return self._undo(subjects, {"restricted": {"$exists": True}}, {"$unset": {"restricted": ""}})

    def note_objection(self, ids: Sequence[SubjectIdentifiers], at: datetime, purposes: Sequence[str]) -> None:
        """Note an objection to these purposes, beside those that are there."""
        change = {"$addToSet": {"objects": {"$each": [*purposes]}}}
        self._write([_upsert(one, at, change) for one in ids])

    def refuse(self, ids: Sequence[SubjectIdentifiers], at: datetime) -> None:
        """Have new statements refused."""
        self._write([_upsert(one, at, {"$set": {"refuse": True}}) for one in ids])

    def withdraw(self, subjects: Iterable[bytes]) -> int:
        """Take objections back, the refusal of new statements with them; for how many identifiers there were some."""
        asked: Document = {"$or": [{"objects": {"$exists": True}}, {"refuse": True}]}
        return self._undo(subjects, asked, {"$unset": {"objects": "", "refuse": ""}})

    def of(self, subjects: Iterable[bytes]) -> list[DataSubjectState]:
        """The states of these subjects; one without any is left out."""
        with translated():
            return [_state(one) for one in self._collection.find({"_id": {"$in": [*subjects]}}).sort("_id", 1)]

    def every(self) -> list[DataSubjectState]:
        """All states."""
        with translated():
            return [_state(one) for one in self._collection.find({}, batch_size=10_000).sort("_id", 1)]

    def read(self) -> States:
        """Everybody's states."""
        restricted, objecting, refusing = [], [], []
        with translated():
            for one in self._collection.find({}, {"who": 0, "since": 0}, batch_size=10_000):
                subject = bytes(one["_id"])
                if "restricted" in one:
                    restricted.append(subject)
                if RESEARCH in one.get("objects", ()):
                    objecting.append(subject)
                if one.get("refuse"):
                    refusing.append(subject)
        return States(frozenset(restricted), frozenset(objecting), frozenset(refusing))

    def restricted(self) -> list[SubjectIdentifiers]:
        """Everybody who is restricted, for those who look for what is theirs."""
        with translated():
            found = self._collection.find({"restricted": {"$exists": True}}, {"who": 1}, batch_size=10_000)
            return [SubjectIdentifiers(bytes(one["_id"]), bytes(one["who"])) for one in found]

    def to_take_out(self) -> list[bytes]:
        """Subjects that are out of research, and that aggregates may still count."""
        asked: Document = {
            "$or": [{"restricted": {"$exists": True}}, {"objects": RESEARCH}],
            "taken_out": {"$exists": False},
        }
        with translated():
            return [bytes(one["_id"]) for one in self._collection.find(asked, {"_id": 1})]

    def taken_out(self, subjects: Sequence[bytes], at: datetime) -> None:
        """Note that aggregates were counted again without these."""
        with translated():
            self._collection.update_many({"_id": {"$in": [*subjects]}}, {"$set": {"taken_out": at}})

    def _write(self, changes: Sequence[UpdateOne]) -> None:
        with translated():
            self._collection.bulk_write(changes, ordered=False)

    def _undo(self, subjects: Iterable[bytes], asked: Document, change: Document) -> int:
        wanted = [*subjects]
        with translated():
            undone = self._collection.update_many({"_id": {"$in": wanted}, **asked}, change).modified_count
            # What says nothing any more is not kept: it names a data subject.
            empty: Document = {name: {"$exists": False} for name in ("restricted", "objects", "refuse")}
            self._collection.delete_many({"_id": {"$in": wanted}, **empty})
        return undone


class DataSubjectStates:
    """The states as this process knows them. Safe to share between threads.

    ``trusted`` says whether this process is in touch with the others: when it is not, it asks MongoDB each time.
    """

    def __init__(self, repository: DataSubjectStateRepository, trusted: Callable[[], bool] = lambda: False) -> None:
        self._repository = repository
        self._trusted = trusted
        self._known: list[States] = []

    def forget(self) -> None:
        """Have them read again."""
        # A new object rather than clear(): a reading under way must not refill what was emptied.
        self._known = []

    def current(self) -> States:
        """Everybody's states, as they were when this process last heard of a change."""
        known = self._known
        if known and self._trusted():
            return known[0]
        read = self._repository.read()
        known[:] = [read]
        return read


def _state(one: Document) -> DataSubjectState:
    return DataSubjectState(
        bytes(one["_id"]),
        one["since"],
        one.get("restricted"),
        tuple(one.get("objects", ())),
        bool(one.get("refuse", False)),
        bytes(one.get("who", b"")),
    )


def _upsert(one: SubjectIdentifiers, at: datetime, change: Document) -> UpdateOne:
    # Identifiers with each change: those of before an erasure, whose objection stayed, do not open any more, and by
    # these is found what must be kept of who came back.
    identified = {"$set": {**change.get("$set", {}), "who": one.who}}
    return UpdateOne({"_id": one.subject}, {**change, **identified, "$setOnInsert": {"since": at}}, upsert=True)
