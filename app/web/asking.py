"""What the head of a request tells of it before any thread has it: read or write, whose, how large.

For sharing the worker out only. Gunicorn parses the head again, and its word counts; what is odd here is only placed
worse, and its connection is not kept.
"""

from __future__ import annotations

import re
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from app.storage import clock

OPERATIONS = "operations"

_OPERATIONS = re.compile(rb"(?:GET|HEAD) /(?:healthz|readyz|metrics)[? ]")
_WRITE = re.compile(rb"(?:POST|PUT|DELETE|PATCH) ")
_FIELDS = re.compile(
    rb"\n(authorization|content-length|content-encoding|transfer-encoding|connection)[ \t]*:[ \t]*([^\r\n]*)",
    re.IGNORECASE,
)
_HEAD_END = b"\r\n\r\n"
# Chunks do not say how many will come, nor gzip what it unpacks to: `Admitted.hold` corrects these guesses.
_CHUNKED_BYTES = 64 * 1024
_UNPACKED_TIMES = 16
_DIGITS = 15


class Kind(Enum):
    """What a request wants of the worker."""

    READ = 0
    WRITE = 1
    OPERATIONS = 2


class Asking(NamedTuple):
    """A request by its head.

    Attributes:
        kind: What it is.
        credential: Digest of its ``Authorization`` header, under a key of this process; None without.
        body_bytes: How many bytes of body it will take in memory, as far as its head tells.
    """

    kind: Kind
    credential: bytes | None
    body_bytes: int


_key = clock.random_bytes(32)


def asking(received: bytearray) -> Asking:
    """Look at a request: its head, which is whole, and what of its body has come already."""
    if _OPERATIONS.match(received):
        return Asking(Kind.OPERATIONS, None, 0)
    credential = None
    length = 0
    times = 1
    for found in _FIELDS.finditer(received, 0, received.find(_HEAD_END) + 2):
        name = found[1].lower()
        if name == b"authorization":
            credential = blake2b(found[2], digest_size=16, key=_key).digest()
        elif name == b"content-length":
            text = found[2].strip()
            length = int(text) if text.isdigit() and len(text) <= _DIGITS else length
        elif name == b"transfer-encoding":
            length = max(length, _CHUNKED_BYTES)
        elif name == b"content-encoding" and found[2].strip().lower() != b"identity":
            times = _UNPACKED_TIMES
    return Asking(Kind.WRITE if _WRITE.match(received) else Kind.READ, credential, length * times)


def whole(received: bytearray) -> bool:
    """Whether the request has come to its end, nothing follows it, and its connection may be kept.

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
    known = lengths[0].isdigit() and len(lengths[0]) <= _DIGITS
    return known and len(received) == end + len(_HEAD_END) + int(lengths[0])
