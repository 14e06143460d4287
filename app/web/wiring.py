"""The services of ``web/``, each built when it is first asked for: what this process counts, how the store stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

from app.core.release import RELEASE
from app.operations import wiring
from app.operations.wiring import OperationServices
from app.platform.feature_services import FeatureServices
from app.platform.jobs.run import Job
from app.web import gauges, operations
from app.web.purpose import stated
from app.web.standing import Standing
from app.web.subject_access import ExportAnswers


class Readiness(wiring.Restoring, Protocol):
    """The life of this process, as routes and the services below see it."""

    def reach(self) -> None:
        """Ask MongoDB for a sign of life."""

    def recheck(self) -> None:
        """Refuse to go on with a database of another version, or a key that does not open it."""


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services, and routes, see it."""

    @property
    def lifecycle(self) -> Readiness:
        """The life of this process: can it serve?"""

    @property
    def operations(self) -> OperationServices:
        """Services for operators of a whole store."""

    @property
    def web(self) -> WebServices:
        """Services that HTTP adds."""

    @property
    def jobs(self) -> Sequence[Job]:
        """The jobs of every feature."""


class WebServices(FeatureServices):
    """Services that HTTP adds to those that it offers."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._container = container

    @cached_property
    def metrics(self) -> operations.Metrics:
        """Counters of this process."""
        return operations.Metrics(RELEASE)

    @cached_property
    def exports(self) -> ExportAnswers:
        """Answers with subject access exports, of the API and of pages."""
        return ExportAnswers()

    def stated_purpose(self) -> Mapping[str, object]:
        """The purpose of the current request, for the detail of an audit entry; empty outside a request."""
        return stated()

    def spooled(self, waiting: int, seconds: float, aside: int) -> None:
        """Count entries of the audit log that wait in the spool, since when, and files that are kept."""
        self.metrics.spooled(waiting, seconds, aside)

    @cached_property
    def standing(self) -> Standing:
        """The standing of the store, for ``/metrics``."""
        container = self._container
        platform, keys = container.platform, container.keys
        stored = (
            gauges.JobGauges(platform, container),
            gauges.MeasuredGauges(platform),
            gauges.RightsGauges(platform, container.people),
            gauges.ReviewGauges(container.governance),
            gauges.MailGauges(container.mail),
            gauges.AggregateGauges(platform, container.research),
            gauges.LearnerKeyGauges(platform, keys),
        )
        return Standing(gauges.ProcessGauges(platform, keys), stored, platform.presence, platform.store)
