"""Nomenclatures as loaded: every edition, with the day from which it is in force. Nothing is ever replaced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

import zstandard
from bson import ObjectId

from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Store, translated

NAME = "nomenclatures"
COLLECTIONS = (Declared(NAME, Impersonal("nomenclatures as published")),)


class LoadedEdition(NamedTuple):
    """An edition as loaded: in force from a day, its exact bytes, how many codes it has, when it was loaded."""

    since: date
    content: bytes
    codes: int
    loaded: datetime


class NomenclatureRepository:
    """Reads and adds editions."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def add(self, edition: LoadedEdition) -> None:
        """Keep one more edition."""
        document = {
            "_id": ObjectId(),
            "since": datetime(edition.since.year, edition.since.month, edition.since.day, tzinfo=UTC),
            "content": zstandard.compress(edition.content, 9),
            "codes": edition.codes,
            "loaded": edition.loaded,
        }
        with translated():
            self._collection.insert_one(document)

    def list(self) -> Sequence[LoadedEdition]:
        """Every edition, in the order in which they were loaded."""
        with translated():
            return [
                LoadedEdition(
                    each["since"].date(), zstandard.decompress(each["content"]), each["codes"], each["loaded"]
                )
                for each in self._collection.find({}).sort("loaded", 1)
            ]
