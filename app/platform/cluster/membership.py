"""Processes that write statements or cache credentials: their low watermarks, and what they have noticed.

Two promises rest on this collection (``docs/adr/0006-consistent-through.md``):

* *Consistent-Through*: no statement with an earlier ``stored`` can still appear. Each writer publishes a **low
  watermark** (the field ``floor``), below which it will never stamp again: the oldest stamp it has under way, or its
  clock. The bound is the least of them.
* *Revocation at once*: each process publishes the access **epoch** up to which it has emptied its caches. Who revokes
  waits until every living process has published it. Who destroys a learner's key does the same, and learns with it the
  **last** stamp that each has reserved: what was sealed with a key that it had before has no later one.

A process whose clock is off (``app.platform.cluster.agreed_clock``) gives no stamp, and its low watermark goes by
MongoDB's time.

A process whose entry has not moved for ``ttl`` seconds, while others could read and write, is removed by whoever sees
it. One that finds itself removed registers again; what it wrote meanwhile moves to a later place.

With its entry go its **fences**: every transaction that stores statements ends by touching one, so it cannot commit
once they are gone, however late it comes; and they cannot go while such a transaction is about to commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from uuid import uuid4

import structlog
from pymongo.client_session import ClientSession

from app.core import clock
from app.core.errors import DatabaseUnavailable, SillageError, StorageFull
from app.platform.cluster.low_watermark import Observer
from app.platform.cluster.processes import FENCES, NAME, removed
from app.platform.mongo.connection import Store, translated

_log = structlog.stdlib.get_logger("sillage.processes")


class Lapsed(Exception):
    """Others may have held this process for dead since the stamps were reserved; nothing was stored with them."""


class Writing:
    """Stamps reserved for one batch: ``first``, ``first + 1``, … in microseconds."""

    def __init__(self, first: int, presence: Presence, generation: int, fence: str) -> None:
        self.first = first
        self._presence = presence
        self._generation = generation
        self._fence = fence
        self._fenced = False

    def fence(self, session: ClientSession) -> None:
        """End a transaction that stores with these stamps: it commits only while this process is held for living.

        Raises:
            Lapsed: it no longer is.
        """
        self._fenced = True
        if not self._presence.touch(self._fence, session):
            raise Lapsed

    def require(self) -> None:
        """Make sure, just before a write that no transaction fences, that this process has spoken lately.

        Raises:
            Lapsed: it has not, so others may be holding it for dead.
        """
        self._fenced = False
        if not self._presence.fresh(self._generation):
            raise Lapsed

    def lapsed(self) -> bool:
        """True if others may have removed this process before what it just wrote was stored."""
        return not self._fenced and self._presence.lapsed(self._generation)


class Presence:
    """This process among the others: beats in a thread of its own, reserves stamps, knows the bound.

    Made after a fork, never before.
    """

    def __init__(
        self,
        store: Store,
        *,
        interval: float,
        ttl: float,
        on_epoch: Callable[[], None] = lambda: None,
        writers: int = 8,
    ) -> None:
        """``on_epoch`` empties caches; it must not block. ``writers``: threads that write at the same time."""
        self._store = store
        self._clock = store.clock
        self._collection = store.collection(NAME)
        self._fences = store.collection(FENCES)
        self._interval = interval
        self._ttl = ttl
        self._on_epoch = on_epoch
        self._observer = Observer(store, interval=interval, ttl=ttl)
        self._lock = threading.Lock()
        self._beating = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._name = ""
        self._generation = 0
        self._beat = 0
        self._beat_at = float("-inf")
        self._last = 0
        # First stamp of each batch: when it stops holding the bound back; none while it is written.
        self._under_way: dict[int, float | None] = {}
        self._bound = 0
        self._epoch = -1
        self._away = False
        self._noted: dict[str, object] = {}
        # Fences that no write uses now.
        self._writers = writers
        self._free = list(range(writers))

    def start(self) -> None:
        """Register, learn what the others have promised, and begin to beat.

        Raises:
            ClockOff: this host's clock is not MongoDB's.
            DatabaseUnavailable: MongoDB does not answer.
        """
        self._store.require_right_clock()
        with self._beating:
            self._register()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop beating and take the entry away, so that nobody waits for this process."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(SillageError):
            removed(self._store, {"_id": self._name})

    def consistent_through(self) -> int:
        """Microseconds: no statement with an earlier ``stored`` can still appear."""
        with self._lock:
            return self._bound

    def fresh(self, generation: int | None = None) -> bool:
        """True if this process has spoken with MongoDB lately, as one of this generation: it may trust its caches."""
        return clock.steady() - self._beat_at < self._ttl / 2 and generation in {None, self._generation}

    def touch(self, fence: str, session: ClientSession) -> bool:
        """Change a fence within a transaction; false when it is gone, and this process declared dead."""
        return bool(self._fences.update_one({"_id": fence}, {"$inc": {"n": 1}}, session=session).matched_count)

    def require(self) -> None:
        """Refuse to go on when MongoDB did not answer the last beat: waiting for it again would only hold a thread.

        Raises:
            DatabaseUnavailable: it did not.
        """
        if self._away:
            raise DatabaseUnavailable("The database does not answer now. Send the same request again later.")

    def note(self, name: str, value: object) -> None:
        """Have something beside the heartbeat of this process from the next one on (``processes.notes``)."""
        self._noted[name] = value

    def require_right_clock(self) -> None:
        """Refuse to write anything while this host's clock is off. Asks MongoDB only when that would be news.

        Raises:
            ClockOff: it is.
            DatabaseUnavailable: it seems so, and MongoDB does not answer.
        """
        self._regain()
        self._clock.require()

    def lapsed(self, generation: int) -> bool:
        """True if stamps of that generation may lie below a bound that others have given since.

        Raises:
            DatabaseUnavailable: it is not known, and cannot be found out now.
        """
        # Our entry, when it is still there, has held every bound back, however long we were silent.
        self._regain()
        return generation != self._generation

    @contextmanager
    def writing(self, count: int) -> Iterator[Writing]:
        """Reserve ``count`` consecutive stamps for the time of a write.

        Raises:
            ClockOff: this host's clock is not MongoDB's.
            DatabaseUnavailable: this process has lost touch with the others and cannot regain it now.
        """
        self._regain()
        with self._lock:
            first = max(self._clock.require(), self._last + 1)
            self._last = first + count - 1
            generation = self._generation
            self._under_way[first] = None
            # With none free two share one, and the later of them conflicts with the other and tries again.
            place = self._free.pop() if self._free else None
            fence = f"{self._name}/{place or 0}"
        release: float | None = None
        try:
            yield Writing(first, self, generation, fence)
        except (DatabaseUnavailable, StorageFull):
            # The write may still happen inside MongoDB, for as long as nobody has heard of it and a while longer: its
            # stamp holds the bound back.
            release = inf
            raise
        finally:
            with self._lock:
                if place is not None:
                    self._free.append(place)
                if release is None:
                    del self._under_way[first]
                else:
                    self._under_way[first] = release

    def _low_watermark(self) -> int:
        with self._lock:
            now = clock.steady()
            for first, release in list(self._under_way.items()):
                if release is not None and release < now:
                    del self._under_way[first]
            # Never stamped again below this, even if the clock steps back.
            self._last = max(self._last, self._clock.now_us() - 1)
            return min(self._under_way, default=self._last + 1)

    def _register(self) -> None:
        """Enter under a new name, and start above every bound that anyone has given."""
        with self._lock:
            self._generation += 1
            # What was reserved under the old name has lapsed: its writers stamp it again.
        name = uuid4().hex
        entries, _ = self._observer.read()
        self._raise_to(max([self._observer.last_stored(), *(int(d["floor"]) for d in entries.values())]))
        with translated(), self._store.transaction() as session:
            self._fences.insert_many([{"_id": f"{name}/{n}", "n": 0} for n in range(self._writers)], session=session)
            self._collection.insert_one(
                {"_id": name, "floor": self._low_watermark(), "epoch": 0, "beat": 0}, session=session
            )
        if entries:
            # Others may give a bound without knowing of this entry until they have read it; their low watermarks tell.
            threading.Event().wait(2.5 * self._interval)
            entries, _ = self._observer.read()
            self._raise_to(
                max(
                    [
                        self._observer.last_stored(),
                        *(int(d["floor"]) for n, d in entries.items() if n != name),
                    ]
                )
            )
        with self._lock:
            # What was reserved meanwhile has lapsed too: it was not above every bound yet.
            self._generation += 1
            self._name, self._beat = name, 0
        self._speak()

    def _raise_to(self, stamp: int) -> None:
        with self._lock:
            self._last = max(self._last, stamp)

    def _regain(self) -> None:
        """Speak, unless this process has spoken lately and its clock has not been stepped since."""
        if not self.fresh() or self._clock.moved():
            with self._beating:
                if not self.fresh() or self._clock.moved():
                    # Whoever held the lock has just tried.
                    self.require()
                    self._speak()

    def _speak(self) -> None:
        """One beat, and whether MongoDB answered it."""
        try:
            self._beat_once()
        except DatabaseUnavailable:
            self._away = True
            raise
        self._away = False

    def _beat_once(self) -> None:
        """Publish the low watermark and the epoch, read the others, compute the bound."""
        watermark = self._low_watermark()
        # In this order: a stamp that was reserved before the caches were emptied is not beyond ``last``.
        epoch, last = max(self._epoch, 0), self._last
        noted = {name: {"$literal": value} for name, value in self._noted.copy().items()}
        started = clock.steady()
        with translated():
            answer = self._collection.update_one(
                {"_id": self._name},
                [
                    {
                        "$set": {
                            "floor": watermark,
                            "last": last,
                            "beat": self._beat + 1,
                            "epoch": epoch,
                            "at": "$$NOW",
                        }
                        | noted
                    }
                ],
            )
        answered = clock.steady()
        if not answer.matched_count:
            self._register()
            return
        self._beat += 1
        with self._lock:
            until = clock.steady() + self._ttl
            self._under_way |= {first: until for first, release in self._under_way.items() if release == inf}
        entries, epoch = self._observer.read()
        if "at" in entries.get(self._name, {}):
            self._clock.note(entries[self._name]["at"], started, answered)
        if epoch != self._epoch:
            self._on_epoch()
            self._epoch = epoch
        # Only now: until its caches are emptied, one that was silent may not trust them.
        self._beat_at = started
        watermarks = [watermark, *(int(document["floor"]) for document in entries.values())]
        # Clocks differ, and step: one that is behind would hold every bound back for as long as it is.
        self._raise_to(max(watermarks))
        bound = min(watermarks)
        with self._lock:
            self._bound = max(self._bound, bound)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                with self._beating:
                    before = self._epoch
                    self._speak()
                    if self._epoch != before:
                        # Tell at once that the caches are empty: somebody waits for it.
                        self._speak()
            except SillageError:
                continue
            except Exception as unforeseen:
                # Whatever it is, a process that no longer beats would soon be declared dead.
                _log.error("beat failed", kind=type(unforeseen).__name__)
