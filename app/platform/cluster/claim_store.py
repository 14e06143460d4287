"""Claims: which process goes on with a piece of work that a document notes.

Member ``claim`` of such a document, absent while nobody is at it::

    by     binary  the process
    until  date    when the claim expires, and another may go on
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from pymongo.collection import Collection

from app.core import clock
from app.platform.mongo.connection import Document, translated


class Claims:
    """The claims on the documents of a collection."""

    def __init__(self, collection: Collection[Document]) -> None:
        """The documents that are worked on, by id."""
        self._collection = collection

    def take(self, id: UUID, by: bytes, seconds: float) -> bool:
        """Take, or keep, the claim on a document; false when another has it, or there is no such document."""
        now = clock.now()
        free = [{"claim": {"$exists": False}}, {"claim.until": {"$lt": now}}, {"claim.by": by}]
        claim = {"by": by, "until": now + timedelta(seconds=seconds)}
        with translated():
            return bool(self._collection.update_one({"_id": id, "$or": free}, {"$set": {"claim": claim}}).matched_count)

    def release(self, id: UUID, by: bytes) -> None:
        """Give the claim back."""
        with translated():
            self._collection.update_one({"_id": id, "claim.by": by}, {"$unset": {"claim": ""}})
