"""The HTTP server: gunicorn around ``create_app``, with the embedded MongoDB when none is configured."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import structlog
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger

from app import create_app
from app.access.authenticators import Authenticators
from app.core import clock, collector
from app.core.errors import ClockOff, DatabaseUnavailable, SettingsInvalid, SillageError, StorageFull
from app.core.personal_data import DeclaredFile, Impersonal
from app.platform.mongo.embedded import server as embedded
from app.serve.worker import STOPS, Worker, max_connections
from app.settings import Settings
from app.web import logs
from app.web.admission.admission import Limits
from app.web.admission.request_head import Heads
from app.web.gate import AUTHENTICATORS
from app.web.memory import MIB, ROOM, Ceiling, Turn, default_max_bytes, resident
from app.web.operations import EXTENSION as EXTENSION_OF_METRICS
from app.web.operations import MULTIPROCESS, Metrics
from app.web.refusal import EXTENSION, Refusal

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - in memory; gunicorn makes unnamed files there for its heartbeat
# GET /statements carries agents and activities in its query; this is the most that gunicorn allows.
_MAX_LINE_LENGTH = 8190
_WORKER_BOOT_ERROR = 3
_TURN_SECONDS = 0.0005
# The workers of a master that was killed notice within a second, and finish what they are at.
_PREDECESSOR_SECONDS = 5.0
# Of the master's patience, what a worker has left for closing once its requests have had their time.
_CLOSING_SECONDS = 5


class _Closable(Protocol):
    def close(self) -> None: ...


class _GunicornLog(Logger):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's own lines, written like all others; what it would quote of a request is left out."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.loglevel = self.error_log.level
        for log in (self.error_log, self.access_log):
            log.handlers = []
            log.propagate = True

    def exception(self, msg: Any, *_args: Any, **_kwargs: Any) -> None:
        if isinstance(sys.exc_info()[1], TimeoutError):
            self.error_log.info("a client did not read its answer in time")
            return
        # The arguments are a method and a URI, query string included.
        self.error_log.error(str(msg).replace(" %s", "") if isinstance(msg, str) else "failed", exc_info=True)

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        if str(msg).startswith("Invalid request from"):
            # The line goes on with the client's address and the offending part of its request.
            self.error_log.warning("request refused by the HTTP parser")
        else:
            self.error_log.warning(msg, *args, **kwargs)

    def reopen_files(self) -> None:
        """Nothing to reopen: all goes to standard error."""

    def close_on_exec(self) -> None:
        """Nothing to close: all goes to standard error."""


class _Master(Arbiter):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's master, whose workers hear of a stop from their first moment.

    A worker begins with the master's handlers, which would put a signal into a queue that nobody reads: one told to
    stop just then would go on, until the master kills it. Signals that stop wait until it has handlers of its own.
    """

    def spawn_worker(self) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            pid: int = super().spawn_worker()
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


