"""The one place where services are wired: settings in, services out.

``Container`` builds each service when it is first asked for. A command uses it as it is; the HTTP service calls
``start``, which registers this process among the others and lets caches be trusted.
"""

from __future__ import annotations

import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from importlib.metadata import version as distribution_version
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from flask import Flask

from app.access import scopes
from app.access.authenticators import Authenticators
from app.access.basic import Basic
from app.access.credentials import Access, Sources
from app.access.restrictions.store import PersonStateRepository, PersonStates
from app.access.store import Source, SourceRepository
from app.core import clock, contracts
from app.core.errors import (
    DatabaseUnavailable,
    FileRefused,
    KeyMissing,
    KeyRefused,
    NotFound,
    SettingsInvalid,
    SillageError,
)
from app.core.personal_data import PersonalDataStore
from app.crypto import kinds
from app.crypto.bodies import DICTIONARIES, Bodies
from app.crypto.keys import OrganisationKeys
from app.crypto.signing import Signer
from app.governance.audit.checkpoints import Checkpoints
from app.governance.audit.log import Audit
from app.governance.audit.retention import AuditRetention
from app.governance.audit.store import AuditRepository
from app.governance.register.purposes import Purpose
from app.governance.register.service import Register, SourceLink
from app.governance.register.store import ActivityRepository
from app.keys import organisation as organisation_keys
from app.keys import providers
from app.keys.holders import HolderRepository, HolderThread
from app.keys.keyring import KeyHolding
from app.keys.learners import KEEP_SECONDS, SubjectKeys, WrappedKeys
from app.keys.person_seal import PersonSeal
from app.keys.providers import KeyProvider
from app.keys.providers.file import STATES
from app.keys.rekeying import RekeyRepository
from app.operations.backup import restoring
from app.operations.backup.service import Backups
from app.operations.figures import Figures
from app.operations.measures import Measures, RetentionCounted
from app.operations.minors import MinorsPass
from app.operations.minors import Surroundings as MinorsSurroundings
from app.operations.minors_store import MinorsRepository
from app.operations.rotation.documents_key import DocumentsRotation
from app.operations.rotation.index_key import JOB_SHARE, IndexRotation
from app.operations.rotation.index_tokens import TokenRepository
from app.operations.rotation.kek import Keys
from app.operations.rotation.learner_seals import LearnerSeals
from app.operations.rotation.rekey import Processes as RekeyProcesses
from app.operations.rotation.rekey import Rekey
from app.operations.rotation.reseal import Reseal
from app.operations.rotation.resealing import ResealRepository
from app.operations.schema import migrations
from app.operations.schema.catalogue import COLLECTIONS, personal_data
from app.people.access_package.person_package import Held, Packages
from app.people.access_package.reception_store import ReceptionRepository
from app.people.access_package.receptions import Receptions
from app.people.access_package.recipients import Disclosures, Recipients
from app.people.audit_search import AuditSearch
from app.people.erasure.service import Erasures, Processes, Surroundings
from app.people.erasure.store import ErasureRepository, Remains
from app.people.erasure.tombstones import Tombstones
from app.people.finding.finder import Persons
from app.people.finding.pseudonyms import Pseudonyms
from app.people.finding.store import PersonRepository
from app.people.rectification import Rectification
from app.people.requests.service import SOON_DAYS, Cases
from app.people.requests.store import CaseRepository
from app.people.restriction import Restriction
from app.platform.cluster.low_watermark import Observer
from app.platform.cluster.membership import Presence
from app.platform.cluster.processes import current_epoch, next_epoch
from app.platform.jobs.lease import Leadership, Lease
from app.platform.jobs.run import Job
from app.platform.jobs.scheduler import Scheduler, late_seconds
from app.platform.jobs.store import JobRepository, LeaseRepository
from app.platform.mongo.collection import DataContext
from app.platform.mongo.connection import Store
from app.platform.mongo.embedded import server as embedded
from app.research.aggregates import Aggregates
from app.research.export import Exports
from app.research.facts import months_counted
from app.research.store import AggregateRepository
from app.retention.certificate_store import CertificateRepository, Removal
from app.retention.certificates import Certificates
from app.retention.closed_account_store import AccountRepository
from app.retention.closed_accounts import Accounts
from app.retention.contracts import Contracts
from app.retention.deletions import Deletions
from app.retention.service import Retention
from app.retention.store import RetentionRepository
from app.retention.yearly_store import RetentionYears
from app.settings import Settings, load, split_origins, split_purposes
from app.standards.xapi.decode import MAX_VALUES
from app.standards.xapi.identifiers import MAX_IDENTIFIER_LENGTH, VOIDED, keys_of
from app.standards.xapi.versions import Version
from app.traces.conformance.french import OUTCOMES, French
from app.traces.conformance.nomenclature_store import NomenclatureRepository
from app.traces.conformance.nomenclatures import Nomenclatures
from app.traces.conformance.profile_store import ProfileRepository
from app.traces.conformance.pseudonym_home_store import PseudonymHome
from app.traces.conformance.session_store import SessionRepository
from app.traces.conformance.sessions import Sessions
from app.traces.conformance.verdicts import Profiles
from app.traces.documents.person_documents import PersonDocuments
from app.traces.documents.seal import DocumentSeal
from app.traces.documents.service import Documents
from app.traces.documents.store import DocumentRepository
from app.traces.ingest.checking import Checking
from app.traces.ingest.recording import Recorder
from app.traces.queries.agents import People
from app.traces.queries.statements import Library
from app.traces.statements import index_tokens as tokens
from app.traces.statements.activities import Activities
from app.traces.statements.activity_store import DefinitionRepository
from app.traces.statements.attachment_store import AttachmentRepository
from app.traces.statements.attachments import MAX_ATTACHMENTS, Attachments
from app.traces.statements.reader import SealedReader
from app.traces.statements.referred import Referred
from app.traces.statements.store import Plain, Statements
from app.traces.turns import Turns
from app.web import body, caching, compression, cors, logs, operations, paths, standing
from app.web import errors as web_errors
from app.web.api import access_packages as access_api
from app.web.api import accounts as accounts_api
from app.web.api import aggregates as aggregates_api
from app.web.api import check as check_api
from app.web.api import persons as persons_api
from app.web.api import requests as requests_api
from app.web.api import restriction as restriction_api
from app.web.api import retention as retention_api
from app.web.api import verdicts as verdicts_api
from app.web.cross_site import CrossSite
from app.web.gate import AUTHENTICATORS, Gate
from app.web.purpose import Purposes, stated
from app.web.refusal import EXTENSION, Refusal
from app.web.xapi import about, activities, agents, alternate, headers
from app.web.xapi import documents as documents_resource
from app.web.xapi import statements as statements_resource

