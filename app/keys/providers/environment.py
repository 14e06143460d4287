"""The key-encryption keys in the environment (``SILLAGE_KEYS``): what they are there is for its operator to change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from app.core import clock
from app.keys.keyring import Keyring
from app.keys.providers.file import parse
from app.settings import Settings


def of_text(text: str) -> Keyring:
    """The keys in ``SILLAGE_KEYS``, which cannot change while a process lives.

    Raises:
        KeyRefused: malformed.
    """
    return Keyring(lambda: parse(text), lambda: None, clock.steady)


class EnvironmentProvider:
    """Keys given in ``SILLAGE_KEYS``."""

    file = None
    unchangeable = (
        "The keys come from SILLAGE_KEYS, which a command cannot change. docs/keys.md says how to rotate there."
    )
    kept = ("Key-encryption keys: from the environment (SILLAGE_KEYS)",)

    def __init__(self, text: str) -> None:
        self._text = text

    def lost(self) -> bool:
        """Never: a process without them does not start."""
        return False

    def create(self, random: Callable[[int], bytes], now: datetime) -> str:
        """Nothing is made: the operator gives the keys."""
        return ""

    def open(self) -> Keyring:
        """The keys; raises as ``of_text``."""
        return of_text(self._text)


def provider(settings: Settings) -> EnvironmentProvider:
    """The provider for ``SILLAGE_KEY_PROVIDER=environment``."""
    return EnvironmentProvider(settings.keys)
