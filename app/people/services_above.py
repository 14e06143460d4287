"""Services of layers above, as those of ``people/`` ask them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.core.personal_data import PersonalDataStore
from app.keys.wiring import RestoreGuard
from app.people.access_package.subject_access_export import ClosedAccounts
from app.people.erasure.service import TombstoneFile


class ClosingAccounts(Protocol):
    """The services of ``retention/`` that these ask."""

    @property
    def account_repository(self) -> ClosedAccounts:
        """The ends of accounts."""


class KeepingOutside(Protocol):
    """The services of ``operations/`` that these ask."""

    @property
    def personal_data(self) -> Sequence[PersonalDataStore]:
        """The part of each collection in the rights of data subjects."""

    @property
    def backups(self) -> TombstoneFile:
        """The file of tombstones outside the database."""


class Starting(RestoreGuard, Protocol):
    """The life of this process, as these services and those below see it."""

    def start(self) -> None:
        """Join the processes that serve."""
