"""INE: the national number of a pupil, which has no place in a trace.

Three forms are told apart by their shape alone; the key is not checked, so that a mistyped INE is found too.
Whole values are looked at, never parts of longer ones: a UUID or a UAI does not hold an INE.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_FORMS: Final = re.compile(
    r"[0-9]{9}[A-Z]{2}"  # RNIE
    r"|[0-9_]{10}[A-Z]"  # BEA
    r"|[0-9]{4}A[0-9]{5}[A-Z]"  # apprentices
)


def looks_like(text: str) -> bool:
    """Whether the whole text, blanks around it and case aside, has the form of an INE."""
    # The length rules out nearly every value before the pattern is tried.
    return len(text) >= 11 and _FORMS.fullmatch(text.strip().upper()) is not None


def find(document: object) -> list[str]:
    """JSON pointers of the values, and of the keys, that look like an INE anywhere in a JSON tree.

    A key's pointer ends with the name of its parent: the pointer itself must not repeat the INE.
    """
    found: list[str] = []
    stack: list[tuple[str, object]] = [("", document)]
    while stack:
        place, value = stack.pop()
        if isinstance(value, str):
            if looks_like(value):
                found.append(place)
        elif isinstance(value, Mapping):
            for key, member in value.items():
                if looks_like(key):
                    found.append(place)
                else:
                    stack.append((f"{place}/{key.replace('~', '~0').replace('/', '~1')}", member))
        elif isinstance(value, list):
            stack.extend((f"{place}/{at}", member) for at, member in enumerate(value))
    return sorted(found)
