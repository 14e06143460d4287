"""How a repository declares its collections and indexes; migrations create them, start-up checks them."""

from __future__ import annotations

from typing import NamedTuple


class Index(NamedTuple):
    """An index: its name, its keys in order (1 ascending, -1 descending).

    Attributes:
        only_with: Only documents that have this field are in it; the others cost nothing.
        packed: Its blocks are compressed on disk.
    """

    name: str
    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    only_with: str | None = None
    packed: bool = False


class Declared(NamedTuple):
    """A collection with its indexes; ``packed``: compressed on disk more than MongoDB does by itself."""

    name: str
    indexes: tuple[Index, ...] = ()
    packed: bool = False
