"""Erasure (GDPR art. 17): the keys first, at once; then everything that is left of a data subject, in the background.

1. ``erase`` destroys the data subject's keys in one transaction with the tombstones and a note of what is still to be
   done. From its commit on nothing sealed for them opens with what the database holds, however much there is.
2. ``advance`` does the rest, in steps that may be cut off anywhere and done again (``app/people/erasure/store.py``):
   every process forgets the keys; from then on ``until_stored`` bounds what is erased: nothing that was sealed with a
   destroyed key is stored later, and when nothing can appear below it any more, what is there is deleted by the batch.
   Statements of others that name the data subject lose the name and get an anonymous account in its place, under the
   key that they have. Referring statements get the tokens that their targets have by then. Aggregates are counted
   again.
3. A signed receipt says what was done, and who received exports that may have counted the data subject (art. 19).

What is sent after ``until_stored`` begins anew, under a new key: who is to be kept out objects instead
(``docs/adr/0028-erasure.md``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

from app.access.links import SourceLinks
from app.core import clock, lossless
from app.core.audit_sink import AuditSink
from app.core.errors import DatabaseUnavailable, DataSubjectRequestConflict, NotFound
from app.core.months import months_after
from app.core.personal_data import DataSubject, Erasing, PersonalDataStore
from app.crypto import attachments as attachment_encryption
from app.crypto import kinds
from app.crypto.bodies import Bodies
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import (
    ERASURE_FINISHED,
    ERASURE_STARTED,
    ERASURES_REAPPLIED,
    EXPORT_WRITTEN,
)
from app.governance.audit.store import AuditRepository
from app.governance.register.service import Register
from app.keys.holders import Forgetting
from app.keys.key_service import KeyService
from app.keys.learners import SubjectKeys, WrappedKeys
from app.people.access_package.receptions import Export, Receptions
from app.people.access_package.recipients import Recipients
from app.people.counting import Counting
from app.people.erasure.store import (
    DELETING,
    DONE,
    FORGETTING,
    RECOUNTING,
    REDACTING,
    REFERRING,
    Erasure,
    ErasureRepository,
    ErasureTargets,
    Redaction,
)
from app.people.erasure.tombstones import Tombstone, Tombstones
from app.people.finding.finder import DataSubjectFinder
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.people.finding.store import DataSubjectRepository, Tokened
from app.people.requests.service import DataSubjectRequests
from app.people.requests.steps import DataSubjectRequest
from app.platform.cluster import claims
from app.platform.cluster.peers import Peers
from app.standards.xapi.identifiers import keys_of
from app.standards.xapi.redaction import redacted
from app.traces.documents.data_subject_documents import DocumentsByDataSubject
from app.traces.statements.store import NAME as STATEMENTS
from app.traces.statements.store import Position, Statements, beyond

RECEIPT = "sillage-erasure-receipt"
"""The format that a receipt says it has (``app/crypto/signing.py``)."""

BATCH = 2_000
"""Statements deleted, or sealed values looked at, at a time."""
REDACTED_AT_ONCE = 500


_LOOK_SECONDS = 0.2
_CONTENDED_AT_MOST = 50
_MAC_BYTES = 16
_KNOWN_AT_MOST = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000

ProgressCallback = Callable[[str, int, int], None]
"""Told the phase, how much of it is done, and how much there is (0: not known)."""


class TombstoneFile(Protocol):
    """Keeps tombstones in another place than the database, for the day that it is lost."""

    def note_tombstones(self, tombstones: Sequence[Tombstone]) -> None:
        """Add tombstones to the file, after an erasure."""


class Surroundings(NamedTuple):
    """Services of other packages that an erasure uses.

    Attributes:
        counting: Counts aggregates again without people.
        log: Entries of the audit log.
        register: Processing activities in force.
        links: Sources with their activities.
        recipients: Who received what.
        receptions: What is kept of that beyond the audit log: exports that it tells of.
        documents: By which tokens readings of data subjects' documents are on record.
        outside: Keeps tombstones in another place than the database.
    """

    counting: Counting
    log: AuditRepository
    register: Register
    links: SourceLinks
    recipients: Recipients
    receptions: Receptions
    documents: DocumentsByDataSubject
    outside: TombstoneFile


class Reapplied(NamedTuple):
    """Outcome for a restored database: statements looked through, and the erasures made anew."""

    statements: int
    erasures: tuple[UUID, ...]


class Erasures:
    """Erases people. One erasure is worked on by one process at a time; several may be at several of them."""

    def __init__(
        self,
        *,
        repository: ErasureRepository,
        erasure_targets: ErasureTargets,
        tombstones: Tombstones,
        finder: DataSubjectFinder,
        places: DataSubjectRepository,
        subjects: SubjectKeys,
        learners: WrappedKeys,
        bodies: Bodies,
        keys: OrganisationKeys,
        key_service: KeyService,
        audit: AuditSink,
        processes: Peers,
        forgetting: Forgetting,
        requests: DataSubjectRequests,
        surroundings: Surroundings,
        stores: Sequence[PersonalDataStore],
        home_page: str,
        statements: Statements,
    ) -> None:
        """``home_page``: of the accounts that stand for erased people; ``stores``: all that keep personal data."""
        self._repository = repository
        self._erasure_targets = erasure_targets
        self._tombstones = tombstones
        self._finder = finder
        self._places = places
        self._subjects = subjects
        self._learners = learners
        self._bodies = bodies
        self._keys = keys
        self._key_service = key_service
        self._audit = audit
        self._processes = processes
        self._key_caches = forgetting
        self._requests = requests
        self._around = surroundings
        self._stores = stores
        self._home = home_page
        self._statements = statements

    # --- the destroying step --------------------------------------------------------------------------

    def erase(self, data_subject: IdentifiedDataSubject, *, actor: str, request: str | None = None) -> Erasure:
        """Destroy a data subject's keys; what is left of them goes in the background (``advance``, or the job
        ``erasure``).

        One that is under way for the same data subject is given back as it is, unless something of theirs has come
        since.

        Args:
            data_subject: Who.
            actor: Who asks: credential id or ``cli:<command>``.
            request: Id of the request that it answers.

        Raises:
            DatabaseUnavailable: nothing was destroyed, or it is not known; asking again is safe.
            NotFound, DataSubjectRequestConflict: ``request`` is none of theirs that waits; nothing was destroyed.
        """
        data_subject = self._finder.whole(data_subject)
        answered = None if request is None else self._requests.require(request, data_subject)
        wanted = set(map(self._tombstone, data_subject.every))
        self._subjects.forget()
        for other in self._repository.open():
            if wanted <= set(other.tombstones) and not self._subjects.existing(other.subjects):
                if answered is not None and answered.id != other.request:
                    self._note_once(answered, other, actor)
                return other
        return self._begin(data_subject, actor=actor, request=request)

    def _note_once(self, request: DataSubjectRequest, erasure: Erasure, actor: str) -> None:
        """Note an erasure on another request than the one that it began with, on which its end is noted."""
        detail = {"erasure": str(erasure.id)}
        if all(step.detail != detail for step in request.steps):
            self._requests.note_act(request.id, "erased", actor, detail)
            if erasure.phase != FORGETTING:  # before, they are not known yet
                self._note_recipients(request.id, erasure)

    def _note_recipients(self, request: str, erasure: Erasure) -> None:
        """Note the recipients to be told (GDPR art. 19), as other acts note it: by name."""
        names = sorted({str(each["name"]) for each in erasure.recipients})
        self._requests.note_act(request, "recipients-listed", erasure.actor, {"recipients": names})

    def _begin(
        self,
        data_subject: IdentifiedDataSubject,
        *,
        actor: str,
        request: str | None = None,
        until: int | None = None,
        keys: bool = True,
    ) -> Erasure:
        """``until``: what was stored up to it goes, and nothing needs to be waited for: nobody writes now."""
        subjects = (*self._finder.subjects(data_subject), *self._finder.own_groups(data_subject))
        now, stored = clock.now(), clock.now_us() if until is None else until
        tokens = self._finder.tokens(data_subject)
        named = self._finder.named(data_subject)
        counts: Mapping[str, int] = {}
        months: Sequence[Mapping[str, object]] = ()
        recipients: Sequence[Mapping[str, object]] = ()
        if until is not None:
            counts, months = self._found(tokens, subjects, until)
            recipients = self._recipients(tokens, named, subjects, until)
        id = UUID(bytes=clock.random_bytes(16), version=4)
        tombstones = [
            Tombstone(self._tombstone(identifier), self._mark(self._keys.subject(identifier)), now, stored, id)
            for identifier in data_subject.every
        ]
        erasure = Erasure(
            id,
            FORGETTING if until is None else DELETING,
            now,
            actor,
            request,
            tuple(each.id for each in tombstones),
            subjects,
            tokens,
            clock.random_bytes(16).hex(),
            stored,
            counts,
            tuple(months),
            {},
            None,
            None,
            named,
            tuple(recipients),
            self._finder.reach(data_subject).sources,
        )
        detail: dict[str, object] = {"erasure": str(id), "tombstones": [each.id.hex() for each in tombstones]}
        # Before the key goes: no destruction is without its entry.
        self._audit.append(ERASURE_STARTED, actor, detail if request is None else {**detail, "case": request})
        gone = self._repository.begin(erasure, tombstones, subjects if keys else ())
        self._subjects.forget()
        # Told at once, waited for by whoever goes on.
        self._key_caches.begin()
        self._around.outside.note_tombstones(tombstones)
        return erasure._replace(counts={**counts, "keys": gone})

    # --- the rest -------------------------------------------------------------------------------------

    def get(self, id: UUID) -> Erasure:
        """An erasure.

        Raises:
            NotFound: there is none.
        """
        found = self._repository.get(id)
        if found is None:
            raise NotFound("There is no such erasure.")
        return found

    def newest(self, limit: int = 50) -> list[Erasure]:
        """The newest erasures, under way or done."""
        return self._repository.newest(limit)

    def of_request(self, request: DataSubjectRequest) -> list[Erasure]:
        """The erasures that a request began, or that are noted on it: those under way, and those done."""
        found = {one.id: one for one in self._repository.open() if one.request == request.id}
        for step in request.steps:
            said = step.detail.get("erasure")
            if isinstance(said, str) and UUID(said) not in found:
                known = self._repository.get(UUID(said))
                if known is not None:
                    found[known.id] = known
        return sorted(found.values(), key=lambda one: one.destroyed)

    def run(self, check: Callable[[], None] = lambda: None) -> dict[str, int]:
        """Go on with every erasure under way that nobody else is at: for the job.

        Args:
            check: Called before each batch; what it raises (a lost lease) ends the run.

        Returns:
            How many were finished, and how many are left.

        Raises:
            DatabaseUnavailable: one of them cannot go on now.
        """
        done = 0
        failed: DatabaseUnavailable | None = None
        for erasure in self._repository.open():
            check()
            try:
                done += self.advance(erasure.id, check=check, wait=False).phase == DONE
            except DatabaseUnavailable as away:
                # One that has to wait does not keep the others from being done.
                failed = away
        if failed is not None:
            raise failed
        return {"finished": done, "left": len(self._repository.open())}

    def advance(
        self,
        id: UUID,
        *,
        check: Callable[[], None] = lambda: None,
        progress: ProgressCallback = lambda *_: None,
        wait: bool = True,
    ) -> Erasure:
        """Go on with an erasure to its end. May be cut off anywhere and called again; twice is harmless.

        Args:
            id: Of the erasure.
            check: Called before each batch; what it raises ends this.
            progress: See ``ProgressCallback``.
            wait: When another process is at it: wait until it has ended, rather than give it back as it is.

        Raises:
            NotFound: there is no such erasure.
            DatabaseUnavailable: it cannot go on now; the job does, later.
        """
        by = clock.random_bytes(8)
        while not claims.take(self._repository.claims, id, by):
            erasure = self.get(id)
            if erasure.phase == DONE or not wait:
                return erasure
            check()
            progress(erasure.phase, 0, 0)
            threading.Event().wait(_LOOK_SECONDS)
        with claims.kept(self._repository.claims, id, by, check, "erasure") as keep:
            erasure = self.get(id)
            # A process that had the key before must not seal or open with it again.
            self._subjects.forget()
            steps = {
                FORGETTING: self._forgetting,
                DELETING: self._deleting,
                REDACTING: self._redacting,
                REFERRING: self._referring,
                RECOUNTING: self._recounting,
            }
            while erasure.phase in steps:
                progress(erasure.phase, 0, 0)
                erasure = steps[erasure.phase](erasure, by, keep, progress)
        return erasure

    def _forgetting(self, erasure: Erasure, by: bytes, keep: Callable[[], None], _: ProgressCallback) -> Erasure:
        """Wait until nobody has the keys; find the bound of what was sealed with them, and what there is."""
        keep()
        if not self._key_caches.forgotten(self._key_caches.begin()):
            raise DatabaseUnavailable(
                "The key is destroyed, but a process has not emptied its memory in time. The erasure goes on by itself."
            )
        until = self._settled(max(erasure.until_stored, clock.now_us()))
        keep()
        self._tombstones.raise_to(erasure.tombstones, until)
        self._around.outside.note_tombstones(self._tombstones.some(erasure.tombstones))
        found, months = self._found(erasure.tokens, erasure.subjects, until)
        counts = {**erasure.counts, **found}
        recipients = self._recipients(erasure.tokens, erasure.named, erasure.subjects, until, keep)
        return self._repository.advance(
            erasure, by, DELETING, until_stored=until, counts=counts, months=[*months], recipients=[*recipients]
        )

    def _recipients(
        self,
        tokens: Sequence[tuple[bytes, bytes]],
        named: Sequence[bytes],
        subjects: Sequence[bytes],
        until: int,
        keep: Callable[[], None] = lambda: None,
    ) -> Sequence[Mapping[str, object]]:
        """The recipients of what is to be erased (GDPR art. 19); known before it goes, as is what reaches it."""
        trail = self._around.recipients.trail(named, self._around.documents.marks(subjects))
        after: Position | None = None
        flat = [token for pair in tokens for token in pair]
        while page := self._places.page(flat, after=after, until=until, limit=BATCH):
            keep()
            for each in page:
                trail.add(each.row.id, each.row.stored, each.row.source)
            after = beyond([each.row for each in page], after)
        return [each._asdict() for each in self._around.recipients.received(trail, lambda _: keep()).readings]

    def _found(
        self, tokens: Sequence[tuple[bytes, bytes]], subjects: Sequence[bytes], until: int
    ) -> tuple[Mapping[str, int], Sequence[Mapping[str, object]]]:
        """The counts of what is to go and to be changed. Known before any is: a kill does not make it less."""
        months = self._erasure_targets.months([agent for agent, _ in tokens], subjects, until)
        own = sum(each["statements"] for each in months if isinstance(each["statements"], int))
        named = self._places.count([token for pair in tokens for token in pair], until=until)
        counts = {"statements": own, "mentions": max(named - own, 0)}
        for store in self._stores:
            counts |= store.foresee(DataSubject(tuple(subjects)))
        return counts, months

    def _settled(self, least: int) -> int:
        """A bound: no statement stored at or before it can still appear, and none after it was stamped before now."""
        observer = self._processes.observer()
        until = max(least, observer.highest())
        if not observer.wait_for_low_watermark(until):
            raise DatabaseUnavailable("A write under way takes long. The erasure goes on by itself.")
        return until

    def _deleting(self, erasure: Erasure, by: bytes, keep: Callable[[], None], progress: ProgressCallback) -> Erasure:
        """Delete what is sealed for the data subject, wherever it is kept."""
        if not erasure.tombstones:
            # Of a key alone (``_orphans``), whose tombstones are there: no statement names them, nothing else is left.
            self._erase(erasure, keep, again=True)
            self._repository.drop(erasure.id)
            return erasure._replace(phase=DONE)
        self._erase(erasure, keep, progress)
        return self._repository.advance(erasure, by, REDACTING)

    def _erase(
        self,
        erasure: Erasure,
        keep: Callable[[], None],
        progress: ProgressCallback = lambda *_: None,
        *,
        again: bool = False,
        alone: str | None = None,
    ) -> None:
        """Have each collection delete what is the data subject's; ``again``: what came of keys that were in hand.

        ``alone``: the one collection to delete from.
        """
        agents = tuple(agent for agent, _ in erasure.tokens)
        who = DataSubject(erasure.subjects, agents, erasure.flat, erasure.named)
        asked = Erasing(who, erasure.until_stored, BATCH, again)
        total, done = erasure.counts.get("statements", 0), 0
        for store in self._stores:
            keep()
            if alone not in (None, store.name):
                continue
            for gone in store.erase(asked):
                self._repository.add(erasure.id, gone.counts)
                done += gone.number
                progress(DELETING, done, max(total, done))
                keep()

    def _redacting(self, erasure: Erasure, by: bytes, keep: Callable[[], None], progress: ProgressCallback) -> Erasure:
        """Put an anonymous account in the data subject's place, in statements of others."""
        theirs = frozenset(erasure.tombstones)
        own = set(erasure.subjects)
        account = {"homePage": self._home, "name": erasure.placeholder}
        placeholder = f"account:{self._home.replace('|', '%7C')}|{erasure.placeholder}"
        new = {agent: self._keys.token(kinds.AGENT, placeholder) for agent, _ in erasure.tokens}
        new |= {related: self._keys.token(kinds.RELATED_AGENT, placeholder) for _, related in erasure.tokens}

        def is_theirs(identifier: str) -> bool:
            return self._tombstone(identifier) in theirs

        total, done, contended = erasure.counts.get("mentions", 0), 0, 0
        while True:
            keep()
            # Those that are done are not found by these tokens any more.
            page = self._places.page(erasure.flat, after=None, until=erasure.until_stored, limit=REDACTED_AT_ONCE)
            if not page:
                break
            if any(each.row.subject in own for each in page):
                # Nothing of theirs is there by now; were there any, they are not to stay under another name.
                self._erase(erasure, keep, progress, alone=STATEMENTS)
                continue
            redactions, signatures = self._redactions(page, new, is_theirs, account)
            for id, digests in signatures:
                self._erasure_targets.release_data(id, [self._attachment_mark(digest) for digest in digests])
            changed = self._erasure_targets.redact(redactions)
            unopened = sum(each.body is None for each in redactions)
            self._repository.add(erasure.id, {"unopened": unopened, "signatures": len(signatures)})
            contended = 0 if changed else contended + 1
            if contended > _CONTENDED_AT_MOST:
                raise DatabaseUnavailable("Others change the same statements all the time. The erasure goes on later.")
            done += changed
            progress(REDACTING, done, max(total, done))
        return self._repository.advance(erasure, by, REFERRING)

    def _redactions(
        self,
        page: Sequence[Tokened],
        new: Mapping[bytes, bytes],
        is_theirs: Callable[[str], bool],
        account: Mapping[str, str],
    ) -> tuple[list[Redaction], list[tuple[UUID, tuple[str, ...]]]]:
        owners = self._subjects.existing(each.row.subject for each in page)
        living = [each for each in page if each.row.subject in owners]
        opened = self._bodies.decrypt(
            [(each.row.id, each.row.body) for each in living], [owners[each.row.subject] for each in living]
        )
        bodies = {each.row.id: plain for each, plain in zip(living, opened, strict=True) if plain is not None}
        signatures = []
        changed: list[tuple[UUID, bytes]] = []
        for id, plain in bodies.items():
            outcome = redacted(lossless.loads(plain), is_theirs, account)
            changed.append((id, lossless.dumps(outcome.statement)))
            if outcome.signatures:
                signatures.append((id, outcome.signatures))
        subject_of = {each.row.id: each.row.subject for each in living}
        sealed = dict(
            zip(
                (id for id, _ in changed),
                self._bodies.encrypt(changed, [owners[subject_of[id]] for id, _ in changed]),
                strict=True,
            )
        )
        return [
            Redaction(
                each.row.id,
                each.row.body,
                each.tokens,
                # One that does not open cannot be rewritten: it is damaged, or its own learner is erased as well.
                sealed.get(each.row.id),
                tuple(dict.fromkeys(new.get(token, token) for token in each.tokens)),
            )
            for each in page
        ], signatures

    def _referring(self, erasure: Erasure, by: bytes, keep: Callable[[], None], progress: ProgressCallback) -> Erasure:
        """Refresh the tokens that referring statements carry, once nobody can copy what they were before."""
        keep()
        # Who links a chain reads and writes in the transaction that stores, under a stamp of before this bound.
        self._settled(clock.now_us())
        after: Position | None = None
        seen = changed = 0
        while True:
            keep()
            done = self._erasure_targets.refresh_referring(erasure.flat, after, BATCH)
            if not done.seen:
                break
            after, seen, changed = done.place, seen + done.seen, changed + done.changed
            self._repository.add(erasure.id, {"referring": done.changed})
            progress(REFERRING, seen, 0)
        # For what a process wrote that had the key in hand when it was told.
        self._erase(erasure, keep, again=True)
        return self._repository.advance(erasure, by, RECOUNTING)

    def _recounting(self, erasure: Erasure, by: bytes, keep: Callable[[], None], _: ProgressCallback) -> Erasure:
        """Count aggregates again without the data subject, and say what was done."""
        self._around.counting.without((), keep)
        erasure = self.get(erasure.id)
        finished = clock.now()
        content = self._receipt(erasure, finished)
        receipt = self._key_service.signer.signed(RECEIPT, content)
        detail = {"erasure": str(erasure.id), "counts": dict(erasure.counts)}
        self._audit.append(ERASURE_FINISHED, erasure.actor, detail)
        ended = self._repository.finish(erasure, by, finished, receipt)
        if erasure.request is not None:
            # It is done, whatever became of the request meanwhile.
            with suppress(NotFound, DataSubjectRequestConflict):
                self._requests.note_act(erasure.request, "erased", erasure.actor, detail)
                self._note_recipients(erasure.request, erasure)
        return ended

    # --- the receipt ----------------------------------------------------------------------------------

    def _receipt(self, erasure: Erasure, finished: datetime) -> dict[str, object]:
        sources = {str(each["source"]) for each in erasure.months}
        activities = {activity.id: activity for activity in self._around.register.list()}
        concerned = sorted({link.activity for link in self._around.links.list() if link.source in sources})
        return {
            "organisation": self._keys.organisation,
            "erasure": str(erasure.id),
            "case": erasure.request,
            # Keyed: the organisation, and nobody else, can tell whose they are.
            "persons": sorted(each.hex() for each in erasure.tombstones),
            # Sources in whose statements the data subject stood under a pseudonym that the store had made of what was
            # given.
            "pseudonyms": [*erasure.pseudonyms],
            "keys_destroyed": _moment(erasure.destroyed),
            "erased_until": _moment(_EPOCH + timedelta(microseconds=erasure.until_stored)),
            "finished": _moment(finished),
            "counts": dict(sorted(erasure.counts.items())),
            "statements_by_month": [dict(each) for each in erasure.months],
            "aggregates": dict(erasure.aggregates),
            "exports": self._exports(erasure),
            # Who did receive (art. 15(1)(c), 19), as far as it is on record; then who was declared to.
            "received": [dict(each) for each in erasure.recipients],
            "recipients": [
                {
                    "activity": id,
                    "controller": activities[id].controller,
                    "purposes": activities[id].document.get("purposes", []),
                    "recipients": activities[id].document.get("recipients", []),
                }
                for id in concerned
                if id in activities
            ],
        }

    def _exports(self, erasure: Erasure) -> list[dict[str, object]]:
        """Packages that may have counted the data subject (GDPR art. 19: their recipients are to be told).

        A statement counts on the day that it is of, which may be long before it was stored: months that are settled,
        of which nobody can tell whom they counted, are among those that may have.
        """
        theirs = [str(each["month"]) for each in (*erasure.months, *erasure.aggregates.get("recounted", ()))]
        if not theirs:
            return []
        published = [str(each["month"]) for each in erasure.aggregates.get("published", ())]
        since = _first(min(theirs))
        # A day more on either side: months of ``stored`` are those of UTC, days of packages those of the organisation.
        low = (_first(min([*theirs, *published])) - timedelta(days=1)).isoformat()
        high = months_after(_first(max(theirs)), 1).isoformat()
        found: list[dict[str, object]] = []
        label = self._around.recipients.labels()
        kept = [
            Export(entry.at, entry.actor, dict(entry.detail)) for entry in self._around.log.of_kinds((EXPORT_WRITTEN,))
        ]
        for export in (*(one for each in self._around.receptions.every() for one in each.exports), *kept):
            first, last = export.detail.get("first"), export.detail.get("last")
            written = _EPOCH + timedelta(microseconds=export.at)
            # Before anything of theirs was stored, or of other days.
            if written.date() < since or (isinstance(first, str) and first > high):
                continue
            if isinstance(last, str) and last < low:
                continue
            found.append(
                {
                    "package": str(export.detail.get("package", "")),
                    "written": _moment(written),
                    "by": label(export.actor),
                    "aggregates": export.detail.get("aggregates", []),
                    "recipients": export.detail.get("recipients", []),
                }
            )
        return sorted(found, key=lambda each: str(each["written"]))

    # --- after a restore ------------------------------------------------------------------------------

    def reapply(
        self,
        kept: Sequence[Tombstone] = (),
        *,
        actor: str = "cli:restore",
        progress: Callable[[int], None] = lambda _: None,
        check: Callable[[], None] = lambda: None,
    ) -> Reapplied:
        """Erase again, in a database that was restored from a backup, everybody who was erased since that was made.

        A tombstone has no identity: every statement is opened, and everybody whom it names is compared with the
        tombstones. Costs about what opening every statement costs. To be called before the store serves again; done
        again after a kill, it goes on.

        Args:
            kept: Tombstones from elsewhere than this database, for example from before the restore.
            actor: For the audit log.
            progress: Told how many statements were looked through.
            check: Called before each batch; what it raises ends this.
        """
        self._tombstones.keep(kept)
        self._subjects.forget()
        lost = 0
        # What was under way when the backup was made is under way again; so is what a killed restore left.
        for erasure in self._repository.open():
            self.advance(erasure.id, check=check)
            lost += not erasure.tombstones
        graves = {each.id: each for each in self._tombstones.every()}
        found: dict[UUID, set[str]] = {}
        looked = self._look(graves, found, progress, check)
        erasures = []
        for identifiers in found.values():
            # Those that the tombstones name, and no others: of a pseudonym there is a tombstone, too.
            data_subject = IdentifiedDataSubject(tuple(sorted(identifiers)), ())
            until = max(graves[self._tombstone(each)].until_stored for each in identifiers)
            erasures.append(self._again(data_subject, until, actor, check))
        lost += self._orphans(graves, check)
        if erasures or lost:
            self._audit.append(ERASURES_REAPPLIED, actor, {"erasures": [str(each) for each in erasures], "keys": lost})
        return Reapplied(looked, tuple(erasures))

    def _look(
        self,
        graves: Mapping[bytes, Tombstone],
        found: dict[UUID, set[str]],
        progress: Callable[[int], None],
        check: Callable[[], None],
    ) -> int:
        """Go through the statements; the identifiers that have a tombstone, by the erasure that it is of."""
        if not graves:
            return 0
        last = max(each.until_stored for each in graves.values())
        known: dict[str, Tombstone | None] = {}
        after: int | None = None
        looked = 0
        while True:
            check()
            rows = self._statements.span(after, last + 1, BATCH)
            if not rows:
                return looked
            after = rows[-1].stored
            owners = self._subjects.existing({row.subject for row in rows})
            living = [row for row in rows if row.subject in owners]
            bodies = self._bodies.decrypt(
                [(row.id, row.body) for row in living], [owners[row.subject] for row in living]
            )
            for row, body in zip(living, bodies, strict=True):
                if body is None:
                    continue
                keys = keys_of(lossless.loads(body))
                for identifier in {keys.subject, *keys.agents, *keys.related_agents}:
                    if identifier not in known:
                        if len(known) > _KNOWN_AT_MOST:
                            known.clear()
                        known[identifier] = graves.get(self._tombstone(identifier))
                    grave = known[identifier]
                    if grave is not None and row.stored <= grave.until_stored:
                        found.setdefault(grave.erasure, set()).add(identifier)
            looked += len(rows)
            progress(looked)

    def _again(self, data_subject: IdentifiedDataSubject, until: int, actor: str, check: Callable[[], None]) -> UUID:
        tokens, subjects = self._finder.flat(data_subject), self._finder.subjects(data_subject)
        # A key made since the erasure seals what came after it, and stays.
        anew = self._places.count(tokens, subjects) > self._places.count(tokens, subjects, until)
        erasure = self._begin(data_subject, actor=actor, until=until, keys=not anew)
        return self.advance(erasure.id, check=check).id

    def _orphans(self, graves: Mapping[bytes, Tombstone], check: Callable[[], None]) -> int:
        """Destroy the keys of erased people whom no statement names, and what is sealed with them."""
        marks = {each.mark: each for each in graves.values()}
        after, gone = None, 0
        while rows := self._learners.every(after, BATCH):
            check()
            after = rows[-1].subject
            for row in rows:
                grave = marks.get(self._mark(row.subject))
                if grave is None:
                    continue
                # On record with the key's end: were it cut off, nobody would find them any more.
                bare = _bare(row.subject, grave.until_stored)
                if self._repository.begin_bare(bare, made_before=grave.erased):
                    gone += 1
                    self.advance(bare.id, check=check)
        return gone

    # --- tokens ---------------------------------------------------------------------------------------

    def _tombstone(self, identifier: str) -> bytes:
        return self._keys.mac("tombstone", identifier.encode())[:_MAC_BYTES]

    def _mark(self, subject: bytes) -> bytes:
        return self._keys.mac("tombstone-mark", subject)[:_MAC_BYTES]

    def _attachment_mark(self, digest: str) -> bytes:
        return attachment_encryption.mark(self._keys, digest)


def _bare(subject: bytes, until: int) -> Erasure:
    """An erasure of what one key encrypted, without tombstones of its own."""
    id, now = UUID(bytes=clock.random_bytes(16), version=4), clock.now()
    return Erasure(id, DELETING, now, "cli:restore", None, (), (subject,), (), "", until, {}, (), {}, None, None)


def _first(month: str) -> date:
    return date.fromisoformat(f"{month}-01")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
