"""Large bodies take turns: checking and sealing one keeps a processor busy, and more of them at once finish no sooner.

They only slow down what is small, which would have to share the interpreter with all of them. Large answers take turns
for the memory that making one needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LARGE_BYTES = 32 * 1024
_LARGE_ANSWER_BYTES = 512 * 1024
_MIN = 2


class Turns:
    """The turns of one process. Made after a fork, never before."""

    def __init__(self, threads: int, require: Callable[[], object] = lambda: None) -> None:
        """As many turns as a quarter of the threads, for bodies and for answers each.

        Args:
            threads: How many requests this process serves at once.
            require: Raises when the store is known to be unable to answer any request now.
        """
        together = max(_MIN, threads // 4)
        self._bodies = threading.BoundedSemaphore(together)
        # Apart: whoever reads much must not keep those waiting who write.
        self._answers = threading.BoundedSemaphore(together)
        self._require = require

    def require(self) -> None:
        """Look whether the store can answer, for whoever waited for others.

        Raises:
            DatabaseUnavailable: as ``take``.
        """
        self._require()

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """The time of work on a body of so many bytes, all of which are here already.

        Raises:
            DatabaseUnavailable: MongoDB went away meanwhile. Those before may have waited for it as long as allowed;
                to wait for it again, one turn after the other, would hold threads for several times as long.
        """
        with self._turn(self._bodies, size > _LARGE_BYTES):
            yield

    @contextmanager
    def answer(self, size: int) -> Iterator[None]:
        """The time in which an answer is made, for which so many bytes are held.

        Raises:
            DatabaseUnavailable: as ``take``.
        """
        with self._turn(self._answers, size > _LARGE_ANSWER_BYTES):
            yield

    @contextmanager
    def _turn(self, turns: threading.BoundedSemaphore, large: bool) -> Iterator[None]:
        if not large:
            yield
            return
        with turns:
            self._require()
            yield
