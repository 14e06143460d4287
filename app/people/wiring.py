"""The services of ``people/``, each built when it is first asked for, and its job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

from app.access.restrictions.store import DataSubjectStateRepository
from app.core import clock
from app.core.release import RELEASE
from app.governance.audit.store import AuditRepository
from app.keys.learners import WrappedKeys
from app.people.access_package.reception_store import ReceptionRepository
from app.people.access_package.receptions import Receptions
from app.people.access_package.recipients import Disclosures, Recipients
from app.people.access_package.subject_access_export import Held, SubjectAccessExports
from app.people.audit_search import AuditSearch
from app.people.counting import Counting
from app.people.erasure.service import Erasures, Surroundings
from app.people.erasure.store import ErasureRepository, ErasureTargets
from app.people.erasure.tombstones import Tombstones
from app.people.family.links import FamilyLinks
from app.people.family.record import FamilyRecord
from app.people.family.store import LinkRepository
from app.people.finding.finder import DataSubjectFinder
from app.people.finding.pseudonyms import Pseudonyms
from app.people.finding.store import DataSubjectRepository
from app.people.rectification import Rectification, SourceRecorder
from app.people.request_acts import RequestActs
from app.people.requests.notices import RequestNotices
from app.people.requests.service import DataSubjectRequests
from app.people.requests.store import DataSubjectRequestRepository
from app.people.restriction import Restriction
from app.people.services_above import ClosingAccounts, KeepingOutside, Starting
from app.platform.feature_services import FeatureServices
from app.platform.jobs.lease import Lease
from app.platform.jobs.run import Job
from app.research import wiring
from app.research.wiring import ResearchServices
from app.settings import split_addresses
from app.traces.documents.data_subject_documents import DocumentsByDataSubject
from app.traces.documents.store import DocumentRepository


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services see it."""

    @property
    def research(self) -> ResearchServices:
        """Aggregates, which are counted again after an erasure."""

    @property
    def retention(self) -> ClosingAccounts:
        """The ends of accounts."""

    @property
    def operations(self) -> KeepingOutside:
        """Files outside the database."""

    @property
    def lifecycle(self) -> Starting:
        """The life of this process, which may join those that serve."""


