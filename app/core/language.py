"""Languages of what people read: the words of each from a catalogue, and how each writes numbers and dates.

Templates and code are written in English; ``LANGUAGE.po`` of a folder has every other language (GNU gettext).
Catalogues are read as they are: nothing is compiled beforehand.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Final, Literal

from babel import dates, numbers
from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog
from babel.support import NullTranslations, Translations

LANGUAGES: Final[Mapping[str, str]] = {"fr": "Français", "en": "English"}
"""Languages by code, each by its own name; the first is for whoever asks for none of them."""
DEFAULT: Final = "fr"
SOURCE: Final = "en"
# Of the two Englishes, the one that writes days before months.
LOCALES: Final[Mapping[str, str]] = {"fr": "fr_FR", "en": "en_GB"}
"""Locales of the CLDR by language."""
_PERCENT: Final = {"fr": "#,##0.#\u202f%", "en": "#,##0.#%"}


@cache
def translations(locales: Path, language: str) -> NullTranslations:
    """The words of a language, of the catalogues in a folder."""
    if language == SOURCE:
        return NullTranslations()
    compiled = io.BytesIO()
    mofile.write_mo(compiled, _parsed(locales, language))
    compiled.seek(0)
    return Translations(compiled)


@cache
def catalogue(locales: Path, language: str) -> Mapping[str | tuple[str, str], str]:
    """Every message of a catalogue, with its translation; of one that counts, both forms, and that for one."""
    made: dict[str | tuple[str, str], str] = {}
    for each in _parsed(locales, language):
        said = each.string if isinstance(each.string, str) else (each.string or ("",))[0]
        if isinstance(each.id, str):
            made[each.id] = said
        else:
            made[each.id[0], each.id[1]] = said
    made.pop("", None)
    return made


def _parsed(locales: Path, language: str) -> Catalog:
    with (locales / f"{language}.po").open("rb") as file:
        return pofile.read_po(file, locale=language)


def number(value: float, language: str) -> str:
    """A number as the language writes it."""
    return numbers.format_decimal(value, locale=LOCALES[language])


def day(value: date, language: str) -> str:
    """A day in full: 30 November 2026."""
    return _day(value, "long", language)


def short_day(value: date, language: str) -> str:
    """A day in a table or on an axis: 30 Nov 2026."""
    return _day(value, "medium", language)


def _day(value: date, form: Literal["long", "medium"], language: str) -> str:
    written = dates.format_date(value, form, locale=LOCALES[language])
    # CLDR writes `1 septembre`; French does not.
    return f"1er{written[1:]}" if language == "fr" and value.day == 1 else written


def share(value: float, language: str) -> str:
    """A share of one as a percentage: 72.9%."""
    return numbers.format_percent(value, _PERCENT[language], locale=LOCALES[language])


def month(value: date, language: str) -> str:
    """A month with its year: November 2026."""
    return dates.format_date(value, "MMMM y", locale=LOCALES[language])


def moment(value: datetime, language: str) -> str:
    """A day and a time, in the zone of the value."""
    if language == "fr":
        # CLDR has the form of clocks and computers; texts have that of the Imprimerie nationale.
        return f"{day(value.date(), language)} à {value.hour}\u00a0h\u00a0{value.minute:02}"
    return f"{day(value.date(), language)}, {dates.format_time(value, 'short', locale=LOCALES[language])}"
