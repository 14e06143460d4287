"""Erasures under way, as those see them who write or read what may be erased meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class ErasuresUnderWay(Protocol):
    """Tells of whom an erasure is under way."""

    def under_way(self, subjects: Iterable[bytes]) -> Mapping[bytes, int | None]:
        """Those of these subjects whose erasure is under way, and up to which ``stored`` what is theirs is erased.

        None for the bound: it is not known yet.
        """
