"""Python's collector of garbage in processes that work by the batch."""

from __future__ import annotations

import subprocess
import sys

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
