"""The profiles that sources promise: loaded, compiled once per set, applied to batches, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import compress
from operator import add
from typing import NamedTuple

from app.access.store import Source
from app.core import clock
from app.core.announcer import Announcer
from app.core.audit_sink import AuditSink
from app.core.buffer import Buffer
from app.core.errors import BodyTooLarge, Fault, ProfileRejected, SillageError
from app.standards.profiles import sessions
from app.standards.profiles.checker import Checker, Mode, Outcome, Verdict, compile, within
from app.standards.profiles.document import Profile, load
from app.standards.profiles.examples import Examples, examples
from app.standards.profiles.extensions import Extensions
from app.standards.profiles.resources import Resources
from app.standards.profiles.sessions import Follower
from app.standards.xapi.documents import MAX_VALUES, Content, Place, Resource
from app.standards.xapi.extent import crowded
from app.traces.conformance.asked import Asked
from app.traces.conformance.profile_store import Count, DayCount, LoadedProfile, ProfileRepository
from app.traces.conformance.school_checks import SchoolChecks
from app.traces.statements.referred import Referred, identifiers

CODES = {Outcome.CONFORMS: 1, Outcome.FAILS: 2, Outcome.UNMATCHED: 3}
_OUTCOMES = {code: outcome.value for outcome, code in CODES.items()}
REJECTED = "rejected"
SCHOOLS = "schools"
EXTENSIONS = "extensions"
DOCUMENTS = "documents"
FAULTS_SHOWN = 20
_CONCEPTS = {
    Resource.STATE: "StateResource",
    Resource.ACTIVITY_PROFILE: "ActivityProfileResource",
    Resource.AGENT_PROFILE: "AgentProfileResource",
}


class Checked(NamedTuple):
    """Verdicts of a batch, in step with it.

    Attributes:
        codes: 1 conforms, 2 fails, 3 no template matches; None when the source promises no profile.
        templates: Numbers of the templates that matched, negative where their rules failed.
        faults: The first broken rules of failing statements, pointers from the root of the body.
        tally: How many statements had each outcome.
        names: IRI of each template number.
        verdicts: The verdicts in full, when the source's profiles have patterns to follow.
        schools: Faults of schools and courses of study, statement by statement.
        extensions: Faults of extensions that profiles define, statement by statement.
        failing: How many statements fail a template, or have a fault of a school or course.
        broken: Faults of the statements that have any, by their place in the batch; pointers from their root.
    """

    codes: tuple[int | None, ...]
    templates: tuple[tuple[int, ...], ...]
    faults: tuple[Fault, ...]
    tally: Mapping[str, int]
    names: Mapping[int, str]
    verdicts: Sequence[Verdict] = ()
    schools: Sequence[tuple[Fault, ...]] = ()
    extensions: Sequence[tuple[Fault, ...]] = ()
    failing: int = 0
    broken: Mapping[int, Sequence[Fault]] = {}


class Held(NamedTuple):
    """Profiles that the statements of a source are held to, compiled.

    Attributes:
        numbers: Number of each template, by IRI.
        names: IRI of each template, by number.
        followers: Of the profiles that have primary patterns.
        extensions: Those that any loaded profile defines.
        resources: Likewise, of documents.
        digest: Digest of all that it is made of.
    """

    checker: Checker
    numbers: Mapping[str, int]
    names: Mapping[int, str]
    followers: tuple[Follower, ...]
    extensions: Extensions
    resources: Resources
    digest: bytes


class ConformanceService:
    """Loaded profiles and their verdicts. Safe to share between threads."""

    def __init__(
        self,
        repository: ProfileRepository,
        audit: AuditSink,
        announcer: Announcer,
        referred: Referred,
        school_checks: SchoolChecks,
    ) -> None:
        """Make the service.

        Args:
            repository: Profiles and counters.
            audit: Takes an entry for each profile that is added.
            announcer: Has every process empty its caches.
            referred: Asked for what statements refer to, once a batch, by profiles that want to know.
            school_checks: Checks the schools and courses of study that statements name.
        """
        self._repository = repository
        self._school_checks = school_checks
        self._referred = referred
        self._audit = audit
        self._announcer = announcer
        self._compiled: dict[tuple[str, tuple[str, ...]], Held] = {}
        self._examples: dict[tuple[str, ...], Sequence[tuple[Profile, Examples]]] = {}
        self._tally: Buffer[tuple[str, str, str, str], int] = Buffer(repository.add_counts, add)

    def add(self, document: bytes, *, actor: str = "cli:profile add") -> Profile:
        """Load a profile document, in force everywhere when this returns.

        Raises:
            ProfileInvalid: it is not a usable xAPI Profile.
        """
        profile = load(document)
        # Compiled before it is kept: a template that cannot be compiled is refused here, not at the first statement.
        compile([profile])
        self._audit.append("profile-added", actor, {"profile": profile.id, "templates": len(profile.templates)})
        self._repository.put(LoadedProfile(profile.id, document, clock.now()))
        self._announcer.announce()
        return profile

    def list(self) -> Sequence[Profile]:
        """Every loaded profile."""
        return [load(loaded.document, loaded=True) for loaded in self._repository.list()]

    def exists(self, id: str) -> bool:
        """True if a profile of that IRI is loaded."""
        return any(loaded.id == id for loaded in self._repository.list())

    def forget(self) -> None:
        """Drop what was compiled."""
        self._compiled, self._examples = {}, {}

    def examples(self, source: Source) -> Sequence[tuple[Profile, Examples]]:
        """The profiles that a source promises, each with examples; made once for all sources that promise the same."""
        cache, wanted = self._examples, source.profiles
        if wanted not in cache:
            loaded = self.list()
            cache[wanted] = [(each, examples(each, loaded)) for each in loaded if each.id in wanted]
        return cache[wanted]

    def check(
        self,
        source: Source,
        statements: Sequence[Mapping[str, object]],
        *,
        many: bool,
        among: Sequence[Mapping[str, object]] = (),
    ) -> Checked:
        """Verdicts of a batch under the profiles that its source promised.

        Args:
            source: Whose batch it is.
            statements: The batch.
            many: It was sent as an array.
            among: Statements that it may refer to besides.
        """
        if not source.profiles:
            return Checked((None,) * len(statements), ((),) * len(statements), (), {}, {})
        held = self.held(source)
        verdicts = self.verdicts(source, statements, among)
        schools = self._school_checks.faults(statements)
        tally = Counter(verdict.outcome.value for verdict in verdicts)
        extensions = [held.extensions.faults(statement) for statement in statements]
        for name, listed in ((SCHOOLS, schools), (EXTENSIONS, extensions)):
            if any(listed):
                tally[name] = sum(map(bool, listed))
        failing = sum(
            verdict.outcome is Outcome.FAILS or bool(faults) for verdict, faults in zip(verdicts, schools, strict=True)
        )
        return Checked(
            tuple(CODES[verdict.outcome] for verdict in verdicts),
            tuple(
                tuple(held.numbers[result.template] * (1 if result.ok else -1) for result in verdict.matched)
                for verdict in verdicts
            ),
            _faults(verdicts, schools, many),
            tally,
            held.names,
            verdicts if held.followers else (),
            schools,
            extensions,
            failing,
            {
                place: told
                for place, verdict in enumerate(verdicts)
                if (told := [*verdict.broken, *schools[place], *extensions[place]])
            }
            if failing or any(extensions)
            else {},
        )

    def digest(self, source: Source) -> bytes:
        """Digest, 64 bytes at most, of all that decides the verdict of a statement that is dated and refers to none."""
        return blake2b(self.held(source).digest + self._school_checks.digest()).digest() if source.profiles else b"\0"

    def tally(self, codes: Iterable[int | None]) -> Mapping[str, int]:
        """The number of statements with each outcome, from the codes that are stored with them."""
        return Counter(_OUTCOMES[code] for code in codes if code is not None)

    def verdicts(
        self,
        source: Source,
        statements: Sequence[Mapping[str, object]],
        among: Sequence[Mapping[str, object]] = (),
    ) -> Sequence[Verdict]:
        """The verdicts of statements under the profiles of a source, in full; they may refer to those ``among``."""
        checker = self.held(source).checker
        if not checker.refers:
            return checker.check_all(statements)
        sought = identifiers(statements)
        find = self._referred.find(source.id, sought).get if sought else None
        return checker.check_all(statements, within(among, find) if among else find)

    def count(self, source: Source, checked: Checked, stored: Sequence[bool]) -> None:
        """Add a batch to the counters: the statements stored now, not those that were there already."""
        if source.profiles:
            day = datetime.now(UTC).date().isoformat()
            new: Counter[tuple[str, str, str, str]] = Counter()
            alike = Counter(compress(zip(checked.codes, checked.templates, strict=True), stored))
            for (code, templates), count in alike.items():
                if code is None:
                    continue
                new[source.id, day, "", _OUTCOMES[code]] += count
                for number in templates:
                    outcome = Outcome.CONFORMS if number > 0 else Outcome.FAILS
                    new[source.id, day, checked.names[abs(number)], outcome.value] += count
            for name, listed in ((SCHOOLS, checked.schools), (EXTENSIONS, checked.extensions)):
                for faults, kept in zip(listed, stored, strict=True):
                    for rule in {fault.rule for fault in faults} if kept else ():
                        new[source.id, day, f"{name}:{rule}", Outcome.FAILS.value] += 1
            self._tally.add(new)

    def count_rejected(self, source: Source, statements: int) -> None:
        """Add a refused batch to the counters."""
        day = datetime.now(UTC).date().isoformat()
        self._tally.add(Counter({(source.id, day, "", REJECTED): statements}))

    def count_protected(self, source: Source, outcome: str, found: Mapping[str, int]) -> None:
        """Add what was found in statements about minors to the counters: ``minors:KIND``, how often."""
        day = datetime.now(UTC).date().isoformat()
        self._tally.add(Counter({(source.id, day, f"minors:{kind}", outcome): count for kind, count in found.items()}))

    def document(self, source: Source, place: Place, content: Content) -> tuple[Fault, ...]:
        """The faults of a document that a source sends, under the profile that defines it; none when it promised none.

        Raises:
            ProfileRejected: something is, and the mode of the source is ``reject``; counted.
            BodyTooLarge: a profile gives a schema for it, and it has more than ``MAX_VALUES`` values.
        """
        if not source.profiles or place.id is None:
            return ()
        resources = self.held(source).resources
        if resources.checks(place.id) and crowded(content.body, MAX_VALUES):
            raise BodyTooLarge(
                f"A profile gives a schema for this document, which holds more than {MAX_VALUES:,} JSON values: more "
                "than are checked. Nothing was stored."
            )
        faults = resources.faults(_CONCEPTS[place.resource], place.id, content.type, content.body)
        if faults and source.mode == "reject":
            self.count_document(source.id, faults, REJECTED)
            raise ProfileRejected(
                f"The document breaks the profile that defines it, and source {source.id} has promised profiles; "
                "nothing was stored.",
                faults=faults,
            )
        return faults

    def count_document(self, source: str, faults: Sequence[Fault], outcome: str = Outcome.FAILS.value) -> None:
        """Add what is wrong with a document to the counters: ``documents:RULE``."""
        day = datetime.now(UTC).date().isoformat()
        self._tally.add(Counter((source, day, f"{DOCUMENTS}:{fault.rule}", outcome) for fault in faults))

    def flush(self) -> None:
        """Write the counters gathered since the last time. What cannot be written now is kept for the next time."""
        self._tally.flush()

    def counts(self, source: Asked = None, since_day: str | None = None) -> Sequence[Count]:
        """Totals by source, template and outcome, of one source, of several or of all."""
        with suppress(SillageError):
            self.flush()
        return self._repository.counts(source, since_day)

    def days(self, source: str, since_day: str) -> Sequence[DayCount]:
        """Counts of a source, day by day."""
        with suppress(SillageError):
            self.flush()
        return self._repository.days(source, since_day)

    def held(self, source: Source) -> Held:
        """The profiles that the statements of a source are held to; compiled once for all sources that promise the
        same.
        """
        cache, wanted = self._compiled, (source.matching, source.profiles)
        if wanted not in cache:
            documents = [each.document for each in self._repository.list()]
            loaded = [load(each, loaded=True) for each in documents]
            chosen = [profile for profile in loaded if profile.id in source.profiles]
            checker = compile(chosen, Mode(source.matching), loaded)
            numbers = self._repository.number(checker.templates)
            followers = [follower for profile in chosen for follower in sessions.compile(profile, loaded)]
            cache[wanted] = Held(
                checker,
                numbers,
                {number: iri for iri, number in numbers.items()},
                tuple(follower for follower in followers if follower.patterns),
                Extensions(loaded),
                Resources(loaded),
                _digest(source, documents),
            )
        return cache[wanted]


def _digest(source: Source, documents: Sequence[bytes]) -> bytes:
    made = blake2b(repr((source.matching, source.profiles, [*map(len, documents)])).encode())
    for document in documents:
        made.update(document)
    return made.digest()


def _faults(verdicts: Sequence[Verdict], schools: Sequence[tuple[Fault, ...]], many: bool) -> tuple[Fault, ...]:
    faults: list[Fault] = []
    for position, (verdict, listed) in enumerate(zip(verdicts, schools, strict=True)):
        for fault in (*verdict.broken, *listed):
            faults.append(fault._replace(pointer=f"/{position}{fault.pointer}" if many else fault.pointer))
        if len(faults) >= FAULTS_SHOWN:
            break
    return tuple(faults[:FAULTS_SHOWN])
