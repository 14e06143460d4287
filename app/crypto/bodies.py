"""Statement bodies: zstd with a dictionary of synthetic traces, then AES-256-GCM with the learner's key.

Layout of a sealed body::

    1 byte   format: which dictionary, see ``DICTIONARIES``
    1 byte   reserved key generation of the learner, 0
    12 bytes nonce
    rest     ciphertext and its 16-byte tag

The additional data are the two header bytes, the organisation and the statement id: a body copied to another
statement or another organisation does not open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

import zstandard
from cryptography.exceptions import InvalidTag

from app.core.clock import RandomBytes
from app.crypto.keys import NONCE_BYTES, Cipher

DICTIONARIES: Final[Mapping[int, str]] = MappingProxyType({2: "statement-2.zdict"})
"""Files of the dictionaries by format. One that was ever written with stays: bodies open with their own only."""

LATEST: Final = 2

_HEADER_BYTES = 2


class _Form(NamedTuple):
    """A format: its header and, with the organisation, what bodies are bound to; its dictionary."""

    header: bytes
    prefix: bytes
    dictionary: zstandard.ZstdCompressionDict


class _Contexts(NamedTuple):
    """Compressor and decompressors of one thread, by header."""

    compressor: zstandard.ZstdCompressor
    openers: Mapping[bytes, tuple[bytes, Callable[[bytes], bytes]]]


class Bodies:
    """Encryption of the statement bodies of one organisation.

    Safe to share between threads: zstd contexts are kept per thread.
    """

    def __init__(
        self,
        organisation: str,
        dictionaries: Mapping[int, bytes],
        random: RandomBytes,
        *,
        writing: int = LATEST,
        level: int = 3,
    ) -> None:
        """Prepare the formats.

        Args:
            organisation: Its id.
            dictionaries: By format, zstd dictionaries trained on synthetic statements only.
            random: Source of randomness.
            writing: The format to seal in; every one opens.
            level: Of compression.
        """
        self.writing = writing
        self._forms = {
            number: _Form(
                bytes([number, 0]),
                bytes([number, 0]) + organisation.encode() + b"\0",
                zstandard.ZstdCompressionDict(content),
            )
            for number, content in dictionaries.items()
        }
        self._written = self._forms[writing]
        self._written.dictionary.precompute_compress(level=level)
        self._random = random
        self._local = threading.local()

    def _contexts(self) -> _Contexts:
        try:
            made: _Contexts = self._local.contexts
        except AttributeError:
            made = _Contexts(
                # The AES-GCM tag already proves integrity, and the dictionary is known.
                zstandard.ZstdCompressor(dict_data=self._written.dictionary, write_checksum=False, write_dict_id=False),
                {
                    form.header: (form.prefix, zstandard.ZstdDecompressor(dict_data=form.dictionary).decompress)
                    for form in self._forms.values()
                },
            )
            self._local.contexts = made
        return made

    def encrypt(self, items: Iterable[tuple[UUID, bytes]], keys: Iterable[Cipher]) -> list[bytes]:
        """Encrypt a batch: ``items`` are (statement id, exact JSON bytes), ``keys`` the learners' in step."""
        compress = self._contexts().compressor.compress
        work = list(items)
        nonces = self._random(NONCE_BYTES * len(work))
        header, prefix = self._written.header, self._written.prefix
        sealed = []
        at = 0
        for (id, plain), key in zip(work, keys, strict=True):
            nonce = nonces[at : at + NONCE_BYTES]
            at += NONCE_BYTES
            sealed.append(header + nonce + key.encrypt(nonce, compress(plain), prefix + id.bytes))
        return sealed

    def decrypt(self, items: Sequence[tuple[UUID, bytes]], keys: Sequence[Cipher]) -> Iterator[bytes | None]:
        """Undo ``encrypt``, in order; None as ``opener`` says."""
        opened = self.opener()
        for (id, sealed), key in zip(items, keys, strict=True):
            yield opened(id, sealed, key)

    def opener(self) -> Callable[[UUID, bytes, Cipher], bytes | None]:
        """Decryption in this thread: from statement id, sealed body and key to the exact JSON bytes.

        None stands for a body that does not open: damaged, moved, under another key, or of a format that this version
        does not know. One such body does not keep the others from being read.
        """
        openers = self._contexts().openers

        def opened(id: UUID, sealed: bytes, key: Cipher) -> bytes | None:
            found = openers.get(sealed[:_HEADER_BYTES])
            if found is None:
                return None
            prefix, decompress = found
            try:
                return decompress(key.decrypt(sealed[2:14], sealed[14:], prefix + id.bytes))
            except (InvalidTag, ValueError, zstandard.ZstdError):
                return None

        return opened

    def moved(
        self, items: Iterable[tuple[UUID, bytes]], old: Iterable[Cipher], new: Iterable[Cipher]
    ) -> list[bytes | None]:
        """Bodies sealed anew with another key of their learners: content and format stay, nothing is decompressed.

        Args:
            items: Ids and sealed bodies.
            old: In step, the keys that they may be sealed with.
            new: In step, the keys that they are to be sealed with.

        Returns:
            In order: the body as it is to be, which is the very one given where it is so already; None where neither
            key opens it.
        """
        made: list[bytes | None] = []
        for (id, sealed), before, after in zip(items, old, new, strict=True):
            form = self._contexts().openers.get(sealed[:_HEADER_BYTES])
            if form is None:
                made.append(None)
                continue
            bound = form[0] + id.bytes
            try:
                packed = before.decrypt(sealed[2:14], sealed[14:], bound)
            except (InvalidTag, ValueError):
                made.append(sealed if _opens(after, sealed, bound) else None)
                continue
            nonce = self._random(NONCE_BYTES)
            made.append(sealed[:_HEADER_BYTES] + nonce + after.encrypt(nonce, packed, bound))
        return made


def _opens(key: Cipher, sealed: bytes, bound: bytes) -> bool:
    try:
        key.decrypt(sealed[2:14], sealed[14:], bound)
    except (InvalidTag, ValueError):
        return False
    return True


def format_of(sealed: bytes) -> int:
    """The format of a sealed body; 0 of none at all."""
    return sealed[0] if sealed else 0
