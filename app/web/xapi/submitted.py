"""Statements as they are submitted: JSON, or multipart/mixed with the data of attachments (xAPI-Communication 1.5)."""

from __future__ import annotations

from collections.abc import Iterator

from flask import request

from app.core.errors import BodyTooLarge, Fault, MalformedMultipart, SillageError, UnsupportedContentType
from app.standards.xapi.media_types import essence
from app.traces.statements.attachments import Part
from app.web import body, multipart

_SECTION = "xAPI-Communication 1.5.2"


def read(max_body_bytes: int, max_attachments_bytes: int) -> tuple[bytes, Iterator[Part] | None]:
    """The JSON of the statements; the parts that follow it, still to be read, when the request is multipart.

    Raises:
        UnsupportedContentType: neither application/json nor multipart.
        MalformedMultipart: not well formed, or the first part is not JSON; also while the parts are read.
        BodyTooLarge: the JSON is longer than ``max_body_bytes``, or all of it than ``max_attachments_bytes``.
    """
    kind = (request.mimetype or "").lower()
    if kind == "application/json":
        return body.read(max_body_bytes), None
    if kind != "multipart/mixed":
        # xAPI-Data 2.4.11: other kinds of multipart are refused with 400.
        message = "Send statements as application/json, or as multipart/mixed with the data of their attachments."
        refusal: type[SillageError] = MalformedMultipart if kind.startswith("multipart/") else UnsupportedContentType
        raise refusal(message, faults=[Fault("", "content-type", "xAPI-Communication 1.5", message)])
    named = multipart.boundary(request.headers.get("Content-Type", ""))
    received = multipart.parts(body.chunks(max_attachments_bytes), named)
    first = next(received, None)
    if first is None or _kind(first) != "application/json":
        raise _refused("part-first", "The first part must be the statements, with the Content-Type application/json.")
    content = bytearray()
    for chunk in first.chunks:
        content += chunk
        body.hold(len(content))
        if len(content) > max_body_bytes:
            raise BodyTooLarge(
                f"The statements are larger than the {max_body_bytes} bytes that one request may hold. "
                "Send smaller batches."
            )
    return bytes(content), _data(received)


def _data(received: Iterator[multipart.Received]) -> Iterator[Part]:
    for part in received:
        # xAPI-Communication 1.5.2: each further part MUST have these two.
        if part.headers.get("content-transfer-encoding", "").lower() != "binary":
            raise _refused("part-encoding", "Each part with data needs the header Content-Transfer-Encoding: binary.")
        sha2 = part.headers.get("x-experience-api-hash")
        if not sha2:
            raise _refused("part-hash", "Each part with data needs the header X-Experience-API-Hash.")
        yield Part(sha2, part.chunks)


def _kind(part: multipart.Received) -> str:
    return essence(part.headers.get("content-type", ""))


def _refused(rule: str, message: str) -> MalformedMultipart:
    return MalformedMultipart(message, faults=[Fault("", rule, _SECTION, message)])
