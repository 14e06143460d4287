"""Keys by purpose: what an organisation's root keys are good for, each derived for one thing alone.

No root key seals or signs anything itself. From it comes, with HKDF-SHA256 (RFC 5869; no salt: the roots are uniformly
random), a key for one purpose of one organisation; the label says the version of this scheme. So a key that encrypts
never computes a MAC, and a weakness in one use says nothing of another (``docs/adr/0041-keys-by-purpose.md``).

What is sealed under such a key begins with 24 random bytes. The first 12 make, from the key of the purpose, a key for
this one value (HKDF-Expand of RFC 5869, one block), the last 12 are its nonce for AES-256-GCM. AES-GCM with random
nonces alone must end at 2^32 values a key (NIST SP 800-38D, 8.3); here two values would have to share all 24 bytes:
after 2^64 of them, one in 2^65.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.core.errors import DecryptionFailed

KEY_BYTES = 32
SALT_BYTES = 12
NONCE_BYTES = 12

# Compressors are not safe to share between threads, and to make one takes longer than to compress a small value.
_LOCAL = threading.local()
# One that is kept keeps the memory that its largest value took.
_MAX_SMALL = 64 * 1024

RandomBytes = Callable[[int], bytes]

_SCHEME = "sillage/1"
# Purposes in use at once: a handful of kinds of values, and the days of cursors.
_DERIVED_AT_HAND = 64


def derived(root: bytes, organisation: str, purpose: str) -> bytes:
    """The 32-byte key that a root key gives for one purpose of one organisation."""
    info = f"{_SCHEME}\0{purpose}\0{organisation}".encode()
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(root)


class MacKey:
    """A root key of MACs: HMAC-SHA256, with another key for each purpose. Holds a secret."""

    def __init__(self, root: bytes, organisation: str) -> None:
        self._derived = lru_cache(maxsize=_DERIVED_AT_HAND)(lambda purpose: derived(root, organisation, purpose))

    def mac(self, purpose: str, message: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes."""
        return hmac.digest(self._derived(f"mac:{purpose}"), message, "sha256")


class EncryptionKey:
    """One generation of the documents key, which seals what is no single learner's. Holds a secret.

    Attributes:
        generation: 1 for the first one, one more for each that took the place of another.
        fingerprint: 8 bytes that tell whether two such keys are the same, and nothing else.
    """

    def __init__(self, generation: int, root: bytes, organisation: str) -> None:
        """``root``: 32 bytes."""
        self.generation = generation
        self.fingerprint = derived(root, organisation, "print")[:8]
        self._derived = lru_cache(maxsize=_DERIVED_AT_HAND)(lambda purpose: derived(root, organisation, purpose))

    def encrypt(self, purpose: str, bound: bytes, plain: bytes, random: RandomBytes) -> bytes:
        """Compress and seal with a key of its own, bound to ``bound``."""
        nonce = random(SALT_BYTES + NONCE_BYTES)
        return nonce + self._of(purpose, nonce).encrypt(
            nonce[SALT_BYTES:], _compressor(len(plain)).compress(plain), bound
        )

    def decrypt(self, purpose: str, bound: bytes, sealed: bytes) -> bytes:
        """Undo ``encrypt``.

        Raises:
            DecryptionFailed: damaged, moved from its place, or sealed with another key.
        """
        nonce, content = sealed[: SALT_BYTES + NONCE_BYTES], sealed[SALT_BYTES + NONCE_BYTES :]
        try:
            packed = self._of(purpose, nonce).decrypt(nonce[SALT_BYTES:], content, bound)
        except (InvalidTag, ValueError):
            raise DecryptionFailed(f"A sealed value of {purpose.partition(':')[0]} cannot be opened.") from None
        return _decompressor().decompress(packed)

    def _of(self, purpose: str, nonce: bytes) -> AESGCM:
        # HKDF-Expand, first block: HMAC(key, info || 0x01).
        return AESGCM(hmac.digest(self._derived(f"seal:{purpose}"), nonce[:SALT_BYTES] + b"\x01", "sha256"))


def _compressor(length: int) -> zstandard.ZstdCompressor:
    if length > _MAX_SMALL:
        return zstandard.ZstdCompressor(level=3)
    made: zstandard.ZstdCompressor | None = getattr(_LOCAL, "compressor", None)
    if made is None:
        made = _LOCAL.compressor = zstandard.ZstdCompressor(level=3)
    return made


def _decompressor() -> zstandard.ZstdDecompressor:
    made: zstandard.ZstdDecompressor | None = getattr(_LOCAL, "decompressor", None)
    if made is None:
        made = _LOCAL.decompressor = zstandard.ZstdDecompressor()
    return made


@dataclass(frozen=True, slots=True)
class EncryptionKeys:
    """The generations of the documents key that are in force at one moment.

    Attributes:
        writing: What seals.
        other: The generation that some values are still, or may already be, sealed with; None but during a rotation.
    """

    writing: EncryptionKey
    other: EncryptionKey | None = None

    @property
    def fingerprints(self) -> frozenset[bytes]:
        """Those of the keys in force."""
        return frozenset(key.fingerprint for key in (self.writing, self.other) if key is not None)

    def of(self, generation: int) -> EncryptionKey | None:
        """The key of a generation, if it is in force."""
        for key in (self.writing, self.other):
            if key is not None and key.generation == generation:
                return key
        return None


@dataclass(frozen=True, slots=True)
class AuditKey:
    """One key of the chains of the audit log.

    Attributes:
        number: 1 for the first one.
        until: Entries of later than this are not of this key, microseconds since 1970 UTC; None while it may write.
    """

    number: int
    until: int | None
    _key: MacKey

    def mac(self, message: bytes) -> bytes:
        """The MAC of an entry, 32 bytes."""
        return self._key.mac("audit", message)


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """The keys of the audit log: the one that writes, and all that prove what was written, the newest first."""

    writing: AuditKey
    proving: tuple[AuditKey, ...]

    def genuine(self, at: int, message: bytes, mac: bytes) -> bool:
        """True if one of these keys gave an entry, written at an instant in microseconds, its MAC then."""
        return any(
            (key.until is None or at <= key.until) and hmac.compare_digest(key.mac(message), mac)
            for key in self.proving
        )
