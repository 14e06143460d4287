"""What a statement says of a school and of a course of study: is it so on the statement's date?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from app.errors import Fault
from app.france import mef, uai
from app.france.mef import Edition


class Keys(NamedTuple):
    """The extensions that hold the UAI of a school and the MEF code of a course of study, by IRI."""

    school: str
    level: str


UAI_SECTION: Final = "UAI"
MEF_SECTION: Final = "MEF"
RULES: Final = ("uai-key", "mef-malformed", "mef-unknown", "mef-closed")

_WORDS: Final = {
    "uai-key": "This is no UAI: seven digits and the letter that goes with them. Check it against the school's own.",
    "mef-malformed": "This is no MEF code: 10 or 11 digits.",
    "mef-unknown": "The nomenclature in force on the statement's date has no such MEF code. Check the code.",
    "mef-closed": "This MEF code is not open on the statement's date. Check the code, and the timestamp.",
}


def faults(statement: Mapping[str, Any], keys: Keys, editions: Sequence[Edition], today: date) -> list[Fault]:
    """The faults of one valid statement; none where it says neither school nor course.

    Args:
        statement: The statement.
        keys: Where it says them: in the context, the result, or the definition of the object.
        editions: The nomenclature, with its history.
        today: Its date when it has no timestamp.
    """
    found = []
    for place, extensions in _extensions(statement):
        school = extensions.get(keys.school)
        if school is not None and not (type(school) is str and uai.valid(school)):
            found.append(_fault("uai-key", UAI_SECTION, place, keys.school))
        level = extensions.get(keys.level)
        if level is not None:
            state = mef.state(editions, level, _day(statement, today)) if type(level) is str else "malformed"
            if state != "open":
                found.append(_fault(f"mef-{state}", MEF_SECTION, place, keys.level))
    return found


def _extensions(statement: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name in ("context", "result"):
        part = statement.get(name)
        if part is not None and "extensions" in part:
            yield f"/{name}", part["extensions"]
    definition = statement["object"].get("definition")
    if definition is not None and "extensions" in definition:
        yield "/object/definition", definition["extensions"]


def _day(statement: Mapping[str, Any], today: date) -> date:
    """The date as the statement writes it: that of its own clock."""
    try:
        return date.fromisoformat(statement["timestamp"][:10])
    except (KeyError, ValueError):
        return today


def _fault(rule: str, section: str, place: str, key: str) -> Fault:
    pointer = f"{place}/extensions/{key.replace('~', '~0').replace('/', '~1')}"
    return Fault(pointer, rule, section, _WORDS[rule])
