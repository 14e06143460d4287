"""A copy of the key-encryption keys that a passphrase protects. Pure.

Format (JSON)::

    {"format": "sillage-key-backup", "version": 1, "created": "2026-11-24T08:00:00Z",
     "kdf": {"name": "scrypt", "n": 131072, "r": 8, "p": 1, "salt": "<base64 of 16 bytes>"},
     "cipher": {"name": "AES-256-GCM", "nonce": "<base64 of 12 bytes>"},
     "sealed": "<base64>", "digest": "<SHA-256 of all that precedes, 64 hexadecimal digits>"}

The key of the cipher is scrypt (RFC 7914) of the passphrase, in UTF-8 after NFC. The additional data are everything
before ``sealed``, as JSON with sorted keys. The digest protects nothing: it tells damage from a wrong passphrase.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import unicodedata
from collections.abc import Callable
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from app.core.errors import KeyBackupRefused

FORMAT = "sillage-key-backup"
VERSION = 1
COST = 1 << 17
"""scrypt's N: with r = 8 it takes 128 MiB and some tenths of a second."""

_SALT_BYTES = 16
_NONCE_BYTES = 12
_BLOCK = 8
# A file may ask for this much at most: 1 GiB.
_MAX_COST = 1 << 20

RandomBytes = Callable[[int], bytes]


def encrypt(content: bytes, passphrase: str, created: str, random: RandomBytes, cost: int = COST) -> bytes:
    """Protect the text of a key file.

    Args:
        content: The text.
        passphrase: Any text.
        created: When, ISO 8601; it stands in clear.
        random: Source of random bytes.
        cost: scrypt's N, a power of two.
    """
    salt, nonce = random(_SALT_BYTES), random(_NONCE_BYTES)
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "created": created,
        "kdf": {"name": "scrypt", "n": cost, "r": _BLOCK, "p": 1, "salt": _text(salt)},
        "cipher": {"name": "AES-256-GCM", "nonce": _text(nonce)},
    }
    key = _derive(passphrase, salt, cost)
    document["sealed"] = _text(AESGCM(key).encrypt(nonce, content, _canonical(document)))
    document["digest"] = hashlib.sha256(_canonical(document)).hexdigest()
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def decrypt(backup: bytes, passphrase: str) -> bytes:
    """The text of the key file.

    Raises:
        KeyBackupRefused: not such a file, cut, altered, of a later version, or the passphrase is another.
    """
    document = _document(backup)
    try:
        kdf, cipher = document["kdf"], document["cipher"]
        names = (kdf["name"], cipher["name"], kdf["r"], kdf["p"])
        cost = kdf["n"]
        salt, nonce, sealed = _bytes(kdf["salt"]), _bytes(cipher["nonce"]), _bytes(document["sealed"])
        known = names == ("scrypt", "AES-256-GCM", _BLOCK, 1) and isinstance(cost, int) and len(nonce) == _NONCE_BYTES
        known = known and 2 <= cost <= _MAX_COST and cost & (cost - 1) == 0
    except (KeyError, TypeError, ValueError):
        known = False
    if not known:
        raise KeyBackupRefused("The file says nothing that this version can follow of how its copy was sealed.")
    bound = {name: value for name, value in document.items() if name != "sealed"}
    try:
        return AESGCM(_derive(passphrase, salt, cost)).decrypt(nonce, sealed, _canonical(bound))
    except InvalidTag:
        raise KeyBackupRefused("The passphrase is not the one that this copy was made with.") from None


def _document(backup: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(backup)
        if document["format"] != FORMAT:
            raise ValueError("another format")
        digest = document.pop("digest", None)
        # More deeply nested than it can be written, it was never sealed: a TypeError.
        summed = hashlib.sha256(_canonical(document)).hexdigest()
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise KeyBackupRefused(
            "The file is not a copy that `sillage keys backup` made, or it was cut. Take another copy."
        ) from None
    if document.get("version") != VERSION:
        raise KeyBackupRefused("The copy was made by a later version of Sillage, or altered. Use that version.")
    if not isinstance(digest, str) or not hmac.compare_digest(digest.encode(), summed.encode()):
        raise KeyBackupRefused("The file was damaged or altered since it was made. Take another copy.")
    return dict(document)


def _derive(passphrase: str, salt: bytes, cost: int) -> bytes:
    # The same text typed on two keyboards may come in two forms.
    typed = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return Scrypt(salt=salt, length=32, n=cost, r=_BLOCK, p=1).derive(typed)


def _canonical(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
