"""Reading a request body within its limit, and to its end."""

from __future__ import annotations

import socket
from contextlib import suppress

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from app.errors import BodyTooLarge, MalformedJSON, UnsupportedContentType
from app.storage import clock

_DRAINED_AT_MOST = 256 * 1024 * 1024
_DRAIN_SECONDS = 10.0
_STEP = 1 << 16


def install(app: Flask) -> None:
    """Read and throw away what is left of a body before each answer.

    A client that is still sending when the connection closes sees it cut, and never reads why it was refused.
    """

    @app.after_request
    def finish(answer: Response) -> Response:
        _finish()
        return answer


def read(limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes.

    Raises:
        BodyTooLarge: it is longer.
        UnsupportedContentType: it is compressed.
        MalformedJSON: the client stopped before the announced length.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedContentType("Send the body without a content encoding.")
    length = request.content_length
    body = b"" if length is not None and length > limit else request.stream.read(limit + 1)
    if len(body) > limit or (length is not None and length > limit):
        raise BodyTooLarge(
            f"The body is larger than the {limit} bytes that one request may hold. Send smaller batches."
        )
    if length is not None and len(body) < length:
        raise MalformedJSON("The body is shorter than its Content-Length: it was cut on the way. Send it again.")
    return body


def _finish() -> None:
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    deadline = clock.steady() + _DRAIN_SECONDS
    left = _DRAINED_AT_MOST
    # A client that has gone, or that stops sending, will not read the answer either.
    with suppress(OSError, HTTPException):
        while left > 0 and (seconds := deadline - clock.steady()) > 0:
            if connection is not None:
                connection.settimeout(seconds)
            part = request.stream.read(_STEP)
            if not part:
                break
            left -= len(part)
    if connection is not None:
        with suppress(OSError):
            connection.settimeout(None)
