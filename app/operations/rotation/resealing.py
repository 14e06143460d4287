"""Moving statements to another format of bodies: how far it has come, and the writes.

Document of ``resealing``, one a format::

    _id      int    format
    after    int64  statements up to this ``stored`` are done; absent at first
    until    int64  those from here on were stored in that format already
    started  date   when this pass began
    finished date   when it ended; absent while it is under way
    seen     int    statements gone through
    resealed int    of these, those that were in another format
    unopened int    of these, those that do not open and were left
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from pymongo import UpdateOne

from app.core import clock
from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Store, translated

NAME = "resealing"
COLLECTIONS = (Declared(NAME, Impersonal("how far a format was replaced")),)


class Pass(NamedTuple):
    """Progress of a pass; see the document.

    Attributes:
        after: ``stored`` up to which it has come; None at the beginning.
        until: Where it ends.
        seen: Statements gone through.
        resealed: Of these, those that were in another format.
        unopened: Of these, those that do not open and were left.
    """

    after: int | None
    until: int
    seen: int
    resealed: int
    unopened: int


class Resealed(NamedTuple):
    """A body as it was read, and as it is to be."""

    id: UUID
    before: bytes
    after: bytes


class ResealRepository:
    """The pass, and the bodies it writes."""

    def __init__(self, store: Store) -> None:
        self._passes = store.collection(NAME)
        self._statements = store.collection("statements")

    def total(self) -> int:
        """About how many statements there are, at once."""
        with translated():
            return self._statements.estimated_document_count()

    def under_way(self, number: int) -> Pass | None:
        """The pass to this format that has not ended."""
        with translated():
            found = self._passes.find_one({"_id": number, "finished": {"$exists": False}})
        if found is None:
            return None
        return Pass(found.get("after"), found["until"], found["seen"], found["resealed"], found["unopened"])

    def latest(self) -> int | None:
        """The format of the pass that was begun last; None when there was none yet."""
        with translated():
            found = self._passes.find_one({}, {"_id": 1}, sort=[("started", -1)])
        return None if found is None else int(found["_id"])

    def begin(self, number: int, until: int) -> Pass:
        """Begin a pass over all that was stored before ``until``."""
        said = {"until": until, "started": clock.now(), "seen": 0, "resealed": 0, "unopened": 0}
        with translated():
            self._passes.replace_one({"_id": number}, said, upsert=True)
        return Pass(None, until, 0, 0, 0)

    def mark(self, number: int, now: Pass, *, finished: bool = False) -> None:
        """Note how far a pass has come. What is before that stays done, so it never goes back."""
        said: dict[str, object] = {"seen": now.seen, "resealed": now.resealed, "unopened": now.unopened}
        if finished:
            said["finished"] = clock.now()
        change: dict[str, object] = {"$set": said}
        if now.after is not None:
            change["$max"] = {"after": now.after}
        with translated():
            self._passes.update_one({"_id": number, "until": now.until}, change)

    def write(self, bodies: Sequence[Resealed]) -> int:
        """Replace bodies, in one write, where they are as they were read; how many were."""
        if not bodies:
            return 0
        writes = [UpdateOne({"_id": one.id, "body": one.before}, {"$set": {"body": one.after}}) for one in bodies]
        with translated():
            return self._statements.bulk_write(writes, ordered=False).modified_count
