"""The provider of key-encryption keys: a file of mode 0600, or the environment.

File format (JSON)::

    {"keys": [{"version": 1, "state": "active", "key": "<base64 of 32 bytes>"}]}

Exactly one key is ``active``; others are ``decrypt-only``.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Callable
from pathlib import Path

import orjson

from app.errors import KeyMissing, KeyRefused
from app.vault.keys import KEY_BYTES, KeyEncryptionKeys

ACTIVE = "active"
STATES = (ACTIVE, "decrypt-only")


def create(path: Path, random: Callable[[int], bytes]) -> bool:
    """Write a new key file, mode 0600, flushed to disk; leave an existing one alone.

    Returns:
        Whether a file was written.
    """
    document = {"keys": [{"version": 1, "state": ACTIVE, "key": base64.b64encode(random(KEY_BYTES)).decode()}]}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def read(path: Path) -> KeyEncryptionKeys:
    """Read the key file.

    Raises:
        KeyMissing: no file there.
        KeyRefused: others may read it, or it is not a key file.
    """
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except FileNotFoundError:
        raise KeyMissing(
            "No key file. `sillage init` makes one; a store that already has data needs the file made with it."
        ) from None
    except OSError:
        raise KeyMissing("The key file cannot be read by this user.") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyRefused("The key file can be read by others: run `chmod 600` on it.")
    try:
        entries = orjson.loads(content)["keys"]
        keys = {int(entry["version"]): _decode(entry["key"]) for entry in entries}
        active = [int(entry["version"]) for entry in entries if entry["state"] == ACTIVE]
        states = {entry["state"] for entry in entries}
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise KeyRefused("The key file is not what `sillage init` writes; restore it from a copy.") from None
    if len(active) != 1 or len(keys) != len(entries) or not states <= set(STATES):
        raise KeyRefused("The key file must hold one active key and distinct versions.")
    return KeyEncryptionKeys(keys, active[0])


def parse(text: str) -> KeyEncryptionKeys:
    """Read ``VERSION:BASE64,…`` as the environment gives it; the last one is active.

    Raises:
        KeyRefused: malformed; the message shows nothing of the text.
    """
    keys: dict[int, bytes] = {}
    active = 0
    try:
        for part in text.split(","):
            version, _, encoded = part.strip().partition(":")
            active = int(version)
            keys[active] = _decode(encoded)
    except ValueError:
        raise KeyRefused("SILLAGE_KEYS must be VERSION:BASE64 of 32 bytes, comma-separated.") from None
    return KeyEncryptionKeys(keys, active)


def _decode(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
