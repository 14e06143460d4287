"""The process that keeps one embedded MongoDB alive for as long as a process uses it.

``app.platform.mongo.embedded.server`` starts it (``python -m app.platform.mongo.embedded.supervisor``); it detaches,
runs ``mongod`` as its child in a folder of its own, starts it again when it dies, and stops it when the last user has
left. Three things in the folder make that safe between processes that know nothing of each other:

``supervisor.lock``
    An exclusive ``flock``: at most one supervisor. The starter takes it and hands the open descriptor down,
    so there is no moment at which two could start.
``users.lock``
    Each user holds a shared ``flock``. The kernel drops it however the user ends, ``kill -9`` included;
    the supervisor that gets it exclusively knows that nobody is left.
``server.json``
    What the supervisor says to its users (``State``), replaced atomically.

A supervisor that was killed leaves its ``mongod`` running; the next one adopts that process.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import quote_plus

import orjson
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

REPLICA_SET = "sillage"
# mongod binds two sockets in its folder: the one it is told, and one that it names after its port. It listens on
# no TCP port at all; the number only makes the second name.
SOCKET = "mongod.sock"
_SECOND_SOCKET = "mongodb-27017.sock"
# sun_path is 108 bytes on Linux, the closing zero included (unix(7)).
_MAX_SOCKET_PATH_LENGTH = 107
_TICK_SECONDS = 0.1
_USERS_SECONDS = 0.25
_STOP_SECONDS = 120.0
_MAX_BACK_OFF = 30.0
_STEADY_SECONDS = 60.0
_MAX_LOG_BYTES = 16 * 1024 * 1024
_NOT_YET_INITIALIZED = 94
# A writer that is killed leaves its transaction open, and its statements locked, for as long as MongoDB lets it: 60 s
# unless told. A batch takes well under a second.
_TRANSACTION_SECONDS = 10
# A file for each collection and index. Those idle for a while are closed beyond the first thousand: a server that runs
# out of files ends itself (it keeps them ten minutes by default).
_FILES = "file_manager=(close_handle_minimum=1000,close_idle_time=30,close_scan_interval=10)"
# Tokens dirty many pages a little each. Written as early as MongoDB would (at 5 % of the cache), each is compressed and
# written again and again: with half a million statements that is most of its time (docs/benchmarks/bounds.md).
_EVICTION = "eviction_dirty_target=40,eviction_dirty_trigger=60,eviction_updates_target=20,eviction_updates_trigger=40"
# MongoDB's own level (6) costs a multiple of the time and saves 2 % of the bytes: sealed bodies do not shrink.
_COMPRESSION_LEVEL = "1"
# In /proc, the thread that writes a checkpoint each minute: of millions of statements nearly all pages of the indexes.
# Fewer would cost less, and a start after a crash a multiple: what came since is applied again.
_CHECKPOINTER = "Checkpointer"
_CHECKPOINT_NICE = 10


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one embedded server under its folder."""

    folder: Path

    @property
    def data(self) -> Path:
        """Folder of MongoDB's data (its ``dbPath``)."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The log of ``mongod``; ``mongod.log.1`` is the one before."""
        return self.folder / "mongod.log"

    @property
    def supervisor_log(self) -> Path:
        """Log of the supervisor, and of ``mongod`` before its own log is open."""
        return self.folder / "supervisor.log"

    @property
    def state(self) -> Path:
        """The supervisor's ``State``."""
        return self.folder / "server.json"

    @property
    def users_lock(self) -> Path:
        """Held shared by every user."""
        return self.folder / "users.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held exclusively by the supervisor."""
        return self.folder / "supervisor.lock"


@dataclass(frozen=True, slots=True)
class State:
    """State of the server, as the supervisor tells it to users.

    Attributes:
        run: Which start this is about, so that a starter knows its own answer from an old one.
        status: ``starting``, ``ready`` (a primary answered on the socket) or ``failed``.
        supervisor: Process id of the supervisor.
        server: Process id of ``mongod``, 0 before there is one.
        socket: Path of the Unix socket.
        reason: Why it failed, a sentence for people.
    """

    run: str
    status: str
    supervisor: int
    server: int
    socket: str
    reason: str = ""


