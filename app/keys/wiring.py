"""The services of ``keys/``, each built when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

from app.core import clock
from app.crypto.keys import OrganisationKeys
from app.crypto.signing import Signer
from app.keys import organisation, providers
from app.keys.data_subject_cipher import DataSubjectCipher
from app.keys.holders import Forgetting, HolderRepository, HolderThread
from app.keys.keyring import KeyHolding
from app.keys.learners import SubjectKeys
from app.keys.providers import KeyProvider
from app.platform import wiring
from app.platform.cluster.processes import current_epoch
from app.platform.feature_services import FeatureServices
from app.platform.wiring import PlatformServices


class RestoreGuard(Protocol):
    """Refuses a database that is being restored."""

    def refuse_unfinished_restore(self) -> None:
        """Refuse to work on a database that is being restored.

        Raises:
            RestoreUnfinished: it is.
        """


class Needs(wiring.Needs, Protocol):
    """The container, as far as these services see it."""

    @property
    def platform(self) -> PlatformServices:
        """The database."""

    @property
    def lifecycle(self) -> RestoreGuard:
        """The life of this process: may the database be used?"""


class KeyServices(FeatureServices):
    """Key-encryption keys, the organisation's and the learners' keys, and what they encrypt for a data subject."""

    def __init__(self, container: Needs) -> None:
        """Nothing is opened yet.

        Raises:
            SettingsInvalid: ``SILLAGE_KEY_PROVIDER`` names no provider.
        """
        self._container = container
        self._settings = container.settings
        self._platform = container.platform
        providers.refuse_unknown(self._settings)

    @cached_property
    def provider(self) -> KeyProvider:
        """The provider of the key-encryption keys."""
        return providers.chosen(self._settings)

    @cached_property
    def keyring(self) -> KeyHolding:
        """The key-encryption keys, as they change."""
        return self.provider.open()

    @cached_property
    def organisation(self) -> OrganisationKeys:
        """The organisation's keys, opened; not while the database is being restored."""
        self._container.lifecycle.refuse_unfinished_restore()
        return organisation.unlock(
            self._platform.store,
            self.keyring,
            self._settings.organisation,
            keep_seconds=self._settings.process_ttl_seconds / 2,
        )

    @cached_property
    def subjects(self) -> SubjectKeys:
        """The learners' keys."""
        return SubjectKeys(self._platform.store, self.keyring, self._settings.organisation)

    @cached_property
    def data_subject_cipher(self) -> DataSubjectCipher:
        """Seals what governance keeps of a data subject."""
        return DataSubjectCipher(self.subjects, self._settings.organisation, clock.random_bytes)

    @cached_property
    def signer(self) -> Signer:
        """Signs receipts and checkpoints for the organisation."""
        seed = organisation.signing_seed(self._platform.store, self.keyring, self._settings.organisation)
        return Signer(seed)

    def hold(self, *, alone: bool = False) -> None:
        """Say to those who rotate which keys this process holds, and notice when they change.

        ``alone``: it has no presence that has it empty its caches.
        """
        store = self._platform.store
        thread = HolderThread(
            HolderRepository(store),
            self.keyring,
            interval=self._settings.heartbeat_seconds,
            ttl=self._settings.process_ttl_seconds,
            epoch=(lambda: current_epoch(store)) if alone else None,
            on_epoch=self.forget,
        )
        thread.start()
        self._container.closing.callback(thread.close)

    def forget(self) -> None:
        """Empty what is in memory of learners: their keys, and identifiers beside their tokens."""
        self.subjects.forget()
        # Not made for this: it would be asked for in the midst of a beat.
        if "organisation" in self.__dict__:
            self.organisation.forget()

    @cached_property
    def forgetting(self) -> Forgetting:
        """Has every process forget learners' keys."""
        return Forgetting(
            self._platform.processes,
            HolderRepository(self._platform.store),
            interval=self._settings.heartbeat_seconds,
            ttl=self._settings.process_ttl_seconds,
        )
