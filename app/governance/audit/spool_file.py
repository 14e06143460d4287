"""A file of the spool of audit entries: one chain of the audit log, from its first entry on, one line each.

A line is a mark, the MAC of the entry in hexadecimal, a space, and the bytes that the MAC covers. The mark is ``>``
where a write begins, else a space. A write is durable before another one begins, and before anybody is answered: so
what is broken within the last write was cut off by a kill or a failing host, and what is broken before it was altered.
Entries hold what they hold in MongoDB: tokens, no names, no content. Files are of mode 0600, their folder of 0700.

Room is taken ahead, so that a write changes its own blocks alone and waits for no journal of the file system: what is
behind the last line is zeros, which are no line.

The process that writes a file holds its lock. Whoever gets the lock may ship the file, for its writer has ended.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from app.core.atomic_file import flush_folder
from app.core.personal_data import DeclaredFile, PersonalFile
from app.governance.audit.log import canonical
from app.governance.audit.store import Entry

SUFFIX = ".spool"
ASIDE = ".spool.damaged"

_HOLDS = PersonalFile(
    what="entries of the audit log that MongoDB does not have yet, and those of the same hour: who read what, subject "
    "tokens, no names",
    retain="until they are in MongoDB and the file is full, an hour old or its process ends; one that was altered is "
    "kept as `*.spool.damaged` until the operator removes it",
    erase="stays: proof of what was done; tokens name nobody without the keys",
    restore="untouched: shipped to the database that is in force, if it is of the same store",
)
FILES = (
    DeclaredFile("audit-spool/*.spool*", "SILLAGE_DATA_DIR", _HOLDS),
    DeclaredFile("*.spool*", "SILLAGE_AUDIT_SPOOL_DIR", _HOLDS),
)

_BEGINS, _GOES_ON, _NOTHING = b">", b" ", b"\0"
_MAC_DIGITS = 64
_ROOM = 128 * 1024


class Content(NamedTuple):
    """Content of a file.

    Attributes:
        entries: Genuine entries, in order.
        damaged: The number of places at which durable lines are altered, missing, inserted or moved.
        torn: Bytes at the end whose write was cut off: they were never durable, and nobody was answered for them.
    """

    entries: list[Entry]
    damaged: int
    torn: int


class SpoolFile:
    """A file that this process writes: one chain, and those of its entries that are not shipped yet."""

    def __init__(self, folder: Path, first: Entry) -> None:
        """Make a file that begins with the first entry of a chain; durable, and locked, when this returns.

        Raises:
            OSError: it cannot be written.
        """
        self.chain, self.began = first.chain, first.at
        self.path = folder / f"{first.chain}{SUFFIX}"
        self.n, self.prev, self.size, self._room = 0, first.prev, 0, 0
        self.waiting: deque[Entry] = deque()
        # Entries in whose places MongoDB has others.
        self.conflicts = 0
        # Under its name only once it is locked and has its first line: whoever comes by takes no file that begins.
        aside = folder / f".{first.chain}{SUFFIX}"
        self._descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.append([first])
            aside.rename(self.path)
            flush_folder(folder)
        except BaseException:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            self.close()
            raise

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries in one go; they are durable, and wait to be shipped, when this returns.

        Raises:
            OSError: they are not, and the file is as it was; or it is closed.
        """
        marks = [_BEGINS, *[_GOES_ON] * (len(entries) - 1)]
        written = b"".join(mark + line(entry) for mark, entry in zip(marks, entries, strict=True))
        try:
            if self.size + len(written) > self._room:
                os.posix_fallocate(self._descriptor, self.size, len(written) + _ROOM)
                self._room = self.size + len(written) + _ROOM
            done = 0
            while done < len(written):
                done += os.pwrite(self._descriptor, written[done:], self.size + done)
            os.fdatasync(self._descriptor)
        except OSError:
            try:
                self._room = self.size
                os.ftruncate(self._descriptor, self.size)
            except OSError:
                # What is behind the last durable line is torn now: whoever gets the lock cuts it off.
                self.close()
            raise
        self.size += len(written)
        self.n, self.prev = entries[-1].n + 1, entries[-1].mac
        self.waiting.extend(entries)

    @property
    def closed(self) -> bool:
        """True if nothing can be written to it any more."""
        return self._descriptor < 0

    def close(self) -> None:
        """Let go of it; what is in it and not shipped is shipped by whoever gets the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def probe(folder: Path) -> None:
    """Write a file to the folder, which is made if it is not there, and remove it; there is room for more of one.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    path = folder / f".probe-{os.getpid()}{SUFFIX}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, 2 * _ROOM)
        os.pwrite(descriptor, bytes(4_096), 0)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
        path.unlink()


