"""Statements judged as the way in would judge them, and nothing stored: what a producer is told before it sends.

The functions are those of the way in: ``decode``, ``validate``, ``normalise``, ``MinorsPolicy``, ``SchoolChecks``, the
verdicts of the profiles. Where the way in stops at the first thing that refuses a batch, this looks at the rest too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from app.access.store import Source
from app.core.errors import Fault, InvalidStatement
from app.standards.france import minors
from app.standards.profiles import sessions
from app.standards.profiles.checker import Mode, Outcome, Verdict, followed
from app.standards.profiles.extensions import Extensions
from app.standards.profiles.sessions import Follower, SessionKey
from app.standards.xapi.content import normalise
from app.standards.xapi.decode import decode
from app.standards.xapi.timestamps import parse
from app.standards.xapi.validate import MAX_STEPS, validate
from app.standards.xapi.versions import Version
from app.standards.xapi.wording import Work
from app.traces.conformance.minors_policy import MinorsPolicy, refusals
from app.traces.conformance.school_checks import SchoolChecks
from app.traces.conformance.verdicts import EXTENSIONS, SCHOOLS, ConformanceService

Statement = dict[str, Any]
INVALID = "invalid"
MAX_FAULTS = 50
MAX_KEPT = 10_000
"""Faults that are kept apart to be counted: what comes later and is none of these is left out."""
MAX_JUDGED = 100
"""Statements that are told one by one: of those with faults, and of the others."""
MAX_FAULTS_EACH = 20
"""Faults of each of these, and ``MAX_FAULTS_JUDGED`` of all of them: beyond, they say their outcome alone."""
MAX_FAULTS_JUDGED = 250
STEPS_EACH = 50
"""Further steps of wording (``MAX_STEPS``) for each statement: what an ordinary wrong one takes."""
_ALONE = Fault(
    "/context/registration",
    "session-registration",
    "xAPI-Profiles Structure 9",
    "The profile that the statement names has patterns, and without a registration the statement is in no session. "
    "Give the statements of a session one registration.",
)


class Judge(NamedTuple):
    """Standards that statements are held to.

    Attributes:
        verdicts: Gives the verdicts of valid statements.
        schools: Gives the faults of the schools and courses that they name.
        extensions: Those that profiles at hand define.
        cleaned: Gives them as the policy about minors would leave them.
        followers: The patterns that sessions are held to.
        mode: When several templates match.
    """

    verdicts: Callable[[Sequence[Statement]], Sequence[Verdict]]
    schools: Callable[[Sequence[Statement]], Sequence[tuple[Fault, ...]]]
    extensions: Extensions
    cleaned: Callable[[Sequence[Statement], Sequence[Sequence[minors.Found]]], Sequence[Statement]]
    followers: tuple[Follower, ...]
    mode: Mode


class Common(NamedTuple):
    """A fault that occurs so many ``times``; ``first``: where it does first, counted from 1 (a line, or a place)."""

    fault: Fault
    times: int
    first: int


class Judged(NamedTuple):
    """The verdict on one statement.

    Attributes:
        place: Where it stands, from 1.
        outcome: ``conforms``, ``fails``, ``unmatched``, or ``invalid`` by the standard.
        templates: IRIs of the templates that match it.
        faults: The first of its faults, pointers from its root.
    """

    place: int
    outcome: str
    templates: tuple[str, ...]
    faults: tuple[Fault, ...]


class Tally:
    """Adds up what is found in statements, page after page. Not shared between threads."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.outcomes: Counter[str] = Counter()
        """Statements by verdict: ``conforms``, ``fails``, ``unmatched``; ``invalid`` by the standard."""
        self.templates: dict[str, Counter[str]] = {}
        """Statements that matched each template, by ``conforms`` and ``fails``."""
        self.people: Counter[str] = Counter()
        """Names, e-mail addresses and INE found (``minors.KINDS``)."""
        self.extensions = 0
        """Statements with an extension that does not follow the profile that defines it."""
        self.schools = 0
        """Statements with a fault of school or course of study."""
        self.failing = 0
        """Statements that a source in the mode ``reject`` would not get through: they fail a template or have such a
        fault."""
        self._judged: tuple[list[Judged], list[Judged]] = [], []
        self._told_left = MAX_FAULTS_JUDGED
        self._faults: dict[tuple[str, str, str], tuple[Fault, int]] = {}
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._events: dict[SessionKey, list[tuple[int, tuple[str, ...]]]] = {}

    def add(
        self, statements: Sequence[Statement], places: Sequence[int], version: Version, *, data_follow: bool
    ) -> None:
        """Judge some statements.

        Args:
            statements: As decoded.
            places: The place of each, from 1, for what is told of faults.
            version: What they are held to.
            data_follow: Whether the data of attachments would come with them.
        """
        valid: list[tuple[int, Statement]] = []
        work = Work(MAX_STEPS + STEPS_EACH * len(statements))
        for place, statement in zip(places, statements, strict=True):
            faults = structure(statement, version, data_follow=data_follow, work=work)
            if faults:
                self.invalid(faults, place)
            else:
                valid.append((place, normalise(statement, version)))
        if not valid:
            return
        given = [statement for _, statement in valid]
        found = [minors.find(statement) for statement in given]
        cleaned = self._judge.cleaned(given, found)
        verdicts, schools = self._judge.verdicts(cleaned), self._judge.schools(cleaned)
        for at, (place, statement) in enumerate(valid):
            verdict = verdicts[at]
            self.outcomes[verdict.outcome.value] += 1
            for result in verdict.matched:
                outcome = Outcome.CONFORMS if result.ok else Outcome.FAILS
                self.templates.setdefault(result.template, Counter())[outcome.value] += 1
                if verdict.outcome is Outcome.FAILS:
                    self._note(result.faults, place)
            self._note(schools[at], place)
            self.schools += bool(schools[at])
            misused = self._judge.extensions.faults(cleaned[at])
            self._note(misused, place)
            names = [minors.fault(each) for each in found[at][:MAX_FAULTS]]
            told = [*verdict.broken, *schools[at], *misused, *names]
            self._judge_one(place, verdict.outcome.value, [each.template for each in verdict.matched], told)
            self.extensions += bool(misused)
            self.failing += verdict.outcome is Outcome.FAILS or bool(schools[at])
            self.people.update(minors.counted(found[at]))
            # One statement may hold as many as it has bytes: the first ones say where to look.
            self._note(names, place)
            self._follow(statement, verdict, place)

    def invalid(self, faults: Iterable[Fault], place: int) -> None:
        """Add a statement that is none, for these reasons."""
        self.outcomes[INVALID] += 1
        told = [*faults]
        self._judge_one(place, INVALID, (), told)
        self._note(told, place)

    @property
    def judged(self) -> list[Judged]:
        """The first ``MAX_JUDGED`` statements with faults, and as many of those without, by their place."""
        return sorted((*self._judged[0], *self._judged[1]))

    def _judge_one(self, place: int, outcome: str, templates: Sequence[str], faults: Sequence[Fault]) -> None:
        listed = self._judged[not faults]
        if len(listed) < MAX_JUDGED:
            told = tuple(faults[: min(MAX_FAULTS_EACH, self._told_left)])
            self._told_left -= len(told)
            listed.append(Judged(place, outcome, tuple(templates), told))

    def commonest(self, limit: int = MAX_FAULTS) -> list[Common]:
        """The faults that occur most."""
        return [
            Common(self._faults[key][0], count, self._faults[key][1]) for key, count in self._counts.most_common(limit)
        ]

    def sessions(self) -> list[tuple[sessions.Standing, int]]:
        """The standings of the sessions that the statements make, in order of timestamps, with the number of each."""
        followers = {follower.scheme: follower for follower in self._judge.followers}
        stands: Counter[sessions.Standing] = Counter()
        for key, events in self._events.items():
            follower = followers[key.scheme]
            states = sessions.start(follower)
            for _, templates in sorted(events, key=lambda event: event[0]):
                states = sessions.advance(follower, states, templates)
            standing = sessions.standing(follower, states)
            broken = standing.broken and standing.broken._replace(at=0)
            stands[standing._replace(broken=broken)] += 1
        return stands.most_common()

    def report(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "statements": sum(self.outcomes.values()),
            "verdicts": dict(sorted(self.outcomes.items())),
            "templates": [
                {"template": iri, **{each.value: counts[each.value] for each in (Outcome.CONFORMS, Outcome.FAILS)}}
                for iri, counts in sorted(self.templates.items())
            ],
            EXTENSIONS: self.extensions,
            SCHOOLS: self.schools,
            "people": {kind: self.people[kind] for kind in minors.KINDS},
            "sessions": [
                {
                    "pattern": standing.pattern,
                    "outcome": standing.progress.value,
                    "sessions": count,
                    **(
                        {"wanted": [*standing.broken.wanted], "found": [*standing.broken.found]}
                        if standing.broken
                        else {}
                    ),
                }
                for standing, count in self.sessions()
            ],
            "faults": [{**each.fault._asdict(), "count": each.times, "first": each.first} for each in self.commonest()],
        }

    def _note(self, faults: Iterable[Fault], place: int) -> None:
        for fault in faults:
            key = (fault.pointer, fault.rule, fault.section)
            if key not in self._faults:
                if len(self._faults) >= MAX_KEPT:
                    continue
                self._faults[key] = fault, place
            self._counts[key] += 1

    def _follow(self, statement: Statement, verdict: Verdict, place: int) -> None:
        for follower in self._judge.followers:
            key = sessions.session_of(statement, follower)
            if key is None and sessions.is_of(statement, follower):
                self._note([_ALONE], place)
            elif key is not None:
                said = statement.get("timestamp")
                templates = followed(verdict, follower.profile, self._judge.mode)
                # One without a timestamp would get that of its receipt: later than those that have one.
                moment = 1 << 62 if said is None else parse(said)
                self._events.setdefault(key, []).append((moment, templates))


