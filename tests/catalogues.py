"""Requirements of a catalogue of words (GNU gettext): complete, with its placeholders, written as French is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from babel.messages import extract, pofile
from babel.messages.catalog import Message

from app.core.language import LANGUAGES, SOURCE
from tests.places import ROOT

OTHERS = sorted(set(LANGUAGES) - {SOURCE})
_PLACEHOLDER = re.compile(r"%\([a-z_]+\)s|%%|\{[a-z_]*\}")


def asked(
    package: str, methods: Sequence[tuple[str, str]], options: Mapping[str, Mapping[str, str]]
) -> set[str | tuple[str, ...]]:
    """The messages that templates and code of a package of ``app/`` ask for."""
    given = {name: dict(each) for name, each in options.items()}
    return {each[2] for each in extract.extract_from_dir(ROOT / "app" / package, list(methods), given)}


def messages(locales: Path, code: str) -> list[Message]:
    """The messages of a catalogue."""
    with (locales / f"{code}.po").open("rb") as file:
        return [each for each in pofile.read_po(file, locale=code) if each.id]


def texts(message: Message) -> tuple[str, ...]:
    """The translations of a message: one for each number."""
    return tuple(message.string) if isinstance(message.string, list | tuple) else (str(message.string),)


def require_complete(locales: Path, code: str, wanted: Iterable[str | tuple[str, ...]]) -> None:
    """Every message is translated, and no other is there."""
    known = messages(locales, code)
    assert set(wanted) == {each.id for each in known}
    missing = [each.id for each in known if not all(texts(each)) or each.fuzzy]
    assert not missing, missing


def require_placeholders(locales: Path, code: str) -> None:
    """Translations have the values that their messages have."""
    for each in messages(locales, code):
        ids = each.id if isinstance(each.id, list | tuple) else (each.id,)
        wanted = {tuple(sorted(_PLACEHOLDER.findall(id))) for id in ids}
        assert {tuple(sorted(_PLACEHOLDER.findall(text))) for text in texts(each)} == wanted, each.id


def require_french_typography(locales: Path) -> None:
    """French has no-break spaces before high punctuation, and its own apostrophes."""
    for each in messages(locales, "fr"):
        for text in texts(each):
            # What stands between backquotes is typed, not read.
            read = re.sub(r"`[^`]*`", "", text)
            assert not re.search(r" [:;?!»]|« |\w'\w", read), text
