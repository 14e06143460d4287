"""The services of ``operations/``, each built when it is first asked for, and its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

import structlog

from app.access.credentials import Sources
from app.access.restrictions.store import DataSubjectStateRepository
from app.core import clock
from app.core.personal_data import PersonalDataStore
from app.core.release import RELEASE
from app.governance.audit.store import AuditRepository
from app.keys.learners import KEEP_SECONDS, WrappedKeys
from app.keys.rekeying import RekeyRepository
from app.operations.agenda import Agenda
from app.operations.backup.service import Backups
from app.operations.decisions import Decisions
from app.operations.figures import Figures
from app.operations.measures import Measures, RetentionCounted
from app.operations.minors import MinorsPass, Surroundings
from app.operations.minors_store import MinorsRepository
from app.operations.rotation.documents_key import DocumentsRotation
from app.operations.rotation.index_key import JOB_SHARE, IndexRotation
from app.operations.rotation.index_tokens import TokenRepository
from app.operations.rotation.kek import Keys
from app.operations.rotation.learner_ciphertexts import LearnerCiphertexts
from app.operations.rotation.rekey import Rekey
from app.operations.rotation.reseal import Reseal
from app.operations.rotation.resealing import ResealRepository
from app.operations.schema.catalogue import personal_data
from app.operations.source_rules import SourceRules
from app.people.requests.store import DataSubjectRequestRepository
from app.people.services_above import Starting
from app.platform.feature_services import FeatureServices
from app.platform.jobs.lease import Lease
from app.platform.jobs.run import Job
from app.platform.mongo.collection import DataContext
from app.retention import wiring
from app.retention.certificate_store import CertificateRepository
from app.retention.wiring import RetentionServices
from app.retention.yearly_store import RetentionYears

_log = structlog.stdlib.get_logger("sillage.operations")


class Restoring(Starting, Protocol):
    """The life of this process, as these services and those below see it."""

    def restored(self) -> None:
        """Note that the restored database is in force: this process alone works on it until the restore has ended."""


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services see it."""

    @property
    def retention(self) -> RetentionServices:
        """Durations of what is kept."""

    @property
    def lifecycle(self) -> Restoring:
        """The life of this process, which is told of a restore."""


