"""Linter of xAPI Profile documents: mistakes and doubtful points (xAPI Profiles 1.0, Structure).

``error``: the profile is unusable, and is not loaded: what decides of a statement is missing, or could be read in two
ways. ``warning``: it is loaded all the same; a rule of the specification is broken, something can never work as it is
written, or is most likely not as it is meant. Each finding says where, which rule, and what to do. Findings name places
of the document, not what stands there.

A document comes from anybody. What takes more than time in proportion to its length is counted, and given up beyond a
limit, which is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from app.core.errors import Fault, ProfileInvalid
from app.standards.profiles import document, graph, patterns, shape
from app.standards.profiles.document import SECTION, Concept, Pattern, Profile, Rule, Template
from app.standards.profiles.findings import Finding, error, warning
from app.standards.profiles.jsonpath import Path
from app.standards.profiles.plain import Raw, plain
from app.standards.profiles.rules import Wanted, exclude_each_other, impossible, undetermined, wanted, where
from app.standards.profiles.shape import Astray, Reached, Shape
from app.standards.profiles.vocabulary import (
    CONFORMS,
    CONTEXT,
    TEMPLATE,
    activity,
    listed,
    missing,
    nearest,
    repeated_keys,
    schema,
    values_need_context,
    vocabulary,
)

MAX_FINDINGS: Final = 1_000
"""Most findings of one document; what is beyond is told to be there."""


def lint(content: bytes, others: Sequence[Profile] = ()) -> list[Finding]:
    """Everything found in a document, in its order.

    Args:
        content: The bytes of the JSON-LD document.
        others: Profiles at hand, in which references to other profiles are looked up; nothing is fetched.
    """
    try:
        raw = document.parse(content)
    except ProfileInvalid as refused:
        return [_unreadable(fault) for fault in refused.faults]
    found = list(map(_unusable, document.limits_of(raw)))
    if not found:
        distinct: dict[tuple[str, str], Finding] = {}
        try:
            for finding in islice(_findings(content, raw, others), MAX_FINDINGS):
                distinct.setdefault((finding.pointer, finding.rule), finding)
            whole = len(distinct) < MAX_FINDINGS
        except _Enough:
            whole = False
        found = list(distinct.values())
        if not whole:
            found.append(_INCOMPLETE)
    return sorted(found, key=lambda finding: _place(finding.pointer))


def _findings(content: bytes, raw: Any, others: Sequence[Profile]) -> Iterator[Finding]:
    meant = plain(raw)
    faults = document.faults_of(meant)
    places = {fault.pointer for fault in faults}
    yield from map(_unusable, faults)
    yield from repeated_keys(content)
    empty: set[str] = set()
    if isinstance(raw, dict):
        for finding in vocabulary(raw):
            if finding.rule == "empty-value":
                empty.add(finding.pointer)
            yield finding
    for fault in document.form_of(raw):
        # Each once: as what makes the profile unusable, or as an empty value, if it is that.
        if fault.pointer not in places and not (fault.pointer in empty and fault.rule in _EMPTY):
            yield warning(fault.pointer, fault.rule, fault.section, fault.message, _READ_ALL_THE_SAME)
    if not faults:
        yield from _Linter(raw, meant, document.read(meant), others).findings()


def _unreadable(fault: Fault) -> Finding:
    return error("", fault.rule, fault.section, fault.message, "Give a JSON-LD document that can be read.")


def _unusable(fault: Fault) -> Finding:
    return error(fault.pointer, fault.rule, fault.section, fault.message, "Correct it: the profile cannot be loaded.")


def _place(pointer: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in pointer.split("/")]


class _Enough(Exception):
    """The document would take more work than a document is given."""


# --- what it means --------------------------------------------------------------------------------


class _Linter:
    """Looks at a document that can be used: as it was written, in its plain form, and as it is read."""

    def __init__(self, written: Raw, raw: Raw, profile: Profile, others: Sequence[Profile]) -> None:
        self.written = written
        self.raw = raw
        self.profile = profile
        self.others = [other for other in others if other.id != profile.id]
        self.versions = {version.id for version in profile.versions}
        places = document.places(raw)
        self.repeated = places.repeated
        self.concepts = list(zip(places.concepts, profile.concepts, strict=True))
        self.templates = list(zip(places.templates, profile.templates, strict=True))
        self.patterns = list(zip(places.patterns, profile.patterns, strict=True))
        # The first definition counts; a concept of several versions is one word.
        self.own = {concept.id: concept for concept in reversed(profile.concepts)}
        self.foreign = {concept.id: concept for other in self.others for concept in other.concepts}
        self._foreign_patterns = {each.id: each for other in self.others for each in other.patterns}
        self._foreign_templates = {each.id for other in self.others for each in other.templates}
        self._definers: dict[str, list[Profile]] = {}
        for other in self.others:
            for iri in {concept.id for concept in other.concepts}:
                self._definers.setdefault(iri, []).append(other)
        bases = {profile.id.rstrip("/#"), *self.versions}
        self._beginnings = tuple(f"{base}{mark}" for base in bases for mark in "/#")
        self._described = {(template.version, template.id) for template in profile.templates}
        self._wanted = [_rules_by_place(template) for template in profile.templates]
        self._walks: dict[str, list[Reached]] = {}
        self._left = _MAX_WORK
        self._guesses = _MAX_GUESSES
        self._explored = _MAX_EXPLORED

    def findings(self) -> Iterator[Finding]:
        yield from self._head()
        yield from self._versions()
        yield from self._schemes()
        yield from self._repeats()
        yield from self._changed_ids()
        for at, concept in self.concepts:
            yield from self._concept(f"/concepts/{at}", self.raw["concepts"][at], concept)
        yield from self._broader_cycles()
        for number, (at, template) in enumerate(self.templates):
            pointer = f"/templates/{at}"
            yield from self._template(pointer, self.raw["templates"][at], template, self._wanted[number])
        yield from self._patterns()
        yield from self._twins()
        yield from self._wider()

    def spend(self, work: int) -> None:
        """Count work that is more than in proportion to the document."""
        self._left -= work
        if self._left < 0:
            raise _Enough

    def concept(self, iri: str) -> Concept | None:
        return self.own.get(iri) or self.foreign.get(iri)

    def seems_own(self, iri: str) -> bool:
        """True if an IRI is made like those of this profile, so that it should be defined in it."""
        return iri.startswith(self._beginnings)

    def _nearest(self, iri: str) -> str:
        if len(self.own) > self._guesses:
            return ""
        self._guesses -= len(self.own)
        near = nearest(iri, self.own, 0.85)
        return f"Did you mean {near}?" if near else ""

    def _clash(self, ones: _Wants, others: _Wants) -> bool:
        """True if some rule of one template and some rule of another exclude each other."""
        for place in ones.keys() & others.keys():
            for _, one in ones[place]:
                for _, other in others[place]:
                    self.spend(1 + one.size + other.size)
                    if exclude_each_other(one, other):
                        return True
        return False

    # --- head and versions ------------------------------------------------------------------------

    def _head(self) -> Iterator[Finding]:
        if "conformsTo" in self.written and self.written["conformsTo"] != CONFORMS:
            yield warning(
                "/conformsTo",
                "conforms-to",
                f"{SECTION} 6",
                "The version of the specification is not the one that this linter knows.",
                f"Write {CONFORMS}.",
            )
        context = self.written.get("@context")
        if isinstance(context, str) and context != CONTEXT:
            yield warning(
                "/@context",
                "context",
                f"{SECTION} 6",
                "The context is not the one of the specification, so other readers may understand other terms.",
                f"Write {CONTEXT}, or a list that holds it.",
            )

    def _versions(self) -> Iterator[Finding]:
        oldest = self.profile.versions[-1].id
        times = {version["id"]: document.generated(version) for version in self.raw["versions"]}
        elsewhere = {version.id for other in self.others for version in other.versions}
        seen: set[str] = set()
        for at, version in enumerate(self.raw["versions"]):
            pointer = f"/versions/{at}"
            if version["id"] in seen or version["id"] == self.profile.id:
                yield warning(
                    f"{pointer}/id",
                    "version-id",
                    f"{SECTION} 6.1",
                    "Each version needs an id of its own, different from the profile's: statements that name this one "
                    "cannot say which they mean.",
                    "Give the version another id.",
                )
            seen.add(version["id"])
            if "generatedAtTime" in version and not _is_time(version["generatedAtTime"]):
                yield warning(
                    f"{pointer}/generatedAtTime",
                    "timestamp",
                    f"{SECTION} 6.1",
                    "The time is no ISO 8601 timestamp.",
                    "Write it as 2026-11-22T00:00:00Z.",
                )
            revised = version.get("wasRevisionOf", ())
            revised = [iri if isinstance(iri, str) else "" for iri in revised]
            if not revised and version["id"] != oldest:
                yield warning(
                    pointer,
                    "revision-missing",
                    f"{SECTION} 6.1",
                    "A version that succeeds another does not say so.",
                    "Name the version before it in wasRevisionOf.",
                )
            for number, iri in enumerate(revised):
                place = f"{pointer}/wasRevisionOf/{number}"
                if iri == self.profile.id:
                    yield warning(
                        place,
                        "revision-of-profile",
                        f"{SECTION} 6.1",
                        "wasRevisionOf names the profile itself, not a version.",
                        "Name the id of a version.",
                    )
                elif iri in times:
                    if times[iri] >= times[version["id"]]:
                        yield warning(
                            place,
                            "revision-order",
                            f"{SECTION} 6.1",
                            "A version revises one that is not older.",
                            "Correct generatedAtTime or wasRevisionOf.",
                        )
                elif iri not in elsewhere:
                    yield warning(
                        place,
                        "revision-unknown",
                        f"{SECTION} 6.1",
                        "The version that was revised is not among the versions, which should all be listed.",
                        "Add it to versions, or give the profile that it belongs to.",
                    )

    def _schemes(self) -> Iterator[Finding]:
        """Structure 7, 8.0 and 9: inScheme is the version being described."""
        for kind, section in (("concepts", "7"), ("templates", "8"), ("patterns", "9")):
            for at, item in enumerate(self.raw.get(kind, ())):
                named = item.get("inScheme")
                if named is not None and not (isinstance(named, str) and named in self.versions):
                    yield warning(
                        f"/{kind}/{at}/inScheme",
                        "in-scheme",
                        f"{SECTION} {section}",
                        "inScheme is none of the profile's versions. It is read as the newest.",
                        "Name the version that is being described.",
                    )

    def _repeats(self) -> Iterator[Finding]:
        for kind, section in (("concepts", "7"), ("templates", "8"), ("patterns", "9")):
            for at in self.repeated[kind]:
                yield warning(
                    f"/{kind}/{at}/id",
                    "id-repeated",
                    f"{SECTION} {section}",
                    "Another one of this version has the same id. The first one counts.",
                    "Take one out, or give it an id of its own.",
                )
        concepts = {(concept.id, concept.version) for concept in self.profile.concepts}
        for kind, placed in (("templates", self.templates), ("patterns", self.patterns)):
            for at, each in placed:
                if (each.id, each.version) in concepts:
                    yield warning(
                        f"/{kind}/{at}/id",
                        "id-repeated",
                        f"{SECTION} {_SECTIONS[kind]}",
                        "A concept of this version has the same id.",
                        "Give one of them an id of its own.",
                    )

    def _changed_ids(self) -> Iterator[Finding]:
        """Structure 8 and 9: what changes from one version to the next changes its id."""
        described: dict[str, tuple[object, ...]] = {}
        for at, template in self.templates:
            # The rules as JSON: notes may change.
            bare = [
                {name: value for name, value in rule.items() if name != "scopeNote"}
                for rule in self.raw["templates"][at].get("rules", ())
            ]
            content = (
                template.determining,
                template.object_reference,
                template.context_reference,
                _text(bare),
            )
            if described.setdefault(template.id, content) != content:
                yield warning(
                    f"/templates/{at}/id",
                    "changed-template",
                    f"{SECTION} 8",
                    "The template differs from that of another version and has the same id.",
                    "Give the changed template a new id.",
                )
        made: dict[str, tuple[str, tuple[str, ...]]] = {}
        for at, pattern in self.patterns:
            if made.setdefault(pattern.id, (pattern.kind, pattern.members)) != (pattern.kind, pattern.members):
                yield warning(
                    f"/patterns/{at}/id",
                    "changed-pattern",
                    f"{SECTION} 9",
                    "The pattern differs from that of another version and has the same id.",
                    "Give the changed pattern a new id, and those that it is in too.",
                )

    # --- concepts ---------------------------------------------------------------------------------

    def _concept(self, pointer: str, raw: Raw, concept: Concept) -> Iterator[Finding]:
        section = f"{SECTION} 7"
        if concept.id in self.versions or concept.id == self.profile.id:
            yield warning(
                f"{pointer}/id", "id-of-profile", section,
                "The concept has the id of the profile or of a version.", "Give it an id of its own.",
            )  # fmt: skip
        wanted = {"Activity": ["activityDefinition"]}.get(concept.type, ["prefLabel", "definition"])
        if concept.type.endswith("Resource"):
            wanted.append("contentType")
        yield from missing(pointer, raw, wanted, section)
        if concept.id in self.foreign:
            revised = {iri for version in self.profile.versions for iri in version.revises}
            definers = self._definers[concept.id]
            self.spend(sum(len(other.versions) for other in definers))
            if not all(any(version.id in revised for version in other.versions) for other in definers):
                # Structure 7: MUST NOT define a Concept that is defined in another Profile.
                yield warning(
                    f"{pointer}/id", "defined-elsewhere", section,
                    "Another profile at hand defines this concept.",
                    "Use it without defining it, or say in wasRevisionOf that this profile supersedes the other.",
                )  # fmt: skip
        yield from self._relations(pointer, concept)
        yield from self._recommended(pointer, raw, concept)
        if concept.inline_schema is not None:
            self.spend(len(concept.inline_schema) // 2)
            yield from schema(f"{pointer}/inlineSchema", concept.inline_schema)
        if concept.content_type is not None and not re.match(r"[\w.+-]+/[\w.+-]+(\s*;.*)?\Z", concept.content_type):
            yield warning(
                f"{pointer}/contentType", "content-type", f"{SECTION} 7.3",
                "The content type is no media type.", "Write one such as application/json.",
            )  # fmt: skip
        if concept.activity is not None:
            yield from activity(f"{pointer}/activityDefinition", concept.activity)

    def _relations(self, pointer: str, concept: Concept) -> Iterator[Finding]:
        section = f"{SECTION} 7.1"
        if "related" in concept.relations and not concept.deprecated:
            yield warning(
                f"{pointer}/related", "related-not-deprecated", section,
                "related is for deprecated concepts only.", "Use broader, narrower or relatedMatch, or deprecate it.",
            )  # fmt: skip
        for relation, iris in concept.relations.items():
            within = not relation.endswith("Match")
            for number, iri in enumerate(iris):
                place = f"{pointer}/{relation}/{number}"
                other = self.own.get(iri)
                if iri == concept.id:
                    yield warning(
                        place, "relation-to-itself", section,
                        "The concept is related to itself.", "Take it out.",
                    )  # fmt: skip
                elif within and (other is None or other.version != concept.version):
                    yield warning(
                        place, "relation-broken", section,
                        f"{relation} must name a concept of this version of the profile, and there is no such one.",
                        f"Define it here, or use {_MATCHES[relation]}.",
                    )  # fmt: skip
                elif not within and other is not None and other.version == concept.version:
                    yield warning(
                        place, "match-within", section,
                        f"{relation} is for concepts of other profiles or versions, and this one is defined here.",
                        "Use broader, narrower or related.",
                    )  # fmt: skip
                elif not within and other is None and self.seems_own(iri):
                    yield warning(
                        place, "reference-broken", section,
                        "The IRI looks like one of this profile, which does not define it.", "Correct or define it.",
                    )  # fmt: skip
                found = self.concept(iri)
                if found is not None and found.type != concept.type:
                    yield warning(
                        place, "relation-type", section,
                        f"The related concept is of type {found.type}, not {concept.type}.",
                        "Relate concepts of one type.",
                    )  # fmt: skip

    def _recommended(self, pointer: str, raw: Raw, concept: Concept) -> Iterator[Finding]:
        name = "recommendedActivityTypes" if concept.type == "ActivityExtension" else "recommendedVerbs"
        kind = "ActivityType" if concept.type == "ActivityExtension" else "Verb"
        for number, iri in enumerate(raw.get(name, ())):
            if isinstance(iri, str):
                yield from self._refers(f"{pointer}/{name}/{number}", iri, kind, f"{SECTION} 7.2")

    def _refers(self, pointer: str, iri: str, kind: str, section: str) -> Iterator[Finding]:
        """A use of a concept: it must be of its type, and there if it is this profile's own."""
        found = self.concept(iri)
        if found is None:
            if self.seems_own(iri):
                yield warning(
                    pointer, "reference-broken", section,
                    "The IRI is one of this profile, which does not define it.",
                    self._nearest(iri) or "Correct it, or define the concept.",
                )  # fmt: skip
        elif found.type != kind:
            yield warning(
                pointer, "reference-type", section,
                f"What is named here is of type {found.type}, where {kind} is wanted.", "Name another concept.",
            )  # fmt: skip
        elif found.deprecated:
            yield warning(
                pointer, "reference-deprecated", section,
                "The concept that is named here is deprecated.", "Name the one that replaces it.",
            )  # fmt: skip

    def _broader_cycles(self) -> Iterator[Finding]:
        above: dict[str, set[str]] = {concept.id: set() for concept in self.profile.concepts}
        for concept in self.profile.concepts:
            above[concept.id].update(concept.relations.get("broader", ()))
            for iri in concept.relations.get("narrower", ()):
                above.setdefault(iri, set()).add(concept.id)
        circular = graph.within_themselves(above)
        for at, concept in self.concepts:
            if concept.id in circular:
                yield warning(
                    f"/concepts/{at}", "broader-cycle", f"{SECTION} 7.1",
                    "The concept is broader than itself, through others.", "Correct broader and narrower.",
                )  # fmt: skip

    # --- templates --------------------------------------------------------------------------------

    def _template(self, pointer: str, raw: Raw, template: Template, wants: _Wants) -> Iterator[Finding]:
        section = f"{SECTION} 8"
        yield from missing(pointer, raw, ["definition"], section)
        named = [
            ("verb", "Verb"),
            ("objectActivityType", "ActivityType"),
            ("attachmentUsageType", "AttachmentUsageType"),
        ]
        named += [(name, "ActivityType") for name in TEMPLATE if name.startswith("context") and name.endswith("Type")]
        for name, kind in named:
            given = raw.get(name, [])
            for number, iri in enumerate(given if isinstance(given, list) else [given]):
                place = f"{pointer}/{name}" + (f"/{number}" if isinstance(given, list) else "")
                yield from self._refers(place, iri, kind, section)
        if not (template.verb or template.object_type or template.context_types or template.attachment_types):
            yield warning(
                pointer, "matches-everything", section,
                "The template has no determining property: every statement matches it and must follow it, "
                "those of other profiles too.",
                "Give it a verb or a type, or put its rules into the other templates.",
            )  # fmt: skip
        for name in ("objectStatementRefTemplate", "contextStatementRefTemplate"):
            for number, iri in enumerate(raw.get(name, ())):
                if (template.version, iri) not in self._described:
                    yield warning(
                        f"{pointer}/{name}/{number}", "template-reference-broken", section,
                        "No template of this version has that id.", "Name a template of this version.",
                    )  # fmt: skip
        yield from self._rules(pointer, raw, template, wants)

    def _rules(self, pointer: str, raw: Raw, template: Template, wants: _Wants) -> Iterator[Finding]:
        seen: dict[str, int] = {}
        for number, rule in enumerate(template.rules):
            place = f"{pointer}/rules/{number}"
            yield from self._rule(place, template, rule)
            yield from values_need_context(place, raw["rules"][number], self.written.get("@context"))
            same = _text([where(rule), rule.presence, rule.any, rule.all, rule.none])
            if same in seen:
                yield warning(
                    place, "rule-repeated", f"{SECTION} 8.1",
                    f"The rule says what rule {seen[same]} says.", "Keep one of the two.",
                )  # fmt: skip
            seen.setdefault(same, number)
        for placed in wants.values():
            for at, (number, one) in enumerate(placed):
                for before, other in placed[:at]:
                    self.spend(1 + one.size + other.size)
                    reason = exclude_each_other(one, other)
                    if reason:
                        yield warning(
                            f"{pointer}/rules/{number}", "rules-contradict", f"{SECTION} 8.1",
                            f"No statement can follow both this rule and rule {before}: {reason}.",
                            "Correct one of the two.",
                        )  # fmt: skip

    def _rule(self, pointer: str, template: Template, rule: Rule) -> Iterator[Finding]:
        ways = self._walk(rule.location)
        name, path = "location", rule.location
        if rule.selector is not None and any(way.shapes for way in ways):
            yield from self._astray(f"{pointer}/location", rule, path, ways)
            always = all(way.always for way in ways)
            self.spend(_steps(rule.selector))
            ways = shape.walk(rule.selector, tuple(dict.fromkeys(each for way in ways for each in way.shapes)))
            ways = [way._replace(always=way.always and always) for way in ways]
            name, path = "selector", rule.selector
        yield from self._astray(f"{pointer}/{name}", rule, path, ways)
        for way in ways:
            for kind, iri in way.extensions:
                found = self.concept(iri)
                if found is None and self.seems_own(iri):
                    yield warning(
                        f"{pointer}/{name}", "reference-broken", f"{SECTION} 8.1",
                        "The path names an extension of this profile, which does not define it.",
                        self._nearest(iri) or "Correct it, or define the extension.",
                    )  # fmt: skip
                elif found is not None and found.type != kind:
                    # Structure 7.2: a ContextExtension in context only, and so on.
                    yield warning(
                        f"{pointer}/{name}", "extension-misplaced", f"{SECTION} 7.2",
                        f"The path looks for a {found.type} where only a {kind} may be: no statement has it there.",
                        "Look where the extension belongs, or name another.",
                    )  # fmt: skip
                elif found is not None and found.deprecated:
                    yield warning(
                        f"{pointer}/{name}", "reference-deprecated", f"{SECTION} 7",
                        "The extension that is named here is deprecated.", "Name the one that replaces it.",
                    )  # fmt: skip
        shapes = [each for way in ways for each in way.shapes]
        if shapes:
            yield from self._values(pointer, rule, shapes)
        yield from impossible(pointer, rule, any(way.always for way in ways) and len(ways) == 1)
        yield from undetermined(pointer, template, rule)

    def _walk(self, path: Path) -> list[Reached]:
        known = self._walks.get(path.text)
        if known is None:
            self.spend(_steps(path))
            known = self._walks[path.text] = shape.walk(path)
        return known

    def _astray(self, pointer: str, rule: Rule, path: Path, ways: Sequence[Reached]) -> Iterator[Finding]:
        for way, steps in zip(ways, path.branches, strict=True):
            if way.astray is not None:
                message, advice = _ASTRAY[way.astray.why]
                step = steps[way.astray.at]
                near = nearest(step.names[0], way.astray.known, 0.7) if step.names else ""
                yield warning(
                    pointer,
                    "never-matches",
                    f"{SECTION} 8.1",
                    f"The path can never find anything: at its step {way.astray.at + 1}, {message}.",
                    f"Did you mean {near}?" if near else advice(way.astray),
                )

    def _values(self, pointer: str, rule: Rule, shapes: Sequence[Shape]) -> Iterator[Finding]:
        possible = {kind for each in shapes for kind in each.types}
        for name, values in (("any", rule.any), ("all", rule.all), ("none", rule.none)):
            if values is None:
                continue
            strange = [at for at, value in enumerate(values) if shape.type_of(value) not in possible]
            for at in strange:
                yield warning(
                    f"{pointer}/{name}/{at}",
                    "value-never-there",
                    f"{SECTION} 8.1",
                    f"What stands there in a statement is never of this JSON type; it is {listed(sorted(possible))}.",
                    "Write the value in the type that statements have.",
                )

    def _twins(self) -> Iterator[Finding]:
        first: dict[tuple[object, ...], int] = {}
        for number, (at, template) in enumerate(self.templates):
            other = first.setdefault((template.version, *template.determining), number)
            if other == number:
                continue
            against = self._clash(self._wanted[number], self._wanted[other])
            yield warning(
                f"/templates/{at}",
                "indistinguishable",
                f"{SECTION} 8",
                f"It has the determining properties of /templates/{self.templates[other][0]}: what matches one matches "
                "both, " + ("and none can follow both." if against else "and must follow both."),
                "Give them another verb, object type or context type, or make one template of them; or check in the "
                "mode any, where one followed template is enough.",
            )

    def _wider(self) -> Iterator[Finding]:
        """Templates that no statement can follow, for it matches a wider one too that says the contrary."""
        alike: dict[tuple[object, ...], list[int]] = {}
        for number, (_, template) in enumerate(self.templates):
            alike.setdefault((template.version, template.verb, template.object_type), []).append(number)
        for number, (at, narrow) in enumerate(self.templates):
            verbs, types = dict.fromkeys((None, narrow.verb)), dict.fromkeys((None, narrow.object_type))
            for key in ((narrow.version, verb, kind) for verb in verbs for kind in types):
                for other in alike.get(key, ()):
                    self.spend(1)
                    place, wide = self.templates[other]
                    if _narrower(narrow, wide) and self._clash(self._wanted[number], self._wanted[other]):
                        yield warning(
                            f"/templates/{at}",
                            "contradicts-wider",
                            f"{SECTION} 8",
                            f"Whatever matches it matches /templates/{place} too, and none can follow both.",
                            "Correct one of the two, or give the wider one a determining property; or check in the "
                            "mode any, where one followed template is enough.",
                        )

    # --- patterns ---------------------------------------------------------------------------------

    def _patterns(self) -> Iterator[Finding]:
        by_version: dict[str, list[tuple[int, Pattern]]] = {}
        for at, pattern in self.patterns:
            by_version.setdefault(pattern.version, []).append((at, pattern))
        templates: dict[str, list[tuple[int, Template]]] = {}
        for at, template in self.templates:
            templates.setdefault(template.version, []).append((at, template))
        for version, placed in by_version.items():
            yield from self._patterns_of(version, placed, templates.get(version, []))

    def _patterns_of(
        self, version: str, placed: Sequence[tuple[int, Pattern]], described: Sequence[tuple[int, Template]]
    ) -> Iterator[Finding]:
        section = f"{SECTION} 9"
        here = {pattern.id: pattern for _, pattern in placed}
        templates = {each.id: each for _, each in described}
        members = {pattern.id: set(pattern.members) for _, pattern in placed}
        inside = {iri for each in members.values() for iri in each}
        primary = {pattern.id for _, pattern in placed if pattern.primary}
        used = primary | graph.reached(primary, members)
        if not primary:
            yield warning(
                "/patterns", "no-primary", section,
                "No pattern is primary, so that no statement is ever held to any.", "Set primary on those that matter.",
            )  # fmt: skip
        known = patterns.elements(self.profile, version, self.others)
        for at, pattern in placed:
            pointer = f"/patterns/{at}"
            if pattern.primary:
                yield from missing(pointer, self.raw["patterns"][at], ["prefLabel", "definition"], section)
            elif primary and pattern.id not in used:
                yield warning(
                    pointer, "pattern-unused", section,
                    "The pattern is neither primary nor in one that is.", "Use it, make it primary, or take it out.",
                )  # fmt: skip
            yield from self._members(pointer, pattern, here, templates, pattern.id in inside)
            if pattern.primary:
                yield from self._completes(pointer, pattern, known)
        if primary:
            for at, template in described:
                if template.id not in used and template.determining != _NOTHING:
                    yield warning(
                        f"/templates/{at}", "template-in-no-pattern", section,
                        "The template is in no primary pattern: a statement that follows it breaks its session.",
                        "Put it into a pattern.",
                    )  # fmt: skip

    def _members(
        self,
        pointer: str,
        pattern: Pattern,
        here: Mapping[str, Pattern],
        templates: Mapping[str, Template],
        inside: bool,
    ) -> Iterator[Finding]:
        section = f"{SECTION} 9"
        several = pattern.kind in ("alternates", "sequence")
        single = pattern.primary and not inside and pattern.members[0] in templates
        if several and len(pattern.members) < 2 and not (pattern.kind == "sequence" and single):
            yield warning(
                f"{pointer}/{pattern.kind}", "too-few-members", section,
                f"{pattern.kind} needs at least two members.", "Name its only member where the pattern is used.",
            )  # fmt: skip
        for number, iri in enumerate(pattern.members):
            place = f"{pointer}/{pattern.kind}" + (f"/{number}" if several else "")
            inner = here.get(iri) or self._foreign_patterns.get(iri)
            if inner is not None and pattern.kind == "alternates" and inner.kind in ("optional", "zeroOrMore"):
                yield warning(
                    place, "optional-in-alternates", section,
                    f"{inner.kind} stands directly inside alternates, where it always matches.",
                    "Make the alternates optional as a whole instead.",
                )  # fmt: skip
            template = templates.get(iri)
            deprecated = (inner is not None and inner.deprecated) or (template is not None and template.deprecated)
            if deprecated and not pattern.deprecated:
                yield warning(
                    place, "reference-deprecated", section,
                    "What is named here is deprecated.", "Name what replaces it.",
                )  # fmt: skip
            if inner is None and template is None and iri not in self._foreign_templates:
                if self.concept(iri) is not None:
                    yield warning(
                        place, "pattern-reference-type", section,
                        "A concept is named here, where a template or pattern is wanted.",
                        "Name a template or pattern.",
                    )  # fmt: skip
                else:
                    yield warning(
                        place, "pattern-reference-broken", section,
                        "No template or pattern of this version, nor of a profile at hand, has that id.",
                        "Correct it, or give the profile that it belongs to.",
                    )  # fmt: skip

    def _completes(self, pointer: str, pattern: Pattern, known: Mapping[str, Pattern | Template]) -> Iterator[Finding]:
        section = "xAPI-Profiles Communication 2.2"
        try:
            compiled = patterns.compile(self.profile, pattern, known=known)
            reach = patterns.explore(compiled, max_work=self._explored)
            self._explored -= reach.work
        except patterns.Unresolved:
            return  # told where it is named
        except patterns.TooAmbiguous:
            yield warning(
                pointer, "pattern-ambiguous", section,
                "Too many ways to match the same statements are open at once.", "Make the pattern simpler.",
            )  # fmt: skip
            return
        if not reach.whole:
            yield warning(
                pointer, "pattern-ambiguous", section,
                "The pattern has so many states that not all could be looked at.", "Make the pattern simpler.",
            )  # fmt: skip
        elif not reach.completes:
            yield warning(
                pointer, "pattern-never-completes", section,
                "No sequence of statements completes the pattern: what is repeated takes all, and leaves nothing for "
                "what must follow.",
                "Let what follows a repetition begin with another template.",
            )  # fmt: skip
        elif unused := sorted(set(compiled.symbols) - reach.used):
            unreached = set(unused)
            places = [at for at, each in self.templates if each.id in unreached]
            yield warning(
                pointer, "pattern-part-unreachable", section,
                f"{len(unused)} of its templates are in no sequence that completes it"
                + (f": {listed(f'/templates/{at}' for at in places)}." if places else "."),
                "What comes before takes them greedily: change the order, or take them out.",
            )  # fmt: skip


