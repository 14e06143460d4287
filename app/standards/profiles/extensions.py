"""Extensions that profiles define (xAPI Profiles 1.0, Structure 7.2): at their place, and of their schema.

That by which the specification divides registrations (Structure 9) is one of them in every profile.

Compiled once. A schema that cannot be used is left out: the linter tells of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from app.core.errors import Fault
from app.standards.profiles import jsonpath, schemas
from app.standards.profiles.checker import categories
from app.standards.profiles.document import Profile
from app.standards.profiles.schemas import Schema
from app.standards.profiles.sessions import SUBREGISTRATION

_HOLDERS: Final = {
    "ContextExtension": "context",
    "ResultExtension": "result",
    "ActivityExtension": "the definition of an activity",
}
_SECTION: Final = "xAPI-Profiles Structure 7.2"
# Structure 9: the extension of the specification itself.
_SUBREGISTRATIONS: Final = """{
  "type": "array", "minItems": 1, "items": {
    "type": "object", "required": ["profile", "subregistration"], "properties": {
      "profile": {"type": "string"},
      "subregistration": {
        "type": "string",
        "pattern": "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$"
      }}}}"""


class _Defined(NamedTuple):
    type: str
    schema: Schema | None


class Extensions:
    """The extensions of some profiles. Safe to share between threads."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._defined = {SUBREGISTRATION: _Defined("ContextExtension", schemas.compile(_SUBREGISTRATIONS))}
        for profile in profiles:
            for concept in profile.concepts:
                if concept.type in _HOLDERS and concept.version == profile.version:
                    self._defined.setdefault(concept.id, _Defined(concept.type, schemas.usable(concept.inline_schema)))

    def faults(self, statement: Mapping[str, object]) -> tuple[Fault, ...]:
        """The extensions of a valid statement that stand where they may not, or do not follow their schema."""
        if self._right(statement):
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
                elif key == SUBREGISTRATION and place == "/context":
                    found += _divides(statement, value)
        return tuple(found)

    def _right(self, statement: Mapping[str, object]) -> bool:
        """True only of a statement without such extensions: of most that have none, without a list of them all."""
        context, target = statement.get("context"), statement.get("object")
        if type(target) is not dict or target.get("objectType") == "SubStatement":
            return False
        if type(context) is dict:
            related = context.get("contextActivities")
            for given in related.values() if type(related) is dict else ():
                for activity in given if type(given) is list else (given,):
                    definition = activity.get("definition") if type(activity) is dict else None
                    if type(definition) is dict and "extensions" in definition:
                        return False
        return (
            self._follow("ContextExtension", context)
            and self._follow("ResultExtension", statement.get("result"))
            and self._follow("ActivityExtension", target.get("definition"))
        )

    def _follow(self, kind: str, part: object) -> bool:
        extensions = part.get("extensions") if type(part) is dict else None
        if type(extensions) is dict:
            for key, value in extensions.items():
                defined = self._defined.get(key)
                if defined is not None and (
                    defined.type != kind
                    or key == SUBREGISTRATION
                    or (defined.schema is not None and not defined.schema.is_valid(value))
                ):
                    return False
        return True


def _divides(statement: Mapping[str, object], parts: object) -> Iterator[Fault]:
    """The faults of subregistrations by Structure 9 that a schema cannot find."""
    context = statement.get("context")
    if type(context) is dict and "registration" not in context:
        yield _fault("/context", SUBREGISTRATION, "subregistration-alone", "needs a registration beside it.")
    named = set(categories(statement))
    if type(parts) is list and any(part["profile"] not in named for part in parts):
        words = "names a profile that is not among the category context activities."
        yield _fault("/context", SUBREGISTRATION, "subregistration-profile", words)


Holder = tuple[str, str, Mapping[str, object]]


def _holders(statement: Mapping[str, object], place: str = "") -> list[Holder]:
    """Every extensions object of a statement: the place of what has it, the type that belongs there, and itself."""
    context, target = statement.get("context"), statement.get("object")
    found: list[Holder] = []
    _hold(found, f"{place}/context", "ContextExtension", context)
    _hold(found, f"{place}/result", "ResultExtension", statement.get("result"))
    if type(target) is dict:
        if target.get("objectType") == "SubStatement":
            found += _holders(target, f"{place}/object")
        else:
            _hold(found, f"{place}/object/definition", "ActivityExtension", target.get("definition"))
    related = context.get("contextActivities") if type(context) is dict else None
    if type(related) is dict:
        for key, given in related.items():
            where = f"{place}/context/contextActivities/{key}"
            for at, activity in enumerate(given if type(given) is list else [given]):
                if type(activity) is dict and "definition" in activity:
                    each = f"{where}/{at}" if type(given) is list else where
                    _hold(found, f"{each}/definition", "ActivityExtension", activity["definition"])
    return found


def _hold(found: list[Holder], place: str, kind: str, part: object) -> None:
    extensions = part.get("extensions") if type(part) is dict else None
    if type(extensions) is dict:
        found.append((place, kind, extensions))


def _fault(place: str, key: str, rule: str, words: str) -> Fault:
    pointer = f"{place}/extensions{jsonpath.pointer([key])}"
    return Fault(pointer, rule, _SECTION, f"A profile defines this extension; it {words}")
