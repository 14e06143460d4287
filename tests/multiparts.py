"""Statements with the data of their attachments, as multipart/mixed (xAPI-Communication 1.5.2): made, and read."""

from __future__ import annotations

import email
import email.policy
import hashlib
from typing import Any
from uuid import uuid4

import orjson
import requests

from tests.served import statement

BOUNDARY = "----sillage-test"
JSON = {"Content-Type": "application/json"}


def sha2_of(data: bytes) -> str:
    """The SHA-256 of data, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def attachment_of(data: bytes, **changes: Any) -> dict[str, Any]:
    """The attachment object that announces data."""
    return {
        "usageType": "https://ent.example/copy",
        "display": {"fr": "Copie"},
        "contentType": "text/plain",
        "length": len(data),
        "sha2": sha2_of(data),
        **changes,
    }


def statement_with(*data: bytes, **changes: Any) -> dict[str, Any]:
    """A statement with an attachment for each of data."""
    return statement(id=str(uuid4()), attachments=[attachment_of(each) for each in data], **changes)


def part_of(data: bytes, **headers: str) -> tuple[dict[str, str], bytes]:
    """Headers and content of the part with data; a header given empty is left out."""
    given = {
        "Content-Type": "text/plain",
        "Content-Transfer-Encoding": "binary",
        "X-Experience-API-Hash": sha2_of(data),
    }
    return {**given, **{name.replace("_", "-"): text for name, text in headers.items()}}, data


def body_of(content: Any, *parts: tuple[dict[str, str], bytes], end: bytes = b"--\r\n") -> bytes:
    """A body: the statements, as JSON or as bytes, and the parts."""
    first = content if isinstance(content, bytes) else orjson.dumps(content)
    written = b""
    for headers, data in ((JSON, first), *parts):
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items() if text)
        written += f"--{BOUNDARY}\r\n{lines}\r\n".encode() + data + b"\r\n"
    return written + f"--{BOUNDARY}".encode() + end


def received(answer: requests.Response) -> tuple[Any, dict[str, bytes]]:
    """The JSON of an answer, and the data by hash, as the standard library reads the message."""
    assert answer.headers["Content-Type"].startswith("multipart/mixed")
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    first, *others = email.message_from_bytes(head + answer.content, policy=email.policy.HTTP).iter_parts()
    assert first.get_content_type() == "application/json"
    data = {}
    for part in others:
        assert part["Content-Transfer-Encoding"] == "binary"
        # The library reads "binary" as text: the bytes are taken from between the boundaries instead.
        mark = f"X-Experience-API-Hash: {part['X-Experience-API-Hash']}\r\n\r\n".encode()
        start = answer.content.index(mark) + len(mark)
        boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
        data[part["X-Experience-API-Hash"]] = answer.content[start : answer.content.index(b"\r\n--" + boundary, start)]
    return orjson.loads(first.get_payload()), data
