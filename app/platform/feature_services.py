"""Services of a feature, as the wiring takes them: their jobs, their work beside requests, their caches."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

from app.platform.jobs.run import Job


class FeatureServices:
    """Services of one feature, each built when it is first asked for."""

    def jobs(self) -> Sequence[Job]:
        """The jobs of the feature, for the scheduler."""
        return ()

    def keep(self, stop: Event) -> None:
        """Work at each heartbeat of a process that serves, beside requests, and once more when it ends.

        Args:
            stop: Set when the process ends.
        """

    def forget(self) -> None:
        """Empty the caches: another process has changed what they hold."""
