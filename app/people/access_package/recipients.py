"""Recipients of one data subject's data, by readings and exports in the audit log (GDPR art. 15(1)(c)).

Of readings that are no more in the log for their age, what was condensed of them says it, as long as there are data
(``app/people/access_package/receptions.py``). Actual recipients, as far as they are known (CJEU C-154/21): a reading
that asked for the data subject, or for one of their statements or documents; and a page of statements in general that
had theirs in it, which the span of the page tells. A page filtered by something else (a verb, an activity) is told
apart: it may have had them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import islice
from typing import Final, NamedTuple
from uuid import UUID

from app.access.store import SourceRepository
from app.core.audit_sink import AuditSink
from app.crypto import kinds
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import DOCUMENTS_READ, EXPORT_WRITTEN, PERSON_READ, RECIPIENTS_READ, STATEMENTS_READ
from app.governance.audit.store import AuditRepository, Entry
from app.people.access_package.export_summary import moment
from app.people.access_package.receptions import Group, Receptions
from app.people.finding.finder import DataSubjectFinder
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.people.requests.service import DataSubjectRequests
from app.traces.documents.data_subject_documents import DocumentsByDataSubject
from app.traces.statements.store import Statements

ASKED: Final = "asked"
PASSED: Final = "passed"
POSSIBLE: Final = "possible"
WAYS: Final = (ASKED, PASSED, POSSIBLE)
"""Ways of the data subject's data into a reading: it was for them; they were among others; they may have been."""

MAX_EXPORTS: Final = 1_000
UNKNOWN: Final = "?"
"""A credential of which nothing is known any more: not one of this store's."""

_CREDENTIAL = "sk-"

# The clocks of two hosts may differ by this much without a reading being missed.
_CLOCK_MARGIN_US = 5 * 60 * 1_000_000


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of the actors of audit entries. ``known``: those of credentials, by id."""

    known: Mapping[str, str]

    def __call__(self, actor: str) -> str:
        """The label of one; one that is no credential is called as it is."""
        return self.known.get(actor, UNKNOWN if actor.startswith(_CREDENTIAL) else actor)


class Recipient(NamedTuple):
    """The readings of one recipient in one way, for one purpose.

    Attributes:
        name: What to call it: the name of the source, or the label of the credential; never its id.
        way: One of ``WAYS``.
        purpose: Code of what the reading was said to be for; None: nothing was said.
        activity: Processing activity that a source read for; None for people.
        number: How many readings.
        first: Day of the first (``2026-11-30``), or its month where only that is known (``2025-03``).
        last: Of the last.
    """

    name: str
    way: str
    purpose: str | None
    activity: str | None
    number: int
    first: str
    last: str


class Export(NamedTuple):
    """A data package of aggregates written since the data subject's first statement was stored.

    Attributes:
        at: When, microseconds since 1970 UTC.
        package: Its name.
        aggregates: What it holds.
        recipients: For whom it was written.
    """

    at: int
    package: str
    aggregates: tuple[str, ...]
    recipients: tuple[str, ...] = ()


class Received(NamedTuple):
    """Recipients that are known; ``since``: when the oldest reading on record was (microseconds), None when there is
    none.
    """

    readings: tuple[Recipient, ...]
    exports: tuple[Export, ...]
    since: int | None


def recipients_in(found: Received) -> list[str]:
    """The names of all who received, in order."""
    return sorted({one.name for one in found.readings} | {who for one in found.exports for who in one.recipients})


class Trail:
    """Positions of one data subject's statements and documents, to tell which readings had them: 17 bytes a
    statement.
    """

    def __init__(self, tokens: Iterable[bytes], sources: Mapping[bytes, str], documents: Iterable[bytes]) -> None:
        """Begin with nothing.

        Args:
            tokens: Every token by which the data subject's statements are asked for.
            sources: The source of each token that a reader limited to one asks with.
            documents: Tokens of the data subject's documents and of their contexts.
        """
        self._tokens = frozenset(token.hex() for token in tokens)
        self._documents = frozenset(token.hex() for token in documents)
        self._sources = {token.hex(): source for token, source in sources.items()}
        self._stored: dict[str, array[int]] = {}
        self._ids = array("Q")
        self._sorted = True

    def add(self, id: UUID, stored: int, source: str) -> None:
        """A statement that is the data subject's, or names them."""
        self._stored.setdefault(source, array("q")).append(stored)
        self._ids.append(id.int >> 64)
        self._sorted = False

    @property
    def first(self) -> int | None:
        """The instant at which the earliest statement was stored, microseconds."""
        self._sort()
        return min((stored[0] for stored in self._stored.values()), default=None)

    def way(self, entry: Entry) -> str | None:
        """The way of the data subject's data into a reading; None when they were not in it."""
        self._sort()
        detail = entry.detail
        if entry.kind == DOCUMENTS_READ:
            asked = {detail.get("document"), detail.get("context")} - {None}
            return ASKED if asked & self._documents else None
        tokens = _texts(detail.get("tokens"))
        if tokens & self._tokens:
            return ASKED
        if entry.kind != STATEMENTS_READ:
            return None
        if "statement" in detail:
            return ASKED if self._has(detail["statement"]) else None
        first, last = detail.get("first"), detail.get("last")
        if not isinstance(first, int) or not isinstance(last, int):
            return None
        first, last = min(first, last), max(first, last)
        among, way = self._among(tokens)
        return way if self._any_within(among, first, last) else None

    def ways(self, group: Group) -> Counter[str]:
        """The ways of the data subject's data into readings that were condensed, and their counts."""
        self._sort()
        tokens = frozenset(group.tokens)
        if group.kind == DOCUMENTS_READ:
            return Counter({ASKED: group.count} if tokens & self._documents else {})
        if tokens & self._tokens:
            return Counter({ASKED: group.count})
        if group.kind != STATEMENTS_READ:
            return Counter()
        found = Counter({ASKED: sum(self._holds(int(each, 16)) for each in group.ids)})
        among, way = self._among(tokens)
        found[way] += sum(
            self._any_within(among, *span) for span in zip(group.spans[::2], group.spans[1::2], strict=True)
        )
        return +found

    def _among(self, tokens: frozenset[str]) -> tuple[list[str], str]:
        """The sources that a query is limited to, all if none; and how it had what it had."""
        among = [self._sources[token] for token in tokens if token in self._sources]
        return [*(among or self._stored)], PASSED if len(tokens) == len(among) else POSSIBLE

    def _any_within(self, sources: Iterable[str], first: int, last: int) -> bool:
        return any(_within(self._stored[source], first, last) for source in sources if source in self._stored)

    def _has(self, statement: object) -> bool:
        try:
            return self._holds(UUID(str(statement)).int >> 64)
        except ValueError:
            return False

    def _holds(self, wanted: int) -> bool:
        at = bisect_left(self._ids, wanted)
        return at < len(self._ids) and self._ids[at] == wanted

    def _sort(self) -> None:
        if not self._sorted:
            self._ids = array("Q", sorted(self._ids))
            self._stored = {source: array("q", sorted(stored)) for source, stored in self._stored.items()}
            self._sorted = True


