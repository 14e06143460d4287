"""Resources by path: doubled and trailing slashes under ``/xAPI`` change nothing.

xAPI-Communication 2: resources are found by appending their names to the endpoint. Endpoints are configured with and
without a slash at their end, and clients append names with and without one before them, so that the endpoint
``…/xAPI/`` becomes ``…/xAPI//statements``. Redirecting would lose bodies, credentials, and every preflight.

It is decided once, before routes, scopes, limits, CORS headers and metrics see the path, so none of them can be passed
by with another spelling. ``%2F`` is no slash (RFC 3986 2.2): a reserved character and its encoding mean different
things, and a proxy that lets paths through by their beginning must see the same path as this server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SLASHES = re.compile("//+")
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)
# RFC 9112 3.2.2: a request may name its whole address.
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")

# Characters of a request line that gunicorn takes.
_MAX_SERVED = 8_190


def meant(path: str, prefix: str) -> str:
    """The path of the resource that a path means: slashes are taken together under ``prefix``, and before it."""
    if not path:
        # RFC 9110 4.2.3: an address without a path is that of the root. Flask would answer with a redirection.
        return "/"
    if path.startswith("//"):
        # Werkzeug finds routes without them: whatever else looks at the path must see the same one.
        path = "/" + path.lstrip("/")
    if not path.startswith(f"{prefix}/") or ("//" not in path and not path.endswith("/")):
        return path
    plain = _SLASHES.sub("/", path).rstrip("/")
    # The prefix alone is no resource; its slash says that answers are those of what is under it.
    return plain if plain != prefix else f"{prefix}/"


def meant_by(sent: str, prefix: str) -> str:
    """``meant``, of a path as it is sent, percent-encoded; of one too long to be served, of its beginning."""
    # What has no path, since it is no request, means none.
    return meant(_decoded(sent[:_MAX_SERVED]), prefix) if sent else ""


def _decoded(sent: str) -> str:
    # What was no slash stays as it was sent.
    return unquote_to_bytes(_ENCODED_SLASH.sub("%252F", sent)).decode("latin-1")


class Paths:
    """WSGI middleware: gives the application the path that is meant."""

    def __init__(self, application: WSGIApplication, *, prefix: str) -> None:
        """``prefix``, such as ``/xAPI``, is where slashes are taken together."""
        self._application = application
        self._prefix = prefix

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        raw = environ.get("RAW_URI", "")
        if "%2" in raw and _ENCODED_SLASH.search(raw):
            # The server has decoded it already, slashes too.
            path = re.split("[?#]", _ORIGIN.sub("", raw, count=1), maxsplit=1)[0]
            environ["PATH_INFO"] = _decoded(path.removeprefix(environ.get("SCRIPT_NAME", "")))
        environ["PATH_INFO"] = meant(environ["PATH_INFO"], self._prefix)
        return self._application(environ, start_response)


def install(app: Flask, *, prefix: str) -> None:
    """Take paths as they are meant. Call it after what else wraps ``app.wsgi_app``, which then sees them so."""
    app.wsgi_app = Paths(app.wsgi_app, prefix=prefix)  # type: ignore[method-assign] # the way that Flask documents
