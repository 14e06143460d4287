"""Data-subject requests, as stored.

Document::

    _id       str       random, public
    kind      str       access, portability, rectification, erasure, restriction, objection
    status    str       open, identified, done, refused
    received  str       day it came, ISO 8601
    due       str       last day to answer, ISO 8601
    answered  str       day it was done or refused, ISO 8601; absent while it waits
    subjects  [binary(16)]  subject tokens of the data subject
    n         int       number of changes: two writers do not undo each other
    sealed    binary    the steps: JSON, sealed with the documents key
    who       binary    the data subject's identifiers, and notes: JSON, sealed with the keys of all subjects, one after
                        another: it opens with none of them gone; empty when there is neither, the data subject being
                        erased
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import orjson
from pymongo.errors import DuplicateKeyError

from app.core.personal_data import DataSubject, Exported, Personal, PersonalDataStore, Restored
from app.crypto.documents import Layer, data_subject_layer, decrypt_layers
from app.people.requests.steps import DataSubjectRequest, Step
from app.platform.mongo.collection import DataContext, Declared, Index, UnderDocumentsKey, UnderLearners
from app.platform.mongo.connection import Document, Store, translated
from app.standards.xapi.timestamps import render

NAME = "cases"


def _layers(found: Mapping[str, Any], _: str) -> tuple[Layer, ...]:
    return tuple(data_subject_layer(place(str(found["_id"])), bytes(subject)) for subject in found["subjects"])


class DataSubjectRequestData(PersonalDataStore):
    """Requests in the rights of data subjects."""

    name = NAME

    def __init__(self, context: DataContext) -> None:
        self._repository = DataSubjectRequestRepository(context.store)
        self._keys = context.keys
        self._learners = context.learners

    def locate(self, who: DataSubject) -> Mapping[str, int]:
        """Their requests."""
        return {"cases": self._repository.count_of(who.subjects)}

    def export(self, who: DataSubject) -> Exported:
        """Their requests, with each step and what was noted."""
        return Exported("requests.json", self._items(who))

    def _items(self, who: DataSubject) -> Iterator[Mapping[str, object]]:
        for row in self._repository.of(who.subjects):
            keys = self._learners.existing(row.subjects)
            layers = [data_subject_layer(place(row.id), subject) for subject in row.subjects]
            decrypted = decrypt_layers(keys, self._keys.organisation, layers, row.who) if row.who else None
            request = request_of(row, self._keys.decrypt(place(row.id), row.sealed), decrypted)
            yield {
                "id": request.id,
                "kind": request.kind,
                "status": request.status,
                "received": request.received,
                "due": request.due,
                "extended": request.extended,
                "answered": request.answered,
                "late": request.late,
                # Who of the staff did it is not the data subject's to know (CJEU C-579/21).
                "steps": [
                    {"at": render(step.at), "step": step.what, "note": step.note, "detail": step.detail}
                    for step in request.steps
                ],
            }


COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="data-subject requests: identifiers and notes encrypted with the person's keys, "
            "steps with the documents key",
            locate="subject tokens",
            export="requests",
            erase="identifiers and notes with the keys; steps stay as proof",
            retain="`SILLAGE_REQUEST_DAYS`",
            apart={
                "erase": "none: identifiers and notes do not open without the keys; steps are the proof of the answer",
                "retain": "`app/people/requests/service.py`: the job `requests`, by when an answered one came",
            },
        ),
        (
            Index("due", (("status", 1), ("due", 1))),
            Index("subjects", (("subjects", 1),)),
        ),
        # Empty: the data subject was erased, and nothing of them is in it.
        under_learners=UnderLearners(("who",), _layers, ("subjects",), {"who": {"$ne": b""}}),
        under_documents_key=UnderDocumentsKey(("sealed",), lambda id, _: place(id)),
        data=DataSubjectRequestData,
        restored=Restored.IN_FORCE,
    ),
)


def place(id: str) -> str:
    """The place that the sealed parts of a request are bound to."""
    return f"case:{id}"


class DataSubjectRequestRow(NamedTuple):
    """A request as stored; see the module's text."""

    id: str
    kind: str
    status: str
    received: date
    due: date
    subjects: tuple[bytes, ...]
    n: int
    sealed: bytes
    who: bytes
    answered: date | None = None


class DataSubjectRequestDates(NamedTuple):
    """Dates and status of a request, by which it is counted: nothing of a data subject."""

    kind: str
    status: str
    received: date
    due: date
    answered: date | None


