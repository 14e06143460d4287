"""Reading an xAPI Profile document (xAPI Profiles 1.0, Structure): JSON-LD read as plain JSON.

Only the terms of the standard context are understood; a document that renames them with a context of its
own is refused for its missing properties. ``load`` refuses what cannot be used: where what decides of a statement is
missing, or could be read in two ways. What is merely wrong or doubtful is read as far as it is plain, and is for
``app.standards.profiles.lint`` to tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

import jsonschema_rs
import orjson

from app.core import contracts, lossless
from app.core.errors import Fault, ProfileInvalid
from app.standards.profiles import graph, jsonpath, schema_cost
from app.standards.profiles.jsonpath import Path
from app.standards.profiles.plain import Raw, plain

SECTION: Final = "xAPI-Profiles Structure"
MAX_FAULTS: Final = 50
_MAX_DESCENTS: Final = 100
MAX_DOCUMENT_BYTES: Final = 15 * 1024 * 1024
"""Most bytes of a document: it is kept whole, in one document of the database."""
MAX_DEPTH: Final = 100
"""Most levels of a document: nothing of a profile needs as many, and what reads it may call itself once a level."""
LIMITS: Final[Mapping[str, int]] = {
    "versions": 100,
    "concepts": 10_000,
    "templates": 2_000,
    "rules": 20_000,
    "characters of paths": 1_000_000,
    "patterns": 2_000,
    "primary patterns": 200,
    "members of patterns": 5_000,
    "JSON values": 300_000,
    "combinations in inline schemas": 1_000_000,
}
"""Most of each in a document that is loaded. Published ones have a tenth of that at most: with more, compiling it, and
each statement held to it, would take longer than those who wait for their statements can afford."""
_MAX_ERRORS: Final = 1_000
PATTERN_KINDS: Final = ("sequence", "alternates", "optional", "oneOrMore", "zeroOrMore")
RELATIONS: Final = ("broader", "broadMatch", "narrower", "narrowMatch", "related", "relatedMatch", "exactMatch")


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


def load(document: bytes, *, loaded: bool = False) -> Profile:
    """Read a profile from the bytes of its JSON-LD document.

    Args:
        document: The bytes.
        loaded: It was loaded before, maybe under other limits: it is not refused for its size.

    Raises:
        ProfileInvalid: the bytes are not JSON, or not a usable profile; ``faults`` say where (50 at most).
    """
    raw = plain(parse(document))
    faults = (() if loaded else limits_of(raw)) or faults_of(raw)
    if faults:
        shown = tuple(faults[:MAX_FAULTS])
        more = "" if len(faults) < _MAX_ERRORS else " or more"
        raise ProfileInvalid(
            f"The document is not a usable xAPI Profile: {len(faults)}{more} fault(s), the first at "
            f"{shown[0].pointer or 'the root'}: {shown[0].message}",
            faults=shown,
        )
    return read(raw)


def parse(document: bytes) -> Any:
    """The JSON of a document.

    Raises:
        ProfileInvalid: the bytes are not JSON, or too many, or nested too deeply.
    """
    if len(document) > MAX_DOCUMENT_BYTES:
        raise _refused("profile-size", f"The file has more than {MAX_DOCUMENT_BYTES} bytes. Split the profile in two.")
    try:
        raw = lossless.loads(document)
    except lossless.Malformed as refused:
        place = f"line {refused.lineno}, column {refused.colno}"
        raise ProfileInvalid(
            f"The file is not well-formed UTF-8 JSON ({place}), so it is not JSON-LD either. "
            "An xAPI Profile is a JSON-LD document: check that this is the right file.",
            faults=[Fault("", "json", "RFC 8259", f"JSON cannot be read beyond {place}.")],
        ) from None
    if _deeper(raw, MAX_DEPTH):
        raise _refused("profile-depth", f"The JSON is nested more deeply than {MAX_DEPTH} levels. Make it flatter.")
    return raw


def _refused(rule: str, message: str) -> ProfileInvalid:
    return ProfileInvalid(message, faults=[Fault("", rule, SECTION, message)])


def _deeper(value: Any, levels: int) -> bool:
    """True if a JSON value has more levels than these."""
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


def limits_of(raw: Any) -> list[Fault]:
    """Of what a document in its plain form has too much (``LIMITS``)."""
    if not isinstance(raw, dict):
        return []
    lists = {kind: raw[kind] for kind in ("versions", "concepts", "templates", "patterns") if _is_list(raw.get(kind))}
    counts = {kind: len(listed) for kind, listed in lists.items()}
    # The counts before the values: what is too long is not walked through.
    if all(count <= LIMITS[kind] for kind, count in counts.items()):
        rules = [each.get("rules") for each in lists.get("templates", ()) if isinstance(each, dict)]
        patterns = [each for each in lists.get("patterns", ()) if isinstance(each, dict)]
        counts["rules"] = sum(len(each) for each in rules if isinstance(each, list))
        counts["characters of paths"] = sum(
            len(text)
            for each in rules
            if isinstance(each, list)
            for rule in each
            if isinstance(rule, dict)
            for text in (rule.get("location"), rule.get("selector"))
            if isinstance(text, str)
        )
        counts["primary patterns"] = sum(each.get("primary") is True for each in patterns)
        counts["members of patterns"] = sum(
            len(each[kind]) for each in patterns for kind in PATTERN_KINDS if _is_list(each.get(kind))
        )
        counts["JSON values"] = _values_of(raw, LIMITS["JSON values"])
        counts["combinations in inline schemas"] = _combinations(
            lists.get("concepts", ()), LIMITS["combinations in inline schemas"]
        )
    return [
        Fault(
            f"/{kind}" if kind in lists else "",
            "profile-limit",
            SECTION,
            f"A profile has at most {LIMITS[kind]:,} {kind} here. Split it into several profiles.",
        )
        for kind, count in counts.items()
        if count > LIMITS[kind]
    ]


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _combinations(concepts: Iterable[Any], enough: int) -> int:
    """The steps of the check that holding values to inline schemas has an end; to a little over ``enough``."""
    total = 0
    given = [each.get("inlineSchema") for each in concepts if isinstance(each, dict)]
    for text in given:
        if total > enough:
            break
        if isinstance(text, str) and len(text) <= schema_cost.MAX_LENGTH:
            with suppress(ValueError):
                total += schema_cost.effort(orjson.loads(text))
    return total


def _values_of(raw: Any, enough: int) -> int:
    """The number of JSON values; counted to a little more than ``enough``."""
    count, stack = 0, [raw]
    while stack and count <= enough:
        here = stack.pop()
        count += 1
        if isinstance(here, dict):
            stack += here.values()
        elif isinstance(here, list):
            stack += here
    return count


def faults_of(raw: Any) -> list[Fault]:
    """The faults that make a document, in its plain form, unusable; none when ``read`` can take it."""
    return list(_structure(raw, "usable-profile.schema.json")) or list(islice(_meaning(raw), _MAX_ERRORS))


def form_of(raw: Any) -> Iterator[Fault]:
    """The places at which a parsed document, as it was written, departs from the form that the specification gives."""
    return _structure(raw, "profile.schema.json")


class _Compiled(Protocol):
    def is_valid(self, instance: Any) -> bool: ...

    def iter_errors(self, instance: Any) -> Iterator[Any]: ...


@cache
def _compiled(name: str) -> _Compiled:
    made: _Compiled = jsonschema_rs.Draft202012Validator(
        contracts.load("sillage", name), pattern_options=jsonschema_rs.RegexOptions()
    )
    return made


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


def _structure(raw: object, schema: str) -> Iterator[Fault]:
    raw = lossless.rounded(raw)
    # Each message is worded from the schema alone: what stands in the document is not repeated.
    # So many are enough to work on: a file that is something else altogether may have millions.
    for error in islice(_compiled(schema).iter_errors(raw), _MAX_ERRORS):
        place = [str(part) for part in error.instance_path]
        keyword: str = error.kind.name
        wanted: object = error.kind.value
        if keyword == "not" and isinstance(wanted, Mapping):
            wanted = ", ".join(wanted["required"])
        elif keyword in ("type", "enum") and isinstance(wanted, list):
            wanted = " or ".join(str(each) for each in wanted)
        yield Fault(
            jsonpath.pointer(place),
            f"profile-{keyword}",
            f"{SECTION} {_SECTIONS.get(place[0], '6') if place else '6'}",
            _WORDS[keyword].format(wanted),
        )


def _meaning(raw: Raw) -> Iterator[Fault]:
    """The faults that the schema cannot find; ``raw`` has the right structure."""
    listed = _Listed(raw)
    for kind in ("templates", "patterns"):
        for at, other in listed.ambiguous[kind]:
            yield Fault(
                f"/{kind}/{at}/id",
                "profile-id-unique",
                f"{SECTION} {_SECTIONS[kind]}",
                f"It is the id of {other} too, of the same version of the profile, which says something else.",
            )
    yield from _paths(listed)
    yield from _cycles(listed)


def _paths(listed: _Listed) -> Iterator[Fault]:
    """Structure 8.1: the paths of rules, which may look at so much of a statement only."""
    total = 0
    for at, template in listed.kept["templates"]:
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
    if total > _MAX_DESCENTS:
        message = f"The rules of all templates look at any depth (`..`) more than {_MAX_DESCENTS} times."
        yield Fault("/templates", "profile-jsonpath", f"{SECTION} 8.1", message)


class _Listed:
    """The concepts, templates and patterns of a document that has the right structure.

    Attributes:
        versions: Ids of its versions, the newest first.
        kept: By kind, those that are read, with their positions.
        repeated: By kind, positions of those that say again what another one says.
        ambiguous: By kind, positions of those with the id of another one, that say something else, and its pointer.
    """

    def __init__(self, raw: Raw) -> None:
        # Structure 6.1: every version id is unique. One that is given twice is one version.
        made = sorted(raw["versions"], key=generated, reverse=True)
        self.versions = list(dict.fromkeys(str(version["id"]) for version in made))
        self._known = frozenset(self.versions)
        self.kept: dict[str, list[tuple[int, Raw]]] = {}
        self.repeated: dict[str, list[int]] = {}
        self.ambiguous: dict[str, list[tuple[int, str]]] = {}
        elements: dict[tuple[str, str], tuple[str, Raw]] = {}
        for kind in ("concepts", "templates", "patterns"):
            # Concepts are named where concepts are wanted, templates and patterns where those are.
            seen = {} if kind == "concepts" else elements
            self.kept[kind], self.repeated[kind], self.ambiguous[kind] = [], [], []
            for at, item in enumerate(raw.get(kind, ())):
                if not (isinstance(item.get("id"), str) and (kind != "concepts" or isinstance(item.get("type"), str))):
                    continue  # a remark, or a term without a name
                # Structure 8.0: what does not change keeps its id from version to version.
                key = (item["id"], self.version(item))
                if key not in seen:
                    seen[key] = (f"/{kind}/{at}", item)
                    self.kept[kind].append((at, item))
                elif kind == "concepts" or seen[key][1] == item:
                    self.repeated[kind].append(at)
                else:
                    self.ambiguous[kind].append((at, seen[key][0]))

    def version(self, item: Raw) -> str:
        """The version that something belongs to: the newest where it names none that there is."""
        named = item.get("inScheme")
        return named if isinstance(named, str) and named in self._known else self.versions[0]


def _cycles(listed: _Listed) -> Iterator[Fault]:
    """Structure 9: no pattern within itself, at any depth. Within one version, for ids may recur in others."""
    members: dict[str, dict[str, tuple[str, ...]]] = {}
    for _, pattern in listed.kept["patterns"]:
        members.setdefault(listed.version(pattern), {})[pattern["id"]] = members_of(pattern)
    endless = {version: graph.within_themselves(each) for version, each in members.items()}
    for at, pattern in listed.kept["patterns"]:
        if pattern["id"] in endless[listed.version(pattern)]:
            yield Fault(
                f"/patterns/{at}",
                "profile-pattern-cycle",
                f"{SECTION} 9",
                "The pattern is within itself, directly or through others: it could never end.",
            )


def newest_elements(profiles: Iterable[Profile]) -> dict[str, Pattern | Template]:
    """The elements that members of patterns may name, by IRI; of several versions of a profile, the newest's."""
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
    """The time a version was made, to compare: seconds since 1970 (UTC if it does not say); without one, the least."""
    try:
        made = datetime.fromisoformat(version["generatedAtTime"])
        return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        return -math.inf


