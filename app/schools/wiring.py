"""The services of ``schools/``, each built when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

from app.governance import wiring
from app.governance.wiring import GovernanceServices
from app.platform.feature_services import FeatureServices
from app.schools.service import SchoolDirectory
from app.schools.store import SchoolRepository


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services see it."""

    @property
    def governance(self) -> GovernanceServices:
        """The audit log."""


class SchoolServices(FeatureServices):
    """The directory of schools."""

    def __init__(self, container: Needs) -> None:
        """Nothing is connected yet."""
        self._platform = container.platform
        self._governance = container.governance

    @cached_property
    def directory(self) -> SchoolDirectory:
        """The directory of schools, with its history."""
        return SchoolDirectory(SchoolRepository(self._platform.store), self._governance.sink, self._platform.processes)

    def forget(self) -> None:
        """Empty the caches."""
        self.directory.forget()