FILES = (
    DeclaredFile("metrics/**", "SILLAGE_DATA_DIR", Impersonal("counters of workers, where there is no shared memory")),
)


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn has no types
    def __init__(self, settings: Settings, build: Callable[[Settings], Flask], metrics: Path) -> None:
        self._settings = settings
        self._build = build
        self._metrics = metrics
        # One byte shared with every worker: whether any of them ever served.
        self._served = mmap.mmap(-1, 1)
        self._leaving = Turn()
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        options: dict[str, object] = {
            "bind": settings.bind,
            "workers": settings.workers,
            "worker_class": Worker,
            "threads": settings.threads,  # and those that Worker keeps for special cases
            "worker_connections": max_connections(settings.threads),
            "preload_app": False,
            "timeout": 60,
            "graceful_timeout": _graceful(settings) + _CLOSING_SECONDS,
            "keepalive": 15,
            "limit_request_line": _MAX_LINE_LENGTH,
            "limit_request_fields": 100,
            "limit_request_field_size": 8190,
            # Nothing that a client sends is believed, wherever it comes from: a proxy here passes on what it was sent.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "secure_scheme_headers": {},
            "header_map": "drop",
            "proxy_protocol": "off",
            "logger_class": _GunicornLog,
            "loglevel": settings.log_level,
            "umask": 0o077,
            "control_socket_disable": True,
            "http_parser": "python",  # whose bodies are read by app.web.framing, whatever is installed beside it
            "on_starting": _on_starting,
            "post_worker_init": self._post_worker_init,
            "worker_exit": _worker_exit,
            "child_exit": self._child_exit,
        }
        if os.access(_SHARED_MEMORY, os.W_OK):
            options["worker_tmp_dir"] = str(_SHARED_MEMORY)
        for name, value in options.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        _Master(self).run()

    def load(self) -> Flask:
        logs.configure(self._settings.log_level, self._settings.log_format)
        try:
            return self._build(self._settings)
        except SillageError as refused:
            log = structlog.stdlib.get_logger("sillage.serve")
            if self._served[0] and isinstance(refused, ClockOff | DatabaseUnavailable | StorageFull):
                # It worked before and will again: the master goes on and starts another worker.
                log.warning("a worker waits for the database, or its clock", code=refused.code)
                sys.exit(1)
            # Starting again would not help, so the whole server ends, with one sentence and no stack.
            log.error("the service cannot start", code=refused.code, detail=refused.detail)
            sys.exit(_WORKER_BOOT_ERROR)

    def _post_worker_init(self, worker: Any) -> None:
        settings = self._settings
        worker.hold_to(*self._ceiling(worker))
        self._served[0] = 1
        # Its own, made by the fork. With the same limit as the master's it would be killed just when it is to write
        # what is pending and close its chain of the audit log.
        worker.cfg.set("graceful_timeout", _graceful(settings))
        limits = Limits(
            threads=settings.threads,
            body_bytes=settings.max_held_bytes,
            max_body_bytes=settings.max_body_bytes,
            waiting=settings.max_waiting,
            seconds=settings.max_wait_seconds,
        )
        extensions = worker.wsgi.extensions
        ways: Authenticators | None = extensions.get(AUTHENTICATORS)
        heads = Heads() if ways is None else Heads(ways.fields)
        worker.share_out(limits, extensions.get(EXTENSION) or Refusal(), heads)
        # A terminal sends Ctrl-C to the workers as well; the master tells them what to do.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        collector.spare_what_is_loaded()
        # A thread that waits for a socket, a lock or MongoDB asks for its turn again each time, and a batch that is
        # being checked in the same process gives it up only so often (Python's default: every 5 ms).
        sys.setswitchinterval(_TURN_SECONDS)
        structlog.stdlib.get_logger("sillage.serve").debug("worker ready", pid=worker.pid)

    def _ceiling(self, worker: Any) -> tuple[Ceiling, Callable[[int], object]]:
        """The memory ceiling of a worker, and the callback for its leave."""
        log = structlog.stdlib.get_logger("sillage.serve")
        said = self._settings.max_worker_memory_mb
        most = default_max_bytes(self._settings.workers) if said is None else said * MIB
        idle = resident()
        if 0 < most < ROOM * idle:
            needed = -(-ROOM * idle // MIB)
            if said is not None and not self._served[0]:
                log.error(
                    "the service cannot start",
                    code=SettingsInvalid.code,
                    detail=f"SILLAGE_MAX_WORKER_MEMORY_MB: a worker that has done nothing takes {idle // MIB} MiB, so "
                    f"each would be replaced before long. Set at least {needed}, or 0 for no ceiling.",
                )
                sys.exit(_WORKER_BOOT_ERROR)
            # It served before: better above the ceiling than not at all, or one start after the other.
            log.warning("the ceiling of memory is too low for a worker, and was raised for this one", mib=needed)
            most = ROOM * idle
        metrics: Metrics | None = worker.wsgi.extensions.get(EXTENSION_OF_METRICS)

        def leaves(taken: int) -> None:
            log.warning(
                "a worker takes more memory than it may, and is replaced",
                pid=worker.pid,
                mib=taken // MIB,
                most=most // MIB,
            )
            if metrics is not None:
                metrics.replaced()

        return Ceiling(most, self._leaving, tell=metrics.memory if metrics is not None else lambda _: None), leaves

    def _child_exit(self, _arbiter: Any, worker: Any) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid, str(self._metrics))  # type: ignore[no-untyped-call]


def _graceful(settings: Settings) -> int:
    """Whole seconds, at least one: gunicorn takes no others."""
    return max(1, round(settings.graceful_seconds))


def _on_starting(arbiter: Any) -> None:
    # Ctrl-C lets requests under way finish, as SIGTERM does; a second one does not wait.
    arbiter.handle_int = arbiter.handle_term


def _worker_exit(_arbiter: Any, worker: Any) -> None:
    application: Flask | None = getattr(worker, "wsgi", None)
    if application is not None:
        parts: _Closable | None = application.extensions.get("sillage")
        if parts is not None:
            parts.close()


