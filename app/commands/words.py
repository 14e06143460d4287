"""Words of commands: in English in the code, and in French where the locale of who runs them is.

``_`` marks a text that is shown, ``counted`` a number with its noun; help is what docstrings and options say, columns
of tables are marked by ``table``, and details of errors by being raised. ``scripts/words.py`` gathers all of them for
``locales/fr.po``. JSON, codes and names of options are the same in every language.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import click
from click import core, decorators, exceptions, formatting, parser, termui, types

from app.core import language as languages
from app.core.counted import agreed
from app.core.errors import SillageError
from app.core.language import LANGUAGES, SOURCE

LOCALES: Final = Path(__file__).parent / "locales"
CLICK: Final = (core, decorators, exceptions, formatting, parser, termui, types)
"""Modules of click that have words of their own: usage, missing arguments, questions."""

_FIELD = re.compile(r"\{(\d+)\}")
_COUNTED = re.compile(r"(-?[0-9][0-9,]*) (.+)", re.DOTALL)


class _Speaker:
    """The language of this process, English until ``speak`` names another."""

    language: str = SOURCE


def speak(language: str) -> None:
    """Show texts in this language from now on, those of click too."""
    _Speaker.language = language
    for module in CLICK:
        # It asks gettext for them, which reads compiled catalogues of the whole system alone.
        for name, ours in (("_", _said), ("ngettext", ngettext)):
            if hasattr(module, name):
                setattr(module, name, ours)


def spoken() -> str:
    """The language in which texts are shown."""
    return _Speaker.language


def language_of(environ: Mapping[str, str]) -> str:
    """The language that an environment asks for: that of its messages, as gettext reads it; else English.

    ``LC_ALL``, ``LC_MESSAGES`` and ``LANG`` name a locale, the first that is given; unless that is C, ``LANGUAGE``
    lists languages that come first.
    """
    locale = next((environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(name)), "C")
    if _code(locale) in {"C", "POSIX"}:
        return SOURCE
    for wanted in (*environ.get("LANGUAGE", "").split(":"), locale):
        if _code(wanted) in LANGUAGES:
            return _code(wanted)
    return SOURCE


def _code(locale: str) -> str:
    return re.split("[_.@]", locale, maxsplit=1)[0]


def _(text: str, /, **values: object) -> str:
    """A text in the language that is spoken, with its values: ``_("Request {id} is open.", id=id)``."""
    said = _said(text)
    return said.format(**values) if values else said


def N_(text: str) -> str:
    """A text that is shown elsewhere: marked, and as it is."""
    return text


def ngettext(one: str, many: str, count: int) -> str:
    """A text that agrees with a number."""
    if _Speaker.language == SOURCE:
        return agreed(count, one, many)
    return str(languages.translations(LOCALES, _Speaker.language).ngettext(one, many, count))


def number(value: float) -> str:
    """A number as the language writes it."""
    return f"{value:,}" if _Speaker.language == SOURCE else languages.number(value, _Speaker.language)


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun; ``many`` is the English plural where it is not made with an s."""
    several = many or f"{one}s"
    return f"{number(count)}{_space()}{ngettext(one, several, count)}"


def _space() -> str:
    # A number does not end a line before what it counts.
    return " " if _Speaker.language == SOURCE else "\N{NO-BREAK SPACE}"


def title(error: SillageError | type[SillageError]) -> str:
    """The title of an error."""
    return error.title if _Speaker.language == SOURCE else error.title_fr


def detail(text: str) -> str:
    """The detail of an error, which whoever raised it wrote in English.

    One with values is known by the words around them; one that nobody has foreseen is shown as it is.
    """
    if _Speaker.language == SOURCE:
        return text
    said = _said(text)
    if said != text:
        return said
    for pattern, wording in _patterns(_Speaker.language):
        found = pattern.fullmatch(text)
        if found is not None:
            return wording.format(*map(_value, found.groups()))
    return text


def _value(text: str | None) -> str:
    """A value of a detail: a counted noun in the language that is spoken, anything else as it is."""
    found = _COUNTED.fullmatch(text or "")
    if found is None:
        return text or ""
    count = int(found[1].replace(",", ""))
    forms = _nouns(_Speaker.language).get(found[2])
    return text or "" if forms is None else counted(count, *forms)


def _said(text: str) -> str:
    if _Speaker.language == SOURCE or not text:
        return text
    return str(languages.translations(LOCALES, _Speaker.language).gettext(text))


@cache
def _patterns(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Details with values, as patterns, those with most words first, and their translations."""
    made = [
        (re.compile("(.*?)".join(map(_pattern, parts)), re.DOTALL), wording, sum(map(len, parts)))
        for text, wording in _catalogue(language).items()
        if isinstance(text, str) and len(parts := _FIELD.split(text)[::2]) > 1
    ]
    made.sort(key=lambda each: -each[2])
    return tuple((pattern, wording) for pattern, wording, _length in made)


def _pattern(words: str) -> str:
    return re.escape(words.replace("{{", "{").replace("}}", "}"))


@cache
def _nouns(language: str) -> Mapping[str, tuple[str, str]]:
    """Both English forms of the nouns that are counted, by each."""
    both = [key for key in _catalogue(language) if isinstance(key, tuple)]
    return {form: forms for forms in both for form in forms}


@cache
def _catalogue(language: str) -> Mapping[str | tuple[str, str], str]:
    return languages.catalogue(LOCALES, language)


def plain(help: str | None) -> str:
    """Help as it is translated: paragraphs on a line each, whatever the width of the code that they stand in."""
    paragraphs = inspect.cleandoc(help or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")).strip() for paragraph in paragraphs)


def localise(command: click.Command) -> None:
    """Have a command, and those below it, explain themselves in the language that is spoken."""
    if _Speaker.language == SOURCE:
        return
    command.help = _said(plain(command.help)) or None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            parameter.help = _said(plain(parameter.help)) or None
    if isinstance(command, click.Group):
        for child in command.commands.values():
            localise(child)
