"""Memory of a process that works by the batch: how it is given out, and when it is looked through."""

from __future__ import annotations

import contextlib
import ctypes
import gc

# mallopt(3).
_M_ARENA_MAX = -8
_ARENAS = 2


def share_arenas() -> None:
    """Have the threads of this process, and of its forks, share few pools of memory.

    The C library gives each thread a pool of its own, which stays as large as its largest batch made it. To be called
    before there are threads; pools that are there stay. Elsewhere than in glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def spare_what_is_loaded() -> None:
    """Have Python's collector look less often, and never at what is loaded now, which lives as long as the process.

    A batch makes tens of thousands of small containers, none of them cyclic: Python's defaults would walk the whole
    heap several times a batch (a third of a worker's time, and of the job ``patterns``, measured).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
