"""The key-encryption keys of a process that lives on while they change.

The file is looked at again whenever it may have changed: a look costs one ``stat``. So a service needs no restart for a
rotation, and a version that another process made is found when something wrapped with it is met.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog

from app.core.clock import RandomBytes, SteadyClock
from app.core.errors import SillageError
from app.crypto.keys import KeyCustody, KeyEncryptionKeys, KeyWrapping, Wrapped

if TYPE_CHECKING:
    from app.keys.providers.file import KeySet

_log = structlog.stdlib.get_logger("sillage.keys")

# A version nobody here has is asked for by every request about its learners: the file is not read for each.
_RELOAD_SECONDS = 1.0


class Listed(NamedTuple):
    """A version of the key-encryption key, as it is shown.

    Attributes:
        number: Its number, from 1.
        state: One of ``STATES`` of the key file.
        created: When it was made, if that is known.
        since: When it got its state, likewise.
        fingerprint: Tells whether two hosts have the same key; empty where no host has it.
    """

    number: int
    state: str
    created: datetime | None
    since: datetime | None
    fingerprint: str


class KeyHolding(KeyWrapping, Protocol):
    """Key-encryption keys that change while a process lives: at hand (``Keyring``), or with Vault (``TransitKeys``)."""

    @property
    def current(self) -> KeyCustody:
        """The keys as last looked at."""

    def refresh(self) -> None:
        """Look at them again."""

    def notice(self) -> None:
        """Look again if a look costs next to nothing: done all the time."""

    def listed(self) -> tuple[Listed, ...]:
        """Every version, as last looked at."""


class Keyring:
    """The keys as they are now. Wraps and opens like ``KeyEncryptionKeys``; safe to share between threads."""

    def __init__(self, read: Callable[[], KeySet], stamp: Callable[[], object], steady: SteadyClock) -> None:
        """Read the keys a first time.

        Args:
            read: Reads every version, or raises what a start-up should stop at.
            stamp: Something cheap that differs once the keys may have changed.
            steady: Seconds on a clock that never steps back.
        """
        self._read = read
        self._stamp = stamp
        self._steady = steady
        self._lock = threading.Lock()
        self._seen = stamp()
        self._set = read()
        self._read_at = steady()

    @property
    def versions(self) -> KeySet:
        """Every version, as last read."""
        return self._set

    @property
    def current(self) -> KeyEncryptionKeys:
        """The keys, as last read."""
        return self._set.keks

    def wrap(self, place: str, key: bytes, random: RandomBytes) -> Wrapped:
        """Wrap ``key`` for one place with the active version."""
        return self._set.keks.wrap(place, key, random)

    def unwrap(self, place: str, wrapped: Wrapped) -> bytes:
        """Unwrap a key; the keys are read again for a version that is not known.

        Raises:
            KeyRefused: the version is not held here, or the key does not open it.
        """
        if wrapped.version not in self._set.keks.keys:
            self._look(unknown=True)
        return self._set.keks.unwrap(place, wrapped)

    def wrap_all(self, items: Sequence[tuple[str, bytes]], random: RandomBytes) -> list[Wrapped]:
        """Wrap keys, each for its place, with the active version."""
        return self._set.keks.wrap_all(items, random)

    def unwrap_all(self, items: Sequence[tuple[str, Wrapped]]) -> list[bytes]:
        """Unwrap keys; raises as ``unwrap``, if one cannot be."""
        return [self.unwrap(place, wrapped) for place, wrapped in items]

    def listed(self) -> tuple[Listed, ...]:
        """Every version, as last read."""
        return tuple(
            Listed(one.number, one.state, one.created, one.since, one.fingerprint) for one in self._set.versions
        )

    def refresh(self) -> None:
        """Read the keys again if they may have changed."""
        self._look(unknown=False)

    def notice(self) -> None:
        """Read the keys again if they may have changed: a look is one ``stat``."""
        self.refresh()

    def _look(self, *, unknown: bool) -> None:
        with self._lock:
            stamp = self._stamp()
            # A stamp may lie, on a network file system for one: then time decides, for what is missing.
            late = unknown and self._steady() - self._read_at >= _RELOAD_SECONDS
            if stamp == self._seen and not late:
                return
            self._seen, self._read_at = stamp, self._steady()
            try:
                found = self._read()
            except SillageError as refused:
                _log.error("the changed key file is not used", code=refused.code)
                return
            lost = self._set.lost_in(found)
            if lost:
                # What opens the store is not given up for a file that does not.
                _log.error("the changed key file lacks keys and is not used", versions=lost)
            elif found != self._set:
                self._set = found
                _log.info("key-encryption keys read again", active=found.active)
