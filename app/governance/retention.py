"""Retention: how long each processing activity's statements are kept, what is due, and deleting it.

GDPR art. 5(1)(e): no longer than the purposes need. The duration and its justification are the controller's, in the
register (``schemas/sillage/processing-activity.schema.json``); the age of a statement is counted from ``stored``.

Keys of learners stay: other statements, of other sources, are sealed with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from app.errors import SillageError
from app.governance.audit import RETENTION_APPLIED, RETENTION_STARTED, Audit
from app.governance.register import Activity, Register
from app.storage.retention import RetentionRepository
from app.vault import kinds
from app.vault.keys import OrganisationKeys

DAY_US = 86_400_000_000
# The job runs once a day; a statement is overdue when it outlived two of its runs.
GRACE_HOURS = 48
_BATCH = 5_000


class SourceLink(NamedTuple):
    """A source, revoked ones too, and the processing activity that it belongs to."""

    source: str
    activity: str


class RetentionLine(NamedTuple):
    """What is kept of one source under one activity.

    Attributes:
        activity: Id of the processing activity.
        source: Id of the source.
        kept: Statements stored now.
        oldest: ``stored`` of the oldest, microseconds since 1970 UTC; None when there are none.
        due: Statements past their duration.
        overdue: Statements past it for longer than the job's period and a margin.
        active_days: The duration, in days.
        cutoff: Statements stored before this are due, microseconds since 1970 UTC.
    """

    activity: str
    source: str
    kept: int
    oldest: int | None
    due: int
    overdue: int
    active_days: int
    cutoff: int


class Deletion(NamedTuple):
    """What a run did, or would do, to one source: how many statements stored before ``cutoff`` went."""

    activity: str
    source: str
    statements: int
    cutoff: int


class RetentionRun(NamedTuple):
    """The outcome of one application; after a dry run nothing was deleted."""

    dry_run: bool
    deletions: tuple[Deletion, ...]

    @property
    def statements(self) -> int:
        """Statements deleted (or due, after a dry run), all sources together."""
        return sum(deletion.statements for deletion in self.deletions)


class Retention:
    """Reports on retention, and applies it."""

    def __init__(
        self,
        repository: RetentionRepository,
        register: Register,
        sources: Callable[[], Iterable[SourceLink]],
        audit: Audit,
        keys: OrganisationKeys,
        forget: Callable[[str, int], object] = lambda source, before: None,
    ) -> None:
        """``sources`` lists every source ever registered: what a revoked one left is still to be deleted in time.

        ``forget(source, before)`` deletes what else is kept of its statements stored before (microseconds).
        """
        self._repository = repository
        self._register = register
        self._sources = sources
        self._audit = audit
        self._keys = keys
        self._forget = forget

    def report(self, now: int) -> list[RetentionLine]:
        """Per activity and source, what is kept and what is due at ``now`` (microseconds since 1970 UTC)."""
        lines = []
        for activity, link in self._governed():
            cutoff = _cutoff(activity, now)
            age = self._repository.age(self._token(link.source), cutoff, cutoff - GRACE_HOURS * 3_600_000_000)
            lines.append(
                RetentionLine(
                    activity.id,
                    link.source,
                    age.kept,
                    age.oldest,
                    age.due,
                    age.overdue,
                    activity.retention.active_days,
                    cutoff,
                )
            )
        return lines

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
        after the last one, or after the one that failed. An intent alone says that the process was killed.

        Args:
            now: Microseconds since 1970 UTC.
            dry_run: Only count.
            progress: Told statements deleted and due, over all sources, after each batch.
            check: Called before each batch; what it raises (a lost lease) ends the run.
            actor: Who applies it, for the audit log.
        """
        planned = []
        for activity, link in self._governed():
            cutoff = _cutoff(activity, now)
            planned.append(
                Deletion(activity.id, link.source, self._repository.count(self._token(link.source), cutoff), cutoff)
            )
        if dry_run:
            return RetentionRun(True, tuple(planned))
        for deletion in planned:
            self._forget(deletion.source, deletion.cutoff)
        total = sum(deletion.statements for deletion in planned)
        done = 0

        def deleted(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(done, total)

        return RetentionRun(
            False,
            tuple(
                self._delete(deletion, deleted, check, actor) if deletion.statements else deletion
                for deletion in planned
            ),
        )

    def _delete(
        self,
        planned: Deletion,
        deleted: Callable[[int], None],
        check: Callable[[], None] | None,
        actor: str,
    ) -> Deletion:
        where: dict[str, object] = {
            "activity": planned.activity,
            "source": planned.source,
            "stored_before": planned.cutoff,
        }
        self._audit.append(RETENTION_STARTED, actor, where | {"due": planned.statements})
        token = self._token(planned.source)
        count = 0
        try:
            while True:
                if check is not None:
                    check()
                batch = self._repository.delete(token, planned.cutoff, _BATCH)
                if batch == 0:
                    break
                count += batch
                deleted(batch)
        except Exception:
            with suppress(SillageError):  # the first failure is the one to report; the intent is already there
                self._audit.append(RETENTION_APPLIED, actor, where | {"deleted": count, "complete": False})
            raise
        self._audit.append(RETENTION_APPLIED, actor, where | {"deleted": count, "complete": True})
        return planned._replace(statements=count)

    def _governed(self) -> list[tuple[Activity, SourceLink]]:
        activities = {activity.id: activity for activity in self._register.list()}
        links = sorted(self._sources(), key=lambda link: (link.activity, link.source))
        return [(activities[link.activity], link) for link in links if link.activity in activities]

    def _token(self, source: str) -> bytes:
        return self._keys.token(kinds.SOURCE, source)


def _cutoff(activity: Activity, now: int) -> int:
    return now - activity.retention.active_days * DAY_US
