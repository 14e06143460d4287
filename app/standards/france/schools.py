"""Checks of the school and the course of study that a statement names, on the statement's date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeGuard

from app.core.errors import Fault
from app.standards.france import mef, school_directory, uai
from app.standards.france.mef import Edition
from app.standards.france.school_directory import OPEN, SchoolEdition


class Keys(NamedTuple):
    """The extensions that hold the UAI of a school and the MEF code of a course of study, by IRI."""

    school: str
    level: str


UAI_SECTION: Final = "UAI"
MEF_SECTION: Final = "MEF"
_MAX_LENGTH: Final = 11

_WORDS: Final = {
    "uai-key": "This is no UAI: seven digits and the letter that goes with them. Check it against the school's own.",
    "uai-unknown": "The directory in force on the statement's date has no such school. Check the UAI.",
    "uai-closed": "This school is not open on the statement's date. Check the UAI, and the timestamp.",
    "mef-malformed": "This is no MEF code: 10 or 11 digits.",
    "mef-unknown": "The nomenclature in force on the statement's date has no such MEF code. Check the code.",
    "mef-closed": "This MEF code is not open on the statement's date. Check the code, and the timestamp.",
}


class Checks:
    """The checks, with one nomenclature and one directory. Safe to share between threads."""

    def __init__(self, keys: Keys, editions: Sequence[Edition], directory: Sequence[SchoolEdition] = ()) -> None:
        """Make the checks.

        Args:
            keys: Where statements say them: in the context, the result or the definition of the object.
            editions: The nomenclature, with its history.
            directory: The directory of schools, with its history; without any, only the form of a UAI is checked.
        """
        self._keys = keys
        # Schools and courses of one day recur.
        self._school = lru_cache(maxsize=65_536)(
            lambda code, day: school_directory.state(directory, code, _day(day)) if uai.valid(code) else "key"
        )
        self._state = lru_cache(maxsize=65_536)(lambda code, day: mef.state(editions, code, _day(day)))

    def faults(self, statement: Mapping[str, Any], today: date) -> tuple[Fault, ...]:
        """The faults of one valid statement; none where it says neither school nor course.

        Args:
            statement: The statement.
            today: Its date when it has no timestamp.
        """
        found = []
        for place, extensions in _extensions(statement):
            school, level = extensions.get(self._keys.school), extensions.get(self._keys.level)
            if school is None and level is None:
                continue
            # The date as the statement writes it: that of its own clock.
            day = statement["timestamp"][:10] if "timestamp" in statement else today.isoformat()
            if school is not None:
                state = self._school(school, day) if _short(school) else "key"
                if state != OPEN:
                    found.append(_fault(f"uai-{state}", UAI_SECTION, place, self._keys.school))
            if level is not None:
                state = self._state(level, day) if _short(level) else "malformed"
                if state != "open":
                    found.append(_fault(f"mef-{state}", MEF_SECTION, place, self._keys.level))
        return tuple(found)


def _extensions(statement: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    places = (
        ("/context", statement.get("context")),
        ("/result", statement.get("result")),
        ("/object/definition", statement["object"].get("definition")),
    )
    return [(place, part["extensions"]) for place, part in places if part is not None and "extensions" in part]


def _short(code: object) -> TypeGuard[str]:
    # What is remembered of codes stays small, whatever senders write: none has more characters.
    return type(code) is str and len(code) <= _MAX_LENGTH


def _day(text: str) -> date:
    """The date that the first ten characters of a timestamp say: ``2026-09-07`` or ``20260907T0``."""
    return date.fromisoformat(text.upper().partition("T")[0])


def _fault(rule: str, section: str, place: str, key: str) -> Fault:
    pointer = f"{place}/extensions/{key.replace('~', '~0').replace('/', '~1')}"
    return Fault(pointer, rule, section, _WORDS[rule])
