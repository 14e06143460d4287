"""Whereabouts of a statement: the school in which, and the day on which, what it tells happened.

Most is stored on the day on which it happened: the day of these is told by ``stored``. Others are *late*, and have
entries of their day and month.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from app.standards.profiles.terms import SCHOOL
from app.standards.xapi import Statement
from app.standards.xapi.timestamps import parse

# The form of a UAI; that there is such a school is said by the directory, when somebody asks.
_UAI: Final = re.compile(r"[0-9]{7}[A-HJ-NPR-Z]")
_UAI_LENGTH: Final = 8
# Offsets of zones are whole quarters of an hour.
_QUARTER_US: Final = 900_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TO_THE_MINUTE: Final = 16
_LONGEST: Final = 40


class Whereabouts(NamedTuple):
    """School and day of a statement.

    Attributes:
        school: UAI of the school that its context names; None where it names none.
        late: The day of the event in the organisation's time zone, ``2026-11-30``, if it was stored on a later day;
            None: it was stored on the day of the event.
    """

    school: str | None
    late: str | None


def whereabouts(statement: Statement, stored: int, zone: ZoneInfo) -> Whereabouts:
    """The whereabouts of a valid statement, stored at that microsecond.

    As figures have them (``app/research/facts.py``): the school is that of the context; the time is the timestamp, or
    ``stored`` where that is missing, unusable or later: nothing was stored before it happened.
    """
    school = None
    context = statement.get("context")
    if context is not None and "extensions" in context:
        code = context["extensions"].get(SCHOOL)
        if type(code) is str and len(code) == _UAI_LENGTH and _is_uai(code):
            school = code
    said: str | None = statement.get("timestamp")
    if said is None or len(said) > _LONGEST:
        return Whereabouts(school, None)
    # Seconds do not change the day, where a letter tells the zone. Of what is sent together, minutes recur.
    to_the_minute = said[:_TO_THE_MINUTE] if said[-1] == "Z" and said[10:11] == "T" else said
    return Whereabouts(school, _late(to_the_minute, stored // _QUARTER_US, zone))


def day_of(where: Whereabouts, stored: int, zone: ZoneInfo) -> str:
    """The day of the event of a statement, ``2026-11-30``."""
    return where.late or _day(stored // _QUARTER_US, zone)


_is_uai = lru_cache(maxsize=16_384)(_UAI.fullmatch)


@lru_cache(maxsize=16_384)
def _late(said: str, quarter: int, zone: ZoneInfo) -> str | None:
    """The day that a timestamp says, if it is one before that of a quarter of an hour since 1970."""
    try:
        moment = parse(f"{said}Z" if len(said) == _TO_THE_MINUTE and said[13] == ":" else said)
    except ValueError:
        return None
    day = _day(moment // _QUARTER_US, zone) if moment >= 0 else None
    return day if day is not None and day < _day(quarter, zone) else None


@lru_cache(maxsize=4_096)
def _day(quarter: int, zone: ZoneInfo) -> str:
    return (_EPOCH + timedelta(seconds=quarter * 900)).astimezone(zone).date().isoformat()
