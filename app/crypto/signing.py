"""Signed documents: Ed25519 (RFC 8032) over canonical JSON. Verified offline, with the public key alone. Pure.

A signed document::

    {"content": {…}, "format": "sillage-…", "key": "<fingerprint>", "signature": "<base64 of 64 bytes>", "version": 1}

The signature is of the document without its member ``signature``, as JSON in UTF-8 with sorted keys and without spaces.
The fingerprint is the first 16 hexadecimal digits of the SHA-256 of the 32 bytes of the public key. Public keys are
written as PEM (SubjectPublicKeyInfo, RFC 8410), which ``openssl pkeyutl -verify -rawin`` takes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from app.core.errors import SignatureRefused

SEED_BYTES = 32
_VERSION = 1
_MEMBERS = frozenset({"content", "format", "key", "signature", "version"})


class Signed(NamedTuple):
    """A signed document whose signature is right: its format, and what it says."""

    format: str
    content: Mapping[str, Any]


class Signer:
    """Signs for one organisation. Holds a secret: never logged, never pickled.

    Attributes:
        public_key: 32 bytes.
        fingerprint: 16 hexadecimal digits that name the key.
        pem: The public key as PEM.
    """

    def __init__(self, seed: bytes) -> None:
        """``seed``: 32 random bytes, the private key of RFC 8032."""
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key()
        self.public_key = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.fingerprint = _fingerprint(self.public_key)
        self.pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def sign(self, content: bytes) -> bytes:
        """The signature of some bytes, 64 bytes."""
        return self._key.sign(content)

    def signed(self, format_name: str, content: Mapping[str, object]) -> bytes:
        """A signed document of JSON values, in UTF-8, as lines that people can read."""
        document: dict[str, Any] = {
            "format": format_name,
            "version": _VERSION,
            "key": self.fingerprint,
            "content": content,
        }
        document["signature"] = base64.b64encode(self.sign(_canonical(document))).decode()
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"


def verify(public_key: bytes, content: bytes, signature: bytes) -> bool:
    """True if a signature of some bytes is right, by a public key of 32 bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def parse_public_key(pem: bytes) -> bytes:
    """The 32 bytes of a public key in PEM.

    Raises:
        SignatureRefused: not the PEM of an Ed25519 key.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureRefused("The public key is not that of `sillage keys public`: the PEM of an Ed25519 key.")
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def verified(document: bytes, public_key: bytes) -> Signed:
    """The content of a signed document, its signature verified.

    Raises:
        SignatureRefused: not such a document, altered, or signed with another key.
    """
    try:
        given = orjson.loads(document)
        if not isinstance(given, dict) or given.keys() != _MEMBERS or given["version"] != _VERSION:
            raise ValueError("another form")
        signature = base64.b64decode(given.pop("signature"), validate=True)
        name, content = given["format"], given["content"]
        if not isinstance(name, str) or not isinstance(content, dict):
            raise ValueError("another form")
        # More deeply nested than it can be written, it was never signed: a TypeError.
        proved = _canonical(given)
    except (orjson.JSONDecodeError, binascii.Error, ValueError, TypeError):
        raise SignatureRefused(
            "The file is not a document that this version of Sillage signs, or it was cut."
        ) from None
    if given["key"] != _fingerprint(public_key):
        raise SignatureRefused("The document was signed with another key. Give the public key of its organisation.")
    if not verify(public_key, proved, signature):
        raise SignatureRefused("The signature is not right: the document was altered.")
    return Signed(name, content)


def _fingerprint(public_key: bytes) -> str:
    return hashlib.sha256(public_key).hexdigest()[:16]


def _canonical(document: Mapping[str, object]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
