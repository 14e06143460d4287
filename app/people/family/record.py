"""The record of a family: what is kept of a learner, who read it, and what the family asks for, in a form for pages.

Whoever has a link sees what is kept of its learner, and the requests that their own account made; nothing else. Each
look is on record as the data subject's own, before it is answered. Numbers are of everything; words only of what came
last, since it is opened for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from app.access.links import SourceLinks
from app.access.store import SourceRepository
from app.core import lossless
from app.core.audit_sink import AuditSink
from app.core.clock import RandomBytes
from app.core.errors import BadRequest, DataSubjectRequestConflict, Fault, NotFound
from app.core.personal_data import PersonalDataStore
from app.governance.audit.log import OWN_DATA_READ
from app.governance.register.service import ProcessingActivity, Register
from app.people.access_package.export_summary import Line, Summary, moment, month_of
from app.people.access_package.recipients import Received, Recipients
from app.people.access_package.subject_access_export import SubjectAccessExports
from app.people.family.links import GUARDIAN, LEARNER, FamilyLinks
from app.people.family.verbs import in_plain_words
from app.people.finding.finder import DataSubjectFinder
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.people.requests.service import DataSubjectRequests
from app.people.requests.steps import DONE, DataSubjectRequest
from app.people.restriction import Restriction, Standing
from app.standards.xapi.masking import Mask
from app.traces.documents.data_subject_documents import DocumentsByDataSubject
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Statements

MAX_COUNTED: Final = 50_000
"""Statements of a learner that are counted one by one, the newest."""
MAX_OPENED: Final = 100
"""Of these, how many are opened for their words."""
SHOWN: Final = 10
"""Of these, how many are told one by one."""
MAX_READINGS: Final = 10_000
"""Entries of the audit log that are gone through, the newest."""
MAX_TEXT: Final = 4_000
"""Characters of what somebody asks for."""
ASKED_FOR: Final = ("rectification", "objection", "access", "erasure")
"""Kinds of requests that a family makes on pages, as ``app.people.requests.steps.KINDS`` calls them."""
_DOCUMENTS = "documents"
_TEXT: Final = Fault(
    "/text", "request", "Sillage, requests", f"has at most {MAX_TEXT} characters, and says what is not right"
)


class Child(NamedTuple):
    """A learner, as an account that is linked to them sees them.

    Attributes:
        id: Public id of the link.
        role: ``learner`` where the account is their own, else ``guardian``.
        called: What the account's owner calls them; may be empty.
        data_subject: The learner.
        until: Last day of the link.
        by: Who asked for the link: ``source:`` or ``provider:`` with its id.
    """

    id: str
    role: str
    called: str
    data_subject: IdentifiedDataSubject
    until: date
    by: str


def child_of(children: Sequence[Child], link: str) -> Child:
    """The one that an account sees by a link.

    Raises:
        NotFound: the account has no such link in force.
    """
    found = next((each for each in children if each.id == link), None)
    if found is None:
        raise NotFound("Your account is not linked to this learner, or not any more.")
    return found


class Tool(NamedTuple):
    """Statements of one source about a learner, counted.

    Attributes:
        name: What people call it.
        own: Number of statements of what the learner did.
        mentions: Of statements of others that name them.
        voided: Of those that were taken back, and are kept as such.
        months: Numbers by the month in which they came, the newest first.
        last: The day on which the last one came.
        until: The day by which all that is there goes; None where no day can be told.
        entry: The processing activity; None where it is not in force any more.
    """

    name: str
    own: int
    mentions: int
    voided: int
    months: Sequence[tuple[date, int]]
    last: date
    until: date | None
    entry: ProcessingActivity | None


class Kept(NamedTuple):
    """Everything that is kept of a learner, counted.

    Attributes:
        tools: By source, the one with most first.
        documents: Number of documents that tools keep for themselves.
        latest: The last things that the learner did, the newest first, each with the name of its tool.
        verbs: What the last ``opened`` statements say was done, with numbers, the commonest first.
        opened: How many statements were opened for their words.
        whole: False where there are more statements than are counted.
        standing: Whether it is restricted, or objected to.
    """

    tools: Sequence[Tool]
    documents: int
    latest: Sequence[tuple[Line, str]]
    verbs: Sequence[tuple[str, Mapping[str, str], int]]
    opened: int
    whole: bool
    standing: Standing

    @property
    def own(self) -> int:
        """Statements of what the learner did."""
        return sum(tool.own for tool in self.tools)

    @property
    def mentions(self) -> int:
        """Statements of others that name them."""
        return sum(tool.mentions for tool in self.tools)

    @property
    def entries(self) -> Sequence[ProcessingActivity]:
        """The processing activities that what is kept belongs to, each once."""
        return [*{tool.entry.id: tool.entry for tool in self.tools if tool.entry is not None}.values()]


class FamilyRecord:
    """Shows families what is kept, and takes what they ask for. Safe to share between threads."""

    def __init__(
        self,
        *,
        links: FamilyLinks,
        finder: DataSubjectFinder,
        statements: Statements,
        reader: StatementReader,
        documents: Sequence[PersonalDataStore],
        held_documents: DocumentsByDataSubject,
        sources: SourceRepository,
        source_links: SourceLinks,
        register: Register,
        restriction: Restriction,
        recipients: Recipients,
        requests: DataSubjectRequests,
        packages: SubjectAccessExports,
        audit: AuditSink,
        random: RandomBytes,
        zone: ZoneInfo,
    ) -> None:
        """``documents``: the stores that keep personal data, of which that of documents is asked; ``zone``: of days and
        months.
        """
        self._links = links
        self._finder = finder
        self._statements = statements
        self._reader = reader
        self._documents = [store for store in documents if store.name == _DOCUMENTS]
        self._held_documents = held_documents
        self._sources = sources
        self._source_links = source_links
        self._register = register
        self._restriction = restriction
        self._recipients = recipients
        self._requests = requests
        self._packages = packages
        self._audit = audit
        self._random = random
        self._zone = zone

    # --- whose --------------------------------------------------------------------------------------

    def children(self, user: str, roles: Sequence[str]) -> Sequence[Child]:
        """The learners that an account is linked to: itself first, by all its identifiers; then those it is a guardian
        of, a link that another has the identifiers of left out.
        """
        found: list[Child] = []
        links = self._links.of(user)
        own = [link for link in links if link.role == LEARNER]
        if LEARNER in roles and own:
            identifiers = sorted({each for link in own for each in link.data_subject.identifiers})
            until, who = max(link.until for link in own), IdentifiedDataSubject(tuple(identifiers))
            found.append(Child(own[0].id, LEARNER, own[0].called, who, until, own[0].by))
        if GUARDIAN in roles:
            seen: set[str] = set()
            # The newest of the same child: it ends last.
            for link in reversed([link for link in links if link.role == GUARDIAN]):
                if seen.isdisjoint(link.data_subject.identifiers):
                    found.insert(
                        1 if found and found[0].role == LEARNER else 0,
                        Child(link.id, GUARDIAN, link.called, link.data_subject, link.until, link.by),
                    )
                seen.update(link.data_subject.identifiers)
        return found

    # --- what is kept -------------------------------------------------------------------------------

    def kept(self, child: Child, *, actor: str) -> Kept:
        """Everything that is kept of a learner. On record."""
        who = self._finder.whole(child.data_subject)
        self._record(child, "kept", actor)
        placed = self._finder.placed(who, MAX_COUNTED + 1)
        mine = {*self._finder.subjects(who), *self._finder.own_groups(who)}
        standing = self._restriction.standing(child.data_subject, actor=actor)
        names = {source.id: source.name for source in self._sources.list()}
        entries = {entry.id: entry for entry in self._register.list()}
        of_source = {link.source: entries.get(link.activity) for link in self._source_links.list()}
        own: Counter[str] = Counter()
        others: Counter[str] = Counter()
        voided: Counter[str] = Counter()
        months: dict[str, Counter[str]] = {}
        last: dict[str, int] = {}
        by_hour: dict[int, str] = {}
        for each in placed[:MAX_COUNTED]:
            (own if each.subject in mine else others)[each.source] += 1
            voided[each.source] += each.voided
            last.setdefault(each.source, each.stored)
            hour = each.stored // 3_600_000_000
            month = by_hour.get(hour)
            if month is None:
                month = by_hour[hour] = month_of(each.stored, self._zone)
            months.setdefault(each.source, Counter())[month] += 1
        tools = []
        for source in sorted(last, key=lambda each: -(own[each] + others[each])):
            entry, day = of_source.get(source), moment(last[source]).astimezone(self._zone).date()
            # GDPR art. 18: what is restricted is not deleted, and no day can be told.
            until = (
                None
                if entry is None or standing.restricted is not None
                else day + timedelta(days=entry.retention.active_days)
            )
            by_month = [(date.fromisoformat(f"{name}-01"), count) for name, count in sorted(months[source].items())]
            tools.append(
                Tool(
                    names.get(source, source),
                    own[source],
                    others[source],
                    voided[source],
                    by_month[::-1],
                    day,
                    until,
                    entry,
                )
            )
        summary, opened = self._summary(
            who, [each.id for each in placed if each.subject in mine and not each.voided][:MAX_OPENED]
        )
        documents = sum(
            count for store in self._documents for count in store.locate(self._finder.for_stores(who)).values()
        )
        return Kept(
            tools,
            documents,
            [(line, names.get(line.source, line.source)) for line in summary.latest[:SHOWN]],
            [(each.iri, each.words._asdict(), each.number) for each in summary.verbs.most(8)],
            opened,
            len(placed) <= MAX_COUNTED,
            standing,
        )

    def _summary(self, who: IdentifiedDataSubject, ids: Sequence[UUID]) -> tuple[Summary, int]:
        """The last statements in words, everybody else masked (GDPR art. 15(4)), and how many they are."""
        summary, mask, opened = Summary(self._zone), Mask(who.every, self._random(32)), 0
        rows = self._statements.some(ids)
        for plain in self._reader.each(rows):
            masked = mask.masked(lossless.loads(plain.body))
            statement = {**masked.statement, "verb": in_plain_words(masked.statement["verb"])}
            summary.statement(
                statement, stored=plain.stored, source=plain.source, own=True, voided=False, roles=masked.roles
            )
            opened += 1
        return summary, opened

    def readers(self, child: Child, *, actor: str) -> Received:
        """Recipients of what is kept, and the research that it served, as far as the newest entries of the log tell.
        On record.
        """
        who = self._finder.whole(child.data_subject)
        self._record(child, "readers", actor)
        subjects = self._finder.subjects(who)
        marks = self._held_documents.marks((*subjects, *self._finder.own_groups(who)))
        trail = self._recipients.trail(self._finder.named(who), marks)
        for each in self._finder.placed(who, MAX_COUNTED):
            trail.add(each.id, each.stored, each.source)
        return self._recipients.received(trail, at_most=MAX_READINGS)

    # --- what is asked for --------------------------------------------------------------------------

    def requests(self, child: Child, *, actor: str) -> Sequence[DataSubjectRequest]:
        """The requests about a learner that an account made, the newest first."""
        found = self._requests.of(child.data_subject)
        return sorted(
            (each for each in found if each.steps[0].by == actor), key=lambda each: each.steps[0].at, reverse=True
        )

    def ask(self, child: Child, kind: str, text: str, *, actor: str) -> DataSubjectRequest:
        """Note what a family asks for; a data protection officer answers.

        Raises:
            BadRequest: it is of no kind that is asked for here, or says too much, or not what is wrong (``/text``).
            DataSubjectRequestConflict: the same was asked for, and waits for its answer.
        """
        if kind not in ASKED_FOR:
            raise BadRequest(f"What is asked for is one of: {', '.join(ASKED_FOR)}.")
        if len(text) > MAX_TEXT:
            raise BadRequest(f"Say it in {MAX_TEXT} characters at most.", faults=[_TEXT])
        if kind == "rectification" and not text:
            raise BadRequest("Say what is not right.", faults=[_TEXT])
        if any(each.kind == kind and each.pending for each in self.requests(child, actor=actor)):
            raise DataSubjectRequestConflict("You asked for this already: it waits for its answer.")
        who = "the learner" if child.role == LEARNER else "a guardian"
        note = f"On the pages, by the account {actor}, linked as {who} by {child.by}."
        return self._requests.open(kind, child.data_subject, note=f"{note}\n{text}" if text else note, actor=actor)

    def withdraw_objection(self, child: Child, request: str, *, actor: str) -> None:
        """Take back an objection that this account asked for, and that was noted.

        Raises:
            NotFound: it made no such request.
            DataSubjectRequestConflict: it is not at the point where that can be done.
        """
        found = self._own(child, request, actor)
        if found.kind != "objection" or found.status != DONE:
            raise DataSubjectRequestConflict("Only an objection that was noted can be withdrawn.")
        self._restriction.withdraw_objection(child.data_subject, actor=actor, request=request)

    def copy(self, child: Child, request: str, *, actor: str) -> Iterator[bytes]:
        """The subject access export that answers a request, as the pieces of a zip; once, when it was answered.

        Raises, with the first piece:
            NotFound: the account made no such request.
            DataSubjectRequestConflict: it is not answered, or the copy was fetched.
        """
        found = self._own(child, request, actor)
        self._requests.require_collectable(found)
        pieces = self._packages.write(child.data_subject, actor=actor, request=request, after_answer=True)
        # What goes wrong before the first piece takes nobody's one time.
        first = next(pieces)
        self._requests.collect(request, actor=actor)
        yield first
        yield from pieces

    def _own(self, child: Child, request: str, actor: str) -> DataSubjectRequest:
        found = next((each for each in self.requests(child, actor=actor) if each.id == request), None)
        if found is None:
            raise NotFound("You made no such request.")
        return found

    def _record(self, child: Child, page: str, actor: str) -> None:
        about = {"subjects": self._finder.asked(child.data_subject), "role": child.role, "page": page}
        self._audit.append(OWN_DATA_READ, actor, about)
