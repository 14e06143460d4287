"""Reading a request body within its limits of size and time, unpacked when it is compressed with gzip."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

from flask import Flask, Response, g, request
from gunicorn.http.errors import ParseException

from app.core.errors import (
    BadRequest,
    BodyTooLarge,
    Fault,
    MalformedEncoding,
    MalformedJSON,
    RequestTimeout,
    SillageError,
    UnsupportedContentType,
)
from app.web.admission.client_socket import ClientSocket
from app.web.framing import Misframed, TooMuchFraming

READ = "sillage.body_read"
"""Key of the WSGI environment: set when the body was read to its end before the application ran."""

_PIECE_BYTES = 64 * 1024
# zlib's way to say: with the header and trailer of gzip.
_GZIP = 16 + zlib.MAX_WBITS


class Stream(Protocol):
    """Stream of a body's bytes."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def install(app: Flask) -> None:
    """Let go of a connection whose body was not read to its end.

    No thread waits for what is refused: the server throws the rest away while the client reads its answer.
    """

    @app.after_request
    def finish(answer: Response) -> Response:
        environ = request.environ
        connection = environ.get("gunicorn.socket")
        announced = bool(environ.get("CONTENT_LENGTH", "").strip("0")) or "HTTP_TRANSFER_ENCODING" in environ
        if announced and isinstance(connection, ClientSocket) and not (g.get("body_read", False) or READ in environ):
            connection.abandon()
        return answer


def read(limit: int) -> bytes:
    """The whole body, unpacked, at most ``limit`` bytes. Call it for requests whose credentials were accepted.

    Raises:
        UnsupportedContentType: it is compressed with something else than gzip.
        MalformedEncoding: it is not what gzip makes.
        Overloaded: its head did not tell its length, and there is no room for it now.
        SillageError: it is too long, or does not arrive; as ``whole``.
    """
    if _gzipped() or request.content_length is None:
        gathered = bytearray()
        for chunk in chunks(limit):
            gathered += chunk
            hold(len(gathered))
        return bytes(gathered)
    body = whole(request.stream, request.content_length, limit)
    g.body_read = True
    return body


def hold(size: int) -> None:
    """Account for so many bytes of this request's body in memory; for one whose head did not tell how many will come.

    Raises:
        Overloaded: there is no room for them now.
    """
    connection = request.environ.get("gunicorn.socket")
    if isinstance(connection, ClientSocket):
        connection.hold(size)


def chunks(limit: int) -> Iterator[bytes]:
    """The body as it comes, unpacked, in pieces of at most 64 KiB; ``limit`` holds before and after unpacking.

    Raises:
        SillageError: while iterating, as ``read``.
    """
    pieces = _pieces(limit)
    total = 0
    for piece in _unpacked(pieces) if _gzipped() else pieces:
        total += len(piece)
        if total > limit:
            raise too_large(limit)
        yield piece
    g.body_read = True


def uncompressed(encoding: str | None) -> None:
    """Look at a ``Content-Encoding`` header.

    Raises:
        UnsupportedContentType: the body is compressed.
    """
    if (encoding or "identity").lower() != "identity":
        raise UnsupportedContentType("Send the body without a content encoding.")


def whole(stream: Stream, length: int | None, limit: int) -> bytes:
    """A body to its end, as it is sent.

    Args:
        stream: Ends where the body does.
        length: Bytes announced; None when it comes in chunks.
        limit: Most bytes.

    Raises:
        BodyTooLarge: it is longer.
        MalformedJSON: the client stopped before the announced length.
        BadRequest: its chunks are not well formed.
        RequestTimeout: the client sends nothing, or too slowly.
    """
    too_long = length is not None and length > limit
    body = b"" if too_long else _received(stream, limit + 1)
    if too_long or len(body) > limit:
        raise too_large(limit)
    if length is not None and len(body) < length:
        raise cut()
    return body


def _gzipped() -> bool:
    said = request.headers.get("Content-Encoding", "identity").strip().lower()
    if said not in {"identity", "gzip"}:
        raise UnsupportedContentType("Send the body without a content encoding, or with gzip.")
    return said == "gzip"


def _pieces(limit: int) -> Iterator[bytes]:
    length = request.content_length
    if length is not None and length > limit:
        raise too_large(limit)
    received = 0
    while piece := _received(request.stream, _PIECE_BYTES):
        received += len(piece)
        yield piece
    if length is not None and received < length:
        raise cut()


def _unpacked(pieces: Iterator[bytes]) -> Iterator[bytes]:
    # RFC 1952 2.2: a body may be several members, one after the other.
    member = zlib.decompressobj(_GZIP)
    fresh = True
    try:
        for piece in pieces:
            packed = piece
            while packed:
                fresh = False
                # Never more at once, however much a few bytes unpack to.
                plain = member.decompress(packed, _PIECE_BYTES)
                packed = member.unconsumed_tail
                if plain:
                    yield plain
                if member.eof:
                    packed = member.unused_data
                    member = zlib.decompressobj(_GZIP)
                    fresh = True
            while not fresh and (plain := member.decompress(b"", _PIECE_BYTES)):
                yield plain
    except zlib.error:
        raise MalformedEncoding("The body is not what gzip makes, as its Content-Encoding says.") from None
    if not fresh:
        raise MalformedEncoding("The compressed body is cut off: its end is missing. Send it again.")


def too_large(limit: int) -> BodyTooLarge:
    """Of a body beyond the limit."""
    return BodyTooLarge(f"The body is larger than the {limit} bytes that one request may hold. Send smaller batches.")


def _received(stream: Stream, most: int) -> bytes:
    try:
        return stream.read(most)
    except TimeoutError:
        raise too_slow() from None
    except OSError:
        raise cut() from None
    except ParseException as refused:
        raise misframed(refused) from None


def too_slow() -> RequestTimeout:
    """Of a body that has had its time."""
    return RequestTimeout(
        f"Nothing of the body came for {ClientSocket.silence_seconds:.0f} seconds, or the whole took more than "
        f"{ClientSocket.patience_seconds:.0f} seconds and one for each {ClientSocket.bytes_per_second:,} bytes. "
        "Send it again, in smaller batches if the connection is slow."
    )


def misframed(refused: ParseException) -> SillageError:
    """Of a body in chunks that are not well formed, or too small."""
    if isinstance(refused, TooMuchFraming):
        return BodyTooLarge("The body comes in chunks so small that little of it is content. Send larger chunks.")
    said = str(refused) if isinstance(refused, Misframed) else "The trailers of the body are not well formed."
    return BadRequest(f"{said} Send it again.", faults=[Fault("", "chunk", "RFC 9112 7.1", said)])


def cut() -> SillageError:
    """Of a body that ends before it is whole."""
    return MalformedJSON("The body is shorter than announced: it was cut on the way. Send it again.")
