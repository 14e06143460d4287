"""Values of documents of MongoDB, wherever they are in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def bytes_in(value: Any) -> Iterator[bytes]:
    """Every binary value in a document, or in a part of one."""
    if isinstance(value, bytes):
        yield bytes(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from bytes_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from bytes_in(inner)
