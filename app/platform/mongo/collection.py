"""Declaration of a store's collections: indexes, personal data, and the keys that encrypt what is in them.

Migrations create them, start-up checks them; rotations, rights of data subjects, retention and restores go through what
is declared here and know no store by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from app.core.personal_data import Holding, PersonalDataStore, Restored
from app.crypto.documents import Layer
from app.crypto.keys import Cipher, OrganisationKeys
from app.platform.mongo.connection import Store

_ALL: Mapping[str, Any] = MappingProxyType({})


class Index(NamedTuple):
    """An index: its name, its keys in order (1 ascending, -1 descending).

    Attributes:
        only_with: Only documents that have this field are in it; the others cost nothing.
        packed: Its blocks are compressed on disk.
    """

    name: str
    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    only_with: str | None = None
    packed: bool = False


class UnderLearners(NamedTuple):
    """Fields that are encrypted with learners' keys.

    Attributes:
        fields: Of each document, the encrypted ones.
        layers: From a document and a field to the keys that the value is encrypted with, one after another.
        needs: Fields besides, that say whose they are.
        asked: Which documents have such values.
    """

    fields: tuple[str, ...]
    layers: Callable[[Mapping[str, Any], str], tuple[Layer, ...]]
    needs: tuple[str, ...] = ()
    asked: Mapping[str, Any] = _ALL


class UnderDocumentsKey(NamedTuple):
    """Fields that are encrypted with the organisation's documents key.

    Attributes:
        fields: Of each document, the encrypted ones.
        place: From a document's ``_id`` and a field to what the value is bound to.
        asked: Which documents have such values.
    """

    fields: tuple[str, ...]
    place: Callable[[Any, str], str]
    asked: Mapping[str, Any] = _ALL


class LearnerKeys(Protocol):
    """Learners' data keys (``app.keys.learners.SubjectKeys``)."""

    def existing(self, subjects: Iterable[bytes]) -> Mapping[bytes, Cipher]:
        """The keys of these learners; one that has no key (never had, or destroyed) is left out."""


class DataContext(NamedTuple):
    """All that a ``PersonalDataStore`` is made with: the database, the organisation's keys, learners' keys."""

    store: Store
    keys: OrganisationKeys
    learners: LearnerKeys


class Declared(NamedTuple):
    """A collection.

    Attributes:
        name: Its name.
        holds: What it holds of data subjects, or why nothing.
        indexes: Besides MongoDB's own on ``_id``.
        packed: Compressed on disk more than MongoDB does by itself.
        under_learners: What is encrypted with learners' keys, apart from statements and keys of attachments, which have
            formats of their own.
        under_documents_key: What is encrypted with the documents key.
        data: Makes its part in the rights of data subjects; None: nothing personal, or all of it is done apart.
        restored: What a restore does with it.
    """

    name: str
    holds: Holding
    indexes: tuple[Index, ...] = ()
    packed: bool = False
    under_learners: UnderLearners | None = None
    under_documents_key: UnderDocumentsKey | None = None
    data: Callable[[DataContext], PersonalDataStore] | None = None
    restored: Restored = Restored.AS_BACKED_UP
