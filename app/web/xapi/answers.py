"""Answers that hold statements: JSON, or multipart/mixed with the data of attachments (xAPI-Communication 1.5.2)."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response

from app.traces.statements.attachments import Data
from app.web import multipart


def statements(content: bytes, data: Sequence[Data] | None) -> Response:
    """The answer for the JSON of statements; ``data`` is None when attachments were not asked for."""
    if data is None:
        return Response(content, content_type="application/json")
    parts = [multipart.Written({"Content-Type": "application/json"}, len(content), (content,))]
    for each in data:
        written = {
            "Content-Type": each.content_type,
            "Content-Transfer-Encoding": "binary",
            "X-Experience-API-Hash": each.sha2,
        }
        parts.append(multipart.Written(written, each.length, each.chunks))
    boundary = multipart.new_boundary()
    length, body = multipart.write(parts, boundary)
    answer = Response(body, content_type=f"multipart/mixed; boundary={boundary}")
    answer.content_length = length
    return answer
