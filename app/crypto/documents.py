"""Documents of a learner: zstd, then AES-256-GCM with the learner's key; and the tokens that they are found by.

Layout: a nonce of 12 bytes, the ciphertext, its tag of 16. The additional data are the organisation and the place, so a
value copied to another document or another field does not open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson
import zstandard
from cryptography.exceptions import InvalidTag

from app.core.clock import RandomBytes
from app.crypto.keys import NONCE_BYTES, Cipher, OrganisationKeys

TOKEN_BYTES = 16


def token(
    keys: OrganisationKeys,
    kind: str,
    resource: str,
    activity: str | None,
    agent: str | None,
    registration: str | None,
    *more: str,
) -> bytes:
    """Blind index entry, 16 bytes, of where a document is (``document``) or of its context (``document-context``).

    Args:
        keys: The organisation's keys.
        kind: What the token is of, see above.
        resource: Name of the resource.
        activity: IRI, where the resource has one.
        agent: Canonical identifier, where the resource has one.
        registration: UUID in lower case, or none.
        more: The document's id, for the token of a document.
    """
    # An array of JSON is unambiguous, whatever the parts hold.
    return keys.mac(kind, orjson.dumps([resource, activity, agent, registration, *more]))[:TOKEN_BYTES]


def place(id: bytes, part: str) -> str:
    """The place that a part of a document, ``name`` or ``body``, is bound to; ``id`` is the token of the
    document.
    """
    return f"document:{id.hex()}:{part}"


def session_place(id: bytes) -> str:
    """The place that the state of a session is bound to; ``id`` is the token of the session."""
    return f"pattern-session:{id.hex()}"


class Layer(NamedTuple):
    """One key that a value is sealed with: whose, and what the value is bound to there."""

    subject: bytes
    place: str


def data_subject_layer(place: str, subject: bytes) -> Layer:
    """The layer of what governance keeps of a data subject, for one place."""
    return Layer(subject, f"{place}:{subject.hex()}")


def encrypt_layers(
    keys: Mapping[bytes, Cipher], organisation: str, layers: Sequence[Layer], plain: bytes, random: RandomBytes
) -> bytes:
    """Encrypt with the key of each layer, one after another; all of them must be among ``keys``."""
    value = plain
    for subject, place_of in layers:
        value = encrypt(keys[subject], organisation, place_of, value, random)
    return value


def decrypt_layers(
    keys: Mapping[bytes, Cipher], organisation: str, layers: Sequence[Layer], sealed: bytes
) -> bytes | None:
    """Undo ``encrypt_layers``; None when one of the keys is not there, or does not open it."""
    value: bytes | None = sealed
    for subject, place_of in reversed(layers):
        if value is None or subject not in keys:
            return None
        value = decrypt(keys[subject], organisation, place_of, value)
    return value


def encrypt(key: Cipher, organisation: str, place: str, plain: bytes, random: RandomBytes) -> bytes:
    """Compress and seal with a learner's key, bound to the organisation and ``place``."""
    nonce = random(NONCE_BYTES)
    return nonce + key.encrypt(nonce, zstandard.compress(plain, 3), _bound(organisation, place))


def decrypt(key: Cipher, organisation: str, place: str, sealed: bytes) -> bytes | None:
    """Undo ``encrypt``; None for what does not open: damaged, moved, or sealed with another key."""
    try:
        packed = key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(organisation, place))
    except (InvalidTag, ValueError):
        return None
    return zstandard.decompress(packed)


def _bound(organisation: str, place: str) -> bytes:
    return f"{organisation}\0{place}".encode()
