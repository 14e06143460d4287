"""Reading an xAPI Profile document (xAPI Profiles 1.0, Structure): JSON-LD read as plain JSON.

Only the terms of the standard context are understood; a document that renames them with a context of its
own is refused for its missing properties. Patterns are checked for their form and not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from app import contracts
from app.errors import Fault, ProfileInvalid
from app.profiles import jsonpath
from app.profiles.jsonpath import Path

SECTION: Final = "xAPI-Profiles Structure"
MOST_FAULTS: Final = 50


class Concept(NamedTuple):
    """A term that the profile defines: a verb, activity type, extension, document resource or activity."""

    id: str
    type: str
    label: Mapping[str, str]
    deprecated: bool


class Rule(NamedTuple):
    """One rule of a statement template (Structure 8.1); ``any``, ``all``, ``none`` are absent when ``None``."""

    location: Path
    selector: Path | None
    presence: str | None
    any: tuple[object, ...] | None
    all: tuple[object, ...] | None
    none: tuple[object, ...] | None


class Template(NamedTuple):
    """A statement template (Structure 8.0); absent determining properties are ``None`` or empty.

    Attributes:
        context_types: Pairs of a contextActivities key (``parent``…) and the types it must hold.
    """

    id: str
    label: Mapping[str, str]
    verb: str | None
    object_type: str | None
    context_types: tuple[tuple[str, frozenset[str]], ...]
    attachment_types: frozenset[str]
    object_reference: tuple[str, ...]
    context_reference: tuple[str, ...]
    rules: tuple[Rule, ...]


class Profile(NamedTuple):
    """A profile that can be checked against.

    Attributes:
        id: IRI of the profile, whatever the version.
        version: IRI of its newest version, which the templates describe.
        versions: IRIs of all its versions, newest first.
    """

    id: str
    version: str
    versions: tuple[str, ...]
    label: Mapping[str, str]
    definition: Mapping[str, str]
    concepts: tuple[Concept, ...]
    templates: tuple[Template, ...]


def load(document: bytes) -> Profile:
    """Read a profile from the bytes of its JSON-LD document.

    Raises:
        ProfileInvalid: the bytes are not JSON, or not a usable profile; ``faults`` say where (50 at most).
    """
    try:
        raw = orjson.loads(document)
    except orjson.JSONDecodeError as refused:
        place = f"line {refused.lineno}, column {refused.colno}"
        raise ProfileInvalid(
            f"The file is not well-formed UTF-8 JSON ({place}), so it is not JSON-LD either. "
            "An xAPI Profile is a JSON-LD document: check that this is the right file.",
            faults=[Fault("", "json", "RFC 8259", f"JSON cannot be read beyond {place}.")],
        ) from None
    faults = list(_structure(raw)) or list(_meaning(raw))
    if faults:
        shown = faults[:MOST_FAULTS]
        raise ProfileInvalid(
            f"The document is not a valid xAPI Profile: {len(faults)} fault(s), the first at "
            f"{shown[0].pointer or 'the root'}: {shown[0].message}",
            faults=shown,
        )
    return _profile(raw)


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(contracts.load("sillage", "profile.schema.json"))


_SECTIONS: Final = {"concepts": "7", "templates": "8", "patterns": "9", "versions": "6.1", "author": "6.2"}

_WORDS: Final = {
    "required": "A required property is missing: {}.",
    "type": "The value must be of JSON type {}.",
    "pattern": "The value must be an absolute IRI.",
    "const": "The value must be {}.",
    "enum": "The value must be one of {}.",
    "minLength": "The value must not be empty.",
    "maxLength": "The value is longer than {} characters.",
    "minItems": "The list must not be empty.",
    "minProperties": "The object must not be empty.",
    "contains": "The list must hold https://w3id.org/xapi/profiles/context.",
    "not": "These properties must not stand together: {}.",
    "anyOf": "None of the allowed forms fits; a rule needs presence, any, all or none.",
}


def _structure(raw: object) -> Iterator[Fault]:
    # Each message is worded from the schema alone: what stands in the document is not repeated.
    errors: Sequence[ValidationError] = sorted(
        _validator().iter_errors(raw), key=lambda error: [str(part) for part in error.absolute_path]
    )
    for error in errors:
        place = [str(part) for part in error.absolute_path]
        keyword = str(error.validator)
        wanted: object = error.validator_value
        if keyword == "required" and isinstance(error.instance, Mapping) and isinstance(wanted, list):
            wanted = ", ".join(str(name) for name in wanted if name not in error.instance)
        elif keyword == "not" and isinstance(wanted, Mapping):
            wanted = ", ".join(wanted["required"])
        yield Fault(
            jsonpath.pointer(place),
            f"profile-{keyword}",
            f"{SECTION} {_SECTIONS.get(place[0], '6') if place else '6'}",
            _WORDS[keyword].format(wanted),
        )


def _meaning(raw: Mapping[str, object]) -> Iterator[Fault]:
    """What the schema cannot say; ``raw`` has the right structure."""
    # Structure 6.1: every version id is unique and different from the profile's.
    versions = [str(version["id"]) for version in _objects(raw, "versions")]
    if len({*versions, raw["id"]}) != len(versions) + 1:
        yield Fault(
            "/versions",
            "profile-version-id",
            f"{SECTION} 6.1",
            "Each version needs an id of its own, different from the profile's id.",
        )
    seen: set[str] = set()
    for kind in ("concepts", "templates", "patterns"):
        for at, item in enumerate(_objects(raw, kind)):
            if str(item["id"]) in seen:
                yield Fault(
                    f"/{kind}/{at}/id",
                    "profile-id-unique",
                    f"{SECTION} {_SECTIONS[kind]}",
                    "Another concept, template or pattern of this profile has the same id.",
                )
            seen.add(str(item["id"]))
    for at, template in enumerate(_objects(raw, "templates")):
        if template["inScheme"] not in versions:
            # Structure 8.0: inScheme is the version being described.
            yield Fault(
                f"/templates/{at}/inScheme",
                "profile-in-scheme",
                f"{SECTION} 8",
                "inScheme must be the id of one of the profile's versions.",
            )
        for number, rule in enumerate(_objects(template, "rules")):
            for name in ("location", "selector"):
                if name in rule:
                    try:
                        jsonpath.compile(str(rule[name]))
                    except jsonpath.PathInvalid as refused:
                        yield Fault(
                            f"/templates/{at}/rules/{number}/{name}",
                            "profile-jsonpath",
                            f"{SECTION} 8.1",
                            f"The JSONPath is not one that xAPI Profiles allow: {refused}.",
                        )


def _objects(raw: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    listed = raw.get(key, [])
    assert isinstance(listed, list)  # noqa: S101 - the schema has checked it
    return listed


def _profile(raw: Mapping[str, object]) -> Profile:
    versions = sorted(_objects(raw, "versions"), key=lambda v: str(v["generatedAtTime"]), reverse=True)
    return Profile(
        id=str(raw["id"]),
        version=str(versions[0]["id"]),
        versions=tuple(str(version["id"]) for version in versions),
        label=_texts(raw, "prefLabel"),
        definition=_texts(raw, "definition"),
        concepts=tuple(
            Concept(str(c["id"]), str(c["type"]), _texts(c, "prefLabel"), c.get("deprecated") is True)
            for c in _objects(raw, "concepts")
        ),
        templates=tuple(_template(template) for template in _objects(raw, "templates")),
    )


def _texts(raw: Mapping[str, object], key: str) -> Mapping[str, str]:
    texts = raw.get(key, {})
    assert isinstance(texts, dict)  # noqa: S101 - the schema has checked it
    return texts


def _iris(raw: Mapping[str, object], key: str) -> tuple[str, ...]:
    return tuple(str(iri) for iri in _objects(raw, key))


_CONTEXT_TYPES: Final = (
    ("parent", "contextParentActivityType"),
    ("grouping", "contextGroupingActivityType"),
    ("category", "contextCategoryActivityType"),
    ("other", "contextOtherActivityType"),
)


def _template(raw: Mapping[str, object]) -> Template:
    return Template(
        id=str(raw["id"]),
        label=_texts(raw, "prefLabel"),
        verb=_text(raw, "verb"),
        object_type=_text(raw, "objectActivityType"),
        context_types=tuple((key, frozenset(_iris(raw, name))) for key, name in _CONTEXT_TYPES if name in raw),
        attachment_types=frozenset(_iris(raw, "attachmentUsageType")),
        object_reference=_iris(raw, "objectStatementRefTemplate"),
        context_reference=_iris(raw, "contextStatementRefTemplate"),
        rules=tuple(_rule(rule) for rule in _objects(raw, "rules")),
    )


def _text(raw: Mapping[str, object], key: str) -> str | None:
    return str(raw[key]) if key in raw else None


def _rule(raw: Mapping[str, object]) -> Rule:
    selector = _text(raw, "selector")
    return Rule(
        location=jsonpath.compile(str(raw["location"])),
        selector=None if selector is None else jsonpath.compile(selector),
        presence=_text(raw, "presence"),
        any=_values(raw, "any"),
        all=_values(raw, "all"),
        none=_values(raw, "none"),
    )


def _values(raw: Mapping[str, object], key: str) -> tuple[object, ...] | None:
    return tuple(_objects(raw, key)) if key in raw else None
