"""Announcement of a change that processes may have in their caches."""

from __future__ import annotations

from typing import Protocol


class Announcer(Protocol):
    """Has every process take notice."""

    def announce(self) -> None:
        """Have every process empty its caches, and wait until it has.

        Raises:
            DatabaseUnavailable: one takes too long; the change is stored.
        """
