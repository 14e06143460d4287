"""Ends of credentials: until when a key is good."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.access.store import StoredCredential

SOON = timedelta(days=60)
"""Of a key that ends within this, the list says so."""
_LAST_MONTH, _LAST_DAY = 8, 31
_NEW_YEAR_FROM_MONTH = 6


def default_last_day(today: date) -> date:
    """The last day of the school year, for which a person's key is good unless another is said: 31 August. From June on
    it is that of the year to come, or a new key would be one for the holidays.
    """
    return date(today.year + (today.month >= _NEW_YEAR_FROM_MONTH), _LAST_MONTH, _LAST_DAY)


def end_of(last_day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a key ends that is good until a day, included: the next midnight there, in UTC."""
    return datetime.combine(last_day + timedelta(days=1), time(), zone).astimezone(UTC)


def last_day_of(ends: datetime, zone: ZoneInfo) -> date:
    """The last day on which a key is good that ends at an instant."""
    return (ends.astimezone(zone) - timedelta(microseconds=1)).date()


def of_persons(credentials: Iterable[StoredCredential], now: datetime) -> list[StoredCredential]:
    """Those that are good now, and of no source: of persons, and of services that read."""
    return [
        each
        for each in credentials
        if each.revoked is None and each.source is None and (each.ends is None or now < each.ends)
    ]


def is_soon(ends: datetime | None, now: datetime) -> bool:
    """True if a key that is good has an end, within ``SOON``."""
    return ends is not None and ends <= now + SOON
