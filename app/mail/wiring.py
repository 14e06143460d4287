"""The services of ``mail/``, each built when it is first asked for, and its job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

from app.core import clock
from app.governance import wiring
from app.governance.wiring import GovernanceServices
from app.mail.messages import Composer, Service
from app.mail.outbox_store import OutboxRepository
from app.mail.service import Mail
from app.mail.transport import Transport
from app.platform.feature_services import FeatureServices
from app.platform.jobs.lease import Lease
from app.platform.jobs.run import Job


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services see it."""

    @property
    def governance(self) -> GovernanceServices:
        """The audit log."""


class MailServices(FeatureServices):
    """Messages by e-mail."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._settings = container.settings
        self._platform = container.platform
        self._keys = container.keys
        self._governance = container.governance

    @cached_property
    def mail(self) -> Mail:
        """Messages by e-mail."""
        settings = self._settings
        return Mail(
            OutboxRepository(self._platform.store),
            self._keys.organisation,
            Composer(Service(settings.service_name, settings.public_url, settings.contact)),
            (lambda: Transport(settings)) if settings.smtp_host else None,
            settings.smtp_sender,
            self._governance.sink,
            self._platform.now_us,
            clock.random_bytes,
        )

    def jobs(self) -> Sequence[Job]:
        """Its job."""
        return (Job("mail", self._settings.mail_cron, self._deliver),)

    def _deliver(self, lease: Lease) -> Mapping[str, object]:
        return self.mail.deliver(lease.check)._asdict()
