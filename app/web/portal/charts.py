"""Charts: declared once, drawn in the browser, and told as a table, a CSV and a sentence besides.

A page makes a ``Chart`` of cells and words in its own language, gives it to ``Frame.page(charts=…)``, and puts the
macro ``chart`` of ``charts.html`` where it stands. Whoever has no JavaScript has the table; whoever sees no colours has
dashes, shapes and stripes. What is hidden is drawn as hidden, what is not known as not known: never as nothing, or 0.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import cached_property
from itertools import pairwise
from math import ceil, floor, log10
from typing import Final, NamedTuple

from app.core import language as languages
from app.web.portal.language import translations

MAX_SERIES: Final = 4
"""Most series of a chart: beyond, neither colours nor forms can be told apart."""
_DAYS_OF_MONTHS: Final = 27
_COMPUTED: Final = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a text that spreadsheets would compute."""


class Form(Enum):
    """The form of a chart: lines over days, or bars, one upon the other where there are several series."""

    LINES = "lines"
    BARS = "bars"


class Kind(Enum):
    """The kind of a figure, which decides how it is written."""

    COUNT = "count"
    NUMBER = "number"
    SHARE = "share"


class Span(NamedTuple):
    """A span of numbers, as of ages: from its start up to its end."""

    start: float
    end: float
    label: str


Place = date | Span | str
"""A place on the axis: all of a chart are of one type. Texts stand in the order in which they come."""


class Cell(NamedTuple):
    """A figure.

    Attributes:
        place: Where on the axis.
        value: The figure; None where it is hidden, or nobody knows it.
        series: Of several, which one.
        hidden: Withheld by disclosure control.
    """

    place: Place
    value: float | None
    series: str = ""
    hidden: bool = False


class Axis(NamedTuple):
    """An axis.

    Attributes:
        name: Column of the CSV.
        title: For people.
    """

    name: str
    title: str


class Limit(NamedTuple):
    """A place on the axis of days or spans that is marked: a dashed line, with its name, and a short one for phones."""

    at: float | date
    label: str
    short: str


class Written(NamedTuple):
    """A figure as the table shows it; ``text`` is None where it is hidden or not known."""

    text: str | None
    hidden: bool


class Row(NamedTuple):
    """A row of the table: a place on the axis, and its figures by series."""

    label: str
    cells: Sequence[Written]


