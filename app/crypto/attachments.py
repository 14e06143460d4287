"""The data of attachments: frames, each sealed with AES-256-GCM and a key of their own.

The key of an attachment is random, made for it, and wrapped with the key of each learner whose statement declares it:
data that many declare are sealed once, and each learner's key, as long as it exists, opens them. A wrapped key is a
nonce of 12 bytes, the ciphertext of 32, its tag of 16.

A frame is a nonce of 12 bytes, the ciphertext of at most ``FRAME_BYTES``, its tag of 16. The additional data are the
organisation, the attachment, the number of the frame and whether it is the last: frames cannot be exchanged, left out,
repeated or cut off without notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.core.clock import RandomBytes
from app.core.errors import DecryptionFailed
from app.crypto.keys import KEY_BYTES, NONCE_BYTES, Cipher, OrganisationKeys

FRAME_BYTES = 1024 * 1024
MARK_BYTES = 16


def mark(keys: OrganisationKeys, digest: str) -> bytes:
    """Token, 16 bytes, of the digest of data (lower-case hexadecimal): equal for equal data."""
    return keys.mac("attachment", digest.encode())[:MARK_BYTES]


def new_key(
    learners: Mapping[bytes, Cipher], organisation: str, attachment: bytes, random: RandomBytes
) -> tuple[AESGCM, dict[bytes, bytes]]:
    """A key for an attachment, and that key wrapped for each learner; ``learners``: their keys by subject token."""
    key = random(KEY_BYTES)
    place = _key_bound(organisation, attachment)
    wrapped = {}
    for subject, learner in learners.items():
        nonce = random(NONCE_BYTES)
        wrapped[subject] = nonce + learner.encrypt(nonce, key, place)
    return AESGCM(key), wrapped


def unwrapped(learner: Cipher, organisation: str, attachment: bytes, wrapped: bytes) -> AESGCM:
    """The key of an attachment, from what was wrapped for a learner.

    Raises:
        DecryptionFailed: damaged, of another attachment, or wrapped for another learner.
    """
    return AESGCM(_opened(learner, wrapped, _key_bound(organisation, attachment)))


def unwraps(learner: Cipher, organisation: str, attachment: bytes, wrapped: bytes) -> bool:
    """True if a learner's key opens what was wrapped for them."""
    try:
        unwrapped(learner, organisation, attachment, wrapped)
    except DecryptionFailed:
        return False
    return True


def rewrapped(
    learner: Cipher, other: Cipher, organisation: str, attachment: bytes, wrapped: bytes, random: RandomBytes
) -> bytes:
    """The key of an attachment, wrapped for another learner too.

    Raises:
        DecryptionFailed: as for ``unwrapped``.
    """
    place = _key_bound(organisation, attachment)
    nonce = random(NONCE_BYTES)
    return nonce + other.encrypt(nonce, _opened(learner, wrapped, place), place)


class FrameEncryptor:
    """Encrypts the data of one attachment, frame by frame, as they come."""

    def __init__(self, key: AESGCM, organisation: str, attachment: bytes, random: RandomBytes) -> None:
        self._key = key
        self._place = (organisation, attachment)
        self._random = random
        self._held = bytearray()
        self._number = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take data in; the sealed frames that became full."""
        self._held += data
        # What may be the last frame is kept back until more comes.
        while len(self._held) > FRAME_BYTES:
            yield self._sealed(bytes(self._held[:FRAME_BYTES]), last=False)
            del self._held[:FRAME_BYTES]

    def finish(self) -> bytes:
        """The last frame, which may be empty."""
        return self._sealed(bytes(self._held), last=True)

    def _sealed(self, plain: bytes, *, last: bool) -> bytes:
        nonce = self._random(NONCE_BYTES)
        sealed = self._key.encrypt(nonce, plain, _bound(*self._place, self._number, last))
        self._number += 1
        return nonce + sealed


def decrypted(key: AESGCM, organisation: str, attachment: bytes, frames: Iterable[bytes]) -> Iterator[bytes]:
    """The data, frame by frame.

    Raises:
        DecryptionFailed: a frame is damaged, out of its place or missing, or sealed with another key.
    """
    number = 0
    held: bytes | None = None
    for frame in frames:
        if held is not None:
            yield _opened(key, held, _bound(organisation, attachment, number, False))
            number += 1
        held = frame
    if held is None:
        raise DecryptionFailed("The data of an attachment are missing.")
    yield _opened(key, held, _bound(organisation, attachment, number, True))


def _opened(key: Cipher, frame: bytes, bound: bytes) -> bytes:
    try:
        return key.decrypt(frame[:NONCE_BYTES], frame[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise DecryptionFailed("The data of an attachment do not open: they are damaged.") from None


def _key_bound(organisation: str, attachment: bytes) -> bytes:
    return f"{organisation}\0attachment-key:{attachment.hex()}".encode()


def _bound(organisation: str, attachment: bytes, number: int, last: bool) -> bytes:
    return f"{organisation}\0attachment:{attachment.hex()}:{number}:{int(last)}".encode()
