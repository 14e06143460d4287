"""Pages of heads of school and of territories: the school as the directory has it, what is sent for it, and how well;
and notices for families, ready to print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final, Protocol

from flask import Response

from app.access.perimeters import SCHOOL, Territory
from app.access.roles import Role
from app.access.store import Source
from app.core.clock import Today
from app.core.errors import OutsidePerimeter
from app.governance.register.service import ProcessingActivity
from app.research.school_figures import SchoolFigures, Volume
from app.standards.france.school_directory import School
from app.web import bounds
from app.web.portal.signed_pages import N_, PageRequest, SignedPages

ROLES: Final = (Role.SCHOOL_HEAD, Role.TERRITORY)
DAYS: Final = 31
"""Days that figures are of, up to yesterday: a day is shown when it is over."""
MAX_SCHOOLS: Final = 500
"""Schools of a territory that are listed."""


class Directory(Protocol):
    """The directory of schools."""

    def find(self, identifiers: Sequence[str], day: date) -> Mapping[str, School]:
        """The schools with these UAI, by UAI."""

    def of_territory(self, territory: str, code: str, day: date) -> Sequence[School]:
        """The schools of a territory, by UAI."""


class Record(Protocol):
    """The register, as anybody may see it."""

    def activities(self) -> Sequence[ProcessingActivity]:
        """The entries in force."""

    def activity(self, id: str) -> ProcessingActivity:
        """One of them."""


class Sources(Protocol):
    """Sources."""

    def list(self) -> Sequence[Source]:
        """Every one."""


class SchoolPages:
    """Shows heads of school and territories what there is of theirs."""

    def __init__(
        self, directory: Directory, figures: SchoolFigures, record: Record, sources: Sources, today: Today
    ) -> None:
        self._directory = directory
        self._figures = figures
        self._record = record
        self._sources = sources
        self._today = today

    def add_to(self, pages: SignedPages) -> None:
        """Register the pages."""
        pages.show("schools", "schools", ROLES, self.schools, menu=N_("My schools"))
        pages.show("schools/<uai>", "school", ROLES, self.school)
        pages.show("notices", "notices", ROLES, self.notices, menu=N_("Notices for families"))
        pages.show("notices/<id>", "notice", ROLES, self.notice)

    def schools(self, asked: PageRequest) -> Response:
        """The schools of somebody: of one its page, of several a list."""
        own, known, more = self._own(asked)
        if len(own) == 1 and not _areas(asked):
            return self.school(asked, own[0], alone=True)
        first, last = self._days()
        volumes = {each.value: each for each in self._figures.of_schools(own, first, last, actor=asked.actor)}
        return asked.render(
            "school/schools.html",
            "schools",
            schools=[(uai, known.get(uai), volumes.get(uai)) for uai in own],
            areas=_areas(asked),
            more=more,
            first=first,
            last=last,
            minimum=self._figures.minimum,
        )

    def school(self, asked: PageRequest, uai: str, *, alone: bool = False) -> Response:
        """One of their schools; ``alone``: they have no other."""
        found = self._require(asked, uai)
        first, last = self._days()
        volume = self._figures.of(uai, first, last, actor=asked.actor)
        names = {source.id: source.name for source in self._sources.list()}
        return asked.render(
            "school/school.html",
            "schools",
            uai=uai,
            alone=alone,
            school=found,
            volume=volume,
            sources=[(names.get(each.value, each.value), each) for each in volume.sources],
            quality=[
                (name, *_said(volumes)) for name, volumes in (("level", volume.levels), ("profile", volume.profiles))
            ],
            first=first,
            last=last,
            minimum=volume.minimum,
        )

    def notices(self, asked: PageRequest) -> Response:
        """The entries of the register, of each of which there is a notice."""
        return asked.render("school/notices.html", "notices", activities=self._record.activities())

    def notice(self, asked: PageRequest, id: str) -> Response:
        """A notice for families, on one page."""
        return asked.render("school/notice.html", "notices", activity=self._record.activity(id))

    def _days(self) -> tuple[date, date]:
        last = self._today() - timedelta(days=1)
        return last - timedelta(days=DAYS - 1), last

    def _own(self, asked: PageRequest) -> tuple[list[str], Mapping[str, School], bool]:
        """The UAI of somebody's schools, those that the directory knows, and whether there are more than are listed."""
        today = self._today()
        single = sorted({each.code for each in _territories(asked) if each.kind == SCHOOL})
        known = dict(self._directory.find(single, today))
        for area in _areas(asked):
            known |= {each.uai: each for each in self._directory.of_territory(area.kind, area.code, today)}
        every = sorted({*single, *known})
        return every[:MAX_SCHOOLS], known, len(every) > MAX_SCHOOLS

    def _require(self, asked: PageRequest, uai: str) -> School | None:
        """The school, as the directory has it, if it is one of theirs.

        Raises:
            OutsidePerimeter: it is not.
        """
        found = self._directory.find([uai], self._today()).get(uai)
        territories = _territories(asked)
        if Territory(SCHOOL, uai) in territories or (
            found is not None and any(getattr(found, each.kind, None) == each.code for each in _areas(asked))
        ):
            return found
        bounds.note(asked.principal)
        raise OutsidePerimeter("This school is not among yours. The page of your schools lists them.", asked="school")


def _territories(asked: PageRequest) -> set[Territory]:
    return {each for grant in asked.grants for each in grant.perimeter.territories or ()}


def _areas(asked: PageRequest) -> list[Territory]:
    return sorted(each for each in _territories(asked) if each.kind != SCHOOL)


def _said(volumes: Sequence[Volume]) -> tuple[int, int]:
    """Numbers of traces that say a value, and of all, on days that are shown."""
    said = sum(each.statements for each in volumes if each.value)
    return said, sum(each.statements for each in volumes)
