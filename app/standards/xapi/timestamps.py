"""Instants: ISO 8601 text to microseconds since 1970 UTC, and back."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache

# xAPI-Data 4.5: the combined date and time of ISO 8601, extended or basic. What fromisoformat takes beyond that
# (week dates, any separator, seconds in an offset; from Python 3.13 on the hour 24) is not for this standard. What is
# decided where RFC 3339 and ISO 8601 differ: docs/adr/0038-times-and-iris.md.
_HOUR = "(?:[01][0-9]|2[0-3])"
_ISO = re.compile(
    rf"(?:[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_HOUR}:[0-9]{{2}}(?::(?P<second>[0-9]{{2}})(?:[.,][0-9]+)?)?"
    rf"|[0-9]{{8}}T{_HOUR}[0-9]{{2}}(?:(?P<basic>[0-9]{{2}})(?:[.,][0-9]+)?)?)"
    rf"(?P<offset>Z|[+-]{_HOUR}(?::?[0-5][0-9])?)?"
)
# What looks like it, and why it is none: said to whoever sent it.
_MIDNIGHT = re.compile(r"[0-9-]{8,10}T24.*", re.DOTALL)
_OFFSET = re.compile(r"[0-9-]{8,10}T[0-9:.,]*[+-][0-9:]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_A_DAY = timedelta(days=1)
_FIRST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_PLAIN_LENGTHS = frozenset({20, 24, 27})
_DAY = 86_400_000_000
_SECOND = 1_000_000
# A negative zero offset: RFC 3339 4.3 gives it the meaning "local time unknown", ISO 8601 forbids it.
_UNKNOWN_OFFSETS = frozenset({"-00", "-0000", "-00:00"})


def parse(text: str) -> int:
    """Microseconds since 1970 UTC of an ISO 8601 or RFC 3339 date and time.

    Finer fractions are truncated (xAPI-Data 4.5 asks for milliseconds at least); without an offset the time is
    read as UTC; a leap second (``23:59:60Z`` at the end of a month of UTC) is the second after it.

    Raises:
        ValueError: not such a text, not a date of the calendar or a time of the day, or an offset of minus zero or of
            more than 23:59.
    """
    if _is_plain(text):
        with suppress(ValueError):  # a day that is not in the calendar, or a leap second: seen below
            return _instant(datetime.fromisoformat(text))
    found = _ISO.fullmatch(text)
    if found is None:
        text = text.upper()  # RFC 3339 5.6: "t" and "z" may be lower case
        found = _ISO.fullmatch(text)
        if found is None:
            raise ValueError(_why_not(text))
    second, basic, offset = found.groups()
    if offset in _UNKNOWN_OFFSETS:
        raise ValueError("an offset of minus zero says that the zone is unknown")
    leap = second == "60" or basic == "60"
    if leap:
        at = found.start("second") if second else found.start("basic")
        text = text[:at] + "59" + text[at + 2 :]
    moment = datetime.fromisoformat(text)
    instant = _instant(moment if offset else moment.replace(tzinfo=UTC))
    if leap:
        instant += _SECOND
    if not _FIRST <= instant <= _LAST:
        raise ValueError("outside the years 1 to 9999")
    # RFC 3339 5.7 and appendix D: a leap second is the last one of a month of UTC.
    if leap and (instant % _DAY >= _SECOND or (_EPOCH + instant // _DAY * _A_DAY).day != 1):
        raise ValueError("a leap second ends a month of UTC")
    return instant


def _why_not(text: str) -> str:
    if _MIDNIGHT.fullmatch(text):
        return "the hours of a day are 00 to 23; the end of a day is 00:00:00 of the next"
    if _OFFSET.fullmatch(text):
        return "not an ISO 8601 date and time with an hour from 00 to 23, or an offset within 23:59"
    return "not an ISO 8601 date and time"


def _is_plain(text: str) -> bool:
    """True if it may be ``2026-11-22T10:00:00Z``, with or without 3 or 6 decimals: the form of most, quick to read."""
    return (
        len(text) in _PLAIN_LENGTHS
        and text[-1] == "Z"
        and text[4] == "-"
        and text[5] != "W"
        and text[10] == "T"
        and text[11:13] != "24"
        and text[13] == text[16] == ":"
        and text.isascii()
    )


def _instant(moment: datetime) -> int:
    since = moment - _EPOCH
    # Integer arithmetic: a float of seconds would lose microseconds.
    return (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds


def render(instant: int) -> str:
    """The instant as ``2026-11-22T10:00:00.123456Z`` (RFC 3339, UTC, always six decimals)."""
    return f"{_to_the_second(instant // _SECOND)}.{instant % _SECOND:06d}Z"


@lru_cache(maxsize=1_024)
def _to_the_second(seconds: int) -> str:
    # Statements stored together share theirs.
    return (_NAIVE_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="seconds")


def in_utc(text: str) -> str:
    """The same instant said in UTC; a text that is already so is returned as it is.

    Raises:
        ValueError: as ``parse``.
    """
    return text if text.endswith("Z") else render(parse(text))
