"""One run of a job under a lease, recorded from its beginning to its end, however it ends."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import NamedTuple
from uuid import UUID, uuid4

import structlog

from app.core import errors
from app.core.clock import Clock
from app.core.errors import LeaseLost, SillageError, Unavailable
from app.platform.jobs import store as stored
from app.platform.jobs.lease import Lease
from app.platform.jobs.store import JobRepository, Run

_log = structlog.get_logger(__name__)

_HISTORY_US = 90 * 86_400_000_000
_TRANSIENT = frozenset(kind.code for kind in errors.every() if issubclass(kind, Unavailable))


class Job(NamedTuple):
    """A job: idempotent, resumable, and mindful of ``Lease.check``.

    Attributes:
        name: Its name, for people and for the history.
        cron: When it runs: five fields, in the scheduler's time zone.
        run: Does it, and returns a summary: JSON values, no personal data.
    """

    name: str
    cron: str
    run: Callable[[Lease], Mapping[str, object]]


def transient(outcome: str | None, error: Mapping[str, str] | None) -> bool:
    """True if a run failed for want of something that may be back soon (an ``Unavailable`` error)."""
    return outcome == stored.FAILED and error is not None and error["code"] in _TRANSIENT


def execute(job: Job, lease: Lease, repository: JobRepository, clock: Clock) -> Run:
    """Run a job and record it; a failure of the job is an outcome, not an exception.

    Args:
        job: The job.
        lease: The current term.
        repository: Where the run is recorded.
        clock: Microseconds since 1970 UTC.

    Raises:
        LeaseLost: the run was refused before it began, or its outcome was: another scheduler leads.
        DatabaseUnavailable: it could not be recorded.
    """
    lease.check()
    run = Run(uuid4(), job.name, lease.fence, clock(), None, stored.RUNNING, {}, None)
    # First: what fails after the job's end would have it done again.
    repository.prune(run.started - _HISTORY_US)
    repository.started(run)
    _log.info("job started", job=job.name, fence=lease.fence)
    outcome, summary, error = _outcome(job, lease, run.id)
    run = run._replace(finished=clock(), outcome=outcome, summary=summary, error=error)
    repository.finished(run)
    _log.info("job finished", job=job.name, fence=lease.fence, outcome=outcome, summary=dict(summary))
    return run


def _outcome(job: Job, lease: Lease, run: UUID) -> tuple[str, Mapping[str, object], Mapping[str, str] | None]:
    try:
        return stored.SUCCEEDED, dict(job.run(lease)), None
    except LeaseLost as left:
        return stored.ABANDONED, {}, {"class": type(left).__name__, "code": left.code}
    except Exception as failed:
        code = failed.code if isinstance(failed, SillageError) else "internal"
        # Where it failed, and never the message: it may quote personal data.
        where = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(failed.__traceback__)]
        _log.error("job failed", job=job.name, run=str(run), error=type(failed).__name__, code=code, where=where)
        return stored.FAILED, {}, {"class": type(failed).__name__, "code": code}