# Concepts that misspelled names are compared with, all guesses together.
_MAX_GUESSES: Final = 5_000
# Comparisons of values, rules, templates; steps of paths. Published profiles need some thousands.
_MAX_WORK: Final = 1_000_000
# As `patterns.Reach` counts it, for all patterns together.
_MAX_EXPLORED: Final = 5_000_000
_SECTIONS: Final = {"templates": "8", "patterns": "9"}
_EMPTY: Final = frozenset({"profile-minLength", "profile-minItems", "profile-minProperties", "profile-type"})
_READ_ALL_THE_SAME: Final = (
    "Correct it for other readers. Here it is read as far as it is plain, and hinders nothing else."
)
_INCOMPLETE: Final = warning(
    "", "lint-incomplete", "Sillage",
    "There is more in the document than was looked at.",
    "Correct what was found first, or make several profiles of it.",
)  # fmt: skip
_NOTHING: Final[tuple[object, ...]] = (None, None, (), frozenset())
_MATCHES: Final = {"broader": "broadMatch", "narrower": "narrowMatch", "related": "relatedMatch"}
_ASTRAY: Final[Mapping[str, tuple[str, Callable[[Astray], str]]]] = {
    "array": ("a property of an array is asked for", lambda _: "Write [*] before it, for every member."),
    "leaf": ("something below a plain value is asked for", lambda _: "Stop the path before that."),
    "object": ("a number is asked of what is no array", lambda _: "Name a property, or write * for every one."),
    "unknown": (
        "a property that statements do not have is asked for",
        lambda astray: f"There are: {listed(astray.known)}." if astray.known else "Correct the path.",
    ),
}


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False


