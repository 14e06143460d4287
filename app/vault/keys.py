"""Keys: key-encryption keys, the keys of one organisation, the data key of one learner.

Hierarchy (see ``docs/threat-model.md``)::

    key-encryption key (file or environment, versioned)
      wraps, per organisation: index key, documents key, pseudonym root
      wraps, per learner:      a random AES-256 data key, kept in ``subjects``

Wrapping and sealing are AES-256-GCM with a random 96-bit nonce; the additional data bind each ciphertext
to its place, so a value moved elsewhere does not open.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import KeyMissing, KeyRefused, Unsealable

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
TOKEN_BYTES = 12
SUBJECT_BYTES = 16

RandomBytes = Callable[[int], bytes]


class Wrapped(NamedTuple):
    """A key sealed under a key-encryption key: nonce, then ciphertext with its tag."""

    version: int
    sealed: bytes


class KeyWrapping(Protocol):
    """What wraps and opens keys: key-encryption keys as they are, or as they change (``app/storage/keyring.py``)."""

    def wrap(self, place: str, key: bytes, random: RandomBytes) -> Wrapped:
        """Seal ``key`` for one place."""

    def unwrap(self, place: str, wrapped: Wrapped) -> bytes:
        """Open a wrapped key, or raise ``KeyRefused``."""


@dataclass(frozen=True, slots=True)
class KeyEncryptionKeys:
    """Versioned key-encryption keys; the active one wraps, every one unwraps.

    Attributes:
        keys: 32-byte keys by version.
        active: Version that wraps new keys.
    """

    keys: Mapping[int, bytes] = field(repr=False)
    active: int
    _ciphers: Mapping[int, AESGCM] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.active not in self.keys:
            raise KeyMissing("The active version is not among the key-encryption keys.")
        if any(len(key) != KEY_BYTES for key in self.keys.values()):
            raise KeyRefused("A key-encryption key is not 32 bytes long.")
        # Scheduled once: thousands of learners' keys are unwrapped with each.
        object.__setattr__(self, "_ciphers", {version: AESGCM(key) for version, key in self.keys.items()})

    def wrap(self, place: str, key: bytes, random: RandomBytes) -> Wrapped:
        """Seal ``key`` for one place (organisation and purpose, or subject)."""
        nonce = random(NONCE_BYTES)
        sealed = self._ciphers[self.active].encrypt(nonce, key, place.encode())
        return Wrapped(self.active, nonce + sealed)

    def unwrap(self, place: str, wrapped: Wrapped) -> bytes:
        """Open a wrapped key.

        Raises:
            KeyRefused: the version is not held here, or the key does not open it.
        """
        cipher = self._ciphers.get(wrapped.version)
        if cipher is None:
            raise KeyRefused(f"Version {wrapped.version} of the key-encryption key is needed and was not given.")
        try:
            return cipher.decrypt(wrapped.sealed[:NONCE_BYTES], wrapped.sealed[NONCE_BYTES:], place.encode())
        except InvalidTag:
            raise KeyRefused(
                "The key-encryption key does not open this store. Give the key file that was made with it."
            ) from None


class OrganisationKeys:
    """The index key, documents key and pseudonym root of one organisation, unwrapped.

    Holds secrets: never logged, never pickled.

    Attributes:
        token: From a kind and a text to its blind token of 12 bytes: equal for equal texts of one kind, meaningless
            without the index key.
    """

    PURPOSES: tuple[str, ...] = ("index", "documents", "pseudonyms")

    def __init__(self, organisation: str, keys: Mapping[str, bytes], random: RandomBytes) -> None:
        """``keys``: 32 bytes for each of ``PURPOSES``."""
        self.organisation = organisation
        self._index = keys["index"]
        self._pseudonyms = keys["pseudonyms"]
        self._documents = AESGCM(keys["documents"])
        self._mac_root = keys["documents"]
        self._random = random
        # Verbs, activity types and a school's resources recur: most tokens are found here.
        self.token = lru_cache(maxsize=65_536)(self._token)

    def _token(self, kind: str, value: str) -> bytes:
        """Blind token, 12 bytes: equal for equal texts of one kind, meaningless without the index key."""
        # ``person`` separates the kinds, so that one text under two kinds gives unrelated tokens.
        return hashlib.blake2b(
            value.encode(), digest_size=TOKEN_BYTES, key=self._index, person=kind.encode()[:16]
        ).digest()

    def subject(self, identifier: str) -> bytes:
        """Token of a learner, 16 bytes: which data key seals what is theirs."""
        return hashlib.blake2b(
            identifier.encode(), digest_size=SUBJECT_BYTES, key=self._index, person=b"subject"
        ).digest()

    def fingerprint(self, content: bytes) -> bytes:
        """Keyed fingerprint, 16 bytes, of a statement's immutable content."""
        return hashlib.blake2b(content, digest_size=16, key=self._index, person=b"print").digest()

    def pseudonym(self, scope: str, subject: bytes) -> bytes:
        """Pseudonym of a learner, 16 bytes: stable within a scope, unlinkable between two scopes."""
        root = self._scope_root(scope)
        return hashlib.blake2b(subject, digest_size=16, key=root, person=b"pseudonym").digest()

    def _scope_root(self, scope: str) -> bytes:
        return hashlib.blake2b(scope.encode(), digest_size=32, key=self._pseudonyms, person=b"scope").digest()

    def mac(self, purpose: str, message: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes, with a key derived for the purpose (audit chain, cursors)."""
        derived = hmac.digest(self._mac_root, b"mac:" + purpose.encode(), "sha256")
        return hmac.digest(derived, message, "sha256")

    def seal(self, place: str, plain: bytes) -> bytes:
        """Compress and seal with the documents key, bound to the organisation and ``place``."""
        nonce = self._random(NONCE_BYTES)
        # A new frame object per call: compressors are not safe to share between threads.
        packed = zstandard.compress(plain, 3)
        return nonce + self._documents.encrypt(nonce, packed, self._place(place))

    def open(self, place: str, sealed: bytes) -> bytes:
        """Undo ``seal``.

        Raises:
            Unsealable: damaged, moved from its place, or sealed with another key.
        """
        try:
            packed = self._documents.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._place(place))
        except (InvalidTag, ValueError):
            raise Unsealable(f"A sealed value of {place.partition(':')[0]} cannot be opened.") from None
        return zstandard.decompress(packed)

    def _place(self, place: str) -> bytes:
        return f"{self.organisation}\0{place}".encode()


def organisation_place(organisation: str, purpose: str) -> str:
    """What a wrapped organisation key is bound to."""
    return f"organisation:{organisation}:{purpose}"


def subject_place(organisation: str, subject: bytes) -> str:
    """What a wrapped learner key is bound to."""
    return f"subject:{organisation}:{subject.hex()}"


def new_keys(names: Iterable[str], random: RandomBytes) -> dict[str, bytes]:
    """Fresh random 32-byte keys by name."""
    return {name: random(KEY_BYTES) for name in names}
