"""The keys of one installation, each opened when it is first asked for: a command that needs none opens none."""

from __future__ import annotations

from typing import Protocol

from app.crypto.keys import OrganisationKeys
from app.crypto.signing import Signer
from app.keys.keyring import KeyHolding
from app.keys.learners import SubjectKeys
from app.keys.providers import KeyProvider


class KeyService(Protocol):
    """Keys for those who need them late, or not always; others are given the keys themselves."""

    @property
    def provider(self) -> KeyProvider:
        """The provider of the key-encryption keys."""

    @property
    def keyring(self) -> KeyHolding:
        """The key-encryption keys, as they change."""

    @property
    def organisation(self) -> OrganisationKeys:
        """The organisation's keys, of the database in force."""

    @property
    def subjects(self) -> SubjectKeys:
        """The learners' keys."""

    @property
    def signer(self) -> Signer:
        """Signs for the organisation."""
