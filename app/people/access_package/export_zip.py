"""A zip that is written as it is read: no file on disk, no size known beforehand, the digest of each file kept.

PKWARE APPNOTE 4.4.4, bit 3: sizes follow the data, so nothing is written twice. ZIP64 where a file or the whole asks
for it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any, NamedTuple, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

# rw-r--r--, of a regular file: as unzip makes it.
_MODE = 0o100644 << 16


class File(NamedTuple):
    """A file of the zip: its path, its length in bytes, the SHA-256 of its content in hexadecimal."""

    path: str
    length: int
    sha256: str


class ZipStream:
    """Writes files one after the other; ``taken`` gives, and forgets, what the zip grew by since.

    One file is open at a time. Memory is that of what was not taken yet.
    """

    def __init__(self, moment: datetime) -> None:
        """``moment``: the date of every file."""
        self._sink = _Sink()
        self._zip = ZipFile(cast(IO[bytes], self._sink), "w", ZIP_DEFLATED, compresslevel=6)
        self._moment = moment
        self.files: list[File] = []

    @contextmanager
    def open(self, path: str, *, packed: bool = True) -> Iterator[Entry]:
        """A file to write to, until the end of the ``with``; ``packed`` compresses it."""
        at = self._moment
        info = ZipInfo(path, (at.year, at.month, at.day, at.hour, at.minute, at.second))
        info.compress_type = ZIP_DEFLATED if packed else ZIP_STORED
        info.external_attr = _MODE
        # The length is not known: without this, more than 2 GiB would be refused midway.
        with self._zip.open(info, "w", force_zip64=True) as target:
            entry = Entry(target)
            yield entry
        self.files.append(File(path, entry.length, entry.digest()))

    def add(self, path: str, content: bytes) -> None:
        """A whole file."""
        with self.open(path) as entry:
            entry.write(content)

    def taken(self) -> bytes:
        """The bytes written since the last call."""
        return self._sink.taken()

    def finish(self) -> bytes:
        """End the zip; the last of it."""
        self._zip.close()
        return self._sink.taken()


class Entry:
    """A file that is being written."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.length = 0

    def write(self, content: bytes) -> None:
        """Add to it."""
        self._hash.update(content)
        self.length += len(content)
        self._target.write(content)

    def digest(self) -> str:
        """SHA-256 of what was written, in hexadecimal."""
        return self._hash.hexdigest()


class _Sink(io.RawIOBase):
    """Target of the zip: it cannot go back, as a connection cannot."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()
        self._gone = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._gone + len(self._held)

    def write(self, data: Any, /) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        data = bytes(self._held)
        self._gone += len(data)
        self._held.clear()
        return data