PREFIX = "/xAPI"
VERSION = distribution_version("sillage")
# How often a process looks for references that are still to be linked, and how many times it goes on at once.
_LINKING_SECONDS = 5.0
_LINKED_IN_A_ROW = 20
_log = structlog.stdlib.get_logger("sillage.container")


class Container:
    """Everything of one process, built on demand. Made after a fork, never before; ``close`` releases it."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is connected yet.

        Raises:
            SettingsInvalid: ``SILLAGE_KEY_PROVIDER`` names no provider.
        """
        providers.refuse_unknown(settings)
        self.settings = settings
        self._stack = ExitStack()
        self._presence: Presence | None = None
        # Set by a restore, when what it put in place is in force: it alone works on a database that is being restored.
        self._restoring = False

    # --- storage and keys ---------------------------------------------------------------------------

    @cached_property
    def store(self) -> Store:
        """The connection; starts the embedded server when no MongoDB is configured."""
        uri = self._stack.enter_context(embedded.choose(self.settings))
        opened = Store.open(uri, self.settings.database, timeout_seconds=self.settings.mongodb_timeout_seconds)
        self._stack.callback(opened.close)
        return opened

    @cached_property
    def key_provider(self) -> KeyProvider:
        """Where the key-encryption keys are."""
        return providers.chosen(self.settings)

    @cached_property
    def keyring(self) -> KeyHolding:
        """The key-encryption keys, as they change."""
        return self.key_provider.open()

    @cached_property
    def keys(self) -> OrganisationKeys:
        """The organisation's keys, opened; not while the database is being restored."""
        if not self._restoring:
            restoring.refuse_unfinished(self.store)
        return organisation_keys.unlock(
            self.store,
            self.keyring,
            self.settings.organisation,
            keep_seconds=self.settings.process_ttl_seconds / 2,
        )

    @cached_property
    def subjects(self) -> SubjectKeys:
        """The learners' keys."""
        return SubjectKeys(self.store, self.keyring, self.settings.organisation)

    @cached_property
    def bodies(self) -> Bodies:
        """Seals and opens statements."""
        self._require_format()
        try:
            dictionaries = {
                number: contracts.folder("sillage", name).read_bytes() for number, name in DICTIONARIES.items()
            }
        except OSError:
            raise FileRefused("A compression dictionary is missing in schemas/sillage: statement-….zdict.") from None
        settings = self.settings
        return Bodies(settings.organisation, dictionaries, clock.random_bytes, writing=settings.statement_format)

    @cached_property
    def statements(self) -> Statements:
        """The stored statements."""
        return Statements(self.store, lambda: self.keys.index.tokens(kinds.VERB, VOIDED))

    @cached_property
    def attachment_repository(self) -> AttachmentRepository:
        """The sealed data of attachments."""
        return AttachmentRepository(self.store)

    @cached_property
    def reader(self) -> SealedReader:
        """Opens stored statements."""
        return SealedReader(
            self.statements, self.subjects, self.bodies, self._observer(), ErasureRepository(self.store).under_way
        )

    @cached_property
    def sources_repository(self) -> SourceRepository:
        """Sources and credentials as stored."""
        return SourceRepository(self.store)

    @cached_property
    def personal_data(self) -> Sequence[PersonalDataStore]:
        """The part of each collection in the rights of persons."""
        return personal_data(DataContext(self.store, self.keys, self.subjects))

    @cached_property
    def person_states(self) -> PersonStates:
        """Who is restricted, and who objects to what."""
        return PersonStates(PersonStateRepository(self.store), self._trusted)

    # --- services -----------------------------------------------------------------------------------

    @cached_property
    def audit(self) -> Audit:
        """The audit log."""
        # What is on record of whatever a command does is its time.
        self.store.require_right_clock()
        log = Audit(
            AuditRepository(self.store),
            self.keys,
            self._now_us,
            clock.random_bytes,
            lambda: {**self.purpose.stated(), **stated()},
        )
        self._stack.callback(_quietly, log.close)
        return log

    @cached_property
    def purpose(self) -> Purpose:
        """What a command is for."""
        return Purpose(split_purposes(self.settings.purposes), required=self.settings.purpose_required)

    @cached_property
    def audit_retention(self) -> AuditRetention:
        """How long the audit log is kept."""
        return AuditRetention(
            self.audit,
            AuditRepository(self.store),
            self.settings.audit_days,
            self.receptions.condense,
            self.receptions.settle,
        )

    @cached_property
    def receptions(self) -> Receptions:
        """What outlives the audit log of who received what."""
        zone = ZoneInfo(self.settings.timezone)
        return Receptions(ReceptionRepository(self.store), self.keys, AuditRepository(self.store).readings, zone)

    @cached_property
    def recipients(self) -> Recipients:
        """Who received what."""
        log = AuditRepository(self.store)
        return Recipients(
            entries=log.since,
            oldest=log.oldest,
            receptions=self.receptions,
            sources=self.sources_repository.list,
            source_tokens=lambda source: (self.keys.named(kinds.SOURCE, source),),
            credentials=self.sources_repository.credentials,
            timezone=ZoneInfo(self.settings.timezone),
        )

    @cached_property
    def audit_search(self) -> AuditSearch:
        """Looks for entries of the audit log."""
        return AuditSearch(self.audit, lambda: self.keys, lambda person: self.pseudonyms.whole(person))

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Signed checkpoints of the audit log."""
        return Checkpoints(self.audit, AuditRepository(self.store), self.settings.organisation, lambda: self.signer)

    @cached_property
    def register(self) -> Register:
        """The register of processing activities."""
        zone = ZoneInfo(self.settings.timezone)
        return Register(ActivityRepository(self.store), self.audit, self._now_us, zone)

    def _admit(self, source: str) -> None:
        """Refuse to store anything for a source whose processing activity is not in force."""
        self.register.require(self.access.source(source).activity)

    def _pupils_only(self) -> frozenset[str]:
        """The sources of which the register says that pupils are the only data subjects."""
        entries = {activity.id for activity in self.register.list() if activity.pupils_only}
        return frozenset(link.source for link in self._links() if link.activity in entries)

    def _now_us(self) -> int:
        """Microseconds since 1970 UTC; not by this host's clock while that is off."""
        return self.store.clock.now_us()

    def _links(self) -> list[SourceLink]:
        return [
            SourceLink(source.id, source.activity, source.minors, source.minors_reason)
            for source in self.sources_repository.list()
        ]

    @cached_property
    def retention(self) -> Retention:
        """Retention: its report, and its application."""
        return Retention(
            RetentionRepository(self.store, self.attachment_repository),
            self.register,
            self._links,
            self.audit,
            self.keys,
            stores=self.personal_data,
            accounts=AccountRepository(self.store),
            seal=self.person_seal,
            years=RetentionYears(self.store),
            held=lambda: self.restriction.held(),
        )

    @cached_property
    def figures(self) -> Figures:
        """Yearly figures."""
        return Figures(
            cases=CaseRepository(self.store),
            erasures=ErasureRepository(self.store),
            states=PersonStateRepository(self.store),
            certificates=CertificateRepository(self.store),
            retention=RetentionYears(self.store),
            zone=ZoneInfo(self.settings.timezone),
            now=clock.now,
            request_days=self.settings.request_days,
        )

    @cached_property
    def certificates(self) -> Certificates:
        """What was done on the operator's word, signed."""
        return Certificates(CertificateRepository(self.store), lambda: self.signer, self.settings.organisation)

    @cached_property
    def deletions(self) -> Deletions:
        """Deletes on the operator's word."""
        return Deletions(
            repository=CertificateRepository(self.store),
            certificates=self.certificates,
            removal=Removal(self.store, self.attachment_repository),
            retained=RetentionRepository(self.store, self.attachment_repository),
            remains=Remains(self.store, self.attachment_repository),
            stores=self.personal_data,
            sources=self.sources_repository,
            statements=self.statements,
            reader=self.reader,
            keys=self.keys,
            figures=lambda: _Figures(AggregateRepository(self.store, self.keys), self.settings.timezone),
            sessions=lambda source, since: self.sessions.take_out(source, since),
            held=lambda: self.restriction.held(),
            audit=self._audited,
            observer=self._observer,
        )

    @cached_property
    def contracts(self) -> Contracts:
        """Closes and moves sources, ends entries of the register."""
        zone = ZoneInfo(self.settings.timezone)
        return Contracts(
            repository=CertificateRepository(self.store),
            certificates=self.certificates,
            sources=self.sources_repository,
            register=self.register,
            retention=lambda: self.retention,
            deletions=lambda: self.deletions,
            audit=self._audited,
            announce=self._announce,
            today=lambda: clock.now().astimezone(zone).date(),
        )

    @cached_property
    def person_seal(self) -> PersonSeal:
        """Seals what governance keeps of a person."""
        return PersonSeal(self.subjects, self.settings.organisation, clock.random_bytes)

    @cached_property
    def cases(self) -> Cases:
        """The requests of persons."""
        zone = ZoneInfo(self.settings.timezone)
        return Cases(
            CaseRepository(self.store),
            self.keys,
            self.person_seal,
            self.audit,
            self._now_us,
            lambda: clock.now().astimezone(zone).date(),
            clock.random_bytes,
            self.pseudonyms.whole,
        )

    @cached_property
    def restriction(self) -> Restriction:
        """Restriction of persons' data, and objection."""
        return Restriction(
            PersonStateRepository(self.store),
            self.keys,
            self.person_seal,
            self.audit,
            self.cases,
            self._announce,
            clock.now,
            self.pseudonyms.whole,
        )

    @cached_property
    def rectification(self) -> Rectification:
        """Rectification of statements."""

        def record(body: bytes, source: str, version: Version) -> None:
            found = self.sources_repository.get(source)
            if found is None:
                raise NotFound("The source of this statement is not registered.")
            if self._presence is None:
                # A command: it stamps statements like a process that serves, for as long as it takes.
                self.start()
            self.recorder.record(body, found, version, void_any=True, rectifies=True)

        return Rectification(
            self.statements,
            self.reader,
            record,
            self.audit,
            self.cases,
            clock.random_bytes,
            self.keys,
            self.settings.public_url,
            self.settings.statement_bytes,
        )

    @cached_property
    def accounts(self) -> Accounts:
        """What sources say of the ends of accounts."""
        return Accounts(
            AccountRepository(self.store),
            self.keys,
            self.person_seal,
            self._audited,
            self._now_us,
            self._admit,
            self.pseudonyms.of_source,
        )

    @cached_property
    def key_service(self) -> Keys:
        """The life of the key-encryption keys."""

        def opens(identity: UUID) -> bool:
            return all(self.reader.one(row) is not None for row in self.statements.some([identity]))

        return Keys(
            self.store,
            lambda: self.keyring,
            lambda: self.key_provider,
            self.settings.organisation,
            self._audited,
            opens,
            self.settings.process_ttl_seconds,
        )

    @cached_property
    def signer(self) -> Signer:
        """Signs receipts and checkpoints for the organisation."""
        return Signer(organisation_keys.signing_seed(self.store, self.keyring, self.settings.organisation))

    @cached_property
    def persons(self) -> Persons:
        """Finds persons."""
        return Persons(
            PersonRepository(self.store), self.keys, self._audited, self.personal_data, self.pseudonyms.whole
        )

    @cached_property
    def packages(self) -> Packages:
        """Packages of everything that is held about one person."""
        documents = DocumentRepository(self.store)

        def of_person(identifiers: Sequence[str], subjects: Sequence[bytes]) -> PersonDocuments:
            return PersonDocuments(documents, self.document_seal, self.keys, identifiers=identifiers, tokens=subjects)

        held = Held(
            persons=self.persons,
            reader=self.reader,
            documents=of_person,
            attachments=self.attachments.of,
            stores=self.personal_data,
            ends=AccountRepository(self.store).of,
            sources=self.sources_repository.list,
            register=self.register,
            recipients=self.recipients,
            standing=lambda person, actor: self.restriction.standing(person, actor=actor),
        )
        return Packages(
            held,
            audit=self._audited,
            cases=self.cases,
            now_us=self._now_us,
            random=clock.random_bytes,
            organisation=self.settings.organisation,
            version=VERSION,
            timezone=self.settings.timezone,
        )

    @cached_property
    def disclosures(self) -> Disclosures:
        """Who received the data of a person."""
        return Disclosures(
            self.recipients, self.persons, self._document_marks, self.statements.some, self._audited, self.cases
        )

    def _document_marks(self, subjects: Sequence[bytes]) -> Iterable[bytes]:
        """The tokens by which readings of the documents of persons are on record."""
        documents = PersonDocuments(
            DocumentRepository(self.store), self.document_seal, self.keys, identifiers=(), tokens=subjects
        )
        return documents.marks()

    @cached_property
    def erasures(self) -> Erasures:
        """Erases people."""
        places = PersonRepository(self.store)
        return Erasures(
            repository=ErasureRepository(self.store),
            remains=Remains(self.store, self.attachment_repository),
            tombstones=Tombstones(self.store),
            persons=self.persons,
            places=places,
            subjects=self.subjects,
            learners=WrappedKeys(self.store),
            bodies=self.bodies,
            keys=self.keys,
            signer=lambda: self.signer,
            audit=self._audited,
            cases=self.cases,
            processes=Processes(lambda: next_epoch(self.store), self._forgotten, self._observer),
            surroundings=Surroundings(
                lambda people, since, check, note: self.aggregates.recount(people, since, check, note),
                AuditRepository(self.store).of_kinds,
                self.register.list,
                self._links,
                self.recipients,
                self.receptions,
                self._document_marks,
            ),
            stores=self.personal_data,
            home_page=f"{self.settings.public_url.rstrip('/')}/erased",
            scan=self.statements.span,
            outside=lambda tombstones: self.backups.note_tombstones(tombstones),
        )

    @cached_property
    def backups(self) -> Backups:
        """Backups and restores."""

        def in_force() -> None:
            self._restoring = True

        return Backups(
            store=lambda: self.store,
            keyring=lambda: self.keyring,
            keys=lambda: self.keys,
            organisation=self.settings.organisation,
            release=VERSION,
            tombstones_file=self.settings.tombstones_path,
            audit=self._audited,
            in_force=in_force,
            reapply=lambda told: len(self.erasures.reapply(actor="cli:restore", progress=told).erasures),
            clean=lambda told: self.minors_pass.reapply(actor="cli:restore", progress=told),
            redo=lambda: len(self.contracts.reapply(actor="cli:restore")),
            heartbeat_seconds=self.settings.heartbeat_seconds,
            process_ttl_seconds=self.settings.process_ttl_seconds,
        )

    @cached_property
    def index_rotation(self) -> IndexRotation:
        """The rotation of the index key."""
        settings = self.settings
        return IndexRotation(
            self.store,
            lambda: self.keyring,
            settings.organisation,
            lambda: [source.id for source in self.sources_repository.list()],
            lambda rows: self.reader.decrypted(rows),
            lambda index, source, statement: tokens.of_statement(index, source, keys_of(statement)),
            self._audited,
            # A process looks after half of the first; what it has begun ends by two waits for MongoDB.
            settings.process_ttl_seconds + 2 * settings.mongodb_timeout_seconds,
            lambda: bool(ErasureRepository(self.store).open()),
        )

    @cached_property
    def documents_rotation(self) -> DocumentsRotation:
        """The rotation of the documents key."""
        settings = self.settings
        return DocumentsRotation(
            self.store,
            lambda: self.keyring,
            settings.organisation,
            self._audited,
            # As for the index key.
            settings.process_ttl_seconds + 2 * settings.mongodb_timeout_seconds,
        )

    @cached_property
    def reseal(self) -> Reseal:
        """Moves statements to the format in which they are written now."""
        return Reseal(
            ResealRepository(self.store),
            lambda: self.statements,
            lambda: self.subjects,
            lambda: self.bodies,
            lambda: self.reader.consistent_through(),
            self._audited,
        )

    @cached_property
    def rekey(self) -> Rekey:
        """Gives learners new keys."""
        settings = self.settings
        return Rekey(
            repository=RekeyRepository(self.store),
            seals=LearnerSeals(self.store),
            learners=WrappedKeys(self.store),
            bodies_written=ResealRepository(self.store),
            keyring=lambda: self.keyring,
            organisation=settings.organisation,
            statements=lambda: self.statements,
            subjects=lambda: self.subjects,
            bodies=lambda: self.bodies,
            audit=self._audited,
            processes=RekeyProcesses(lambda: next_epoch(self.store), self._forgotten, self._settled),
            # A command is told of nothing: it looks again after the first; what it has begun ends by two waits.
            settle_seconds=max(KEEP_SECONDS, settings.process_ttl_seconds) + 2 * settings.mongodb_timeout_seconds,
        )

    @cached_property
    def profiles(self) -> Profiles:
        """Loaded profiles and verdicts."""
        # The reader only when a profile asks: most commands need no key.
        return Profiles(
            ProfileRepository(self.store),
            self._audited,
            self._announce,
            lambda source, identities: Referred(self.statements, self.reader).find(source, identities),
            lambda statements: self.french.schools(statements),
        )

    @cached_property
    def nomenclatures(self) -> Nomenclatures:
        """The nomenclature of courses of study, with its history."""
        return Nomenclatures(NomenclatureRepository(self.store), self._audited, self._announce)

    @cached_property
    def french(self) -> French:
        """The French checks."""

        def count(source: Source, outcome: str, statements: int, found: Mapping[str, int]) -> None:
            self.profiles.count_protected(source, outcome, found)
            if outcome == OUTCOMES["refuse"]:
                self.metrics.refused("rejected", statements)

        return French(
            self.nomenclatures.editions,
            self.keys,
            self._audited,
            count,
            lambda: clock.now().date(),
            self.pseudonym_home,
        )

    @cached_property
    def pseudonym_home(self) -> PseudonymHome:
        """The home page of the accounts that replace addresses."""
        return PseudonymHome(self.store, self.settings.public_url)

    @cached_property
    def pseudonyms(self) -> Pseudonyms:
        """The pseudonyms that this store makes of persons' identifiers."""
        return Pseudonyms(
            lambda source, identifier: self.french.forms(source, identifier), self.sources_repository.list
        )

    @cached_property
    def minors_pass(self) -> MinorsPass:
        """Applies policies about minors to what is stored."""
        return MinorsPass(
            repository=MinorsRepository(self.store),
            statements=self.statements,
            placed=TokenRepository(self.store),
            remains=Remains(self.store, self.attachment_repository),
            attachments=self.attachment_repository,
            accounts=AccountRepository(self.store),
            subjects=self.subjects,
            seal=self.person_seal,
            bodies=self.bodies,
            keys=self.keys,
            audit=self._audited,
            random=clock.random_bytes,
            zone=ZoneInfo(self.settings.timezone),
            around=MinorsSurroundings(
                cleaned=self.french.cleaned,
                tokens_of=tokens.of_statement,
                settled=self._settled,
                states=PersonStateRepository(self.store).read,
                erasing=lambda: bool(ErasureRepository(self.store).open()),
                corrected=AggregateRepository(self.store, self.keys).note_correction,
                learn=self.activities.learn,
                restart=self.sessions.restart,
                sources=self.sources_repository.list,
                outside=lambda cleaning: self.backups.note_cleaning(cleaning),
            ),
        )

    @cached_property
    def sessions(self) -> Sessions:
        """Sessions held to the patterns of profiles."""
        return Sessions(
            repository=SessionRepository(self.store),
            profiles=self.profiles,
            statements=self.statements,
            reader=self.reader,
            subjects=self.subjects,
            keys=self.keys,
            random=clock.random_bytes,
            now_us=self._now_us,
        )

    @cached_property
    def sources(self) -> Sources:
        """Registers sources, issues and revokes credentials."""
        return Sources(
            self.sources_repository,
            activity_exists=self.register.takes_sources,
            profile_exists=self.profiles.exists,
            audit=self._audited,
            announce=self._announce,
            activity_ended=lambda identity: self.contracts.ended(identity),
            # The newest version, even one that is not in force yet: what is sent under it is to be looked at too.
            about_minors=lambda identity: self.register.history(identity)[-1].minors,
            replacing=lambda source: self.restriction.cover(self.pseudonyms.of_new(source)),
        )

    @cached_property
    def access(self) -> Access:
        """Verifies credentials."""
        return Access(self.sources_repository, self._trusted)

    @cached_property
    def aggregates(self) -> Aggregates:
        """Aggregates: computed by the job, read by researchers."""

        def take_out(check: Callable[[], None]) -> None:
            # GDPR art. 18, 21: what counted somebody before is counted again without them.
            self.restriction.take_out(lambda subjects: self.erasures.recount(subjects, check))

        return Aggregates(
            AggregateRepository(self.store, self.keys),
            self.reader,
            self.keys,
            self.settings,
            left_out=lambda: self.person_states.current().out_of_research,
            take_out=take_out,
            voided=self.reader.voided,
            kept_since=lambda: self.erasures.kept_since(),
            pupils_only=self._pupils_only,
        )

    @cached_property
    def exports(self) -> Exports:
        """Data packages."""
        return Exports(self.aggregates, self._audited, self.settings, VERSION)

    @cached_property
    def leadership(self) -> Leadership:
        """How this process becomes the one scheduler that works."""
        holder = f"{socket.gethostname()}:{os.getpid()}:{clock.random_bytes(4).hex()}"
        return Leadership(
            LeaseRepository(self.store),
            holder,
            self.settings.lease_seconds,
            clock.steady,
            look=self.store.require_right_clock,
            right=self.store.clock.require,
        )

    @cached_property
    def job_repository(self) -> JobRepository:
        """States and history of jobs."""
        return JobRepository(self.store)

    @cached_property
    def jobs(self) -> Sequence[Job]:
        """What the scheduler runs, and when."""

        def aggregate(lease: Lease) -> Mapping[str, object]:
            return self.aggregates.run(lease.fence, lambda *_: lease.check(), lease.check)._asdict()

        def retention(lease: Lease) -> Mapping[str, object]:
            # GDPR art. 5(2): first, so that it is told whatever becomes of the rest.
            reviews = [activity.id for activity in self.register.overdue_reviews()]
            if reviews:
                _log.warning("reviews of processing activities are overdue", activities=reviews)
            run = self.retention.apply(self._now_us(), dry_run=False, check=lease.check)
            swept = self.attachment_repository.sweep(clock.now())
            audit = self.audit_retention.apply(self._now_us(), dry_run=False, check=lease.check)
            self.receptions.prune(audit.before)
            return {
                "deleted": run.statements,
                "documents": run.documents,
                "sources": len(run.deletions),
                "abandoned": swept,
                "audit_entries": audit.entries,
                "audit_damaged": len(audit.damaged),
                "reviews_overdue": len(reviews),
            }

        def measure(lease: Lease) -> Mapping[str, object]:
            now = self._now_us()
            overdue = self.retention.overdue(now, lease.check)
            Measures(self.store).note_retention(RetentionCounted(now, overdue))
            if overdue:
                # GDPR art. 5(1)(e): whoever reads the log is told, numbers alone.
                _log.warning("statements are kept past their duration", overdue=overdue)
            return {"retention_overdue": overdue}

        def export(lease: Lease) -> Mapping[str, object]:
            package = self.exports.run(actor="job:export", progress=lambda *_: lease.check())
            return {"package": package.path.name, "new": package.new, "rows": package.rows, "hidden": package.hidden}

        def patterns(lease: Lease) -> Mapping[str, object]:
            return self.sessions.run(self.sources_repository.list(), lease.check)._asdict()

        def rewrap(lease: Lease) -> Mapping[str, object]:
            done = self.key_service.rewrap("job:rewrap", check=lease.check)._asdict()
            # A rotation of the documents key that was cut off.
            return {**done, "documents": self.documents_rotation.resume(check=lease.check).values}

        def erasure(lease: Lease) -> Mapping[str, object]:
            ended = self.contracts.run(lease.check)
            deleted = self.deletions.run(lease.check)
            return {**self.erasures.run(lease.check), "deletions": deleted, "activities_ended": ended}

        def requests(lease: Lease) -> Mapping[str, object]:
            removed = self.cases.remove_old(self.settings.request_days, actor="job:requests", check=lease.check)
            standing = self.cases.standing()
            # GDPR art. 12(3): whoever reads the log is told, numbers alone.
            if standing.overdue:
                _log.warning("requests of persons are overdue", overdue=standing.overdue)
            if standing.due_soon:
                _log.info("requests of persons are due soon", days=SOON_DAYS, due=standing.due_soon)
            return {**standing._asdict(), "removed": removed}

        def reindex(lease: Lease) -> Mapping[str, object]:
            return self.index_rotation.reindex("job:reindex", check=lease.check, share=JOB_SHARE)._asdict()

        def reseal(lease: Lease) -> Mapping[str, object]:
            if not self.reseal.due():
                return {"due": False}
            return self.reseal.run("job:reseal", check=lease.check, share=JOB_SHARE)._asdict()

        def rekey(lease: Lease) -> Mapping[str, object]:
            return self.rekey.resume("job:rekey", check=lease.check, share=JOB_SHARE, wait=False)._asdict()

        def anchor(_: Lease) -> Mapping[str, object]:
            return {"anchor": self.audit.anchor()}

        def checkpoint(_: Lease) -> Mapping[str, object]:
            folder = self.settings.audit_checkpoint_dir
            if folder is None:
                return {"checkpoint": "none: SILLAGE_AUDIT_CHECKPOINT_DIR is empty"}
            # Without the folder a file of its name would be written, beside those of before.
            if not folder.is_dir():
                raise FileRefused("SILLAGE_AUDIT_CHECKPOINT_DIR is not a folder.")
            written = self.checkpoints.write(folder, entries=True, actor="job:audit-checkpoint")
            return {"checkpoint": written.name}

        settings = self.settings
        return (
            Job("aggregate", settings.aggregate_cron, aggregate),
            Job("retention", settings.retention_cron, retention),
            Job("patterns", settings.patterns_cron, patterns),
            Job("rewrap", settings.rewrap_cron, rewrap),
            Job("erasure", settings.erasure_cron, erasure),
            Job("requests", settings.requests_cron, requests),
            Job("reindex", settings.reindex_cron, reindex),
            Job("reseal", settings.reseal_cron, reseal),
            Job("rekey", settings.rekey_cron, rekey),
            Job("measure", settings.measure_cron, measure),
            Job("export", settings.export_cron, export),
            Job("audit-anchor", settings.anchor_cron, anchor),
            Job("audit-checkpoint", settings.checkpoint_cron, checkpoint),
        )

    @cached_property
    def scheduler(self) -> Scheduler:
        """Runs the jobs while this process leads."""
        self.check()
        self._hold_keys(alone=True)
        return Scheduler(
            self.jobs,
            self.leadership,
            self.job_repository,
            self._now_us,
            timezone=ZoneInfo(self.settings.timezone),
            grace_seconds=self.settings.graceful_seconds,
        )

    @property
    def presence(self) -> Presence:
        """This process among the others; only in a started service."""
        if self._presence is None:
            raise SillageError("This process does not serve, so it cannot write statements.")
        return self._presence

    @cached_property
    def recorder(self) -> Recorder:
        """Takes statements in."""
        return Recorder(
            statements=self.statements,
            attachments=self.attachments,
            subjects=self.subjects,
            bodies=self.bodies,
            opened=self.reader.each,
            keys=self.keys,
            presence=self.presence,
            profiles=self.profiles,
            protect=self.french.protect,
            states=self.person_states.current,
            public_url=self.settings.public_url,
            max_batch=self.settings.max_batch,
            max_statement_bytes=self.settings.statement_bytes,
            refused=self.metrics.refused,
            learn=self.activities.learn,
            follow=self.sessions.receive,
            admit=self.register.require,
        )

    @cached_property
    def checking(self) -> Checking:
        """Tells what would become of statements."""
        return Checking(self.profiles, self.french, self.settings.max_batch, self.settings.statement_bytes)

    @cached_property
    def library(self) -> Library:
        """Answers queries."""
        return Library(
            statements=self.statements,
            reader=self.reader,
            keys=self.keys,
            presence=self.presence,
            sources=lambda: [source.id for source in self.sources_repository.list()],
            public_url=self.settings.public_url,
            page_limit=self.settings.page_limit,
            definitions=self.activities.definitions,
            attachments=self.attachments,
            states=self.person_states.current,
            turns=self.turns,
        )

    @cached_property
    def turns(self) -> Turns:
        """The turns of large bodies and answers."""
        return Turns(self.settings.threads, self.presence.require)

    @cached_property
    def document_seal(self) -> DocumentSeal:
        """Seals and opens documents."""
        erasing = ErasureRepository(self.store).under_way
        return DocumentSeal(DocumentRepository(self.store), self.subjects, self.keys, erasing, clock.random_bytes)

    @cached_property
    def documents(self) -> Documents:
        """Keeps the documents of State, Activity Profile and Agent Profile."""
        return Documents(
            repository=DocumentRepository(self.store),
            seal=self.document_seal,
            keys=self.keys,
            audit=self.audit.append,
            now_us=self._now_us,
            states=self.person_states.current,
            hold=lambda source, place, content: self.profiles.document(self.access.source(source), place, content),
            misfit=self.profiles.count_document,
            admit=self._admit,
            turns=self.turns,
        )

    @cached_property
    def attachments(self) -> Attachments:
        """Takes the data of attachments in and gives them out."""
        return Attachments(
            self.attachment_repository,
            self.subjects,
            self.keys,
            clock.random_bytes,
            ErasureRepository(self.store).under_way,
        )

    @cached_property
    def activities(self) -> Activities:
        """What is known of activities."""
        return Activities(DefinitionRepository(self.store), self.keys)

    @cached_property
    def people(self) -> People:
        """What is told of a person."""
        return People(self.statements, self.reader, self.keys, self.audit.append, self.person_states.current)

    @cached_property
    def metrics(self) -> operations.Metrics:
        """What this process counts."""
        return operations.Metrics(VERSION)

    @cached_property
    def standing(self) -> standing.Standing:
        """How the store stands, for ``/metrics``."""
        zone = ZoneInfo(self.settings.timezone)

        def here() -> standing.Figures:
            versions = self.keyring.listed()
            active = self.keyring.current.active
            states = Counter(version.state for version in versions)
            since = [one.since or one.created for one in versions if one.number == active]
            return {
                standing.CLOCK_OFFSET: standing.one(self.store.clock.offset_seconds()),
                standing.KEY_VERSIONS: [((state,), states[state]) for state in STATES],
                standing.KEY_ACTIVE: standing.one(active),
                standing.KEY_SINCE: standing.one(since[0].timestamp() if since and since[0] else None),
            }

        def jobs() -> standing.Figures:
            now = self._now_us()
            known = {job.name for job in self.jobs}
            states = [state for state in self.job_repository.states() if state.name in known]
            return {
                standing.LEADS: standing.one(LeaseRepository(self.store).held() is not None),
                standing.JOB_SUCCESS: [((one.name,), one.last_success / 1e6) for one in states if one.last_success],
                standing.JOB_SECONDS: [
                    ((one.name,), one.last_seconds) for one in states if one.last_seconds is not None
                ],
                standing.JOB_LATE: [((one.name,), late_seconds(one, zone, now)) for one in states],
                standing.JOB_RUNS: [((one.name,), one.runs) for one in states],
                standing.JOB_FAILURES: [((one.name,), one.failures) for one in states],
            }

        def measured() -> standing.Figures:
            found = Measures(self.store).read()
            backup, retention = found.backup, found.retention
            return {
                standing.RETENTION: standing.one(retention and retention.overdue),
                standing.RETENTION_AT: standing.one(retention and retention.at / 1e6),
                standing.BACKUP_AT: standing.one(backup and backup.at / 1e6),
                standing.BACKUP_BYTES: standing.one(backup and backup.bytes),
            }

        def rights() -> standing.Figures:
            waiting = self.cases.standing()
            began = ErasureRepository(self.store).open_since()
            return {
                standing.REQUESTS: [
                    (("pending",), waiting.pending),
                    (("due-soon",), waiting.due_soon),
                    (("overdue",), waiting.overdue),
                ],
                standing.ERASURES: standing.one(len(began)),
                standing.ERASURE_AGE: standing.one(
                    max(0.0, self._now_us() / 1e6 - began[0].timestamp()) if began else 0.0
                ),
            }

        def reviews() -> standing.Figures:
            return {standing.REVIEWS: standing.one(len(self.register.overdue_reviews()))}

        def aggregates() -> standing.Figures:
            repository = AggregateRepository(self.store, self.keys)
            through, now = repository.through(), self._now_us()
            return {
                standing.AGGREGATE_LAG: [
                    ((definition.id,), max(0.0, (now - through[definition.id]) / 1e6))
                    for definition in self.aggregates.definitions()
                    if definition.id in through
                ],
                standing.CORRECTIONS: standing.one(repository.waiting()),
            }

        def learners() -> standing.Figures:
            versions = set(WrappedKeys(self.store).versions())
            return {standing.KEYS_BEHIND: standing.one(len(versions - {self.keyring.current.active}))}

        return standing.Standing(
            here,
            (jobs, measured, rights, reviews, aggregates, learners),
            require=self.presence.require,
            within=self.store.within,
        )

    # --- life ---------------------------------------------------------------------------------------

    def initialise(self) -> list[str]:
        """Make what a new store needs, or complete what is there: key file, collections, organisation keys.

        Returns:
            What was done, as words.
        """
        done = []
        folder = self.settings.data_dir
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            done.append("data folder")
        # A new key beside data sealed with a lost one would hide the loss: the data decide.
        if self.key_provider.lost() and self._has_keys():
            raise KeyMissing(
                "The database has data but its key file is missing. Restore it: `sillage keys restore FILE`."
            )
        made = self.key_provider.create(clock.random_bytes, clock.now())
        if made:
            done.append(made)
        self.store.require_transactions()
        self.store.clock.require()
        restoring.refuse_unfinished(self.store)
        done += migrations.migrate(self.store)
        organisation_keys.ensure(self.store, self.keyring, self.settings.organisation)
        return done

    def migrate(self) -> list[str]:
        """Bring the database to this version; on one that ``check`` refuses for anything else, nothing is changed.

        Returns:
            The migrations applied.

        Raises:
            ClockOff, RestoreUnfinished, MigrationMissing, KeyMissing, KeyRefused: as ``check``.
        """
        self.store.require_transactions()
        self.store.clock.require()
        restoring.refuse_unfinished(self.store)
        migrations.refuse_other(self.store)
        # A database that these keys do not open is another store than the settings mean.
        self._require_keys()
        done = migrations.migrate(self.store)
        self.check()
        return done

    def _has_keys(self) -> bool:
        return organisation_keys.present(self.store, self.settings.organisation)

    def check(self) -> None:
        """Refuse to go on with a database of another version, a key that does not open it, or a clock that is off.

        Raises:
            ClockOff, RestoreUnfinished, MigrationMissing, KeyMissing, KeyRefused: says what to do.
        """
        self._check(starting=True)

    def _check(self, *, starting: bool = False) -> None:
        self.store.require_transactions()
        if starting:
            self._require_format()
            self.store.clock.require()
        restoring.refuse_unfinished(self.store)
        if starting:
            # One that runs goes on while its host waits for the upgrade.
            migrations.refuse_other(self.store)
        migrations.check(self.store, COLLECTIONS)
        self._require_keys()

    def _require_format(self) -> None:
        if self.settings.statement_format not in DICTIONARIES:
            known = ", ".join(map(str, sorted(DICTIONARIES)))
            raise SettingsInvalid(f"SILLAGE_STATEMENT_FORMAT is no format that this version knows ({known}).")

    def _require_keys(self) -> None:
        _ = self.keys
        self.keyring.refresh()
        lacking = sorted(set(WrappedKeys(self.store).versions()) - set(self.keyring.current.opening()))
        if lacking:
            raise KeyRefused(
                f"Learners' keys are wrapped with version {', '.join(map(str, lacking))} of the key-encryption key, "
                "which does not open here. Give the key file as the last rotation left it, or the right Transit key."
            )

    def _hold_keys(self, *, alone: bool = False) -> None:
        """Say to those who rotate which keys this process holds, and notice when they change.

        ``alone``: it has no presence that has it empty its caches.
        """
        thread = HolderThread(
            HolderRepository(self.store),
            self.keyring,
            interval=self.settings.heartbeat_seconds,
            ttl=self.settings.process_ttl_seconds,
            epoch=(lambda: current_epoch(self.store)) if alone else None,
            on_epoch=self._forget_keys,
        )
        thread.start()
        self._stack.callback(thread.close)

    def reach(self) -> None:
        """Ask MongoDB for a sign of life; at once, when it did not answer the last beat.

        Raises:
            DatabaseUnavailable: there is none.
        """
        self.presence.require()
        self.store.ping()

    def recheck(self) -> None:
        """``check``, in a service that runs: at once, when MongoDB did not answer the last beat."""
        self.presence.require()
        self._check()

    def start(self) -> None:
        """Check everything, and join the processes that serve."""
        self.check()
        # Before the threads: what is made first is closed last, and an entry after the close would begin a new chain.
        _ = self.audit
        self._hold_keys()
        presence = Presence(
            self.store,
            interval=self.settings.heartbeat_seconds,
            ttl=self.settings.process_ttl_seconds,
            on_epoch=self._forget,
            writers=self.settings.threads,
        )
        presence.start()
        self._presence = presence
        self._stack.callback(presence.close)
        if self.pseudonym_home.elsewhere:
            # What learners are known by must not change with an address.
            _log.info("accounts that replace addresses keep their home page", home_page=self.pseudonym_home())
        # A restore looks for living processes once it has noted itself, and this process, now that it is among them,
        # for that note: whichever came first, one of them sees the other.
        restoring.refuse_unfinished(self.store)
        stop = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(stop,), name="housekeeping", daemon=True)
        keeper.start()
        self._stack.callback(keeper.join)
        self._stack.callback(stop.set)

    def _keep(self, stop: threading.Event) -> None:
        """Write the verdict counters, anchor the audit log and link references, now and then, beside the requests."""
        ended = False
        due = 0.0
        while not ended:
            ended = stop.wait(self.settings.heartbeat_seconds)
            try:
                self.profiles.flush()
                if not ended:
                    self.audit.anchor_if_due(self._now_us())
                    if clock.steady() >= due:
                        due = clock.steady() + _LINKING_SECONDS
                        for _ in range(_LINKED_IN_A_ROW):
                            if stop.is_set() or not self.statements.link_some():
                                break
                        else:
                            due = 0.0
            except Exception as failed:
                # What could not be written now is tried again; this thread must not end.
                _log.warning("housekeeping failed", kind=type(failed).__name__)

    def close(self) -> None:
        """Write what is pending and let go of everything. Safe to call twice."""
        self._stack.close()

    def _forget(self) -> None:
        self._forget_keys()
        self.access.forget()
        self.person_states.forget()
        self.profiles.forget()
        self.nomenclatures.forget()
        self.register.forget()

    def _forget_keys(self) -> None:
        """What is in memory of learners: their keys, and identifiers beside their tokens."""
        self.subjects.forget()
        # Not made for this: it would be asked for in the midst of a beat.
        if "keys" in self.__dict__:
            self.keys.forget()

    def _forgotten(self, epoch: int) -> bool:
        """Wait until every process has emptied its caches, a scheduler too; false if one takes too long."""
        interval, ttl = self.settings.heartbeat_seconds, self.settings.process_ttl_seconds
        holders = HolderRepository(self.store)
        return self._observer().wait_for_epoch(epoch) and holders.wait_for_epoch(epoch, interval=interval, ttl=ttl)

    def _settled(self) -> int:
        """A bound in microseconds: no statement up to it can still appear, none after it was stamped before now."""
        observer = self._observer()
        until = max(clock.now_us(), observer.highest()) + 1
        if not observer.wait_for_floor(until):
            raise DatabaseUnavailable("A write under way takes long. Run the command again.")
        return until

    def _trusted(self) -> bool:
        return self._presence is not None and self._presence.fresh()

    def _observer(self) -> Observer:
        return Observer(self.store, interval=self.settings.heartbeat_seconds, ttl=self.settings.process_ttl_seconds)

    def _announce(self) -> None:
        # Nobody may still accept what was revoked when the command ends.
        epoch = next_epoch(self.store)
        if not self._observer().wait_for_epoch(epoch):
            raise DatabaseUnavailable(
                "The change is stored, but a process has not taken notice of it in time. Run the command again."
            )

    def _audited(self, kind: str, actor: str, detail: Mapping[str, object]) -> None:
        self.audit.append(kind, actor, detail)


