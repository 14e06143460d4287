"""Location of the contracts (``schemas/``): JSON Schemas, xAPI Profiles and aggregate definitions.

In a checkout or an editable install they stand beside ``app/``; a wheel carries them as ``app/_schemas``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import orjson

_APP = Path(__file__).resolve().parents[1]


def folder(*parts: str) -> Path:
    """Path of a file or folder under ``schemas/``, for example ``folder("xapi", "statement.json")``."""
    packed = _APP / "_schemas"
    root = packed if packed.is_dir() else _APP.parent / "schemas"
    return root.joinpath(*parts)


@cache
def load(*parts: str) -> dict[str, Any]:
    """The decoded JSON document under ``schemas/``; callers must not change it."""
    document: dict[str, Any] = orjson.loads(folder(*parts).read_bytes())
    return document
