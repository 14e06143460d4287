"""Keys: key-encryption keys, the keys of one organisation, the data key of one learner.

Hierarchy (see ``docs/threat-model.md``)::

    key-encryption key (file or environment, versioned)
      wraps, per organisation: index key, subjects key, documents key, MAC root, pseudonym root, keys of the audit log
      wraps, per learner:      a random AES-256 data key, kept in ``subjects``

The documents key, the MAC root and those of the audit log are roots: what seals, or makes a MAC, is derived from them,
for one purpose each (``app/crypto/purposes.py``).

Wrapping and sealing are AES-256-GCM with a random 96-bit nonce; the additional data bind each ciphertext
to its place, so a value moved elsewhere does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.clock import RandomBytes
from app.core.errors import BadCursor, DecryptionFailed, KeyMissing, KeyRefused
from app.crypto.purposes import AuditKey, AuditKeys, EncryptionKey, EncryptionKeys, MacKey

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
TOKEN_BYTES = 12
SUBJECT_BYTES = 16
CURSOR_DAYS = 7
"""For how many days a cursor goes on; xAPI-Data 2.5 asks for 24 hours at least."""

_GENERATION_BYTES = 2
_DAY_BYTES = 4

REMEMBERED = 32_768
"""Texts whose tokens are at hand, of each generation of the index key."""
MAX_REMEMBERED_LENGTH = 128
"""Characters of such a text: together they take 30 MiB at most, whatever senders write."""


class Cipher(Protocol):
    """Encryption with a learner's key: AES-256-GCM, or two keys of it while one takes another's place."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """The ciphertext, with its tag."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """The data; raises ``InvalidTag``."""


class KeyPair:
    """Two keys of one learner, while one takes the place of the other (``docs/adr/0051-new-keys-for-learners.md``).

    Attributes:
        encrypting: What encrypts now, and is tried first.
        other: What opens besides.
    """

    __slots__ = ("encrypting", "other")

    def __init__(self, encrypting: AESGCM, other: AESGCM) -> None:
        self.encrypting = encrypting
        self.other = other

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """Encrypt with the one that encrypts now."""
        return self.encrypting.encrypt(nonce, data, associated_data)

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """Decrypt with either; raises ``InvalidTag``."""
        try:
            return self.encrypting.decrypt(nonce, data, associated_data)
        except InvalidTag:
            return self.other.decrypt(nonce, data, associated_data)


def encrypting_alone(cipher: Cipher) -> Cipher:
    """The key that encrypts, without one that only decrypts."""
    return cipher.encrypting if isinstance(cipher, KeyPair) else cipher


class Wrapped(NamedTuple):
    """A key wrapped with a key-encryption key: nonce, then ciphertext with its tag."""

    version: int
    sealed: bytes


class KeyWrapping(Protocol):
    """Wrapping and unwrapping of keys: key-encryption keys as they are, or as they change (``app/keys/keyring.py``)."""

    def wrap(self, place: str, key: bytes, random: RandomBytes) -> Wrapped:
        """Wrap ``key`` for one place."""

    def unwrap(self, place: str, wrapped: Wrapped) -> bytes:
        """Unwrap a key, or raise ``KeyRefused``."""

    def wrap_all(self, items: Sequence[tuple[str, bytes]], random: RandomBytes) -> list[Wrapped]:
        """Wrap keys, each for its place, in one go."""

    def unwrap_all(self, items: Sequence[tuple[str, Wrapped]]) -> list[bytes]:
        """Unwrap keys in one go, or raise ``KeyRefused`` if one cannot be."""


class KeyCustody(KeyWrapping, Protocol):
    """Key-encryption keys as they are at one moment: what is needed to wrap anew."""

    @property
    def active(self) -> int:
        """The version that wraps."""

    def opening(self) -> Collection[int]:
        """The versions that open."""

    def rewrap_all(self, items: Sequence[tuple[str, Wrapped]], random: RandomBytes) -> list[Wrapped | None]:
        """Wrap keys with the active version, in one go; None for each that does not open."""


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
        """Wrap ``key`` for one place (organisation and purpose, or subject)."""
        nonce = random(NONCE_BYTES)
        sealed = self._ciphers[self.active].encrypt(nonce, key, place.encode())
        return Wrapped(self.active, nonce + sealed)

    def unwrap(self, place: str, wrapped: Wrapped) -> bytes:
        """Unwrap a key.

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

    def wrap_all(self, items: Sequence[tuple[str, bytes]], random: RandomBytes) -> list[Wrapped]:
        """Wrap keys, each for its place."""
        return [self.wrap(place, key, random) for place, key in items]

    def unwrap_all(self, items: Sequence[tuple[str, Wrapped]]) -> list[bytes]:
        """Unwrap keys; raises as ``unwrap``, if one cannot be."""
        return [self.unwrap(place, wrapped) for place, wrapped in items]

    def opening(self) -> Collection[int]:
        """The versions that are held."""
        return self.keys.keys()

    def rewrap_all(self, items: Sequence[tuple[str, Wrapped]], random: RandomBytes) -> list[Wrapped | None]:
        """Wrap keys with the active version; None for each that does not open."""
        made: list[Wrapped | None] = []
        for place, wrapped in items:
            try:
                made.append(self.wrap(place, self.unwrap(place, wrapped), random))
            except KeyRefused:
                made.append(None)
        return made