def _fresh_metrics(settings: Settings) -> tuple[Path, int]:
    """An empty folder for the counters of this server's workers, in memory where the system has a place for that.

    Workers write to them through mappings: on a full disk the kernel would kill a worker at its next count.

    Returns:
        The folder, and a descriptor that holds its lock.
    """
    # The same at each start, so that a server that was killed leaves nothing that its successor does not clear.
    place = f"{settings.data_dir.resolve()}\0{settings.bind}".encode()
    name = f"sillage-metrics-{hashlib.blake2b(place, digest_size=8).hexdigest()}"
    try:
        folder, lock = _own_folder(_SHARED_MEMORY / name)
    except OSError:
        # No shared memory; or somebody else, in a place where everybody may write, made something of that name.
        settings.metrics_dir.mkdir(mode=0o700, exist_ok=True)
        folder, lock = _own_folder(settings.metrics_dir / name)
    os.environ[MULTIPROCESS] = str(folder)
    # prometheus-client looks at the environment when it is first imported, which happened long ago; no metric
    # has been made yet, so this is the moment to have it look again.
    from prometheus_client import values

    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
    return folder, lock


def _own_folder(folder: Path) -> tuple[Path, int]:
    """Make or empty a folder that is ours alone, and lock it.

    Raises:
        OSError: it cannot be made, or is a link, or belongs to somebody else.
        SettingsInvalid: another server uses it.
    """
    deadline = clock.steady() + _PREDECESSOR_SECONDS
    while True:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            found = os.fstat(descriptor)
            if found.st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, "the folder belongs to another account")
            os.fchmod(descriptor, 0o700)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one that held it may have removed the folder meanwhile.
            if os.path.samestat(found, folder.stat(follow_symlinks=False)):
                for entry in os.listdir(descriptor):  # noqa: PTH208 - of the folder that is open, whatever its name now
                    os.unlink(entry, dir_fd=descriptor)
                return folder, descriptor
        except (BlockingIOError, FileNotFoundError):
            if clock.steady() > deadline:
                raise SettingsInvalid(
                    "Another server with this data folder listens on this address. Stop it, or change SILLAGE_BIND."
                ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(0.1)


def _remove(folder: Path, owner: int) -> None:
    # Workers, forked in the midst of `serve`, leave it like the master does.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _require_free(bind: str) -> None:
    """Refuse an address that is taken with a sentence, before anything is started."""
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except OSError as refused:
        raise SettingsInvalid(
            f"SILLAGE_BIND: the server cannot listen there ({refused.strerror or 'unknown host'}). "
            "Stop what listens on that port, or choose another one."
        ) from refused


def serve(settings: Settings, build: Callable[[Settings], Flask] = create_app) -> None:
    """Serve until told to stop (SIGTERM, Ctrl-C); requests under way get ``graceful_seconds`` to finish.

    Args:
        settings: The installation's settings. Without ``mongodb_uri`` the embedded MongoDB is started first, in
            this process, which forks the workers: it outlives every one of them.
        build: Makes the application, once in each worker; by default ``app.create_app``.

    Raises:
        SillageError: the installation cannot be served; the detail says how to fix it.
        SystemExit: always, at the end: 0 after a normal stop, 3 when a worker could not start.
    """
    logs.configure(settings.log_level, settings.log_format)
    # Gunicorn would take it for a prefix of every path.
    os.environ.pop("SCRIPT_NAME", None)
    _require_free(settings.bind)
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        metrics, lock = _fresh_metrics(settings)
    except OSError as refused:
        raise SettingsInvalid(
            f"The data folder cannot be written ({refused.strerror}). Choose another one with SILLAGE_DATA_DIR."
        ) from refused
    master = os.getpid()
    with ExitStack() as stack:
        # Last, so that a successor waits until the folder is gone. Workers have the lock from the fork, and keep it
        # as long as they write there, even when the master was killed.
        stack.callback(os.close, lock)
        stack.callback(_remove, metrics, master)
        embedded.warn_in_production(settings)
        uri = stack.enter_context(embedded.choose(settings))
        try:
            # Which spool there is goes by what the operator set.
            _Server(replace(settings, mongodb_uri=uri, audit_spool_dir=settings.spool_dir), build, metrics).run()
        except HaltServer as halted:
            # Gunicorn means to turn this into an exit code, but a second worker that fails while it stops for the
            # first one makes it raise again.
            raise SystemExit(halted.exit_status) from None