class DataSubjectRequestRepository:
    """Reads and writes requests."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def insert(self, row: DataSubjectRequestRow) -> bool:
        """Store a new request; False when its id is taken."""
        with translated():
            try:
                self._collection.insert_one(_document(row))
            except DuplicateKeyError:
                return False
        return True

    def replace(self, row: DataSubjectRequestRow) -> bool:
        """Write the next state of a request, which is number ``row.n``; False when another writer was first."""
        with translated():
            outcome = self._collection.replace_one({"_id": row.id, "n": row.n - 1}, _document(row))
        return outcome.matched_count == 1

    def get(self, id: str) -> DataSubjectRequestRow | None:
        """One request."""
        with translated():
            found = self._collection.find_one({"_id": id})
        return _row(found) if found else None

    def list(self, statuses: Sequence[str], due_until: date | None, limit: int) -> Sequence[DataSubjectRequestRow]:
        """Requests with one of these statuses, due up to a day, the most urgent first."""
        asked: Document = {"status": {"$in": [*statuses]}}
        if due_until is not None:
            asked["due"] = {"$lte": due_until.isoformat()}
        with translated():
            return [_row(one) for one in self._collection.find(asked).sort([("due", 1), ("_id", 1)]).limit(limit)]

    def count(self, statuses: Sequence[str], due_before: date | None = None) -> int:
        """The number that have one of these statuses, due before a day if given."""
        asked: Document = {"status": {"$in": [*statuses]}}
        if due_before is not None:
            asked["due"] = {"$lt": due_before.isoformat()}
        with translated():
            return self._collection.count_documents(asked)

    def count_late(self) -> int:
        """The number that were answered after the day that they were due."""
        # Days in ISO 8601 compare as text; few requests are kept.
        with translated():
            return self._collection.count_documents(
                {"answered": {"$exists": True}, "$expr": {"$gt": ["$answered", "$due"]}}
            )

    def between(self, first: date, last: date) -> Sequence[DataSubjectRequestDates]:
        """Those received up to the last day that were answered on the first or later, or wait."""
        asked: Document = {
            "received": {"$lte": last.isoformat()},
            "$or": [{"answered": {"$exists": False}}, {"answered": {"$gte": first.isoformat()}}],
        }
        wanted = dict.fromkeys(DataSubjectRequestDates._fields, 1)
        with translated():
            return [
                DataSubjectRequestDates(
                    one["kind"],
                    one["status"],
                    date.fromisoformat(one["received"]),
                    date.fromisoformat(one["due"]),
                    date.fromisoformat(one["answered"]) if "answered" in one else None,
                )
                for one in self._collection.find(asked, wanted)
            ]

    def received_before(self, statuses: Sequence[str], day: date, limit: int) -> Sequence[str]:
        """Ids of at most so many requests with one of these statuses that came before a day."""
        asked: Document = {"status": {"$in": [*statuses]}, "received": {"$lt": day.isoformat()}}
        with translated():
            return [one["_id"] for one in self._collection.find(asked, {"_id": 1}).limit(limit)]

    def delete(self, ids: Sequence[str]) -> None:
        """Delete these requests."""
        with translated():
            self._collection.delete_many({"_id": {"$in": [*ids]}})

    def count_of(self, subjects: Iterable[bytes]) -> int:
        """The number of requests of a data subject, by any of their subject tokens."""
        with translated():
            return self._collection.count_documents({"subjects": {"$in": [*subjects]}})

    def of(self, subjects: Iterable[bytes]) -> Sequence[DataSubjectRequestRow]:
        """The requests of a data subject, by any of their subject tokens."""
        with translated():
            return [_row(one) for one in self._collection.find({"subjects": {"$in": [*subjects]}}).sort("_id", 1)]


def request_of(row: DataSubjectRequestRow, steps: bytes, decrypted: bytes | None) -> DataSubjectRequest:
    """The request that a row is.

    Args:
        row: As stored.
        steps: Its steps, opened.
        decrypted: Who it is about and what was noted; nothing of one who was erased.
    """
    content: dict[str, Any] = orjson.loads(steps)
    # Of one who was erased, what was done is told, and not for whom.
    known: dict[str, Any] = orjson.loads(decrypted) if decrypted else {"person": (), "notes": {}}
    extended = content["extended"]
    return DataSubjectRequest(
        row.id,
        row.kind,
        row.status,
        row.received,
        row.due,
        None if extended is None else date.fromisoformat(extended),
        tuple(known["person"]),
        tuple(
            Step(step["at"], step["what"], step["by"], known["notes"].get(str(number), ""), step["detail"])
            for number, step in enumerate(content["steps"])
        ),
        row.answered,
    )


def _document(row: DataSubjectRequestRow) -> Document:
    document: Document = {
        "_id": row.id,
        "kind": row.kind,
        "status": row.status,
        "received": row.received.isoformat(),
        "due": row.due.isoformat(),
        "subjects": list(row.subjects),
        "n": row.n,
        "sealed": row.sealed,
        "who": row.who,
    }
    return document if row.answered is None else {**document, "answered": row.answered.isoformat()}


def _row(found: Document) -> DataSubjectRequestRow:
    return DataSubjectRequestRow(
        found["_id"],
        found["kind"],
        found["status"],
        date.fromisoformat(found["received"]),
        date.fromisoformat(found["due"]),
        tuple(bytes(subject) for subject in found["subjects"]),
        int(found["n"]),
        bytes(found["sealed"]),
        bytes(found["who"]),
        date.fromisoformat(found["answered"]) if "answered" in found else None,
    )