@dataclass(slots=True)
class _Counted:
    count: int
    first: str
    last: str


class Recipients:
    """Tells who received what, by what people call them. Safe to share between threads."""

    def __init__(
        self,
        *,
        log: AuditRepository,
        receptions: Receptions,
        sources: SourceRepository,
        keys: OrganisationKeys,
        timezone: tzinfo,
    ) -> None:
        """Nothing is read yet.

        Args:
            log: The entries of the audit log.
            receptions: What is kept of readings that are no more in it.
            sources: The registered sources, and every credential ever made.
            keys: Make the token of a source in queries, as the audit log has it.
            timezone: Where days begin.
        """
        self._log = log
        self._receptions = receptions
        self._sources = sources
        self._keys = keys
        self._timezone = timezone

    def trail(self, tokens: Iterable[bytes], documents: Iterable[bytes]) -> Trail:
        """A trail with nothing on it; see ``Trail``."""
        sources = {self._keys.named(kinds.SOURCE, source.id): source.id for source in self._sources.list()}
        return Trail(tokens, sources, documents)

    def labels(self) -> Labels:
        """The labels of the actors of audit entries."""
        return Labels(
            names(
                [(one.id, one.source, one.label or ", ".join(one.scopes)) for one in self._sources.credentials()],
                {source.id: source.name for source in self._sources.list()},
            )
        )

    def received(
        self, trail: Trail, progress: Callable[[int], None] = lambda _: None, *, at_most: int | None = None
    ) -> Received:
        """Go through the readings and exports since the data subject's first statement.

        Args:
            trail: Where their data lie, all of it.
            progress: Told the number of entries read, now and then.
            at_most: How many readings of the log are gone through, the newest; None: all.
        """
        label = self.labels()
        counted: dict[tuple[str, str, str | None, str | None], _Counted] = {}
        exports: list[Export] = []

        def count(who: str, way: str, why: tuple[str | None, str | None], number: int, when: str) -> None:
            known = counted.get((label(who), way, *why))
            if known is None:
                counted[(label(who), way, *why)] = _Counted(number, when, when)
            else:
                known.count += number
                known.first, known.last = min(known.first, when), max(known.last, when)

        for kept in self._receptions.every():
            for group in kept.groups:
                for way, times in trail.ways(group).items():
                    count(group.credential, way, (group.purpose, group.activity), times, group.month)
            exports += [_export(one.at, one.detail) for one in kept.exports if _after(trail.first, one.at)]
        for number, entry in enumerate(_readings(trail, self._log, at_most), 1):
            if number % 10_000 == 0:
                progress(number)
            met = trail.way(entry)
            if met is not None:
                why = (_code(entry.detail.get("purpose")), _code(entry.detail.get("activity")))
                count(entry.actor, met, why, 1, f"{moment(entry.at).astimezone(self._timezone):%Y-%m-%d}")
        exports += _exports(trail, self._log)
        readings = tuple(
            Recipient(name, way, purpose, activity, each.count, each.first, each.last)
            for (name, way, purpose, activity), each in sorted(
                counted.items(), key=lambda item: (WAYS.index(item[0][1]), *(text or "" for text in item[0]))
            )
        )
        known_since = [at for at in (self._log.oldest(), self._receptions.since()) if at is not None]
        return Received(readings, tuple(exports[:MAX_EXPORTS]), min(known_since, default=None))


