"""The services of ``governance/``, each built when it is first asked for, and its jobs."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from threading import Event
from typing import Protocol

from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.errors import FileRefused, SillageError
from app.governance.audit.checkpoints import Checkpoints
from app.governance.audit.log import Audit
from app.governance.audit.spool import HostSpools, Spool
from app.governance.audit.store import AuditRepository
from app.governance.kept_since import KeptSince
from app.governance.register.purposes import Purpose
from app.governance.register.service import Register
from app.governance.register.store import ProcessingActivityRepository
from app.keys import wiring
from app.keys.wiring import KeyServices
from app.platform.cluster.processes import notes
from app.platform.feature_services import FeatureServices
from app.platform.jobs.lease import Lease
from app.platform.jobs.run import Job
from app.settings import split_purposes


class OverHttp(Protocol):
    """The purpose of the request that is answered, and the metrics of this process."""

    def stated_purpose(self) -> Mapping[str, object]:
        """The purpose of the current request, for the detail of an audit entry; empty outside a request."""

    def spooled(self, waiting: int, seconds: float, aside: int) -> None:
        """Count entries of the audit log that wait in the spool, since when, and files that are kept."""


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services see it."""

    @property
    def keys(self) -> KeyServices:
        """The organisation's keys."""

    @property
    def web(self) -> OverHttp:
        """The request that is answered, and metrics."""


class GovernanceServices(FeatureServices):
    """The audit log and its checkpoints, the register of processing activities, the purpose of a command."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._container = container
        self._settings = container.settings
        self._platform = container.platform
        self._keys = container.keys
        self._spool: Spool | None = None

    @cached_property
    def purpose(self) -> Purpose:
        """The purpose of a command."""
        return Purpose(split_purposes(self._settings.purposes), required=self._settings.purpose_required)

    @cached_property
    def audit(self) -> Audit:
        """The audit log."""
        store = self._platform.store
        # What is on record of whatever a command does is its time.
        store.require_right_clock()
        log = Audit(
            AuditRepository(store),
            self._keys.organisation,
            store.clock.now_us,
            clock.random_bytes,
            lambda: {**self.purpose.stated(), **self._container.web.stated_purpose()},
        )
        log.spools = self._spools(log)
        self._container.closing.callback(_close, log)
        return log

    def _spools(self, log: Audit) -> HostSpools:
        settings, store = self._settings, self._platform.store
        return HostSpools(
            settings.spool_dir,
            log,
            AuditRepository(store),
            store=self._keys.organisation.mac("audit-spool", settings.database.encode()).hex()[:32],
            host=socket.gethostname(),
            now=store.clock.now_us,
            notes=lambda: notes(store, "spool", settings.process_ttl_seconds),
        )

    def start_spool(self) -> None:
        """Have the readings of this process, which serves, written to the spool, if there is to be one."""
        folder, platform = self._settings.spool_dir, self._platform
        if folder is None:
            return
        self._spool = Spool(
            folder,
            self._spools(self.audit),
            self.audit,
            AuditRepository(platform.store),
            within=platform.store.within,
            note=partial(platform.presence.note, "spool"),
            tell=self._container.web.spooled,
        )
        self._spool.start()
        self._container.closing.callback(self._spool.close)
        self.audit.spool_to(self._spool)

    def require_spool(self) -> None:
        """Refuse to serve while audit entries of readings could not be written.

        Raises:
            AuditUnavailable: they cannot be.
        """
        if self._spool is not None:
            self._spool.require()

    @cached_property
    def sink(self) -> AuditSink:
        """Takes entries of the audit log, which is opened for the first one."""
        return Sink(self)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """Signed checkpoints of the audit log."""
        repository = AuditRepository(self._platform.store)
        return Checkpoints(self.audit, repository, self._settings.organisation, self._keys)

    @cached_property
    def kept_since(self) -> KeptSince:
        """Since when retention cannot have deleted anything."""
        return KeptSince(self.register, AuditRepository(self._platform.store))

    @cached_property
    def register(self) -> Register:
        """The register of processing activities."""
        store = self._platform.store
        return Register(ProcessingActivityRepository(store), self.audit, store.clock.now_us, self._platform.zone)

    def keep(self, stop: Event) -> None:
        """Anchor the audit log, now and then; its end anchors it when the process ends."""
        if not stop.is_set():
            self.audit.anchor_if_due(self._platform.now_us())

    def forget(self) -> None:
        """Empty the caches."""
        self.register.forget()

    def jobs(self) -> Sequence[Job]:
        """Its jobs."""
        return (
            Job("audit-anchor", self._settings.anchor_cron, self._anchor),
            Job("audit-checkpoint", self._settings.checkpoint_cron, self._checkpoint),
        )

    def _anchor(self, _: Lease) -> Mapping[str, object]:
        return {"anchor": self.audit.anchor()}

    def _checkpoint(self, _: Lease) -> Mapping[str, object]:
        folder = self._settings.audit_checkpoint_dir
        if folder is None:
            return {"checkpoint": "none: SILLAGE_AUDIT_CHECKPOINT_DIR is empty"}
        # Without the folder a file of its name would be written, beside those of before.
        if not folder.is_dir():
            raise FileRefused("SILLAGE_AUDIT_CHECKPOINT_DIR is not a folder.")
        written = self.checkpoints.write(folder, entries=True, actor="job:audit-checkpoint")
        return {"checkpoint": written.name}


class Sink:
    """The audit log for whoever only writes to it."""

    def __init__(self, governance: GovernanceServices) -> None:
        """Nothing is opened yet."""
        self._governance = governance

    def append(self, kind: str, actor: str, detail: Mapping[str, object]) -> None:
        """Append an entry to the audit log, which is opened for the first one."""
        self._governance.audit.append(kind, actor, detail)


def _close(log: Audit) -> None:
    try:
        log.close()
    except SillageError:
        # A chain that could not be closed is reported by `sillage audit verify` as not closed.
        return
