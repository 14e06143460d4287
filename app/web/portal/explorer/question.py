"""The question that an address of the explorer asks: codes alone, and the same view each time it is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlencode

from werkzeug.datastructures import MultiDict

from app.core import given
from app.core.errors import BadParameter
from app.research.aggregates import Query
from app.research.definitions import Definition, Measure

ANY: Final = "*"
"""Of a filter: every value. An empty one is "not said", as over the interface."""
YEAR, WHOLE = "year", "whole"
COMPARISONS: Final = ("", YEAR, WHOLE)
"""Comparisons: none, the same period a year before, all values together."""
_OWN: Final = ("table", "measure", "by", "from", "to", "compare", "page")
_LONGEST: Final = 2_000
MAX_PAGE: Final = 1_000
FIRST_YEAR, LAST_YEAR = 1970, 2999
_Known = TypeVar("_Known")


class Question(NamedTuple):
    """A question on an aggregate.

    Attributes:
        definition: The aggregate.
        measure: The figure that is drawn.
        by: Dimensions that it is broken down by.
        first: Periods that start on this day or after; None: from the first.
        last: Periods that start on this day or before; None: to the last.
        where: Values that dimensions must have.
        compare: One of ``COMPARISONS``.
        page: Of the table, from 1.
    """

    definition: Definition
    measure: Measure
    by: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None
    where: tuple[tuple[str, str], ...] = ()
    compare: str = ""
    page: int = 1

    def query(self, limit: int, cursor: str | None = None) -> Query:
        """The question as the service takes it."""
        return Query(self.definition.name, self.first, self.last, self.by, self.where, limit, cursor)

    def year_before(self) -> Question:
        """The same of a year before: days and weeks of the same weekday, months of the same name."""
        return self._replace(first=self.first and self.before(self.first), last=self.last and self.before(self.last))

    def before(self, day: date) -> date:
        """The day that is set beside another one, a year before."""
        if self.definition.period == "month":
            return date(day.year - 1, day.month, min(day.day, 28) if day.month == 2 else day.day)  # February
        return day - timedelta(weeks=52)

    def carried(self) -> dict[str, str | list[str]]:
        """The parameters of the address that asks this, whoever opens it."""
        days = {"from": self.first, "to": self.last}
        return {
            "table": self.definition.name,
            "measure": self.measure.name,
            "by": [*self.by],
            **{name: day.isoformat() for name, day in days.items() if day is not None},
            **dict(self.where),
            **({"compare": self.compare} if self.compare else {}),
            **({"page": str(self.page)} if self.page > 1 else {}),
        }

    def address(self) -> str:
        """The query of that address."""
        return urlencode(self.carried(), doseq=True)


def asked(args: MultiDict[str, str], tables: Sequence[Definition]) -> Question:
    """The question that the parameters of an address ask; without any, one on the first table.

    Raises:
        BadParameter: a parameter is not known, or is no code that there is.
    """
    known = {each.name: each for each in tables}
    definition = _one("table", args.get("table", tables[0].name), known)
    unknown = set(args) - {*_OWN, *definition.dimension_names}
    if unknown:
        names = ", ".join([*_OWN, *definition.dimension_names])
        raise BadParameter(f"A parameter is not known here. This table takes: {names}.")
    twice = [name for name, values in args.lists() if len(values) > 1 and name != "by"]
    if twice or any(len(value) > _LONGEST for values in args.listvalues() for value in values):
        raise BadParameter("A parameter is there twice, or too long. `by` alone may come several times.")
    measures = {each.name: each for each in definition.measures}
    measure = _one("measure", args.get("measure", definition.measures[0].name), measures)
    chosen = {_one("by", each, {name: name for name in definition.dimension_names}) for each in args.getlist("by")}
    compare = _one("compare", args.get("compare", ""), {each: each for each in COMPARISONS})
    return Question(
        definition,
        measure,
        tuple(name for name in definition.dimension_names if name in chosen),
        _day(args, "from"),
        _day(args, "to"),
        tuple((name, args[name]) for name in definition.dimension_names if args.get(name, ANY) != ANY),
        compare,
        _page(args.get("page", "1")),
    )


def _one(name: str, text: str, known: Mapping[str, _Known]) -> _Known:
    if text not in known:
        raise BadParameter(f"`{name}` is one of: {', '.join(each or 'nothing' for each in known)}.")
    return known[text]


def _day(args: MultiDict[str, str], name: str) -> date | None:
    text = args.get(name, "")
    try:
        day = given.day(text) if text else None
    except ValueError:
        raise BadParameter(f"`{name}` is a day, for example 2026-09-01.") from None
    if day is not None and not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise BadParameter(f"`{name}` is a day of the years {FIRST_YEAR} to {LAST_YEAR}.")
    return day


def _page(text: str) -> int:
    try:
        page = given.number(text)
    except ValueError:
        page = 0
    if not 1 <= page <= MAX_PAGE:
        raise BadParameter(f"`page` is a number from 1 to {MAX_PAGE}.")
    return page
