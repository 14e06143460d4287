"""Extensions that profiles define (xAPI Profiles 1.0, Structure 7.2): at their place, and of their schema.

Compiled once. A schema that is no JSON Schema is left out: the linter tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import jsonschema_rs
import orjson

from app.errors import Fault
from app.profiles.document import Concept, Profile

RULES: Final = ("extension-misplaced", "extension-value")

_HOLDERS: Final = {
    "ContextExtension": "context",
    "ResultExtension": "result",
    "ActivityExtension": "the definition of an activity",
}
_SECTION: Final = "xAPI-Profiles Structure 7.2"


class _Schema(Protocol):
    def is_valid(self, instance: Any) -> bool: ...


class _Defined(NamedTuple):
    type: str
    schema: _Schema | None


class Extensions:
    """The extensions of some profiles. Safe to share between threads."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._defined: dict[str, _Defined] = {}
        for profile in profiles:
            for concept in profile.concepts:
                if concept.type in _HOLDERS and concept.version == profile.version:
                    self._defined.setdefault(concept.id, _Defined(concept.type, _schema(concept)))

    def faults(self, statement: Mapping[str, object]) -> tuple[Fault, ...]:
        """The extensions of a valid statement that stand where they may not, or do not follow their schema."""
        if not self._defined:
            return ()
        found: list[Fault] = []
        for place, kind, extensions in _holders(statement):
            for key, value in extensions.items():
                defined = self._defined.get(key)
                if defined is None:
                    continue
                if defined.type != kind:
                    found.append(_fault(place, key, "extension-misplaced", f"belongs in {_HOLDERS[defined.type]}."))
                elif defined.schema is not None and not defined.schema.is_valid(value):
                    found.append(_fault(place, key, "extension-value", "does not follow the schema that it gives."))
        return tuple(found)


def _schema(concept: Concept) -> _Schema | None:
    if concept.inline_schema is None:
        return None
    try:
        # Structure 7.2: draft 7. Nothing is fetched, and no pattern can make it explode.
        made: _Schema = jsonschema_rs.Draft7Validator(
            orjson.loads(concept.inline_schema), pattern_options=jsonschema_rs.RegexOptions()
        )
    except (ValueError, jsonschema_rs.ReferencingError):
        return None
    return made


def _holders(statement: Mapping[str, object]) -> list[tuple[str, str, dict[str, object]]]:
    target = statement.get("object")
    places = (
        ("/context", "ContextExtension", statement.get("context")),
        ("/result", "ResultExtension", statement.get("result")),
        ("/object/definition", "ActivityExtension", target.get("definition") if type(target) is dict else None),
    )
    return [
        (place, kind, extensions)
        for place, kind, part in places
        if type(part) is dict and type(extensions := part.get("extensions")) is dict
    ]


def _fault(place: str, key: str, rule: str, words: str) -> Fault:
    pointer = f"{place}/extensions/{key.replace('~', '~0').replace('/', '~1')}"
    return Fault(pointer, rule, _SECTION, f"A profile defines this extension; it {words}")
