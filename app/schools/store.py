"""The directory of schools as loaded: every edition, with the day from which it is in force. Nothing is ever replaced.

Documents of ``school_editions``::

    _id      objectid
    since    date    the day from which it is in force
    loaded   date    when it was loaded
    digest   binary  SHA-256 of the file
    schools  int     how many schools
    days     array   UAI, first and last days of all of them, each compressed (zstd)

Documents of ``schools``::

    _id      {e: the edition, u: UAI}
    …        the fields of ``School``, but for the UAI; dates as text, YYYY-MM-DD
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import zstandard
from bson import ObjectId

from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Document, Store, translated
from app.standards.france.school_directory import Days, School

EDITIONS = "school_editions"
SCHOOLS = "schools"
TERRITORIES = ("commune", "departement", "academie", "region")
"""Fields of a school that name a territory by its code."""
COLLECTIONS = (
    Declared(EDITIONS, Impersonal("editions of the directory of schools, as published")),
    Declared(
        SCHOOLS,
        Impersonal("schools of the directory, as published"),
        tuple(Index(name, (("_id.e", 1), (name, 1))) for name in TERRITORIES),
    ),
)
_WRITTEN_AT_ONCE = 2_000
_MAX_LOADING = timedelta(hours=1)


class LoadedDirectory(NamedTuple):
    """An edition as loaded: its first day, how many schools it has, the SHA-256 of its file, when it was loaded."""

    id: ObjectId
    since: date
    schools: int
    digest: bytes
    loaded: datetime


class SchoolRepository:
    """Reads and adds editions and their schools."""

    def __init__(self, store: Store) -> None:
        self._editions = store.collection(EDITIONS)
        self._schools = store.collection(SCHOOLS)

    def add(
        self, schools: Sequence[School], days: Days, *, since: date, digest: bytes, loaded: datetime
    ) -> LoadedDirectory:
        """Keep one more edition. It is there once all of its schools are: cut off, nothing has changed."""
        edition = LoadedDirectory(ObjectId(), since, len(schools), digest, loaded)
        with translated():
            # Of loads that were cut off; not of another one that is under way.
            known = [each["_id"] for each in self._editions.find({}, {"_id": 1})]
            before = ObjectId.from_datetime(loaded - _MAX_LOADING)
            self._schools.delete_many({"_id.e": {"$nin": known, "$lt": before}})
            documents = (_document(edition.id, school) for school in schools)
            while group := list(islice(documents, _WRITTEN_AT_ONCE)):
                self._schools.insert_many(group)
            self._editions.insert_one(
                {
                    "_id": edition.id,
                    "since": datetime(since.year, since.month, since.day, tzinfo=UTC),
                    "loaded": loaded,
                    "digest": digest,
                    "schools": len(schools),
                    "days": [zstandard.compress(part, 9) for part in days.packed()],
                }
            )
        return edition

    def list(self) -> Sequence[LoadedDirectory]:
        """Every edition, in the order in which they were loaded."""
        with translated():
            found = self._editions.find({}, {"days": 0}).sort("loaded", 1)
            return [
                LoadedDirectory(
                    each["_id"], each["since"].date(), each["schools"], bytes(each["digest"]), each["loaded"]
                )
                for each in found
            ]

    def days(self, edition: ObjectId) -> Days:
        """Days on which the schools of an edition are open."""
        with translated():
            found = self._editions.find_one({"_id": edition}, {"days": 1})
        return Days.unpacked(*(zstandard.decompress(part) for part in (found or {"days": (b"", b"", b"")})["days"]))

    def find(self, edition: ObjectId, identifiers: Sequence[str]) -> Mapping[str, School]:
        """The schools of an edition that have these UAI, by UAI."""
        wanted = [{"e": edition, "u": identifier} for identifier in identifiers]
        with translated():
            return {each["_id"]["u"]: _school(each) for each in self._schools.find({"_id": {"$in": wanted}})}

    def of_territory(self, edition: ObjectId, territory: str, code: str) -> Iterator[School]:
        """The schools of an edition in a territory, by UAI: ``territory`` is one of ``TERRITORIES``."""
        with translated():
            for each in self._schools.find({"_id.e": edition, territory: code}).sort("_id", 1):
                yield _school(each)


def _document(edition: ObjectId, school: School) -> Document:
    fields = school._asdict()
    return {
        "_id": {"e": edition, "u": fields.pop("uai")},
        **{name: value.isoformat() if isinstance(value, date) else value for name, value in fields.items()},
    }


def _school(found: Mapping[str, Any]) -> School:
    fields = {name: found[name] for name in School._fields if name != "uai"}
    for name in ("opens", "closes"):
        if fields[name] is not None:
            fields[name] = date.fromisoformat(fields[name])
    return School(uai=found["_id"]["u"], **fields)
