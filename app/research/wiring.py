"""The services of ``research/``, each built when it is first asked for, and its job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

from app.core.release import RELEASE
from app.platform.feature_services import FeatureServices
from app.platform.jobs.lease import Lease
from app.platform.jobs.run import Job
from app.research.aggregates import Aggregates
from app.research.export import Exports
from app.research.readings import AggregateReadings
from app.research.school_figures import SchoolFigures
from app.research.scope import ResearchScope
from app.research.store import AggregateRepository
from app.traces import wiring
from app.traces.wiring import TraceServices


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services see it."""

    @property
    def traces(self) -> TraceServices:
        """The statements that are counted."""


class ResearchServices(FeatureServices):
    """Aggregates, and data packages of them."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._container = container
        self._settings = container.settings
        self._keys = container.keys

    @cached_property
    def aggregate_repository(self) -> AggregateRepository:
        """Aggregates as stored."""
        return AggregateRepository(self._container.platform.store, self._keys.organisation)

    @cached_property
    def aggregates(self) -> Aggregates:
        """Aggregates: computed by the job, read by researchers."""
        access, reader = self._container.access, self._container.traces.reader
        scope = ResearchScope(access.data_subject_states, access.links, self._container.governance.kept_since, reader)
        return Aggregates(self.aggregate_repository, reader, self._keys.organisation, self._settings, scope)

    @cached_property
    def school_figures(self) -> SchoolFigures:
        """Volume and quality of what schools send."""
        return SchoolFigures(self.aggregates, self._container.governance.sink)

    @cached_property
    def readings(self) -> AggregateReadings:
        """Aggregates as principals read them, within their perimeters and on record."""
        return AggregateReadings(self.aggregates, self._container.access.reaches, self._container.governance.audit)

    @cached_property
    def exports(self) -> Exports:
        """Data packages."""
        return Exports(self.aggregates, self._container.governance.sink, self._settings, RELEASE)

    def jobs(self) -> Sequence[Job]:
        """Its job."""
        return (Job("export", self._settings.export_cron, self._export),)

    def _export(self, lease: Lease) -> Mapping[str, object]:
        package = self.exports.run(actor="job:export", progress=lambda *_: lease.check())
        return {"package": package.path.name, "new": package.new, "rows": package.rows, "hidden": package.hidden}