@dataclass(frozen=True)
class Chart:
    """A chart, in the language of a page.

    Attributes:
        id: Of its element in the page, and the name of its files: letters, digits and hyphens.
        language: Of the page.
        title: Heading.
        note: One or two sentences below: unit, source, date.
        form: Lines or bars.
        places: The axis of places.
        figures: The axis of figures.
        kind: How figures are written.
        cells: The figures. Places come in order; what is not there of a place and a series is 0 of bars, which
            count, and not known of lines.
        series: Name and title of what the series are told apart by; None where there is one.
        limits: Places that are marked.

    Raises:
        ValueError: there are more series than can be told apart.
    """

    id: str
    language: str
    title: str
    note: str
    form: Form
    places: Axis
    figures: Axis
    kind: Kind
    cells: Sequence[Cell]
    series: Axis | None = None
    limits: Sequence[Limit] = ()

    def __post_init__(self) -> None:
        if len(self.names) > MAX_SERIES:
            raise ValueError(f"a chart has {MAX_SERIES} series at most")

    @cached_property
    def names(self) -> Sequence[str]:
        """The series, in the order in which they come."""
        return tuple(dict.fromkeys(each.series for each in self.cells))

    @cached_property
    def all_places(self) -> Sequence[Place]:
        """The places on the axis, in order."""
        found = dict.fromkeys(each.place for each in self.cells)
        return tuple(found) if any(isinstance(each, str) for each in found) else tuple(sorted(found))

    @cached_property
    def grid(self) -> Mapping[tuple[Place, str], Cell]:
        """Every figure: of each place, each series."""
        # Of what is hidden the figure goes no further, should somebody have declared it.
        known = {(each.place, each.series): each._replace(value=None) if each.hidden else each for each in self.cells}
        # Of bars, what is not there has no height; of lines it is a gap, and a gap is told.
        empty = 0.0 if self.form is Form.BARS else None
        return {
            (place, name): known.get((place, name), Cell(place, empty, name))
            for place in self.all_places
            for name in self.names
        }

    @property
    def hidden(self) -> int:
        """The number of hidden figures."""
        return sum(each.hidden for each in self.grid.values())

    @property
    def unknown(self) -> int:
        """The number of figures that nobody knows."""
        return sum(each.value is None and not each.hidden for each in self.grid.values())

    @property
    def cut(self) -> str | None:
        """The start of the axis of figures, as it is written, if that is not 0."""
        low = self.domain[0]
        return self.written(low) if low > 0 else None

    def written(self, value: float) -> str:
        """A figure as the language writes it."""
        if self.kind is Kind.SHARE:
            return languages.share(value, self.language)
        return languages.number(round(value) if self.kind is Kind.COUNT else value, self.language)

    def label(self, place: Place) -> str:
        """A place on the axis as the language writes it."""
        if isinstance(place, date) and self.step > _DAYS_OF_MONTHS:
            return languages.month(place, self.language)
        if isinstance(place, date):
            return languages.short_day(place, self.language)
        return place.label if isinstance(place, Span) else place

    # --- as a table ---------------------------------------------------------------------------------

    def headings(self) -> Sequence[str]:
        """The headings of the columns of figures."""
        return self.names if self.series is not None else (self.figures.title,)

    def rows(self) -> Sequence[Row]:
        """The table: a row for each place, a column for each series."""
        return [
            Row(self.label(place), [self.shown(self.grid[place, name]) for name in self.names])
            for place in self.all_places
        ]

    def csv(self) -> bytes:
        """The figures as CSV (RFC 4180), one a line, with the digits that they have."""
        columns = [self.places.name, *([self.series.name] if self.series else []), self.figures.name, "hidden"]
        lines = (
            [_plain(each.place), *([each.series] if self.series else []), each.value, int(each.hidden)]
            for each in self.grid.values()
        )
        return written_csv(columns, lines)

    # --- as a sentence ------------------------------------------------------------------------------

    def alternative(self) -> str:
        """The drawing in words, for those who do not see it: the course of each series, what is hidden."""
        words = translations(self.language)
        _ = words.gettext
        kind = _("Line chart: %(title)s.") if self.form is Form.LINES else _("Bar chart: %(title)s.")
        told = [kind % {"title": self.title}]
        for name in self.names:
            known = [
                (place, each.value) for place in self.all_places if (each := self.grid[place, name]).value is not None
            ]
            if known:
                least = min(known, key=lambda each: each[1] or 0)
                greatest = max(known, key=lambda each: each[1] or 0)
                values = {
                    "series": name or self.figures.title,
                    "least": self.written(least[1] or 0),
                    "at": self.label(least[0]),
                    "greatest": self.written(greatest[1] or 0),
                    "then": self.label(greatest[0]),
                }
                told.append(
                    _("%(series)s: from %(least)s (%(at)s) to %(greatest)s (%(then)s).") % values
                    if least[1] != greatest[1]
                    else _("%(series)s: %(least)s throughout.") % values
                )
        if self.hidden:
            count = languages.number(self.hidden, self.language)
            told.append(
                words.ngettext("%(count)s figure is hidden.", "%(count)s figures are hidden.", self.hidden)
                % {"count": count}
            )
        if self.unknown:
            count = languages.number(self.unknown, self.language)
            told.append(
                words.ngettext("%(count)s figure is not known.", "%(count)s figures are not known.", self.unknown)
                % {"count": count}
            )
        told += [_("Marked: %(label)s.") % {"label": each.label} for each in self.limits]
        return " ".join(told)

    @cached_property
    def step(self) -> int:
        """The least number of days between two places."""
        days = [each for each in self.all_places if isinstance(each, date)]
        return min(((later - earlier).days for earlier, later in pairwise(days)), default=7)

    @cached_property
    def domain(self) -> tuple[float, float]:
        """The least and the greatest figure of the axis: from 0, unless lines would lie flat at its upper end."""
        values = [each.value for each in self.grid.values() if each.value is not None]
        low, high = min(values, default=0.0), max(values, default=0.0)
        if self.form is Form.BARS:
            low, high = min(0.0, low), max((self.total(place) for place in self.all_places), default=0.0)
        elif 0 <= low <= high / 2 or (low > 0 and self.kind is Kind.COUNT):
            low = 0.0
        if high <= low:
            low, high = min(0.0, low), max(low, high) or 1.0
        step = _nice((high - low) / 5)
        return floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step

    def shown(self, cell: Cell) -> Written:
        """A figure as the table shows it."""
        return Written(None if cell.hidden or cell.value is None else self.written(cell.value), cell.hidden)

    def state(self, state: str) -> str:
        """The words in the place of a figure that is ``hidden`` or ``unknown``; nothing where it is ``shown``."""
        _ = translations(self.language).gettext
        return {"hidden": _("hidden, small group"), "unknown": _("no data"), "shown": ""}[state]

    def total(self, place: Place) -> float:
        """The sum of what is shown of a place."""
        return sum(self.grid[place, name].value or 0 for name in self.names)


def _nice(step: float) -> float:
    """The next step of 1, 2 or 5 times a power of ten."""
    if step <= 0:
        return 1.0
    power = 10.0 ** floor(log10(step))
    return next(each * power for each in (1, 2, 5, 10) if each * power >= step * (1 - 1e-9))


def _plain(place: Place) -> str:
    if isinstance(place, Span):
        return f"{place.start:g}-{place.end:g}"
    return place.isoformat() if isinstance(place, date) else place


def written_csv(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> bytes:
    """A table as CSV (RFC 4180, UTF-8); a text that a spreadsheet would compute gets an apostrophe before it."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    for line in lines:
        writer.writerow([f"'{each}" if isinstance(each, str) and each.startswith(_COMPUTED) else each for each in line])
    return file.getvalue().encode()
