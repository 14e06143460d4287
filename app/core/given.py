"""Numbers, days and instants as people give them: the documented forms, and no others that Python would read too.

``int`` reads digits of any script, ``1_000`` and spaces; ``date.fromisoformat`` reads week dates; marshmallow makes 1
of 1.5, and true of "on". Whoever sends such a thing means something else, or is not sure what they mean, and is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final

from marshmallow import fields

NUMBER: Final = re.compile(r"[0-9]{1,18}")
DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FRACTION: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)


def number(text: str) -> int:
    """A number of 1 to 18 decimal digits.

    Raises:
        ValueError: it is none.
    """
    if NUMBER.fullmatch(text) is None:
        raise ValueError("no number")
    return int(text)


def fraction(text: str) -> float:
    """A number with or without a decimal point: ``3``, ``0.05``.

    Raises:
        ValueError: it is none.
    """
    if _FRACTION.fullmatch(text) is None:
        raise ValueError("no number")
    return float(text)


def day(text: str) -> date:
    """A day: ``2026-11-22``.

    Raises:
        ValueError: it is none.
    """
    if DAY.fullmatch(text) is None:
        raise ValueError("no day")
    return date.fromisoformat(text)


def bound_of_day(text: str, zone: tzinfo, *, end: bool = False) -> int:
    """The instant at which a day begins in a time zone, in microseconds since 1970 UTC; with ``end``, the next day.

    Raises:
        ValueError: it is none, or bounds nothing that can be told: before 1970, or after the last day of the calendar.
    """
    try:
        begins = day(text) + timedelta(days=end)
    except OverflowError:
        raise ValueError("no day that ends") from None
    found = round(datetime(begins.year, begins.month, begins.day, tzinfo=zone).timestamp()) * 1_000_000
    if found < 0:
        raise ValueError("before 1970")
    return found


def instant(text: str, *, without_zone: bool = False) -> datetime:
    """An instant in ISO 8601, extended: ``2026-11-22T08:00:00Z``, ``2026-11-22T08:00+01:00``.

    Args:
        text: The instant.
        without_zone: One that says no offset is taken too, as UTC.

    Raises:
        ValueError: it is none, or says no offset.
    """
    found = _INSTANT.fullmatch(text)
    if found is None or (found["zone"] is None and not without_zone):
        raise ValueError("no instant")
    moment = datetime.fromisoformat(text.upper())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


class TextNumber(fields.Integer):
    """A number in a text: a parameter of a query, a variable of the environment."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        try:
            return number(value)
        except (TypeError, ValueError):
            raise self.make_error("invalid", input=value) from None


class TextFraction(fields.Float):
    """A number with or without a decimal point in a text."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> float:
        try:
            return fraction(value)
        except (TypeError, ValueError):
            raise self.make_error("invalid", input=value) from None


class Number(fields.Integer):
    """An integer of JSON: no text, no fraction, no boolean."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return value


class Flag(fields.Boolean):
    """True or false of JSON."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if type(value) is not bool:
            raise self.make_error("invalid", input=value)
        return value


class Day(fields.Date):
    """A day: ``2026-11-22``."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> date:
        try:
            return day(value)
        except (TypeError, ValueError):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None


class Instant(fields.AwareDateTime):
    """An instant; one that says no offset is of UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        try:
            return instant(value, without_zone=True)
        except (TypeError, ValueError):
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None
