"""The Vega-Lite specification of a chart: what is drawn, in which form and which colour.

Colours are those of the light scheme; pages replace them by those of theirs (``charts.js``). Only what every reader of
Vega-Lite knows is used, so that a specification that was saved draws the same chart elsewhere.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property
from typing import Any, Final

import orjson
from babel import Locale

from app.core import language as languages
from app.web.portal.charts import Cell, Chart, Form, Kind, Place, Span

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"
HEIGHT: Final = 260
"""Height of the plot, in pixels."""

PALETTE: Final[Mapping[str, str]] = {
    "--c1": "#0f3f6e",
    "--c2": "#168073",
    "--c3": "#b86a00",
    "--c4": "#8a3f77",
    "--ink": "#12263a",
    "--muted": "#4a5b6b",
    "--line": "#d6dbd8",
    "--control": "#73828e",
    "--surface": "#ffffff",
    "--bad": "#9c231b",
}
"""Colours by custom property of the style sheet, as in the light scheme: a page draws them as its scheme has them."""
_SERIES: Final = ("--c1", "--c2", "--c3", "--c4")
_SHAPES: Final = ("circle", "square", "triangle-up", "diamond")
_DASHES: Final = ([1, 0], [8, 4], [2, 4], [10, 3, 2, 3])
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', Ubuntu, Arial, sans-serif"


ENDS: Final = "ends"
"""Name of the layer that narrow pages leave out (``charts.js``)."""
LIMIT: Final = "limit"
"""Start of the names of layers whose text narrow pages take from ``short``."""
_SAID: Final = {"field": "said", "type": "nominal"}


def specification(chart: Chart) -> Mapping[str, Any]:
    """The Vega-Lite specification, complete: data, colours of the light scheme, forms of numbers and days."""
    return _Drawing(chart).specification()


class _Drawing:
    def __init__(self, chart: Chart) -> None:
        self._chart = chart

    def specification(self) -> Mapping[str, Any]:
        layers = [*self._bands(), *self._marks(), *self._absences(), *self._lines_of_limits()]
        return {
            "$schema": SCHEMA,
            "description": self._chart.alternative(),
            "title": {
                "text": textwrap.wrap(self._chart.title, 90),
                "subtitle": textwrap.wrap(self._chart.note, 120),
                "anchor": "start",
                "frame": "group",
            },
            "width": "container",
            "height": {"step": 34} if self._lying else HEIGHT,
            "autosize": {"type": "fit-x", "contains": "padding"},
            "background": PALETTE["--surface"],
            "data": {"values": [self._value(each) for each in self._chart.grid.values()]},
            "layer": layers,
            "config": self._config(),
        }

    def _value(self, cell: Cell) -> Mapping[str, Any]:
        state = "hidden" if cell.hidden else "unknown" if cell.value is None else "shown"
        said = self._chart.shown(cell).text or self._chart.state(state)
        place = self._chart.label(cell.place)
        value: dict[str, Any] = {
            **self._placed(cell.place),
            "rank": self._chart.names.index(cell.series),
            "series": cell.series or self._chart.figures.title,
            "value": cell.value,
            "state": self._chart.state(state),
            "said": f"{cell.series}, {place}: {said}" if cell.series else f"{place}: {said}",
        }
        if self._chart.form is Form.BARS:
            value["top"] = self._chart.total(cell.place)
        if isinstance(cell.place, date):
            value["day"] = cell.place.isoformat()
        return value

    def _placed(self, place: Place) -> Mapping[str, Any]:
        if isinstance(place, Span):
            return {"place": place.start, "end": place.end, "middle": (place.start + place.end) / 2}
        return {"place": place.isoformat() if isinstance(place, date) else place}

    def _encoding_of_places(self, *, binned: bool = False) -> Mapping[str, Any]:
        first = self._chart.all_places[0] if self._chart.all_places else ""
        common: dict[str, Any] = {"field": "place", "title": self._chart.places.title}
        if isinstance(first, date):
            stamps = [each.isoformat() for each in self._chart.all_places if isinstance(each, date)]
            form = "%-d %B %Y" if self._chart.step > 300 else "%b %Y" if self._chart.step > 27 else "%-d %b"
            # Days are of the calendar: they are read and written as UTC, wherever the browser is.
            values = [{"expr": f"utc({day[:4]},{int(day[5:7]) - 1},{int(day[8:])})"} for day in stamps]
            return {
                **common,
                "type": "temporal",
                "scale": {"type": "utc", "padding": 12},
                "axis": {"format": form, "values": values, "grid": False},
            }
        if isinstance(first, Span):
            edges = sorted({edge for each in self._chart.all_places if isinstance(each, Span) for edge in each[:2]})
            ends = [*edges, *(each.at for each in self._chart.limits if not isinstance(each.at, date))]
            return {
                **common,
                "type": "quantitative",
                **({"bin": "binned"} if binned else {}),
                "scale": {"zero": False, "nice": False, "domain": [min(ends), max(ends)]},
                "axis": {"values": edges, "grid": False, "format": ",.3~f"},
            }
        return {
            **common,
            "type": "ordinal",
            "sort": None,
            "scale": {"type": "band", "domain": [*self._chart.all_places], "paddingInner": 0.25, "paddingOuter": 0.1},
            "axis": {"grid": False, "domain": False},
        }

    def _encoding_of_figures(self, field: str = "value") -> Mapping[str, Any]:
        form = {Kind.SHARE: ".1~%", Kind.COUNT: ",.0f", Kind.NUMBER: ",.3~f"}[self._chart.kind]
        axis = {"format": form, "tickCount": 5}
        if self._chart.kind is Kind.COUNT:
            axis["tickMinStep"] = 1
        return {
            "field": field,
            "type": "quantitative",
            "title": self._chart.figures.title,
            "scale": {"domain": [*self._chart.domain], "nice": False},
            "axis": axis,
        }

    def _encoding_of_series(self, ranged: Sequence[Any], *, legend: bool = True) -> Mapping[str, Any]:
        names = [each or self._chart.figures.title for each in self._chart.names]
        return {
            "field": "series",
            "type": "nominal",
            "scale": {"domain": names, "range": [*ranged[: len(names)]]},
            "legend": {"title": None} if legend and self._chart.series is not None else None,
        }

    def _marks(self) -> Sequence[Mapping[str, Any]]:
        colours = [PALETTE[each] for each in _SERIES]
        color = self._encoding_of_series(colours)
        common = {"x": self._encoding_of_places(binned=True), "y": self._encoding_of_figures(), "tooltip": _SAID}
        if self._chart.form is Form.BARS:
            if common["x"].get("bin"):
                common["x2"] = {"field": "end"}
            stacked = {**common["y"], "stack": "zero"}
            order = {"field": "rank", "type": "quantitative"}
            encoding = {**common, "y": stacked, "fill": self._fill_of_bars(), "order": order}
            bar = {"type": "bar", "stroke": PALETTE["--muted"], "strokeWidth": 1}
            return [{"mark": bar, "encoding": self._laid(encoding)}]
        gaps = "break-paths-show-path-domains"
        line = {"type": "line", "strokeWidth": 2.5, "strokeJoin": "round", "invalid": gaps}
        point: dict[str, Any] = {"type": "point", "filled": True, "size": 70, "opacity": 1, "strokeWidth": 1}
        point["stroke"] = PALETTE["--surface"]
        return [
            {
                "mark": line,
                "encoding": {**common, "color": color, "strokeDash": self._encoding_of_series(_DASHES, legend=False)},
            },
            {
                "transform": [{"filter": {"field": "value", "valid": True}}],
                "mark": point,
                "encoding": {**common, "color": color, "shape": self._encoding_of_series(_SHAPES)},
            },
            *self._names_at_the_ends(),
        ]

    def _fill_of_bars(self, field: str = "series") -> Mapping[str, Any]:
        """The fill of bars, and of what stands in the place of hidden ones: one scale, and so one legend."""
        names, states = [each or self._chart.figures.title for each in self._chart.names], self._states()
        # Bars are as wide as each other, but not as high: stripes run along them.
        fills = _fills("level" if self._lying else "upright")[: len(names)]
        legend = {"title": None, "symbolType": "square", "symbolStrokeColor": PALETTE["--muted"]}
        return {
            "field": field,
            "type": "nominal",
            "scale": {"domain": [*names, *states], "range": [*fills, *states.values()]},
            "legend": legend if self._chart.series is not None or states else None,
        }

    def _laid(self, encoding: Mapping[str, Any]) -> Mapping[str, Any]:
        """An encoding whose places stand on the other axis, where they are names: these need room to be read."""
        if not self._lying:
            return encoding
        turned = {"x": "y", "y": "x", "x2": "y2", "y2": "x2"}
        return {turned.get(name, name): value for name, value in encoding.items()}

    @cached_property
    def _lying(self) -> bool:
        return self._chart.form is Form.BARS and any(isinstance(each, str) for each in self._chart.all_places)

    def _states(self) -> Mapping[str, Any]:
        """The fills of what is hidden and of what nobody knows, of these what there is."""
        hatched = _striped(PALETTE["--control"], 4, 0.3, "oblique")
        looks = {"hidden": {"expr": orjson.dumps(hatched).decode()}, "unknown": PALETTE["--surface"]}
        there = {"hidden": self._chart.hidden, "unknown": self._chart.unknown}
        return {self._chart.state(each): look for each, look in looks.items() if there[each]}

    def _names_at_the_ends(self) -> Sequence[Mapping[str, Any]]:
        """Names of lines where they end, moved apart where they would overlap; narrow pages leave them out."""
        ends = []
        for name in self._chart.names if self._chart.series is not None else ():
            known = [
                each for place in self._chart.all_places if (each := self._chart.grid[place, name]).value is not None
            ]
            if known:
                ends.append((known[-1].value or 0.0, name, known[-1].place))
        if not ends:
            return []
        low, high = self._chart.domain
        apart = (high - low) * 16 / HEIGHT
        placed: list[Mapping[str, Any]] = []
        least = low
        for value, name, place in sorted(ends, key=lambda each: each[0]):
            at = max(value, least)
            least = at + apart
            placed.append({**self._placed(place), "at": at, "name": textwrap.shorten(name, 24, placeholder="\u2026")})
        return [
            {
                "name": ENDS,
                "data": {"values": placed},
                "mark": {"type": "text", "align": "left", "baseline": "middle", "dx": 10, "fontWeight": 600},
                "encoding": {
                    "x": self._encoding_of_places(),
                    "y": self._encoding_of_figures("at"),
                    "text": {"field": "name", "type": "nominal"},
                },
            }
        ]

    def _all_hidden(self) -> frozenset[Place]:
        """The days on which every line is hidden."""
        if self._chart.form is not Form.LINES:
            return frozenset()
        return frozenset(
            place
            for place in self._chart.all_places
            if all(self._chart.grid[place, name].hidden for name in self._chart.names)
        )

    def _bands(self) -> Sequence[Mapping[str, Any]]:
        """The days on which every line is hidden, hatched from top to bottom."""
        hidden = self._all_hidden()
        bands: list[list[date]] = []
        for place in self._chart.all_places:
            if isinstance(place, date) and place in hidden:
                if bands and (place - bands[-1][-1]).days <= self._chart.step * 1.2:
                    bands[-1].append(place)
                else:
                    bands.append([place])
        if not bands:
            return []
        half = timedelta(days=self._chart.step / 2)

        def edge(day: date, beyond: timedelta) -> str:
            return (datetime.combine(day, time.min, UTC) + beyond).isoformat()

        said = self._chart.state("hidden")
        values = [{"place": edge(each[0], -half), "end": edge(each[-1], half), "said": said} for each in bands]
        return [
            {
                "data": {"values": values},
                "mark": {"type": "rect", "fill": _striped(PALETTE["--control"], 24, 0.14, "oblique"), "opacity": 0.6},
                "encoding": {"x": self._encoding_of_places(), "x2": {"field": "end"}, "tooltip": _SAID},
            }
        ]

    def _absences(self) -> Sequence[Mapping[str, Any]]:
        """Squares for what is hidden, hatched, and for what nobody knows, empty: at the bottom, or upon the bars."""
        states = self._states()
        if not states:
            return []
        fill: Mapping[str, Any] = {
            "field": "state",
            "type": "nominal",
            "scale": {"domain": [*states], "range": [*states.values()]},
            "legend": {"title": None, "symbolType": "square", "symbolStrokeColor": PALETTE["--control"]},
        }
        if self._chart.form is Form.BARS:
            fill = self._fill_of_bars("state")
        middle = self._encoding_of_places()
        if middle["type"] == "quantitative":
            middle = {**middle, "field": "middle"}
        banded = [each.isoformat() for each in self._all_hidden() if isinstance(each, date)]
        layers = []
        for rank in range(len(self._chart.names)):
            mark = {"type": "point", "filled": True, "shape": "square", "size": 110, "opacity": 1, "strokeWidth": 1.5}
            mark["stroke"] = PALETTE["--control"]
            mark |= {"xOffset": 11 + 14 * rank} if self._lying else {"yOffset": -9 - 14 * rank}
            at = (
                {"datum": self._chart.domain[0], "type": "quantitative"}
                if self._chart.form is Form.LINES
                else self._encoding_of_figures("top")
            )
            filters: list[Mapping[str, Any]] = [
                {"filter": {"field": "rank", "equal": rank}},
                {"filter": {"field": "state", "oneOf": [*states]}},
            ]
            if banded:
                filters.append({"filter": {"not": {"field": "day", "oneOf": banded}}})
            layers.append(
                {
                    "transform": filters,
                    "mark": mark,
                    "encoding": self._laid({"x": middle, "y": at, "tooltip": _SAID, "fill": fill}),
                }
            )
        return layers

    def _lines_of_limits(self) -> Sequence[Mapping[str, Any]]:
        """Limits: a dashed line from top to bottom, its name beside it."""
        if not self._chart.limits:
            return []
        values = [
            {
                "place": each.at.isoformat() if isinstance(each.at, date) else each.at,
                "name": each.label,
                "short": each.short,
            }
            for each in self._chart.limits
        ]
        place = self._encoding_of_places()
        bad = PALETTE["--bad"]
        return [
            {
                "data": {"values": [value]},
                "layer": [
                    {
                        "mark": {"type": "rule", "stroke": bad, "strokeWidth": 2, "strokeDash": [6, 4]},
                        "encoding": {"x": place},
                    },
                    {
                        "name": f"{LIMIT}{rank}",
                        "mark": {
                            "type": "text",
                            "color": PALETTE["--ink"],
                            "fontWeight": 600,
                            "align": "right" if self._late(each.at) else "left",
                            "dx": -6 if self._late(each.at) else 6,
                            "baseline": "top",
                        },
                        "encoding": {"x": place, "y": {"value": 4 + 16 * rank}, "text": {"field": "name"}},
                    },
                ],
            }
            for rank, (value, each) in enumerate(zip(values, self._chart.limits, strict=True))
        ]

    def _late(self, at: float | date) -> bool:
        """True for what lies in the second half of the axis."""
        first, last = self._chart.all_places[0], self._chart.all_places[-1]
        if isinstance(at, date):
            return isinstance(first, date) and isinstance(last, date) and at - first > (last - first) / 2
        return isinstance(first, Span) and isinstance(last, Span) and at > (first.start + last.end) / 2

    def _config(self) -> Mapping[str, Any]:
        ink, muted, rule = PALETTE["--ink"], PALETTE["--muted"], PALETTE["--line"]
        written = {"labelFont": _FONT, "labelFontSize": 13, "titleFont": _FONT, "titleFontSize": 13}
        words = {"labelColor": muted, "titleColor": muted, "titleFontWeight": "normal"}
        return {
            # What it shows is told by its description and by the table: marks one by one would be read one by one.
            "aria": False,
            "font": _FONT,
            "locale": _locale(self._chart.language),
            "text": {"font": _FONT, "fontSize": 13, "color": ink},
            "title": {"font": _FONT, "subtitleFont": _FONT, "color": ink, "subtitleColor": muted, "fontSize": 17},
            "axis": {
                **written,
                **words,
                "gridColor": rule,
                "domainColor": PALETTE["--control"],
                "ticks": False,
                "labelPadding": 8,
            },
            "axisY": {
                "domain": False,
                "titleAngle": 0,
                "titleAlign": "left",
                "titleY": -16,
                "titleX": 0,
                "titleBaseline": "bottom",
            },
            "legend": {
                **written,
                "labelColor": ink,
                "orient": "top",
                "offset": 30,
                "symbolSize": 110,
                "labelLimit": 240,
                "symbolStrokeWidth": 2,
            },
            "view": {"stroke": None},
        }


@cache
def _locale(language: str) -> Mapping[str, object]:
    """The forms of numbers and days (the locales of d3-format and d3-time-format)."""
    locale = Locale.parse(languages.LOCALES[language])
    symbols = locale.number_symbols["latn"]
    months, days = locale.months["format"], locale.days["format"]
    return {
        "number": {
            "decimal": symbols["decimal"],
            "thousands": symbols["group"],
            "grouping": [3],
            "currency": ["", "\u00a0\u20ac"],
            "percent": languages.share(0, language).removeprefix("0"),
        },
        "time": {
            "dateTime": "%A %-d %B %Y %H:%M:%S",
            "date": "%d/%m/%Y",
            "time": "%H:%M:%S",
            "periods": ["AM", "PM"],
            # Of these, Sunday is the first; in the CLDR, Monday.
            "days": [days["wide"][(each - 1) % 7] for each in range(7)],
            "shortDays": [days["abbreviated"][(each - 1) % 7] for each in range(7)],
            "months": [months["wide"][each] for each in range(1, 13)],
            "shortMonths": [months["abbreviated"][each] for each in range(1, 13)],
        },
    }


def _striped(colour: str, stripes: int, share: float, run: str) -> Mapping[str, Any]:
    """A fill of stripes, ``upright``, ``level`` or ``oblique``: a gradient, since Vega-Lite knows no patterns."""
    stops: list[Mapping[str, Any]] = []
    for stripe in range(stripes):
        begin, end, last = (stripe / stripes, (stripe + share) / stripes, (stripe + 1) / stripes)
        stops += [{"offset": begin, "color": colour}, {"offset": end, "color": colour}]
        stops += [{"offset": end, "color": PALETTE["--surface"]}, {"offset": last, "color": PALETTE["--surface"]}]
    return {
        "gradient": "linear",
        "x1": 0,
        "y1": 0,
        "x2": int(run != "level"),
        "y2": int(run != "upright"),
        "stops": stops,
    }


def _fills(run: str) -> Sequence[Any]:
    """Fills of bars: whole, striped, broadly and finely striped; each has an edge besides."""
    striped = ((PALETTE["--c2"], 5, 0.6), (PALETTE["--c3"], 2, 0.5), (PALETTE["--c4"], 10, 0.35))
    return (PALETTE["--c1"], *({"expr": orjson.dumps(_striped(*each, run)).decode()} for each in striped))
