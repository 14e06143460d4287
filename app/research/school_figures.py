"""Volume and quality of what schools send, from the protected cells of the daily aggregate.

What disclosure control hides stays hidden: days on which a figure is hidden are counted, and nothing of them. Sums are
of shown days alone, so they are lower bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

import polars as pl

from app.core.audit_sink import AuditSink
from app.core.errors import NotFound
from app.research.aggregates import Aggregates
from app.research.compute import PERIOD
from app.research.definitions import Definition
from app.research.readings import record
from app.research.store import AggregateState

NAME: Final = "daily_activity"
"""The aggregate that has the school among its dimensions."""
SCHOOL: Final = "school"
_STATEMENTS = "statements"
_HIDDEN = "hidden"


class Volume(NamedTuple):
    """Volume of a school, or of one value of another dimension within it.

    Attributes:
        value: UAI of the school, or the other value; empty where traces do not say it.
        days: Number of days whose figures are shown.
        hidden: Number of days whose figures are hidden.
        statements: Number of traces on the days that are shown.
        last: The last day with traces, shown or hidden.
    """

    value: str
    days: int
    hidden: int
    statements: int
    last: date


class SchoolVolume(NamedTuple):
    """Volume of one school: as a whole, by tool, by whether level and profile are said; and until when it is counted.

    Attributes:
        whole: All of it; None where there is nothing, or every day would be hidden and unknown.
        sources: By source.
        levels: By course of study.
        profiles: By profile.
        as_of: Up to which ``stored`` is counted, microseconds; None: nothing yet.
        minimum: Smallest group that is shown; 0 where there is no such aggregate.
    """

    whole: Volume | None
    sources: Sequence[Volume]
    levels: Sequence[Volume]
    profiles: Sequence[Volume]
    as_of: int | None
    minimum: int


class SchoolFigures:
    """Tells of schools what the daily aggregate shows of them. Each reading is on record."""

    def __init__(self, aggregates: Aggregates, audit: AuditSink) -> None:
        """Nothing is read yet."""
        self._aggregates = aggregates
        self._audit = audit

    @property
    def minimum(self) -> int:
        """Smallest group that is shown; 0 where there is no such aggregate."""
        served = self._served()
        return 0 if served is None else self._aggregates.minimum(served[0])

    def of(self, school: str, first: date, last: date, *, actor: str) -> SchoolVolume:
        """One school, day by day counted together."""
        served = self._served()
        if served is None:
            return SchoolVolume(None, (), (), (), None, 0)
        definition, state = served
        by = (SCHOOL, "source", "level", "profile")
        whole, sources, levels, profiles = (self._volumes(definition, name, [school], first, last) for name in by)
        record(self._audit, actor, definition, (first, last), by=by, filtered=[SCHOOL], rows=len(whole))
        return SchoolVolume(
            whole[0] if whole else None,
            sources,
            levels,
            profiles,
            None if state is None else state.as_of,
            self._aggregates.minimum(definition),
        )

    def of_schools(self, schools: Sequence[str], first: date, last: date, *, actor: str) -> Sequence[Volume]:
        """Each of these schools of which there are traces, by UAI."""
        served = self._served()
        if served is None:
            return []
        found = self._volumes(served[0], SCHOOL, schools, first, last)
        record(self._audit, actor, served[0], (first, last), by=[SCHOOL], filtered=[SCHOOL], rows=len(found))
        return sorted(found, key=lambda each: each.value)

    def _served(self) -> tuple[Definition, AggregateState | None] | None:
        try:
            return self._aggregates.served(NAME)
        except NotFound:
            return None

    def _volumes(
        self, definition: Definition, value: str, schools: Sequence[str], first: date, last: date
    ) -> list[Volume]:
        """Volumes of these schools by the values of a dimension: of the school itself, each school's."""
        wanted = tuple(name for name in definition.dimension_names if name in {SCHOOL, value})
        if not {SCHOOL, value} <= {*wanted}:
            return []
        frames = [
            cells.filter(pl.col(SCHOOL).is_in(schools)).select(
                PERIOD, pl.col(value).alias("value"), _STATEMENTS, _HIDDEN
            )
            for cells in self._aggregates.cells(definition, wanted, first, last)
        ]
        if not frames:
            return []
        shown = ~pl.col(_HIDDEN)
        table = (
            pl.concat(frames)
            .group_by("value")
            .agg(
                shown.sum().alias("days"),
                pl.col(_HIDDEN).sum().alias("hidden"),
                pl.col(_STATEMENTS).filter(shown).sum().alias("statements"),
                pl.col(PERIOD).max().alias("last"),
            )
            .sort(["statements", "value"], descending=[True, False])
        )
        return [
            Volume(row["value"] or "", row["days"], row["hidden"], int(row["statements"] or 0), row["last"])
            for row in table.to_dicts()
        ]
