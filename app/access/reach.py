"""Reach of perimeters: the sources, schools and days that they come to today, by register, sources and directory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from app.access.perimeters import SCHOOL, Perimeter
from app.access.store import SourceRepository
from app.core.clock import Today
from app.core.errors import OutsidePerimeter
from app.schools.service import SchoolDirectory

_KNOWN_AT_MOST = 256


class Reach(NamedTuple):
    """A perimeter as it is held to what is kept; None of each: no bound of that kind.

    Attributes:
        perimeter: The perimeter.
        sources: Ids of its sources, those of its processing activities.
        schools: UAI of its schools.
        since: The first day.
        until: The last day, included.
    """

    perimeter: Perimeter
    sources: frozenset[str] | None
    schools: frozenset[str] | None
    since: date | None
    until: date | None

    def refusal(self, said: str, asked: str) -> OutsidePerimeter:
        """The refusal of what lies outside of it; ``said`` is a sentence, ``asked`` what the audit log has."""
        return OutsidePerimeter(f"{said} This key allows: {self.perimeter.described()}.", asked=asked)

    def require_something(self) -> None:
        """Refuse whoever has a perimeter in which there is neither a source nor a school.

        Raises:
            OutsidePerimeter: it is so.
        """
        if self.sources is not None and not self.sources:
            raise self.refusal("No source is within its perimeter.", "everything")
        if self.schools is not None and not self.schools:
            raise self.refusal("The directory of schools in force has no school of its territories.", "everything")


class Reaches:
    """The reach of each perimeter. Safe to share between threads.

    Remembered until sources or the directory change, and for a day, as editions of the directory come in force by
    days; in a process that is out of touch with the others, looked up each time.
    """

    def __init__(
        self, sources: SourceRepository, schools: SchoolDirectory, trusted: Callable[[], bool], today: Today
    ) -> None:
        self._sources = sources
        self._schools = schools
        self._trusted = trusted
        self._today = today
        self._known: dict[tuple[Perimeter, date], Reach] = {}

    def of(self, perimeter: Perimeter) -> Reach | None:
        """The reach of a perimeter; None of the one that leaves nothing out."""
        if perimeter.unbounded:
            return None
        # Taken before the look: what is emptied meanwhile is not filled with what was read before.
        known, key = self._known, (perimeter, self._today())
        found = known.get(key)
        if found is not None and self._trusted():
            return found
        reach = Reach(perimeter, self._of_sources(perimeter), self._of_schools(perimeter), *perimeter[3:])
        if len(known) >= _KNOWN_AT_MOST:
            # A new one rather than clear(): others are looking into it.
            self._known = {}
        known[key] = reach
        return reach

    def forget(self) -> None:
        """Look again the next time."""
        self._known = {}

    def _of_sources(self, perimeter: Perimeter) -> frozenset[str] | None:
        if perimeter.activities is None:
            return perimeter.sources
        within = frozenset(each.id for each in self._sources.list() if each.activity in perimeter.activities)
        return within if perimeter.sources is None else within & perimeter.sources

    def _of_schools(self, perimeter: Perimeter) -> frozenset[str] | None:
        if perimeter.territories is None:
            return None
        schools: set[str] = set()
        for kind, code in perimeter.territories:
            if kind == SCHOOL:
                schools.add(code)
            else:
                schools.update(each.uai for each in self._schools.of_territory(kind, code, self._today()))
        return frozenset(schools)
