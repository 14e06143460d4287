"""Reading a request body within its limit."""

from __future__ import annotations

from flask import request

from app.errors import BodyTooLarge, MalformedJSON, UnsupportedContentType

_DRAINED_AT_MOST = 256 * 1024 * 1024
_STEP = 1 << 16


def read(limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes.

    Raises:
        BodyTooLarge: it is longer; what follows is read and thrown away, so that the client gets to read the answer.
        UnsupportedContentType: it is compressed.
        MalformedJSON: the client stopped before the announced length.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedContentType("Send the body without a content encoding.")
    length = request.content_length
    stream = request.stream
    if length is not None and length > limit:
        _drain(limit, min(length, _DRAINED_AT_MOST))
    body = stream.read(limit + 1)
    if len(body) > limit:
        _drain(limit, _DRAINED_AT_MOST)
    if length is not None and len(body) < length:
        raise MalformedJSON("The body is shorter than its Content-Length: it was cut on the way. Send it again.")
    return body


def _drain(limit: int, most: int) -> None:
    read = 0
    while read < most and (part := request.stream.read(_STEP)):
        read += len(part)
    raise BodyTooLarge(f"The body is larger than the {limit} bytes that one request may hold. Send smaller batches.")
