"""Large bodies take turns: checking and sealing one keeps a processor busy, and more of them at once finish no sooner.

They only slow down what is small, which would have to share the interpreter with all of them.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext

_LARGE_BYTES = 32 * 1024
_LEAST = 2


class Turns:
    """The turns of one process. Made after a fork, never before."""

    def __init__(self, threads: int) -> None:
        """``threads`` is how many requests this process serves at once; a quarter of them may work on large bodies."""
        self._large = threading.BoundedSemaphore(max(_LEAST, threads // 4))

    def take(self, size: int) -> AbstractContextManager[object]:
        """The time of work on a body of so many bytes, all of which are here already."""
        return self._large if size > _LARGE_BYTES else nullcontext()
