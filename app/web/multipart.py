"""Messages of type multipart/mixed (RFC 2046 5.1): read part by part as they come, and written.

The library parses; here it is driven so that a part is pulled, and never held whole.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from werkzeug.http import parse_options_header

from app.core.errors import MalformedMultipart

# RFC 2046 5.1.1: at most 70 characters, of these.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_MAX_HEADERS = 16
_MAX_HEADER_LENGTH = 4_096
# What may follow the first boundary on its line: some spaces and tabs, or the two hyphens of the last one; and the same
# while more of it is to come.
_LINE_END = re.compile(rb"--|[ \t]{0,256}\r\n")
_LINE_BEGUN = re.compile(rb"-|[ \t]{0,256}\r?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSAFE = re.compile(r"[^\t -~]")


class Received(NamedTuple):
    """A part: its headers, names in lower case, and its content, to be read once, before the next part is asked for."""

    headers: Mapping[str, str]
    chunks: Iterator[bytes]


class Written(NamedTuple):
    """A part to send: headers, length of the content in bytes, the content."""

    headers: Mapping[str, str]
    length: int
    chunks: Iterable[bytes]


def boundary(content_type: str) -> str:
    """The boundary that a Content-Type names.

    Raises:
        MalformedMultipart: none, or not one.
    """
    _, options = parse_options_header(content_type)
    named = options.get("boundary", "")
    if not _BOUNDARY.fullmatch(named):
        raise MalformedMultipart(
            "The Content-Type multipart/mixed needs a boundary parameter of 1 to 70 characters (RFC 2046 5.1.1)."
        )
    return named


def parts(chunks: Iterable[bytes], named: str) -> Iterator[Received]:
    """The parts of a body.

    Args:
        chunks: The body as it comes.
        named: Its boundary.

    Raises:
        MalformedMultipart: while iterating, here or in a part's content: not such a body, or cut.
    """
    reading = _Reading(chunks, named)
    while (headers := reading.next_part()) is not None:
        yield Received(headers, reading.content())


def new_boundary() -> str:
    """A boundary that no content has."""
    return secrets.token_hex(24)


def write(written: Iterable[Written], named: str) -> tuple[int, Iterator[bytes]]:
    """The length in bytes of a multipart body, and the body."""
    # The first boundary has no content before it, hence no line end.
    heads = [(_head(part, named)[0 if place else 2 :], part) for place, part in enumerate(written)]
    end = f"\r\n--{named}--\r\n".encode()

    def body() -> Iterator[bytes]:
        for head, part in heads:
            yield head
            yield from part.chunks
        yield end

    return sum(len(head) + part.length for head, part in heads) + len(end), body()


def _head(part: Written, named: str) -> bytes:
    # A line end in a value would begin another header (RFC 9110 5.5), and statements stored before their content types
    # were held to ASCII have others.
    lines = "".join(f"{name}: {_UNSAFE.sub('?', text)}\r\n" for name, text in part.headers.items())
    return f"\r\n--{named}\r\n{lines}\r\n".encode("ascii")


class _Reading:
    """Turns what the parser pushes into what a reader pulls: at most one chunk's worth of it is held."""

    def __init__(self, chunks: Iterable[bytes], named: str) -> None:
        self._chunks = _from_first_boundary(chunks, named)
        self._events: deque[tuple[str, bytes]] = deque()
        self._ended = False

        def data(kind: str) -> object:
            return lambda body, start, end: self._events.append((kind, body[start:end]))

        def moment(kind: str) -> object:
            return lambda: self._events.append((kind, b""))

        self._parser = MultipartParser(
            named,
            {  # type: ignore[arg-type] # callbacks made by kind
                "on_header_field": data("name"),
                "on_header_value": data("value"),
                "on_header_end": moment("header"),
                "on_headers_finished": moment("headers"),
                "on_part_data": data("data"),
                "on_part_end": moment("part end"),
                "on_end": moment("end"),
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_LENGTH,
        )

    def next_part(self) -> dict[str, str] | None:
        """Headers of the next part; None after the last one."""
        headers: dict[str, str] = {}
        name = value = b""
        while True:
            kind, content = self._next()
            if kind == "name":
                name += content
            elif kind == "value":
                value += content
            elif kind == "header":
                key, text = _header(name, value)
                if key in headers:
                    raise MalformedMultipart("A part has the same header twice.")
                headers[key] = text
                name = value = b""
            elif kind == "headers":
                return headers
            elif kind == "end":
                # What follows the last boundary is to be ignored (RFC 2046 5.1.1), and must be read.
                for _ in self._chunks:
                    pass
                return None

    def content(self) -> Iterator[bytes]:
        """The content of the present part."""
        while True:
            kind, content = self._next()
            if kind == "data":
                yield content
            else:
                return

    def _next(self) -> tuple[str, bytes]:
        while not self._events:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise MalformedMultipart("The multipart body is cut off: its last boundary is missing.")
            try:
                self._parser.write(chunk)
            except FormParserError:
                raise _malformed() from None
        return self._events.popleft()


def _from_first_boundary(chunks: Iterable[bytes], named: str) -> Iterator[bytes]:
    """A body without what the parser does not take: text before the first boundary, and padding after it.

    RFC 2046 5.1.1: the preamble is to be ignored, and a boundary may be followed by spaces and tabs. What begins like
    the boundary line and goes on otherwise is refused: one reader could take it for the boundary, another not.
    """
    delimiter = b"\r\n--" + named.encode()
    coming = iter(chunks)
    # As if a line end came before: the boundary begins a line.
    held = b"\r\n"
    for chunk in coming:
        held += chunk
        at = held.find(delimiter)
        if at < 0:
            held = held[-len(delimiter) :]
            continue
        held, after = held[at:], len(delimiter)
        found = _LINE_END.match(held, after)
        if found is not None:
            yield delimiter[2:] + (b"--" if found[0] == b"--" else b"\r\n")
            yield held[found.end() :]
            yield from coming
            return
        if not _LINE_BEGUN.fullmatch(held, after):
            raise _malformed()


def _malformed() -> MalformedMultipart:
    return MalformedMultipart(
        "The body is not well-formed multipart: each part begins with the boundary line, then its headers, an empty "
        "line, and its content; lines end with CR LF (RFC 2046 5.1)."
    )


def _header(name: bytes, value: bytes) -> tuple[str, str]:
    try:
        key, text = name.decode("ascii").lower(), value.decode("latin-1").strip(" \t")
    except UnicodeDecodeError:
        key, text = "", ""
    if not _TOKEN.fullmatch(key) or any(ord(each) < 32 and each != "\t" for each in text):
        raise MalformedMultipart("A part has a header that is not well formed.")
    return key, text
