"""Reading a request body within its limits of size and time."""

from __future__ import annotations

from flask import Flask, Response, g, request

from app.errors import BodyTooLarge, MalformedJSON, RequestTimeout, SillageError, UnsupportedContentType
from app.web.client_socket import ClientSocket


def install(app: Flask) -> None:
    """Let go of a connection whose body was not read to its end.

    No thread waits for what is refused: the server throws the rest away while the client reads its answer.
    """

    @app.after_request
    def finish(answer: Response) -> Response:
        connection = request.environ.get("gunicorn.socket")
        announced = bool(request.content_length) or "Transfer-Encoding" in request.headers
        if isinstance(connection, ClientSocket) and announced and not g.get("body_read", False):
            connection.abandon()
        return answer


def read(limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes. Call it for requests whose credentials were accepted.

    Raises:
        BodyTooLarge: it is longer.
        UnsupportedContentType: it is compressed.
        MalformedJSON: the client stopped before the announced length.
        RequestTimeout: the client sends nothing, or too slowly.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedContentType("Send the body without a content encoding.")
    length = request.content_length
    too_long = length is not None and length > limit
    body = b"" if too_long else _received(limit + 1)
    if too_long or len(body) > limit:
        raise BodyTooLarge(
            f"The body is larger than the {limit} bytes that one request may hold. Send smaller batches."
        )
    if length is not None and len(body) < length:
        raise _cut()
    g.body_read = True
    return body


def _received(most: int) -> bytes:
    try:
        return request.stream.read(most)
    except TimeoutError:
        raise RequestTimeout(
            f"Nothing of the body came for {ClientSocket.silence_seconds:.0f} seconds, or the whole took more than "
            f"{ClientSocket.patience_seconds:.0f} seconds and one for each {ClientSocket.bytes_per_second:,} bytes. "
            "Send it again, in smaller batches if the connection is slow."
        ) from None
    except OSError:
        raise _cut() from None


def _cut() -> SillageError:
    return MalformedJSON("The body is shorter than announced: it was cut on the way. Send it again.")
