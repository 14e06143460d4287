"""The register of processing activities: every version ever in force is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bson.max_key import MaxKey
from bson.son import SON
from pymongo.errors import DuplicateKeyError

from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Document, Store, translated

NAME = "activities"
COLLECTIONS = (Declared(NAME, Impersonal("processing activities; contacts of the controller, as published")),)


class StoredProcessingActivity(NamedTuple):
    """One version of an entry: ``added`` in microseconds since 1970 UTC, the document as it was checked."""

    id: str
    version: int
    added: int
    document: Mapping[str, object]


class ProcessingActivityRepository:
    """Processing activities by id and version (1, 2, …). Which one governs on a day:
    ``app/governance/register/service.py``.
    """

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def insert(self, activity: StoredProcessingActivity) -> bool:
        """Store a version; False when that version is already taken by another writer."""
        document = {
            "_id": SON([("activity", activity.id), ("version", activity.version)]),
            "added": activity.added,
            "document": activity.document,
        }
        with translated():
            try:
                self._collection.insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    def latest(self, identifier: str) -> StoredProcessingActivity | None:
        """The version added last, in force or not."""
        with translated():
            document = self._collection.find_one(_versions(identifier), sort=[("_id", -1)])
        return _activity(document) if document else None

    def history(self, identifier: str) -> list[StoredProcessingActivity]:
        """Every version of one activity, oldest first."""
        with translated():
            return [_activity(d) for d in self._collection.find(_versions(identifier)).sort("_id", 1)]

    def every(self) -> list[StoredProcessingActivity]:
        """Every version of every activity, by id, each oldest first."""
        with translated():
            return [_activity(d) for d in self._collection.find({}).sort("_id", 1)]


def _versions(identifier: str) -> Document:
    return {
        "_id": {
            "$gte": SON([("activity", identifier), ("version", 0)]),
            "$lt": SON([("activity", identifier), ("version", MaxKey())]),
        }
    }


def _activity(document: Document) -> StoredProcessingActivity:
    place = document["_id"]
    return StoredProcessingActivity(
        place["activity"], int(place["version"]), int(document["added"]), document["document"]
    )
