"""Description of a request by its head, before any thread has it: read or write, source, size.

For sharing the worker out only. Gunicorn parses the head again, and its word counts; what is odd here is only placed
worse, and its connection is not kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from app.core import clock

OPERATIONS = "operations"

_OPERATIONS = re.compile(rb"(?:GET|HEAD) /(?:healthz|readyz|metrics)[? ]")
_WRITE = re.compile(rb"(?:POST|PUT|DELETE|PATCH) ")
_AUTHORIZATION = b"authorization"
_FRAMING = (b"content-length", b"content-encoding", b"transfer-encoding", b"connection")
_EXPECTS = re.compile(rb"\nexpect[ \t]*:[ \t]*100-continue[ \t]*\r", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
# Chunks do not say how many will come, nor gzip what it unpacks to: `Admitted.hold` corrects these guesses.
_CHUNKED_BYTES = 64 * 1024
_UNPACKED_TIMES = 16
# What has more digits is beyond any limit, whatever they are.
_DIGITS = 15
# RFC 7617 2: a Basic credential; of a form, where it is among its first or last bytes.
_FORM_CREDENTIAL = re.compile(rb"(?:\A|&)authorization=([^&]*)", re.IGNORECASE)
_SEARCHED_BYTES = 16 * 1024


class Kind(Enum):
    """Kind of a request: the queue that it belongs to."""

    READ = 0
    WRITE = 1
    OPERATIONS = 2


class Asking(NamedTuple):
    """A request by its head.

    Attributes:
        kind: What it is.
        credential: Digest of the credentials that it shows, under a key of this process; None without.
        body_bytes: How many bytes of body it will take in memory, as far as its head tells.
    """

    kind: Kind
    credential: bytes | None
    body_bytes: int


_key = clock.random_bytes(32)


def _of(*names: bytes) -> re.Pattern[bytes]:
    """Finds header fields of these names in a head, and what they say."""
    return re.compile(rb"\n(%s)[ \t]*:[ \t]*([^\r\n]*)" % b"|".join(map(re.escape, names)), re.IGNORECASE)


_FIELDS = _of(*_FRAMING)


class Heads:
    """Looks at requests, whose credentials come in some of their header fields."""

    def __init__(self, fields: Sequence[str] = ("Authorization",)) -> None:
        """``fields``: those that may hold credentials. Where several do, the first of these counts."""
        self._credentials = tuple(field.lower().encode() for field in fields)
        self._fields = _of(*_FRAMING, *self._credentials)

    def asking(self, received: bytearray) -> Asking:
        """Look at a request: its head, which is whole, and what of its body has come already."""
        if _OPERATIONS.match(received):
            return Asking(Kind.OPERATIONS, None, 0)
        shown: dict[bytes, bytes] = {}
        length = 0
        times = 1
        for found in self._fields.finditer(received, 0, received.find(_HEAD_END) + 2):
            name = found[1].lower()
            if name == b"content-length":
                length = _length(found[2]) or length
            elif name == b"transfer-encoding":
                length = max(length, _CHUNKED_BYTES)
            elif name == b"content-encoding":
                if found[2].strip().lower() != b"identity":
                    times = _UNPACKED_TIMES
            elif name != b"connection":
                shown[name] = found[2]
        credential = None
        for name in self._credentials:
            if name in shown:
                credential = _digest(name, shown[name])
                break
        return Asking(Kind.WRITE if _WRITE.match(received) else Kind.READ, credential, length * times)

    def asking_form(self, received: bytearray, content: bytes) -> Asking:
        """Look at a form, all of which is here: what ``asking`` says, with the credential that is inside."""
        asked = self.asking(received)
        credential = asked.credential
        if credential is None:
            head = content[:_SEARCHED_BYTES]
            tail = content[max(_SEARCHED_BYTES, len(content) - _SEARCHED_BYTES) :]
            found = _FORM_CREDENTIAL.search(head) or _FORM_CREDENTIAL.search(tail)
            if found is not None:
                credential = _digest(_AUTHORIZATION, unquote_to_bytes(found[1].replace(b"+", b" ")))
        return asked._replace(credential=credential, body_bytes=len(content))


def whole(received: bytearray) -> bool:
    """True if the request has come to its end, nothing follows it, and its connection may be kept.

    False too when its head leaves any doubt about where its body ends: another server on the way may read such a head
    otherwise (RFC 9112 11.2).
    """
    end = received.find(_HEAD_END)
    head = bytes(received[: end + 2]).lower()
    fields = [(found[1], found[2].strip()) for found in _FIELDS.finditer(head)]
    lengths = [text for name, text in fields if name == b"content-length"]
    kept = not any(name == b"connection" and b"close" in text for name, text in fields)
    plain = b"transfer-encoding" not in head and head.count(b"content-length") == len(lengths) <= 1
    if not (kept and plain and b" http/1.1\r\n" in head):
        return False
    if not lengths:
        return len(received) == end + len(_HEAD_END)
    length = _length(lengths[0])
    return length is not None and len(received) == end + len(_HEAD_END) + length


class Framing(NamedTuple):
    """End of a body, by its head: after ``length`` bytes, or with its last chunk."""

    length: int
    chunked: bool


def form(received: bytearray, largest: int) -> Framing | None:
    """The framing of the body of what may be a form (xAPI-Communication 1.3), whose credentials are in its body.

    None when this is no such request; when it has no body, or one of more than ``largest`` bytes, which nobody reads;
    and when its head leaves any doubt about where the body ends, so that gunicorn refuses it.
    """
    line = received[: received.find(b"\r\n")]
    if not line.startswith(b"POST ") or b"method" not in line.partition(b"?")[2]:
        return None
    fields = [
        (found[1].lower(), found[2]) for found in _FIELDS.finditer(received, 0, received.find(_HEAD_END) + len(b"\r\n"))
    ]
    framing = [(name, text) for name, text in fields if name in {b"content-length", b"transfer-encoding"}]
    if len(framing) != 1:
        return None
    ((name, text),) = framing
    if name == b"transfer-encoding":
        return Framing(0, chunked=True) if text.strip().lower() == b"chunked" else None
    length = _length(text)
    return Framing(length, chunked=False) if length and length <= largest else None


def waits_to_go_on(received: bytearray) -> bool:
    """True if the client waits to be told that it may send the body (RFC 9110 10.1.1)."""
    head = bytes(received[: received.find(_HEAD_END) + len(b"\r\n")])
    return _EXPECTS.search(head) is not None and b" HTTP/1.1\r\n" in head


def _length(text: bytes) -> int | None:
    """A ``Content-Length``; None when it is none. Zeros in front mean nothing (RFC 9112 6.2), and may be thousands."""
    digits = text.strip()
    if not digits.isdigit():
        return None
    digits = digits.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= _DIGITS else 10**_DIGITS


def _digest(field: bytes, credential: bytes) -> bytes:
    credential = credential.strip()
    if field == _AUTHORIZATION:
        # As it is verified: the case of the scheme and the spaces behind it mean nothing, and must not make of one
        # principal thousands that nobody knows yet.
        scheme, _, rest = credential.partition(b" ")
        credential = scheme.lower() + b" " + rest.strip()
    return blake2b(credential, digest_size=16, key=_key).digest()