class IndexKey:
    """One generation of the index key: what statements are found by, and told apart by. Holds a secret.

    Attributes:
        generation: 1 for the first one, one more for each that took the place of another.
    """

    def __init__(self, generation: int, key: bytes) -> None:
        """``key``: 32 bytes."""
        self.generation = generation
        self._key = key
        # Verbs, activity types and a school's resources recur: most tokens are found here.
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._token)

    def token(self, kind: str, value: str) -> bytes:
        """Blind index entry, 12 bytes: equal for equal texts of one kind, meaningless without the key."""
        # What a sender makes long is made anew each time: the memory that is kept is bounded in bytes.
        return (self._remembered if len(value) <= MAX_REMEMBERED_LENGTH else self._token)(kind, value)

    def forget(self) -> None:
        """Drop the texts whose tokens are at hand from memory."""
        self._remembered.cache_clear()

    def _token(self, kind: str, value: str) -> bytes:
        # ``person`` separates the kinds, so that one text under two kinds gives unrelated tokens.
        return hashlib.blake2b(
            value.encode(), digest_size=TOKEN_BYTES, key=self._key, person=kind.encode()[:16]
        ).digest()

    def fingerprint(self, content: bytes) -> bytes:
        """Keyed fingerprint, 16 bytes, of a statement's immutable content."""
        return hashlib.blake2b(content, digest_size=16, key=self._key, person=b"print").digest()


@dataclass(frozen=True, slots=True)
class IndexKeys:
    """The generations of the index key that are in force at one moment (``docs/adr/0032-index-key-rotation.md``).

    Whoever makes the tokens of one statement, or of one query, makes all of them with one such value: in the midst of
    a rotation the next one may write with another generation.

    Attributes:
        writing: What new statements get.
        other: The generation that some statements may have instead; None but during a rotation.
    """

    writing: IndexKey
    other: IndexKey | None = None

    @property
    def moving(self) -> bool:
        """True while two generations are searched."""
        return self.other is not None

    @property
    def newest(self) -> int:
        """The latest generation that is searched."""
        return max(index.generation for index in self._all)

    def tokens(self, kind: str, value: str) -> tuple[bytes, ...]:
        """The blind index entries by which a text is to be searched, that of new statements first."""
        return tuple(index.token(kind, value) for index in self._all)

    def fingerprints(self, content: bytes) -> tuple[bytes, ...]:
        """The possible fingerprints of a statement of this content, that of new statements first."""
        return tuple(index.fingerprint(content) for index in self._all)

    def fingerprints_of(self, contents: Iterable[bytes]) -> list[tuple[bytes, ...]]:
        """Those of the statements of a batch."""
        if self.other is None:
            fingerprint = self.writing.fingerprint
            return [(fingerprint(content),) for content in contents]
        return list(map(self.fingerprints, contents))

    def forget(self) -> None:
        """Drop the texts whose tokens are at hand from memory."""
        for index in self._all:
            index.forget()

    @property
    def _all(self) -> tuple[IndexKey, ...]:
        return (self.writing,) if self.other is None else (self.writing, self.other)


