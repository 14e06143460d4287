"""The whole answer to a request that is refused before the application sees it, made by the worker's event loop.

Refusing must cost far less than serving, so Flask is left out; what its hooks give every other answer is given here:
problem document, language, request id, the headers of xAPI and of CORS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus

import orjson
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from app.errors import SillageError
from app.storage import clock
from app.web import errors, logs

_ASKED = re.compile(r"([A-Z]+) ([^ ?\r\n]*)")
_FIELDS = re.compile(r"\n(accept-language|origin|x-request-id)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"

Headers = Callable[[str, str], Mapping[str, str]]
"""From a path and an ``Origin`` (empty without) to the headers that the application gives every answer there."""


EXTENSION = "refusal"
"""Where an application keeps its ``Refusal`` among its extensions."""


class Refusal:
    """Makes answers for one application, and counts them."""

    def __init__(self, *headers: Headers, count: Callable[[str], object] = lambda _: None) -> None:
        """``count`` is told why, for each request that is refused."""
        self._headers = headers
        self.count = count

    def __call__(self, received: bytearray, error: SillageError, *, keep: bool) -> bytes:
        """The answer to a request of which at least the head has come; ``keep`` says that another may follow it."""
        head = bytes(received[: received.find(_HEAD_END) + 2]).decode("latin-1")
        asked = _ASKED.match(head)
        method, path = asked.groups() if asked else ("", "")
        fields = {found[1].lower(): found[2].strip() for found in _FIELDS.finditer(head)}
        languages = parse_accept_header(fields.get("accept-language"), LanguageAccept)
        french = errors.in_french(languages)
        request_id = logs.sane_id(fields.get("x-request-id", "")) or clock.random_bytes(16).hex()
        body = orjson.dumps(errors.document(error, french=french, request_id=request_id))
        given = {
            "Server": "gunicorn",
            "Date": formatdate(clock.now_us() / 1_000_000, usegmt=True),
            "Connection": "keep-alive" if keep else "close",
            "Content-Type": errors.CONTENT_TYPE,
            "Content-Length": str(len(body)),
            "Content-Language": "fr" if french else "en",
            "X-Request-ID": request_id,
        }
        if error.retry_after is not None:
            given["Retry-After"] = str(error.retry_after)
        for headers in self._headers:
            given.update(headers(path, fields.get("origin", "")))
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        start = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n{lines}\r\n"
        return start.encode("latin-1") + (b"" if method == "HEAD" else body)
