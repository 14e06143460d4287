"""Marks a test as one requirement of the standard; ``docs/conformance.md`` lists what is marked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest

VERSIONS = ("1.0.3", "2.0.0")
V1, V2 = VERSIONS[:1], VERSIONS[1:]

# Sections of IEEE 9274.1.1 for those of xAPI 1.0.3, as the public conformance suite names them. Where it keeps the old
# section in its tests of 2.0 (formatting, signatures, HEAD, error codes…), the new one is not known here.
_SECTIONS_OF_2_0 = {
    "Data 2.3.2": "4.2.5",
    "Data 2.4.1": "4.2.4.2",
    "Data 2.4.2": "4.2.2.1",
    "Data 2.4.3": "4.2.2.2",
    "Data 2.4.4": "4.2.2.3",
    "Data 2.4.5": "4.2.2.4",
    "Data 2.4.6": "4.2.2.5",
    "Data 2.4.7": "4.2.4.2",
    "Data 2.4.8": "4.2.4.2",
    "Data 2.4.9": "4.2.4.2",
    "Data 2.4.10": "4.2.4.3",
    "Data 2.4.11": "4.2.2.6",
    "Data 4": "4.2.7",
    "Communication 1.5": "4.1.3",
    "Communication 2.1": "4.1.6.1",
    "Communication 2.3": "4.1.6.2",
    "Communication 2.4": "4.1.6.3",
    "Communication 2.5": "4.1.6.4",
    "Communication 2.6": "4.1.6.5",
    "Communication 2.7": "4.1.6.6",
    "Communication 2.8": "4.1.6.7",
    "Communication 3.1": "4.1.4",
}


class Requirement(NamedTuple):
    """Requirement of the standard, its section, and its test.

    Attributes:
        section: Of xAPI 1.0.3, its part first: ``Data 2.4.1``; empty where only 2.0 asks for it.
        ieee: Of IEEE 9274.1.1 (xAPI 2.0); empty where it is not known, or only 1.0.3 asks for it.
        numbers: Of the requirements of ADL's list for 1.0.3 (``numbered.py``) that the test shows to hold.
        text: One sentence.
        versions: Those in which the test is run.
        test: Its file and name.
    """

    section: str
    ieee: str
    numbers: tuple[int, ...]
    text: str
    versions: tuple[str, ...]
    test: str


REGISTRY: list[Requirement] = []


def register(
    section: str, text: str, test: str, *, versions: tuple[str, ...], ieee: str | None, numbers: Iterable[int]
) -> None:
    """List a requirement; ``ieee`` None: the section of 2.0 that answers to that of 1.0.3."""
    if ieee is None:
        ieee = _ieee(section) if VERSIONS[1] in versions else ""
    REGISTRY.append(Requirement(section, ieee, tuple(sorted(numbers)), text, versions, test))


def requirement(
    section: str,
    text: str,
    numbers: Iterable[int] = (),
    *,
    versions: tuple[str, ...] = VERSIONS,
    ieee: str | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the test, and run it once for each version, as its argument ``version``."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        place = f"{test.__module__.replace('.', '/')}.py::{test.__name__}"
        register(section, text, place, versions=versions, ieee=ieee, numbers=numbers)
        marked: Callable[..., None] = pytest.mark.parametrize("version", versions)(test)
        return marked

    return mark


def _ieee(section: str) -> str:
    parts = section.split(".")
    for length in range(len(parts), 0, -1):
        found = _SECTIONS_OF_2_0.get(".".join(parts[:length]))
        if found is not None:
            return found
    return ""
