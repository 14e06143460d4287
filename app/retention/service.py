"""Retention: how long each processing activity's statements and documents are kept, what is due, and deleting it.

GDPR art. 5(1)(e): no longer than the purposes need. The duration and its justification are the controller's, in the
register (``schemas/sillage/processing-activity.schema.json``); the age of a statement is counted from ``stored``, that
of a document (state, agent profile, activity profile; of any other collection that ends with a duration) from when it
was last written, under the activity of the source that wrote it then: a state that is in use is kept. With the basis
``account-closed`` they may go earlier: so many months after their source said that the learner's account ended. What
came in later than that stays for the whole duration, as somebody uses the account.

Keys of learners stay: other statements, of other sources, are sealed with them. So do the statements and documents of
data subjects who are restricted (GDPR art. 18): they may need what would be deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from app.access.restrictions.store import Restricted
from app.core.errors import SillageError
from app.core.months import closed_before, day_of, instant_of, months_after
from app.core.personal_data import Ended, PersonalDataStore
from app.crypto import kinds
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import RETENTION_APPLIED, RETENTION_RUN, RETENTION_STARTED, Audit
from app.governance.register.service import ProcessingActivity, Register, RetentionRule, SourceLink, version_on
from app.keys.data_subject_cipher import DataSubjectCipher
from app.retention.closed_account_store import PLACE, AccountRepository, Closing
from app.retention.documents import AgeingDocuments
from app.retention.store import RetentionRepository
from app.retention.yearly_store import RetentionYears

DAY_US = 86_400_000_000
# The job runs once a day; a statement is overdue when it outlived two of its runs.
GRACE_HOURS = 48
_BATCH = 5_000
# Learners whose statements are looked for in one query.
_ACCOUNTS_AT_ONCE = 100


class RetentionLine(NamedTuple):
    """Report of one source under one processing activity.

    Attributes:
        activity: Id of the processing activity.
        source: Id of the source.
        kept: Statements stored now.
        oldest: ``stored`` of the oldest, microseconds since 1970 UTC; None when there are none.
        due: Statements past their duration.
        overdue: Statements past it for longer than the job's period and a margin.
        active_days: The duration, in days.
        cutoff: Statements stored before this are due, microseconds since 1970 UTC.
        account_closed_months: How long they are kept after the end of an account; None: that does not count.
        accounts_closed: Accounts of the source that are known to have ended, and led to no deletion yet.
        accounts_due: Of these, those past that duration.
        closed_due: Statements that are due for that, beside ``due``.
        documents: Documents stored now that the source wrote last.
        documents_oldest: When the one that was written longest ago was; None when there are none.
        documents_due, documents_overdue, documents_closed_due: Of documents, as of statements.
        concerns_minors: Whether the register says that the activity concerns minors.
        minors: What becomes of names, addresses and INE in the source's statements.
        minors_reason: Why that is not ``pseudonymise``, as far as it is on record.
    """

    activity: str
    source: str
    kept: int
    oldest: int | None
    due: int
    overdue: int
    active_days: int
    cutoff: int
    account_closed_months: int | None = None
    accounts_closed: int = 0
    accounts_due: int = 0
    closed_due: int = 0
    documents: int = 0
    documents_oldest: int | None = None
    documents_due: int = 0
    documents_overdue: int = 0
    documents_closed_due: int = 0
    concerns_minors: bool = False
    minors: str = ""
    minors_reason: str = ""

    @property
    def oldest_until(self) -> int | None:
        """The instant at which the oldest statement is past its duration, microseconds since 1970 UTC; None when there
        is none.
        """
        return None if self.oldest is None else self.oldest + self.active_days * DAY_US

    @property
    def documents_oldest_until(self) -> int | None:
        """The same of the document that was written longest ago, if nothing writes it again."""
        return None if self.documents_oldest is None else self.documents_oldest + self.active_days * DAY_US


class Deletion(NamedTuple):
    """Effect of a run, done or planned, on one source.

    Attributes:
        activity: Id of the processing activity.
        source: Id of the source.
        statements: How many statements went: those stored before ``cutoff``, and those of accounts that ended.
        cutoff: Microseconds since 1970 UTC.
        closed: How many of them went because an account ended.
        documents: How many documents went, those of accounts that ended too.
        documents_closed: How many of these went because an account ended.
    """

    activity: str
    source: str
    statements: int
    cutoff: int
    closed: int = 0
    documents: int = 0
    documents_closed: int = 0


class Effect(NamedTuple):
    """Effect of a new version of a processing activity on what is kept.

    Attributes:
        before: The rule that governs until then; None: there is none.
        shorter: Whether something would be deleted earlier than under that rule.
        at: When it comes into force, or now; microseconds since 1970 UTC.
        due: How many statements stored now would then be due that would not be without it.
    """

    before: RetentionRule | None
    shorter: bool
    at: int
    due: int


class RetentionRun(NamedTuple):
    """The outcome of one application; after a dry run nothing was deleted."""

    dry_run: bool
    deletions: tuple[Deletion, ...]

    @property
    def statements(self) -> int:
        """Statements deleted (or due, after a dry run), all sources together."""
        return sum(deletion.statements for deletion in self.deletions)

    @property
    def documents(self) -> int:
        """Documents deleted (or due, after a dry run), all sources together."""
        return sum(deletion.documents for deletion in self.deletions)


class Retention:
    """Reports on retention, and applies it."""

    def __init__(
        self,
        repository: RetentionRepository,
        register: Register,
        sources: Callable[[], Iterable[SourceLink]],
        audit: Audit,
        keys: OrganisationKeys,
        *,
        stores: Sequence[PersonalDataStore],
        accounts: AccountRepository,
        cipher: DataSubjectCipher,
        years: RetentionYears,
        held: Callable[[], Sequence[Restricted]] = tuple,
    ) -> None:
        """``sources`` lists every source ever registered: what a revoked one left is still to be deleted in time.

        ``stores``: all that keep personal data. ``held`` gives the data subjects whose data are not to be deleted;
        ``cipher`` decrypts who an account is of; ``years`` counts what is deleted.
        """
        self._repository = repository
        self._register = register
        self._sources = sources
        self._audit = audit
        self._keys = keys
        self._stores = stores
        self._documents = AgeingDocuments(stores)
        self._accounts = accounts
        self._cipher = cipher
        self._years = years
        self._held = held

    def report(self, now: int) -> list[RetentionLine]:
        """Per activity and source, what is kept and what is due at ``now`` (microseconds since 1970 UTC)."""
        held = self._held()
        return [
            self._line(activity, link.source, now, held)._replace(minors=link.minors, minors_reason=link.minors_reason)
            for activity, link in self._governed(now)
        ]

    def ages(self, now: int, edges: Sequence[int]) -> dict[str, list[int]]:
        """The number of statements by age, of each processing activity that has any.

        Args:
            now: Microseconds since 1970 UTC.
            edges: Ages in microseconds, growing: from 0 to the first, from one to the next, beyond the last.
        """
        found: dict[str, list[int]] = {}
        ends = [now - edge for edge in (0, *edges)]
        for activity, link in self._governed(now):
            tokens = self._tokens(link.source)
            # Each statement once, by the index alone: no span lies within another. The youngest may be of this moment.
            counts = [
                self._repository.count(tokens, before + (place == 0) * DAY_US, (), max(since, 0))
                for place, (before, since) in enumerate(zip(ends, (*ends[1:], 0), strict=True))
            ]
            known = found.setdefault(activity.id, [0] * len(counts))
            found[activity.id] = [one + other for one, other in zip(known, counts, strict=True)]
        return {id: counts for id, counts in found.items() if any(counts)}

    def line(self, activity: ProcessingActivity, source: str, now: int) -> RetentionLine:
        """The line of the report on a source, were it under this processing activity."""
        return self._line(activity, source, now, self._held())

    def _line(self, activity: ProcessingActivity, source: str, now: int, held: Sequence[Restricted]) -> RetentionLine:
        cutoff = _cutoff(activity, now)
        overdue = cutoff - GRACE_HOURS * 3_600_000_000
        tokens = self._tokens(source)
        age = self._repository.age(tokens, cutoff, overdue, held)
        written = self._documents.age(source, cutoff, overdue, _subjects(held))
        chunks = list(self._ended(activity, source, now, held))
        return RetentionLine(
            activity.id,
            source,
            age.kept,
            age.oldest,
            age.due,
            age.overdue,
            activity.retention.active_days,
            cutoff,
            activity.retention.account_closed_months,
            self._accounts.count(source),
            sum(map(len, chunks)),
            sum(self._repository.count_ended(tokens, chunk, cutoff) for chunk in chunks),
            written.kept,
            written.oldest,
            written.due,
            written.overdue,
            sum(self._documents.count_ended(source, chunk, cutoff) for chunk in chunks),
            activity.minors,
        )

    def effect(self, draft: ProcessingActivity, now: int) -> Effect:
        """The effect of a version that is about to be added, from when it is in force, or from ``now``.

        Only a shorter duration is counted: of any other nothing becomes due.
        """
        at = max(now, self._register.begins(draft.in_force_from))
        versions = self._register.history(draft.id)
        governing = version_on(versions, self._register.day(at))
        if governing is None or governing.version >= draft.version:
            return Effect(None, False, at, 0)
        shorter = draft.retention.shorter_than(governing.retention)
        due = max(self._due(draft, at) - self._due(governing, at), 0) if shorter else 0
        return Effect(governing.retention, shorter, at, due)

    def _due(self, activity: ProcessingActivity, at: int) -> int:
        """The number of statements stored now that are due at an instant, by one version of a processing activity."""
        held, cutoff, total = self._held(), _cutoff(activity, at), 0
        for source in sorted(link.source for link in self._sources() if link.activity == activity.id):
            tokens = self._tokens(source)
            total += self._repository.count(tokens, cutoff, held)
            total += sum(
                self._repository.count_ended(tokens, chunk, cutoff) for chunk in self._ended(activity, source, at, held)
            )
        return total

    def apply(
        self,
        now: int,
        dry_run: bool = True,
        progress: Callable[[int, int], None] | None = None,
        *,
        check: Callable[[], None] | None = None,
        actor: str = "job:retention",
    ) -> RetentionRun:
        """Delete what is due at ``now``, the oldest first, some thousands at a time.

        A run that was cut off is resumed by the next one. Two entries of the audit log frame the deletions of
        each source: the intent with the number due, durable before the first deletion, and the number deleted
        after the last one, or after the one that failed. An intent alone says that the process was killed. A last
        entry says that the run came to its end, over how many sources, and what it deleted: also when nothing was due
        (GDPR art. 5(2): that durations are applied can be shown).

        Args:
            now: Microseconds since 1970 UTC.
            dry_run: Only count.
            progress: Told statements and documents deleted and due, over all sources, after each batch.
            check: Called before each batch; what it raises (a lost lease) ends the run.
            actor: Who applies it, for the audit log.
        """
        planned = []
        ended: dict[str, list[list[Ended]]] = {}
        held = self._held()
        for activity, link in self._governed(now):
            cutoff = _cutoff(activity, now)
            tokens = self._tokens(link.source)
            ended[link.source] = list(self._ended(activity, link.source, now, held))
            closed = sum(self._repository.count_ended(tokens, chunk, cutoff) for chunk in ended[link.source])
            due = self._repository.count(tokens, cutoff, held)
            closed_written = sum(
                self._documents.count_ended(link.source, chunk, cutoff) for chunk in ended[link.source]
            )
            written = self._documents.count(link.source, cutoff, _subjects(held)) + closed_written
            planned.append(Deletion(activity.id, link.source, due + closed, cutoff, closed, written, closed_written))
        if dry_run:
            return RetentionRun(True, tuple(planned))
        for deletion in planned:
            for store in self._stores:
                # Nothing that was stored before is left for it to lead to.
                store.expire(deletion.source, deletion.cutoff)
        total = sum(deletion.statements + deletion.documents for deletion in planned)
        done = 0

        def deleted(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(done, total)

        run = RetentionRun(
            False,
            tuple(
                self._delete(deletion, ended[deletion.source], held, deleted, check, actor, now)
                if deletion.statements or deletion.documents or ended[deletion.source]
                else deletion
                for deletion in planned
            ),
        )
        looked: dict[str, object] = {
            "sources": [deletion.source for deletion in planned],
            "deleted": run.statements,
            "documents_deleted": run.documents,
        }
        self._audit.append(RETENTION_RUN, actor, looked)
        self._years.ran(*self._year(now))
        return run

    def overdue(self, now: int, check: Callable[[], None] | None = None) -> int:
        """The number of statements that the last runs should have deleted by ``now``: due ``GRACE_HOURS`` ago, and
        still there.

        By the index alone, and only what is due: nothing to count where the job does its work.
        """
        if check is not None:
            check()
        return self.apply(now - GRACE_HOURS * 3_600_000_000, dry_run=True).statements

    def _delete(
        self,
        planned: Deletion,
        ended: Sequence[Sequence[Ended]],
        held: Sequence[Restricted],
        deleted: Callable[[int], None],
        check: Callable[[], None] | None,
        actor: str,
        now: int,
    ) -> Deletion:
        where: dict[str, object] = {
            "activity": planned.activity,
            "source": planned.source,
            "stored_before": planned.cutoff,
        }
        if ended:
            where["accounts"] = sum(map(len, ended))
        due = {"due": planned.statements, "documents_due": planned.documents}
        self._audit.append(RETENTION_STARTED, actor, where | due)
        source, cutoff = planned.source, planned.cutoff
        gone = planned._replace(statements=0, closed=0, documents=0, documents_closed=0)

        def batches(delete: Callable[[], int]) -> Iterator[int]:
            while True:
                if check is not None:
                    check()
                batch = delete()
                if batch == 0:
                    return
                deleted(batch)
                yield batch

        def said(complete: bool) -> dict[str, object]:
            return where | {"deleted": gone.statements, "documents_deleted": gone.documents, "complete": complete}

        repository, documents, kept = self._repository, self._documents, _subjects(held)
        try:
            # The tokens anew for each batch: the index key may be replaced meanwhile.
            for batch in batches(lambda: repository.delete(self._tokens(source), cutoff, _BATCH, held)):
                gone = gone._replace(statements=gone.statements + batch)
            for batch in batches(lambda: documents.delete(source, cutoff, _BATCH, kept)):
                gone = gone._replace(documents=gone.documents + batch)
            for chunk in ended:
                tokens = self._tokens(source)
                for batch in batches(partial(repository.delete_ended, tokens, chunk, cutoff, _BATCH)):
                    gone = gone._replace(statements=gone.statements + batch, closed=gone.closed + batch)
                for batch in batches(partial(documents.delete_ended, source, chunk, cutoff, _BATCH)):
                    gone = gone._replace(
                        documents=gone.documents + batch, documents_closed=gone.documents_closed + batch
                    )
                # They have led to what they could; if this process ends before, they do it again.
                self._accounts.settle(source, [one.subject for one in chunk], max(one.before for one in chunk))
        except Exception:
            with suppress(SillageError):  # the first failure is the one to report; the intent is already there
                self._audit.append(RETENTION_APPLIED, actor, said(False))
                self._years.deleted(*self._year(now), gone.statements, gone.documents)
            raise
        self._audit.append(RETENTION_APPLIED, actor, said(True))
        self._years.deleted(*self._year(now), gone.statements, gone.documents)
        return gone

    def _year(self, now: int) -> tuple[int, datetime]:
        return self._register.day(now).year, datetime.fromtimestamp(now / 1_000_000, UTC)

    def _ended(
        self, activity: ProcessingActivity, source: str, now: int, held: Sequence[Restricted]
    ) -> Iterator[list[Ended]]:
        """The learners of a source whose account ended long enough ago, some at a time."""
        months = activity.retention.account_closed_months
        if months is None:
            return
        kept = {one.subject for one in held}
        # Up to the end of that day.
        before = instant_of(months_after(day_of(now), -months) + timedelta(days=1))
        after: Closing | None = None
        while found := self._accounts.closed(source, before, after, _ACCOUNTS_AT_ONCE):
            after = found[-1]
            # Of one who was erased there is nothing left.
            index = self._keys.index
            known = self._cipher.decrypt(PLACE, {one.subject: one.who for one in found})
            chunk = [
                Ended(
                    one.subject,
                    index.tokens(kinds.AGENT, known[one.subject].decode()) if one.subject in known else (),
                    closed_before(one.closed, months),
                )
                for one in found
                if one.subject not in kept
            ]
            if chunk:
                yield chunk

    def _governed(self, now: int) -> list[tuple[ProcessingActivity, SourceLink]]:
        activities = {activity.id: activity for activity in self._register.list(now)}
        links = sorted(self._sources(), key=lambda link: (link.activity, link.source))
        return [(activities[link.activity], link) for link in links if link.activity in activities]

    def _tokens(self, source: str) -> tuple[bytes, ...]:
        return self._keys.index.tokens(kinds.SOURCE, source)


def _subjects(held: Sequence[Restricted]) -> list[bytes]:
    return [one.subject for one in held]


def _cutoff(activity: ProcessingActivity, now: int) -> int:
    return now - activity.retention.active_days * DAY_US
