"""Processes that write statements or cache credentials: their floors, and what they have noticed.

Two promises rest on this collection (``docs/adr/0006-consistent-through.md``):

* *Consistent-Through*: no statement with an earlier ``stored`` can still appear. Each writer publishes a **floor**,
  below which it will never stamp again: the oldest stamp it has under way, or its clock. The bound is the least
  floor.
* *Revocation at once*: each process publishes the access **epoch** up to which it has emptied its caches. Who revokes
  waits until every living process has published it. Who destroys a learner's key does the same, and learns with it the
  **last** stamp that each has reserved: what was sealed with a key that it had before has no later one.

A process whose clock is off (``app.platform.cluster.agreed_clock``) gives no stamp, and its floor goes by MongoDB's
time.

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
from app.core.personal_data import Impersonal
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Document, Store, translated

NAME = "processes"
# Of the process ``name``: ``name/0``, ``name/1``, …, so that its threads do not wait for each other.
FENCES = "fences"
COLLECTIONS = (Declared(NAME, Impersonal("processes")), Declared(FENCES, Impersonal("fences of processes")))

EPOCH = "epoch"
_log = structlog.stdlib.get_logger("sillage.processes")
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
            # Only as it was read: a process that spoke meanwhile stays, and its floor with it.
            gone = _removed(self._store, {"_id": name, "beat": documents[name]["beat"]})
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

    def wait_for_floor(self, stamp: int) -> bool:
        """Wait until no statement with this stamp or an earlier one can still appear; false when it takes too long."""
        limit = clock.steady() + self._ttl + 8 * self._interval
        while True:
            entries, _ = self.read()
            if all(int(document["floor"]) > stamp for document in entries.values()):
                return True
            if clock.steady() > limit:
                return False
            threading.Event().wait(self._interval / 2)


def _removed(store: Store, entry: Document) -> bool:
    """Remove a process and its fences; false when it is not as described, or about to commit something."""
    try:
        with translated(), store.transaction() as session:
            if not store.collection(NAME).delete_one(entry, session=session).deleted_count:
                return False
            store.collection(FENCES).delete_many({"_id": {"$regex": f"^{entry['_id']}/"}}, session=session)
        return True
    except DatabaseUnavailable:
        # Another transaction holds one of them: it, or somebody who removes it as well. Whoever reads next looks again.
        return False


def current_epoch(store: Store) -> int:
    """The epoch announced last; 0 for none."""
    with translated():
        document = store.collection(NAME).find_one({"_id": EPOCH})
    return int((document or {"n": 0})["n"])


def next_epoch(store: Store) -> int:
    """Announce that credentials or sources changed, or a key was destroyed; returns the epoch to wait for."""
    with translated():
        document = store.collection(NAME).find_one_and_update(
            {"_id": EPOCH}, {"$inc": {"n": 1}}, upsert=True, return_document=True
        )
    return int((document or {"n": 0})["n"])


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
        """Whether others may have held this process for dead before what it just wrote was stored."""
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
            _removed(self._store, {"_id": self._name})

    def consistent_through(self) -> int:
        """Microseconds: no statement with an earlier ``stored`` can still appear."""
        with self._lock:
            return self._bound

    def fresh(self, generation: int | None = None) -> bool:
        """Whether this process has spoken with MongoDB lately, as one of this generation: it may trust its caches."""
        return clock.steady() - self._beat_at < self._ttl / 2 and generation in {None, self._generation}

    def touch(self, fence: str, session: ClientSession) -> bool:
        """Change a fence within a transaction; false when it is gone, and this process held for dead."""
        return bool(self._fences.update_one({"_id": fence}, {"$inc": {"n": 1}}, session=session).matched_count)

    def require(self) -> None:
        """Refuse to go on when MongoDB did not answer the last beat: waiting for it again would only hold a thread.

        Raises:
            DatabaseUnavailable: it did not.
        """
        if self._away:
            raise DatabaseUnavailable("The database does not answer now. Send the same request again later.")

    def require_right_clock(self) -> None:
        """Refuse to write anything while this host's clock is off. Asks MongoDB only when that would be news.

        Raises:
            ClockOff: it is.
            DatabaseUnavailable: it seems so, and MongoDB does not answer.
        """
        self._regain()
        self._clock.require()

    def lapsed(self, generation: int) -> bool:
        """Whether stamps of that generation may lie below a bound that others have given since.

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

    def _floor(self) -> int:
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
            self._collection.insert_one({"_id": name, "floor": self._floor(), "epoch": 0, "beat": 0}, session=session)
        if entries:
            # Others may give a bound without knowing of this entry until they have read it; by then their floors tell.
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
        """Publish the floor and the epoch, read the others, compute the bound."""
        floor = self._floor()
        # In this order: a stamp that was reserved before the caches were emptied is not beyond ``last``.
        epoch, last = max(self._epoch, 0), self._last
        started = clock.steady()
        with translated():
            answer = self._collection.update_one(
                {"_id": self._name},
                [{"$set": {"floor": floor, "last": last, "beat": self._beat + 1, "epoch": epoch, "at": "$$NOW"}}],
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
        floors = [floor, *(int(document["floor"]) for document in entries.values())]
        # Clocks differ, and step: one that is behind would hold every bound back for as long as it is.
        self._raise_to(max(floors))
        bound = min(floors)
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
                # Whatever it is, a process that no longer beats would soon be held for dead.
                _log.error("beat failed", kind=type(unforeseen).__name__)
