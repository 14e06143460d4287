"""Measures for operators that cost too much to count for each look, or leave no other trace: ``measures``.

Documents::

    _id "backup":     at       int64  when the last backup was whole on its disk, microseconds since 1970 UTC
                      bytes    int64  how long its file is
    _id "retention":  at       int64  when it was counted, microseconds since 1970 UTC
                      overdue  int64  statements that outlived their duration, and two runs of the job
    _id "verification":  at    int64  when the whole audit log was checked last, microseconds since 1970 UTC
"""

from __future__ import annotations

from typing import NamedTuple

from app.core.personal_data import Impersonal, Restored
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Store, translated

NAME = "measures"
COLLECTIONS = (Declared(NAME, Impersonal("counts for operators"), restored=Restored.IN_FORCE),)

_BACKUP = "backup"
_RETENTION = "retention"
_VERIFICATION = "verification"


class BackupMade(NamedTuple):
    """The last backup: when (microseconds since 1970 UTC), and its bytes."""

    at: int
    bytes: int


class RetentionCounted(NamedTuple):
    """The number of statements that were overdue when they were counted last (microseconds since 1970 UTC)."""

    at: int
    overdue: int


class Measured(NamedTuple):
    """Everything noted; None for what never was. ``verified``: when the whole audit log was checked, microseconds."""

    backup: BackupMade | None
    retention: RetentionCounted | None
    verified: int | None


class Measures:
    """Notes and reads."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def note_backup(self, backup: BackupMade) -> None:
        """A backup was made."""
        self._note(_BACKUP, backup._asdict())

    def note_retention(self, counted: RetentionCounted) -> None:
        """Keep a count of what is overdue."""
        self._note(_RETENTION, counted._asdict())

    def note_verification(self, at: int) -> None:
        """The whole audit log was checked, whatever was found (microseconds since 1970 UTC)."""
        self._note(_VERIFICATION, {"at": at})

    def read(self) -> Measured:
        """Everything noted."""
        with translated():
            found = {str(one.pop("_id")): one for one in self._collection.find({})}
        backup, retention, verified = found.get(_BACKUP), found.get(_RETENTION), found.get(_VERIFICATION)
        return Measured(
            None if backup is None else BackupMade(int(backup["at"]), int(backup["bytes"])),
            None if retention is None else RetentionCounted(int(retention["at"]), int(retention["overdue"])),
            None if verified is None else int(verified["at"]),
        )

    def _note(self, name: str, said: dict[str, int]) -> None:
        with translated():
            self._collection.replace_one({"_id": name}, said, upsert=True)
