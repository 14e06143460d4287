"""The shape of a statement (xAPI 1.0.3 and 2.0): which paths can lead anywhere in it, and to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from app.core.lossless import Digits
from app.standards.profiles.jsonpath import Path, Step

JSON_TYPES: Final = ("object", "array", "string", "number", "boolean", "null")


@dataclass(frozen=True, eq=False, slots=True)
class Shape:
    """Shape of the values that can stand at one place.

    Attributes:
        types: JSON types that the value can have.
        members: Properties of an object, by name.
        other: What any further property of an object holds; ``None`` when there can be no further one.
        items: What the members of an array are.
        required: Properties that are always there.
        extensions: Of an extensions object, the type of concept that its keys are.
    """

    types: frozenset[str]
    members: Mapping[str, Shape] = field(default_factory=dict)
    other: Shape | None = None
    items: Shape | None = None
    required: frozenset[str] = frozenset()
    extensions: str | None = None


def _object(**members: Shape) -> Shape:
    return Shape(frozenset({"object"}), members)


def _always(shape: Shape, *names: str) -> Shape:
    return replace(shape, required=frozenset(names))


def _list(items: Shape) -> Shape:
    return Shape(frozenset({"array"}), items=items)


ANYTHING: Final = Shape(frozenset(JSON_TYPES))
_TEXT: Final = Shape(frozenset({"string"}))
_NUMBER: Final = Shape(frozenset({"number"}))
_FLAG: Final = Shape(frozenset({"boolean"}))
_TEXTS: Final = Shape(frozenset({"object"}), other=_TEXT)


def _extensions(kind: str) -> Shape:
    return Shape(frozenset({"object"}), other=ANYTHING, extensions=kind)


_AGENT_PARTS: Final = {
    "objectType": _TEXT,
    "name": _TEXT,
    "mbox": _TEXT,
    "mbox_sha1sum": _TEXT,
    "openid": _TEXT,
    "account": _always(_object(homePage=_TEXT, name=_TEXT), "homePage", "name"),
}
_AGENT: Final = _object(**_AGENT_PARTS)
_ACTOR: Final = _object(**_AGENT_PARTS, member=_list(_AGENT))
_VERB: Final = _always(_object(id=_TEXT, display=_TEXTS), "id")
_COMPONENTS: Final = _list(_always(_object(id=_TEXT, description=_TEXTS), "id"))
_DEFINITION: Final = _object(
    name=_TEXTS,
    description=_TEXTS,
    type=_TEXT,
    moreInfo=_TEXT,
    extensions=_extensions("ActivityExtension"),
    interactionType=_TEXT,
    correctResponsesPattern=_list(_TEXT),
    choices=_COMPONENTS,
    scale=_COMPONENTS,
    source=_COMPONENTS,
    target=_COMPONENTS,
    steps=_COMPONENTS,
)
_ACTIVITY_PARTS: Final = {"objectType": _TEXT, "id": _TEXT, "definition": _DEFINITION}
_ACTIVITIES: Final = _list(_always(_object(**_ACTIVITY_PARTS), "id"))
_SCORE: Final = _object(scaled=_NUMBER, raw=_NUMBER, min=_NUMBER, max=_NUMBER)
_RESULT: Final = _object(
    score=_SCORE,
    success=_FLAG,
    completion=_FLAG,
    response=_TEXT,
    duration=_TEXT,
    extensions=_extensions("ResultExtension"),
)
_CONTEXT: Final = _object(
    registration=_TEXT,
    instructor=_ACTOR,
    team=_ACTOR,
    contextActivities=_object(parent=_ACTIVITIES, grouping=_ACTIVITIES, category=_ACTIVITIES, other=_ACTIVITIES),
    contextAgents=_list(_object(objectType=_TEXT, agent=_AGENT, relevantTypes=_list(_TEXT))),
    contextGroups=_list(_object(objectType=_TEXT, group=_ACTOR, relevantTypes=_list(_TEXT))),
    revision=_TEXT,
    platform=_TEXT,
    language=_TEXT,
    statement=_always(_object(objectType=_TEXT, id=_TEXT), "objectType", "id"),
    extensions=_extensions("ContextExtension"),
)
_ATTACHMENTS: Final = _list(
    _always(
        _object(
            usageType=_TEXT,
            display=_TEXTS,
            description=_TEXTS,
            contentType=_TEXT,
            length=_NUMBER,
            sha2=_TEXT,
            fileUrl=_TEXT,
        ),
        "usageType",
        "display",
        "contentType",
        "length",
        "sha2",
    )
)
_COMMON: Final = {
    "actor": _ACTOR,
    "verb": _VERB,
    "result": _RESULT,
    "context": _CONTEXT,
    "timestamp": _TEXT,
    "attachments": _ATTACHMENTS,
}
# An object is an Activity, an Agent, a Group, a StatementRef or a SubStatement.
_TARGET: Final = _object(**{**_COMMON, **_AGENT_PARTS, **_ACTIVITY_PARTS}, member=_list(_AGENT), object=ANYTHING)
STATEMENT: Final = _always(
    _object(**_COMMON, object=_TARGET, id=_TEXT, stored=_TEXT, version=_TEXT, authority=_ACTOR),
    "actor",
    "verb",
    "object",
)


class Astray(NamedTuple):
    """The reason why a path leads nowhere.

    Attributes:
        at: Number of the step, from 0.
        why: ``array`` (a name where ``[*]`` is wanted), ``object`` (a number or ``[*]`` of what is no array), ``leaf``
            (something below a plain value) or ``unknown`` (no such property).
        known: The properties that there are.
    """

    at: int
    why: str
    known: tuple[str, ...]


class Reached(NamedTuple):
    """The end of one branch of a path.

    Attributes:
        shapes: What can be there; empty when nothing can.
        astray: Why it leads nowhere, when it does.
        extensions: Keys of extensions on the way: the type of concept that belongs there, and its IRI.
        always: Whether every valid statement has something there.
    """

    shapes: tuple[Shape, ...]
    astray: Astray | None
    extensions: tuple[tuple[str, str], ...]
    always: bool


def walk(path: Path, shapes: tuple[Shape, ...] = (STATEMENT,)) -> list[Reached]:
    """The end of each branch of a path, from some shapes."""
    return [_walk(steps, shapes) for steps in path.branches]


def _walk(steps: tuple[Step, ...], shapes: tuple[Shape, ...]) -> Reached:
    extensions: list[tuple[str, str]] = []
    always = True
    for at, step in enumerate(steps):
        if step.deep:
            # Whatever lies at any depth.
            return Reached((ANYTHING,), None, tuple(extensions), False)
        found: dict[Shape, None] = {}
        for shape in shapes:
            for name in step.names:
                if shape.extensions is not None:
                    extensions.append((shape.extensions, name))
            found.update(dict.fromkeys(_next(shape, step)))
            always = always and step.plain and step.names[0] in shape.required
        if not found:
            return Reached((), _astray(at, step, shapes), tuple(extensions), False)
        shapes = tuple(found)
    return Reached(shapes, None, tuple(extensions), always)


def _next(shape: Shape, step: Step) -> list[Shape]:
    if shape is ANYTHING:
        return [ANYTHING]
    found: list[Shape] = []
    if step.every:
        found += shape.members.values()
        found += [each for each in (shape.other, shape.items) if each is not None]
    for name in step.names:
        member = shape.members.get(name, shape.other)
        if member is not None:
            found.append(member)
    if step.numbers and shape.items is not None:
        found.append(shape.items)
    return found


def _astray(at: int, step: Step, shapes: tuple[Shape, ...]) -> Astray:
    known = sorted({name for shape in shapes for name in shape.members})
    if step.names and any(shape.items is not None for shape in shapes):
        return Astray(at, "array", ())
    if not any(shape.types & {"object", "array"} for shape in shapes):
        return Astray(at, "leaf", ())
    return Astray(at, "unknown" if step.names else "object", tuple(known))


def type_of(value: object) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float, Digits)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
