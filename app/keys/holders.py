"""Holders of key-encryption keys, by process: ``key_holders``.

A learner's key must not be wrapped with a version that another process cannot have yet. So a rotation first gives the
new version out, waits until each living process says here that it holds it, and only then lets it wrap
(``docs/adr/0027-key-rotation.md``). What is said is versions and fingerprints, never a key. Times are MongoDB's own.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple
from uuid import uuid4

import structlog

from app.core import clock
from app.core.errors import SillageError
from app.core.personal_data import Impersonal, Restored
from app.keys.keyring import KeyHolding
from app.platform.cluster.peers import Peers
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Store, translated

NAME = "key_holders"
COLLECTIONS = (Declared(NAME, Impersonal("which processes hold which versions"), restored=Restored.NEVER),)

_log = structlog.stdlib.get_logger("sillage.keys")
_FORGOTTEN_MS = 3_600_000


class Holder(NamedTuple):
    """A living process: its host, the version it wraps with, fingerprints of the keys it holds, by version.

    Attributes:
        epoch: Up to which it has emptied its caches; none of one that says so in ``processes``.
    """

    host: str
    active: int
    fingerprints: Mapping[int, str]
    epoch: int | None = None


class HolderRepository:
    """Key-encryption keys held by each process, as it announces them."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def say(self, id: str, holder: Holder) -> None:
        """Note what a process holds, now."""
        said = {
            "host": {"$literal": holder.host},
            "active": holder.active,
            "prints": {"$literal": [[version, text] for version, text in sorted(holder.fingerprints.items())]},
            "epoch": {"$literal": holder.epoch},
            "at": "$$NOW",
        }
        with translated():
            self._collection.update_one({"_id": id}, [{"$set": said}], upsert=True)

    def leave(self, id: str) -> None:
        """Take the note of a process away."""
        with translated():
            self._collection.delete_one({"_id": id})

    def living(self, seconds: float, but: str | None = None) -> list[Holder]:
        """The processes that spoke within ``seconds``, less ``but``; those silent for an hour are forgotten."""
        with translated():
            self._collection.delete_many({"$expr": {"$lt": ["$at", {"$subtract": ["$$NOW", _FORGOTTEN_MS]}]}})
            spoke = {"$gte": ["$at", {"$subtract": ["$$NOW", round(seconds * 1000)]}]}
            found = self._collection.find({"_id": {"$ne": but}, "$expr": spoke})
            return [
                Holder(
                    str(one["host"]),
                    int(one["active"]),
                    {int(version): str(text) for version, text in one["prints"]},
                    one.get("epoch"),
                )
                for one in found
            ]

    def wait_for_epoch(self, epoch: int, *, interval: float, ttl: float) -> bool:
        """Wait until every living process that says so here has noticed ``epoch``; false when it takes too long."""
        limit = clock.steady() + ttl + 8 * interval
        while any(holder.epoch is not None and holder.epoch < epoch for holder in self.living(ttl)):
            if clock.steady() > limit:
                return False
            threading.Event().wait(interval / 2)
        return True


class HolderThread:
    """Says for this process what it holds, and has it look at the key file, every ``interval`` seconds.

    Made after a fork, never before.

    Attributes:
        id: Under which it says so.
    """

    def __init__(
        self,
        repository: HolderRepository,
        keyring: KeyHolding,
        *,
        interval: float,
        ttl: float,
        epoch: Callable[[], int] | None = None,
        on_epoch: Callable[[], None] = lambda: None,
    ) -> None:
        """``ttl``: silence in seconds after which a process is declared dead.

        ``epoch`` gives the one announced last, for a process that is not in ``processes``; ``on_epoch`` then empties
        its caches when it has changed.
        """
        self._epoch = epoch
        self._on_epoch = on_epoch
        self._noticed: int | None = None
        self._repository = repository
        self._keyring = keyring
        self._interval = interval
        self._ttl = ttl
        self.id = uuid4().hex
        self._host = socket.gethostname()
        self._stop = threading.Event()
        self._said: Holder | None = None
        self._said_at = 0.0
        self._thread = threading.Thread(target=self._run, name="key-holder", daemon=True)

    def start(self) -> None:
        """Say it a first time, and begin to repeat it.

        Raises:
            DatabaseUnavailable: MongoDB does not answer.
        """
        self._speak()
        self._thread.start()

    def close(self) -> None:
        """Stop, and take the note away, so that nobody waits for this process."""
        self._stop.set()
        self._thread.join()
        with suppress(SillageError):
            self._repository.leave(self.id)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self._keyring.notice()
                self._speak()
            except Exception as failed:
                # Said again at the next turn; this thread must not end.
                _log.warning("key versions not published", kind=type(failed).__name__)

    def _speak(self) -> None:
        if self._epoch is not None:
            epoch = self._epoch()
            if epoch != self._noticed:
                self._on_epoch()
                self._noticed = epoch
        fingerprints = {one.number: one.fingerprint for one in self._keyring.listed() if one.fingerprint}
        holder = Holder(self._host, self._keyring.current.active, fingerprints, self._noticed)
        now = clock.steady()
        if holder != self._said or now - self._said_at >= self._ttl / 3:
            self._repository.say(self.id, holder)
            self._said, self._said_at = holder, now


class Forgetting:
    """Has every process forget learners' keys, schedulers and commands too, which have no presence."""

    def __init__(self, processes: Peers, holders: HolderRepository, *, interval: float, ttl: float) -> None:
        """``interval``, ``ttl``: as those of ``Processes``."""
        self._processes = processes
        self._holders = holders
        self._interval = interval
        self._ttl = ttl

    def begin(self) -> int:
        """Tell them; the epoch to wait for."""
        return self._processes.begin_epoch()

    def forgotten(self, epoch: int) -> bool:
        """Wait until every process has emptied its caches; false if one takes too long."""
        observed = self._processes.noticed(epoch)
        return observed and self._holders.wait_for_epoch(epoch, interval=self._interval, ttl=self._ttl)
