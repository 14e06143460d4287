"""One request and its answer between gunicorn's parser and the application (PEP 3333); what stays is made once.

Gunicorn makes a stream for errors, a parser of addresses, a date and some thirty look-ups of its configuration for each
request. What it refuses and what it writes stays its own.
"""

from __future__ import annotations

from typing import Any

from gunicorn.http import wsgi
from gunicorn.util import http_date, unquote_to_wsgi_str

from app.core import clock


class PlainConfiguration:
    """Gunicorn's configuration as plain attributes: each of its own is a search among all of its settings."""

    def __init__(self, cfg: Any) -> None:
        vars(self).update({name: setting.get() for name, setting in cfg.settings.items()})
        self.is_ssl = cfg.is_ssl

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class Answer(wsgi.Response):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's writer of an answer, with a date that is made once a second."""

    _dated = (0, "")

    def default_headers(self) -> list[str]:
        """The status line, and the headers that no application gives."""
        second = clock.now_us() // 1_000_000
        known, date = Answer._dated
        if known != second:
            date = http_date(second)
            # Both in one: another thread reads them.
            Answer._dated = (second, date)
        version = self.req.version
        lines = [
            f"HTTP/{version[0]}.{version[1]} {self.status}\r\nServer: {self.version}\r\nDate: {date}\r\n"
            f"Connection: {'close' if self.should_close() else 'keep-alive'}\r\n"
        ]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        return lines


def common_environ(cfg: Any) -> dict[str, Any]:
    """The part of the environment that all requests of a worker share."""
    return {**wsgi.base_environ(cfg), "wsgi.multithread": True, "SCRIPT_NAME": ""}


def connection_environ(common: dict[str, Any], sock: object, client: Any, server: Any) -> dict[str, Any]:
    """The part that all requests of a connection share; ``client`` and ``server`` are addresses of TCP."""
    return {
        **common,
        "gunicorn.socket": sock,
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
    }


def request_environ(connection: dict[str, Any], request: Any) -> dict[str, Any]:
    """The environment of one request."""
    environ = connection.copy()
    environ["wsgi.input"] = request.body
    environ["wsgi.url_scheme"] = request.scheme
    environ["REQUEST_METHOD"] = request.method
    environ["QUERY_STRING"] = request.query
    environ["RAW_URI"] = request.uri
    environ["SERVER_PROTOCOL"] = f"HTTP/{request.version[0]}.{request.version[1]}"
    environ["PATH_INFO"] = unquote_to_wsgi_str(request.path)
    repeated: dict[str, list[str]] = {}
    for name, value in request.headers:
        if name in {"CONTENT-TYPE", "CONTENT-LENGTH"}:
            environ[name.replace("-", "_")] = value
            continue
        key = "HTTP_" + name.replace("-", "_")
        if key in environ:
            # Joined once: one by one would copy the growing value each time.
            repeated.setdefault(key, [environ[key]]).append(value)
        else:
            environ[key] = value
    for key, values in repeated.items():
        environ[key] = ",".join(values)
    return environ
