"""The words of pages: every one is there in every language, and nothing is left over."""

from __future__ import annotations

import re
from datetime import date, datetime

import pytest
from babel.messages import extract, pofile
from babel.messages.catalog import Message

from app.core import language as languages
from app.core.language import DEFAULT, LANGUAGES, SOURCE
from app.web.portal import language
from app.web.portal.language import LOCALES
from tests.places import ROOT

PLACEHOLDER = re.compile(r"%\([a-z]+\)s|%%")
METHODS = [("**/templates/**.html", "jinja2"), ("**.py", "python")]
OPTIONS = {"**/templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}}
OTHERS = sorted(set(LANGUAGES) - {SOURCE})


def asked() -> set[str | tuple[str, ...]]:
    """The messages that templates and code ask for."""
    found = extract.extract_from_dir(ROOT / "app" / "web" / "portal", METHODS, OPTIONS)
    return {each[2] for each in found}


def messages(code: str) -> list[Message]:
    with (LOCALES / f"{code}.po").open("rb") as file:
        return [each for each in pofile.read_po(file, locale=code) if each.id]


@pytest.mark.parametrize("code", OTHERS)
def test_every_message_is_translated_and_none_is_left_over(code: str) -> None:
    known = messages(code)
    assert asked() == {each.id for each in known}
    for each in known:
        texts = each.string if isinstance(each.string, tuple) else (each.string,)
        assert all(texts) and not each.fuzzy, each.id


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_has_the_placeholders_of_its_message(code: str) -> None:
    for each in messages(code):
        ids = each.id if isinstance(each.id, tuple) else (each.id,)
        texts = each.string if isinstance(each.string, tuple) else (each.string,)
        wanted = {tuple(sorted(PLACEHOLDER.findall(id))) for id in ids}
        assert {tuple(sorted(PLACEHOLDER.findall(text))) for text in texts} == wanted, each.id


def test_french_has_its_spaces_and_apostrophes() -> None:
    for each in messages("fr"):
        for text in each.string if isinstance(each.string, tuple) else (each.string,):
            assert not re.search(r" [:;?!»]|« |\w'\w", text), text
            # Nor does a number end a line before what it counts.
            assert not re.search(r"\((?:count|num|days|minimum)\)s \w", text), text


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (None, DEFAULT),
        ("", DEFAULT),
        ("de", DEFAULT),
        ("en", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("de-DE,en;q=0.8,fr;q=0.2", "en"),
        ("fr-CA,en;q=0.9", "fr"),
        ("*", DEFAULT),
        ("en;q=0,fr", "fr"),
        (",;" * 10_000, DEFAULT),
    ],
)
def test_the_language_that_a_browser_wants(accepted: str | None, chosen: str) -> None:
    assert language.preferred(accepted) == chosen


def test_moments_as_each_language_writes_them() -> None:
    moment = datetime(2026, 12, 1, 9, 5)
    assert languages.moment(moment, "fr") == "1er décembre 2026 à 9\u00a0h\u00a005"
    assert languages.moment(moment, "en") == "1 December 2026, 09:05"


def test_numbers_and_days_as_each_language_writes_them() -> None:
    assert languages.number(12_418_906, "fr") == "12\u202f418\u202f906"
    assert languages.number(12_418_906, "en") == "12,418,906"
    assert [languages.day(date(2026, 9, 1), code) for code in ("fr", "en")] == [
        "1er septembre 2026",
        "1 September 2026",
    ]
    assert languages.day(date(2026, 11, 30), "fr") == "30 novembre 2026"
    assert [languages.short_day(date(2026, 9, day), "fr") for day in (1, 11)] == ["1er sept. 2026", "11 sept. 2026"]
