"""UAI: the identifier of a French school (unité administrative immatriculée).

Three characters for the département, four for the serial number, one key letter.
"""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(r"[0-9]{7}[A-HJ-NPR-Z]")
# The 23 letters of the key: the alphabet without I, O and Q, which read as figures.
_LETTERS: Final = "ABCDEFGHJKLMNPRSTUVWXYZ"


def valid(uai: str) -> bool:
    """True if the form and the key letter are right; not whether the school exists."""
    return _FORM.fullmatch(uai) is not None and uai.isascii() and uai[7] == _key(uai[:7])


def make(departement: str, serial: int) -> str:
    """The UAI of a département (three digits, such as ``075`` or ``971``) and a serial number (0 to 9999).

    Raises:
        ValueError: either is out of these bounds.
    """
    if re.fullmatch(r"[0-9]{3}", departement) is None or not 0 <= serial <= 9999:
        raise ValueError("a UAI needs a département of three digits and a serial number from 0 to 9999")
    digits = f"{departement}{serial:04d}"
    return digits + _key(digits)


def _key(digits: str) -> str:
    return _LETTERS[int(digits) % 23]
