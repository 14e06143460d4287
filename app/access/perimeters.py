"""Perimeters: the part of what is kept that a principal may read, whichever way it asks (pages, API, commands)."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

SCHOOL = "school"
"""A territory of one school, whose code is its UAI; the other kinds are those of the directory of schools."""


class Territory(NamedTuple):
    """A territory: a school, or what the directory of schools gathers them by.

    Attributes:
        kind: ``SCHOOL``, or one of ``app.schools.store.TERRITORIES``.
        code: The UAI of a school, else the code as the directory has it.
    """

    kind: str
    code: str


class Perimeter(NamedTuple):
    """Bounds of what a principal may read; None of each: no bound of that kind. All must hold together.

    Attributes:
        activities: Ids of processing activities.
        sources: Ids of sources.
        territories: Schools and territories; one of them is enough.
        since: The first day, by the time of the event.
        until: The last day, included.
    """

    activities: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    territories: frozenset[Territory] | None = None
    since: date | None = None
    until: date | None = None

    @property
    def unbounded(self) -> bool:
        """True if it leaves nothing out."""
        return self == EVERYTHING


EVERYTHING = Perimeter()
"""The perimeter that leaves nothing out."""
