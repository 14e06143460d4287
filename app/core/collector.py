"""Python's collector of cyclic garbage, set for work by the batch."""

from __future__ import annotations

import gc


def spare_what_is_loaded() -> None:
    """Have it look less often, and never at what is loaded now, which lives as long as the process.

    A batch makes tens of thousands of small containers, none of them cyclic: Python's defaults would walk the whole
    heap several times a batch (a third of a worker's time, and of the job ``patterns``, measured).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
