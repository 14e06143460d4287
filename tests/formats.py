"""A format of statement bodies that tests make, beside the one that there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from app.core import contracts
from app.crypto.bodies import DICTIONARIES

FORMER: Final = 200
"""Number of the format: none that a version of the product will have soon."""

_DICTIONARY = (
    b'{"id":"","stored":"","actor":{"objectType":"Agent","account":{"homePage":"","name":""}},"verb":{"id":""}}'
)


def dictionaries() -> dict[int, bytes]:
    """The content of the dictionary of each format, that of the tests included."""
    shipped = {number: contracts.folder("sillage", name).read_bytes() for number, name in DICTIONARIES.items()}
    return {**shipped, FORMER: _DICTIONARY}


def files(folder: Path) -> Mapping[int, str]:
    """The ``DICTIONARIES`` of a build that knows the format of the tests, too."""
    path = folder / "former.zdict"
    path.write_bytes(_DICTIONARY)
    return {**DICTIONARIES, FORMER: str(path)}


def environment_knowing(folder: Path, former: str = "") -> dict[str, str]:
    """The environment in which a Python process knows that format; ``former``: the PYTHONPATH that it had."""
    known = dict(files(folder))
    place = folder / "knowing"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(f"from app.crypto import bodies\nbodies.DICTIONARIES = {known!r}\n")
    return {"PYTHONPATH": f"{place}:{former}" if former else str(place)}
