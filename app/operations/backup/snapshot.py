"""One moment of the database, read collection by collection while others write.

Every read of a session with ``readConcern: snapshot`` sees the same majority-committed time (``atClusterTime``), which
is no earlier than anything acknowledged before the first of them. MongoDB keeps old versions for
``minSnapshotHistoryWindowInSeconds``, five minutes unless told otherwise; where the account may, that is raised as the
reading goes on, and put back at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

import pymongo
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError

from app.core import clock
from app.core.errors import BackupFailed
from app.core.personal_data import Restored
from app.keys import learners as subjects
from app.keys import organisation as organisation_keys
from app.operations.backup.restoring import STATE, is_staged
from app.operations.schema.catalogue import restored
from app.operations.schema.migrations import NOTES
from app.platform.mongo.connection import Store, translated

LEFT_OUT = restored(Restored.NEVER) | {STATE}
"""Collections that say which processes live: nothing of it is true elsewhere or later."""

_WINDOW = "minSnapshotHistoryWindowInSeconds"
_AHEAD_SECONDS = 900
_AGAIN_SECONDS = 60.0
_MAX_SECONDS = 7 * 86_400.0
# SnapshotTooOld, SnapshotUnavailable.
_LOST = {239, 246}


class _History:
    """Window of old versions that MongoDB keeps: raised ahead of the reading, if this account may."""

    def __init__(self, store: Store) -> None:
        self._admin = store.client.admin
        self._began = self._set_at = clock.steady()
        self._before = self._now = self._asked()

    def keep(self) -> None:
        """Have what is being read kept for a while longer."""
        now = clock.steady()
        # Again every minute: another backup that ends puts back what it found.
        if self._now is not None and (self._now == self._before or now - self._set_at > _AGAIN_SECONDS):
            self._set_at = now
            self._set(max(round(now - self._began) + _AHEAD_SECONDS, self._now))

    def restore(self) -> None:
        """Let MongoDB forget again."""
        if self._before is not None and self._now != self._before:
            with suppress(PyMongoError):
                self._admin.command({"setParameter": 1, _WINDOW: self._before})

    def _asked(self) -> int | None:
        # An account without the right, or a router, which has no such parameter.
        with suppress(OperationFailure):
            return int(self._admin.command({"getParameter": 1, _WINDOW: 1})[_WINDOW])
        return None

    def _set(self, seconds: int) -> None:
        try:
            self._admin.command({"setParameter": 1, _WINDOW: seconds})
            self._now = seconds
        except OperationFailure:
            self._now = None


class Snapshot:
    """A database at one moment. Made by ``snapshot``; for one thread.

    Attributes:
        names: The collections, less those of living processes.
        migrations: The migrations that the database has had.
    """

    def __init__(self, store: Store, session: ClientSession, history: _History) -> None:
        self._store = store
        self._session = session
        self._history = history
        # Before the first read, which chooses the moment of all the others: each of them is there at that moment.
        found = store.db.list_collection_names(filter={"type": "collection"})
        self.names = sorted(
            name for name in found if name not in LEFT_OUT and not name.startswith("system.") and not is_staged(name)
        )
        self.migrations = tuple(
            sorted(str(note["_id"]) for note in store.collection(NOTES).find({}, {"_id": 1}, session=session))
        )

    def estimate(self) -> int:
        """About how many documents there are, at once."""
        return sum(self._store.collection(name).estimated_document_count() for name in self.names)

    def batches(self, name: str) -> Iterator[bytes]:
        """The documents of a collection in the order that costs MongoDB least, as BSON, some MiB at a time."""
        for batch in self._store.collection(name).find_raw_batches({}, session=self._session):
            self._history.keep()
            yield cast(bytes, batch)

    def organisation_versions(self) -> tuple[int, ...]:
        """Versions of the key-encryption key that the organisation's keys are wrapped with."""
        found = self._store.collection(organisation_keys.NAME).find({}, session=self._session)
        return tuple(sorted({int(one["version"]) for document in found for one in document["keys"].values()}))

    def learner_versions(self) -> tuple[int, ...]:
        """Those that learners' keys are wrapped with: by the index."""
        collection = self._store.collection(subjects.NAME)
        return tuple(sorted(int(version) for version in collection.distinct("version", session=self._session)))


@contextmanager
def snapshot(store: Store) -> Iterator[Snapshot]:
    """The database as it is now, for as long as the block lasts.

    Raises:
        BackupFailed: MongoDB no longer keeps that moment, or collections or indexes were made or removed meanwhile.
        DatabaseUnavailable: it does not answer.
    """
    with translated(), pymongo.timeout(_MAX_SECONDS):
        history = _History(store)
        try:
            with store.client.start_session(snapshot=True) as session:
                yield Snapshot(store, session, history)
        except OperationFailure as failed:
            if failed.code in _LOST:
                raise BackupFailed(
                    "MongoDB no longer has the moment that was being read: the reading took longer than its "
                    f"{_WINDOW} (300 by default), or an index was made meanwhile. Run it again; if it is the time, "
                    "raise that parameter on every member, or let this account change it."
                ) from failed
            raise
        finally:
            history.restore()
