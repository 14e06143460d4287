"""The services of ``web/``, each built when it is first asked for: what this process counts, how the store stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

from app.core.release import RELEASE
from app.keys.learners import WrappedKeys
from app.keys.providers.file import STATES
from app.operations import wiring
from app.operations.measures import Measures
from app.operations.wiring import OperationServices
from app.platform.feature_services import FeatureServices
from app.platform.jobs.run import Job
from app.platform.jobs.scheduler import late_seconds
from app.platform.jobs.store import LeaseRepository
from app.web import operations, standing
from app.web.purpose import stated
from app.web.standing import Figures, Standing


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

    def stated_purpose(self) -> Mapping[str, object]:
        """The purpose of the current request, for the detail of an audit entry; empty outside a request."""
        return stated()

    def spooled(self, waiting: int, seconds: float, aside: int) -> None:
        """Count entries of the audit log that wait in the spool, since when, and files that are kept."""
        self.metrics.spooled(waiting, seconds, aside)

    @cached_property
    def standing(self) -> Standing:
        """The standing of the store, for ``/metrics``."""
        platform = self._container.platform
        return Standing(
            self._here,
            (self._jobs, self._measured, self._rights, self._reviews, self._aggregates, self._learners),
            require=platform.presence.require,
            within=platform.store.within,
        )

    def _here(self) -> Figures:
        keyring, store = self._container.keys.keyring, self._container.platform.store
        versions = keyring.listed()
        active = keyring.current.active
        states = Counter(version.state for version in versions)
        since = [one.since or one.created for one in versions if one.number == active]
        return {
            standing.CLOCK_OFFSET: standing.one(store.clock.offset_seconds()),
            standing.KEY_VERSIONS: [((state,), states[state]) for state in STATES],
            standing.KEY_ACTIVE: standing.one(active),
            standing.KEY_SINCE: standing.one(since[0].timestamp() if since and since[0] else None),
        }

    def _jobs(self) -> Figures:
        platform, zone = self._container.platform, self._container.platform.zone
        now = platform.now_us()
        known = {job.name for job in self._container.jobs}
        states = [state for state in platform.job_repository.states() if state.name in known]
        return {
            standing.LEADS: standing.one(LeaseRepository(platform.store).held() is not None),
            standing.JOB_SUCCESS: [((one.name,), one.last_success / 1e6) for one in states if one.last_success],
            standing.JOB_SECONDS: [((one.name,), one.last_seconds) for one in states if one.last_seconds is not None],
            standing.JOB_LATE: [((one.name,), late_seconds(one, zone, now)) for one in states],
            standing.JOB_RUNS: [((one.name,), one.runs) for one in states],
            standing.JOB_FAILURES: [((one.name,), one.failures) for one in states],
        }

    def _measured(self) -> Figures:
        found = Measures(self._container.platform.store).read()
        backup, retention = found.backup, found.retention
        return {
            standing.RETENTION: standing.one(retention and retention.overdue),
            standing.RETENTION_AT: standing.one(retention and retention.at / 1e6),
            standing.BACKUP_AT: standing.one(backup and backup.at / 1e6),
            standing.BACKUP_BYTES: standing.one(backup and backup.bytes),
        }

    def _rights(self) -> Figures:
        people = self._container.people
        waiting = people.requests.standing()
        began = people.erasure_repository.open_since()
        age = max(0.0, self._container.platform.now_us() / 1e6 - began[0].timestamp()) if began else 0.0
        return {
            standing.REQUESTS: [
                (("pending",), waiting.pending),
                (("due-soon",), waiting.due_soon),
                (("overdue",), waiting.overdue),
            ],
            standing.ERASURES: standing.one(len(began)),
            standing.ERASURE_AGE: standing.one(age),
        }

    def _reviews(self) -> Figures:
        return {standing.REVIEWS: standing.one(len(self._container.governance.register.overdue_reviews()))}

    def _aggregates(self) -> Figures:
        research = self._container.research
        through, now = research.aggregate_repository.through(), self._container.platform.now_us()
        return {
            standing.AGGREGATE_LAG: [
                ((definition.id,), max(0.0, (now - through[definition.id]) / 1e6))
                for definition in research.aggregates.definitions()
                if definition.id in through
            ],
            standing.CORRECTIONS: standing.one(research.aggregate_repository.waiting()),
        }

    def _learners(self) -> Figures:
        versions = set(WrappedKeys(self._container.platform.store).versions())
        active = self._container.keys.keyring.current.active
        return {standing.KEYS_BEHIND: standing.one(len(versions - {active}))}
