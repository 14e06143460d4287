"""The services of ``platform/``, each built when first asked for: database, processes, leadership, history of jobs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from functools import cached_property
from typing import Protocol
from zoneinfo import ZoneInfo

from app.core import clock
from app.core.errors import SillageError
from app.platform.cluster.membership import Presence
from app.platform.cluster.peers import Peers
from app.platform.feature_services import FeatureServices
from app.platform.jobs.lease import Leadership
from app.platform.jobs.store import JobRepository, LeaseRepository
from app.platform.mongo.connection import Store
from app.platform.mongo.embedded import server as embedded
from app.settings import Settings


class Needs(Protocol):
    """The container, as far as these services see it."""

    @property
    def settings(self) -> Settings:
        """The settings."""

    @property
    def closing(self) -> ExitStack:
        """The stack of what is to be closed, the last first."""


class PlatformServices(FeatureServices):
    """The database, this process among the others, leadership and history of jobs."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._container = container
        self._settings = container.settings
        self._presence: Presence | None = None

    @cached_property
    def store(self) -> Store:
        """The connection; starts the embedded server when no MongoDB is configured."""
        settings, closing = self._settings, self._container.closing
        uri = closing.enter_context(embedded.choose(settings))
        opened = Store.open(uri, settings.database, timeout_seconds=settings.mongodb_timeout_seconds)
        closing.callback(opened.close)
        return opened

    def now_us(self) -> int:
        """Microseconds since 1970 UTC; not by this host's clock while that is off."""
        return self.store.clock.now_us()

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone of the organisation: of its days, weeks and months."""
        return ZoneInfo(self._settings.timezone)

    def today(self) -> date:
        """The date where the organisation is."""
        return clock.now().astimezone(self.zone).date()

    # --- this process among the others --------------------------------------------------------------

    def join(self, on_epoch: Callable[[], None]) -> None:
        """Join the processes that serve. ``on_epoch``: empties caches."""
        presence = Presence(
            self.store,
            interval=self._settings.heartbeat_seconds,
            ttl=self._settings.process_ttl_seconds,
            on_epoch=on_epoch,
            writers=self._settings.threads,
        )
        presence.start()
        self._presence = presence
        self._container.closing.callback(presence.close)

    @property
    def serving(self) -> bool:
        """True in a process that is one of those that serve."""
        return self._presence is not None

    @property
    def presence(self) -> Presence:
        """This process among the others; only in a started service."""
        if self._presence is None:
            raise SillageError("This process does not serve, so it cannot write statements.")
        return self._presence

    def trusted(self) -> bool:
        """Tell if the caches of this process still hold what is stored."""
        return self._presence is not None and self._presence.fresh()

    @cached_property
    def processes(self) -> Peers:
        """All of them, as one who changes something for them deals with them."""
        settings = self._settings
        return Peers(self.store, interval=settings.heartbeat_seconds, ttl=settings.process_ttl_seconds)

    # --- jobs ---------------------------------------------------------------------------------------

    @cached_property
    def leadership(self) -> Leadership:
        """Leadership: this process becomes the one scheduler that works."""
        holder = f"{socket.gethostname()}:{os.getpid()}:{clock.random_bytes(4).hex()}"
        return Leadership(
            LeaseRepository(self.store),
            holder,
            self._settings.lease_seconds,
            clock.steady,
            look=self.store.require_right_clock,
            right=self.store.clock.require,
        )

    @cached_property
    def job_repository(self) -> JobRepository:
        """States and history of jobs."""
        return JobRepository(self.store)
