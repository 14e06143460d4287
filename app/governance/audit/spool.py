"""The spool: audit entries of readings, durable on this host's disk before the answer, in MongoDB within two seconds.

A reading that waited for MongoDB to have its entry would cost as much again as the reading. Where the disk of this host
is MongoDB's own, or the operator names a folder that lasts, its entry goes to a file of this process
(``app/governance/audit/spool_file.py``): a chain of its own, written in groups
(``app/platform/mongo/group_commit.py``). A thread ships it, in order and from memory. The first entry of a chain is in
MongoDB before anything follows it, and names the host, so the loss of a file is seen. A chain ends with its file: when
that is full or old, at a graceful stop, or after a kill by whoever gets the lock of the file first, another process of
this host or the one that starts next.

Entries have their places when they are written, so shipping twice inserts nothing twice. More on each decision:
``docs/adr/0059-spool-of-readings.md``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Protocol

import structlog

from app.core import clock
from app.core.clock import Clock
from app.core.errors import AuditUnavailable, SillageError
from app.governance.audit.log import CHAIN_CLOSED, Audit, Behind, Finding, New
from app.governance.audit.spool_file import (
    ASIDE,
    SUFFIX,
    SpoolFile,
    chain_of,
    first_of,
    last_of,
    locked,
    probe,
    put_aside,
    read,
)
from app.governance.audit.store import AuditRepository, Entry
from app.platform.mongo.group_commit import GroupCommit

SHIP_SECONDS = 1.0
"""Seconds between two shipments."""
MAX_WAITING = 20_000
"""Most entries of a process that wait for MongoDB; beyond, readings are refused."""
MAX_WAITING_US = 60 * 1_000_000
"""Longest that an entry may wait, microseconds; beyond, readings are refused."""
MAX_FILE_BYTES = 16 * 1024 * 1024

_HOUR_US = 3_600 * 1_000_000
# An idle chain ends long before its first entry is old enough to be removed (SILLAGE_AUDIT_DAYS).
_DAY_US = 24 * _HOUR_US
_LATE_US = 2 * 1_000_000
_ADOPT_EVERY = 3
_BATCH = 1_000
_SHIP_LIMIT_SECONDS = 3.0
_SETTLE_SECONDS = 2.5
_JOIN_SECONDS = 5.0
# What does not get its name for so long was left by a kill.
_NAMELESS_SECONDS = 60.0
_log = structlog.stdlib.get_logger("sillage.audit")


class Within(Protocol):
    """Bounds the time that MongoDB may take."""

    def __call__(self, seconds: float, /) -> AbstractContextManager[None]:
        """Bound everything asked in a block."""


class HostSpools:
    """The spools of all hosts in the log, and the files on this one."""

    def __init__(
        self,
        folder: Path | None,
        audit: Audit,
        repository: AuditRepository,
        *,
        store: str,
        host: str,
        now: Clock,
        notes: Callable[[], Sequence[object]],
    ) -> None:
        """Nothing is read yet.

        Args:
            folder: Where files of this host are; None: nowhere.
            audit: The log.
            repository: Its entries.
            store: A token of the store, told by the first entry of each file: files of others are left alone.
            host: The name of this host.
            now: Microseconds since 1970 UTC.
            notes: What living processes note of their spools: ``chain``, and ``since`` when it waits for MongoDB.
        """
        self.folder, self.store, self.host, self.now = folder, store, host, now
        self._audit, self._repository, self._notes = audit, repository, notes
        self._refused: set[Path] = set()

    def settle(self) -> None:
        """Have what waits on this host now shipped, if that is possible within seconds."""
        with suppress(SillageError, OSError):
            self.adopt()
        waiting = {}
        for path in self._files():
            with suppress(OSError):
                last = last_of(path)
                if last is not None and path not in self._refused:
                    waiting[last.chain] = last.n
        until = clock.steady() + _SETTLE_SECONDS
        while waiting and clock.steady() < until:
            heads = {chain: self._repository.head(chain) for chain in waiting}
            waiting = {chain: n for chain, n in waiting.items() if (head := heads[chain]) is None or head.n < n}
            if waiting:
                time.sleep(0.05)

    def living(self) -> frozenset[str]:
        """The chains of spools whose processes live."""
        return frozenset(self._waiting())

    def here(self) -> frozenset[str]:
        """The chains of the files on this host."""
        return frozenset(map(chain_of, self._files()))

    def findings(self) -> Sequence[Finding]:
        """Faults of the files on this host."""
        found = []
        for path in self._files():
            with suppress(FileNotFoundError):
                content = path.read_bytes()
                if path in self._refused or self._foreign(path, content):
                    continue
                damaged = read(content, chain_of(path), self._audit.genuine).damaged
                if damaged:
                    found.append(Finding(chain_of(path), 0, "damaged", f"its spool {path} was altered; keep the file"))
        return found

    def behind(self) -> Sequence[Behind]:
        """The hosts whose readings are not all in MongoDB."""
        waiting, now, here = self._waiting(), self.now(), self.here()
        found = []
        for chain, (host, last) in sorted(self._repository.open_spools().items()):
            if chain in waiting:
                since = waiting[chain]
                if since is not None and now - since > _LATE_US:
                    found.append(Behind(host, chain, since, lives=True))
            elif chain in here or now - last > 5 * _LATE_US:
                found.append(Behind(host, chain, last, lives=False))
        return found

    def aside(self) -> int:
        """The number of files on this host that were found altered, and are kept."""
        return 0 if self.folder is None else len([*self.folder.glob(f"*{ASIDE}")])

    def adopt(self) -> None:
        """Ship the files on this host whose processes have ended, and end their chains.

        Raises:
            DatabaseUnavailable, StorageFull: what is not shipped stays where it is.
        """
        for path in self._files():
            if path in self._refused:
                continue
            try:
                with locked(path) as descriptor:
                    if descriptor is not None:
                        self._ship(path)
            except OSError as failed:
                self._refused.add(path)
                _log.error("a spool of the audit log cannot be read", file=str(path), reason=failed.strerror)
        for nameless in () if self.folder is None else self.folder.glob(f".*{SUFFIX}"):
            with suppress(OSError), locked(nameless) as descriptor:
                if descriptor is not None and clock.now().timestamp() - nameless.stat().st_mtime > _NAMELESS_SECONDS:
                    nameless.unlink()

    def _ship(self, path: Path) -> None:
        content = path.read_bytes()
        if self._foreign(path, content):
            self._refused.add(path)
            _log.warning("a spool of another store was left alone", file=str(path))
            return
        found = read(content, chain_of(path), self._audit.genuine)
        damaged = found.damaged + ship(self._repository, found.entries)
        head = self._repository.head(chain_of(path))
        if head is not None and head.kind == CHAIN_CLOSED:
            damaged = damaged or bool(head.detail.get("damaged"))
        elif head is not None:
            # What MongoDB has was durable here before: a file that ends earlier was cut.
            damaged += head.n > (found.entries[-1].n if found.entries else -1)
            detail: dict[str, object] = {"host": self.host, "torn": found.torn}
            if damaged:
                detail["damaged"] = damaged
            ship(self._repository, [self._audit.closing(head.chain, head.n + 1, head.mac, detail)])
        if damaged or not found.entries:
            _log.error(
                "a spool of the audit log was altered: its genuine entries are shipped, it is kept", file=str(path)
            )
            put_aside(path)
        else:
            _log.info("the spool of a process that ended is shipped", entries=len(found.entries), torn=found.torn)
            path.unlink()

    def _foreign(self, path: Path, content: bytes) -> bool:
        first = first_of(content)
        if first is None:
            # It does not say whose it is: ours if its chain is.
            return self._repository.head(chain_of(path)) is None
        return first.detail.get("spool") != self.store

    def _files(self) -> list[Path]:
        if self.folder is None:
            return []
        return sorted(path for path in self.folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))

    def _waiting(self) -> dict[str, int | None]:
        """The chains of spools whose processes live, and the instant of the oldest entry that waits, if any does."""
        return {
            str(note["chain"]): since if isinstance(since := note.get("since"), int) else None
            for note in self._notes()
            if isinstance(note, Mapping) and "chain" in note
        }


class Spool:
    """The spool of this process, and the thread that ships it. Made after a fork, never before."""

    def __init__(
        self,
        folder: Path,
        spools: HostSpools,
        audit: Audit,
        repository: AuditRepository,
        *,
        within: Within,
        note: Callable[[Mapping[str, object]], object],
        tell: Callable[[int, float, int], object],
    ) -> None:
        """Nothing is written yet.

        Args:
            folder: Where files go; made if it is not there.
            spools: Those of this host.
            audit: The log.
            repository: Its entries.
            within: Bounds the time that MongoDB may take.
            note: Has others know what living processes note (``HostSpools``).
            tell: Told how many entries wait, since how many seconds, and how many altered files are kept.
        """
        self._folder, self._spools, self._audit, self._repository = folder, spools, audit, repository
        self._within, self._note, self._tell = within, note, tell
        self._group: GroupCommit[New, Entry] = GroupCommit(self._write)
        self._turn = threading.Lock()
        self._opening = threading.Lock()
        self._file: SpoolFile | None = None
        # Made, and MongoDB is not known to have its first entry.
        self._made: SpoolFile | None = None
        self._fault: str | None = None
        self._late = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-spool", daemon=True)

    def start(self) -> None:
        """See if files can be written, and begin to ship; what processes that ended have left first."""
        self._probe()
        self._thread.start()

    def append(self, new: New) -> None:
        """Append an entry; it is durable on this host when this returns.

        Raises:
            AuditUnavailable: the disk does not take it, or MongoDB has not taken others for too long.
            DatabaseUnavailable, StorageFull: it would begin a chain, and MongoDB does not take the first entry.
        """
        self._group.put(new)

    def require(self) -> None:
        """Refuse to read while entries could not be written.

        Raises:
            AuditUnavailable: they cannot be.
        """
        if self._fault is not None:
            raise AuditUnavailable(f"The spool of the audit log cannot be written on this host ({self._fault}).")
        self._require_shipped()

    def close(self) -> None:
        """Ship what waits and end the chain; what MongoDB does not take now is shipped by whoever starts next."""
        self._stop.set()
        self._thread.join(_JOIN_SECONDS)
        with self._turn:
            file, self._file = self._file, None
        if self._made is not None:
            self._made.close()
        if file is not None:
            try:
                if self._thread.is_alive():
                    # It ships at this moment, and MongoDB takes long.
                    file.close()
                self._end(file)
            except (SillageError, OSError):
                pass
            if file.waiting:
                _log.warning("the spool of the audit log waits for the next start", entries=len(file.waiting))

    # --- writing ------------------------------------------------------------------------------------

    def _write(self, group: Sequence[New]) -> list[Entry]:
        with self._turn:
            self._require_shipped()
            try:
                if self._file is None or self._file.closed:
                    self._file = self._open()
                file = self._file
                entries: list[Entry] = []
                n, prev = file.n, file.prev
                for new in group:
                    entries.append(self._audit.entry(file.chain, n, prev, new))
                    n, prev = n + 1, entries[-1].mac
                file.append(entries)
            except OSError as failed:
                self._fault = failed.strerror or "unknown"
                _log.error("the spool of the audit log cannot be written", reason=self._fault)
                raise AuditUnavailable(f"The disk of this host does not take audit entries ({self._fault}).") from None
            self._fault = None
        return entries

    def _open(self) -> SpoolFile:
        with self._opening:
            if self._made is None:
                detail = {"host": self._spools.host, "spool": self._spools.store}
                self._made = SpoolFile(self._folder, self._audit.opening(detail))
            file = self._made
            # Before anything follows: a chain whose file is lost is known to MongoDB, with its host.
            self._ship(file)
            self._made = None
        self._note({"chain": file.chain, "since": None})
        return file

    def _require_shipped(self) -> None:
        file, oldest = self._file, _oldest(self._file)
        if file is None or oldest is None:
            return
        if len(file.waiting) >= MAX_WAITING or self._spools.now() - oldest > MAX_WAITING_US:
            raise AuditUnavailable("The database has not taken the audit entries of this host for a while.")

    def _probe(self) -> None:
        """See if files can be written: nothing else would show it while nobody may read."""
        try:
            probe(self._folder)
        except OSError as failed:
            if self._fault is None:
                _log.error("the spool of the audit log cannot be written", reason=failed.strerror)
            self._fault = failed.strerror or "unknown"
        else:
            self._fault = None

    # --- shipping -----------------------------------------------------------------------------------

    def _run(self) -> None:
        rounds = 0
        while not self._stop.is_set():
            try:
                self._round(rounds)
                self._late = False
            except Exception as failed:
                # It is tried again; this thread must not end.
                if not self._late:
                    _log.warning("the spool of the audit log is not shipped now", kind=type(failed).__name__)
                self._late = True
            rounds += 1
            self._say()
            self._stop.wait(SHIP_SECONDS)

    def _round(self, number: int) -> None:
        if self._fault is not None:
            self._probe()
        file = self._file
        if file is not None:
            self._ship(file)
            self._turn_over(file)
        if number % _ADOPT_EVERY == 0:
            self._spools.adopt()

    def _say(self) -> None:
        file, since = self._file, _oldest(self._file)
        if file is not None:
            self._note({"chain": file.chain, "since": since})
        age = 0.0 if since is None else max(0.0, (self._spools.now() - since) / 1e6)
        self._tell(0 if file is None else len(file.waiting), age, self._spools.aside())

    def _ship(self, file: SpoolFile) -> None:
        while file.waiting:
            batch = [file.waiting[place] for place in range(min(len(file.waiting), _BATCH))]
            with self._within(_SHIP_LIMIT_SECONDS):
                taken = self._repository.ship(batch)
            if taken:
                _log.error("MongoDB has other audit entries in the places of those in the spool", entries=taken)
                file.conflicts += taken
            for _ in batch:
                file.waiting.popleft()

    def _turn_over(self, file: SpoolFile) -> None:
        age = self._spools.now() - file.began
        if file.size < MAX_FILE_BYTES and age < (_HOUR_US if file.n > 1 else _DAY_US):
            return
        following = self._open()
        with self._turn:
            # A file that could not be written was replaced meanwhile.
            current = self._file is file
            if current:
                self._file = following
        self._end(file if current else following)

    def _end(self, file: SpoolFile) -> None:
        """End a chain and its file."""
        try:
            if file.closed:
                return
            self._ship(file)
            detail = {"damaged": file.conflicts} if file.conflicts else {}
            file.append([self._audit.closing(file.chain, file.n, file.prev, detail)])
            self._ship(file)
            if file.conflicts:
                put_aside(file.path)
            else:
                file.path.unlink(missing_ok=True)
        finally:
            file.close()


def ship(repository: AuditRepository, entries: Sequence[Entry]) -> int:
    """Insert what MongoDB does not have yet; the number of places that hold another entry there."""
    return sum(repository.ship(entries[at : at + _BATCH]) for at in range(0, len(entries), _BATCH))


def _oldest(file: SpoolFile | None) -> int | None:
    with suppress(IndexError):
        return None if file is None else file.waiting[0].at
    return None