def structure(
    statement: Statement, version: Version, *, data_follow: bool, work: Work | None = None
) -> Sequence[Fault]:
    """The rules of the standard that one statement breaks; ``work`` is shared with the others of its batch."""
    try:
        validate([statement], version, many=False, data_follow=data_follow, work=work)
    except InvalidStatement as refused:
        return refused.faults
    return ()


class Checking:
    """Judges batches as the way in would. Safe to share between threads."""

    def __init__(
        self,
        profiles: ConformanceService,
        schools: SchoolChecks,
        minors_policy: MinorsPolicy,
        max_batch: int,
        max_statement_bytes: int,
    ) -> None:
        self._profiles = profiles
        self._schools = schools
        self._minors_policy = minors_policy
        self._max_batch = max_batch
        self._max_statement_bytes = max_statement_bytes

    def check(self, body: bytes, source: Source, version: Version) -> dict[str, Any]:
        """The verdict on a request body of a source; nothing of it is stored, counted or audited.

        Returns:
            The report of ``Tally``, and: ``judged``, statement by statement (``Judged``); ``accepted``, whether the way
            in would take the batch (but for ids that are taken, and what a voiding may void); ``refusals``, the faults
            for which it would not.

        Raises:
            MalformedJSON, DuplicateKey, BodyTooLarge, StatementTooLarge, InvalidStatement: it is not even statements.
        """
        decoded = decode(body, max_statements=self._max_batch, max_statement_bytes=self._max_statement_bytes)
        statements, many = decoded.statements, decoded.many
        held = self._profiles.held(source)
        tally = Tally(
            Judge(
                lambda given: self._profiles.verdicts(source, given),
                self._schools.faults if source.profiles else lambda given: ((),) * len(given),
                held.extensions,
                lambda given, found: self._minors_policy.cleaned(source, given, found),
                held.followers,
                Mode(source.matching),
            )
        )
        tally.add(statements, range(1, len(statements) + 1), version, data_follow=False)
        return {
            "source": source.id,
            "mode": source.mode,
            "minors": source.minors,
            **self._refusal(source, statements, version, many=many),
            **tally.report(),
            "judged": [
                {**each._asdict(), "faults": [fault._asdict() for fault in each.faults]} for each in tally.judged
            ],
        }

    def _refusal(
        self, source: Source, statements: Sequence[Statement], version: Version, *, many: bool
    ) -> dict[str, Any]:
        """The refusal of a batch by the way in, if it would be refused: in its order, up to the first reason."""
        try:
            validate(statements, version, many=many)
        except InvalidStatement as refused:
            return _outcome(refused.faults)
        given = [normalise(statement, version) for statement in statements]
        found = [minors.find(statement) for statement in given]
        reasons = refusals(source.minors, given, found, many=many)
        if not reasons and source.mode == "reject":
            checked = self._profiles.check(source, self._minors_policy.cleaned(source, given, found), many=many)
            reasons = list(checked.faults) if checked.failing else []
        return _outcome(reasons)


def _outcome(reasons: Sequence[Fault]) -> dict[str, Any]:
    return {"accepted": not reasons, "refusals": [reason._asdict() for reason in reasons[:MAX_FAULTS]]}
