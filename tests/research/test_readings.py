"""Readings of aggregates: within the days of a perimeter, and a month looked at once however much of it is read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from app.access.perimeters import EVERYTHING
from app.access.principals import Kind, Principal
from app.access.reach import Reach
from app.access.scopes import RESEARCH
from app.research.aggregates import Aggregates, Query
from app.research.readings import AggregateReadings
from app.research.store import AggregateRepository
from tests.research.counted import declared
from tests.research.statements import MadeUpReader, class_of
from tests.sinks import Sink

EARLY, LATE, ALONE = "0750654D", "0920131T", "0752524L"


class AsBounded:
    """Reaches of perimeters without sources or territories."""

    def of(self, perimeter: Any) -> Reach | None:
        return None if perimeter.unbounded else Reach(perimeter, None, None, perimeter.since, perimeter.until)


def within(**bounds: date) -> Principal:
    return Principal(Kind.PERSON, "u-lab", frozenset({RESEARCH}), perimeter=EVERYTHING._replace(**bounds))


@pytest.fixture
def aggregates(make: Callable[..., Aggregates], reader: MadeUpReader) -> Aggregates:
    reader.store(
        *class_of(12, school=EARLY, timestamp="2026-11-03T09:00:00Z"),
        *class_of(13, 100, school=LATE, timestamp="2026-11-20T09:00:00Z"),
        *class_of(14, 200, school=ALONE, timestamp="2026-12-10T09:00:00Z"),
    )
    made = make()
    made.run()
    return made


@pytest.fixture
def noted() -> list[tuple[str, str, Any]]:
    return []


@pytest.fixture
def readings(aggregates: Aggregates, noted: list[tuple[str, str, Any]]) -> AggregateReadings:
    sink = Sink(lambda *entry: noted.append(entry))
    return AggregateReadings(aggregates, AsBounded(), sink)  # type: ignore[arg-type] # stands for the directory


@pytest.mark.parametrize(
    ("bounds", "days", "schools"),
    [
        ({}, (None, None), [EARLY, ALONE, LATE]),
        ({"since": date(2026, 11, 10)}, (None, None), [ALONE, LATE]),
        ({"until": date(2026, 11, 30)}, (None, None), [EARLY, LATE]),
        ({"since": date(2026, 11, 10)}, (date(2026, 11, 1), date(2026, 11, 30)), [LATE]),
        ({"until": date(2026, 11, 10)}, (date(2026, 11, 1), date(2026, 12, 31)), [EARLY]),
        ({"until": date(2026, 11, 10)}, (date(2026, 12, 1), None), []),
        ({}, (date(2026, 12, 31), date(2026, 11, 3)), []),
    ],
)
def test_values_are_of_the_days_of_a_perimeter(
    readings: AggregateReadings, bounds: dict[str, date], days: tuple[date | None, date | None], schools: list[str]
) -> None:
    found = readings.values(within(**bounds), declared("daily_activity"), *days)
    assert found["school"] == schools
    assert found["source"] == (["p2ia"] if schools else [])


def test_the_values_of_all_dimensions_take_one_look_at_each_month(
    readings: AggregateReadings, repository: AggregateRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    names = repository.names
    monkeypatch.setattr(repository, "names", lambda *given: asked.append(given[1:]) or names(*given))  # type: ignore[func-returns-value]
    readings.values(within(), declared("daily_activity"), None, None)
    assert asked == [("", "~"), ("2026-11", "2026-11"), ("2026-12", "2026-12")]


def test_a_download_is_on_record_once_before_its_first_page(
    readings: AggregateReadings, noted: list[tuple[str, str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query("daily_activity", by=("school",))
    (whole,) = readings.read_all(within(), query)
    assert [(each[0], each[1], each[2]["rows"]) for each in noted] == [("aggregate-read", "u-lab", 3)]
    noted.clear()
    monkeypatch.setattr("app.research.readings.PAGE_LIMIT", 1)
    pages = readings.read_all(within(), query)
    first = next(pages)
    assert [each[2]["rows"] for each in noted] == [None]
    assert [*first.rows, *(row for page in pages for row in page.rows)] == whole.rows and len(noted) == 1
