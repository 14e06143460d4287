"""Rules that a source must fit: a use case of access, of the register, of profiles, and of data subjects' rights.

Who sends must be under an entry of the register in force, may promise profiles that are loaded, and makes pseudonyms of
data subjects for whom something may hold already. Access knows none of these; what needs them all is here.
"""

from __future__ import annotations

from typing import Protocol

from app.access.perimeters import SCHOOL, Territory
from app.core.clock import Today
from app.governance.register.service import Register
from app.people.finding.pseudonyms import Pseudonyms
from app.people.restriction import Restriction
from app.retention.contracts import Contracts
from app.schools.service import SchoolDirectory
from app.traces.conformance.verdicts import ConformanceService


class RightsServices(Protocol):
    """The services of ``people/`` that are asked when a source begins to make pseudonyms."""

    @property
    def restriction(self) -> Restriction:
        """Restriction of data subjects' data, and objection."""

    @property
    def pseudonyms(self) -> Pseudonyms:
        """The pseudonyms that this store makes of data subjects' identifiers."""


class Retention(Protocol):
    """The services of ``retention/`` that are asked when a source is registered."""

    @property
    def contracts(self) -> Contracts:
        """Ends of entries of the register."""


class SourceRules:
    """Rules of the register, of profiles and of data subjects' rights."""

    def __init__(
        self,
        register: Register,
        profiles: ConformanceService,
        rights: RightsServices,
        retention: Retention,
        schools: SchoolDirectory,
        today: Today,
    ) -> None:
        self._schools = schools
        self._today = today
        self._register = register
        self._profiles = profiles
        self._rights = rights
        self._retention = retention

    def activity_exists(self, activity: str) -> bool:
        """Tell if the register has an entry of that id; raises if it is not in force."""
        return self._register.takes_sources(activity)

    def activity_ended(self, activity: str) -> bool:
        """Tell if an entry has ended."""
        return self._retention.contracts.ended(activity)

    def about_minors(self, activity: str) -> bool:
        """Tell if an entry says that it concerns minors."""
        # The newest version, even one that is not in force yet: what is sent under it is to be looked at too.
        return self._register.history(activity)[-1].minors

    def profile_exists(self, profile: str) -> bool:
        """Tell if a profile is loaded."""
        return self._profiles.exists(profile)

    def territory_exists(self, territory: Territory) -> bool:
        """Tell if the directory of schools in force has a school there."""
        if territory.kind == SCHOOL:
            return bool(self._schools.find([territory.code], self._today()))
        return bool(self._schools.of_territory(territory.kind, territory.code, self._today()))

    def cover(self, source: str) -> None:
        """Have what holds for data subjects hold for the pseudonyms that a source is about to make of them."""
        self._rights.restriction.cover(self._rights.pseudonyms.of_new(source))
