"""Periods of calendar months, as the law counts them (Regulation (EEC, Euratom) No 1182/71)."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime


def months_after(day: date, months: int) -> date:
    """The day on which a period of so many months from an event on ``day`` ends; ``months`` may be negative.

    Art. 3(2)(c): the same date of the last month, or its last day when it has no such date. That it would go on to the
    next working day (art. 3(4)) is left out: an answer is never late for it.
    """
    whole, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(whole, month + 1, min(day.day, calendar.monthrange(whole, month + 1)[1]))


def closed_before(closed: int, months: int) -> int:
    """The instant from which statements of an account that ended are due; those that were stored before it are.

    Both instants in microseconds since 1970 UTC.
    """
    return instant_of(months_after(day_of(closed), months))


def day_of(instant: int) -> date:
    """The day (UTC) of an instant in microseconds since 1970 UTC."""
    return datetime.fromtimestamp(instant // 1_000_000, UTC).date()


def instant_of(day: date) -> int:
    """The instant at which a day (UTC) begins, microseconds since 1970 UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
