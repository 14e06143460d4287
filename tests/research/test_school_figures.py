"""Volume of schools: what is shown adds up, what is hidden stays so, every reading is on record."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from app.core.errors import NotFound
from app.crypto.keys import OrganisationKeys
from app.platform.mongo.connection import Store
from app.research.aggregates import Aggregates
from app.research.school_figures import SchoolFigures, Volume
from app.research.store import AggregateRepository
from app.settings import Settings
from tests.research.statements import MadeUpReader, class_of
from tests.sinks import Everybody

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
BIG, SMALL, OTHER = "0750654D", "0752524L", "0920131T"


class Noted(list[tuple[str, str, dict[str, object]]]):
    def append(self, kind: str, actor: str, detail: dict[str, object]) -> None:  # type: ignore[override] # a sink
        super().append((kind, actor, detail))


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def aggregates(store: Store, vault: OrganisationKeys, settings: Settings) -> Aggregates:
    reader = MadeUpReader()
    reader.store(
        *class_of(12, school=BIG),
        *class_of(13, 100, school=BIG, timestamp="2026-11-05T09:00:00Z"),
        *class_of(5, 200, school=SMALL, timestamp="2026-11-06T09:00:00Z"),
        *class_of(14, 300, school=OTHER, timestamp="2026-12-01T09:00:00Z"),
    )
    aggregates = Aggregates(AggregateRepository(store, vault), reader, vault, settings, Everybody())  # type: ignore[arg-type]
    aggregates.run()
    return aggregates


@pytest.fixture
def figures(aggregates: Aggregates, noted: Noted) -> SchoolFigures:
    return SchoolFigures(aggregates, noted)


def test_days_that_are_shown_add_up_and_hidden_ones_are_only_counted(figures: SchoolFigures, noted: Noted) -> None:
    found = figures.of(BIG, FIRST, LAST, actor="u-head")
    assert found.whole == Volume(BIG, 2, 0, 25, date(2026, 11, 5))
    assert [(each.value, each.days) for each in found.sources] == [("p2ia", 2)]
    said = {each.value: each.statements for each in found.levels}
    assert said == {"1001000C11A": 25}
    small = figures.of(SMALL, FIRST, LAST, actor="u-head").whole
    assert small == Volume(SMALL, 0, 1, 0, date(2026, 11, 6))
    assert {entry[0] for entry in noted} == {"aggregate-read"} and noted[0][1] == "u-head"
    assert BIG not in str(noted)
    assert noted[0][2] == {
        "aggregate": "daily_activity@2",
        "from": "2026-11-01",
        "to": "2026-11-30",
        "by": ["school", "source", "level", "profile"],
        "filtered": ["school"],
        "rows": 1,
    }


def test_one_look_at_a_school_finds_the_aggregate_once(
    figures: SchoolFigures, aggregates: Aggregates, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    served = aggregates.served

    def counting(name: str) -> Any:
        asked.append(name)
        return served(name)

    monkeypatch.setattr(aggregates, "served", counting)
    found = figures.of(BIG, FIRST, LAST, actor="u-head")
    assert asked == ["daily_activity"]
    assert found.minimum == 11 and found.as_of is not None


def test_of_several_schools_each_within_the_days(figures: SchoolFigures) -> None:
    found = figures.of_schools([OTHER, SMALL, BIG, "0000000A"], FIRST, LAST, actor="u-t")
    assert [(each.value, each.days, each.hidden) for each in found] == [(BIG, 2, 0), (SMALL, 0, 1)]
    assert figures.of_schools([], FIRST, LAST, actor="u-t") == []
    assert figures.minimum == 11


def test_without_the_aggregate_there_is_nothing(store: Store, vault: OrganisationKeys, settings: Settings) -> None:
    empty = Aggregates(AggregateRepository(store, vault), MadeUpReader(), vault, settings, Everybody(), [])  # type: ignore[arg-type]
    figures = SchoolFigures(empty, Noted())
    with pytest.raises(NotFound):
        empty.served("daily_activity")
    assert figures.of(BIG, FIRST, LAST, actor="u-head").whole is None and figures.minimum == 0
