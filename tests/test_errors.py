"""The error tree: stable codes, both languages, nothing of the value."""

from __future__ import annotations

from app.errors import SillageError, Unavailable, every


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


def test_what_passes_says_when_to_try_again() -> None:
    for kind in every():
        if issubclass(kind, Unavailable):
            assert kind().retry_after