@dataclass(frozen=True, slots=True)
class Current:
    """The keys of an organisation that are replaced now and then, as they are at one moment."""

    index: IndexKeys
    documents: EncryptionKeys
    audit: AuditKeys


class OrganisationKeys:
    """The keys of one organisation, unwrapped. Each is used for one kind of thing, or a root of keys for one each.

    Holds secrets: never logged, never pickled.
    """

    PURPOSES: tuple[str, ...] = ("index", "subjects", "documents", "macs", "pseudonyms", "audit-1")
    """Purposes of the first keys. The generations of three of them follow one another; the others last."""
    LASTING: tuple[str, ...] = ("subjects", "macs", "pseudonyms")

    def __init__(
        self,
        organisation: str,
        keys: Mapping[str, bytes],
        random: RandomBytes,
        current: Callable[[], Current] | None = None,
    ) -> None:
        """``keys``: 32 bytes for each of ``PURPOSES``; with ``current``, those of ``LASTING`` are enough.

        ``current`` gives the generations as they are now, or raises what keeps them from being known; without it, those
        in ``keys`` are the only ones.
        """
        self.organisation = organisation
        self._subjects = keys["subjects"]
        self._pseudonyms = keys["pseudonyms"]
        self._macs = MacKey(keys["macs"], organisation)
        self._random = random
        self._current = current
        self._held = first_generations(organisation, keys) if current is None else current()

    @property
    def index(self) -> IndexKeys:
        """The generations of the index key as they are now: what is searched by, and what new statements get.

        Raises:
            DatabaseUnavailable: it is not known whether they changed, and cannot be found out now.
        """
        return self._now().index

    @property
    def documents(self) -> EncryptionKeys:
        """The generations of the documents key as they are now; raises as ``index``."""
        return self._now().documents

    @property
    def token(self) -> Callable[[str, str], bytes]:
        """From a kind and a text to the blind index entry that new statements get; for searching: ``index.tokens``."""
        return self.index.writing.token

    def forget(self) -> None:
        """Drop the texts whose tokens are at hand from memory; asks nobody."""
        self._held.index.forget()

    def subject(self, identifier: str) -> bytes:
        """Token of a learner, 16 bytes: which data key seals what is theirs. The same before and after a rotation."""
        return hashlib.blake2b(
            identifier.encode(), digest_size=SUBJECT_BYTES, key=self._subjects, person=b"subject"
        ).digest()

    def pseudonym(self, scope: str, subject: bytes) -> bytes:
        """Pseudonym of a learner, 16 bytes: stable within a scope, unlinkable between two scopes."""
        root = self._scope_root(scope)
        return hashlib.blake2b(subject, digest_size=16, key=root, person=b"pseudonym").digest()

    def _scope_root(self, scope: str) -> bytes:
        return hashlib.blake2b(scope.encode(), digest_size=32, key=self._pseudonyms, person=b"scope").digest()

    def named(self, kind: str, value: str) -> bytes:
        """Token, 12 bytes, by which the audit log says what was asked for: the same before and after a rotation."""
        return self.mac(f"named:{kind}", value.encode())[:TOKEN_BYTES]

    def mac(self, purpose: str, message: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes, with a key derived for the purpose: the same before and after every rotation."""
        return self._macs.mac(purpose, message)

    def audit_mac(self, message: bytes) -> bytes:
        """The MAC, 32 bytes, of an entry of the audit log that is written now; raises as ``index``."""
        return self._now().audit.writing.mac(message)

    def audited(self, at: int, message: bytes, mac: bytes) -> bool:
        """True if an entry written at an instant, microseconds since 1970 UTC, has a right MAC; raises as ``index``."""
        return self._now().audit.genuine(at, message, mac)

    def encrypt(self, place: str, plain: bytes) -> bytes:
        """Compress and seal with the documents key, bound to the organisation and ``place``.

        Two bytes say which generation of the key it is (``sealed_by``). What stands before the first colon of the place
        is the purpose that the key is derived for.

        Raises:
            DatabaseUnavailable: as ``index``.
        """
        key = self._now().documents.writing
        header = key.generation.to_bytes(_GENERATION_BYTES, "big")
        return header + key.encrypt(place.partition(":")[0], header + self._place(place), plain, self._random)

    def decrypt(self, place: str, sealed: bytes) -> bytes:
        """Undo ``encrypt``.

        Raises:
            DecryptionFailed: damaged, moved from its place, or sealed with another key.
            DatabaseUnavailable: as ``index``.
        """
        purpose = place.partition(":")[0]
        header = sealed[:_GENERATION_BYTES]
        key = self._now().documents.of(sealed_by(sealed))
        if key is None:
            raise DecryptionFailed(f"A sealed value of {purpose} cannot be opened.")
        return key.decrypt(purpose, header + self._place(place), sealed[_GENERATION_BYTES:])

    def encrypt_cursor(self, place: str, plain: bytes, day: int) -> str:
        """A cursor, safe in a URL, that opens for ``CURSOR_DAYS``: under a key of its day.

        Args:
            place: What it is bound to.
            plain: What it says.
            day: Today, in days since 1970 UTC.
        """
        key = self._now().documents.writing
        header = key.generation.to_bytes(_GENERATION_BYTES, "big") + day.to_bytes(_DAY_BYTES, "big")
        sealed = header + key.encrypt(f"cursor:{day}", header + self._place(place), plain, self._random)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def decrypt_cursor(self, place: str, cursor: str, day: int) -> bytes:
        """Undo ``encrypt_cursor``.

        Raises:
            DecryptionFailed: no cursor, altered, or made for another place.
            BadCursor: it is too old, or the documents key was replaced since.
            DatabaseUnavailable: as ``index``.
        """
        try:
            sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise DecryptionFailed("This is no cursor.") from None
        header = sealed[: _GENERATION_BYTES + _DAY_BYTES]
        made = int.from_bytes(header[_GENERATION_BYTES:], "big")
        documents = self._now().documents
        key = documents.of(sealed_by(sealed))
        if key is None and 0 < sealed_by(sealed) < documents.writing.generation:
            raise BadCursor("The key of this cursor was replaced since it was made. Start again from the first page.")
        # A day to come: clocks of two hosts differ.
        if key is None or len(header) < _GENERATION_BYTES + _DAY_BYTES or made > day + 1:
            raise DecryptionFailed("This is no cursor.")
        if made < day - CURSOR_DAYS:
            raise BadCursor(f"This cursor is more than {CURSOR_DAYS} days old. Start again from the first page.")
        return key.decrypt(f"cursor:{made}", header + self._place(place), sealed[len(header) :])

    def _now(self) -> Current:
        if self._current is not None:
            self._held = self._current()
        return self._held

    def _place(self, place: str) -> bytes:
        return f"{self.organisation}\0{place}".encode()


def first_generations(organisation: str, keys: Mapping[str, bytes]) -> Current:
    """The generations of an organisation that never replaced a key, from those of ``OrganisationKeys.PURPOSES``."""
    audit = AuditKey(1, None, MacKey(keys["audit-1"], organisation))
    return Current(
        IndexKeys(IndexKey(1, keys["index"])),
        EncryptionKeys(EncryptionKey(1, keys["documents"], organisation)),
        AuditKeys(audit, (audit,)),
    )


def sealed_by(sealed: bytes) -> int:
    """The generation of the documents key that ``OrganisationKeys.encrypt`` used; 0 of nothing at all."""
    return int.from_bytes(sealed[:_GENERATION_BYTES], "big")


def organisation_place(organisation: str, purpose: str) -> str:
    """The place that a wrapped organisation key is bound to."""
    return f"organisation:{organisation}:{purpose}"


def subject_place(organisation: str, subject: bytes) -> str:
    """The place that a wrapped learner key is bound to."""
    return f"subject:{organisation}:{subject.hex()}"


def new_keys(names: Iterable[str], random: RandomBytes) -> dict[str, bytes]:
    """Fresh random 32-byte keys by name."""
    return {name: random(KEY_BYTES) for name in names}
