"""Examples: for a template, a statement made up from its rules that conforms.

Made from what the template determines and wants, with ordinary values elsewhere; then held to the standard, to the
template and to the extensions of the profiles. Where what comes out does not follow all of them (a rule that looks at
any depth, a schema with a pattern of its own), there is no example: none is better than one that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from app.core.errors import InvalidStatement
from app.standards.profiles import checker, schemas
from app.standards.profiles.checker import Outcome
from app.standards.profiles.document import Concept, Profile, Rule, Template
from app.standards.profiles.extensions import Extensions
from app.standards.xapi.content import normalise
from app.standards.xapi.validate import validate
from app.standards.xapi.versions import SUPPORTED

_UUID: Final = "7f3c2c1e-5d0a-4a8e-9a54-2b6f0c1d9e11"
_SESSION: Final = "0d9c7a52-3c1b-4c54-8f0e-6f1f2a7b9c33"
_OTHER: Final = "c1b7a0de-90f5-4c0c-8d5a-1f5b7d2e4a22"
_HOME: Final = "https://tool.example"
_STEPS: Final = 4
_VALUES: Final[Mapping[tuple[str, ...], object]] = {
    ("id",): _UUID,
    ("timestamp",): "2026-09-07T08:15:30.000Z",
    ("actor", "account", "name"): "f7c3a91be0d24c55",
    ("actor", "account", "homePage"): _HOME,
    ("context", "registration"): _SESSION,
    ("context", "platform"): "Tool",
    ("context", "language"): "fr",
    ("context", "revision"): "1",
    ("result", "success"): True,
    ("result", "completion"): True,
    ("result", "duration"): "PT1M30S",
    ("result", "response"): "42",
    ("result", "score"): {"scaled": 0.8},
    ("result", "score", "scaled"): 0.8,
    ("result", "score", "raw"): 8,
    ("result", "score", "min"): 0,
    ("result", "score", "max"): 10,
    ("object", "definition", "name"): {"fr": "Exercice 17"},
    ("object", "definition", "description"): {"fr": "Additionner deux nombres"},
    ("verb", "display"): {"fr": "a fait"},
}
"""Ordinary values, by place. None is of anybody."""
_PATTERNED: Final[Sequence[str]] = ("0750654D", "10010012110", "fr", "2026-09-07", _UUID, _HOME)
"""Tried where a schema has a pattern: a UAI, a MEF code, a language, a day…"""


Examples = Sequence[tuple[Template, Mapping[str, Any] | None]]
"""Templates, each with its example; None: none could be made."""


def examples(profile: Profile, loaded: Sequence[Profile] = ()) -> Examples:
    """The templates of a profile that are in force, each with a statement that follows it.

    Args:
        profile: The profile.
        loaded: Profiles that define extensions, besides.
    """
    profiles = [profile, *(each for each in loaded if each.id != profile.id)]
    concepts = {concept.id: concept for each in profiles for concept in each.concepts}
    extensions = Extensions(profiles)
    return [
        (each, _example(each, profile, concepts, extensions))
        for each in profile.templates
        if each.version == profile.version and not each.deprecated
    ]


def _example(
    template: Template, profile: Profile, concepts: Mapping[str, Concept], extensions: Extensions
) -> dict[str, Any] | None:
    made = _determined(template)
    for rule in template.rules:
        _follow(made, rule, concepts)
    return made if _right(made, template, profile, extensions) else None


def _determined(template: Template) -> dict[str, Any]:
    target: dict[str, Any] = {"objectType": "Activity", "id": f"{_HOME}/activities/17"}
    if template.object_type is not None:
        target["definition"] = {"type": template.object_type}
    if template.object_reference:
        target = {"objectType": "StatementRef", "id": _OTHER}
    made: dict[str, Any] = {
        "actor": {"objectType": "Agent", "account": {"homePage": _HOME, "name": "f7c3a91be0d24c55"}},
        "verb": {"id": template.verb or f"{_HOME}/verbs/did"},
        "object": target,
    }
    context: dict[str, Any] = {}
    for key, types in template.context_types:
        activities = [
            {"objectType": "Activity", "id": f"{_HOME}/activities/{key}-{number}", "definition": {"type": type}}
            for number, type in enumerate(sorted(types), 1)
        ]
        context.setdefault("contextActivities", {})[key] = activities
    if template.context_reference:
        context["statement"] = {"objectType": "StatementRef", "id": _OTHER}
    if context:
        made["context"] = context
    if template.attachment_types:
        made["attachments"] = [
            {
                "usageType": usage,
                "display": {"fr": "Pièce jointe"},
                "contentType": "application/pdf",
                "length": 1024,
                "sha2": "0" * 64,
                "fileUrl": f"{_HOME}/files/1",
            }
            for usage in sorted(template.attachment_types)
        ]
    return made


def _follow(made: dict[str, Any], rule: Rule, concepts: Mapping[str, Concept]) -> None:
    """Put what a rule wants where it wants it, when that is plain."""
    if rule.presence == "excluded" or rule.selector is not None:
        return
    listed = rule.any or rule.all
    if rule.presence != "included" and not listed:
        return
    if rule.location.find(made) and not listed:
        return
    if rule.location.keys is not None:
        keys = rule.location.keys
        value = listed[0] if listed else _value(keys, concepts)
        if value is not None:
            _put(made, keys, value)
        return
    # Lists of activities by a rule on each of them: `$.context.contextActivities.category[*].id`.
    head, star, last = rule.location.text.partition("[*]")
    parts = head.removeprefix("$.").split(".")
    if star and last == ".id" and parts[:2] == ["context", "contextActivities"] and len(parts) == 3:
        value = listed[0] if listed else f"{_HOME}/activities/{parts[2]}"
        activities = made.setdefault("context", {}).setdefault("contextActivities", {}).setdefault(parts[2], [])
        if value not in [each["id"] for each in activities]:
            activities.append({"objectType": "Activity", "id": value})


def _put(made: dict[str, Any], keys: tuple[str, ...], value: object) -> None:
    here = made
    for key in keys[:-1]:
        inner = here.setdefault(key, {})
        if not isinstance(inner, dict):
            return
        here = inner
    here[keys[-1]] = value


def _value(keys: tuple[str, ...], concepts: Mapping[str, Concept]) -> object:
    known = _VALUES.get(keys)
    if known is not None:
        return known
    concept = concepts.get(keys[-1])
    if concept is None:
        return {} if keys in {("result",), ("context",), ("object", "definition")} else None
    if concept.inline_schema is None:
        return "…"
    with suppress(orjson.JSONDecodeError):
        return _of_schema(orjson.loads(concept.inline_schema), 0)
    return None


def _of_schema(schema: Any, depth: int) -> object:
    """A value that a simple schema takes, or may take."""
    if not isinstance(schema, dict) or depth > _STEPS:
        return None
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    kind = schema.get("type")
    if kind == "integer":
        return schema.get("minimum", 1)
    if kind == "number":
        return schema.get("minimum", 0.5)
    if kind == "boolean":
        return True
    if kind == "array":
        return [_of_schema(schema.get("items", {}), depth + 1)]
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _of_schema(properties.get(name, {}), depth + 1) for name in schema.get("required", ())}
    if "pattern" in schema:
        return _matching(str(schema["pattern"]))
    return "exemple"


def _matching(pattern: str) -> object:
    # By the engine that takes linear time, as on the way in.

    compiled = schemas.usable(orjson.dumps({"type": "string", "pattern": pattern}).decode())
    return next((each for each in _PATTERNED if compiled is not None and compiled.is_valid(each)), None)


def _right(made: dict[str, Any], template: Template, profile: Profile, extensions: Extensions) -> bool:
    for spoken in SUPPORTED:
        try:
            validate([made], spoken, many=False, data_follow=False)
        except InvalidStatement:
            return False
        normal = normalise(made, spoken)
    checked = checker.compile([profile._replace(templates=(template,))])
    verdict = checked.check(normal)
    return verdict.outcome is Outcome.CONFORMS and not extensions.faults(normal)