def read_state(layout: Layout) -> State | None:
    """The last state written in the folder, or None when there is none that can be read."""
    try:
        return State(**orjson.loads(layout.state.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def lock(path: Path, operation: int) -> int | None:
    """Open a lock file and take its ``flock`` without waiting; the descriptor, or None when it is held.

    The lock lasts until every copy of the descriptor is closed, those inherited over ``fork`` included.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def uri_of(path: str) -> str:
    """Connection string for the server on a Unix socket."""
    return f"mongodb://{quote_plus(path)}/?directConnection=true"


def is_primary(path: str, *, initiate: bool = False) -> bool:
    """True if the server on this socket takes writes now.

    Args:
        path: The Unix socket.
        initiate: Make the single-node replica set first, when the server is new.
    """
    # A driver that finds nobody waits half a second before it looks again; a bare connection costs nothing.
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    client: MongoClient[dict[str, object]] = MongoClient(
        uri_of(path), serverSelectionTimeoutMS=2_000, socketTimeoutMS=5_000, appname="sillage-supervisor"
    )
    try:
        if initiate:
            try:
                client.admin.command("replSetGetStatus")
            except OperationFailure as refused:
                if refused.code == _NOT_YET_INITIALIZED:
                    # The member's name is relative to mongod's working folder, so a data folder can be moved.
                    member = {"_id": 0, "host": f"./{SOCKET}"}
                    client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        return bool(client.admin.command("hello").get("isWritablePrimary"))
    except PyMongoError:
        return False
    finally:
        client.close()


def _socket_folder(layout: Layout) -> Path:
    """The folder of the sockets: the data folder itself, or a private temporary one when its path is too long."""
    if len(os.fsencode(layout.folder / _SECOND_SOCKET)) <= _MAX_SOCKET_PATH_LENGTH:
        return layout.folder
    before = read_state(layout)
    if before is not None and before.socket:
        known = Path(before.socket).parent
        # Clients of the server before us still know this path. The temporary folder is shared with other
        # accounts: take it again only when it is ours and closed to them.
        with contextlib.suppress(OSError):
            found = known.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
                return known
    return Path(tempfile.mkdtemp(prefix="sillage-"))


def server_of(layout: Layout) -> int | None:
    """Process id of the ``mongod`` that runs on this folder's data, or None.

    Linux only; elsewhere it finds none, and the lock that ``mongod`` itself takes still forbids a second.
    """
    try:
        pid = int((layout.data / "mongod.lock").read_text().strip() or "0")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if pid and b"mongod" in words[0] and os.fsencode(layout.data) in words else None


def _explain(text: str) -> str:
    """The last errors in a piece of ``mongod``'s log, with what to do about the usual ones."""
    errors = []
    for line in text.splitlines():
        try:
            entry = orjson.loads(line)
            if entry["s"] in {"F", "E"}:
                cause = entry.get("attr", {})
                detail = cause.get("error") or cause.get("message") or cause.get("reason") or ""
                errors.append(f"{entry['msg']} {detail if isinstance(detail, str) else orjson.dumps(detail).decode()}")
        except (ValueError, KeyError, TypeError, AttributeError):
            if line.strip():
                errors.append(line.strip())
    said = " | ".join(error.strip()[:300] for error in errors[-4:])
    low = text.lower()
    advice = (
        (("no space left",), "The disk is full: free some space and start again."),
        (
            ("dbpathinuse", "already locked", "unable to lock"),
            "Another mongod uses this folder: stop it first.",
        ),
        (
            ("featurecompatibilityversion", "incompatible", "unsupported wiredtiger", "wrong mongod version"),
            "The data were written by another version of MongoDB: start with that version.",
        ),
        (("permission denied", "operation not permitted", "read-only"), "The folder must be writable."),
        (
            ("corrupt", "checksum", "wt_panic", "wt_error", "metadata"),
            "The data are damaged: restore a backup, or try `mongod --repair` on a copy.",
        ),
    )
    hint = next((sentence for marks, sentence in advice if any(mark in low for mark in marks)), "")
    return " ".join(part for part in (hint, f"mongod said: {said}" if said else "") if part)


class _Supervisor:
    """One supervised server; the exclusive lock on its folder is held by the caller's descriptor."""

    def __init__(self, layout: Layout, binary: Path, cache_mb: int, run: str) -> None:
        self._layout = layout
        self._binary = binary
        self._cache_mb = cache_mb
        self._run = run
        self._sockets = _socket_folder(layout)
        self._socket = str(self._sockets / SOCKET)
        self._child: subprocess.Popen[bytes] | None = None
        self._adopted: int | None = None
        self._log_start = 0
        self._ending = False

    def main(self) -> int:
        """Serve until nobody uses the server; 0, or 1 when it could not be started."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        self._say("starting")
        self._adopt()
        if self._adopted is None:
            self._launch()
        result = self._watch()
        self._stop()
        if result == 0:
            with contextlib.suppress(OSError):
                self._layout.state.unlink()
        if self._sockets != self._layout.folder:
            shutil.rmtree(self._sockets, ignore_errors=True)
        return result

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self._ending = True

    def _watch(self) -> int:
        ready, ever_ready, back_off = False, False, 0.2
        since = look = time.monotonic()
        while not self._ending:
            if not self._alive():
                if not ever_ready:
                    self._say("failed", self._reason())
                    return 1
                ready = False
                self._say("starting")
                if time.monotonic() - since > _STEADY_SECONDS:
                    back_off = 0.2
                self._pause(back_off)
                back_off = min(back_off * 2, _MAX_BACK_OFF)
                self._launch()
                since = time.monotonic()
            elif not ready and is_primary(self._socket, initiate=True):
                ready = ever_ready = True
                self._ease_checkpoints()
                self._say("ready")
            if time.monotonic() >= look:
                look = time.monotonic() + _USERS_SECONDS
                if self._nobody_left():
                    return 0
                self._rotate()
            time.sleep(_TICK_SECONDS if ready else _TICK_SECONDS / 4)
        return 0

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._ending:
            time.sleep(_TICK_SECONDS)

    def _nobody_left(self) -> bool:
        # Once taken, the lock is kept to the end of this process: whoever comes now waits until mongod has stopped
        # and then starts a supervisor of its own.
        return lock(self._layout.users_lock, fcntl.LOCK_EX) is not None

    def _adopt(self) -> None:
        """Take over the mongod of a supervisor that was killed, when its socket is the one we would use."""
        pid = server_of(self._layout)
        if pid is None:
            return
        self._adopted = pid
        until = time.monotonic() + 10.0
        # mongod binds its socket early: one without it cannot be reached any more.
        while self._alive() and Path(self._socket).exists() and time.monotonic() < until:
            if is_primary(self._socket, initiate=True):
                return
            time.sleep(_TICK_SECONDS)
        self._stop()

    def _launch(self) -> None:
        for name in (SOCKET, _SECOND_SOCKET):
            (self._sockets / name).unlink(missing_ok=True)
        self._log_start = self._layout.log.stat().st_size if self._layout.log.exists() else 0
        self._adopted = None
        command = [
            str(self._binary),
            *("--dbpath", str(self._layout.data)),
            *("--bind_ip", f"./{SOCKET}", "--port", "27017", "--unixSocketPrefix", "."),
            *("--filePermissions", "0600"),
            *("--replSet", REPLICA_SET, "--oplogSize", "1024"),
            *("--wiredTigerCacheSizeGB", f"{self._cache_mb / 1024:.3f}"),
            *("--wiredTigerEngineConfigString", f"{_FILES},{_EVICTION}"),
            *("--zstdDefaultCompressionLevel", _COMPRESSION_LEVEL),
            *("--logpath", str(self._layout.log), "--logappend", "--logRotate", "reopen", "--quiet"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", f"transactionLifetimeLimitSeconds={_TRANSACTION_SECONDS}"),
        ]
        # The working folder is that of the sockets, so the short relative names above always fit.
        self._child = subprocess.Popen(command, cwd=self._sockets, stdin=subprocess.DEVNULL)  # noqa: S603
        self._say("starting")

    def _ease_checkpoints(self) -> None:
        """Have checkpoints leave the processors to MongoDB's other threads, which answer (adr/0034). Linux only."""
        pid = self._child.pid if self._child is not None else self._adopted
        for name in Path(f"/proc/{pid}/task").glob("*/comm"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                if name.read_text().strip() == _CHECKPOINTER:
                    thread = int(name.parent.name)
                    lower = max(_CHECKPOINT_NICE, os.getpriority(os.PRIO_PROCESS, thread))
                    os.setpriority(os.PRIO_PROCESS, thread, lower)

    def _alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return self._adopted is not None and server_of(self._layout) == self._adopted

    def _stop(self) -> None:
        """Ask mongod to end and wait; kill it only when it does not answer (its journal then recovers)."""
        pid = self._child.pid if self._child is not None else self._adopted
        until = time.monotonic() + _STOP_SECONDS
        if pid is not None and self._alive():
            os.kill(pid, signal.SIGTERM)
            while self._alive() and time.monotonic() < until:
                time.sleep(_TICK_SECONDS / 4)
            if self._alive():
                os.kill(pid, signal.SIGKILL)
                while self._alive():
                    time.sleep(_TICK_SECONDS / 4)
        self._child = self._adopted = None

    def _rotate(self) -> None:
        """Keep the log under twice ``_MAX_LOG_BYTES``: mongod opens a new file when told (SIGUSR1)."""
        pid = self._child.pid if self._child is not None else self._adopted
        with contextlib.suppress(OSError):
            if pid is not None and self._layout.log.stat().st_size > _MAX_LOG_BYTES:
                self._layout.log.replace(self._layout.log.with_suffix(".log.1"))
                os.kill(pid, signal.SIGUSR1)

    def _reason(self) -> str:
        texts = []
        for path, start in ((self._layout.supervisor_log, 0), (self._layout.log, self._log_start)):
            with contextlib.suppress(OSError), path.open("rb") as stream:
                stream.seek(start)
                texts.append(stream.read(1 << 20).decode("utf-8", "replace"))
        code = self._child.returncode if self._child is not None else None
        return _explain("\n".join(texts)) or f"mongod ended with code {code} and said nothing."

    def _say(self, status: str, reason: str = "") -> None:
        pid = self._child.pid if self._child is not None else self._adopted or 0
        state = State(self._run, status, os.getpid(), pid, self._socket, reason)
        draft = self._layout.state.with_suffix(".new")
        # On a full disk users still find the server through the state written before.
        with contextlib.suppress(OSError):
            draft.write_bytes(orjson.dumps(state))
            draft.replace(self._layout.state)


def main(arguments: Sequence[str]) -> int:
    """Detach and supervise. The descriptor ``--lock`` holds the exclusive lock of the folder."""
    parser = argparse.ArgumentParser(prog="python -m app.platform.mongo.embedded.supervisor", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--cache-mb", type=int, required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--lock", type=int, required=True)
    given = parser.parse_args(arguments)
    # The starter waits for this first process only; the one that lives on has a process group of its own, so that a
    # Ctrl-C in the starter's terminal does not reach it, and is no child that the starter would have to collect. It
    # stays in the starter's session: Linux weighs priorities of threads within a session (adr/0034).
    if os.fork():
        return 0
    os.setpgid(0, 0)
    os.umask(0o077)
    os.set_inheritable(given.lock, False)
    return _Supervisor(Layout(given.folder), given.binary, given.cache_mb, given.run).main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
