"""Sources that counts are asked of: one, several, or all."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

Asked: TypeAlias = str | Collection[str] | None
"""One source, several, or all of them (None)."""


def among(asked: str | Collection[str]) -> object:
    """The condition on a field that holds the id of a source."""
    return asked if isinstance(asked, str) else {"$in": sorted(asked)}
