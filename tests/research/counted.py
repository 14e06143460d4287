"""Counts, shown or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.research import refresh
from app.research.compute import Plan, finalise, merged
from app.research.definitions import Definition, load_all
from app.research.refresh import gathered
from app.research.store import AggregateRepository
from app.wiring.container import Container
from tests.stores import settle


def declared(name: str) -> Definition:
    """The shipped definition of that name."""
    return next(item for item in load_all() if item.name == name)


def totals(
    repository: AggregateRepository, name: str = "daily_activity", by: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Figures by period and these dimensions, without any protection."""
    plan = Plan(declared(name))
    names = [part for part in repository.names(plan.definition.id) if part.table in plan.tables]
    found = []
    for month in sorted({part.bucket for part in names}):
        contents = repository.contents([part for part in names if part.bucket == month])
        assert contents is not None
        tables = gathered(plan, contents)
        found += finalise({part: merged(plan, part, each) for part, each in tables.items()}, plan, by).to_dicts()
    return found


def refreshed(container: Container) -> refresh.RunSummary:
    """Count what is stored by now: a run leaves out what is so new that something earlier could still come."""
    settle(container)
    return container.research.aggregates.run()
