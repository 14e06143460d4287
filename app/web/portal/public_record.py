"""The public record: what anybody may know of this store, without signing in."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from app.core import clock
from app.core.errors import DatabaseUnavailable, NotFound
from app.governance.register.service import ProcessingActivity
from app.operations.measures import Measured
from app.research.definitions import Definition
from app.standards.profiles.document import Profile

ROUNDED_TO = 1_000
KEPT_SECONDS = 60.0
"""Seconds for which a look into MongoDB holds: anybody may ask, as often as they like."""


class Register(Protocol):
    """The register of processing activities."""

    def list(self, at: int | None = None) -> Sequence[ProcessingActivity]:
        """The entries in force."""


class Statements(Protocol):
    """Stored statements."""

    def estimated(self) -> int:
        """The number of statements, about."""


class Aggregates(Protocol):
    """Aggregates."""

    def definitions(self) -> Sequence[Definition]:
        """The declared definitions."""

    def minimum(self, definition: Definition) -> int:
        """The smallest group shown of one."""


class Profiles(Protocol):
    """Loaded profiles."""

    def list(self) -> Sequence[Profile]:
        """Every one."""


class OpenSources(Protocol):
    """Sources."""

    def open(self) -> int:
        """The number of those from which something is taken."""


class Noted(Protocol):
    """Measures for operators."""

    def read(self) -> Measured:
        """Everything noted."""


class Figures(NamedTuple):
    """Figures of the store.

    Attributes:
        statements: How many are stored, in whole thousands: exact, it would tell of a small store when somebody works.
        sources: Tools that may send.
        longest_days: The longest duration of the register.
        retention_at: When the job last counted what should have gone, where the organisation is; None: not yet.
        overdue: How many statements should have gone by then.
    """

    statements: int
    sources: int
    longest_days: int
    retention_at: datetime | None
    overdue: int


class _Known(NamedTuple):
    activities: Sequence[ProcessingActivity]
    figures: Figures
    profiles: Sequence[Profile]
    until: float


class PublicRecord:
    """The public record, looked up at most once a minute. Safe to share between threads."""

    def __init__(
        self,
        *,
        register: Register,
        statements: Statements,
        aggregates: Aggregates,
        profiles: Profiles,
        sources: OpenSources,
        measures: Noted,
        zone: ZoneInfo,
    ) -> None:
        """``zone``: that of the organisation."""
        self._register = register
        self._statements = statements
        self._aggregates = aggregates
        self._profiles = profiles
        self._sources = sources
        self._measures = measures
        self._zone = zone
        self._lock = threading.Lock()
        self._kept: _Known | None = None
        self._failed: float | None = None

    def activities(self) -> Sequence[ProcessingActivity]:
        """The entries of the register that are in force, by id."""
        return self._known().activities

    def activity(self, id: str) -> ProcessingActivity:
        """One of them.

        Raises:
            NotFound: there is none of that id.
        """
        found = next((each for each in self.activities() if each.id == id), None)
        if found is None:
            raise NotFound("The register has no such processing activity in force.")
        return found

    def figures(self) -> Figures:
        """The figures of the store, of the last minute."""
        return self._known().figures

    def profiles(self) -> Sequence[Profile]:
        """The profiles that statements are held to, by IRI."""
        return self._known().profiles

    def data_sets(self) -> Mapping[str, Definition]:
        """The data sets, by name."""
        return {each.name: each for each in self._aggregates.definitions()}

    def data_set(self, name: str) -> Definition:
        """One of them.

        Raises:
            NotFound: there is none of that name.
        """
        found = self.data_sets().get(name)
        if found is None:
            raise NotFound("There is no such data set.")
        return found

    def minimum(self, definition: Definition) -> int:
        """The least number of learners behind a figure of a data set that is shown."""
        return self._aggregates.minimum(definition)

    def _known(self) -> _Known:
        kept, began = self._kept, clock.steady()
        if kept is not None and began < kept.until:
            return kept
        # One looks. Who asks meanwhile has what was known before, and waits only where there is nothing yet: else a
        # slow database would keep every thread of the worker waiting for pages that anybody asks for.
        if kept is None:
            self._lock.acquire()
        elif not self._lock.acquire(blocking=False):
            return kept
        try:
            now = clock.steady()
            if self._kept is None or now >= self._kept.until:
                # Who waited for a look that failed does not wait for another one, and those behind for a third.
                if self._failed is not None and self._failed >= began:
                    raise DatabaseUnavailable("The database did not answer in time. Ask again in a moment.")
                try:
                    self._kept = self._looked(now + KEPT_SECONDS)
                except DatabaseUnavailable:
                    self._failed = clock.steady()
                    raise
            return self._kept
        finally:
            self._lock.release()

    def _looked(self, until: float) -> _Known:
        activities = self._register.list()
        retention = self._measures.read().retention
        figures = Figures(
            statements=self._statements.estimated() // ROUNDED_TO * ROUNDED_TO,
            sources=self._sources.open(),
            longest_days=max((each.retention.active_days for each in activities), default=0),
            retention_at=None if retention is None else clock.moment_of(retention.at).astimezone(self._zone),
            overdue=0 if retention is None else retention.overdue,
        )
        return _Known(activities, figures, self._profiles.list(), until)
