"""The services of ``retention/``, each built when it is first asked for, and its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

import structlog

from app.core import clock
from app.governance.audit.retention import AuditRetention
from app.governance.audit.store import AuditRepository
from app.people import wiring
from app.people.wiring import PeopleServices
from app.platform.feature_services import FeatureServices
from app.platform.jobs.lease import Lease
from app.platform.jobs.run import Job
from app.research.facts import months_counted
from app.research.wiring import ResearchServices
from app.retention.certificate_store import CertificateRepository, Removal
from app.retention.certificates import Certificates
from app.retention.closed_account_store import AccountRepository
from app.retention.closed_accounts import Accounts
from app.retention.contracts import Contracts
from app.retention.deletions import Deletions
from app.retention.service import Retention
from app.retention.store import RetentionRepository
from app.retention.yearly_store import RetentionYears
from app.traces.statements.store import Plain

_log = structlog.stdlib.get_logger("sillage.retention")


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services see it."""

    @property
    def people(self) -> PeopleServices:
        """Restrictions, and what erasures delete of data subjects."""


class RetentionServices(FeatureServices):
    """Durations of what is kept, and its end."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._container = container
        self._settings = container.settings
        self._platform = container.platform
        self._keys = container.keys
        self._governance = container.governance
        self._access = container.access
        self._traces = container.traces
        self._research = container.research
        self._people = container.people

    # --- by age -------------------------------------------------------------------------------------

    @cached_property
    def repository(self) -> RetentionRepository:
        """Statements and documents, for whoever deletes them by age."""
        return RetentionRepository(self._platform.store, self._traces.attachment_repository)

    @cached_property
    def service(self) -> Retention:
        """Retention: its report, and its application."""
        store, people = self._platform.store, self._people
        return Retention(
            self.repository,
            self._governance.register,
            self._access.links.list,
            self._governance.audit,
            self._keys.organisation,
            stores=self._container.operations.personal_data,
            accounts=self.account_repository,
            cipher=self._keys.data_subject_cipher,
            years=RetentionYears(store),
            held=lambda: people.restriction.held(),
        )

    @cached_property
    def audit_retention(self) -> AuditRetention:
        """Retention of the audit log."""
        return AuditRetention(
            self._governance.audit,
            AuditRepository(self._platform.store),
            self._settings.audit_days,
            self._people.receptions,
        )

    @cached_property
    def account_repository(self) -> AccountRepository:
        """The ends of accounts as stored."""
        return AccountRepository(self._platform.store)

    @cached_property
    def accounts(self) -> Accounts:
        """Ends of accounts, as sources announce them."""
        return Accounts(
            self.account_repository,
            self._keys.organisation,
            self._keys.data_subject_cipher,
            self._governance.sink,
            self._platform.now_us,
            self._access.admission,
            self._people.pseudonyms,
        )

    # --- on the operator's word ---------------------------------------------------------------------

    @cached_property
    def certificates(self) -> Certificates:
        """Certificates of what was done on the operator's word."""
        return Certificates(CertificateRepository(self._platform.store), self._keys, self._settings.organisation)

    @cached_property
    def deletions(self) -> Deletions:
        """Deletes on the operator's word."""
        store, people, traces = self._platform.store, self._people, self._traces
        return Deletions(
            repository=CertificateRepository(store),
            certificates=self.certificates,
            removal=Removal(store, traces.attachment_repository),
            retained=self.repository,
            erasure_targets=people.erasure_targets,
            stores=self._container.operations.personal_data,
            sources=self._access.sources_repository,
            statements=traces.statements,
            reader=traces.reader,
            keys=self._keys.organisation,
            figures=_Figures(self._research, self._settings.timezone),
            sessions=traces.sessions,
            restriction=people.restriction,
            audit=self._governance.sink,
            processes=self._platform.processes,
        )

    @cached_property
    def contracts(self) -> Contracts:
        """Closes and moves sources, ends entries of the register."""
        return Contracts(
            repository=CertificateRepository(self._platform.store),
            certificates=self.certificates,
            sources=self._access.sources_repository,
            register=self._governance.register,
            rules=self,
            audit=self._governance.sink,
            announcer=self._platform.processes,
            today=self._platform.today,
        )

    # --- jobs ---------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        """Its jobs."""
        return (
            Job("retention", self._settings.retention_cron, self._retention),
            Job("erasure", self._settings.erasure_cron, self._erasure),
        )

    def _retention(self, lease: Lease) -> Mapping[str, object]:
        # GDPR art. 5(2): first, so that it is told whatever becomes of the rest.
        reviews = [activity.id for activity in self._governance.register.overdue_reviews()]
        if reviews:
            _log.warning("reviews of processing activities are overdue", activities=reviews)
        run = self.service.apply(self._platform.now_us(), dry_run=False, check=lease.check)
        swept = self._traces.attachment_repository.sweep(clock.now())
        self._traces.arrivals.prune()
        audit = self.audit_retention.apply(self._platform.now_us(), dry_run=False, check=lease.check)
        self._people.receptions.prune(audit.before)
        return {
            "deleted": run.statements,
            "documents": run.documents,
            "sources": len(run.deletions),
            "abandoned": swept,
            "audit_entries": audit.entries,
            "audit_damaged": len(audit.damaged),
            "reviews_overdue": len(reviews),
        }

    def _erasure(self, lease: Lease) -> Mapping[str, object]:
        ended = self.contracts.run(lease.check)
        deleted = self.deletions.run(lease.check)
        return {**self._people.erasures.run(lease.check), "deletions": deleted, "activities_ended": ended}


class _Figures:
    """Aggregates, as deletions see them."""

    def __init__(self, research: ResearchServices, timezone: str) -> None:
        self._research = research
        self._timezone = timezone

    def months_counted(self, batch: Sequence[Plain]) -> set[str]:
        return months_counted(batch, self._timezone)

    def note_correction(self, months: Sequence[str]) -> None:
        self._research.aggregate_repository.note_correction(months)
