"""Checking statements against the templates of several profiles (xAPI Profiles 1.0, Communication 2.1).

``compile`` once, then ``Checker.check`` statement by statement. An index on the verb and the type of the object decides
which templates can apply at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from app.core.errors import Fault
from app.standards.profiles import document, templates
from app.standards.profiles.document import Profile, Template
from app.standards.profiles.templates import Compiled, Matches, Statement

Find = Callable[[str], Statement | None]
"""The statement of an id (a UUID in lower case), or ``None`` when it is not at hand."""

# A chain of references is followed this far; what lies beyond counts as not at hand.
_MAX_DEPTH: Final = 8
_MAX_JOINED: Final = 10_000


class Outcome(StrEnum):
    """Outcome of checking one statement."""

    CONFORMS = "conforms"
    FAILS = "fails"
    UNMATCHED = "unmatched"


class Mode(StrEnum):
    """Mode for a statement that several templates match: each must be followed (as the specification says), or one is
    enough.
    """

    EVERY = "every"
    ANY = "any"


class TemplateResult(NamedTuple):
    """One template whose determining properties match the statement.

    Attributes:
        profile: IRI of the profile it belongs to.
        template: IRI of the template.
        ok: Whether all its rules are followed.
        faults: The broken rules; ``section`` of each is the template's IRI.
    """

    profile: str
    template: str
    ok: bool
    faults: tuple[Fault, ...]


class Verdict(NamedTuple):
    """The outcome, and every template that matched."""

    outcome: Outcome
    matched: tuple[TemplateResult, ...]

    @property
    def broken(self) -> list[Fault]:
        """The rules that the statement breaks, if it fails."""
        if self.outcome is not Outcome.FAILS:
            return []
        return [fault for result in self.matched for fault in result.faults]


class _Entry(NamedTuple):
    compiled: Compiled
    followed: TemplateResult


_Known = dict[tuple[str, str, int], frozenset[str] | None]

_UNMATCHED = Verdict(Outcome.UNMATCHED, ())


class Checker:
    """Templates of some profiles, indexed. Safe to share between threads."""

    def __init__(self, entries: Sequence[_Entry], mode: Mode) -> None:
        self._mode = mode
        self.templates = tuple(dict.fromkeys(entry.compiled.id for entry in entries))
        """IRIs of the templates."""
        self.refers = any(entry.compiled.references for entry in entries)
        """True if some template asks for the template of a statement that is referred to."""
        self._index = _Index(entries)
        self._of_profile = {
            profile: _Index([entry for entry in entries if entry.followed.profile == profile])
            for profile in {entry.followed.profile for entry in entries if entry.compiled.references}
        }

    def check(self, statement: Statement, find: Find | None = None) -> Verdict:
        """Check one statement, a decoded JSON object that is valid xAPI; it is not changed.

        Args:
            statement: The statement.
            find: Gives the statements that it may refer to. Without it they count as not at hand, and only that there
                is a StatementRef is checked (Communication 2.1, follows_rules).
        """
        results = self._results(self._index, statement, find, 0, {})
        if not results:
            return _UNMATCHED
        failed = False
        for result in results:
            if not result.ok:
                failed = True
                break
        if failed and (self._mode is Mode.EVERY or not any(result.ok for result in results)):
            return Verdict(Outcome.FAILS, tuple(results))
        return Verdict(Outcome.CONFORMS, tuple(results))

    def check_all(self, statements: Iterable[Statement], find: Find | None = None) -> list[Verdict]:
        """Check a batch: the verdicts in the order of the statements, which may refer to each other."""
        given = list(statements)
        if self.refers:
            find = within(given, find)
        return [self.check(statement, find) for statement in given]

    def _results(
        self, index: _Index, statement: Statement, find: Find | None, depth: int, known: _Known
    ) -> list[TemplateResult]:
        entries = index.of(statement)
        if not entries:
            return []
        statement = _normalised(statement)
        results: list[TemplateResult] = []
        for compiled, followed in entries:
            for matches in compiled.others:
                if not matches(statement):
                    break
            else:
                faults: list[Fault] = []
                if not compiled.follows(statement):
                    faults = [fault for check in compiled.checks if (fault := check(statement)) is not None]
                if compiled.references:
                    faults[:0] = self._misreferred(statement, compiled, followed.profile, find, depth, known)
                results.append(followed._replace(ok=False, faults=tuple(faults)) if faults else followed)
        return results

    def _misreferred(
        self, statement: Statement, compiled: Compiled, profile: str, find: Find | None, depth: int, known: _Known
    ) -> list[Fault]:
        faults = []
        for reference in compiled.references:
            id = templates.referred(statement, reference)
            if id is None:
                faults.append(reference.missing)
                continue
            of = None
            if find is not None and type(id) is str and depth < _MAX_DEPTH:
                of = self._of(id.lower(), profile, find, depth + 1, known)
            if of is not None and of.isdisjoint(reference.templates):
                faults.append(reference.other)
        return faults

    def _of(self, id: str, profile: str, find: Find, depth: int, known: _Known) -> frozenset[str] | None:
        """Of which templates a statement that is referred to is; None when it is not at hand."""
        # Once for each statement and depth: several templates, and statements in a circle, ask for the same.
        key = (id, profile, depth)
        if key not in known:
            other = find(id)
            if other is None:
                known[key] = None
            else:
                results = self._results(self._of_profile[profile], other, find, depth, known)
                # Communication 2.1, validates: the templates that are followed, or if some are not, those that are not.
                failing = frozenset(result.template for result in results if not result.ok)
                known[key] = failing or frozenset(result.template for result in results)
        return known[key]


class _Index:
    """The templates that can apply, by verb and by type of object; those that want any are with each."""

    def __init__(self, entries: Sequence[_Entry]) -> None:
        self._groups: dict[tuple[str | None, str | None], list[tuple[int, _Entry]]] = {}
        for number, entry in enumerate(entries):
            key = (entry.compiled.verb, entry.compiled.object_type)
            self._groups.setdefault(key, []).append((number, entry))
        self._verbs = frozenset(verb for verb, _ in self._groups)
        self._types = frozenset(kind for _, kind in self._groups)
        # Joined when a statement first asks: of many verbs and many types, few pairs ever come.
        self._joined: dict[tuple[str | None, str | None], tuple[_Entry, ...]] = {}

    def of(self, statement: Statement) -> tuple[_Entry, ...]:
        verb = statement.get("verb")
        iri = verb.get("id") if type(verb) is dict else None
        target = statement.get("object")
        definition = target.get("definition") if type(target) is dict else None
        kind = definition.get("type") if type(definition) is dict else None
        key = (iri if type(iri) is str else None, kind if type(kind) is str else None)
        entries = self._joined.get(key)
        return self._join(*key) if entries is None else entries

    def _join(self, verb: str | None, kind: str | None) -> tuple[_Entry, ...]:
        # Only what templates name is a key: senders choose the rest.
        key = (verb if verb in self._verbs else None, kind if kind in self._types else None)
        entries = self._joined.get(key)
        if entries is not None:
            return entries
        verb, kind = key
        keys = dict.fromkeys((one, other) for one in (verb, None) for other in (kind, None))
        placed = sorted((pair for each in keys for pair in self._groups.get(each, ())), key=lambda pair: pair[0])
        entries = tuple(entry for _, entry in placed)
        if len(self._joined) >= _MAX_JOINED:
            self._joined.clear()
        self._joined[key] = entries
        return entries


def compile(profiles: Sequence[Profile], mode: Mode = Mode.EVERY, others: Sequence[Profile] = ()) -> Checker:
    """Compile the templates of some profiles; one profile given twice counts once.

    A document with several versions gives the templates of all: a statement is held to those of the versions that it
    names among its category context activities (Structure 5), and to the newest when it names none.

    Args:
        profiles: What statements are held to.
        mode: When several templates match.
        others: Profiles at hand whose templates the patterns of ``profiles`` may use; such a template counts as one of
            the profile that uses it (Structure 9).
    """
    chosen = {profile.version: profile for profile in profiles}.values()
    entries = [entry for profile in chosen for entry in _entries(profile)]
    known = {entry.compiled.id for entry in entries}
    for profile in chosen:
        for template in borrowed(profile, others):
            if template.id not in known:
                known.add(template.id)
                entries.append(_Entry(templates.compile(template), TemplateResult(profile.id, template.id, True, ())))
    return Checker(entries, mode)


def borrowed(profile: Profile, others: Sequence[Profile]) -> list[Template]:
    """The templates of other profiles that the patterns of a profile use, directly or through patterns of those."""
    own = {template.id for template in profile.templates} | {pattern.id for pattern in profile.patterns}
    found = document.newest_elements(other for other in others if other.id != profile.id)
    sought = [member for pattern in profile.patterns for member in pattern.members if member not in own]
    used: dict[str, Template] = {}
    seen: set[str] = set()
    while sought:
        iri = sought.pop()
        if iri in seen:
            continue
        seen.add(iri)
        element = found.get(iri)
        if isinstance(element, Template):
            used[iri] = element
        elif element is not None:
            sought += element.members
    return list(used.values())


def _entries(profile: Profile) -> list[_Entry]:
    # The same template in several versions is one.
    groups: list[tuple[Template, set[str]]] = []
    of_id: dict[str, list[tuple[Template, set[str]]]] = {}
    for template in profile.templates:
        alike = of_id.setdefault(template.id, [])
        for first, within in alike:
            if _same(first, template):
                within.add(template.version)
                break
        else:
            alike.append((template, {template.version}))
            groups.append(alike[-1])
    described = {template.version for template in profile.templates}
    made = []
    for template, within in groups:
        compiled = templates.compile(template)
        if within != described:
            compiled = compiled._replace(others=(_of_version(profile, described, within), *compiled.others))
        made.append(_Entry(compiled, TemplateResult(profile.id, template.id, True, ())))
    return made


def _same(one: Template, other: Template) -> bool:
    return one.determining == other.determining and _rules(one) == _rules(other)


def _rules(template: Template) -> list[tuple[object, ...]]:
    return [
        (rule.location.text, rule.selector and rule.selector.text, rule.presence, rule.any, rule.all, rule.none)
        for rule in template.rules
    ]


def _of_version(profile: Profile, described: set[str], within: set[str]) -> Matches:
    """True if the statement is of these versions: of those it names, or of the newest that has templates."""
    newest = next(version.id for version in profile.versions if version.id in described)

    def matches(statement: Statement) -> bool:
        named = described.intersection(categories(statement))
        return not named.isdisjoint(within) if named else newest in within

    return matches


def followed(verdict: Verdict, profile: str, mode: Mode) -> tuple[str, ...]:
    """IRIs of the templates that a statement is of, for the patterns of a profile.

    Communication 2.2, follows: one that fails a template of the profile is of none. In the mode ``any`` it is of those
    that it follows.
    """
    if mode is Mode.EVERY and any(not each.ok for each in verdict.matched if each.profile == profile):
        return ()
    return tuple(each.template for each in verdict.matched if each.ok)


def categories(statement: Statement) -> list[str]:
    """The ids of a statement's category context activities."""
    context = statement.get("context")
    related = context.get("contextActivities") if type(context) is dict else None
    given = related.get("category") if type(related) is dict else None
    listed = [given] if type(given) is dict else given if type(given) is list else []
    return [each["id"] for each in listed if type(each) is dict and type(each.get("id")) is str]


def within(statements: Sequence[Statement], find: Find | None) -> Find:
    """Gives these statements before those that ``find`` gives."""
    own = {id.lower(): each for each in statements if type(id := each.get("id")) is str}

    def found(id: str) -> Statement | None:
        statement = own.get(id)
        return statement if statement is not None or find is None else find(id)

    return found


def _normalised(statement: Statement) -> Statement:
    """The statement with each single context activity in a list (Structure 8.1; xAPI-Data 2.4.6.2)."""
    context = statement.get("context")
    related = context.get("contextActivities") if type(context) is dict else None
    if type(context) is not dict or type(related) is not dict:
        return statement
    for value in related.values():
        if type(value) is dict:
            break
    else:
        return statement
    lists = {key: [value] if type(value) is dict else value for key, value in related.items()}
    return {**statement, "context": {**context, "contextActivities": lists}}
