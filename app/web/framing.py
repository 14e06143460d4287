"""Framing of bodies: the end of each, by its length or by its chunks, and nothing but payload counted as progress.

Gunicorn parses the head, and what it refuses stays refused; its readers are replaced, for they let a client send
chunk extensions without end, each byte of which would count as progress.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from gunicorn.http.body import CHUNK_EXT_RE, Body, ChunkedReader, LengthReader
from gunicorn.http.errors import InvalidHeader, NoMoreData, ParseException
from gunicorn.http.message import Request as _GunicornRequest
from gunicorn.http.parser import RequestParser

from app.web.admission.client_socket import ClientSocket

MAX_EXTENSION_BYTES = 1_024
"""Of the extensions of all chunks of one request (RFC 9112 7.1.1: ignored, and limited in total)."""
MAX_TRAILER_BYTES = 8_192
"""Of the trailer section (RFC 9112 7.1.2), which is looked at for its form only."""
MIN_FRAMING_BYTES = 64 * 1024
"""Of all that is not payload in a body in chunks; allowed however small the limit of bodies is."""
FRAMING_PART = 4
"""Beyond that, framing may take the fourth part of the limit: a byte a chunk would be six times the payload."""

_LINE_END = b"\r\n"
_NEXT_SIZE = re.compile(rb"\r\n([0-9A-Fa-f]{1,16})\r\n")
_PLAIN_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[^\r\n]*)?)")
_WHOLE_LINE = re.compile(rb"(?:\r\n)?([0-9A-Fa-f]{1,16})[^\r\n]*\r\n")
_MAX_LINE_LENGTH = 16 + MAX_EXTENSION_BYTES
_RECEIVE_BYTES = 64 * 1024
# RFC 9110 5.1, 5.5. Without an underscore in the name: what becomes of those is a setting of gunicorn's.
_FIELD = re.compile(r"([!#$%&'*+\-.^`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")


class Misframed(ParseException):  # type: ignore[misc] # gunicorn has no types
    """The chunks of a body are not well formed; the text says what is wrong, and nothing of what was sent."""


class TooMuchFraming(ParseException):  # type: ignore[misc] # gunicorn has no types
    """A body in chunks so small that most of it is not payload."""


class Chunks:
    """A body in chunks, taken apart as it comes (RFC 9112 7.1).

    Attributes:
        done: Whether it has come to its end.
        rest: What came behind the end: the beginning of another request.
        trailers: The trailer section without its last line end; empty when there is none.
    """

    def __init__(self, max_framing_bytes: int) -> None:
        """``max_framing_bytes``: most bytes that are not payload."""
        self.done = False
        self.rest = b""
        self.trailers = b""
        self._max_framing_bytes = max_framing_bytes
        self._framing = 0
        self._extensions = 0
        self._left = 0
        # A line that is not whole yet; the line end of the chunk before it is part of it.
        self._kept = b""
        self._first = True
        self._in_trailers = False

    def feed(self, received: bytes) -> bytes:
        """Go on with some bytes; the payload among them.

        Raises:
            Misframed: these are no chunks, or their extensions or trailers are too long.
            TooMuchFraming: they are too small.
        """
        data = self._kept + received if self._kept else received
        self._kept = b""
        if self._in_trailers:
            self._trail(data)
            return b""
        at = framing = 0
        left = self._left
        payload: list[bytes] = []
        while True:
            if left:
                piece = data[at : at + left]
                payload.append(piece)
                at += len(piece)
                left -= len(piece)
                if left:
                    break
            # Before the first size there is no line end.
            found = (None if self._first else _NEXT_SIZE.match(data, at)) or self._sized(data, at)
            if found is None:
                self._kept = data[at:]
                break
            self._first = False
            framing += found.end() - at
            at = found.end()
            left = int(found[1], 16)
            if not left:
                self._in_trailers = True
                self._trail(data[at:])
                break
        self._left = left
        self._framing += framing
        if self._framing > self._max_framing_bytes:
            raise TooMuchFraming
        return b"".join(payload)

    def _sized(self, data: bytes, at: int) -> re.Match[bytes] | None:
        """The line of a chunk's size that is not just a line end and digits; None while it is not whole."""
        found = _PLAIN_SIZE.match(data, at) if self._first else None
        if found is not None:
            return found
        begin = at
        if not self._first:
            if not _LINE_END.startswith(data[at : at + 2]):
                raise Misframed("A chunk does not end where its size says.")
            begin += 2
        end = data.find(_LINE_END, begin)
        if (end if end >= 0 else len(data)) - begin > _MAX_LINE_LENGTH:
            raise Misframed("The line before a chunk is too long for a size and its extensions.")
        if end < 0:
            return None
        found = _SIZE_LINE.match(data, begin, end)
        if found is None or found.end() != end:
            raise Misframed("A chunk has no valid size: up to 16 hexadecimal digits.")
        extensions = found[2]
        self._extensions += len(extensions)
        if self._extensions > MAX_EXTENSION_BYTES:
            raise Misframed(f"The extensions of the chunks are longer than {MAX_EXTENSION_BYTES:,} bytes in all.")
        if not CHUNK_EXT_RE.fullmatch(extensions):
            raise Misframed("A chunk has an extension that is none.")
        # Matched again with its line end, which is what is consumed.
        whole = _WHOLE_LINE.match(data, at)
        assert whole is not None  # noqa: S101 - it was looked at above
        return whole

    def _trail(self, data: bytes) -> None:
        if data.startswith(_LINE_END):
            self.rest = data[2:]
            self.done = True
            return
        end = data.find(_LINE_END + _LINE_END)
        if (end if end >= 0 else len(data)) > MAX_TRAILER_BYTES:
            raise Misframed(f"The trailers of the body are longer than {MAX_TRAILER_BYTES:,} bytes.")
        if end < 0:
            self._kept = data
            return
        self.trailers, self.rest = data[:end], data[end + 4 :]
        self.done = True


