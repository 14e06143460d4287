"""What is wrong, or doubtful, in an xAPI Profile document (xAPI Profiles 1.0, Structure).

``error``: a MUST of the specification is broken, or something can never work as it is written. ``warning``: it works,
and most likely not as it is meant. Each finding says where, which rule, and what to do. Findings name places of the
document, not what stands there.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from app.errors import ProfileInvalid
from app.profiles import document, patterns, shape
from app.profiles.document import SECTION, Concept, Pattern, Profile, Raw, Rule, Template
from app.profiles.findings import Finding, error, warning
from app.profiles.jsonpath import Path
from app.profiles.rules import exclude_each_other, impossible, undetermined, where
from app.profiles.shape import Astray, Reached, Shape
from app.profiles.vocabulary import (
    CONFORMS,
    CONTEXT,
    TEMPLATE,
    activity,
    listed,
    missing,
    repeated_keys,
    schema,
    values_need_context,
    vocabulary,
)


def lint(content: bytes, others: Sequence[Profile] = ()) -> list[Finding]:
    """Everything found in a document, in its order.

    Args:
        content: The bytes of the JSON-LD document.
        others: Profiles at hand, in which references to other profiles are looked up; nothing is fetched.
    """
    try:
        raw = document.parse(content)
    except ProfileInvalid as refused:
        return [
            error("", fault.rule, fault.section, fault.message, "Give a JSON-LD document that can be read.")
            for fault in refused.faults
        ]
    found = [*repeated_keys(content)]
    if isinstance(raw, dict):
        found += vocabulary(raw)
    faults = document.faults_of(raw)
    found += [
        error(fault.pointer, fault.rule, fault.section, fault.message, "Correct it: the profile cannot be loaded.")
        for fault in faults
    ]
    if not faults:
        found += _Linter(raw, document.read(raw), others).findings()
    told: dict[tuple[str, str], Finding] = {}
    for finding in found:
        told.setdefault((finding.pointer, finding.rule), finding)
    return sorted(told.values(), key=lambda finding: _place(finding.pointer))


def _place(pointer: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in pointer.split("/")]


# --- what it means --------------------------------------------------------------------------------


class _Linter:
    def __init__(self, raw: Raw, profile: Profile, others: Sequence[Profile]) -> None:
        self.raw = raw
        self.profile = profile
        self.others = [other for other in others if other.id != profile.id]
        self.versions = {version.id for version in profile.versions}
        # The first definition counts; a concept of several versions is one word.
        self.own = {concept.id: concept for concept in reversed(profile.concepts)}
        self.foreign = {concept.id: concept for other in self.others for concept in other.concepts}
        self._guesses = _MOST_GUESSES

    def findings(self) -> Iterator[Finding]:
        yield from self._head()
        yield from self._versions()
        yield from self._changed_ids()
        for at, concept in enumerate(self.profile.concepts):
            yield from self._concept(f"/concepts/{at}", self.raw["concepts"][at], concept)
        yield from self._broader_cycles()
        for at, template in enumerate(self.profile.templates):
            yield from self._template(f"/templates/{at}", self.raw["templates"][at], template)
        yield from self._twins()
        yield from self._wider()
        yield from self._patterns()

    def concept(self, iri: str) -> Concept | None:
        return self.own.get(iri) or self.foreign.get(iri)

    def seems_own(self, iri: str) -> bool:
        """Whether an IRI is made like those of this profile, so that it should be defined in it."""
        return any(iri.startswith((f"{base}/", f"{base}#")) for base in (self.profile.id.rstrip("/#"), *self.versions))

    def _nearest(self, iri: str) -> str:
        if not self._guesses:
            return ""
        self._guesses -= 1
        near = difflib.get_close_matches(iri, self.own, 1, 0.85)
        return f"Did you mean {near[0]}?" if near else ""

    # --- head and versions ------------------------------------------------------------------------

    def _head(self) -> Iterator[Finding]:
        if self.raw["conformsTo"] != CONFORMS:
            yield warning(
                "/conformsTo",
                "conforms-to",
                f"{SECTION} 6",
                "The version of the specification is not the one that this linter knows.",
                f"Write {CONFORMS}.",
            )
        context = self.raw["@context"]
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
        for at, version in enumerate(self.raw["versions"]):
            pointer = f"/versions/{at}"
            try:
                datetime.fromisoformat(version["generatedAtTime"])
            except ValueError:
                yield error(
                    f"{pointer}/generatedAtTime",
                    "timestamp",
                    f"{SECTION} 6.1",
                    "The time is no ISO 8601 timestamp.",
                    "Write it as 2026-11-22T00:00:00Z.",
                )
            revised = version.get("wasRevisionOf", ())
            if not revised and version["id"] != oldest:
                yield error(
                    pointer,
                    "revision-missing",
                    f"{SECTION} 6.1",
                    "A version that succeeds another does not say so.",
                    "Name the version before it in wasRevisionOf.",
                )
            for number, iri in enumerate(revised):
                place = f"{pointer}/wasRevisionOf/{number}"
                if iri == self.profile.id:
                    yield error(
                        place,
                        "revision-of-profile",
                        f"{SECTION} 6.1",
                        "wasRevisionOf names the profile itself, not a version.",
                        "Name the id of a version.",
                    )
                elif iri in times:
                    if times[iri] >= times[version["id"]]:
                        yield error(
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

    def _changed_ids(self) -> Iterator[Finding]:
        """Structure 8 and 9: what changes from one version to the next changes its id."""
        described: dict[str, tuple[object, ...]] = {}
        for at, template in enumerate(self.profile.templates):
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
                yield error(
                    f"/templates/{at}/id",
                    "changed-template",
                    f"{SECTION} 8",
                    "The template differs from that of another version and has the same id.",
                    "Give the changed template a new id.",
                )
        made: dict[str, tuple[str, tuple[str, ...]]] = {}
        for at, pattern in enumerate(self.profile.patterns):
            if made.setdefault(pattern.id, (pattern.kind, pattern.members)) != (pattern.kind, pattern.members):
                yield error(
                    f"/patterns/{at}/id",
                    "changed-pattern",
                    f"{SECTION} 9",
                    "The pattern differs from that of another version and has the same id.",
                    "Give the changed pattern a new id, and those that it is in too.",
                )

    # --- concepts ---------------------------------------------------------------------------------

    def _concept(self, pointer: str, raw: Raw, concept: Concept) -> Iterator[Finding]:
        section = f"{SECTION} 7"
        if concept.version not in self.versions:
            yield error(
                f"{pointer}/inScheme", "in-scheme", section,
                "inScheme is none of the profile's versions.", "Name the version that is being described.",
            )  # fmt: skip
        if concept.id in self.versions or concept.id == self.profile.id:
            yield error(
                f"{pointer}/id", "id-of-profile", section,
                "The concept has the id of the profile or of a version.", "Give it an id of its own.",
            )  # fmt: skip
        wanted = {"Activity": ["activityDefinition"]}.get(concept.type, ["prefLabel", "definition"])
        if concept.type.endswith("Resource"):
            wanted.append("contentType")
        yield from missing(pointer, raw, wanted, section)
        if concept.id in self.foreign:
            revised = {iri for version in self.profile.versions for iri in version.revises}
            definers = [other for other in self.others if any(each.id == concept.id for each in other.concepts)]
            if not all(any(version.id in revised for version in other.versions) for other in definers):
                # Structure 7: MUST NOT define a Concept that is defined in another Profile.
                yield error(
                    f"{pointer}/id", "defined-elsewhere", section,
                    "Another profile at hand defines this concept.",
                    "Use it without defining it, or say in wasRevisionOf that this profile supersedes the other.",
                )  # fmt: skip
        yield from self._relations(pointer, concept)
        yield from self._recommended(pointer, raw, concept)
        if concept.inline_schema is not None:
            yield from schema(f"{pointer}/inlineSchema", concept.inline_schema)
        if concept.content_type is not None and not re.match(r"[\w.+-]+/[\w.+-]+(\s*;.*)?\Z", concept.content_type):
            yield error(
                f"{pointer}/contentType", "content-type", f"{SECTION} 7.3",
                "The content type is no media type.", "Write one such as application/json.",
            )  # fmt: skip
        if concept.activity is not None:
            yield from activity(f"{pointer}/activityDefinition", concept.activity)

    def _relations(self, pointer: str, concept: Concept) -> Iterator[Finding]:
        section = f"{SECTION} 7.1"
        if "related" in concept.relations and not concept.deprecated:
            yield error(
                f"{pointer}/related", "related-not-deprecated", section,
                "related is for deprecated concepts only.", "Use broader, narrower or relatedMatch, or deprecate it.",
            )  # fmt: skip
        for relation, iris in concept.relations.items():
            within = not relation.endswith("Match")
            for number, iri in enumerate(iris):
                place = f"{pointer}/{relation}/{number}"
                other = self.own.get(iri)
                if iri == concept.id:
                    yield error(
                        place, "relation-to-itself", section,
                        "The concept is related to itself.", "Take it out.",
                    )  # fmt: skip
                elif within and (other is None or other.version != concept.version):
                    yield error(
                        place, "relation-broken", section,
                        f"{relation} must name a concept of this version of the profile, and there is no such one.",
                        f"Define it here, or use {_MATCHES[relation]}.",
                    )  # fmt: skip
                elif not within and other is not None and other.version == concept.version:
                    yield error(
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
                    yield error(
                        place, "relation-type", section,
                        f"The related concept is of type {found.type}, not {concept.type}.",
                        "Relate concepts of one type.",
                    )  # fmt: skip

    def _recommended(self, pointer: str, raw: Raw, concept: Concept) -> Iterator[Finding]:
        name = "recommendedActivityTypes" if concept.type == "ActivityExtension" else "recommendedVerbs"
        kind = "ActivityType" if concept.type == "ActivityExtension" else "Verb"
        for number, iri in enumerate(raw.get(name, ())):
            yield from self._refers(f"{pointer}/{name}/{number}", iri, kind, f"{SECTION} 7.2")

    def _refers(self, pointer: str, iri: str, kind: str, section: str) -> Iterator[Finding]:
        """A use of a concept: it must be of its type, and there if it is this profile's own."""
        found = self.concept(iri)
        if found is None:
            if self.seems_own(iri):
                yield error(
                    pointer, "reference-broken", section,
                    "The IRI is one of this profile, which does not define it.",
                    self._nearest(iri) or "Correct it, or define the concept.",
                )  # fmt: skip
        elif found.type != kind:
            yield error(
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
        for at, concept in enumerate(self.profile.concepts):
            if concept.id in _reached(concept.id, above):
                yield error(
                    f"/concepts/{at}", "broader-cycle", f"{SECTION} 7.1",
                    "The concept is broader than itself, through others.", "Correct broader and narrower.",
                )  # fmt: skip

    # --- templates --------------------------------------------------------------------------------

    def _template(self, pointer: str, raw: Raw, template: Template) -> Iterator[Finding]:
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
        here = {each.id for each in self.profile.templates if each.version == template.version}
        for name in ("objectStatementRefTemplate", "contextStatementRefTemplate"):
            for number, iri in enumerate(raw.get(name, ())):
                if iri not in here:
                    yield error(
                        f"{pointer}/{name}/{number}", "template-reference-broken", section,
                        "No template of this version has that id.", "Name a template of this version.",
                    )  # fmt: skip
        yield from self._rules(pointer, raw, template)

    def _rules(self, pointer: str, raw: Raw, template: Template) -> Iterator[Finding]:
        seen: dict[str, int] = {}
        for number, rule in enumerate(template.rules):
            place = f"{pointer}/rules/{number}"
            yield from self._rule(place, template, rule)
            yield from values_need_context(place, raw["rules"][number], self.raw["@context"])
            same = _text([where(rule), rule.presence, rule.any, rule.all, rule.none])
            if same in seen:
                yield warning(
                    place, "rule-repeated", f"{SECTION} 8.1",
                    f"The rule says what rule {seen[same]} says.", "Keep one of the two.",
                )  # fmt: skip
            seen.setdefault(same, number)
        for number, one in enumerate(template.rules):
            for before, other in enumerate(template.rules[:number]):
                reason = exclude_each_other(one, other)
                if reason:
                    yield error(
                        f"{pointer}/rules/{number}", "rules-contradict", f"{SECTION} 8.1",
                        f"No statement can follow both this rule and rule {before}: {reason}.",
                        "Correct one of the two.",
                    )  # fmt: skip

    def _rule(self, pointer: str, template: Template, rule: Rule) -> Iterator[Finding]:
        ways = shape.walk(rule.location)
        name, path = "location", rule.location
        if rule.selector is not None and any(way.shapes for way in ways):
            yield from self._astray(f"{pointer}/location", rule, path, ways)
            always = all(way.always for way in ways)
            ways = shape.walk(rule.selector, tuple(dict.fromkeys(each for way in ways for each in way.shapes)))
            ways = [way._replace(always=way.always and always) for way in ways]
            name, path = "selector", rule.selector
        yield from self._astray(f"{pointer}/{name}", rule, path, ways)
        for way in ways:
            for kind, iri in way.extensions:
                found = self.concept(iri)
                if found is None and self.seems_own(iri):
                    yield error(
                        f"{pointer}/{name}", "reference-broken", f"{SECTION} 8.1",
                        "The path names an extension of this profile, which does not define it.",
                        self._nearest(iri) or "Correct it, or define the extension.",
                    )  # fmt: skip
                elif found is not None and found.type != kind:
                    # Structure 7.2: a ContextExtension in context only, and so on.
                    yield error(
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

    def _astray(self, pointer: str, rule: Rule, path: Path, ways: Sequence[Reached]) -> Iterator[Finding]:
        for way, steps in zip(ways, path.branches, strict=True):
            if way.astray is not None:
                message, advice = _ASTRAY[way.astray.why]
                make = error if rule.presence == "included" or rule.any is not None else warning
                step = steps[way.astray.at]
                near = difflib.get_close_matches(step.names[0], way.astray.known, 1, 0.7) if step.names else []
                yield make(
                    pointer,
                    "never-matches",
                    f"{SECTION} 8.1",
                    f"The path can never find anything: at its step {way.astray.at + 1}, {message}.",
                    f"Did you mean {near[0]}?" if near else advice(way.astray),
                )

    def _values(self, pointer: str, rule: Rule, shapes: Sequence[Shape]) -> Iterator[Finding]:
        possible = {kind for each in shapes for kind in each.types}
        for name, values in (("any", rule.any), ("all", rule.all), ("none", rule.none)):
            if values is None:
                continue
            strange = [at for at, value in enumerate(values) if shape.type_of(value) not in possible]
            for at in strange:
                never = name != "none" and len(strange) == len(values)
                make = error if never else warning
                yield make(
                    f"{pointer}/{name}/{at}",
                    "value-never-there",
                    f"{SECTION} 8.1",
                    f"What stands there in a statement is never of this JSON type; it is {listed(sorted(possible))}.",
                    "Write the value in the type that statements have.",
                )

    def _twins(self) -> Iterator[Finding]:
        first: dict[tuple[object, ...], int] = {}
        for at, template in enumerate(self.profile.templates):
            key = (template.version, *template.determining)
            other = first.setdefault(key, at)
            if other == at:
                continue
            against = [
                reason
                for one in template.rules
                for two in self.profile.templates[other].rules
                if (reason := exclude_each_other(one, two))
            ]
            make = error if against else warning
            yield make(
                f"/templates/{at}",
                "indistinguishable",
                f"{SECTION} 8",
                f"It has the determining properties of /templates/{other}: what matches one matches both, "
                + ("and none can follow both." if against else "and must follow both."),
                "Give them another verb, object type or context type, or make one template of them; or check in the "
                "mode any, where one followed template is enough.",
            )

    def _wider(self) -> Iterator[Finding]:
        """Templates that no statement can follow, for it matches a wider one too that says the contrary."""
        by_verb: dict[tuple[str, str | None], list[tuple[int, Template]]] = {}
        for at, template in enumerate(self.profile.templates):
            by_verb.setdefault((template.version, template.verb), []).append((at, template))
        for at, narrow in enumerate(self.profile.templates):
            verbs = dict.fromkeys((None, narrow.verb))
            for other, wide in [each for verb in verbs for each in by_verb.get((narrow.version, verb), ())]:
                if not _narrower(narrow, wide):
                    continue
                if any(exclude_each_other(one, two) for one in narrow.rules for two in wide.rules):
                    yield error(
                        f"/templates/{at}",
                        "contradicts-wider",
                        f"{SECTION} 8",
                        f"Whatever matches it matches /templates/{other} too, and none can follow both.",
                        "Correct one of the two, or give the wider one a determining property; or check in the mode "
                        "any, where one followed template is enough.",
                    )

    # --- patterns ---------------------------------------------------------------------------------

    def _patterns(self) -> Iterator[Finding]:
        for version in dict.fromkeys(pattern.version for pattern in self.profile.patterns):
            yield from self._patterns_of(version)

    def _patterns_of(self, version: str) -> Iterator[Finding]:
        section = f"{SECTION} 9"
        placed = [(at, pattern) for at, pattern in enumerate(self.profile.patterns) if pattern.version == version]
        here = {pattern.id: pattern for _, pattern in placed}
        templates = {each.id: each for each in self.profile.templates if each.version == version}
        members = {pattern.id: set(pattern.members) for _, pattern in placed}
        primary = {pattern.id for _, pattern in placed if pattern.primary}
        used = set(primary).union(*(_reached(iri, members) for iri in primary))
        if not primary:
            yield warning(
                "/patterns", "no-primary", section,
                "No pattern is primary, so that no statement is ever held to any.", "Set primary on those that matter.",
            )  # fmt: skip
        for at, pattern in placed:
            pointer = f"/patterns/{at}"
            if pattern.primary:
                yield from missing(pointer, self.raw["patterns"][at], ["prefLabel", "definition"], section)
            elif primary and pattern.id not in used:
                yield warning(
                    pointer, "pattern-unused", section,
                    "The pattern is neither primary nor in one that is.", "Use it, make it primary, or take it out.",
                )  # fmt: skip
            inside = any(pattern.id in each.members for _, each in placed)
            yield from self._members(pointer, pattern, here, templates, inside)
            if pattern.primary:
                yield from self._completes(pointer, pattern)
        if primary:
            for at, template in enumerate(self.profile.templates):
                if template.version == version and template.id not in used and template.determining != _NOTHING:
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
            yield error(
                f"{pointer}/{pattern.kind}", "too-few-members", section,
                f"{pattern.kind} needs at least two members.", "Name its only member where the pattern is used.",
            )  # fmt: skip
        foreign_patterns = {each.id: each for other in self.others for each in other.patterns}
        foreign_templates = {each.id for other in self.others for each in other.templates}
        for number, iri in enumerate(pattern.members):
            place = f"{pointer}/{pattern.kind}" + (f"/{number}" if several else "")
            inner = here.get(iri) or foreign_patterns.get(iri)
            if inner is not None and pattern.kind == "alternates" and inner.kind in ("optional", "zeroOrMore"):
                yield error(
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
            if inner is None and template is None and iri not in foreign_templates:
                if self.concept(iri) is not None:
                    yield error(
                        place, "pattern-reference-type", section,
                        "A concept is named here, where a template or pattern is wanted.",
                        "Name a template or pattern.",
                    )  # fmt: skip
                else:
                    yield error(
                        place, "pattern-reference-broken", section,
                        "No template or pattern of this version, nor of a profile at hand, has that id.",
                        "Correct it, or give the profile that it belongs to.",
                    )  # fmt: skip

    def _completes(self, pointer: str, pattern: Pattern) -> Iterator[Finding]:
        section = "xAPI-Profiles Communication 2.2"
        try:
            compiled = patterns.compile(self.profile, pattern, self.others)
            reach = patterns.explore(compiled)
        except patterns.Unresolved:
            return  # told where it is named
        except patterns.TooAmbiguous:
            yield error(
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
            yield error(
                pointer, "pattern-never-completes", section,
                "No sequence of statements completes the pattern: what is repeated takes all, and leaves nothing for "
                "what must follow.",
                "Let what follows a repetition begin with another template.",
            )  # fmt: skip
        elif unused := sorted(set(compiled.symbols) - reach.used):
            places = [at for at, each in enumerate(self.profile.templates) if each.id in unused]
            yield warning(
                pointer, "pattern-part-unreachable", section,
                f"{len(unused)} of its templates are in no sequence that completes it"
                + (f": {listed(f'/templates/{at}' for at in places)}." if places else "."),
                "What comes before takes them greedily: change the order, or take them out.",
            )  # fmt: skip


# Each looks at every concept; a document in which more is misspelled has something else wrong.
_MOST_GUESSES: Final = 50
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


def _narrower(narrow: Template, wide: Template) -> bool:
    """Whether what matches a template matches a wider one too, and not the other way round."""
    if narrow.determining == wide.determining:
        return False
    types = dict(narrow.context_types)
    return (
        wide.verb in (None, narrow.verb)
        and wide.object_type in (None, narrow.object_type)
        and wide.attachment_types <= narrow.attachment_types
        and all(wanted <= types.get(key, frozenset()) for key, wanted in wide.context_types)
    )


def _reached(start: str, after: Mapping[str, Iterable[str]]) -> set[str]:
    found: set[str] = set()
    stack = list(after.get(start, ()))
    while stack:
        here = stack.pop()
        if here not in found:
            found.add(here)
            stack += after.get(here, ())
    return found


def _text(values: object) -> str:
    """JSON values, and tuples of them, as a text that is the same for the same ones."""
    return json.dumps(values, sort_keys=True, default=lambda digits: {"digits": str(digits)})
