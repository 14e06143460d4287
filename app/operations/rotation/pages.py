"""Pages of encrypted values: bounded in bytes, and written back only over what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

Row = TypeVar("Row")

MAX_BYTES = 16 * 1024 * 1024
"""Of encrypted values in one page, but for the document with which they are reached."""


def up_to(rows: Iterable[Row], size: Callable[[Row], int], max_bytes: int = MAX_BYTES) -> list[Row]:
    """The first rows, up to the one with which they have ``max_bytes``."""
    page: list[Row] = []
    total = 0
    for row in rows:
        page.append(row)
        total += size(row)
        if total >= max_bytes:
            break
    return page


def unchanged(values: Mapping[str, bytes]) -> dict[str, bytes]:
    """The filter that a document meets while it is as it was read: the shortest of its encrypted values, by field.

    Each is encrypted anew, under a nonce of its own, whenever the document is written. The longest one may have as much
    as a document of MongoDB can, and a command that named it twice would be refused.
    """
    field = min(values, key=lambda each: len(values[each]))
    return {field: values[field]}
