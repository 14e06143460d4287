"""Reading an xAPI Profile document (xAPI Profiles 1.0, Structure): JSON-LD read as plain JSON.

Only the terms of the standard context are understood; a document that renames them with a context of its
own is refused for its missing properties. ``load`` refuses what cannot be used; what is merely wrong or doubtful is for
``app.profiles.lint`` to tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from app import contracts, lossless
from app.errors import Fault, ProfileInvalid
from app.profiles import jsonpath
from app.profiles.jsonpath import Path

SECTION: Final = "xAPI-Profiles Structure"
MOST_FAULTS: Final = 50
_MOST_DESCENTS: Final = 100
LARGEST: Final = 15 * 1024 * 1024
"""Most bytes of a document: it is kept whole, in one document of the database."""
DEEPEST: Final = 100
"""Most levels of a document: nothing of a profile needs as many, and what reads it may call itself once a level."""
_MOST_ERRORS: Final = 1_000
PATTERN_KINDS: Final = ("sequence", "alternates", "optional", "oneOrMore", "zeroOrMore")
RELATIONS: Final = ("broader", "broadMatch", "narrower", "narrowMatch", "related", "relatedMatch", "exactMatch")

Raw = Mapping[str, Any]


class Version(NamedTuple):
    """A version of a profile (Structure 6.1).

    Attributes:
        generated: When it was made, as written.
        revises: The versions that it revises, of this profile or of others that it supersedes.
    """

    id: str
    generated: str
    revises: tuple[str, ...]


class Concept(NamedTuple):
    """A term that the profile defines (Structure 7).

    Attributes:
        type: ``Verb``, ``ActivityType``, ``AttachmentUsageType``, ``ContextExtension``, ``ResultExtension``,
            ``ActivityExtension``, ``StateResource``, ``AgentProfileResource``, ``ActivityProfileResource`` or
            ``Activity``.
        version: The version that defines it (``inScheme``).
        relations: IRIs of related concepts, by the name of the relation (``RELATIONS``).
        recommended: Verbs or activity types that an extension is recommended for.
        inline_schema: JSON Schema of the values of an extension or document resource, as written.
        schema: IRI of such a schema; it is never fetched.
        content_type: Media type of a document resource.
        activity: Definition of an activity.
    """

    id: str
    type: str
    version: str
    label: Mapping[str, str]
    definition: Mapping[str, str]
    deprecated: bool
    relations: Mapping[str, tuple[str, ...]]
    recommended: tuple[str, ...]
    inline_schema: str | None
    schema: str | None
    content_type: str | None
    activity: Raw | None


class Rule(NamedTuple):
    """One rule of a statement template (Structure 8.1); ``any``, ``all``, ``none`` are absent when ``None``."""

    location: Path
    selector: Path | None
    presence: str | None
    any: tuple[object, ...] | None
    all: tuple[object, ...] | None
    none: tuple[object, ...] | None
    note: Mapping[str, str] = {}


class Template(NamedTuple):
    """A statement template (Structure 8.0); absent determining properties are ``None`` or empty.

    Attributes:
        version: The version that it belongs to (``inScheme``).
        context_types: Pairs of a contextActivities key (``parent``…) and the types it must hold.
        object_reference, context_reference: Templates one of which the statement that is referred to must match.
    """

    id: str
    version: str
    label: Mapping[str, str]
    definition: Mapping[str, str]
    deprecated: bool
    verb: str | None
    object_type: str | None
    context_types: tuple[tuple[str, frozenset[str]], ...]
    attachment_types: frozenset[str]
    object_reference: tuple[str, ...]
    context_reference: tuple[str, ...]
    rules: tuple[Rule, ...]

    @property
    def determining(self) -> tuple[object, ...]:
        """Its determining properties: equal for templates that match the same statements."""
        return (self.verb, self.object_type, self.context_types, self.attachment_types)


class Pattern(NamedTuple):
    """A pattern (Structure 9).

    Attributes:
        version: The version that it belongs to; the newest one where it does not say.
        primary: Whether sequences of statements are held to it by itself.
        kind: One of ``PATTERN_KINDS``.
        members: IRIs of templates and patterns; one where the kind takes one.
    """

    id: str
    version: str
    primary: bool
    label: Mapping[str, str]
    definition: Mapping[str, str]
    deprecated: bool
    kind: str
    members: tuple[str, ...]


class Profile(NamedTuple):
    """A profile that can be checked against; a document may describe several of its versions.

    Attributes:
        id: IRI of the profile, whatever the version.
        version: IRI of its newest version.
        versions: All its versions, newest first.
    """

    id: str
    version: str
    versions: tuple[Version, ...]
    label: Mapping[str, str]
    definition: Mapping[str, str]
    see_also: str | None
    concepts: tuple[Concept, ...]
    templates: tuple[Template, ...]
    patterns: tuple[Pattern, ...]

    @property
    def elements(self) -> list[Pattern | Template]:
        """Its patterns and templates, of all versions: what members of patterns name."""
        return [*self.patterns, *self.templates]


def load(document: bytes) -> Profile:
    """Read a profile from the bytes of its JSON-LD document.

    Raises:
        ProfileInvalid: the bytes are not JSON, or not a usable profile; ``faults`` say where (50 at most).
    """
    raw = parse(document)
    faults = faults_of(raw)
    if faults:
        shown = faults[:MOST_FAULTS]
        raise ProfileInvalid(
            f"The document is not a valid xAPI Profile: {len(faults)} fault(s), the first at "
            f"{shown[0].pointer or 'the root'}: {shown[0].message}",
            faults=shown,
        )
    return read(raw)


def parse(document: bytes) -> Any:
    """The JSON of a document.

    Raises:
        ProfileInvalid: the bytes are not JSON, or too many, or nested too deeply.
    """
    if len(document) > LARGEST:
        raise _refused("profile-size", f"The file has more than {LARGEST} bytes. Split the profile in two.")
    try:
        raw = lossless.loads(document)
    except lossless.Malformed as refused:
        place = f"line {refused.lineno}, column {refused.colno}"
        raise ProfileInvalid(
            f"The file is not well-formed UTF-8 JSON ({place}), so it is not JSON-LD either. "
            "An xAPI Profile is a JSON-LD document: check that this is the right file.",
            faults=[Fault("", "json", "RFC 8259", f"JSON cannot be read beyond {place}.")],
        ) from None
    if _deeper(raw, DEEPEST):
        raise _refused("profile-depth", f"The JSON is nested more deeply than {DEEPEST} levels. Make it flatter.")
    return raw


def _refused(rule: str, message: str) -> ProfileInvalid:
    return ProfileInvalid(message, faults=[Fault("", rule, SECTION, message)])


def _deeper(value: Any, levels: int) -> bool:
    """Whether a JSON value has more levels than these."""
    here = [value]
    for _ in range(levels):
        if not here:
            return False
        here = [
            member
            for each in here
            if isinstance(each, (dict, list))
            for member in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, (dict, list)) for each in here)


def faults_of(raw: Any) -> list[Fault]:
    """What makes a parsed document unusable; nothing when ``read`` can take it."""
    return list(_structure(raw)) or list(_meaning(raw))


class _Compiled(Protocol):
    def is_valid(self, instance: Any) -> bool: ...


@cache
def _compiled() -> _Compiled:
    # The fast validator decides, the reference one words the refusal (as in app/xapi/validate.py).
    made: _Compiled = jsonschema_rs.Draft202012Validator(
        contracts.load("sillage", "profile.schema.json"), pattern_options=jsonschema_rs.RegexOptions()
    )
    return made


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
    "oneOf": "Exactly one of these properties is needed: sequence, alternates, optional, oneOrMore, zeroOrMore.",
}


def _structure(raw: object) -> Iterator[Fault]:
    raw = lossless.rounded(raw)
    if _compiled().is_valid(raw):
        return
    # Each message is worded from the schema alone: what stands in the document is not repeated.
    # So many are enough to work on: a file that is something else altogether may have millions.
    some = islice(_validator().iter_errors(raw), _MOST_ERRORS)
    errors: Sequence[ValidationError] = sorted(some, key=lambda error: [str(part) for part in error.absolute_path])
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


def _meaning(raw: Raw) -> Iterator[Fault]:
    """What the schema cannot say; ``raw`` has the right structure."""
    # Structure 6.1: every version id is unique and different from the profile's.
    versions = [str(version["id"]) for version in raw["versions"]]
    if len({*versions, raw["id"]}) != len(versions) + 1:
        yield Fault(
            "/versions",
            "profile-version-id",
            f"{SECTION} 6.1",
            "Each version needs an id of its own, different from the profile's id.",
        )
    newest = _newest(raw)
    seen: set[tuple[str, str]] = set()
    for kind in ("concepts", "templates", "patterns"):
        for at, item in enumerate(raw.get(kind, ())):
            # Structure 8.0: what does not change keeps its id from version to version.
            key = (item["id"], item.get("inScheme", newest))
            if key in seen:
                yield Fault(
                    f"/{kind}/{at}/id",
                    "profile-id-unique",
                    f"{SECTION} {_SECTIONS[kind]}",
                    "Another concept, template or pattern of this profile version has the same id.",
                )
            seen.add(key)
            if kind != "concepts" and item.get("inScheme", newest) not in versions:
                # Structure 8.0: inScheme is the version being described.
                yield Fault(
                    f"/{kind}/{at}/inScheme",
                    "profile-in-scheme",
                    f"{SECTION} {_SECTIONS[kind]}",
                    "inScheme must be the id of one of the profile's versions.",
                )
    yield from _paths(raw)
    yield from _cycles(raw)


def _paths(raw: Raw) -> Iterator[Fault]:
    """Structure 8.1: the paths of rules, which may look at so much of a statement only."""
    total = 0
    for at, template in enumerate(raw.get("templates", ())):
        for number, rule in enumerate(template.get("rules", ())):
            descents = []
            for name in ("location", "selector"):
                if name not in rule:
                    continue
                message = ""
                try:
                    descents.append(jsonpath.compile(rule[name]).descents)
                except jsonpath.PathInvalid as refused:
                    message = f"The JSONPath is not one that xAPI Profiles allow, or too much for one: {refused}."
                if len(descents) > 1 and all(descents):
                    # Each value of one would be looked through by the other, within each other as they are.
                    message = "Location and selector both look at any depth (`..`). Let one of them name the way."
                if message:
                    yield Fault(f"/templates/{at}/rules/{number}/{name}", "profile-jsonpath", f"{SECTION} 8.1", message)
            total += sum(descents)
    if total > _MOST_DESCENTS:
        message = f"The rules of all templates look at any depth (`..`) more than {_MOST_DESCENTS} times."
        yield Fault("/templates", "profile-jsonpath", f"{SECTION} 8.1", message)


def _cycles(raw: Raw) -> Iterator[Fault]:
    """Structure 9: no pattern within itself, at any depth. Within one version, for ids may recur in others."""
    newest = _newest(raw)
    for version in raw["versions"]:
        members = {
            pattern["id"]: [inner for inner in members_of(pattern) if inner != ""]
            for pattern in raw.get("patterns", ())
            if pattern.get("inScheme", newest) == version["id"]
        }
        for at, pattern in enumerate(raw.get("patterns", ())):
            if pattern.get("inScheme", newest) == version["id"]:
                reached: set[str] = set()
                stack = list(members[pattern["id"]])
                while stack:
                    inner = stack.pop()
                    if inner not in reached:
                        reached.add(inner)
                        stack += members.get(inner, ())
                if pattern["id"] in reached:
                    yield Fault(
                        f"/patterns/{at}",
                        "profile-pattern-cycle",
                        f"{SECTION} 9",
                        "The pattern is within itself, directly or through others: it could never end.",
                    )


def newest_elements(profiles: Iterable[Profile]) -> dict[str, Pattern | Template]:
    """What members of patterns may name, by IRI; what several versions of a profile describe is that of the newest."""
    found: dict[str, Pattern | Template] = {}
    for profile in profiles:
        for version in profile.versions:
            for element in profile.elements:
                if element.version == version.id:
                    found.setdefault(element.id, element)
    return found


def members_of(pattern: Raw) -> tuple[str, ...]:
    """The IRIs that a pattern, valid or nearly, is made of."""
    for kind in PATTERN_KINDS:
        if kind in pattern:
            given = pattern[kind]
            return tuple(given) if isinstance(given, list) else (given,)
    return ()


def generated(version: Raw) -> float:
    """When a version was made, to compare: seconds since 1970 (UTC where it does not say); no timestamp, no time."""
    try:
        made = datetime.fromisoformat(version["generatedAtTime"])
    except ValueError:
        return -math.inf
    return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()


def _newest(raw: Raw) -> str:
    return str(max(raw["versions"], key=generated)["id"])


def read(raw: Raw) -> Profile:
    """The profile of a parsed document in which ``faults_of`` finds nothing."""
    versions = sorted(raw["versions"], key=generated, reverse=True)
    newest = str(versions[0]["id"])
    return Profile(
        id=str(raw["id"]),
        version=newest,
        versions=tuple(
            Version(version["id"], version["generatedAtTime"], tuple(version.get("wasRevisionOf", ())))
            for version in versions
        ),
        label=raw["prefLabel"],
        definition=raw["definition"],
        see_also=raw.get("seeAlso"),
        concepts=tuple(map(_concept, raw.get("concepts", ()))),
        templates=tuple(map(_template, raw.get("templates", ()))),
        patterns=tuple(_pattern(pattern, newest) for pattern in raw.get("patterns", ())),
    )


def _concept(raw: Raw) -> Concept:
    return Concept(
        id=raw["id"],
        type=raw["type"],
        version=raw["inScheme"],
        label=raw.get("prefLabel", {}),
        definition=raw.get("definition", {}),
        deprecated=raw.get("deprecated") is True,
        relations={name: tuple(raw[name]) for name in RELATIONS if name in raw},
        recommended=tuple(raw.get("recommendedVerbs", raw.get("recommendedActivityTypes", ()))),
        inline_schema=raw.get("inlineSchema"),
        schema=raw.get("schema"),
        content_type=raw.get("contentType"),
        activity=raw.get("activityDefinition"),
    )


_CONTEXT_TYPES: Final = (
    ("parent", "contextParentActivityType"),
    ("grouping", "contextGroupingActivityType"),
    ("category", "contextCategoryActivityType"),
    ("other", "contextOtherActivityType"),
)


def _template(raw: Raw) -> Template:
    return Template(
        id=raw["id"],
        version=raw["inScheme"],
        label=raw["prefLabel"],
        definition=raw.get("definition", {}),
        deprecated=raw.get("deprecated") is True,
        verb=raw.get("verb"),
        object_type=raw.get("objectActivityType"),
        context_types=tuple((key, frozenset(raw[name])) for key, name in _CONTEXT_TYPES if name in raw),
        attachment_types=frozenset(raw.get("attachmentUsageType", ())),
        object_reference=tuple(raw.get("objectStatementRefTemplate", ())),
        context_reference=tuple(raw.get("contextStatementRefTemplate", ())),
        rules=tuple(map(rule, raw.get("rules", ()))),
    )


def rule(raw: Raw) -> Rule:
    """A rule of a template, from its JSON.

    Raises:
        PathInvalid: its location or selector is not a path that xAPI Profiles allow.
    """
    selector = raw.get("selector")
    return Rule(
        location=jsonpath.compile(raw["location"]),
        selector=None if selector is None else jsonpath.compile(selector),
        presence=raw.get("presence"),
        any=_values(raw, "any"),
        all=_values(raw, "all"),
        none=_values(raw, "none"),
        note=raw.get("scopeNote", {}),
    )


def _values(raw: Raw, key: str) -> tuple[object, ...] | None:
    return tuple(raw[key]) if key in raw else None


def _pattern(raw: Raw, newest: str) -> Pattern:
    return Pattern(
        id=raw["id"],
        version=raw.get("inScheme", newest),
        primary=raw.get("primary") is True,
        label=raw.get("prefLabel", {}),
        definition=raw.get("definition", {}),
        deprecated=raw.get("deprecated") is True,
        kind=next(kind for kind in PATTERN_KINDS if kind in raw),
        members=members_of(raw),
    )
