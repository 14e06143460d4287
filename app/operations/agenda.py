"""Agenda of a data protection officer: what waits for an act of theirs, by when, and what was done last night.

Counts, ids of requests, entries and sources: nobody is named. Each item is told from what other services know; nothing
is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from app.access import key_ends
from app.access.credentials import PSEUDONYMISE
from app.access.store import SourceRepository
from app.core.clock import Now
from app.governance.audit.log import AUDIT_CHECKPOINT, MINORS_DATA
from app.governance.audit.store import AuditRepository
from app.governance.register.service import ProcessingActivity, Register
from app.operations.measures import Measured, Measures
from app.people.erasure.store import ErasureRepository
from app.people.requests.service import DataSubjectRequests
from app.people.requests.steps import OPEN
from app.platform.jobs.store import JobRepository, JobState
from app.traces.conformance.minors_policy import OUTCOMES

REVIEW_SOON: Final = timedelta(days=60)
"""A review of an entry of the register is told so long before its day."""
WEEK: Final = timedelta(days=7)
ERASURE_LATE: Final = timedelta(days=1)
"""An erasure that takes longer than this does not go on by itself."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Group(IntEnum):
    """The time by which something is to be done."""

    LATE = 0
    TODAY = 1
    WEEK = 2
    LATER = 3


class Task(NamedTuple):
    """Something that waits for an act.

    Attributes:
        kind: ``request``, ``identity`` (a request of which it is not known who makes it), ``review``, ``retention``,
            ``erasure``, ``minors-policy``, ``minors-data``, ``key-end``, ``key-endless``, ``entry``.
        group: When.
        day: Until when, or since when; None: at once.
        days: From today to that day; negative when it is past.
        subject: Id of the request, entry, source or key that it is about; empty for none.
        number: How many statements or batches, for kinds that count.
        label: What the request asks for, or the policy of the source.
    """

    kind: str
    group: Group
    day: date | None
    days: int = 0
    subject: str = ""
    number: int = 0
    label: str = ""


class Tonight(NamedTuple):
    """The last run of each thing that keeps the store in order.

    Attributes:
        retention: The job that deletes what is due; None: it never ran.
        verified: When the whole audit log was checked last; None: never.
        checkpoint: When its last signed checkpoint was written; None: not in that time.
        backup: When the last backup was whole; None: never.
    """

    retention: JobState | None
    verified: datetime | None
    checkpoint: datetime | None
    backup: datetime | None


class Day(NamedTuple):
    """The tasks that wait, the most urgent first; and what was done last night."""

    tasks: Sequence[Task]
    tonight: Tonight


