"""Marks a test as one requirement of the standard; ``docs/conformance.md`` lists what is marked."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

VERSIONS = ("1.0.3", "2.0.0")


class Requirement(NamedTuple):
    """What the standard asks, where it does (section of xAPI 1.0.3, or of 2.0 if only that has it), and the test."""

    section: str
    text: str
    versions: tuple[str, ...]
    test: str


REGISTRY: list[Requirement] = []


def requirement(
    section: str, text: str, versions: tuple[str, ...] = VERSIONS
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the test, and run it once for each version, as its argument ``version``."""

    def mark(test: Callable[..., None]) -> Callable[..., None]:
        place = f"{test.__module__.replace('.', '/')}.py::{test.__name__}"
        REGISTRY.append(Requirement(section, text, versions, place))
        return pytest.mark.parametrize("version", versions)(test)

    return mark
