"""The container: the services of every feature, each built when it is first asked for.

A command uses it as it is; the HTTP service calls ``lifecycle.start``, which registers this process among the others
and lets caches be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cached_property
from threading import Event
from zoneinfo import ZoneInfo

from app.platform.feature_services import FeatureServices
from app.platform.jobs.run import Job
from app.platform.jobs.scheduler import Scheduler
from app.settings import Settings
from app.wiring.feature import Feature, features_of
from app.wiring.features import Features
from app.wiring.lifecycle import Lifecycle


class Container(Features):
    """Everything of one process, built on demand. Made after a fork, never before; ``close`` releases it."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is connected yet.

        Raises:
            SettingsInvalid: ``SILLAGE_KEY_PROVIDER`` names no provider.
        """
        self.settings = settings
        self.closing = ExitStack()
        self.lifecycle = Lifecycle(self)
        for feature in features_of(type(self)):
            self.__dict__[feature.name] = feature.build(self)

    @cached_property
    def jobs(self) -> Sequence[Job]:
        """The jobs of every feature."""
        return [job for feature in features_of(type(self)) for job in self._services(feature).jobs()]

    def keeping(self) -> Sequence[tuple[str, Callable[[Event], None]]]:
        """The work of a process that serves at each heartbeat, by feature."""
        return [(feature.name, self._services(feature).keep) for feature in features_of(type(self))]

    def forget(self) -> None:
        """Empty the caches: another process has changed what they hold."""
        for feature in features_of(type(self)):
            self._services(feature).forget()

    @cached_property
    def scheduler(self) -> Scheduler:
        """Runs the jobs while this process leads."""
        self.lifecycle.check()
        self.keys.hold(alone=True)
        return Scheduler(
            self.jobs,
            self.platform.leadership,
            self.platform.job_repository,
            self.platform.now_us,
            timezone=ZoneInfo(self.settings.timezone),
            grace_seconds=self.settings.graceful_seconds,
        )

    def _services(self, feature: Feature[FeatureServices]) -> FeatureServices:
        services: FeatureServices = self.__dict__[feature.name]
        return services

    def close(self) -> None:
        """Write what is pending and let go of everything. Safe to call twice."""
        self.closing.close()
