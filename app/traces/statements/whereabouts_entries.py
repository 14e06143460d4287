"""Entries of school and day of statements that were stored by a version that made none.

A statement has them from when it is stored. What an earlier version stored gets them by the job ``reindex``; until it
has come to the end, whoever is held to schools or days is told to wait, for a part would look like the whole.

Processes of the earlier version may go on for a while beside those of this one: what is stored is looked through for a
day more.

Document of ``whereabouts_passes``, one where a store had statements without them when it was migrated::

    _id      str    ``statements``
    since    int64  those stored earlier have them
    until    date   until then, what is stored since is looked through
    finished bool   all had them once; absent before
    settled  bool   nothing is looked through any more; absent before
"""

from __future__ import annotations

from datetime import timedelta

from app.core import clock
from app.core.errors import Unavailable
from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Store, translated
from app.traces.statements import store as statements

NAME = "whereabouts_passes"
COLLECTIONS = (Declared(NAME, Impersonal("how far statements of an earlier version have got school and day")),)
_ID = "statements"
_RETRY_SECONDS = 600
_WATCHED = timedelta(days=1)


class WhereaboutsEntries:
    """The pass, as those see it who ask by its entries, and those who make them. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        """Nothing is read yet."""
        self._passes = store.collection(NAME)
        self._statements = store.collection(statements.NAME)
        self._complete = False

    def require(self) -> None:
        """Refuse to answer while some statements may lack them.

        Raises:
            Unavailable: it is so.
        """
        if self._complete:
            return
        if self.lacking():
            raise Unavailable(
                "Schools and days of what an earlier version stored are still being entered (job `reindex`); until "
                "then nothing can be told by them. Send the same request again later.",
                retry_after=_RETRY_SECONDS,
            )
        self._complete = True

    def lacking(self) -> bool:
        """True until all have had them once."""
        with translated():
            return self._passes.find_one({"_id": _ID, "finished": {"$exists": False}}, {"_id": 1}) is not None

    def forget(self) -> None:
        """Look again the next time."""
        self._complete = False

    def begin(self) -> None:
        """Note a pass, where there is a statement without them and no pass was noted."""
        without = {"stored": {"$exists": True}, "e": {"$exists": False}}
        with translated():
            if self._statements.find_one(without, {"_id": 1}) is not None:
                noted = {"since": 0, "until": clock.now() + _WATCHED}
                self._passes.update_one({"_id": _ID}, {"$setOnInsert": noted}, upsert=True)

    def since(self) -> int | None:
        """``stored`` from which on statements may lack them; None: none does."""
        with translated():
            found = self._passes.find_one({"_id": _ID, "settled": {"$exists": False}})
        return None if found is None else int(found["since"])

    def mark(self, since: int) -> None:
        """Note how far the pass has come."""
        with translated():
            self._passes.update_one({"_id": _ID}, {"$set": {"since": since}})

    def finish(self, since: int) -> None:
        """Note that all have them that were stored before ``since``; for good, after a day."""
        with translated():
            self._passes.update_one({"_id": _ID}, {"$set": {"since": since, "finished": True}})
            self._passes.update_one({"_id": _ID, "until": {"$lt": clock.now()}}, {"$set": {"settled": True}})
