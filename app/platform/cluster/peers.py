"""The processes of an installation, as one who changes something for all of them deals with them."""

from __future__ import annotations

from app.core import clock
from app.core.errors import DatabaseUnavailable
from app.platform.cluster.low_watermark import Observer
from app.platform.cluster.processes import next_epoch
from app.platform.mongo.connection import Store


class Peers:
    """Tells the processes of changes, and waits for what they have under way."""

    def __init__(self, store: Store, *, interval: float, ttl: float) -> None:
        """``interval``: seconds between heartbeats; ``ttl``: of silence after which a process is declared dead."""
        self._store = store
        self._interval = interval
        self._ttl = ttl

    def observer(self) -> Observer:
        """An observer of their entries; of one thread."""
        return Observer(self._store, interval=self._interval, ttl=self._ttl)

    def begin_epoch(self) -> int:
        """Have every process empty its caches; the epoch to wait for."""
        return next_epoch(self._store)

    def noticed(self, epoch: int) -> bool:
        """Wait until every process has emptied its caches; false if one takes too long."""
        return self.observer().wait_for_epoch(epoch)

    def announce(self) -> None:
        """Have every process empty its caches, and wait until it has.

        Raises:
            DatabaseUnavailable: one takes too long.
        """
        # Nobody may still accept what was revoked when the command ends.
        if not self.noticed(self.begin_epoch()):
            raise DatabaseUnavailable(
                "The change is stored, but a process has not taken notice of it in time. Run the command again."
            )

    def settled(self) -> int:
        """A bound in microseconds: no statement up to it can still appear, none after it was stamped before now.

        Raises:
            DatabaseUnavailable: a write under way takes too long.
        """
        observer = self.observer()
        until = max(clock.now_us(), observer.highest()) + 1
        if not observer.wait_for_low_watermark(until):
            raise DatabaseUnavailable("A write under way takes long. Run the command again.")
        return until
