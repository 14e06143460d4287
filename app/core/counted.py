"""Counted nouns in messages: ``1 statement``, ``2 statements``."""

from __future__ import annotations

_TWO = 2


def is_singular(number: float, *, french: bool = False) -> bool:
    """True for a number whose noun is singular; in French for all that is less than two, none too."""
    return abs(number) < _TWO if french else number == 1


def agreed(number: int, one: str, many: str) -> str:
    """The word that agrees with an English number: ``is``, ``are``."""
    return one if is_singular(number) else many


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its English noun; ``many`` is the plural where it is not made with an s."""
    return f"{number:,} {agreed(number, one, many or f'{one}s')}"
