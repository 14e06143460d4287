"""Periods of calendar months, as the law counts them (Regulation (EEC, Euratom) No 1182/71)."""

from __future__ import annotations

import calendar
from datetime import date


def months_after(day: date, months: int) -> date:
    """The day on which a period of so many months from an event on ``day`` ends; ``months`` may be negative.

    Art. 3(2)(c): the same date of the last month, or its last day when it has no such date. That it would go on to the
    next working day (art. 3(4)) is left out: an answer is never late for it.
    """
    whole, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(whole, month + 1, min(day.day, calendar.monthrange(whole, month + 1)[1]))