class Disclosures:
    """Tells who received the data of a data subject, for whoever answers or has to tell them (GDPR art. 15(1)(c),
    19).
    """

    def __init__(
        self,
        recipients: Recipients,
        finder: DataSubjectFinder,
        documents: DocumentsByDataSubject,
        statements: Statements,
        audit: AuditSink,
        requests: DataSubjectRequests,
    ) -> None:
        """Nothing is read yet."""
        self._recipients = recipients
        self._finder = finder
        self._documents = documents
        self._statements = statements
        self._audit = audit
        self._requests = requests

    def of(self, data_subject: IdentifiedDataSubject, *, actor: str, request: str | None = None) -> Received:
        """The recipients of what is held about a data subject. On record; on the request too, by the names of the
        recipients.

        Args:
            data_subject: Whose data.
            actor: Who asks, for the audit log.
            request: The request that it is asked for.

        Raises:
            NotFound, DataSubjectRequestConflict: there is no such request, or it is not the time for it.
        """
        if request is not None:
            # Recipients are told (GDPR art. 19) before the answer or after it.
            self._requests.require(request, data_subject, after_answer=True)
        data_subject = self._finder.whole(data_subject)
        subjects = self._finder.subjects(data_subject)
        # Before the answer: whoever learns something of a data subject leaves a trace of it.
        about = {"subjects": self._finder.asked(data_subject)}
        self._audit.append(RECIPIENTS_READ, actor, about if request is None else {**about, "case": request})
        marks = self._documents.marks((*subjects, *self._finder.own_groups(data_subject)))
        trail = self._recipients.trail(self._finder.named(data_subject), marks)
        for batch in self._finder.statements(data_subject):
            for named in batch.statements:
                trail.add(named.row.id, named.row.stored, named.row.source)
        return self._noted(trail, actor, request)

    def of_statement(self, id: UUID, *, actor: str, request: str | None = None) -> Received:
        """The recipients of one statement; as ``of``."""
        about = {"statement": str(id)}
        self._audit.append(RECIPIENTS_READ, actor, about if request is None else {**about, "case": request})
        trail = self._recipients.trail((), ())
        for row in self._statements.some([id]):
            trail.add(row.id, row.stored, row.source)
        return self._noted(trail, actor, request)

    def _noted(self, trail: Trail, actor: str, request: str | None) -> Received:
        found = self._recipients.received(trail)
        if request is not None:
            self._requests.note_act(request, "recipients-listed", actor, {"recipients": recipients_in(found)})
        return found


def _readings(trail: Trail, log: AuditRepository, at_most: int | None) -> Iterator[Entry]:
    if at_most is not None:
        kinds = (PERSON_READ, DOCUMENTS_READ, *(() if trail.first is None else (STATEMENTS_READ,)))
        yield from log.newest(kinds, None, None, at_most).entries
        return
    # Whoever asks for someone of whom nothing is held reads nothing; of a document only the last writing is dated.
    yield from log.since((PERSON_READ, DOCUMENTS_READ), 0)
    if trail.first is not None:
        yield from log.since((STATEMENTS_READ,), max(trail.first - _CLOCK_MARGIN_US, 0))


def _exports(trail: Trail, log: AuditRepository) -> Iterator[Export]:
    if trail.first is None:
        return
    for entry in islice(log.since((EXPORT_WRITTEN,), trail.first), MAX_EXPORTS):
        yield _export(entry.at, entry.detail)


def _export(at: int, detail: Mapping[str, object]) -> Export:
    listed, recipients = (tuple(sorted(_texts(detail.get(name)))) for name in ("aggregates", "recipients"))
    return Export(at, str(detail.get("package", "")), listed, recipients)


def _after(first: int | None, at: int) -> bool:
    return first is not None and at >= first


def _code(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> frozenset[str]:
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, list) else frozenset()


def _within(stored: Sequence[int] | array[int], first: int, last: int) -> bool:
    at = bisect_left(stored, first)
    return at < len(stored) and stored[at] <= last


def names(credentials: Collection[tuple[str, str | None, str]], sources: Mapping[str, str]) -> dict[str, str]:
    """The label of the holder of each credential: the name of its source, else its label, else its id.

    Args:
        credentials: Id, source if it has one, and label of each.
        sources: Names of the sources, by id.
    """
    return {id: sources.get(source, source) if source is not None else label or id for id, source, label in credentials}
