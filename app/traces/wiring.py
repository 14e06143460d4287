"""The services of ``traces/``, each built when it is first asked for, and its job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from threading import Event
from typing import Protocol

from app.access import wiring
from app.access.wiring import AccessServices
from app.core import clock
from app.crypto.bodies import Bodies
from app.platform.feature_services import FeatureServices
from app.platform.jobs.lease import Lease
from app.platform.jobs.run import Job
from app.schools.wiring import SchoolServices
from app.traces.conformance.minors_policy import MinorsPolicy
from app.traces.conformance.nomenclature_store import NomenclatureRepository
from app.traces.conformance.nomenclatures import Nomenclatures
from app.traces.conformance.profile_store import ProfileRepository
from app.traces.conformance.pseudonym_home_store import PseudonymHome
from app.traces.conformance.school_checks import SchoolChecks
from app.traces.conformance.session_store import SessionRepository
from app.traces.conformance.sessions import Sessions
from app.traces.conformance.verdicts import ConformanceService
from app.traces.documents.cipher import DocumentCipher
from app.traces.documents.service import Documents
from app.traces.documents.store import DocumentRepository
from app.traces.ingest.checking import Checking
from app.traces.ingest.recording import Recorder
from app.traces.ingest.repeats import Repeats
from app.traces.quality.arrivals import Arrivals
from app.traces.quality.store import ArrivalRepository
from app.traces.queries.agents import AgentQueries
from app.traces.queries.statements import StatementQueries
from app.traces.services_above import CountingWeb, ErasingServices
from app.traces.statements.activities import Activities
from app.traces.statements.activity_store import DefinitionRepository
from app.traces.statements.attachment_store import AttachmentRepository
from app.traces.statements.attachments import Attachments
from app.traces.statements.body_formats import bodies
from app.traces.statements.index_tokens import ReachBounds, VoidingVerbTokens
from app.traces.statements.linking import Linking
from app.traces.statements.reader import StatementReader
from app.traces.statements.referred import Referred
from app.traces.statements.store import Statements
from app.traces.statements.whereabouts_entries import WhereaboutsEntries
from app.traces.turns import Turns


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services see it."""

    @property
    def access(self) -> AccessServices:
        """Sources, and whose data may only be stored."""

    @property
    def schools(self) -> SchoolServices:
        """The directory of schools."""

    @property
    def people(self) -> ErasingServices:
        """Erasures under way."""

    @property
    def web(self) -> CountingWeb:
        """Counts refusals."""


