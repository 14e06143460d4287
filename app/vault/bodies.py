"""Statement bodies: zstd with a dictionary of synthetic traces, then AES-256-GCM with the learner's key.

Layout of a sealed body::

    1 byte   format: 1 = zstd with dictionary ``statement-1``
    1 byte   reserved key generation of the learner, 0
    12 bytes nonce
    rest     ciphertext and its 16-byte tag

The additional data are the two header bytes, the organisation and the statement id: a body copied to another
statement or another organisation does not open.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.vault.keys import NONCE_BYTES, RandomBytes

FORMAT = 1
HEADER = bytes([FORMAT, 0])


class Bodies:
    """Seals and opens the statement bodies of one organisation.

    Safe to share between threads: zstd contexts are kept per thread.
    """

    def __init__(self, organisation: str, dictionary: bytes, random: RandomBytes, level: int = 3) -> None:
        """``dictionary``: a zstd dictionary trained on synthetic statements only."""
        self._prefix = HEADER + organisation.encode() + b"\0"
        self._dictionary = zstandard.ZstdCompressionDict(dictionary)
        self._dictionary.precompute_compress(level=level)
        self._level = level
        self._random = random
        self._local = threading.local()

    def _contexts(self) -> tuple[zstandard.ZstdCompressor, zstandard.ZstdDecompressor]:
        try:
            pair: tuple[zstandard.ZstdCompressor, zstandard.ZstdDecompressor] = self._local.pair
        except AttributeError:
            pair = (
                # The AES-GCM tag already proves integrity, and the dictionary is known.
                zstandard.ZstdCompressor(dict_data=self._dictionary, write_checksum=False, write_dict_id=False),
                zstandard.ZstdDecompressor(dict_data=self._dictionary),
            )
            self._local.pair = pair
        return pair

    def seal(self, items: Iterable[tuple[UUID, bytes]], keys: Iterable[AESGCM]) -> list[bytes]:
        """Seal a batch: ``items`` are (statement id, exact JSON bytes), ``keys`` the learners' in step."""
        compress = self._contexts()[0].compress
        work = list(items)
        nonces = self._random(NONCE_BYTES * len(work))
        prefix = self._prefix
        sealed = []
        at = 0
        for (identity, plain), key in zip(work, keys, strict=True):
            nonce = nonces[at : at + NONCE_BYTES]
            at += NONCE_BYTES
            sealed.append(HEADER + nonce + key.encrypt(nonce, compress(plain), prefix + identity.bytes))
        return sealed

    def open(self, items: Sequence[tuple[UUID, bytes]], keys: Sequence[AESGCM]) -> Iterator[bytes | None]:
        """Undo ``seal``, in order.

        None stands for a body that does not open: damaged, moved, under another key, or of a format that this version
        does not know. One such body does not keep the others from being read.
        """
        decompress = self._contexts()[1].decompress
        prefix = self._prefix
        for (identity, sealed), key in zip(items, keys, strict=True):
            try:
                packed = key.decrypt(sealed[2:14], sealed[14:], prefix + identity.bytes)
                plain = decompress(packed) if sealed[:2] == HEADER else None
            except (InvalidTag, ValueError, zstandard.ZstdError):
                plain = None
            yield plain
