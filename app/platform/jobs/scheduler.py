"""The scheduler: waits for the lead, then runs jobs on time, and makes up for what was missed."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from app.core.clock import Clock
from app.core.errors import SillageError, Unavailable
from app.platform.jobs.lease import Leadership, Lease
from app.platform.jobs.run import Job, execute, transient
from app.platform.jobs.store import ABANDONED, INTERRUPTED, JobRepository, JobState

_log = structlog.get_logger(__name__)

# A job whose process dies this many times in a row waits for its next regular time.
_MAX_INTERRUPTIONS = 3
_WATCH_SECONDS = 0.2
_NICE = 10
RETRY_MINUTES = (1, 5, 15, 60)
"""Back-off, in minutes, of a job that failed in passing: before its first, second, … retry; the last goes on."""


def _give_way() -> None:
    """Lower the priority of this thread, and of those that it starts (nice 10; Linux: elsewhere, of the process)."""
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))


def _have_the_group_give_way() -> None:
    """Lower the priority of the session that this process has to itself, as a service does.

    Linux groups processes by session, and weighs priorities within a group only, unless the group has one
    (sched(7), autogroups). In a session that is shared, the embedded MongoDB may be, which answers to others.
    """
    if os.getsid(0) == os.getpid() and _alone():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(_NICE))


def _alone() -> bool:
    """True if no other process belongs to the session that this one leads."""
    for entry in Path("/proc").glob("[0-9]*"):
        other = int(entry.name)
        with suppress(OSError):  # it ended meanwhile, or is not to be asked
            if other != os.getpid() and os.getsid(other) == os.getpid():
                return False
    return True


class Scheduler:
    """Runs the jobs while this process leads."""

    def __init__(
        self,
        jobs: Sequence[Job],
        leadership: Leadership,
        repository: JobRepository,
        clock: Clock,
        *,
        timezone: tzinfo = UTC,
        grace_seconds: float = 20.0,
        retry_minutes: Sequence[float] = RETRY_MINUTES,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            jobs: What to run, with distinct names.
            leadership: How to take the lead.
            repository: State and history of jobs.
            clock: Microseconds since 1970 UTC.
            timezone: Zone of the cron expressions.
            grace_seconds: How long jobs under way may go on after a stop, before they are asked to stop.
            retry_minutes: What ``RETRY_MINUTES`` says, for tests.
        """
        self._jobs = tuple(jobs)
        self._leadership = leadership
        self._repository = repository
        self._clock = clock
        self._timezone = timezone
        self._grace = grace_seconds
        self._retry_minutes = tuple(retry_minutes)

    def run(self, stop: threading.Event) -> None:
        """Lead whenever possible, until ``stop`` is set; jobs have ended and the lease is free when this returns."""
        _have_the_group_give_way()
        while not stop.is_set():
            try:
                lease = self._leadership.acquire()
            except SillageError as failed:
                _log.warning("lease not asked for", code=failed.code)
                lease = None
            if lease is None:
                stop.wait(self._leadership.seconds / 3)
                continue
            _log.info("leading", fence=lease.fence)
            with lease:
                try:
                    self._lead(lease, stop)
                except SillageError as failed:
                    _log.warning("leading given up", fence=lease.fence, code=failed.code)
            if not stop.is_set():
                stop.wait(1.0)

    def _lead(self, lease: Lease, stop: threading.Event) -> None:
        now = self._clock()
        self._repository.declare({job.name: job.cron for job in self._jobs}, now)
        self._repository.interrupt(lease.fence, now)
        states = {state.name: state for state in self._repository.states()}
        term = _Term(lease)
        scheduler = BackgroundScheduler(
            timezone=self._timezone,
            # Who sends a statement waits for the answer; nobody waits for a job (adr/0034).
            executors={"default": ThreadPoolExecutor(max(1, len(self._jobs)), {"initializer": _give_way})},
            # A run that comes late is made, once.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        for job in self._jobs:
            trigger = CronTrigger.from_crontab(job.cron, timezone=self._timezone)
            missed = is_due(states[job.name], trigger, now)
            extra = {"next_run_time": datetime.now(self._timezone)} if missed else {}
            scheduler.add_job(self._execute, trigger, args=(job, term), id=job.name, name=job.name, **extra)
        scheduler.start()
        try:
            while not lease.lost and not stop.wait(_WATCH_SECONDS):
                # A clock that is off would have jobs run at the wrong time, and delete too early: another host leads.
                lease.check()
                # Here and not where a job ends: a scheduler that shuts down waits for its jobs with its lock held.
                for name, failures in term.failed():
                    self._retry(scheduler, name, failures)
        finally:
            scheduler.pause()
            if stop.is_set() and not lease.lost:
                term.wait(self._grace)
            lease.revoke()
            # The lease is renewed until the last job has stopped: it must not run beside the next leader's.
            scheduler.shutdown(wait=True)

    def _execute(self, job: Job, term: _Term) -> None:
        with term:
            try:
                run = execute(job, term.lease, self._repository, self._clock)
                term.ended(job.name, transient(run.outcome, run.error))
            except SillageError as failed:
                _log.warning("job not recorded", job=job.name, fence=term.lease.fence, code=failed.code)
                term.ended(job.name, isinstance(failed, Unavailable))

    def _retry(self, scheduler: BackgroundScheduler, name: str, failures: int) -> None:
        minutes = self._retry_minutes[min(failures, len(self._retry_minutes)) - 1]
        at = datetime.now(self._timezone) + timedelta(minutes=minutes)
        waiting = scheduler.get_job(name)
        if waiting is not None and at < waiting.next_run_time:
            waiting.modify(next_run_time=at)
            _log.info("job to be retried", job=name, failures=failures, minutes=minutes)


class _Term:
    """State of a term of leadership: the jobs under way, and those that failed in passing."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._count = 0
        self._changed = threading.Condition()
        # Failures in a row, and the jobs whose retry is to be set.
        self._failures: dict[str, int] = {}
        self._to_retry: set[str] = set()

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until no job is under way, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0, seconds)

    def ended(self, name: str, in_passing: bool) -> None:
        """Note how a run of a job ended."""
        with self._changed:
            if in_passing:
                self._failures[name] = self._failures.get(name, 0) + 1
                self._to_retry.add(name)
            else:
                self._failures.pop(name, None)

    def failed(self) -> list[tuple[str, int]]:
        """The jobs that failed in passing since the last call, with the number of times in a row."""
        with self._changed:
            names, self._to_retry = self._to_retry, set()
            return [(name, self._failures[name]) for name in sorted(names) if name in self._failures]


def is_due(state: JobState, trigger: CronTrigger, now: int) -> bool:
    """True if a job is to run at once when a scheduler takes the lead at ``now`` (microseconds since 1970 UTC).

    It is when one of its times passed since it last began (since it was declared, if it never began), when its last
    run failed for want of something that may be back, or when it was cut off, unless several times in a row.
    """
    if state.last_outcome == ABANDONED or transient(state.last_outcome, state.last_error):
        return True
    if state.last_outcome == INTERRUPTED and state.interruptions < _MAX_INTERRUPTIONS:
        return True
    following = _following(trigger, state.since if state.last_started is None else state.last_started)
    return following is not None and following <= _time(now)


def late_seconds(state: JobState, timezone: tzinfo, now: int) -> float:
    """For how long a run that succeeds has been due at ``now`` (microseconds since 1970 UTC); 0 when none is.

    Args:
        state: The job; since its last success, or since it was declared, its times count.
        timezone: Zone of its cron expression.
        now: Microseconds since 1970 UTC.
    """
    since = state.since if state.last_success is None else state.last_success
    following = next_time(state.schedule, timezone, since)
    return 0.0 if following is None else max(0.0, (_time(now) - following).total_seconds())


def next_time(cron: str, timezone: tzinfo, after: int) -> datetime | None:
    """The next time of a cron expression after an instant, in microseconds since 1970 UTC."""
    return _following(CronTrigger.from_crontab(cron, timezone=timezone), after)


def _following(trigger: CronTrigger, after: int) -> datetime | None:
    following: datetime | None = trigger.get_next_fire_time(None, _time(after) + timedelta(microseconds=1))
    return following


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC) + timedelta(microseconds=microseconds % 1_000_000)