def _narrower(narrow: Template, wide: Template) -> bool:
    """True if every match of a template matches a wider one too, and not the other way round."""
    if narrow.determining == wide.determining:
        return False
    types = dict(narrow.context_types)
    return (
        wide.verb in (None, narrow.verb)
        and wide.object_type in (None, narrow.object_type)
        and wide.attachment_types <= narrow.attachment_types
        and all(wanted <= types.get(key, frozenset()) for key, wanted in wide.context_types)
    )


_Wants = Mapping[object, list[tuple[int, Wanted]]]


def _rules_by_place(template: Template) -> _Wants:
    """The demands of a template's rules, with their numbers, by the place they look at: only those there can clash."""
    found: dict[object, list[tuple[int, Wanted]]] = {}
    for number, rule in enumerate(template.rules):
        want = wanted(rule)
        found.setdefault(want.where, []).append((number, want))
    return found


def _text(values: object) -> str:
    """JSON values, and tuples of them, as a text that is the same for the same ones."""
    return json.dumps(values, sort_keys=True, default=lambda digits: {"digits": str(digits)})


def _steps(path: Path) -> int:
    """The work of a walk along a path: everything that a step leads to is looked at."""
    return sum(1 + len(step.names) + (30 if step.every else 0) for steps in path.branches for step in steps)
