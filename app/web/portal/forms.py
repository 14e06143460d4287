"""Forms of pages, as browsers send them: ``application/x-www-form-urlencoded``, in UTF-8, within bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

from flask import request

from app.core.errors import BadParameter, UnsupportedContentType
from app.web import body

TYPE: Final = "application/x-www-form-urlencoded"
MAX_BYTES: Final = 256 * 1024
"""Of a form, as sent."""
MAX_FIELDS: Final = 500
TOKEN: Final = "token"  # noqa: S105 # the name of a field
"""Name of the field that shows a form to be of the session that sends it."""


class Form:
    """The fields of a form that was sent. Safe to read of what is not there: texts are empty then."""

    def __init__(self, fields: Sequence[tuple[str, str]] = ()) -> None:
        self._fields = tuple(fields)

    def text(self, name: str) -> str:
        """The first text of a field, without blanks around it; empty without one."""
        return next((value.strip() for field, value in self._fields if field == name), "")

    def secret(self, name: str) -> str:
        """The first text of a field as it was typed, blanks around it too: a password."""
        return next((value for field, value in self._fields if field == name), "")

    def texts(self, name: str) -> tuple[str, ...]:
        """Every text of a field that may come several times (boxes that are ticked), without empty ones."""
        return tuple(value.strip() for field, value in self._fields if field == name and value.strip())

    def all(self) -> Mapping[str, str]:
        """The first text of each field, but for the token: what a form is shown again with."""
        return {name: value for name, value in reversed(self._fields) if name != TOKEN}


def read(limit: int = MAX_BYTES) -> Form:
    """The form of the current request.

    Raises:
        UnsupportedContentType: it is of another type.
        BodyTooLarge: it is longer than ``limit`` bytes.
        BadParameter: it is not UTF-8, or has too many fields.
    """
    if request.mimetype != TYPE:
        raise UnsupportedContentType(f"Send the form as {TYPE}.")
    try:
        text = body.read(limit).decode("ascii")
        fields = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise BadParameter(f"The form is not UTF-8 text of at most {MAX_FIELDS} fields.") from None
    # A text that a form holds over several lines comes with CRLF (HTML, form submission).
    return Form([(name, value.replace("\r\n", "\n").replace("\0", "")) for name, value in fields])
