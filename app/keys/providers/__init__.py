"""Key providers, the origin of key-encryption keys: each is a file here and a line of ``PROVIDERS``.

The module of a provider offers ``provider(settings)``. It is imported when it is chosen: what only it needs may not be
installed elsewhere. Settings of its own stand in ``app/settings.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, cast

from app.core.errors import SettingsInvalid
from app.settings import Settings

if TYPE_CHECKING:
    from app.keys.keyring import KeyHolding


class KeyProvider(Protocol):
    """Key-encryption keys as an installation's settings say where they are."""

    @property
    def file(self) -> Path | None:
        """The key file, which commands read and change; None where the keys are kept elsewhere."""

    @property
    def unchangeable(self) -> str:
        """The reason why a command that makes, changes or copies keys is refused, and what to do instead."""

    @property
    def kept(self) -> tuple[str, ...]:
        """Location of the keys, and what to look after: for whoever makes a store, a sentence a line."""

    def lost(self) -> bool:
        """True if there is no key yet, or none any more, where this process would make one."""

    def create(self, random: Callable[[int], bytes], now: datetime) -> str:
        """Make a first key where there is none, if that is this process's to do; what was made, or empty."""

    def open(self) -> KeyHolding:
        """The keys.

        Raises:
            KeyMissing, KeyRefused, KeysUnavailable: they cannot be had.
        """


ProviderFactory = Callable[[Settings], KeyProvider]


def _module(name: str, extra: str = "") -> ProviderFactory:
    """The factory that a module of this package offers; ``extra``: of the package, what the module needs installed."""

    def made(settings: Settings) -> KeyProvider:
        try:
            module = import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as missing:
            raise SettingsInvalid(
                f"SILLAGE_KEY_PROVIDER={settings.provider} needs `{missing.name}`: install `sillage[{extra}]`."
            ) from None
        return cast(ProviderFactory, module.provider)(settings)

    return made


PROVIDERS: Final[Mapping[str, ProviderFactory]] = MappingProxyType(
    {
        "file": _module("file"),
        "environment": _module("environment"),
        "vault": _module("vault_transit", extra="vault"),
    }
)
"""Values of ``SILLAGE_KEY_PROVIDER``."""


def refuse_unknown(settings: Settings) -> None:
    """Refuse a provider that there is not.

    Raises:
        SettingsInvalid: the detail names those that there are.
    """
    if settings.provider not in PROVIDERS:
        raise SettingsInvalid(f"SILLAGE_KEY_PROVIDER: Must be one of: {', '.join(PROVIDERS)}.")


def chosen(settings: Settings) -> KeyProvider:
    """The provider that the settings choose.

    Raises:
        SettingsInvalid: there is none of that name, or something that it needs is not installed.
    """
    refuse_unknown(settings)
    return PROVIDERS[settings.provider](settings)