class OperationServices(FeatureServices):
    """Services for operators of a whole store: sources, backups, rotations, policies about minors, figures."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._container = container
        self._settings = container.settings
        self._platform = container.platform
        self._keys = container.keys
        self._governance = container.governance
        self._access = container.access
        self._traces = container.traces
        self._people = container.people
        self._retention = container.retention
        self._schools = container.schools

    @cached_property
    def personal_data(self) -> Sequence[PersonalDataStore]:
        """The part of each collection in the rights of data subjects."""
        return personal_data(DataContext(self._platform.store, self._keys.organisation, self._keys.subjects))

    # --- sources ------------------------------------------------------------------------------------

    @cached_property
    def sources(self) -> Sources:
        """Registers sources, issues and revokes credentials."""
        rules = SourceRules(
            self._governance.register,
            self._traces.profiles,
            self._people,
            self._retention,
            self._schools.directory,
            self._platform.today,
        )
        return Sources(
            self._access.sources_repository,
            rules=rules,
            audit=self._governance.sink,
            announcer=self._platform.processes,
            zone=self._platform.zone,
        )

    @cached_property
    def minors_pass(self) -> MinorsPass:
        """Applies policies about minors to what is stored."""
        store, traces = self._platform.store, self._traces
        return MinorsPass(
            repository=MinorsRepository(store),
            statements=traces.statements,
            placed=TokenRepository(store),
            erasure_targets=self._people.erasure_targets,
            attachments=traces.attachment_repository,
            accounts=self._retention.account_repository,
            subjects=self._keys.subjects,
            cipher=self._keys.data_subject_cipher,
            bodies=traces.bodies,
            keys=self._keys.organisation,
            audit=self._governance.sink,
            random=clock.random_bytes,
            zone=self._platform.zone,
            around=Surroundings(
                policy=traces.minors_policy,
                processes=self._platform.processes,
                states=DataSubjectStateRepository(store),
                erasures=self._people.erasure_repository,
                figures=self._container.research.aggregate_repository,
                activities=traces.activities,
                sessions=traces.sessions,
                sources=self._access.sources_repository,
                outside=self.backups,
            ),
        )

    # --- backups, figures ---------------------------------------------------------------------------

    @cached_property
    def backups(self) -> Backups:
        """Backups and restores."""
        return Backups(
            database=self._platform,
            keys=self._keys,
            organisation=self._settings.organisation,
            release=RELEASE,
            tombstones_file=self._settings.tombstones_path,
            audit=self._governance.sink,
            lifecycle=self._container.lifecycle,
            decisions=Decisions(self._people, self._retention, self),
            heartbeat_seconds=self._settings.heartbeat_seconds,
            process_ttl_seconds=self._settings.process_ttl_seconds,
        )

    @cached_property
    def figures(self) -> Figures:
        """Yearly figures."""
        store = self._platform.store
        return Figures(
            requests=DataSubjectRequestRepository(store),
            erasures=self._people.erasure_repository,
            states=DataSubjectStateRepository(store),
            certificates=CertificateRepository(store),
            retention=RetentionYears(store),
            zone=self._platform.zone,
            now=clock.now,
            request_days=self._settings.request_days,
        )

    @cached_property
    def agenda(self) -> Agenda:
        """The agenda of the data protection officer."""
        store = self._platform.store
        return Agenda(
            requests=self._people.requests,
            register=self._governance.register,
            ended=self._retention.contracts.ended_now,
            sources=self._access.sources_repository,
            erasures=self._people.erasure_repository,
            measures=Measures(store),
            log=AuditRepository(store),
            jobs=self._platform.job_repository,
            now=clock.now,
            zone=self._platform.zone,
        )

    # --- rotations ----------------------------------------------------------------------------------

    @cached_property
    def key_service(self) -> Keys:
        """The life of the key-encryption keys."""
        return Keys(
            self._platform.store,
            self._keys,
            self._settings.organisation,
            self._governance.sink,
            self._traces,
            self._settings.process_ttl_seconds,
        )

    @cached_property
    def index_rotation(self) -> IndexRotation:
        """The rotation of the index key."""
        settings = self._settings
        return IndexRotation(
            self._platform.store,
            self._keys,
            settings.organisation,
            self._access.sources_repository,
            self._traces,
            self._governance.sink,
            # A process looks after half of the first; what it has begun ends by two waits for MongoDB.
            settings.process_ttl_seconds + 2 * settings.mongodb_timeout_seconds,
            self._people.erasure_repository,
            self._platform.zone,
            self._traces.whereabouts_entries,
        )

    @cached_property
    def documents_rotation(self) -> DocumentsRotation:
        """The rotation of the documents key."""
        settings = self._settings
        return DocumentsRotation(
            self._platform.store,
            self._keys,
            settings.organisation,
            self._governance.sink,
            # As for the index key.
            settings.process_ttl_seconds + 2 * settings.mongodb_timeout_seconds,
        )

    @cached_property
    def reseal(self) -> Reseal:
        """Moves statements to the format in which they are written now."""
        return Reseal(ResealRepository(self._platform.store), self._traces, self._keys, self._governance.sink)

    @cached_property
    def rekey(self) -> Rekey:
        """Gives learners new keys."""
        settings, store = self._settings, self._platform.store
        return Rekey(
            repository=RekeyRepository(store),
            ciphertexts=LearnerCiphertexts(store),
            learners=WrappedKeys(store),
            bodies_written=ResealRepository(store),
            keys=self._keys,
            organisation=settings.organisation,
            stock=self._traces,
            audit=self._governance.sink,
            processes=self._platform.processes,
            forgetting=self._keys.forgetting,
            # A command is told of nothing: it looks again after the first; what it has begun ends by two waits.
            settle_seconds=max(KEEP_SECONDS, settings.process_ttl_seconds) + 2 * settings.mongodb_timeout_seconds,
        )

    # --- jobs ---------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        """Its jobs."""
        settings = self._settings
        return (
            Job("rewrap", settings.rewrap_cron, self._rewrap),
            Job("reindex", settings.reindex_cron, self._reindex),
            Job("reseal", settings.reseal_cron, self._reseal),
            Job("rekey", settings.rekey_cron, self._rekey),
            Job("measure", settings.measure_cron, self._measure),
        )

    def _rewrap(self, lease: Lease) -> Mapping[str, object]:
        done = self.key_service.rewrap("job:rewrap", check=lease.check)._asdict()
        # A rotation of the documents key that was cut off.
        return {**done, "documents": self.documents_rotation.resume(check=lease.check).values}

    def _reindex(self, lease: Lease) -> Mapping[str, object]:
        done = self.index_rotation.reindex("job:reindex", check=lease.check, share=JOB_SHARE)._asdict()
        # Statements of an earlier version, which knew no perimeters.
        return {**done, "completed": self.index_rotation.complete(lease.check, JOB_SHARE)}

    def _reseal(self, lease: Lease) -> Mapping[str, object]:
        if not self.reseal.due():
            return {"due": False}
        return self.reseal.run("job:reseal", check=lease.check, share=JOB_SHARE)._asdict()

    def _rekey(self, lease: Lease) -> Mapping[str, object]:
        return self.rekey.resume("job:rekey", check=lease.check, share=JOB_SHARE, wait=False)._asdict()

    def _measure(self, lease: Lease) -> Mapping[str, object]:
        now = self._platform.now_us()
        overdue = self._retention.service.overdue(now, lease.check)
        Measures(self._platform.store).note_retention(RetentionCounted(now, overdue))
        if overdue:
            # GDPR art. 5(1)(e): whoever reads the log is told, numbers alone.
            _log.warning("statements are kept past their duration", overdue=overdue)
        return {"retention_overdue": overdue}
