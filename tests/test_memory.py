"""Memory in processes that work by the batch."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import gc, sys
from app.cli import main
sys.argv = ["sillage", "settings"]
main()
print(gc.get_freeze_count() > 100_000, gc.get_threshold())
"""


def test_commands_do_not_have_what_is_loaded_gone_through_again_and_again() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.splitlines()[-1] == "True (50000, 20, 100)"


# The C library's pools of memory, before and while eight threads hold 8 MiB each, in small blocks.
POOLS = """
import ctypes, sys, threading
from app.cli import main
sys.argv = ["sillage", "settings"]
main()
libc = ctypes.CDLL(None)
ready = threading.Barrier(9)
def work():
    held = [bytes(65_000) for _ in range(128)]
    ready.wait()
    ready.wait()
libc.malloc_stats()
print("---", file=sys.stderr, flush=True)
for _ in range(8): threading.Thread(target=work).start()
ready.wait()
libc.malloc_stats()
ready.wait()
"""


def test_threads_share_two_pools_of_memory_or_those_that_are_there() -> None:
    """They would have one each, as large as their largest batch."""
    done = subprocess.run([sys.executable, "-c", POOLS], capture_output=True, text=True, timeout=60)
    if "malloc_stats" in done.stderr:
        pytest.skip("this C library has no malloc_stats")
    before, while_held = done.stderr.split("---")
    assert done.returncode == 0
    assert 0 < while_held.count("Arena ") <= max(2, before.count("Arena "))
