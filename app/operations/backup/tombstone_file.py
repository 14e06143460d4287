"""Tombstones outside the database: a file that each erasure adds a line to, for the day the database is lost.

A line is a JSON object with the fields of a tombstone (``app/people/erasure/tombstones.py``): ``id``, ``mark``
(hexadecimal), ``erased`` (ISO 8601 UTC), ``until_stored`` (microseconds since 1970), ``erasure`` (UUID); and ``mac``:
HMAC-SHA256 of the others, as JSON with sorted keys, under a key derived from the organisation's MAC root. It names
nobody; who has the file without the keys learns when data subjects were erased.

A line of another kind is a policy about minors that was applied to what was stored, after which erasures name data
subjects by other identifiers than older backups: ``source``, ``policy``, ``until``
(``app/operations/minors_store.py``), ``mac``.
"""

from __future__ import annotations

import fcntl
import hmac
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import orjson

from app.core.atomic_file import new_file
from app.core.errors import FileRefused
from app.core.personal_data import GIVEN, DeclaredFile, PersonalFile
from app.operations.minors_store import Cleaning
from app.people.erasure.tombstones import Tombstone

Mac = Callable[[bytes], bytes]
Line = Tombstone | Cleaning

_MAX_LINE = 1_024
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


_HOLDS = PersonalFile(
    what="tombstones: MACs of the identifiers of erased persons, and when; without the MAC root nobody is told by them",
    retain="kept as long as the store, and as any backup of it",
    erase="each erasure adds a line: without it an older backup would bring the person back",
    restore="whoever has a line is erased again",
)
FILES = (
    DeclaredFile("tombstones.jsonl", "SILLAGE_TOMBSTONES_FILE", _HOLDS),
    DeclaredFile("*", GIVEN, _HOLDS._replace(what=f"`sillage tombstones export`: {_HOLDS.what}")),
)


def append(path: Path, lines: Iterable[Line], mac: Mac) -> None:
    """Add lines to the file, flushed to disk when this returns; the file is made, mode 0600, when there is none.

    Raises:
        FileRefused: it cannot be written.
    """
    content = b"".join(_line(one, mac) for one in lines)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            size = os.fstat(file.fileno()).st_size
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                # A process was killed in the midst of a line: that one ends here, and is not read.
                content = b"\n" + content
            os.write(file.fileno(), content)
            os.fsync(file.fileno())
    except OSError as refused:
        raise FileRefused(f"The file of tombstones cannot be written ({refused.strerror}).") from refused


def write(path: Path, lines: Iterable[Line], mac: Mac) -> int:
    """Write lines to a new file; how many.

    Raises:
        FileRefused: there is one of that name, or it cannot be written.
    """
    written = 0
    with new_file(path) as file:
        for one in lines:
            file.write(_line(one, mac))
            written += 1
    return written


def read(path: Path, mac: Mac) -> list[Line]:
    """The lines of a file, in its order.

    Raises:
        FileRefused: it cannot be read, or has a line that this organisation did not write.
    """
    found = []
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE):
                number += 1
                one = _read(line, mac)
                if one is not None:
                    found.append(one)
                elif _whole(line):
                    raise FileRefused(
                        f"Line {number} of the file of tombstones was not written by this store, or was altered. "
                        "Without it an erased person may come back: find the right file."
                    )
    except OSError as refused:
        raise FileRefused(f"The file of tombstones cannot be read ({refused.strerror}).") from None
    return found


def _whole(line: bytes) -> bool:
    # What a killed process left is the beginning of a line: its tombstone was in the database before, and its erasure
    # has not been answered.
    return not (line.startswith(b"{") and not line.rstrip(b"\n").endswith(b"}"))


def _line(one: Line, mac: Mac) -> bytes:
    said = _said(one)
    return orjson.dumps({**said, "mac": mac(_canonical(said)).hex()}, option=orjson.OPT_SORT_KEYS) + b"\n"


def _said(one: Line) -> dict[str, object]:
    if isinstance(one, Cleaning):
        return one._asdict()
    return {
        "id": one.id.hex(),
        "mark": one.mark.hex(),
        "erased": one.erased.astimezone(UTC).strftime(_FORMAT),
        "until_stored": one.until_stored,
        "erasure": str(one.erasure),
    }


def _canonical(said: dict[str, object]) -> bytes:
    return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)


def _read(line: bytes, mac: Mac) -> Line | None:
    try:
        said = orjson.loads(line)
        given = bytes.fromhex(said.pop("mac"))
        if not hmac.compare_digest(given, mac(_canonical(said))):
            return None
        if "policy" in said:
            return Cleaning(str(said["source"]), str(said["policy"]), int(said["until"]))
        erased = datetime.strptime(said["erased"], _FORMAT).replace(tzinfo=UTC)
        return Tombstone(
            bytes.fromhex(said["id"]),
            bytes.fromhex(said["mark"]),
            erased,
            int(said["until_stored"]),
            UUID(said["erasure"]),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None
