"""Documents of a learner: zstd, then AES-256-GCM with the learner's key.

Layout: a nonce of 12 bytes, the ciphertext, its tag of 16. The additional data are the organisation and the place, so a
value copied to another document or another field does not open.
"""

from __future__ import annotations

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.vault.keys import NONCE_BYTES, RandomBytes


def seal(key: AESGCM, organisation: str, place: str, plain: bytes, random: RandomBytes) -> bytes:
    """Compress and seal with a learner's key, bound to the organisation and ``place``."""
    nonce = random(NONCE_BYTES)
    return nonce + key.encrypt(nonce, zstandard.compress(plain, 3), _bound(organisation, place))


def unseal(key: AESGCM, organisation: str, place: str, sealed: bytes) -> bytes | None:
    """Undo ``seal``; None for what does not open: damaged, moved, or sealed with another key."""
    try:
        packed = key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound(organisation, place))
    except (InvalidTag, ValueError):
        return None
    return zstandard.decompress(packed)


def _bound(organisation: str, place: str) -> bytes:
    return f"{organisation}\0{place}".encode()
