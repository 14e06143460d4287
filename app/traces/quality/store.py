"""Arrivals of each source, day by day, and the faults that it was told of: counts, nothing of what was sent.

Documents of ``arrivals``::

    _id         {source, day}
    source      str    id of the source
    day         str    YYYY-MM-DD, UTC
    stored      int    statements stored
    failing     int    of these, those that fail a profile, a school or an extension
    repeated    int    statements that were there already
    batches     int    requests that were refused
    refused     int    statements in these, where they could be told apart
    last        int64  when something was stored last, microseconds since 1970 UTC; absent: nothing was
    hours       {hour: int}  statements stored by hour
    delays      {number: int}  a sample of what was stored, by time from ``timestamp`` to receipt (``DELAYS``)
    codes       {code: int}  refused requests by code of the error

Documents of ``fault_counts``::

    _id         {source, day, fault}
    source, day
    fault       str    digest of pointer, rule and section
    pointer     str    JSON pointer within a statement: positions are ``*``, what a sender chose ``…``
    rule, section, message  str  as told
    refused     int    times told with a refusal
    kept        int    statements that were stored with it
    first, last int64  when, microseconds since 1970 UTC
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pymongo import UpdateOne

from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Store, translated
from app.traces.conformance.asked import Asked, among

ARRIVALS = "arrivals"
FAULTS = "fault_counts"
COLLECTIONS = (
    Declared(
        ARRIVALS, Impersonal("arrivals by source and day: counts"), (Index("source", (("source", 1), ("day", 1))),)
    ),
    Declared(
        FAULTS,
        Impersonal("faults by source, day, rule and place, without names that senders chose: counts"),
        (Index("source", (("source", 1), ("day", 1))),),
    ),
)
DELAYS = (1, 10, 60, 600, 3_600, 21_600, 86_400, 604_800)
"""Upper bounds, in seconds, of the times from ``timestamp`` to receipt that are counted together; beyond, one more."""


class Arrived(NamedTuple):
    """Arrivals of a source on a day (UTC); fields as of the documents. ``hours``: statements of each hour."""

    source: str
    day: str
    stored: int = 0
    failing: int = 0
    repeated: int = 0
    batches: int = 0
    refused: int = 0
    last: int | None = None
    hours: tuple[int, ...] = (0,) * 24
    delays: tuple[int, ...] = (0,) * (len(DELAYS) + 1)
    codes: Mapping[str, int] = {}


class FaultCount(NamedTuple):
    """A fault of a source, over some days; fields as of the documents."""

    id: str
    source: str
    pointer: str
    rule: str
    section: str
    message: str
    refused: int
    kept: int
    first: int
    last: int

    @property
    def times(self) -> int:
        """Times in all."""
        return self.refused + self.kept


class Change(NamedTuple):
    """Amounts to be added for a source and a day: to ``numbers`` (dotted names as MongoDB has them); the newest."""

    source: str
    day: str
    numbers: Mapping[str, int]
    last: int | None


class ArrivalRepository:
    """Adds and reads counts."""

    def __init__(self, store: Store) -> None:
        self._arrivals = store.collection(ARRIVALS)
        self._faults = store.collection(FAULTS)

    def add(self, changes: Sequence[Change]) -> None:
        """Add to the counts of arrivals."""
        arrived: list[UpdateOne] = []
        for change in changes:
            update: dict[str, Any] = {
                "$inc": dict(change.numbers),
                "$setOnInsert": {"source": change.source, "day": change.day},
            }
            if change.last is not None:
                update["$max"] = {"last": change.last}
            arrived.append(UpdateOne({"_id": {"source": change.source, "day": change.day}}, update, upsert=True))
        with translated():
            self._arrivals.bulk_write(arrived, ordered=False)

    def add_faults(self, faults: Sequence[tuple[str, FaultCount]]) -> None:
        """Add to the counts of faults, each with its day."""
        told = [
            UpdateOne(
                {"_id": {"source": each.source, "day": day, "fault": each.id}},
                {
                    "$inc": {"refused": each.refused, "kept": each.kept},
                    "$min": {"first": each.first},
                    "$max": {"last": each.last},
                    "$setOnInsert": {
                        "source": each.source,
                        "day": day,
                        "fault": each.id,
                        "pointer": each.pointer,
                        "rule": each.rule,
                        "section": each.section,
                        "message": each.message,
                    },
                },
                upsert=True,
            )
            for day, each in faults
        ]
        with translated():
            self._faults.bulk_write(told, ordered=False)

    def prune(self, before: str) -> None:
        """Delete the counts of days before this one (``YYYY-MM-DD``), but for that on which each source sent last."""
        with translated():
            newest = self._arrivals.aggregate(
                [{"$match": {"last": {"$exists": True}}}, {"$group": {"_id": "$source", "day": {"$max": "$day"}}}]
            )
            kept = [{"source": each["_id"], "day": each["day"]} for each in newest if each["day"] < before]
            self._arrivals.delete_many({"day": {"$lt": before}, "_id": {"$nin": kept}})
            self._faults.delete_many({"day": {"$lt": before}})

    def days(self, source: str, since: str) -> Sequence[Arrived]:
        """The days of a source on which something came, from a day (``YYYY-MM-DD``, included), in order."""
        with translated():
            found = self._arrivals.find({"source": source, "day": {"$gte": since}}).sort("day", 1)
            return [_arrived(each) for each in found]

    def newest(self, source: str) -> int | None:
        """The instant at which something of a source was stored last; None: never."""
        with translated():
            found = self._arrivals.find({"source": source, "last": {"$exists": True}}, {"last": 1})
            newest = next(iter(found.sort("day", -1).limit(1)), None)
        return None if newest is None else int(newest["last"])

    def newest_of_each(self) -> Mapping[str, int]:
        """The instant at which something of each source was stored last; those of which nothing was are not there."""
        with translated():
            found = self._arrivals.aggregate(
                [{"$match": {"last": {"$exists": True}}}, {"$group": {"_id": "$source", "last": {"$max": "$last"}}}]
            )
            return {str(each["_id"]): int(each["last"]) for each in found}

    def faults(self, source: Asked, since: str, before: str, limit: int) -> Sequence[FaultCount]:
        """The commonest faults of one source, of several or of all, from a day up to another, which is not included."""
        match: dict[str, Any] = {"day": {"$gte": since, "$lt": before}}
        if source is not None:
            match["source"] = among(source)
        shown = {name: {"$first": f"${name}"} for name in ("pointer", "rule", "section", "message")}
        with translated():
            found = self._faults.aggregate(
                [
                    {"$match": match},
                    {
                        "$group": {
                            "_id": {"source": "$source", "fault": "$fault"},
                            **shown,
                            "refused": {"$sum": "$refused"},
                            "kept": {"$sum": "$kept"},
                            "first": {"$min": "$first"},
                            "last": {"$max": "$last"},
                        }
                    },
                    {"$set": {"times": {"$add": ["$refused", "$kept"]}}},
                    {"$sort": {"times": -1, "_id": 1}},
                    {"$limit": limit},
                ]
            )
            return [
                FaultCount(
                    each["_id"]["fault"],
                    each["_id"]["source"],
                    each["pointer"],
                    each["rule"],
                    each["section"],
                    each["message"],
                    int(each["refused"]),
                    int(each["kept"]),
                    int(each["first"]),
                    int(each["last"]),
                )
                for each in found
            ]

    def times(self, source: str, faults: Sequence[str], since: str, before: str) -> Mapping[str, int]:
        """The times that some faults of a source were told from a day up to another; those never told are left out."""
        match = {"source": source, "day": {"$gte": since, "$lt": before}, "fault": {"$in": [*faults]}}
        times = {"$sum": {"$add": ["$refused", "$kept"]}}
        with translated():
            found = self._faults.aggregate([{"$match": match}, {"$group": {"_id": "$fault", "times": times}}])
            return {str(each["_id"]): int(each["times"]) for each in found}


def _arrived(found: Mapping[str, Any]) -> Arrived:
    hours, delays = found.get("hours", {}), found.get("delays", {})
    return Arrived(
        found["source"],
        found["day"],
        int(found.get("stored", 0)),
        int(found.get("failing", 0)),
        int(found.get("repeated", 0)),
        int(found.get("batches", 0)),
        int(found.get("refused", 0)),
        None if "last" not in found else int(found["last"]),
        tuple(int(hours.get(str(hour), 0)) for hour in range(24)),
        tuple(int(delays.get(str(place), 0)) for place in range(len(DELAYS) + 1)),
        {code: int(count) for code, count in found.get("codes", {}).items()},
    )
