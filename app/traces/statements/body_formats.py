"""The formats that statements are written in: which one is set, and the dictionaries that come along."""

from __future__ import annotations

from app.core import contracts
from app.core.clock import RandomBytes
from app.core.errors import FileRefused, SettingsInvalid
from app.crypto.bodies import DICTIONARIES, Bodies
from app.settings import Settings


def require_statement_format(settings: Settings) -> None:
    """Refuse a format to write statements in that there is not.

    Raises:
        SettingsInvalid: it is not known.
    """
    if settings.statement_format not in DICTIONARIES:
        known = ", ".join(map(str, sorted(DICTIONARIES)))
        raise SettingsInvalid(f"SILLAGE_STATEMENT_FORMAT is no format that this version knows ({known}).")


def bodies(settings: Settings, random: RandomBytes) -> Bodies:
    """Compresses and encrypts statements in the format that is set; every format is decrypted.

    Raises:
        SettingsInvalid: the format is not known.
        FileRefused: a dictionary is missing.
    """
    require_statement_format(settings)
    try:
        dictionaries = {number: contracts.folder("sillage", name).read_bytes() for number, name in DICTIONARIES.items()}
    except OSError:
        raise FileRefused("A compression dictionary is missing in schemas/sillage: statement-….zdict.") from None
    return Bodies(settings.organisation, dictionaries, random, writing=settings.statement_format)
