"""Languages of pages: the one that a browser asks for, and the words of each (``locales/LANGUAGE.po``)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from babel.support import NullTranslations

from app.core import language
from app.core.language import DEFAULT, LANGUAGES
from app.standards.xapi import languages

LOCALES: Final = Path(__file__).parent / "locales"


def preferred(accepted: str | None) -> str:
    """The language that suits an ``Accept-Language`` best (RFC 9110 12.5.4)."""
    return languages.parse(accepted).chosen(LANGUAGES) or DEFAULT


def translations(code: str) -> NullTranslations:
    """The words of a language."""
    return language.translations(LOCALES, code)
