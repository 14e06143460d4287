"""Gauges of the store's standing, group by group: what each is read from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from app.governance.wiring import GovernanceServices
from app.keys.learners import WrappedKeys
from app.keys.providers.file import STATES
from app.keys.wiring import KeyServices
from app.mail.wiring import MailServices
from app.operations.measures import Measures
from app.people.wiring import PeopleServices
from app.platform.jobs.run import Job
from app.platform.jobs.scheduler import late_seconds
from app.platform.jobs.store import LeaseRepository
from app.platform.wiring import PlatformServices
from app.research.wiring import ResearchServices
from app.web import standing
from app.web.standing import Figures


class JobList(Protocol):
    """The container, as one that has jobs."""

    @property
    def jobs(self) -> Sequence[Job]:
        """The jobs of every feature."""


class ProcessGauges:
    """Gauges that are known without MongoDB: the clock of this host, the key-encryption keys."""

    def __init__(self, platform: PlatformServices, keys: KeyServices) -> None:
        self._platform = platform
        self._keys = keys

    def figures(self) -> Figures:
        """Read now."""
        keyring, store = self._keys.keyring, self._platform.store
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


class JobGauges:
    """Jobs of all hosts, and whether some scheduler leads."""

    def __init__(self, platform: PlatformServices, jobs: JobList) -> None:
        self._platform = platform
        self._jobs = jobs

    def figures(self) -> Figures:
        """Read now."""
        platform = self._platform
        now = platform.now_us()
        known = {job.name for job in self._jobs.jobs}
        states = [state for state in platform.job_repository.states() if state.name in known]
        return {
            standing.LEADS: standing.one(LeaseRepository(platform.store).held() is not None),
            standing.JOB_SUCCESS: [((one.name,), one.last_success / 1e6) for one in states if one.last_success],
            standing.JOB_SECONDS: [((one.name,), one.last_seconds) for one in states if one.last_seconds is not None],
            standing.JOB_LATE: [((one.name,), late_seconds(one, platform.zone, now)) for one in states],
            standing.JOB_RUNS: [((one.name,), one.runs) for one in states],
            standing.JOB_FAILURES: [((one.name,), one.failures) for one in states],
        }


class MeasuredGauges:
    """Notes of the job ``measure``, of retention and of backups."""

    def __init__(self, platform: PlatformServices) -> None:
        self._platform = platform

    def figures(self) -> Figures:
        """Read now."""
        found = Measures(self._platform.store).read()
        backup, retention = found.backup, found.retention
        return {
            standing.RETENTION: standing.one(retention and retention.overdue),
            standing.RETENTION_AT: standing.one(retention and retention.at / 1e6),
            standing.BACKUP_AT: standing.one(backup and backup.at / 1e6),
            standing.BACKUP_BYTES: standing.one(backup and backup.bytes),
        }


class RightsGauges:
    """Data-subject requests that wait, and erasures under way."""

    def __init__(self, platform: PlatformServices, people: PeopleServices) -> None:
        self._platform = platform
        self._people = people

    def figures(self) -> Figures:
        """Read now."""
        waiting = self._people.requests.standing()
        began = self._people.erasure_repository.open_since()
        age = max(0.0, self._platform.now_us() / 1e6 - began[0].timestamp()) if began else 0.0
        return {
            standing.REQUESTS: [
                (("pending",), waiting.pending),
                (("due-soon",), waiting.due_soon),
                (("overdue",), waiting.overdue),
            ],
            standing.ERASURES: standing.one(len(began)),
            standing.ERASURE_AGE: standing.one(age),
        }


class MailGauges:
    """Messages on their way."""

    def __init__(self, mail: MailServices) -> None:
        self._mail = mail

    def figures(self) -> Figures:
        """Read now."""
        found = self._mail.mail.standing()
        return {
            standing.MAIL_WAITING: standing.one(found.waiting),
            standing.MAIL_AGE: standing.one(found.oldest_seconds),
            standing.MAIL_GIVEN_UP: standing.one(found.given_up),
        }


class ReviewGauges:
    """Overdue reviews of the register."""

    def __init__(self, governance: GovernanceServices) -> None:
        self._governance = governance

    def figures(self) -> Figures:
        """Read now."""
        return {standing.REVIEWS: standing.one(len(self._governance.register.overdue_reviews()))}


class AggregateGauges:
    """The reach of aggregates: up to when they have counted, and corrections that wait."""

    def __init__(self, platform: PlatformServices, research: ResearchServices) -> None:
        self._platform = platform
        self._research = research

    def figures(self) -> Figures:
        """Read now."""
        research = self._research
        through, now = research.aggregate_repository.through(), self._platform.now_us()
        return {
            standing.AGGREGATE_LAG: [
                ((definition.id,), max(0.0, (now - through[definition.id]) / 1e6))
                for definition in research.aggregates.definitions()
                if definition.id in through
            ],
            standing.CORRECTIONS: standing.one(research.aggregate_repository.waiting()),
        }


class LearnerKeyGauges:
    """Versions of the key-encryption key that learners' keys are still under."""

    def __init__(self, platform: PlatformServices, keys: KeyServices) -> None:
        self._platform = platform
        self._keys = keys

    def figures(self) -> Figures:
        """Read now."""
        versions = set(WrappedKeys(self._platform.store).versions())
        active = self._keys.keyring.current.active
        return {standing.KEYS_BEHIND: standing.one(len(versions - {active}))}
