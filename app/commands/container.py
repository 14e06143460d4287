"""The container, as commands see it."""

from __future__ import annotations

from typing import Protocol

from app.platform.jobs.scheduler import Scheduler
from app.web.wiring import Needs


class Container(Needs, Protocol):
    """The services of every feature, and what runs the jobs."""

    @property
    def scheduler(self) -> Scheduler:
        """Runs the jobs while this process leads."""
