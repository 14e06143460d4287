"""Decisions since a backup, carried out again after its restore: erasures, passes about minors, acts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.operations.minors import MinorsPass
from app.people.erasure.service import Erasures
from app.retention.contracts import Contracts

ACTOR = "cli:restore"


class RightsServices(Protocol):
    """The services of ``people/`` that a restore asks, when its database is in force."""

    @property
    def erasures(self) -> Erasures:
        """Erases data subjects."""


class Retention(Protocol):
    """The services of ``retention/`` that a restore asks, when its database is in force."""

    @property
    def contracts(self) -> Contracts:
        """Closes and moves sources, ends entries of the register."""


class Operations(Protocol):
    """The services beside it that a restore asks, when its database is in force."""

    @property
    def minors_pass(self) -> MinorsPass:
        """Applies policies about minors to what is stored."""


class Decisions:
    """Carries out again what was decided since a backup."""

    def __init__(self, rights: RightsServices, retention: Retention, operations: Operations) -> None:
        self._rights = rights
        self._retention = retention
        self._operations = operations

    def erase_again(self, progress: Callable[[int], None]) -> int:
        """Erase again whoever has a tombstone; how many data subjects."""
        return len(self._rights.erasures.reapply(actor=ACTOR, progress=progress).erasures)

    def clean_again(self, progress: Callable[[int, int], None]) -> int:
        """Apply policies about minors again; how many statements that changed."""
        return self._operations.minors_pass.reapply(actor=ACTOR, progress=progress)

    def redo(self) -> int:
        """Carry out again what was done on the operator's word; how many acts it was."""
        return len(self._retention.contracts.reapply(actor=ACTOR))
