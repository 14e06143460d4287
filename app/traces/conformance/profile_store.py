"""Loaded xAPI Profiles, the numbers of their templates, and counts of verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Store, translated
from app.traces.conformance.asked import Asked, among

PROFILES = "profiles"
TEMPLATES = "templates"
COUNTS = "verdict_counts"
COLLECTIONS = (
    Declared(PROFILES, Impersonal("profiles as published")),
    Declared(TEMPLATES, Impersonal("numbers of templates"), (Index("iri", (("iri", 1),), unique=True),)),
    Declared(
        COUNTS,
        Impersonal("verdicts by source, day and template: counts"),
        (Index("source", (("source", 1), ("day", 1))),),
    ),
)


class LoadedProfile(NamedTuple):
    """A profile as loaded: its IRI, the exact bytes of its document, when."""

    id: str
    document: bytes
    loaded: datetime


class Count(NamedTuple):
    """The number of statements of a source that had an outcome under a template.

    ``template`` is empty in the lines that count whole statements (``conforms``, ``fails``, ``unmatched``,
    ``rejected``); otherwise ``outcome`` is ``conforms`` or ``fails`` for statements that matched the template.
    """

    source: str
    template: str
    outcome: str
    statements: int


class DayCount(NamedTuple):
    """Likewise on one day (``YYYY-MM-DD``, UTC)."""

    day: str
    template: str
    outcome: str
    statements: int


Tally = Mapping[tuple[str, str, str, str], int]


class ProfileRepository:
    """Reads and writes profiles and what they found."""

    def __init__(self, store: Store) -> None:
        self._profiles = store.collection(PROFILES)
        self._templates = store.collection(TEMPLATES)
        self._counts = store.collection(COUNTS)

    def put(self, profile: LoadedProfile) -> None:
        """Keep a profile under its IRI; a newer document replaces the older one."""
        with translated():
            self._profiles.replace_one(
                {"_id": profile.id},
                {"_id": profile.id, "document": profile.document, "loaded": profile.loaded},
                upsert=True,
            )

    def list(self) -> Sequence[LoadedProfile]:
        """Every loaded profile, by IRI."""
        with translated():
            return [
                LoadedProfile(document["_id"], bytes(document["document"]), document["loaded"])
                for document in self._profiles.find({}).sort("_id", 1)
            ]

    def number(self, templates: Iterable[str]) -> dict[str, int]:
        """A small positive number for each template IRI, given once and for ever."""
        wanted = list(dict.fromkeys(templates))
        numbers = self._numbers(wanted)
        for iri in wanted:
            while iri not in numbers:
                with translated():
                    last = self._templates.find_one({}, sort=[("_id", -1)])
                    candidate = (int(last["_id"]) if last else 0) + 1
                    try:
                        self._templates.insert_one({"_id": candidate, "iri": iri})
                        numbers[iri] = candidate
                    except DuplicateKeyError:
                        # Another host numbered this template, or took this number: look again.
                        numbers.update(self._numbers([iri]))
        return numbers

    def _numbers(self, templates: Sequence[str]) -> dict[str, int]:
        with translated():
            return {
                document["iri"]: int(document["_id"])
                for document in self._templates.find({"iri": {"$in": [*templates]}})
            }

    def add_counts(self, tally: Tally) -> None:
        """Add to the counters; keys are (source, day ``YYYY-MM-DD``, template, outcome)."""
        changes = [
            UpdateOne(
                {"_id": {"source": source, "day": day, "template": template, "outcome": outcome}},
                {
                    "$inc": {"count": count},
                    "$setOnInsert": {"source": source, "day": day, "template": template, "outcome": outcome},
                },
                upsert=True,
            )
            for (source, day, template, outcome), count in sorted(tally.items())
        ]
        if changes:
            with translated():
                self._counts.bulk_write(changes, ordered=False)

    def counts(self, source: Asked = None, since_day: str | None = None) -> Sequence[Count]:
        """Totals by source, template and outcome, from a day (``YYYY-MM-DD``, included) when given."""
        match: dict[str, object] = {}
        if source is not None:
            match["source"] = among(source)
        if since_day is not None:
            match["day"] = {"$gte": since_day}
        with translated():
            found = self._counts.aggregate(
                [
                    {"$match": match},
                    {
                        "$group": {
                            "_id": {"source": "$source", "template": "$template", "outcome": "$outcome"},
                            "count": {"$sum": "$count"},
                        }
                    },
                    {"$sort": {"_id": 1}},
                ]
            )
            return [
                Count(row["_id"]["source"], row["_id"]["template"], row["_id"]["outcome"], int(row["count"]))
                for row in found
            ]

    def days(self, source: str, since_day: str) -> Sequence[DayCount]:
        """Counts of a source, day by day, from one (``YYYY-MM-DD``, included)."""
        with translated():
            found = self._counts.find({"source": source, "day": {"$gte": since_day}}).sort("day", 1)
            return [DayCount(row["day"], row["template"], row["outcome"], int(row["count"])) for row in found]