def line(entry: Entry) -> bytes:
    """The line of an entry, without its mark."""
    return b"%s %s\n" % (entry.mac.hex().encode(), canonical(entry))


def parsed(text: bytes) -> Entry | None:
    """The entry of a line with its mark, genuine or not; None for what is no line of an entry."""
    try:
        chain, n, at, kind, actor, prev, detail = orjson.loads(text[_MAC_DIGITS + 2 :])
        entry = Entry(chain, n, at, kind, actor, detail, bytes.fromhex(prev), bytes.fromhex(text[1:65].decode()))
        formed = text[:1] in (_BEGINS, _GOES_ON) and type(detail) is dict and type(n) is int and type(at) is int
        return entry if formed and line(entry) == text[1:] + b"\n" else None
    except (ValueError, TypeError):
        return None


def read(content: bytes, chain: str, genuine: Callable[[Entry], bool]) -> Content:
    """Content of the file of a chain, each of its entries held to its MAC and to the one before it."""
    content = content.rstrip(_NOTHING)
    *lines, torn = content.split(b"\n")
    found = [
        entry if (entry := parsed(text)) is not None and entry.chain == chain and genuine(entry) else None
        for text in lines
    ]
    writes = [place for place, text in enumerate(lines) if found[place] is not None and text[:1] == _BEGINS]
    entries: dict[int, Entry] = {}
    last: Entry | None = None
    damaged = offset = 0
    for place, entry in enumerate(found):
        if entry is None or not _follows(last, entry):
            if place > (writes[-1] if writes else -1):
                return Content(sorted(entries.values()), damaged, len(content) - offset)
            damaged += 1
        if entry is not None:
            last = entry
            entries.setdefault(entry.n, entry)
        offset += len(lines[place]) + 1
    return Content(sorted(entries.values()), damaged, len(torn))


def _follows(last: Entry | None, entry: Entry) -> bool:
    if last is None:
        return entry.n == 0
    return (entry.chain, entry.n, entry.prev) == (last.chain, last.n + 1, last.mac)


def chain_of(path: Path) -> str:
    """The chain of a file."""
    return path.name.removesuffix(SUFFIX)


def first_of(content: bytes) -> Entry | None:
    """The first entry of a file, genuine or not; None if that cannot be read."""
    return parsed(content.partition(b"\n")[0])


def last_of(path: Path) -> Entry | None:
    """The last entry of a file that a process may be writing, genuine or not; None if there is none."""
    whole = path.read_bytes().rpartition(b"\n")[0]
    return parsed(whole.rpartition(b"\n")[2])


@contextmanager
def locked(path: Path) -> Iterator[int | None]:
    """A file whose writer has ended, open for reading and locked; None while it lives, or if the file has gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have shipped and removed it meanwhile.
            ours = os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
        except (BlockingIOError, FileNotFoundError):
            ours = False
        yield descriptor if ours else None
    finally:
        os.close(descriptor)


def put_aside(path: Path) -> None:
    """Keep a file for whoever looks into what is wrong with it; nobody ships it any more."""
    with suppress(FileNotFoundError):
        path.rename(path.with_name(f"{chain_of(path)}{ASIDE}"))
        flush_folder(path.parent)
