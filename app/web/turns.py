"""Large bodies take turns: checking and sealing one keeps a processor busy, and more of them at once finish no sooner.

They only slow down what is small, which would have to share the interpreter with all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LARGE_BYTES = 32 * 1024
_LEAST = 2


class Turns:
    """The turns of one process. Made after a fork, never before."""

    def __init__(self, threads: int, require: Callable[[], object] = lambda: None) -> None:
        """As many turns as a quarter of the threads.

        Args:
            threads: How many requests this process serves at once.
            require: Raises when the store is known to be unable to answer any request now.
        """
        self._large = threading.BoundedSemaphore(max(_LEAST, threads // 4))
        self._require = require

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """The time of work on a body of so many bytes, all of which are here already.

        Raises:
            DatabaseUnavailable: MongoDB went away meanwhile. Those before may have waited for it as long as allowed;
                to wait for it again, one turn after the other, would hold threads for several times as long.
        """
        if size <= _LARGE_BYTES:
            yield
            return
        with self._large:
            self._require()
            yield
