"""The growth of work with its input, told without a clock that others on the machine could slow down."""

from __future__ import annotations

import time
from collections.abc import Callable

_TRIES = 5


def grows_as_its_input(work: Callable[[int], object], small: int, large: int) -> bool:
    """True when ``work(large)`` takes about as many times what ``work(small)`` takes as it is larger, not its square.

    Processor time of this thread, the least of some runs: what else the machine does makes a run longer, never shorter.
    """
    times = large / small
    first = min(_seconds(work, small) for _ in range(_TRIES))
    second = float("inf")
    for _ in range(_TRIES):
        second = min(second, _seconds(work, large))
        # Half way, by the exponent, from the ratio of sizes to its square.
        if second < first * times**1.5:
            return True
    return False


def _seconds(work: Callable[[int], object], size: int) -> float:
    began = time.thread_time()
    work(size)
    return max(time.thread_time() - began, 1e-6)
