"""The page that one data subject is given: HTML without script and without anything from elsewhere, in French or in
English.

What senders wrote stands in it as text only: Jinja escapes all that varies, control characters and those that turn
the direction of text become visible, what is long is cut, and each text keeps its direction to itself (``bdi``). The
page forbids by its own Content-Security-Policy what it does not need.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.core.counted import is_singular
from app.people.access_package.export_summary import moment, shortened
from app.people.access_package.export_words import BASES, MONTHS, PURPOSES, WORDS

COLOURS: Final = ("#1f4e79", "#c2571a", "#2e7d32", "#7b3fa0", "#8a6d00", "#b3261e")
"""Of the tools in the chart: told apart without colour vision by their lightness, each 4.5 to 1 on white or more."""
OTHERS_COLOUR: Final = "#5f6b76"
MAX_MONTHS: Final = 36

_FOLDER = Path(__file__).resolve().parent / "pages"
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 760, 260, 56, 10, 34
# Joiners have a meaning in many scripts, and in emoji.
_KEPT_FORMATS = frozenset("\u200c\u200d")
_BINARY = 1024
_STYLE = """
body{font:1rem/1.5 system-ui,sans-serif;color:#1b1b1b;background:#fff;margin:0}
main{max-width:60rem;margin:0 auto;padding:1rem}
h1,h2,h3{line-height:1.25;overflow-wrap:anywhere}
h2{margin-top:2rem;border-bottom:1px solid #767676}
a{color:#0b4f8a}
a:focus-visible,[tabindex]:focus-visible{outline:3px solid #0b4f8a;outline-offset:2px}
table{border-collapse:collapse;margin:.75rem 0}
caption{text-align:start;font-weight:600;padding:.25rem 0}
th,td{border:1px solid #767676;padding:.3rem .5rem;text-align:start;vertical-align:top;overflow-wrap:anywhere}
thead th{background:#eef1f5}
.number{text-align:end;font-variant-numeric:tabular-nums;white-space:nowrap}
.notice{border-inline-start:4px solid #0b4f8a;padding:.5rem 1rem;background:#eef1f5}
.wide{overflow-x:auto}
svg[role=img]{max-width:100%;height:auto}
dt{font-weight:600;margin-top:.5rem}
dd{margin:0 0 0 1rem;overflow-wrap:anywhere}
@media print{.wide{overflow:visible}nav{display:none}}
"""


class _Bar(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    colour: str


class _Line(NamedTuple):
    y: float
    value: int


class _Label(NamedTuple):
    x: float
    text: str


class _Month(NamedTuple):
    label: str
    counts: tuple[int, ...]
    total: int


class _Series(NamedTuple):
    name: str
    colour: str


class Chart(NamedTuple):
    """Stacked bars, one a month, and the table of the same numbers; lengths in the units of the drawing."""

    width: int
    height: int
    left: int
    series: Sequence[_Series]
    months: Sequence[_Month]
    bars: Sequence[_Bar]
    lines: Sequence[_Line]
    labels: Sequence[_Label]


def page(about: Mapping[str, Any], language: str) -> bytes:
    """The page, UTF-8.

    Args:
        about: What a package says of itself (``about.json``).
        language: ``fr`` or ``en``.
    """
    words = WORDS[language]
    text = (
        _environment(language, about["timezone"])
        .get_template("person.html")
        .render(
            about=about,
            w=words,
            holder=holder(about),
            bases=BASES[language],
            language=language,
            chart=chart(about["tools"], language),
            style=_STYLE,
            style_digest=_digest(_STYLE),
        )
    )
    return text.encode("utf-8", "replace")


def holder(about: Mapping[str, Any]) -> str:
    """The holder of the store, as people know it: the controllers of the entries concerned; else the organisation."""
    names = dict.fromkeys(str(contact["controller"]["name"]) for contact in about["contacts"])
    return ", ".join(names) or str(about["organisation"])


def identifier_in_words(identifier: str, language: str) -> str:
    """A canonical identifier as people read it: the account and the system that gave it, or the address."""
    words = WORDS[language]
    kind, _, value = identifier.partition(":")
    if kind == "account":
        home, bar, name = value.partition("|")
        return words["identifier_account"].format(name=name, home=home.replace("%7C", "|")) if bar else identifier
    if kind == "mbox":
        return words["identifier_mbox"].format(address=value.removeprefix("mailto:"))
    known = f"identifier_{kind}"
    return words[known].format(value=value) if known in words else identifier


def chart(tools: Sequence[Mapping[str, Any]], language: str) -> Chart:
    """The chart of statements a month by tool.

    Args:
        tools: Of each, its ``name`` and ``months`` (numbers by ``2026-11``).
        language: ``fr`` or ``en``.
    """
    words = WORDS[language]
    counted = [tool for tool in tools if tool["months"]]
    counted.sort(key=lambda tool: (-sum(tool["months"].values()), tool["name"]))
    named, rest = counted[: len(COLOURS)], counted[len(COLOURS) :]
    series = [_Series(tool["name"], colour) for tool, colour in zip(named, COLOURS, strict=False)]
    columns = [tool["months"] for tool in named]
    if rest:
        series.append(_Series(words["other_tools"], OTHERS_COLOUR))
        columns.append(_added([tool["months"] for tool in rest]))
    months = _months(columns, language)
    highest = max((month.total for month in months), default=0)
    top = _round(highest)
    inner, width = _HEIGHT - _TOP - _BOTTOM, _WIDTH - _LEFT
    step = width / max(len(months), 1)
    bars, labels = [], []
    every = max(1, -(-len(months) // 9))
    for place, month in enumerate(months):
        left, base = _LEFT + step * place, float(_TOP + inner)
        for number, each in zip(month.counts, series, strict=True):
            if number:
                height = inner * number / top
                base -= height
                bars.append(
                    _Bar(
                        round(left + step * 0.1, 2), round(base, 2), round(step * 0.8, 2), round(height, 2), each.colour
                    )
                )
        if place % every == 0:
            labels.append(_Label(round(left + step / 2, 2), month.label))
    lines = [_Line(round(_TOP + inner * (1 - share / 4), 2), top * share // 4) for share in (0, 2, 4)] if months else []
    return Chart(_WIDTH, _HEIGHT, _LEFT, series, months, bars, lines, labels)


def clean(value: object) -> str:
    """A text that others wrote, as it can be shown: one line, bounded, nothing in it that acts on what is around it."""
    text = shortened(str(value))
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char.isprintable() or char in _KEPT_FORMATS:
        return char
    # Line ends and tabs part words; what else does not print would be unseen, or turn what follows around.
    return " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"


def _months(columns: Sequence[Mapping[str, int]], language: str) -> list[_Month]:
    met = sorted({month for column in columns for month in column})
    if not met:
        return []
    shown = _between(met[0], met[-1])[-MAX_MONTHS:]
    earlier = [month for month in met if month < shown[0]]
    months = []
    if earlier:
        counts = tuple(sum(column.get(month, 0) for month in earlier) for column in columns)
        label = WORDS[language]["earlier"].format(month=_month(shown[0]))
        months.append(_Month(label, counts, sum(counts)))
    for month in shown:
        counts = tuple(column.get(month, 0) for column in columns)
        months.append(_Month(_month(month), counts, sum(counts)))
    return months


def _between(first: str, last: str) -> list[str]:
    """The months from the first to the last, those without statements too; at most a thousand, the latest."""
    year, month = map(int, last.split("-"))
    listed: list[str] = []
    while (text := f"{year:04}-{month:02}") >= first and len(listed) < 1_000 and year > 0:
        listed.append(text)
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return listed[::-1]


def _month(text: str) -> str:
    year, month = text.split("-")
    return f"{month}/{year}"


def _added(columns: Sequence[Mapping[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for column in columns:
        total.update(column)
    return total


def _round(highest: int) -> int:
    """The next number that four equal steps reach: 4, 8, 20, 40, 80, 200…"""
    step = 4
    while True:
        for times in (1, 2, 5):
            if step * times >= highest:
                return step * times
        step *= 10


def _digest(style: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


@cache
def _environment(language: str, timezone: str) -> Environment:
    zone = ZoneInfo(timezone)

    def local(microseconds: int) -> datetime:
        return moment(microseconds).astimezone(zone)

    def day(microseconds: int) -> str:
        at = local(microseconds)
        number = "1er" if language == "fr" and at.day == 1 else str(at.day)
        return f"{number} {MONTHS[language][at.month - 1]} {at.year}"

    def instant(microseconds: int) -> str:
        at = local(microseconds)
        return f"{at:%d/%m/%Y %H:%M}" if language == "fr" else f"{at:%Y-%m-%d %H:%M}"

    def number(value: int) -> str:
        # A narrow space that does not break, as French typography has it.
        return f"{value:,}".replace(",", "\u202f") if language == "fr" else f"{value:,}"

    def size(length: int) -> str:
        units = ("octets", "Kio", "Mio", "Gio") if language == "fr" else ("bytes", "KiB", "MiB", "GiB")
        value, place = float(length), 0
        while value >= _BINARY and place < len(units) - 1:
            value, place = value / _BINARY, place + 1
        text = f"{value:.0f}" if place == 0 else f"{value:.1f}"
        return f"{text.replace('.', ',') if language == 'fr' else text} {units[place]}"

    def period(text: str) -> str:
        year, month, *rest = text.split("-")
        named = f"{MONTHS[language][int(month) - 1]} {year}"
        if not rest:
            return named
        return f"{'1er' if language == 'fr' and rest == ['01'] else int(rest[0])} {named}"

    def plural(text: str, count: int) -> str:
        one, _, many = text.partition("|")
        singular = is_singular(count, french=language == "fr")
        return (one if singular else many or one).format(count=number(count))

    def purpose(code: str) -> str:
        return PURPOSES[language].get(code, code)

    def identifier(text: str) -> str:
        return identifier_in_words(text, language)

    def fill(text: str, **values: object) -> str:
        return text.format(**values)

    made = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"clean": clean, "day": day, "instant": instant, "number": number, "size": size, "fill": fill}
    made.filters |= {"period": period, "plural": plural, "purpose": purpose, "identifier": identifier}
    return made
