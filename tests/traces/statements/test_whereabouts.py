"""School and day of statements, as perimeters go by them."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.research.facts import extract
from app.standards.profiles.terms import SCHOOL
from app.standards.xapi.timestamps import parse
from app.traces.statements.whereabouts import day_of, whereabouts
from tests.research.statements import plain
from tests.served import statement

PARIS = ZoneInfo("Europe/Paris")
STORED = parse("2026-11-30T10:00:00Z")


@pytest.mark.parametrize(
    ("said", "day"),
    [
        (None, "2026-11-30"),
        ("2026-11-30T09:59:59.123Z", "2026-11-30"),
        ("2026-11-29T23:00:00Z", "2026-11-30"),  # midnight in Paris
        ("2026-11-29T22:59:59.999999Z", "2026-11-29"),
        ("2026-11-29T23:59:59+01:00", "2026-11-29"),
        ("20261128T120000.5Z", "2026-11-28"),
        ("2026-11-28t12:00:00z", "2026-11-28"),
        ("2026-11-28T12:00Z", "2026-11-28"),
        # Nothing was stored before it happened, nor before clocks count.
        ("2026-11-30T12:00:00Z", "2026-11-30"),
        ("2027-01-01T00:00:00Z", "2026-11-30"),
        ("1969-12-31T00:00:00Z", "2026-11-30"),
        ("2026-11-28T12:00:00" + "0" * 40, "2026-11-30"),
        ("yesterday", "2026-11-30"),
    ],
)
def test_the_day_is_that_of_the_timestamp_where_the_organisation_is(said: str | None, day: str) -> None:
    where = whereabouts(statement(**({} if said is None else {"timestamp": said})), STORED, PARIS)
    assert day_of(where, STORED, PARIS) == day
    assert (where.late is None) is (day == "2026-11-30")


@pytest.mark.parametrize(
    ("extensions", "school"),
    [
        ({SCHOOL: "0750654D"}, "0750654D"),
        ({SCHOOL: "0750654d"}, None),
        ({SCHOOL: "0750654DD"}, None),
        ({SCHOOL: ["0750654D"]}, None),
        ({SCHOOL: 7506541}, None),
        ({}, None),
    ],
)
def test_the_school_is_the_one_that_figures_count(extensions: dict[str, Any], school: str | None) -> None:
    assert whereabouts(statement(context={"extensions": extensions}), STORED, PARIS).school == school
    assert whereabouts(statement(context={}), STORED, PARIS).school is None


def test_the_day_is_the_one_that_figures_count() -> None:
    days = [(month, day) for month in (3, 10) for day in (28, 29)]
    times = [f"2026-{month:02}-{day:02}T{hour:02}:30:00Z" for month, day in days for hour in (0, 21, 22, 23)]
    rows = [plain(place, timestamp=said) for place, said in enumerate(times)]
    for row, said, day in zip(rows, times, extract(rows, "Europe/Paris")["day"].to_list(), strict=True):
        assert day_of(whereabouts({"timestamp": said}, row.stored, PARIS), row.stored, PARIS) == day.isoformat()
