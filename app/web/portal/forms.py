"""Forms of pages, as browsers send them: ``application/x-www-form-urlencoded``, or ``multipart/form-data`` where a file
may come with them; in UTF-8, within bounds.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from flask import request
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import MultiPartParser

from app.core.errors import BadParameter, UnsupportedContentType
from app.web import body

TYPE: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
_MAX_BOUNDARY: Final = 200
MAX_BYTES: Final = 256 * 1024
"""Of a form, as sent."""
MAX_FIELDS: Final = 5_000
TOKEN: Final = "token"  # noqa: S105 # the name of a field
"""Name of the field that shows a form to be of the session that sends it."""


class Form:
    """The fields of a form that was sent. Safe to read of what is not there: texts are empty then."""

    def __init__(self, fields: Sequence[tuple[str, str]] = (), files: Mapping[str, bytes] | None = None) -> None:
        self._fields = tuple(fields)
        self._first = dict(reversed(self._fields))
        self._files = dict(files or {})

    def file(self, name: str) -> bytes:
        """The content of a file that was chosen; empty without one."""
        return self._files.get(name, b"")

    def text(self, name: str) -> str:
        """The first text of a field, without blanks around it; empty without one."""
        return self._first.get(name, "").strip()

    def secret(self, name: str) -> str:
        """The first text of a field as it was typed, blanks around it too: a password."""
        return self._first.get(name, "")

    def texts(self, name: str) -> tuple[str, ...]:
        """Every text of a field that may come several times (boxes that are ticked), without empty ones."""
        return tuple(value.strip() for field, value in self._fields if field == name and value.strip())

    def all(self) -> Mapping[str, str]:
        """The first text of each field, but for the token: what a form is shown again with."""
        return {name: value for name, value in self._first.items() if name != TOKEN}


def read(limit: int = MAX_BYTES, *, files: bool = False) -> Form:
    """The form of the current request.

    Args:
        limit: Most bytes of it, as sent.
        files: A file may come with it.

    Raises:
        UnsupportedContentType: it is of another type.
        BodyTooLarge: it is longer than ``limit`` bytes.
        BadParameter: it is not UTF-8, or has too many fields.
    """
    if files and request.mimetype == MULTIPART:
        return _parts(limit)
    if request.mimetype != TYPE:
        raise UnsupportedContentType(f"Send the form as {TYPE}.")
    try:
        text = body.read(limit).decode("ascii")
        fields = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise _unreadable() from None
    return Form([(name, _lines(value)) for name, value in fields])


def _parts(limit: int) -> Form:
    """A form with a file, whole in memory: what is longer than ``limit`` is refused before it is taken apart."""
    content = body.read(limit)
    boundary = request.mimetype_params.get("boundary", "")
    if not 0 < len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
        raise _unreadable()
    parser = MultiPartParser(
        stream_factory=lambda *_, **__: io.BytesIO(), max_form_memory_size=limit, max_form_parts=MAX_FIELDS
    )
    try:
        fields, files = parser.parse(io.BytesIO(content), boundary.encode(), len(content))
        held = {name: each.stream.read() for name, each in files.items()}
        listed = [(name, _lines(value)) for name, value in fields.items(multi=True)]
    except (ValueError, HTTPException):
        raise _unreadable() from None
    return Form(listed, held)


def _lines(text: str) -> str:
    # A text that a form holds over several lines comes with CRLF (HTML, form submission).
    return text.replace("\r\n", "\n").replace("\0", "")


def _unreadable() -> BadParameter:
    return BadParameter(f"The form is not UTF-8 text of at most {MAX_FIELDS} fields.")
