"""Work that one process at a time goes on with, and another when that one was killed
(``app/platform/cluster/claim_store.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from app.core import clock
from app.core.errors import DatabaseUnavailable
from app.platform.cluster.claim_store import Claims

CLAIM_SECONDS = 20.0
"""Seconds after the death of a process until another may take over its claim."""


def take(claims: Claims, id: UUID, by: bytes) -> bool:
    """Take, or keep, the claim on a piece of work; false when another has it."""
    return claims.take(id, by, CLAIM_SECONDS)


@contextmanager
def kept(claims: Claims, id: UUID, by: bytes, check: Callable[[], None], work: str) -> Iterator[Callable[[], None]]:
    """Keep a claim that was taken for as long as the block runs.

    Args:
        claims: Of the collection.
        id: Of the piece of work.
        by: Who has it.
        check: Called as often as what is given; what it raises ends the block.
        work: What it is called in an error: ``erasure``.

    Yields:
        To be called before each batch. It raises DatabaseUnavailable when another process has the claim now.
    """
    renewed = clock.steady()

    def keep() -> None:
        nonlocal renewed
        check()
        if clock.steady() - renewed > CLAIM_SECONDS / 4:
            if not take(claims, id, by):
                raise DatabaseUnavailable(f"Another process goes on with this {work}.")
            renewed = clock.steady()

    try:
        yield keep
    finally:
        claims.release(id, by)
