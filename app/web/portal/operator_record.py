"""The record for operators: health, jobs, queues and storage, looked up once for all who look at it.

Nothing in it is changed from a page: what is, pages read themselves, whichever process did it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from app.core import clock
from app.core.errors import DatabaseUnavailable, SillageError
from app.keys.keyring import Listed
from app.operations.storage import Taken, storage
from app.platform.jobs.scheduler import next_time
from app.platform.jobs.store import JobState, Run
from app.web.wiring import Needs

KEPT_SECONDS: Final = 8.0
MAX_SECONDS: Final = 5.0
"""Seconds that MongoDB may take for all of it."""
RUNS: Final = 20


class Check(NamedTuple):
    """A condition of being ready: its name; the code of what is wrong, None where it holds."""

    name: str
    code: str | None


class JobLine(NamedTuple):
    """A job: its state where it ran once, its next time, for how many seconds a run that succeeds has been due."""

    name: str
    cron: str
    state: JobState | None
    following: datetime | None
    late: float


class Known(NamedTuple):
    """All of it, as of one moment.

    Attributes:
        figures: Sums of metrics by their name, whatever their labels.
        newest: When something of each source was stored last; those that never sent are not there.
    """

    at: datetime
    checks: Sequence[Check]
    figures: Mapping[str, float]
    leader: bool
    jobs: Sequence[JobLine]
    storage: Sequence[Taken]
    keys: Sequence[Listed]
    newest: Mapping[str, datetime]


class OperatorRecord:
    """Looks at most every ``KEPT_SECONDS``, within ``MAX_SECONDS``. Safe to share between threads."""

    def __init__(self, container: Needs, checks: Mapping[str, Callable[[], object]]) -> None:
        """``checks``: those of ``/readyz``."""
        self._container = container
        self._checks = checks
        self._lock = threading.Lock()
        self._kept: tuple[Known, float] | None = None
        self._failed: float | None = None

    def known(self) -> Known:
        """All of it, of the last seconds.

        Raises:
            DatabaseUnavailable: MongoDB did not answer in time; whoever waited for the same look is told so too.
        """
        began = clock.steady()
        with self._lock:
            if self._kept is None or clock.steady() >= self._kept[1]:
                if self._failed is not None and self._failed >= began:
                    raise DatabaseUnavailable("The database did not answer in time. Ask again in a moment.")
                try:
                    self._kept = self._looked(), clock.steady() + KEPT_SECONDS
                except DatabaseUnavailable:
                    self._failed = clock.steady()
                    raise
            return self._kept[0]

    def history(self, job: str) -> Sequence[Run]:
        """The newest runs of a job."""
        with self._container.platform.store.within(MAX_SECONDS):
            return self._container.platform.job_repository.history(job, RUNS)

    def _looked(self) -> Known:
        container, platform = self._container, self._container.platform
        with platform.store.within(MAX_SECONDS):
            states = {each.name: each for each in platform.job_repository.states()}
            newest = {source: clock.moment_of(last) for source, last in container.traces.arrivals.newest().items()}
            taken = storage(platform.store)
            leader = platform.leadership.held() is not None
        figures = self._figures()
        now = platform.now_us()
        late = {name: value for name, value in figures.items() if name.startswith("sillage_job_late_seconds:")}
        jobs = [
            JobLine(
                each.name,
                each.cron,
                states.get(each.name),
                next_time(each.cron, platform.zone, now),
                late.get(f"sillage_job_late_seconds:{each.name}", 0.0),
            )
            for each in container.jobs
        ]
        checks = [Check(name, _code(check)) for name, check in self._checks.items()]
        keys = container.keys.keyring.listed()
        return Known(clock.now(), checks, figures, leader, jobs, taken, keys, newest)

    def _figures(self) -> Mapping[str, float]:
        """Figures of ``/metrics`` here: each metric summed up, and of jobs each by itself."""
        told = self._container.web.metrics.exposition(self._container.web.standing).decode()
        figures: dict[str, float] = {}
        for family in text_string_to_metric_families(told):
            for sample in family.samples:
                figures[sample.name] = figures.get(sample.name, 0.0) + sample.value
                if "job" in sample.labels:
                    figures[f"{sample.name}:{sample.labels['job']}"] = sample.value
        return figures


def _code(check: Callable[[], object]) -> str | None:
    try:
        check()
    except SillageError as failed:
        return failed.code
    return None
