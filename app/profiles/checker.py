"""Checking statements against the templates of several profiles (xAPI Profiles 1.0, Communication 2.1).

``compile`` once, then ``Checker.check`` statement by statement. An index on the verb decides which
templates can apply at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from app.errors import Fault
from app.profiles import templates
from app.profiles.document import Profile
from app.profiles.templates import Compiled, Statement


class Outcome(StrEnum):
    """What became of one statement."""

    CONFORMS = "conforms"
    FAILS = "fails"
    UNMATCHED = "unmatched"


class Mode(StrEnum):
    """When several templates match: must each be followed (as the specification says), or is one enough?"""

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


class _Entry(NamedTuple):
    compiled: Compiled
    followed: TemplateResult


_UNMATCHED = Verdict(Outcome.UNMATCHED, ())


class Checker:
    """Templates of some profiles, indexed. Safe to share between threads."""

    def __init__(self, entries: Sequence[_Entry], mode: Mode) -> None:
        self._mode = mode
        self._any_verb = tuple(entry for entry in entries if entry.compiled.verb is None)
        verbs = {entry.compiled.verb for entry in entries if entry.compiled.verb is not None}
        self._by_verb = {
            verb: tuple(entry for entry in entries if entry.compiled.verb in (None, verb)) for verb in verbs
        }

    def check(self, statement: Statement) -> Verdict:
        """Check one statement, a decoded JSON object that is valid xAPI; it is not changed."""
        verb = statement.get("verb")
        iri = verb.get("id") if type(verb) is dict else None
        entries = self._by_verb.get(iri, self._any_verb) if type(iri) is str else self._any_verb
        if not entries:
            return _UNMATCHED
        statement = _normalised(statement)
        results: list[TemplateResult] = []
        failed = False
        for (_, _, others, checks), followed in entries:
            for matches in others:
                if not matches(statement):
                    break
            else:
                faults = [fault for check in checks if (fault := check(statement)) is not None]
                if faults:
                    failed = True
                    results.append(followed._replace(ok=False, faults=tuple(faults)))
                else:
                    results.append(followed)
        if not results:
            return _UNMATCHED
        if failed and (self._mode is Mode.EVERY or not any(result.ok for result in results)):
            return Verdict(Outcome.FAILS, tuple(results))
        return Verdict(Outcome.CONFORMS, tuple(results))

    def check_all(self, statements: Iterable[Statement]) -> list[Verdict]:
        """Check a batch: the verdicts in the order of the statements."""
        return [self.check(statement) for statement in statements]


def compile(profiles: Sequence[Profile], mode: Mode = Mode.EVERY) -> Checker:
    """Compile the templates of some profiles; one profile given twice counts once."""
    entries = [
        _Entry(templates.compile(template), TemplateResult(profile.id, template.id, True, ()))
        for profile in {profile.version: profile for profile in profiles}.values()
        for template in profile.templates
    ]
    return Checker(entries, mode)


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
