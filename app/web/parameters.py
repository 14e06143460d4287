"""The query string of a request, strictly decoded."""

from __future__ import annotations

from urllib.parse import parse_qsl

from flask import request

from app.core.errors import BadParameter


def given() -> list[tuple[str, str]]:
    """Names and values in the order sent, repeats included.

    Raises:
        BadParameter: not percent-encoded UTF-8, or over 50 of them.
    """
    try:
        return parse_qsl(
            request.query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50
        )
    except ValueError:
        raise BadParameter("The query string is not percent-encoded UTF-8, or has too many parameters.") from None
