"""Logs: one line per event, with the id of the request it belongs to.

No line carries personal data. Paths are written without their query string (it may name a learner), bodies
and headers never, and of an exception its type and the lines of code it passed through, not its message:
libraries put offending values into theirs.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import cast

import orjson
import structlog
from flask import Flask, Response, g, has_request_context, request
from flask.globals import request_ctx
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core import clock
from app.core.errors import SillageError

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_MAX_TRACE_DEPTH = 25

Observe = Callable[[str, str, int, float], None]
"""Told of each answer: route pattern, method, status, seconds."""

_Caught = tuple[type[BaseException], BaseException, TracebackType | None]


def _caught(value: object) -> _Caught | None:
    if isinstance(value, BaseException):
        return type(value), value, value.__traceback__
    if isinstance(value, tuple) and len(value) == 3 and value[1] is not None:
        return cast(_Caught, value)
    current = sys.exc_info()
    return cast(_Caught, current) if value and current[1] is not None else None


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _exceptions(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace ``exc_info`` by what may be written: types and places, and the detail of our own errors."""
    caught = _caught(event.pop("exc_info", None))
    event.pop("exc_text", None)
    event.pop("stack_info", None)
    if caught is None:
        return event
    chain: list[str] = []
    error: BaseException | None = caught[1]
    while error is not None and len(chain) < 10:
        chain.append(_name(error))
        error = error.__cause__ or error.__context__
    event["exception"] = chain
    if isinstance(caught[1], SillageError):
        event["code"], event["detail"] = caught[1].code, caught[1].detail
    frames = traceback.extract_tb(caught[2])[-_MAX_TRACE_DEPTH:]
    event["trace"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def _of_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the id of the request being served."""
    return {"request": request_id(), **event} if has_request_context() else event


def _json(event: EventDict, **_options: object) -> str:
    return orjson.dumps(event, default=str).decode()


def configure(level: str, form: str) -> None:
    """Send the events of structlog and of every library's logger to standard error.

    Safe to call again, for example in a process forked since.

    Args:
        level: Least serious level written: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``json``, one object a line, or ``console`` for people.
    """
    shared: list[Processor] = [
        _of_request,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exceptions,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    writer: Processor = (
        structlog.processors.JSONRenderer(serializer=_json)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, writer],
        )
    )
    # Where a line can't be written, logging would print a traceback there with the messages of every error in hand.
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Their debug and info lines hold commands and addresses.
    for name in ("pymongo", "werkzeug", "asyncio", "flask_cors"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _write(log: logging.Logger, level: int, name: str, event: dict[str, object]) -> None:
    """Write an event that is as the processors of ``configure`` would leave it: their work is half of a line's cost."""
    said = {
        **event,
        "event": name,
        "level": logging.getLevelName(level).lower(),
        "logger": log.name,
        "timestamp": clock.now().isoformat().replace("+00:00", "Z"),
    }
    record = logging.LogRecord(log.name, level, "", 0, said, (), None)
    # By these the formatter knows that it was made here.
    vars(record).update(_logger=log, _name=said["level"])
    log.handle(record)


def sane_id(sent: str) -> str:
    """The ``X-Request-ID`` that a sender gave, when it is a plain one; else nothing."""
    return sent if _SANE_ID.fullmatch(sent) else ""


def request_id() -> str:
    """The id of the request being served: the sender's ``X-Request-ID`` when it is a plain one, else a new one."""
    if not has_request_context():
        return ""
    known: str | None = g.get("request_id")
    if known is None:
        known = g.request_id = sane_id(request.headers.get("X-Request-ID", "")) or clock.random_bytes(16).hex()
    return known


def _without_path(record: logging.LogRecord) -> bool:
    """Take the path out of Flask's line about an exception that nobody handled."""
    if str(record.msg).startswith("Exception on"):
        record.msg, record.args = "unhandled exception", ()
    return True


def install(app: Flask, observe: Observe, *, quiet: frozenset[str] = frozenset()) -> None:
    """Give each request an id, answer it as ``X-Request-ID``, and write one line per answer.

    Call it before other request hooks are registered, so that theirs are measured too.

    Args:
        app: The application.
        observe: Told of each answer, for the metrics.
        quiet: Endpoints whose successful answers are written at level ``debug`` only.
    """
    log = logging.getLogger("sillage.access")
    app.logger.addFilter(_without_path)

    @app.before_request
    def _begin() -> None:
        g.request_began = time.perf_counter()
        request_id()  # from now on known to whoever asks `g`

    @app.after_request
    def _end(response: Response) -> Response:
        asked = request_ctx.request  # once: each use of Flask's `request` looks for it
        now = time.perf_counter()
        response.headers["X-Request-ID"] = request_id()
        seconds = now - g.get("request_began", now)
        # The pattern, never the path itself: a path can hold an identifier.
        route = asked.url_rule.rule if asked.url_rule is not None else "unmatched"
        # Anybody can send any method; unbounded names would grow the metrics without end.
        method = asked.method if asked.method in _METHODS else "other"
        observe(route, method, response.status_code, seconds)
        level = logging.DEBUG if asked.endpoint in quiet and response.status_code < 400 else logging.INFO
        if not log.isEnabledFor(level):
            return response
        event = {
            "request": g.request_id,
            "method": method,
            "route": route,
            "status": response.status_code,
            # Not calculated: that would gather what is streamed.
            "bytes": response.content_length if response.is_streamed else response.calculate_content_length(),
            "ms": round(seconds * 1000, 2),
        }
        _write(log, level, "request", event)
        return response