class Places(NamedTuple):
    """Places of the parts of a profile in its document: positions in its lists, in step with the parts.

    Attributes:
        repeated: By kind, positions of those left out because they say again what another one says.
    """

    concepts: tuple[int, ...]
    templates: tuple[int, ...]
    patterns: tuple[int, ...]
    repeated: Mapping[str, tuple[int, ...]]


def places(raw: Raw) -> Places:
    """The places at which the parts of the profile that ``read`` makes of a document stand in it."""
    listed = _Listed(raw)
    concepts, templates, patterns = (
        tuple(at for at, _ in listed.kept[kind]) for kind in ("concepts", "templates", "patterns")
    )
    return Places(concepts, templates, patterns, {kind: tuple(each) for kind, each in listed.repeated.items()})


def read(raw: Raw) -> Profile:
    """The profile of a document, in its plain form, in which ``faults_of`` finds nothing."""
    listed = _Listed(raw)
    versions: dict[str, Version] = {}
    for version in sorted(raw["versions"], key=generated, reverse=True):
        made = Version(version["id"], _text(version.get("generatedAtTime")), _iris(version.get("wasRevisionOf")))
        versions.setdefault(made.id, made)
    return Profile(
        id=str(raw["id"]),
        version=listed.versions[0],
        versions=tuple(versions.values()),
        label=_texts(raw.get("prefLabel")),
        definition=_texts(raw.get("definition")),
        see_also=_text(raw.get("seeAlso")) or None,
        concepts=tuple(_concept(each, listed.version(each)) for _, each in listed.kept["concepts"]),
        templates=tuple(_template(each, listed.version(each)) for _, each in listed.kept["templates"]),
        patterns=tuple(_pattern(each, listed.version(each)) for _, each in listed.kept["patterns"]),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> Mapping[str, str]:
    """A language map, of which nothing is needed: what is none is read as far as it is text."""
    if isinstance(value, str):
        return {"und": value}  # BCP 47: a language that is not known
    return {tag: text for tag, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}


def _iris(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _concept(raw: Raw, version: str) -> Concept:
    return Concept(
        id=raw["id"],
        type=raw["type"],
        version=version,
        label=_texts(raw.get("prefLabel")),
        definition=_texts(raw.get("definition")),
        deprecated=raw.get("deprecated") is True,
        relations={name: found for name in RELATIONS if (found := _iris(raw.get(name)))},
        recommended=_iris(raw.get("recommendedVerbs")) or _iris(raw.get("recommendedActivityTypes")),
        inline_schema=_text(raw.get("inlineSchema")) or None,
        schema=_text(raw.get("schema")) or None,
        content_type=_text(raw.get("contentType")) or None,
        activity=activity if isinstance(activity := raw.get("activityDefinition"), dict) else None,
    )


_CONTEXT_TYPES: Final = (
    ("parent", "contextParentActivityType"),
    ("grouping", "contextGroupingActivityType"),
    ("category", "contextCategoryActivityType"),
    ("other", "contextOtherActivityType"),
)


def _template(raw: Raw, version: str) -> Template:
    return Template(
        id=raw["id"],
        version=version,
        label=_texts(raw.get("prefLabel")),
        definition=_texts(raw.get("definition")),
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
        note=_texts(raw.get("scopeNote")),
    )


def _values(raw: Raw, key: str) -> tuple[object, ...] | None:
    return tuple(raw[key]) if key in raw else None


def _pattern(raw: Raw, version: str) -> Pattern:
    return Pattern(
        id=raw["id"],
        version=version,
        primary=raw.get("primary") is True,
        label=_texts(raw.get("prefLabel")),
        definition=_texts(raw.get("definition")),
        deprecated=raw.get("deprecated") is True,
        kind=next(kind for kind in PATTERN_KINDS if kind in raw),
        members=members_of(raw),
    )
