"""Answers of this API: JSON, times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
from flask import Response

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def answer(document: object) -> Response:
    """The answer that holds this document, of JSON values."""
    return Response(orjson.dumps(document), content_type="application/json")


def instant(microseconds: int | None) -> str | None:
    """ISO 8601 of microseconds since 1970, UTC; None for none, and for what lies outside the calendar."""
    if microseconds is None:
        return None
    try:
        moment = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None
    # In full: what is cut would compare as earlier than it is.
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
