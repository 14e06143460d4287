"""The error tree: stable codes, both languages, nothing of the value."""

from __future__ import annotations

import re

import pytest

from app.core.errors import MAX_POINTER, SillageError, Unavailable, every, pointer, pointer_to


def test_codes_are_unique_and_every_error_speaks_both_languages() -> None:
    kinds = list(every())
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    for kind in kinds:
        assert kind.__doc__
        assert kind.title != kind.title_fr
        assert 400 <= kind.status < 600
        if kind is not SillageError:
            assert (kind.title, kind.title_fr) != (SillageError.title, SillageError.title_fr), kind


# What a title begins with, before the colon; after it stands why, or what to do.
OUTCOMES = {
    "title": "refused failed unavailable overloaded stopped abandoned altered error found",
    "title_fr": "refusé refusée refusés refusées échec impossible introuvable indisponible indisponibles surchargé "
    "arrêtée abandonnée altéré interne",
}
VAGUE = re.compile(r"\b(here|(some|every|no)(body|one|thing)|ici|quelqu'un|quelque chose|rien)\b", re.IGNORECASE)


@pytest.mark.parametrize("kind", list(every()), ids=lambda kind: kind.code)
@pytest.mark.parametrize(("language", "colon"), [("title", ": "), ("title_fr", " : ")])
def test_a_title_says_what_happened_and_why_or_what_to_do(kind: type[SillageError], language: str, colon: str) -> None:
    title = getattr(kind, language)
    happened, found, rest = title.partition(colon)
    assert set(re.findall(r"\w+", happened.lower())) & set(OUTCOMES[language].split()), title
    assert found and len(rest.split()) >= 3 and ":" not in rest, title
    assert title[0].isupper() and not title.endswith(".") and len(title) <= 100, title
    assert not VAGUE.search(title), title


def test_what_passes_says_when_to_try_again() -> None:
    for kind in every():
        if issubclass(kind, Unavailable):
            assert kind().retry_after


@pytest.mark.parametrize(
    ("tokens", "worded"),
    [
        ([], ""),
        (["a", 3, "b/c~d", ""], "/a/3/b~1c~0d/"),
        (["k" * 200], "/" + "k" * 200),
        (["a", "h" * 150 + "m" * 20_000 + "t" * 40, "b"], "/a/" + "h" * 150 + "…" + "t" * 40 + "/b"),
    ],
)
def test_a_pointer_says_the_way_to_a_place(tokens: list[str | int], worded: str) -> None:
    place = None
    for token in tokens:
        place = (place, token)
    assert pointer_to(place) == pointer(tokens) == worded
    assert pointer_to(place, "/7") == "/7" + worded


@pytest.mark.parametrize("key", ["k", "/" * 300, "~" * 5_000, "é" * 100, "https://ent.example/extensions/one"])
def test_a_pointer_is_bounded_however_deep_and_long_and_says_where_it_begins_and_ends(key: str) -> None:
    tokens = [key, *range(1_000, 1_254), key] * 3
    worded = pointer(["context", *tokens, "last", 7], "/12")
    assert len(worded) <= MAX_POINTER
    assert worded.startswith("/12/context/") and worded.endswith("/last/7") and "/…/" in worded
