"""The view of an answer: a chart and a table of the same cells, in the language of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Final, NamedTuple

from babel.support import NullTranslations

from app.core import language as languages
from app.research.aggregates import Answer, Value
from app.research.columns import OTHER
from app.research.definitions import Definition, Measure, Text
from app.web.portal.charts import MAX_SERIES, Axis, Cell, Chart, Form, Kind, Written
from app.web.portal.explorer.question import Question
from app.web.portal.language import translations

LINES: Final = 200
"""Lines of the table on a page."""
_MOST_BARS: Final = 20

Row = Mapping[str, Value]
_Series = tuple[str | None, ...]


class Line(NamedTuple):
    """A line of the table.

    Attributes:
        values: Of each dimension.
        cells: Of each measure, then the measure that is drawn a year before, if that is asked; none where hidden.
        hidden: Its figures are withheld.
        whole: It stands for all values together.
    """

    values: Sequence[str]
    cells: Sequence[Written]
    hidden: bool
    whole: bool = False


class Group(NamedTuple):
    """The lines of a period."""

    period: str
    lines: Sequence[Line]


class View(NamedTuple):
    """An answer as it is shown.

    Attributes:
        question: With the dimensions that the answer is broken down by.
        chart: The chart; without cells where there is nothing.
        groups: The lines of the page of the table.
        lines: The number of lines, on all pages.
        hidden: Of these, hidden ones.
        pages: The number of pages.
        drawn: The number of series in the chart.
        series: The number of series.
    """

    question: Question
    chart: Chart
    groups: Sequence[Group]
    lines: int
    hidden: int
    pages: int
    drawn: int
    series: int


def view(question: Question, answer: Answer, before: Answer | None, whole: Answer | None, code: str) -> View:
    """The view of an answer.

    Args:
        question: What was asked.
        answer: Its answer.
        before: That of a year before, to be set beside it.
        whole: That of all values together.
        code: Language of the page.
    """
    return _Viewing(question._replace(by=answer.by), answer, before, whole, code).view()


def kind(measure: Measure) -> Kind:
    """The kind of the figures of a measure."""
    if measure.kind == "rate":
        return Kind.SHARE
    return Kind.COUNT if measure.kind in {"count", "distinct"} else Kind.NUMBER


class _Viewing:
    def __init__(
        self, question: Question, answer: Answer, before: Answer | None, whole: Answer | None, code: str
    ) -> None:
        self._question = question
        self._definition = question.definition
        self._rows = answer.rows
        self._before = self._beside(before)
        # Where a perimeter bounds what is told, all values together are not one line.
        self._whole = [] if whole is None or whole.by else whole.rows
        self._code = code
        self._words: NullTranslations = translations(code)

    def view(self) -> View:
        rows = self._ordered()
        pages = max(1, -(-len(rows) // LINES))
        # Only what is on the page is written out: numbers take longer to write than to find.
        shown = rows[(self._question.page - 1) * LINES : self._question.page * LINES]
        groups = [
            Group(self._period(day), [self._line(row, whole=whole) for _, row, whole in each])
            for day, each in groupby(shown, key=lambda one: one[0])
        ]
        chosen, series = self._chosen()
        hidden = sum(bool(row["hidden"]) for _, row, _ in rows)
        return View(self._question, self._chart(chosen, series), groups, len(rows), hidden, pages, len(chosen), series)

    # --- the table ----------------------------------------------------------------------------------

    def _ordered(self) -> Sequence[tuple[date, Row, bool]]:
        """The rows with their period, the latest first; within a period, what stands for all values at its end."""
        rows = [(self._day(row), row, False) for row in self._rows]
        rows += [(self._day(row), row, True) for row in self._whole]
        return sorted(rows, key=lambda each: (-each[0].toordinal(), each[2]))

    def _line(self, row: Row, *, whole: bool = False) -> Line:
        hidden = bool(row["hidden"])
        together = self._words.gettext("All together")
        values = [together if whole else self._said(row[name]) for name in self._question.by]
        cells = [] if hidden else [self._written(each, row[each.name]) for each in self._definition.measures]
        if self._before is not None and not hidden and not whole:
            found = self._before.get(self._key(row))
            measure = self._question.measure
            away = found is None or bool(found["hidden"])
            cells.append(
                Written(None, found is not None and away)
                if found is None or away
                else self._written(measure, found[measure.name])
            )
        return Line(values, cells, hidden, whole)

    def _written(self, measure: Measure, value: Value) -> Written:
        if not isinstance(value, int | float):
            return Written(None, hidden=False)
        if kind(measure) is Kind.SHARE:
            return Written(languages.share(value, self._code), hidden=False)
        return Written(languages.number(value, self._code), hidden=False)

    # --- the chart ----------------------------------------------------------------------------------

    def _chosen(self) -> tuple[Sequence[_Series], int]:
        """The series that are drawn, the largest first, and how many there are."""
        counted = next((each for each in self._definition.measures if each.kind in {"count", "distinct"}), None)
        ranked = (counted or self._question.measure).name
        sizes: dict[_Series, float] = {}
        for row in self._rows:
            value = row[ranked]
            name = self._series(row)
            sizes[name] = sizes.get(name, 0.0) + (value if isinstance(value, int | float) else 0.0)
        room = self._room()
        return sorted(sizes, key=lambda each: (-sizes[each], [part or "" for part in each]))[:room], len(sizes)

    def _room(self) -> int:
        if self._days() is None:
            return _MOST_BARS
        if self._before is not None:
            return MAX_SERIES // 2
        return MAX_SERIES - 1 if self._whole else MAX_SERIES

    def _days(self) -> Sequence[date] | None:
        """The periods; None where there is one at most, and bars stand for series."""
        days = sorted({self._day(row) for row in self._rows})
        return days if len(days) > 1 or not self._question.by else None

    def _chart(self, chosen: Sequence[_Series], series: int) -> Chart:
        _ = self._words.gettext
        days, measure, definition = self._days(), self._question.measure, self._definition
        cells: list[Cell] = []
        for row in self._rows:
            if self._series(row) in chosen:
                name = self._name(self._series(row))
                cells.append(self._cell(row, name if days is None else self._day(row), "" if days is None else name))
        if days is None:
            order = {self._name(each): place for place, each in enumerate(chosen)}
            cells.sort(key=lambda each: order[str(each.place)])
        else:
            # In the order of their size, so that the first colour is that of the largest.
            order = {self._name(each): place for place, each in enumerate(chosen)}
            cells.sort(key=lambda each: order[each.series])
            cells += self._compared(chosen)
            cells += self._missing(days, cells)
        by = [each.title for each in definition.dimensions if each.name in self._question.by]
        told = ", ".join(self._text(each) for each in by)
        title = {
            "day": _("%(measure)s by day"),
            "week": _("%(measure)s by week"),
            "month": _("%(measure)s by month"),
        }[definition.period] % {"measure": self._titled(measure)}
        several = len({each.series for each in cells}) > 1
        return Chart(
            id="view",
            language=self._code,
            title=f"{title} ({told})" if told else title,
            note=self._note(len(chosen), series),
            form=Form.BARS if days is None else Form.LINES,
            places=Axis(definition.period, told if days is None else period_title(self._definition, self._code)),
            figures=Axis(measure.name, self._titled(measure)),
            kind=kind(measure),
            cells=cells,
            series=Axis("series", told or _("Compared")) if several else None,
        )

    def _compared(self, chosen: Sequence[_Series]) -> Sequence[Cell]:
        _ = self._words.gettext
        cells = [self._cell(row, self._day(row), _("All together")) for row in self._whole]
        for row in self._rows if self._before is not None else ():
            if self._series(row) in chosen:
                name = self._name(self._series(row))
                earlier = _("%(series)s, a year before") % {"series": name} if name else _("A year before")
                found = (self._before or {}).get(self._key(row))
                day = self._day(row)
                cells.append(Cell(day, None, earlier) if found is None else self._cell(found, day, earlier))
        return cells

    def _missing(self, days: Sequence[date], cells: Sequence[Cell]) -> Sequence[Cell]:
        """Weeks and months in between of which nothing is known: a line is not drawn across them."""
        names = dict.fromkeys(each.series for each in cells)
        found, day = [], days[0] if days else date.max
        while self._definition.period != "day" and day < days[-1]:
            day = day + timedelta(weeks=1) if self._definition.period == "week" else _next_month(day)
            found += [Cell(day, None, name) for name in names] if day not in days else []
        return found

    def _cell(self, row: Row, place: date | str, series: str) -> Cell:
        value = row[self._question.measure.name]
        return Cell(place, float(value) if isinstance(value, int | float) else None, series, bool(row["hidden"]))

    def _note(self, drawn: int, series: int) -> str:
        _ = self._words.gettext
        question = self._question
        told = [f"{self._text(question.measure.description)}."]
        days = {self._day(row) for row in self._rows}
        if len(days) == 1:
            told.append(f"{period_title(self._definition, self._code)} {self._period(min(days))}.")
        for name, value in question.where:
            title = next(each.title for each in question.definition.dimensions if each.name == name)
            told.append(_("%(dimension)s: %(value)s.") % {"dimension": self._text(title), "value": self._said(value)})
        if drawn < series:
            told.append(
                _("The %(drawn)s largest of %(all)s series are drawn; the table has all of them.")
                % {"drawn": languages.number(drawn, self._code), "all": languages.number(series, self._code)}
            )
        return " ".join(told)

    # --- words --------------------------------------------------------------------------------------

    def _period(self, day: date) -> str:
        if self._definition.period == "month":
            return languages.month(day, self._code)
        return languages.short_day(day, self._code)

    def _titled(self, measure: Measure) -> str:
        title = self._text(measure.title)
        return f"{title} ({measure.unit})" if measure.unit == "s" else title

    def _text(self, text: Text) -> str:
        return str(text._asdict()[self._code])

    def _name(self, series: _Series) -> str:
        return " · ".join(map(self._said, series))

    def _said(self, value: Value) -> str:
        return said(value, self._words)

    # --- rows ---------------------------------------------------------------------------------------

    def _series(self, row: Row) -> _Series:
        return tuple(None if row[name] is None else str(row[name]) for name in self._question.by)

    def _day(self, row: Row) -> date:
        return date.fromisoformat(str(row[self._definition.period]))

    def _key(self, row: Row) -> tuple[date, _Series]:
        return self._question.before(self._day(row)), self._series(row)

    def _beside(self, before: Answer | None) -> Mapping[tuple[date, _Series], Row] | None:
        if before is None:
            return None
        return {(self._day(row), self._series(row)): row for row in before.rows}


def said(value: Value, words: NullTranslations) -> str:
    """A value of a dimension, in words where it is none."""
    if value is None or value == "":
        return words.gettext("not said")
    return words.gettext("(others)") if value == OTHER else str(value)


def period_title(definition: Definition, code: str) -> str:
    """The title of the column of periods."""
    _ = translations(code).gettext
    return {"day": _("Day"), "week": _("Week of"), "month": _("Month")}[definition.period]


def headings(definition: Definition, code: str) -> Sequence[str]:
    """Titles of the measures."""
    titles = [str(each.title._asdict()[code]) for each in definition.measures]
    return [
        f"{title} ({each.unit})" if each.unit == "s" else title
        for title, each in zip(titles, definition.measures, strict=True)
    ]


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
