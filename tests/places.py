"""Places of the files that tests look at."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The top of the checkout."""

SHARED = ROOT.parent / "shared"
"""Public data beside the checkout; tests skip without it."""
