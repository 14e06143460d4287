"""Low watermarks of the processes that write, as one who writes nothing sees them.

Each publishes its own (the field ``floor``), below which it will never stamp again; before the least of them no
statement can still appear (*Consistent-Through*, ``docs/adr/0006-consistent-through.md``). A process that stops moving
is removed by whoever sees it (``app.platform.cluster.membership``).
"""

from __future__ import annotations

import threading

from app.core import clock
from app.platform.cluster.processes import EPOCH, NAME, removed
from app.platform.mongo.connection import Document, Store, translated

_STATEMENTS = "statements"


class Observer:
    """Follows the entries of every process. Not shared between threads."""

    def __init__(self, store: Store, *, interval: float, ttl: float) -> None:
        self._store = store
        self._collection = store.collection(NAME)
        self._interval = interval
        self._ttl = ttl
        self._beats: dict[str, int] = {}
        self._silence: dict[str, float] = {}
        self._read_at: float | None = None

    def read(self) -> tuple[dict[str, Document], int]:
        """Entries of the living processes by id, and the access epoch; the dead are removed."""
        with translated():
            documents = {str(document["_id"]): document for document in self._collection.find({})}
        epoch = int(documents.pop(EPOCH, {"n": 0})["n"])
        now = clock.steady()
        # While MongoDB was away nobody could speak: that time counts as silence only in part.
        elapsed = 0.0 if self._read_at is None else min(now - self._read_at, 2 * self._interval)
        self._read_at = now
        for name, document in documents.items():
            moved = self._beats.get(name) != document["beat"]
            self._silence[name] = 0.0 if moved else self._silence[name] + elapsed
            self._beats[name] = document["beat"]
        dead = [name for name in documents if self._silence[name] > self._ttl]
        for name in dead:
            # Only as it was read: a process that spoke meanwhile stays, and its low watermark with it.
            gone = removed(self._store, {"_id": name, "beat": documents[name]["beat"]})
            if gone:
                del documents[name]
        for name in self._beats.keys() - documents.keys():
            del self._beats[name], self._silence[name]
        return documents, epoch

    def last_stored(self) -> int:
        """Greatest ``stored`` of any statement, in microseconds; 0 without statements."""
        with translated():
            last = self._store.collection(_STATEMENTS).find_one(
                {"stored": {"$exists": True}}, {"stored": 1}, sort=[("stored", -1)]
            )
        return int(last["stored"]) if last else 0

    def consistent_through(self) -> int:
        """The bound as one who writes nothing sees it, in microseconds.

        Waits, at most the time a dead process needs to be noticed, when an entry has stopped moving.
        """
        limit = clock.steady() + self._ttl + 4 * self._interval
        entries, _ = self.read()
        start = {name: document["beat"] for name, document in entries.items()}
        # An entry counts as living once it has moved: until then it may be what a killed process left behind.
        while any(entries[name]["beat"] == beat for name, beat in start.items() if name in entries):
            if clock.steady() > limit:
                break
            threading.Event().wait(self._interval)
            entries, _ = self.read()
        if entries:
            return min(int(document["floor"]) for document in entries.values())
        return self.last_stored() + 1

    def wait_for_epoch(self, epoch: int) -> bool:
        """Wait until every living process has noticed ``epoch``; false when one stays behind too long."""
        limit = clock.steady() + self._ttl + 8 * self._interval
        while True:
            entries, _ = self.read()
            if all(int(document["epoch"]) >= epoch for document in entries.values()):
                return True
            if clock.steady() > limit:
                return False
            threading.Event().wait(self._interval / 2)

    def highest(self) -> int:
        """The last stamp that any living process had reserved when it spoke last, or that is stored; 0 for none."""
        entries, _ = self.read()
        # A process of an earlier version says no ``last``.
        reserved = [int(document["last"] if "last" in document else document["floor"]) for document in entries.values()]
        return max([self.last_stored(), *reserved])

    def wait_for_low_watermark(self, stamp: int) -> bool:
        """Wait until no statement with this stamp or an earlier one can still appear; false when it takes too long."""
        limit = clock.steady() + self._ttl + 8 * self._interval
        while True:
            entries, _ = self.read()
            if all(int(document["floor"]) > stamp for document in entries.values()):
                return True
            if clock.steady() > limit:
                return False
            threading.Event().wait(self._interval / 2)
