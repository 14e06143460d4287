"""Assets of the pages: style sheets, pictures, scripts, in memory, under addresses that change with what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from app.core.errors import NotFound

FOLDER: Final = Path(__file__).parent / "static"
TYPES: Final = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".js": "text/javascript; charset=utf-8"}
"""Media types by suffix; files of other kinds are not served."""


class Asset(NamedTuple):
    """A file as served."""

    content: bytes
    type: str


class Assets:
    """The files of the folder, read once."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files: Mapping[str, Asset] = {
            path.relative_to(folder).as_posix(): Asset(path.read_bytes(), TYPES[path.suffix])
            for path in sorted(folder.rglob("*"))
            if path.suffix in TYPES
        }
        digest = hashlib.sha256()
        for name, asset in self._files.items():
            digest.update(name.encode() + asset.content)
        # One for all of them: style sheets name pictures by relative addresses.
        self.edition = digest.hexdigest()[:16]
        """Part of their addresses: what is behind one never changes."""

    def get(self, name: str) -> Asset:
        """One of them.

        Raises:
            NotFound: there is none of that name.
        """
        asset = self._files.get(name)
        if asset is None:
            raise NotFound("There is no such file.")
        return asset