class PeopleServices(FeatureServices):
    """Rights of data subjects: finding, requests, access, rectification, restriction, erasure."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._container = container
        self._settings = container.settings
        self._platform = container.platform
        self._keys = container.keys
        self._governance = container.governance
        self._access = container.access
        self._traces = container.traces
        self._mail = container.mail

    # --- finding ------------------------------------------------------------------------------------

    @cached_property
    def finder(self) -> DataSubjectFinder:
        """Finds data subjects."""
        return DataSubjectFinder(
            DataSubjectRepository(self._platform.store),
            self._keys.organisation,
            self._governance.sink,
            self._container.operations.personal_data,
            self.pseudonyms,
        )

    @cached_property
    def pseudonyms(self) -> Pseudonyms:
        """The pseudonyms that this store makes of data subjects' identifiers."""
        return Pseudonyms(self._traces, self._access.sources_repository)

    @cached_property
    def audit_search(self) -> AuditSearch:
        """Looks for entries of the audit log."""
        return AuditSearch(self._governance.audit, self._keys.organisation, self.pseudonyms)

    # --- requests -----------------------------------------------------------------------------------

    @cached_property
    def requests(self) -> DataSubjectRequests:
        """The data-subject requests."""
        return DataSubjectRequests(
            DataSubjectRequestRepository(self._platform.store),
            self._keys.organisation,
            self._keys.data_subject_cipher,
            self._governance.audit,
            self._platform.now_us,
            self._platform.today,
            clock.random_bytes,
            self.pseudonyms,
        )

    @cached_property
    def notices(self) -> RequestNotices:
        """Tells data protection officers, by e-mail, what is due."""
        addresses = split_addresses(self._settings.dpo_addresses)
        return RequestNotices(self._mail.mail, addresses, self._settings.mail_language, self._platform.today)

    # --- learners and guardians who sign in ---------------------------------------------------------

    @cached_property
    def links(self) -> FamilyLinks:
        """Links of accounts to learners."""
        return FamilyLinks(
            LinkRepository(self._platform.store),
            self._keys.organisation,
            self._keys.data_subject_cipher,
            self._governance.sink,
            self.pseudonyms,
            self.finder,
            clock.random_bytes,
            clock.now,
            self._platform.zone,
        )

    @cached_property
    def family(self) -> FamilyRecord:
        """The record of families: what they see, and what they ask for."""
        traces = self._traces
        return FamilyRecord(
            links=self.links,
            finder=self.finder,
            statements=traces.statements,
            reader=traces.reader,
            documents=self._container.operations.personal_data,
            held_documents=self.documents,
            sources=self._access.sources_repository,
            source_links=self._access.links,
            register=self._governance.register,
            restriction=self.restriction,
            recipients=self.recipients,
            requests=self.requests,
            packages=self.packages,
            audit=self._governance.sink,
            random=clock.random_bytes,
            zone=self._platform.zone,
        )

    # --- access -------------------------------------------------------------------------------------

    @cached_property
    def receptions(self) -> Receptions:
        """Disclosures, beyond the audit log."""
        store, zone = self._platform.store, self._platform.zone
        return Receptions(ReceptionRepository(store), self._keys.organisation, AuditRepository(store), zone)

    @cached_property
    def recipients(self) -> Recipients:
        """Recipients and what they received."""
        return Recipients(
            log=AuditRepository(self._platform.store),
            receptions=self.receptions,
            sources=self._access.sources_repository,
            keys=self._keys.organisation,
            timezone=self._platform.zone,
        )

    @cached_property
    def disclosures(self) -> Disclosures:
        """Recipients of the data of a data subject."""
        return Disclosures(
            self.recipients,
            self.finder,
            self.documents,
            self._traces.statements,
            self._governance.sink,
            self.requests,
        )

    @cached_property
    def packages(self) -> SubjectAccessExports:
        """Packages of everything that is held about one data subject."""
        traces = self._traces
        held = Held(
            finder=self.finder,
            reader=traces.reader,
            documents=self.documents,
            attachments=traces.attachments,
            stores=self._container.operations.personal_data,
            ends=self._container.retention.account_repository,
            sources=self._access.sources_repository,
            register=self._governance.register,
            recipients=self.recipients,
            restriction=self.restriction,
        )
        return SubjectAccessExports(
            held,
            audit=self._governance.sink,
            requests=self.requests,
            now_us=self._platform.now_us,
            random=clock.random_bytes,
            organisation=self._settings.organisation,
            version=RELEASE,
            timezone=self._settings.timezone,
        )

    @cached_property
    def documents(self) -> DocumentsByDataSubject:
        """The documents of any data subject."""
        repository = DocumentRepository(self._platform.store)
        return DocumentsByDataSubject(repository, self._traces.document_cipher, self._keys.organisation)

    # --- restriction, rectification -----------------------------------------------------------------

    @cached_property
    def restriction(self) -> Restriction:
        """Restriction of data subjects' data, and objection."""
        return Restriction(
            DataSubjectStateRepository(self._platform.store),
            self._keys.organisation,
            self._keys.data_subject_cipher,
            self._governance.audit,
            self.requests,
            self._platform.processes,
            clock.now,
            self.pseudonyms,
        )

    @cached_property
    def rectification(self) -> Rectification:
        """Rectification of statements."""
        return Rectification(
            self._traces.statements,
            self._traces.reader,
            SourceRecorder(self._access.sources_repository, self._platform, self._container.lifecycle, self._traces),
            self._governance.audit,
            self.requests,
            clock.random_bytes,
            self._keys.organisation,
            self._settings.public_url,
            self._settings.statement_bytes,
        )

    # --- erasure ------------------------------------------------------------------------------------

    @cached_property
    def erasure_repository(self) -> ErasureRepository:
        """Erasures as stored."""
        return ErasureRepository(self._platform.store)

    @cached_property
    def erasure_targets(self) -> ErasureTargets:
        """The data of a data subject that are to be erased, for whoever deletes them."""
        return ErasureTargets(self._platform.store, self._traces.attachment_repository)

    @cached_property
    def counting(self) -> Counting:
        """Aggregates counted with those who take part."""
        states = DataSubjectStateRepository(self._platform.store)
        return Counting(self._container.research, self.erasure_repository, states, self._governance.kept_since)

    @cached_property
    def erasures(self) -> Erasures:
        """Erases data subjects."""
        store, keys = self._platform.store, self._keys
        return Erasures(
            repository=self.erasure_repository,
            erasure_targets=self.erasure_targets,
            stores=self._container.operations.personal_data,
            tombstones=Tombstones(store),
            finder=self.finder,
            places=DataSubjectRepository(store),
            subjects=keys.subjects,
            learners=WrappedKeys(store),
            bodies=self._traces.bodies,
            keys=keys.organisation,
            key_service=keys,
            audit=self._governance.sink,
            requests=self.requests,
            processes=self._platform.processes,
            forgetting=keys.forgetting,
            surroundings=Surroundings(
                counting=self.counting,
                log=AuditRepository(store),
                register=self._governance.register,
                links=self._access.links,
                recipients=self.recipients,
                receptions=self.receptions,
                documents=self.documents,
                outside=self._container.operations.backups,
            ),
            home_page=f"{self._settings.public_url.rstrip('/')}/erased",
            statements=self._traces.statements,
        )

    @cached_property
    def request_acts(self) -> RequestActs:
        """Acts for a request, about whose it is."""
        return RequestActs(
            requests=self.requests,
            finder=self.finder,
            disclosures=self.disclosures,
            restriction=self.restriction,
            rectification=self.rectification,
            packages=self.packages,
            erasures=self.erasures,
        )

    # --- jobs ---------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        """Its jobs."""
        return (
            Job("aggregate", self._settings.aggregate_cron, self._aggregate),
            Job("requests", self._settings.requests_cron, self._requests),
        )

    def _aggregate(self, lease: Lease) -> Mapping[str, object]:
        return self.counting.run(lease.fence, lambda *_: lease.check(), lease.check)._asdict()

    def _requests(self, lease: Lease) -> Mapping[str, object]:
        done = self.requests.run(self._settings.request_days, lease.check)
        removed = self.links.remove_ended()
        return {**done, "links_removed": removed, "told": self.notices.tell(self.requests.standing())}
