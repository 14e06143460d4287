"""Declaration of a store's collections: indexes, personal data, and the keys that encrypt what is in them.

Migrations create them, start-up checks them; rotations go through what is declared here and know no store by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from app.core.personal_data import Holding
from app.crypto.documents import Layer

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


class Declared(NamedTuple):
    """A collection.

    Attributes:
        name: Its name.
        holds: What it holds of persons, or why nothing.
        indexes: Besides MongoDB's own on ``_id``.
        packed: Compressed on disk more than MongoDB does by itself.
        under_learners: What is encrypted with learners' keys, apart from statements and keys of attachments, which have
            formats of their own.
        under_documents_key: What is encrypted with the documents key.
    """

    name: str
    holds: Holding
    indexes: tuple[Index, ...] = ()
    packed: bool = False
    under_learners: UnderLearners | None = None
    under_documents_key: UnderDocumentsKey | None = None
