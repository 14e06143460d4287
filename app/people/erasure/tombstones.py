"""Tombstones of erased people: what tells, after a restore, who was erased since the backup was made.

Document::

    _id           binary(16)  MAC of the identifier, under a key derived from the MAC root
    mark          binary(16)  MAC of the subject token, likewise: finds a key whose owner no statement names
    erased        date        when the key was destroyed
    until_stored  int64       what was stored at or before this was erased, microseconds since 1970 UTC
    erasure       UUID        of which erasure

No identity and no token of the store: without the MAC root it cannot be told whose it is, and with it only by
trying identifiers. It outlives a rotation of the index key, which changes every token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pymongo import UpdateOne
from pymongo.client_session import ClientSession

from app.core.personal_data import Personal, Restored
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Document, Store, translated

NAME = "tombstones"
COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="MACs of the identifiers of erased persons",
            locate="only by trying an identifier with the MAC root",
            export="none: nobody can be told by them",
            erase="stays: it keeps an erasure final",
            retain="kept as long as the store",
            restore="those of files too",
            apart={
                "locate": "none: nobody can be told by them",
                "export": "none: nobody can be told by them",
                "erase": "none: they keep an erasure final",
                "retain": "none: kept as long as the store",
            },
        ),
        restored=Restored.BY_ITSELF,
    ),
)


class Tombstone(NamedTuple):
    """One identifier that was erased; see the module's text."""

    id: bytes
    mark: bytes
    erased: datetime
    until_stored: int
    erasure: UUID


class Tombstones:
    """Keeps tombstones. They are never removed."""

    def __init__(self, store: Store, name: str = NAME) -> None:
        """``name``: of the collection; a restore fills another one first."""
        self._collection = store.collection(name)

    def keep(self, tombstones: Sequence[Tombstone], session: ClientSession | None = None) -> None:
        """Note erasures; of one that is noted already, the later bound stays."""
        if not tombstones:
            return
        changes = [
            UpdateOne(
                {"_id": each.id},
                {
                    "$set": {"mark": each.mark, "erasure": each.erasure},
                    "$max": {"until_stored": each.until_stored, "erased": each.erased},
                },
                upsert=True,
            )
            for each in tombstones
        ]
        with translated():
            self._collection.bulk_write(changes, ordered=False, session=session)

    def raise_to(self, ids: Sequence[bytes], until_stored: int) -> None:
        """Move the bound of tombstones up."""
        with translated():
            self._collection.update_many({"_id": {"$in": list(ids)}}, {"$max": {"until_stored": until_stored}})

    def some(self, ids: Sequence[bytes]) -> list[Tombstone]:
        """Those of these ids, in any order."""
        with translated():
            return [_tombstone(each) for each in self._collection.find({"_id": {"$in": list(ids)}})]

    def every(self) -> Iterator[Tombstone]:
        """All of them, in no promised order."""
        with translated():
            for each in self._collection.find({}, batch_size=5_000):
                yield _tombstone(each)


def _tombstone(found: Document) -> Tombstone:
    return Tombstone(
        bytes(found["_id"]), bytes(found["mark"]), found["erased"], int(found["until_stored"]), found["erasure"]
    )