class TraceServices(FeatureServices):
    """Statements and documents: taken in, checked, kept, read."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._container = container
        self._settings = container.settings
        self._platform = container.platform
        self._keys = container.keys
        self._governance = container.governance
        self._access = container.access
        self._schools = container.schools

    # --- statements ---------------------------------------------------------------------------------

    @cached_property
    def bodies(self) -> Bodies:
        """Seals and opens statements."""
        return bodies(self._settings, clock.random_bytes)

    @cached_property
    def statements(self) -> Statements:
        """The stored statements."""
        return Statements(self._platform.store, VoidingVerbTokens(self._keys))

    @cached_property
    def linking(self) -> Linking:
        """Links references between statements."""
        return Linking(self.statements, clock.steady)

    @cached_property
    def reader(self) -> StatementReader:
        """Opens stored statements."""
        erasing = self._container.people.erasure_repository
        return StatementReader(
            self.statements, self._keys.subjects, self.bodies, self._platform.processes.observer(), erasing
        )

    @cached_property
    def attachment_repository(self) -> AttachmentRepository:
        """The sealed data of attachments."""
        return AttachmentRepository(self._platform.store)

    @cached_property
    def attachments(self) -> Attachments:
        """Takes the data of attachments in and gives them out."""
        return Attachments(
            self.attachment_repository,
            self._keys.subjects,
            self._keys.organisation,
            clock.random_bytes,
            self._container.people.erasure_repository,
        )

    @cached_property
    def activities(self) -> Activities:
        """Definitions of activities."""
        return Activities(DefinitionRepository(self._platform.store), self._keys.organisation)

    # --- profiles, nomenclatures, minors ------------------------------------------------------------

    @cached_property
    def profiles(self) -> ConformanceService:
        """Loaded profiles and verdicts."""
        return ConformanceService(
            ProfileRepository(self._platform.store),
            self._governance.sink,
            self._platform.processes,
            Referred(self),
            self.school_checks,
        )

    @cached_property
    def sessions(self) -> Sessions:
        """Sessions held to the patterns of profiles."""
        return Sessions(
            repository=SessionRepository(self._platform.store),
            profiles=self.profiles,
            statements=self.statements,
            reader=self.reader,
            subjects=self._keys.subjects,
            keys=self._keys.organisation,
            random=clock.random_bytes,
            now_us=self._platform.now_us,
        )

    @cached_property
    def nomenclatures(self) -> Nomenclatures:
        """The nomenclature of courses of study, with its history."""
        repository = NomenclatureRepository(self._platform.store)
        return Nomenclatures(repository, self._governance.sink, self._platform.processes)

    @cached_property
    def school_checks(self) -> SchoolChecks:
        """Checks of schools and courses of study."""
        return SchoolChecks(self.nomenclatures, self._schools.directory, lambda: clock.now().date())

    @cached_property
    def minors_policy(self) -> MinorsPolicy:
        """The policies of sources about minors."""
        refusals = self._container.web.metrics
        return MinorsPolicy(
            self._keys.organisation, self._governance.sink, self.profiles, refusals, self.pseudonym_home
        )

    @cached_property
    def pseudonym_home(self) -> PseudonymHome:
        """The home page of the accounts that replace addresses."""
        return PseudonymHome(self._platform.store, self._settings.public_url)

    @cached_property
    def checking(self) -> Checking:
        """Tells what would become of statements."""
        return Checking(
            self.profiles,
            self.school_checks,
            self.minors_policy,
            self._settings.max_batch,
            self._settings.statement_bytes,
        )

    # --- taking in, answering -----------------------------------------------------------------------

    @cached_property
    def recorder(self) -> Recorder:
        """Takes statements in."""
        return Recorder(
            statements=self.statements,
            repeats=Repeats(self.statements, self._keys.organisation),
            attachments=self.attachments,
            subjects=self._keys.subjects,
            bodies=self.bodies,
            reader=self.reader,
            keys=self._keys.organisation,
            presence=self._platform.presence,
            profiles=self.profiles,
            protect=self.minors_policy.protect,
            states=self._access.data_subject_states,
            public_url=self._settings.public_url,
            max_batch=self._settings.max_batch,
            max_statement_bytes=self._settings.statement_bytes,
            counter=self._container.web.metrics,
            activities=self.activities,
            sessions=self.sessions,
            register=self._governance.register,
            zone=self._platform.zone,
            arrivals=self.arrivals,
        )

    @cached_property
    def arrivals(self) -> Arrivals:
        """Counts what arrives of each source, and tells it."""
        return Arrivals(ArrivalRepository(self._platform.store), self._platform.now_us)

    @cached_property
    def statement_queries(self) -> StatementQueries:
        """Answers queries."""
        return StatementQueries(
            statements=self.statements,
            reader=self.reader,
            keys=self._keys.organisation,
            presence=self._platform.presence,
            sources=self._access.sources_repository,
            public_url=self._settings.public_url,
            page_limit=self._settings.page_limit,
            activities=self.activities,
            attachments=self.attachments,
            states=self._access.data_subject_states,
            turns=self.turns,
            bounds=ReachBounds(self._keys.organisation, self._platform.zone, self._platform.today),
            entries=self.whereabouts_entries,
            zone=self._platform.zone,
        )

    @cached_property
    def whereabouts_entries(self) -> WhereaboutsEntries:
        """Entries of school and day of what an earlier version stored."""
        return WhereaboutsEntries(self._platform.store)

    @cached_property
    def turns(self) -> Turns:
        """The turns of large bodies and answers."""
        return Turns(self._settings.threads, self._platform.presence.require)

    @cached_property
    def agents(self) -> AgentQueries:
        """The Person Objects of agents."""
        audit, states = self._governance.audit, self._access.data_subject_states
        return AgentQueries(
            self.statements, self.reader, self._keys.organisation, audit, states, self.statement_queries
        )

    # --- documents ----------------------------------------------------------------------------------

    @cached_property
    def document_cipher(self) -> DocumentCipher:
        """Seals and opens documents."""
        erasing = self._container.people.erasure_repository
        repository = DocumentRepository(self._platform.store)
        return DocumentCipher(repository, self._keys.subjects, self._keys.organisation, erasing, clock.random_bytes)

    @cached_property
    def documents(self) -> Documents:
        """Keeps the documents of State, Activity Profile and Agent Profile."""
        return Documents(
            repository=DocumentRepository(self._platform.store),
            cipher=self.document_cipher,
            keys=self._keys.organisation,
            audit=self._governance.audit,
            now_us=self._platform.now_us,
            states=self._access.data_subject_states,
            rules=self.profiles,
            sources=self._access.admission,
            turns=self.turns,
        )

    # --- beside requests ----------------------------------------------------------------------------

    def keep(self, stop: Event) -> None:
        """Write the counters of verdicts and arrivals; link references, now and then."""
        self.profiles.flush()
        self.arrivals.flush()
        self.linking.keep(stop)

    def forget(self) -> None:
        """Empty the caches."""
        self.profiles.forget()
        self.nomenclatures.forget()
        self.whereabouts_entries.forget()

    # --- jobs ---------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        """Its job."""
        return (Job("patterns", self._settings.patterns_cron, self._patterns),)

    def _patterns(self, lease: Lease) -> Mapping[str, object]:
        return self.sessions.run(self._access.sources_repository.list(), lease.check)._asdict()
