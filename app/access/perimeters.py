"""Perimeters: the part of what is kept that a principal may read, whichever way it asks (pages, API, commands)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple

from app.schools.store import TERRITORIES
from app.standards.france import uai

SCHOOL = "school"
"""A territory of one school, whose code is its UAI; the other kinds are those of the directory of schools."""
KINDS = (SCHOOL, *TERRITORIES)
"""Kinds of territories."""
_SHOWN = 20


class Territory(NamedTuple):
    """A territory: a school, or what the directory of schools gathers them by.

    Attributes:
        kind: ``SCHOOL``, or one of ``app.schools.store.TERRITORIES``.
        code: The UAI of a school, else the code as the directory has it.
    """

    kind: str
    code: str

    def __str__(self) -> str:
        """Kind and code, as commands take and show them: ``departement:038``."""
        return f"{self.kind}:{self.code}"


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

    @classmethod
    def of(
        cls,
        activities: Iterable[str],
        sources: Iterable[str],
        territories: Iterable[Territory],
        since: date | None,
        until: date | None,
    ) -> Perimeter:
        """The perimeter of what somebody chose: of a kind of which they chose nothing there is no bound."""
        return cls(
            frozenset(activities) or None, frozenset(sources) or None, frozenset(territories) or None, since, until
        )

    @property
    def unbounded(self) -> bool:
        """True if it leaves nothing out."""
        return self == EVERYTHING

    def document(self) -> dict[str, Any]:
        """JSON of it, as it is kept and as the audit log has it: what is bounded, in order."""
        return {
            **{
                name: sorted(map(str, bound))
                for name, bound in zip(_LISTS, (self.activities, self.sources, self.territories), strict=True)
                if bound is not None
            },
            **{
                name: day.isoformat()
                for name, day in zip(_DAYS, (self.since, self.until), strict=True)
                if day is not None
            },
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Perimeter:
        """The perimeter that ``document`` wrote."""
        activities, sources, territories = (document.get(name) for name in _LISTS)
        since, until = (document.get(name) for name in _DAYS)
        return cls(
            None if activities is None else frozenset(activities),
            None if sources is None else frozenset(sources),
            None if territories is None else frozenset(Territory(*each.split(":", 1)) for each in territories),
            None if since is None else date.fromisoformat(since),
            None if until is None else date.fromisoformat(until),
        )

    def described(self) -> str:
        """Words that say what it allows, for who is refused and for lists: its bounds, long ones in part."""
        parts = [
            f"{name} {_listed(map(str, bound))}"
            for name, bound in (
                ("processing activities", self.activities),
                ("sources", self.sources),
                ("territories", self.territories),
            )
            if bound is not None
        ]
        if self.since is not None:
            parts.append(f"from {self.since}")
        if self.until is not None:
            parts.append(f"until {self.until}")
        return "; ".join(parts) or "everything"


_LISTS = ("activities", "sources", "territories")
_DAYS = ("since", "until")

EVERYTHING = Perimeter()
"""The perimeter that leaves nothing out."""


def territory(text: str) -> Territory:
    """The territory that a text names: ``school:0380001V``, ``departement:038``.

    Raises:
        ValueError: it names none.
    """
    kind, colon, code = text.partition(":")
    if not colon or kind not in KINDS or not code or (kind == SCHOOL and not uai.valid(code)):
        raise ValueError("no territory")
    return Territory(kind, code)


def _listed(names: Iterable[str]) -> str:
    known = sorted(names)
    if not known:
        return "none"
    return ", ".join(known[:_SHOWN]) + (f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else "")