class _Figures:
    """What deletions ask of the aggregates."""

    def __init__(self, repository: AggregateRepository, timezone: str) -> None:
        self._repository = repository
        self._timezone = timezone

    def months_counted(self, batch: Sequence[Plain]) -> set[str]:
        return months_counted(batch, self._timezone)

    def note_correction(self, months: Sequence[str]) -> None:
        self._repository.note_correction(months)


def _quietly(close: object) -> None:
    try:
        if callable(close):
            close()
    except SillageError:
        # A chain that could not be closed is reported by `sillage audit verify` as not closed.
        return


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application of one worker process, its container started.

    Raises:
        SillageError: settings, keys or database do not allow to serve; the detail says what to do.
    """
    chosen = load(os.environ) if settings is None else settings
    container = Container(chosen)
    container.start()
    app = Flask("sillage", static_folder=None)
    # A redirection would be to the address that this server sees, which behind a proxy is neither the name nor TLS.
    # ``paths`` takes slashes together instead, under the prefix of xAPI.
    app.url_map.merge_slashes = False
    app.extensions["sillage"] = container
    # What a client may send at all; each resource has its own, lower or equal, limit.
    app.config["MAX_FORM_MEMORY_SIZE"] = 0
    app.json.sort_keys = False  # type: ignore[attr-defined] # the default provider has it
    metrics = container.metrics
    logs.install(app, metrics.answered, quiet=operations.ENDPOINTS)
    authenticators = Authenticators((Basic(container.access),))
    app.extensions[AUTHENTICATORS] = authenticators
    rendering = web_errors.Rendering(PREFIX)
    web_errors.install(app, rendering, authenticators.challenges)
    compression.install(app)
    caching.install(app, {about.ENDPOINT})
    body.install(app)
    alternate.install(app, prefix=PREFIX, max_body_bytes=chosen.max_body_bytes)
    # The outermost: whatever looks at a path after it, forms included, sees the one that is meant.
    paths.install(app, prefix=PREFIX)
    origins, prefixes = split_origins(chosen.cors_origins), (PREFIX, "/api/v1")
    cors.install(app, origins, prefixes)
    app.extensions[operations.EXTENSION] = metrics
    app.extensions[EXTENSION] = Refusal(
        headers.headers_outside(PREFIX, chosen.default_version, container.library.consistent_through),
        cors.headers_outside(origins, prefixes),
        rendering=rendering,
        count=metrics.shed,
        meant=partial(paths.meant, prefix=PREFIX),
    )
    purposes = Purposes(
        split_purposes(chosen.purposes),
        required=chosen.purpose_required,
        activity=lambda source: container.access.source(source).activity,
    )
    gate = Gate(
        authenticators,
        container.presence.require,
        purposes.note,
        CrossSite(origins).require,
        writing=container.presence.require_right_clock,
    )
    headers.install(app, PREFIX, chosen.default_version, container.library.consistent_through)
    app.register_blueprint(
        statements_resource.blueprint(
            gate=gate,
            access=container.access,
            recorder=container.recorder,
            library=container.library,
            audit=container.audit.append,
            metrics=metrics,
            turns=container.turns,
            max_body_bytes=chosen.max_body_bytes,
            max_attachments_bytes=chosen.max_attachments_bytes,
            page_limit=chosen.page_limit,
            prefix=urlsplit(chosen.public_url).path.rstrip("/") + PREFIX,
        ),
        url_prefix=PREFIX,
    )
    app.register_blueprint(
        documents_resource.blueprint(
            gate=gate, access=container.access, documents=container.documents, max_body_bytes=chosen.max_body_bytes
        ),
        url_prefix=PREFIX,
    )
    app.register_blueprint(agents.blueprint(gate, container.people), url_prefix=PREFIX)
    app.register_blueprint(activities.blueprint(gate, container.activities), url_prefix=PREFIX)
    limits = {
        "bodyBytes": chosen.max_body_bytes,
        "attachmentsBytes": chosen.max_attachments_bytes,
        "attachmentsPerRequest": MAX_ATTACHMENTS,
        "statementsPerRequest": chosen.max_batch,
        "statementBytes": chosen.statement_bytes,
        "valuesPerRequest": MAX_VALUES,
        "identifierCharacters": MAX_IDENTIFIER_LENGTH,
        "statementsPerPage": chosen.page_limit,
    }
    app.register_blueprint(about.blueprint(limits), url_prefix=PREFIX)
    app.register_blueprint(
        aggregates_api.blueprint(gate, container.aggregates, container.audit.append), url_prefix="/api/v1"
    )
    app.register_blueprint(
        retention_api.blueprint(
            gate,
            container.retention,
            container.register,
            container.audit,
            container.audit_search,
            container.recipients.labels,
        ),
        url_prefix="/api/v1",
    )
    app.register_blueprint(access_api.blueprint(gate, container.packages), url_prefix="/api/v1")
    app.register_blueprint(
        persons_api.blueprint(gate, container.persons, container.erasures, container.disclosures), url_prefix="/api/v1"
    )
    app.register_blueprint(
        requests_api.blueprint(gate, container.cases, container.recipients.labels), url_prefix="/api/v1"
    )
    app.register_blueprint(
        restriction_api.blueprint(
            gate, container.persons, container.restriction, container.rectification, chosen.statement_bytes
        ),
        url_prefix="/api/v1",
    )
    app.register_blueprint(accounts_api.blueprint(gate, container.accounts), url_prefix="/api/v1")
    app.register_blueprint(verdicts_api.blueprint(gate, container.profiles, container.sessions), url_prefix="/api/v1")
    app.register_blueprint(
        check_api.blueprint(gate, container.access, container.checking, container.turns, chosen.max_body_bytes),
        url_prefix="/api/v1",
    )
    app.register_blueprint(
        operations.blueprint(
            metrics,
            {
                "database": container.reach,
                "clock": container.store.clock.require,
                "migrations": operations.remembered(container.recheck, 5.0),
            },
            lambda: gate.principal(scopes.METRICS),
            trust_host=not chosen.behind_tls,
            standing=container.standing,
        )
    )
    return app
