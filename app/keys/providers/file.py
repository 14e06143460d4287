"""The key-encryption keys at rest: a file of mode 0600, or the environment.

File format (JSON)::

    {"keys": [{"version": 1, "state": "active", "key": "<base64 of 32 bytes>",
               "created": "2026-11-24T08:00:00Z", "since": "2026-11-24T08:00:00Z"}]}

Exactly one version is ``active``: it wraps. ``decrypt-only`` ones unwrap what they wrapped. Of a ``destroyed`` one the
number stays, without its key, so that it is never given again. ``created`` and ``since`` (when it got its state) may be
missing: files made before have neither.

Environment: ``VERSION:BASE64,…``, the last one active; ``VERSION:BASE64:STATE`` says the state outright, and
``VERSION::destroyed`` that the key is no more.

The file is never written in place: a new one is written beside it, flushed and renamed over it. Losing it is losing the
data, so ``replace`` refuses to leave out a key.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import orjson

from app.core import clock
from app.core.atomic_file import flush_folder
from app.core.errors import KeyMissing, KeyRefused, KeysBusy
from app.core.personal_data import GIVEN, DeclaredFile, Impersonal
from app.crypto.keys import KEY_BYTES, KeyEncryptionKeys
from app.keys.keyring import Keyring
from app.settings import Settings

ACTIVE = "active"
DECRYPT_ONLY = "decrypt-only"
DESTROYED = "destroyed"
STATES = (ACTIVE, DECRYPT_ONLY, DESTROYED)

_MAX_BYTES = 1 << 20


FILES = (
    DeclaredFile("keys.json", "SILLAGE_KEY_FILE", Impersonal("key-encryption keys")),
    DeclaredFile(".keys.json.*", "SILLAGE_KEY_FILE", Impersonal("a key file while it is written")),
    DeclaredFile("*", GIVEN, Impersonal("`sillage keys backup`: a copy of the key file, under a passphrase")),
)


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of the key-encryption key.

    Attributes:
        number: Its number, from 1.
        state: One of ``STATES``.
        key: 32 bytes; none when destroyed.
        created: When it was made, to the second, UTC; unknown for files made before this was noted.
        since: When it got its state, likewise.
    """

    number: int
    state: str
    key: bytes | None = field(repr=False)
    created: datetime | None = None
    since: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell whether two places hold the same key, and nothing of it; empty for none."""
        return "" if self.key is None else blake2b(self.key, digest_size=8, person=b"kek print").hexdigest()


@dataclass(frozen=True)
class KeySet:
    """Every version there is, in the order of their numbers; one is active.

    Raises:
        KeyRefused: not one active version, a number twice, or a key that does not fit its state.
    """

    versions: tuple[KeyVersion, ...]

    def __post_init__(self) -> None:
        numbers = [version.number for version in self.versions]
        active = [version for version in self.versions if version.state == ACTIVE]
        if len(active) != 1 or len(set(numbers)) != len(numbers) or min(numbers) < 1:
            raise KeyRefused("The key-encryption keys must be one active key and distinct versions from 1 up.")
        for version in self.versions:
            if version.state not in STATES or (version.key is None) != (version.state == DESTROYED):
                raise KeyRefused("Each version of the keys has a known state, and a key of its own until destroyed.")
            if version.key is not None and len(version.key) != KEY_BYTES:
                raise KeyRefused("A key-encryption key is not 32 bytes long.")
        object.__setattr__(self, "versions", tuple(sorted(self.versions, key=lambda version: version.number)))

    @property
    def active(self) -> int:
        """Number of the version that wraps."""
        return next(version.number for version in self.versions if version.state == ACTIVE)

    @cached_property
    def keks(self) -> KeyEncryptionKeys:
        """The keys, ready for use."""
        held = {version.number: version.key for version in self.versions if version.key is not None}
        return KeyEncryptionKeys(held, self.active)

    def get(self, number: int) -> KeyVersion | None:
        """The version of that number."""
        return next((version for version in self.versions if version.number == number), None)

    def fingerprints(self) -> dict[int, str]:
        """Fingerprints of the keys that are held, by version."""
        return {version.number: version.fingerprint for version in self.versions if version.key is not None}

    def lost_in(self, after: KeySet) -> list[int]:
        """Versions whose key is here and that ``after`` neither holds nor names as destroyed."""
        lost = []
        for version in self.versions:
            there = after.get(version.number)
            if version.key is None or (there is not None and there.state == DESTROYED):
                continue
            if there is None or there.key != version.key:
                lost.append(version.number)
        return lost


def of_file(path: Path) -> Keyring:
    """The keys in a key file, read again when it changes.

    Raises:
        KeyMissing, KeyRefused: as ``read``.
    """

    def stamp() -> object:
        try:
            found = path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode

    return Keyring(lambda: read(path), stamp, clock.steady)


class FileProvider:
    """Keys in a file of this host."""

    unchangeable = ""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def file(self) -> Path:
        """The key file."""
        return self._path

    @property
    def kept(self) -> tuple[str, ...]:
        """The location of the key file, and advice to copy it."""
        return (
            f"Key-encryption keys: {self._path.absolute()}",
            "Keep a copy of this file, away from the backups: without it nothing stored can be read.",
        )

    def lost(self) -> bool:
        """True if there is no file."""
        return not self._path.exists()

    def create(self, random: Callable[[int], bytes], now: datetime) -> str:
        """Write a file with a first key; an existing one is left alone."""
        return "key file" if create(self._path, random, now) else ""

    def open(self) -> Keyring:
        """The keys; raises as ``of_file``."""
        return of_file(self._path)


def provider(settings: Settings) -> FileProvider:
    """The provider for ``SILLAGE_KEY_PROVIDER=file``."""
    return FileProvider(settings.key_path)


def create(path: Path, random: Callable[[int], bytes], now: datetime) -> bool:
    """Write a new key file, mode 0600, flushed to disk; leave an existing one alone.

    Returns:
        Whether a file was written.
    """
    at = now.replace(microsecond=0)
    return write_new(path, dump(KeySet((KeyVersion(1, ACTIVE, random(KEY_BYTES), at, at),))))


def write_new(path: Path, content: bytes) -> bool:
    """Write a file of secrets, mode 0600, whole or not at all; false, and nothing done, when something is there."""
    place = path.parent / f".{path.name}.{os.getpid()}.new"
    with suppress(FileNotFoundError):
        place.unlink()
    try:
        _written(place, content)
        # A link, unlike a rename, never takes the place of what is there.
        try:
            os.link(place, path)
        except FileExistsError:
            return False
    finally:
        with suppress(FileNotFoundError):
            place.unlink()
    flush_folder(path.parent)
    return True


def read(path: Path) -> KeySet:
    """Read the key file.

    Raises:
        KeyMissing: no file there.
        KeyRefused: others may read it, or it is not a key file.
    """
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        raise KeyMissing(
            "No key file. `sillage init` makes one; a store that already has data needs the file made with it: "
            "`sillage keys restore` puts it back from a copy."
        ) from None
    except OSError:
        raise KeyMissing("The key file cannot be read by this user.") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyRefused("The key file can be read by others: run `chmod 600` on it.")
    return load(content)


def load(content: bytes) -> KeySet:
    """The keys in the text of a key file.

    Raises:
        KeyRefused: it is not a key file; the message shows nothing of it.
    """
    try:
        versions = tuple(
            KeyVersion(
                int(entry["version"]),
                str(entry["state"]),
                None if entry["state"] == DESTROYED else _decode(entry["key"]),
                _instant(entry.get("created")),
                _instant(entry.get("since")),
            )
            for entry in orjson.loads(content)["keys"]
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise KeyRefused("The key file is not what `sillage init` writes; restore it from a copy.") from None
    if not versions:
        raise KeyRefused("The key file holds no key; restore it from a copy.")
    return KeySet(versions)


def dump(keys: KeySet) -> bytes:
    """The text of a key file."""
    entries = []
    for version in keys.versions:
        entry: dict[str, object] = {"version": version.number, "state": version.state}
        if version.key is not None:
            entry["key"] = base64.b64encode(version.key).decode()
        for name, at in (("created", version.created), ("since", version.since)):
            if at is not None:
                entry[name] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        entries.append(entry)
    return orjson.dumps({"keys": entries}, option=orjson.OPT_INDENT_2) + b"\n"


def replace(path: Path, before: KeySet, after: KeySet) -> None:
    """Put ``after`` in the place of ``before``, at once and flushed; owner and mode 0600 stay. Under ``locked`` only.

    Raises:
        KeyRefused: the file is no longer ``before``, or ``after`` would lose a key that it does not name as destroyed.
    """
    # Behind a symbolic link, the file is what changes, not the link.
    target = path.resolve()
    if read(target) != before:
        raise KeyRefused("The key file was changed by something else meanwhile. Nothing was written; run it again.")
    if before.lost_in(after):
        raise KeyRefused("This would lose a key-encryption key. Nothing was written.")
    fresh = target.with_name(f".{target.name}.new")
    # What a killed command left behind; nobody else writes here while the lock is held.
    with suppress(FileNotFoundError):
        fresh.unlink()
    owner = target.stat()
    try:
        _written(fresh, dump(after), owner)
        fresh.rename(target)
    except OSError as failed:
        with suppress(OSError):
            fresh.unlink()
        raise KeyRefused(
            f"The key file cannot be written ({failed.strerror}). It is as it was; run the command as its owner."
        ) from failed
    flush_folder(target.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other commands from changing the key file; the lock goes with the process, however it ends.

    Raises:
        KeysBusy: another command holds it.
        KeyMissing: its folder is not there.
    """
    try:
        descriptor = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        raise KeyMissing("The folder of the key file cannot be opened by this user.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise KeysBusy("Another command is changing the key file. Run this one when it has ended.") from None
    try:
        yield
    finally:
        os.close(descriptor)


def parse(text: str) -> KeySet:
    """Read ``VERSION:BASE64,…`` or ``VERSION:BASE64:STATE,…`` as the environment gives it.

    Without states the last one is active and the others decrypt-only.

    Raises:
        KeyRefused: malformed; the message shows nothing of the text.
    """
    versions = []
    parts = [part.strip().split(":") for part in text.split(",")]
    stated = any(len(part) == 3 and part[2] == ACTIVE for part in parts)
    last = max((place for place, part in enumerate(parts) if part[2:] != [DESTROYED]), default=0)
    try:
        for place, part in enumerate(parts):
            number, encoded, *said = part
            if len(said) > 1:
                raise ValueError("too many colons")
            state = said[0] if said else (ACTIVE if place == last and not stated else DECRYPT_ONLY)
            versions.append(KeyVersion(int(number), state, _decode(encoded) if encoded else None))
    except ValueError:
        raise KeyRefused(
            "SILLAGE_KEYS must be VERSION:BASE64 of 32 bytes, comma-separated, each with :active, :decrypt-only or "
            ":destroyed after it if needed."
        ) from None
    return KeySet(tuple(versions))


def _written(path: Path, content: bytes, owner: os.stat_result | None = None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        made = os.fstat(file.fileno())
        # A command run as root must not take the file from the service.
        if owner is not None and (owner.st_uid, owner.st_gid) != (made.st_uid, made.st_gid):
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _instant(text: object) -> datetime | None:
    return None if text is None else datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _decode(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
