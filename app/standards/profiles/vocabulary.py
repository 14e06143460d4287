"""A profile document as JSON: its properties, language maps, what may not be empty, schemas and activities in it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from jsonschema import Draft7Validator
from jsonschema.exceptions import SchemaError

from app.core.errors import Place, pointer_to
from app.standards.profiles import jsonpath, schema_cost, schemas, shape
from app.standards.profiles.document import PATTERN_KINDS, RELATIONS, SECTION
from app.standards.profiles.findings import Finding, warning
from app.standards.profiles.plain import Raw

_PROFILE: Final = (
    "id", "@context", "type", "conformsTo", "prefLabel", "definition", "seeAlso", "versions", "author", "concepts",
    "templates", "patterns",
)  # fmt: skip
_CONCEPT: Final = ("id", "type", "inScheme", "prefLabel", "definition", "deprecated")
_EXTENSION: Final = (*_CONCEPT, "context", "schema", "inlineSchema")
_TERM: Final = (*_CONCEPT, *RELATIONS)
_RESOURCE: Final = (*_EXTENSION, "contentType")
_BY_TYPE: Final = {
    "Verb": _TERM,
    "ActivityType": _TERM,
    "AttachmentUsageType": _TERM,
    "ContextExtension": (*_EXTENSION, "recommendedVerbs"),
    "ResultExtension": (*_EXTENSION, "recommendedVerbs"),
    "ActivityExtension": (*_EXTENSION, "recommendedActivityTypes"),
    "StateResource": _RESOURCE,
    "AgentProfileResource": _RESOURCE,
    "ActivityProfileResource": _RESOURCE,
    "Activity": ("id", "type", "inScheme", "deprecated", "activityDefinition"),
}
TEMPLATE: Final = (
    "id", "type", "inScheme", "prefLabel", "definition", "deprecated", "verb", "objectActivityType",
    "contextGroupingActivityType", "contextParentActivityType", "contextOtherActivityType",
    "contextCategoryActivityType", "attachmentUsageType", "objectStatementRefTemplate", "contextStatementRefTemplate",
    "rules",
)  # fmt: skip
_RULE: Final = ("location", "selector", "presence", "any", "all", "none", "scopeNote")
_PATTERN: Final = (
    "id", "type", "primary", "inScheme", "prefLabel", "definition", "deprecated", *PATTERN_KINDS,
)  # fmt: skip
_VERSION: Final = ("id", "wasRevisionOf", "generatedAtTime")
_AUTHOR: Final = ("type", "name", "url")
# Comparing names takes time with the product of their lengths.
_MAX_NAME_LENGTH: Final = 200
_LANGUAGE_MAPS: Final = ("prefLabel", "definition", "scopeNote")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*\Z")
CONFORMS: Final = "https://w3id.org/xapi/profiles#1.0"
CONTEXT: Final = "https://w3id.org/xapi/profiles/context"
_ACTIVITY_CONTEXT: Final = "https://w3id.org/xapi/profiles/activity-context"


def repeated_keys(content: bytes) -> Iterator[Finding]:
    """Properties that stand twice in one object: the decoder that loads profiles keeps one."""
    repeated = 0

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        made = dict(members)
        repeated += len(members) - len(made)
        return made

    try:
        json.loads(content, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return  # orjson read it: nesting or an odd number, told elsewhere or harmless
    if repeated:
        yield warning(
            "",
            "duplicate-key",
            "RFC 8259 4",
            f"{repeated} properties stand twice in the same object: readers take one or the other.",
            "Keep one of each.",
        )


def vocabulary(raw: Raw) -> Iterator[Finding]:
    """Properties that the specification does not know, values that it forbids (Structure 4)."""
    yield from _object(raw, "", _PROFILE, "6")
    for kind, names, section in (("versions", _VERSION, "6.1"), ("patterns", _PATTERN, "9")):
        for at, item in _items(raw, kind):
            yield from _object(item, f"/{kind}/{at}", names, section)
    if isinstance(raw.get("author"), dict):
        yield from _object(raw["author"], "/author", _AUTHOR, "6.2")
    for at, item in _items(raw, "concepts"):
        known = _BY_TYPE.get(str(item.get("type")), ())
        if known:
            yield from _object(item, f"/concepts/{at}", known, "7")
    for at, item in _items(raw, "templates"):
        yield from _object(item, f"/templates/{at}", TEMPLATE, "8")
        for number, rule in _items(item, "rules"):
            yield from _object(rule, f"/templates/{at}/rules/{number}", _RULE, "8.1")
    for place in _empty(raw, None):
        yield warning(
            pointer_to(place), "empty-value", f"{SECTION} 4",
            "A profile holds no null, empty text, list or object.", "Leave it out.",
        )  # fmt: skip


def _items(raw: Raw, key: str) -> list[tuple[int, Raw]]:
    listed = raw.get(key)
    return [(at, item) for at, item in enumerate(listed) if isinstance(item, dict)] if isinstance(listed, list) else []


def _object(raw: Raw, pointer: str, known: Sequence[str], section: str) -> Iterator[Finding]:
    for name, value in raw.items():
        place = pointer + jsonpath.pointer([name])
        # Structure 4: what it does not describe is written as an absolute or compact IRI; keywords of JSON-LD may be.
        if name not in known and not name.startswith("@") and ":" not in name:
            near = nearest(name, known, 0.75)
            yield warning(
                place,
                "unknown-property",
                f"{SECTION} {section}",
                "The specification has no such property here, and it is no IRI.",
                f"Did you mean {near}?" if near else "Take it out, or write it as an absolute IRI.",
            )
        if name in _LANGUAGE_MAPS and isinstance(value, dict):
            for tag in value:
                if not _LANGUAGE.match(tag):
                    yield warning(
                        place + jsonpath.pointer([tag]),
                        "language-tag",
                        "BCP 47",
                        "A key of a language map is no language tag.",
                        "Use tags such as en, fr or pt-BR.",
                    )


def nearest(name: str, known: Iterable[str], likeness: float) -> str:
    """The most similar of some names; empty when none is similar, or the name is too long to be compared with them."""
    if len(name) > _MAX_NAME_LENGTH:
        return ""
    near = difflib.get_close_matches(name, [each for each in known if len(each) <= _MAX_NAME_LENGTH], 1, likeness)
    return near[0] if near else ""


def _empty(value: Any, place: Place) -> Iterator[Place]:
    if value is None or value == "" or value == [] or value == {}:
        yield place
    elif isinstance(value, dict):
        for key, member in value.items():
            # What stands in statements is the statements' affair.
            if key not in ("any", "all", "none", "activityDefinition"):
                yield from _empty(member, (place, key))
    elif isinstance(value, list):
        for at, member in enumerate(value):
            yield from _empty(member, (place, at))


def missing(pointer: str, raw: Raw, wanted: Sequence[str], section: str) -> Iterator[Finding]:
    """Properties that are required and not there."""
    missing = [name for name in wanted if name not in raw]
    if missing:
        yield warning(
            pointer, "missing-property", section,
            f"A required property is missing: {listed(missing)}.", "Add it.",
        )  # fmt: skip


def schema(pointer: str, text: str) -> Iterator[Finding]:
    """The mistakes of a JSON Schema in a string."""
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        yield warning(
            pointer, "inline-schema-json", f"{SECTION} 7.2",
            "The inline schema is not JSON.", "Write a JSON Schema as a JSON text within the string.",
        )  # fmt: skip
        return
    try:
        # First: looking whether it is a schema may take as long as holding something to it.
        if len(text) > schema_cost.MAX_LENGTH or schema_cost.weigh(schema) > schema_cost.MAX_WEIGHT:
            raise schemas.SchemaUnusable
        Draft7Validator.check_schema(schema)
        schemas.compile(text)
    except (schemas.SchemaUnusable, schema_cost.TooCostly, RecursionError):
        yield warning(
            pointer, "inline-schema-unusable", f"{SECTION} 7.2",
            "The inline schema is not held to anything here: it refers to another document, which is never fetched, "
            "has a pattern with look-around or back-references, is nested too deeply, is longer than "
            f"{schema_cost.MAX_LENGTH:,} characters, or asks so much of one value that checking it might never end.",
            "Write all of it in place, with plain patterns; have no definition named twice among alternatives.",
        )  # fmt: skip
    except SchemaError as refused:
        at = jsonpath.pointer(map(str, refused.absolute_path)) or "its root"
        yield warning(
            pointer, "inline-schema", f"{SECTION} 7.2",
            f"The inline schema is not a JSON Schema of draft 7: {refused.validator} is not respected at {at}.",
            "Correct the schema; required, for example, is a list of names beside properties.",
        )  # fmt: skip


def activity(pointer: str, definition: Raw) -> Iterator[Finding]:
    """The mistakes of a definition of an activity."""
    section = f"{SECTION} 7.4"
    context = definition.get("@context")
    if context != _ACTIVITY_CONTEXT and not (isinstance(context, list) and _ACTIVITY_CONTEXT in context):
        yield warning(
            f"{pointer}/@context", "activity-context", section,
            "The definition lacks the context of the specification.", f"Write {_ACTIVITY_CONTEXT}.",
        )  # fmt: skip
    known = shape.walk(jsonpath.compile("object.definition"))[0].shapes[0].members
    for name, value in definition.items():
        if name == "@context":
            continue
        if name not in known:
            yield warning(
                pointer + jsonpath.pointer([name]), "activity-property", section,
                "An activity definition of xAPI has no such property.", f"There are: {listed(sorted(known))}.",
            )  # fmt: skip
        elif shape.type_of(value) not in known[name].types:
            yield warning(
                pointer + jsonpath.pointer([name]), "activity-property-type", section,
                f"The value must be of JSON type {listed(sorted(known[name].types))}.", "Correct it.",
            )  # fmt: skip
    extensions = definition.get("extensions")
    for name, value in extensions.items() if isinstance(extensions, dict) else ():
        if any(isinstance(each, dict) and "@context" not in each for each in _listed(value)):
            yield warning(
                f"{pointer}/extensions{jsonpath.pointer([name])}", "extension-context", section,
                "An object in an extension has no @context, so that its properties mean nothing in JSON-LD.",
                "Give each such object a @context.",
            )  # fmt: skip


def values_need_context(pointer: str, raw: Raw, context: object) -> Iterator[Finding]:
    """Objects among the values of a rule, in a document without a context of its own (Structure 8.1)."""
    if isinstance(context, str) or (isinstance(context, list) and len(context) == 1):
        for name in ("any", "all", "none"):
            if any(isinstance(each, dict) for value in raw.get(name, ()) for each in _listed(value)):
                yield warning(
                    f"{pointer}/{name}", "values-context", f"{SECTION} 8.1",
                    "An object stands among the values, and the document has no context of its own for its keys.",
                    "Add to @context one that has these keys.",
                )  # fmt: skip


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them."""
    return ", ".join(names)
