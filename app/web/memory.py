"""The memory that a worker may take: the last line, should a request cost more than any is meant to.

A worker that is above its ceiling leaves as on a stop: it accepts nobody, finishes what it serves, ends, and the
master forks another.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.core import clock
from app.core.personal_data import DeclaredFile, Impersonal

MIB = 1024 * 1024
MIN_MIB = 512
"""MiB that a worker may take however small the machine is, when no setting says otherwise."""
ROOM = 2
"""The ceiling is at least so many times what a worker takes that has done nothing yet."""
MIN_AGE_SECONDS = 10.0
"""A worker is not replaced before: a ceiling that each reaches at once must not become a loop of starts."""
_LOOK_SECONDS = 1.0
# What is free in the C library's pools, one of each thread, goes back to the system when it may be so much, and no more
# often: to ask for it again costs time.
_WORTH_BYTES = 64 * MIB
_GIVE_BACK_SECONDS = 5.0
# Until the successor of the last one that left accepts, another keeps accepting.
_APART_SECONDS = 5.0
_AT = struct.Struct("d")
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


FILES = (DeclaredFile("*", "TMPDIR", Impersonal("without a name: which worker left last")),)


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def give_back() -> None:
    """Give what the C library keeps of freed memory back to the system (malloc_trim(3)), where it can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def default_max_bytes(workers: int) -> int:
    """Bytes that a worker may take when no setting says so: half of the machine, or container, for all of them."""
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in _LIMITS:
        with suppress(OSError, ValueError):
            most = min(most, int(Path(name).read_text()))
    return max(MIN_MIB * MIB, most // 2 // workers)


class Turn:
    """Turns to leave: one worker of a server at a time. Made by the master, asked by its workers."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - as long as the server

    def __call__(self, now: float) -> bool:
        """Take the turn, which ends with this process; False when another one has it, or had it just before."""
        try:
            # Of the process, not of the file, which all of them share.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        said = os.pread(self._file.fileno(), _AT.size, 0)
        if len(said) == _AT.size and 0 <= now - _AT.unpack(said)[0] < _APART_SECONDS:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
            return False
        os.pwrite(self._file.fileno(), _AT.pack(now), 0)
        return True


class Ceiling:
    """Says when a worker is to leave for the memory it takes."""

    def __init__(
        self,
        most: int,
        turn: Callable[[float], bool],
        *,
        measure: Callable[[], int] = resident,
        give_back: Callable[[], object] = give_back,
        tell: Callable[[int], object] = lambda _: None,
    ) -> None:
        """``most`` bytes, 0 for no end; ``tell`` is given what was measured, about once a second."""
        self.most = most
        self._turn = turn
        self._measure = measure
        self._give_back = give_back
        self._tell = tell
        self._least = 0
        self._gave_back = 0.0
        self._born = clock.steady()
        self._looked = 0.0
        self._above = False

    def passed(self, now: float) -> int | None:
        """The bytes that this worker takes, when it is to leave; costs nothing more than once a second.

        What one request took for a moment is let pass: it has to be above at two looks.
        """
        if now - self._looked < _LOOK_SECONDS:
            return None
        self._looked = now
        taken = self._lessened(self._measure(), now)
        self._tell(taken)
        before, self._above = self._above, 0 < self.most < taken
        if not (before and self._above) or now - self._born < MIN_AGE_SECONDS:
            return None
        # Twice above, it does not wait for others to be back.
        return taken if taken > 2 * self.most or self._turn(now) else None

    def _lessened(self, taken: int, now: float) -> int:
        """The bytes that this process takes, once what it does not need is given back."""
        self._least = min(self._least, taken) or taken
        # Above the least it ever took, whatever was left after the last time: that may have been in use, and be free by
        # now.
        if taken > self._least + _WORTH_BYTES and now - self._gave_back >= _GIVE_BACK_SECONDS:
            self._give_back()
            self._gave_back = now
            taken = self._measure()
            self._least = min(self._least, taken)
        return taken
