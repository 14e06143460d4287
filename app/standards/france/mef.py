"""MEF: the code of a French course of study (module élémentaire de formation).

Ten digits: three for the *dispositif*, five for the diploma, one for its length in years, one for the year.
Feeds add an eleventh digit, which narrows the course down and is left out here where codes are compared.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

from app.core import contracts, given

_FORM: Final = re.compile(r"[0-9]{10}[0-9]?")


class Course(NamedTuple):
    """A line of the nomenclature; a date is absent when the course has no bound on that side."""

    code: str
    label: str
    opens: date | None
    closes: date | None


class Level(NamedTuple):
    """A school level: its short French code, such as ``6EME``, and its names."""

    code: str
    label_fr: str
    label_en: str


class Nomenclature:
    """The dated nomenclature: which courses exist on which day."""

    def __init__(self, courses: Sequence[Course]) -> None:
        grouped: dict[str, list[Course]] = {}
        for course in courses:
            grouped.setdefault(course.code, []).append(course)
        self.courses: Mapping[str, Sequence[Course]] = grouped

    def valid_on(self, code: str, day: date) -> bool:
        """True if the code (10 or 11 digits) names a course open on that day, bounds included."""
        return well_formed(code) and any(
            (course.opens is None or course.opens <= day) and (course.closes is None or day <= course.closes)
            for course in self.courses.get(code[:10], ())
        )


class Edition(NamedTuple):
    """A nomenclature as published, in force from a day until the next edition's."""

    since: date
    nomenclature: Nomenclature


def state(editions: Sequence[Edition], code: str, day: date) -> str:
    """The state of a code on a day: ``open``, ``closed`` (it exists, and not on that day), ``unknown`` or
    ``malformed``.

    The edition in force that day decides; before the first one, the first. Without any, only the form is known, and a
    well-formed code counts as open.
    """
    if not well_formed(code):
        return "malformed"
    in_force = [edition for edition in editions if edition.since <= day]
    chosen = max(in_force, key=_since) if in_force else min(editions, key=_since, default=None)
    if chosen is None or chosen.nomenclature.valid_on(code, day):
        return "open"
    return "closed" if code[:10] in chosen.nomenclature.courses else "unknown"


def _since(edition: Edition) -> date:
    return edition.since


def school_year(name: str) -> date | None:
    """The first day of the school year that a file's name tells, such as ``mef-2025-2026.csv``; None for any other."""
    found = re.search(r"(?<![0-9])(20[0-9]{2})-(20[0-9]{2})(?![0-9])", name)
    return date(int(found[1]), 9, 1) if found and int(found[2]) == int(found[1]) + 1 else None


def well_formed(code: str) -> bool:
    """True if the code has the form of a MEF; not whether the course exists."""
    return _FORM.fullmatch(code) is not None and code.isascii()


def parse(text: str) -> Nomenclature:
    """Read the published nomenclature: CSV with the columns MEF, LIBELLE_LONG, DATE_OUVERTURE, DATE_FERMETURE.

    Published files mix day first and month first, within one column even, with two figures for the year.
    A figure above 12 is the day; 1 and 9 are the first of September, when school years begin, in either
    order; anything else is read day first, as in French.

    Raises:
        ValueError: a column is missing, or a date cannot be read; the message names the line.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    except csv.Error:
        raise ValueError("it cannot be read as CSV") from None
    columns = ("MEF", "LIBELLE_LONG", "DATE_OUVERTURE", "DATE_FERMETURE")
    missing = [name for name in columns if not rows or name not in rows[0]]
    if missing:
        raise ValueError(f"the nomenclature has no column {', '.join(missing)}")
    courses = []
    for line, row in enumerate(rows, start=2):
        try:
            opens = _date(row["DATE_OUVERTURE"] or "")
            closes = _date(row["DATE_FERMETURE"] or "")
        except ValueError:
            raise ValueError(f"a date of line {line} of the nomenclature cannot be read") from None
        courses.append(Course(row["MEF"], row["LIBELLE_LONG"], opens, closes))
    return Nomenclature(courses)


def _date(text: str) -> date | None:
    if not text.strip():
        return None
    first, second, year = (given.number(part.strip()) for part in text.split("/"))
    month_first = second > 12 or (first, second) == (9, 1)
    day, month = (second, first) if month_first else (first, second)
    if year < 100:
        # No course of the nomenclature is older than 1960, and none closes after 2059.
        year += 1900 if year >= 60 else 2000
    return date(year, month, day)


def level(code: str) -> Level | None:
    """The school level that a code tells by its *dispositif* and year, or ``None`` when the table has none."""
    if not well_formed(code):
        return None
    table: Mapping[str, Mapping[str, str]] = contracts.load("sillage", "levels.json")["levels"]
    row = table.get(code[:3]) or table.get(f"{code[:3]}/{code[9]}")
    return None if row is None else Level(row["code"], row["fr"], row["en"])