class Agenda:
    """The agenda. Safe to share between threads."""

    def __init__(
        self,
        *,
        requests: DataSubjectRequests,
        register: Register,
        ended: Callable[[], Collection[str]],
        sources: SourceRepository,
        erasures: ErasureRepository,
        measures: Measures,
        log: AuditRepository,
        jobs: JobRepository,
        now: Now,
        zone: ZoneInfo,
    ) -> None:
        """Nothing is read yet; ``ended``: ids of the entries that have ended; ``zone``: where days begin."""
        self._requests = requests
        self._register = register
        self._ended = ended
        self._sources = sources
        self._erasures = erasures
        self._measures = measures
        self._log = log
        self._jobs = jobs
        self._now = now
        self._zone = zone

    def read(self) -> Day:
        """The agenda of today."""
        now = self._now()
        today = now.astimezone(self._zone).date()
        measured, entries = self._measures.read(), self._register.list()
        found = [
            *self._of_requests(today),
            *self._of_register(entries, today),
            *self._of_retention(measured),
            *self._of_erasures(now, today),
            *self._of_minors(entries, now),
            *self._of_keys(now, today),
        ]
        tasks = sorted(found, key=lambda task: (task.group, task.days, task.kind, task.subject))
        return Day(tasks, self._tonight(measured))

    def _tonight(self, measured: Measured) -> Tonight:
        states = {state.name: state for state in self._jobs.states()}
        backup = measured.backup
        return Tonight(
            states.get("retention"),
            None if measured.verified is None else _moment(measured.verified),
            self._last(AUDIT_CHECKPOINT),
            None if backup is None else _moment(backup.at),
        )

    def _of_requests(self, today: date) -> Iterator[Task]:
        for one in self._requests.list():
            days = (one.due - today).days
            kind = "identity" if one.status == OPEN else "request"
            yield Task(kind, _group(days), one.due, days, one.id, label=one.kind)

    def _of_register(self, entries: Sequence[ProcessingActivity], today: date) -> Iterator[Task]:
        ended = self._ended()
        planned = [entry for entry in self._register.planned() if entry.id not in ended]
        # A version to come takes the place of the one that is to be looked at; of what has ended nothing waits.
        passed = {*ended, *(entry.id for entry in planned)}
        for entry in entries:
            if entry.review_by is None or entry.id in passed:
                continue
            days = (entry.review_by - today).days
            if timedelta(days=days) <= REVIEW_SOON:
                yield Task("review", _group(days), entry.review_by, days, entry.id)
        for entry in planned:
            days = (entry.in_force_from - today).days
            if timedelta(days=days) <= REVIEW_SOON:
                yield Task("entry", _group(days), entry.in_force_from, days, entry.id)

    def _of_retention(self, measured: Measured) -> Iterator[Task]:
        counted = measured.retention
        if counted is not None and counted.overdue:
            yield Task("retention", Group.LATE, self._day(counted.at), number=counted.overdue)

    def _of_erasures(self, now: datetime, today: date) -> Iterator[Task]:
        slow = [since for since in self._erasures.open_since() if now - since > ERASURE_LATE]
        if slow:
            day = slow[0].astimezone(self._zone).date()
            yield Task("erasure", Group.LATE, day, (day - today).days, number=len(slow))

    def _of_minors(self, entries: Sequence[ProcessingActivity], now: datetime) -> Iterator[Task]:
        concerned = {entry.id for entry in entries if entry.minors}
        sources = {source.id: source for source in self._sources.list() if source.closed is None}
        for source in sources.values():
            if source.activity in concerned and source.minors != PSEUDONYMISE and not source.minors_reason:
                yield Task("minors-policy", Group.TODAY, None, subject=source.id, label=source.minors)
        # What is replaced or refused needs no act.
        kept = self._log.by_actor(MINORS_DATA, _us(now - WEEK), outcome=OUTCOMES["off"])
        for actor, (number, at) in kept.items():
            id = actor.removeprefix("source:")
            # Under a reason that is on record it was decided.
            if id in sources and not sources[id].minors_reason:
                yield Task("minors-data", Group.TODAY, self._day(at), subject=id, number=number)

    def _of_keys(self, now: datetime, today: date) -> Iterator[Task]:
        for key in key_ends.of_persons(self._sources.credentials(), now):
            if key.ends is None:
                yield Task("key-endless", Group.WEEK, None, subject=key.id)
            elif key_ends.is_soon(key.ends, now):
                day = key_ends.last_day_of(key.ends, self._zone)
                days = (day - today).days
                yield Task("key-end", _group(days), day, days, key.id)

    def _last(self, kind: str) -> datetime | None:
        listed = self._log.newest((kind,), None, None, 1).entries
        return _moment(listed[0].at) if listed else None

    def _day(self, at: int) -> date:
        return _moment(at).astimezone(self._zone).date()


def grouped(tasks: Sequence[Task]) -> Mapping[Group, Sequence[Task]]:
    """Tasks by when they are to be done; every group is there."""
    return {group: [task for task in tasks if task.group is group] for group in Group}


def _group(days: int) -> Group:
    if days < 0:
        return Group.LATE
    if days == 0:
        return Group.TODAY
    return Group.WEEK if days <= WEEK.days else Group.LATER


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