class Gathered(NamedTuple):
    """A body that is here already.

    Attributes:
        payload: All of it.
        chunks: How it came, taken apart; None when its head told its length.
    """

    payload: bytes
    chunks: Chunks | None


def max_framing_bytes(max_body_bytes: int) -> int:
    """The bytes beside the payload that a body in chunks may have, for a limit of bodies in bytes."""
    return MIN_FRAMING_BYTES + max_body_bytes // FRAMING_PART


class Request(_GunicornRequest):  # type: ignore[misc] # gunicorn has no types
    """A request whose body is read here."""

    body: Any

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> list[tuple[str, str]]:
        """Names, in capitals, and values of header fields, as gunicorn reads them.

        Fields of a plain form are taken apart here; where one of them is not, gunicorn decides on all of them.

        Raises:
            ParseException: gunicorn refuses them.
        """
        found = [_FIELD.fullmatch(line) for line in data.decode("latin-1").split("\r\n")]
        fields = [(one[1].upper(), one[2].rstrip(" \t")) for one in found if one is not None]
        names = {name for name, _ in fields}
        plain = len(fields) == len(found) == len(names) <= self.limit_request_fields
        short = len(data) + len(_LINE_END) <= self.limit_request_field_size
        if from_trailer or not (plain and short) or "EXPECT" in names:
            return super().parse_headers(data, from_trailer=from_trailer)  # type: ignore[no-any-return]
        return fields

    def _peer_trusted_for_forwarded(self) -> tuple[dict[str, str], list[str]]:
        # Nobody is, whatever the address (`app.serve.server`): gunicorn would take it apart for each request.
        return {}, []

    def set_body_reader(self) -> None:
        """Have gunicorn look at the head, and refuse what leaves doubt about where the body ends; then read it."""
        super().set_body_reader()
        sock = getattr(self.unreader, "sock", None)
        reader = self.body.reader
        if not isinstance(sock, ClientSocket):
            return
        gathered: Gathered | None = sock.gathered
        if gathered is not None:
            sock.gathered, sock.whole = None, True
            self._hold_to(gathered, reader)
            # It has come: nobody waits to be told to go on (RFC 9110 10.1.1).
            self._expected_100_continue = False
            self.body = Body(_GatheredReader(gathered.payload))
        elif isinstance(reader, ChunkedReader):
            self.body = Body(_ChunkedReader(self, sock))
        elif isinstance(reader, LengthReader):
            self.body = Body(_LengthReader(self.unreader, sock, reader.length))

    def _hold_to(self, gathered: Gathered, reader: object) -> None:
        """Gunicorn's word on where the body ends counts: what was gathered by another reading is refused."""
        if gathered.chunks is None:
            same = isinstance(reader, LengthReader) and reader.length == len(gathered.payload)
        else:
            same = isinstance(reader, ChunkedReader)
            self.take_trailers(gathered.chunks)
        if not same:
            raise InvalidHeader("CONTENT-LENGTH", req=self)

    def take_trailers(self, chunks: Chunks) -> None:
        """Look at the trailers of a body that has come to its end.

        Raises:
            ParseException: they are no header fields, or some that may not come so late.
        """
        if chunks.trailers:
            self.trailers = self.parse_headers(chunks.trailers, from_trailer=True)


class Parser(RequestParser):  # type: ignore[misc] # gunicorn has no types
    """Gunicorn's parser of requests, with the bodies read here."""

    mesg_class = Request

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Gunicorn's; told at once of a request that has no body, or whose body was read to its end."""
        body: Any = getattr(self.mesg, "body", None)
        plain = body is not None and isinstance(body.reader, LengthReader | _LengthReader)
        if plain and not (body.failed or body.reader.length or body.buf.tell()):
            return True
        return bool(super().finish_body(deadline, max_bytes))


class _LengthReader:
    """A body of a known length, as it comes."""

    def __init__(self, unreader: Any, sock: ClientSocket, length: int) -> None:
        self._unreader = unreader
        self._sock = sock
        self.length = length

    def read(self, size: int) -> bytes:
        wanted = min(size, self.length)
        if not wanted:
            return b""
        received: bytes = self._unreader.read(None, read_ahead=self.length)
        if not received:
            # The client has gone: who asked for the body finds it shorter than announced.
            return b""
        if len(received) > wanted:
            self._unreader.unread(received[wanted:])
            received = received[:wanted]
        self.length -= len(received)
        self._sock.progress(len(received))
        return received


class _ChunkedReader:
    """A body in chunks, as it comes."""

    def __init__(self, request: Request, sock: ClientSocket) -> None:
        self._request = request
        self._sock = sock
        self._chunks = Chunks(sock.max_framing_bytes)
        self._ready = bytearray()

    def read(self, size: int) -> bytes:
        unreader = self._request.unreader
        while len(self._ready) < size and not self._chunks.done:
            received = unreader.read(None, read_ahead=_RECEIVE_BYTES)
            if not received:
                raise NoMoreData
            payload = self._chunks.feed(received)
            self._sock.progress(len(payload))
            self._ready += payload
            if self._chunks.done:
                # First, so that what is wrong with a trailer does not lose it.
                unreader.unread(self._chunks.rest)
                self._request.take_trailers(self._chunks)
        piece = bytes(self._ready[:size])
        del self._ready[:size]
        return piece


class _GatheredReader:
    """A body that is here already."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 0

    def read(self, size: int) -> bytes:
        piece = self._payload[self._at : self._at + size]
        self._at += len(piece)
        if self._at == len(self._payload):
            self._payload, self._at = b"", 0
        return piece
