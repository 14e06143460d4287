"""Gauges of the store's standing, for ``/metrics``: jobs, what is overdue, keys, backups, the clock; and if MongoDB is
there.

What needs MongoDB is read at most every ``KEPT_SECONDS`` by each worker, however often it is asked, by a few indexed
reads of small collections that may take ``MAX_SECONDS`` together. What would cost more is counted by the job
``measure`` and noted. Without MongoDB the rest is told.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.core import clock
from app.core.errors import Unavailable

KEPT_SECONDS = 10.0
MAX_SECONDS = 5.0

Sample = tuple[tuple[str, ...], float]
"""Values of the labels, and the figure."""


class MetricDefinition(NamedTuple):
    """A metric: its name, its help, its labels; ``counts``: it only goes up, and ``_total`` follows its name."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    counts: bool = False


MONGODB_UP = MetricDefinition(
    "sillage_mongodb_up", "Whether MongoDB answers this worker; without it most of the others are absent."
)
CLOCK_OFFSET = MetricDefinition(
    "sillage_clock_offset_seconds", "How far this host's clock is ahead of MongoDB's; negative: behind."
)
KEY_VERSIONS = MetricDefinition(
    "sillage_key_versions", "Versions of the key-encryption key here, by state.", ("state",)
)
KEY_ACTIVE = MetricDefinition("sillage_key_active_version", "The version of the key-encryption key that wraps.")
KEY_SINCE = MetricDefinition(
    "sillage_key_active_since_timestamp_seconds", "When that version became the active one, if known."
)
KEYS_BEHIND = MetricDefinition(
    "sillage_key_versions_behind", "Versions other than the active one that learners' keys are under."
)
LEADS = MetricDefinition("sillage_scheduler_leads", "Whether some scheduler leads now, on any host.")
JOB_SUCCESS = MetricDefinition(
    "sillage_job_last_success_timestamp_seconds", "End of the last run that succeeded.", ("job",)
)
JOB_SECONDS = MetricDefinition("sillage_job_last_duration_seconds", "How long the last run that ended took.", ("job",))
JOB_LATE = MetricDefinition(
    "sillage_job_late_seconds", "For how long a run that succeeds has been due; 0 when none is.", ("job",)
)
JOB_RUNS = MetricDefinition("sillage_job_runs", "Runs begun, on all hosts.", ("job",), counts=True)
JOB_FAILURES = MetricDefinition(
    "sillage_job_failures", "Runs that failed or were cut off, on all hosts.", ("job",), counts=True
)
RETENTION = MetricDefinition(
    "sillage_retention_overdue_statements", "Statements kept 48 hours past their duration, or longer."
)
RETENTION_AT = MetricDefinition("sillage_retention_counted_timestamp_seconds", "When these were counted last.")
REQUESTS = MetricDefinition(
    "sillage_person_requests", "Data-subject requests: pending (all that wait), due-soon, overdue.", ("state",)
)
REVIEWS = MetricDefinition("sillage_register_reviews_overdue", "Entries of the register whose review_by has passed.")
ERASURES = MetricDefinition(
    "sillage_erasures_open", "Erasures under way: the keys are destroyed, the rest is being done."
)
ERASURE_AGE = MetricDefinition(
    "sillage_erasure_oldest_open_seconds", "For how long the oldest of these has been; 0 without any."
)
AGGREGATE_LAG = MetricDefinition(
    "sillage_aggregate_lag_seconds", "Age of the newest statements that are counted for certain.", ("aggregate",)
)
CORRECTIONS = MetricDefinition(
    "sillage_aggregate_corrections_waiting", "Deletions that aggregates have not followed yet."
)
BACKUP_AT = MetricDefinition(
    "sillage_backup_last_success_timestamp_seconds", "When the last backup was whole on its disk."
)
BACKUP_BYTES = MetricDefinition("sillage_backup_bytes", "Length of its file.")

MAIL_WAITING = MetricDefinition("sillage_mail_waiting", "Messages by e-mail that wait for the mail server.")
MAIL_AGE = MetricDefinition(
    "sillage_mail_oldest_waiting_seconds", "For how long the oldest of these has been waiting; 0 without any."
)
MAIL_GIVEN_UP = MetricDefinition(
    "sillage_mail_given_up", "Messages that were given up in the last 30 days; `sillage mail list` tells why."
)

HERE = (MONGODB_UP, CLOCK_OFFSET, KEY_VERSIONS, KEY_ACTIVE, KEY_SINCE)
"""Gauges that are known without MongoDB."""
STORED = (
    KEYS_BEHIND,
    LEADS,
    JOB_SUCCESS,
    JOB_SECONDS,
    JOB_LATE,
    JOB_RUNS,
    JOB_FAILURES,
    RETENTION,
    RETENTION_AT,
    REQUESTS,
    REVIEWS,
    ERASURES,
    ERASURE_AGE,
    AGGREGATE_LAG,
    CORRECTIONS,
    BACKUP_AT,
    BACKUP_BYTES,
    MAIL_WAITING,
    MAIL_AGE,
    MAIL_GIVEN_UP,
)
"""Gauges that MongoDB must be asked for."""

Figures = Mapping[MetricDefinition, Sequence[Sample]]
"""Metrics with their samples; one that is not known is not there."""

_log = structlog.stdlib.get_logger("sillage.standing")


def one(value: float | None) -> Sequence[Sample]:
    """The samples of a metric without labels; none when it is not known."""
    return () if value is None else (((), float(value)),)


class GaugeGroup(Protocol):
    """Gauges that are read together."""

    def figures(self) -> Figures:
        """Read now."""


class Presence(Protocol):
    """This process among those that serve."""

    def require(self) -> object:
        """Raise when MongoDB is known to be away."""


class Database(Protocol):
    """MongoDB, as one whose time is bounded."""

    def within(self, seconds: float) -> AbstractContextManager[object]:
        """Bound the time that it may take for what is asked in the block."""


class Standing(Collector):
    """Collects how the store stands; made once for each worker, safe to share between threads."""

    def __init__(
        self,
        here: GaugeGroup,
        stored: Sequence[GaugeGroup],
        presence: Presence,
        database: Database,
    ) -> None:
        """Nothing is asked yet.

        Args:
            here: What is known without MongoDB.
            stored: What MongoDB is asked for, group by group: one that fails leaves the others.
            presence: Knows when MongoDB is away.
            database: Bounds the time that MongoDB may take.
        """
        self._here = here
        self._stored = tuple(stored)
        self._presence = presence
        self._database = database
        self._lock = threading.Lock()
        self._kept: tuple[Figures, float] | None = None

    def collect(self) -> Iterable[Metric]:
        """Every metric that is known now, in the order of ``HERE`` and ``STORED``."""
        figures = {**self._known(), **_guarded(self._here)}
        for definition in (*HERE, *STORED):
            if definition in figures:
                yield _family(definition, figures[definition])

    def describe(self) -> Iterator[Metric]:
        """The families, without asking anybody."""
        for definition in (*HERE, *STORED):
            yield _family(definition, ())

    def _known(self) -> Figures:
        # Whoever asks meanwhile waits for the same answer.
        with self._lock:
            now = clock.steady()
            if self._kept is None or now >= self._kept[1]:
                self._kept = self._read(), clock.steady() + KEPT_SECONDS
            return self._kept[0]

    def _read(self) -> Figures:
        figures: dict[MetricDefinition, Sequence[Sample]] = {MONGODB_UP: one(1)}
        try:
            self._presence.require()
            with self._database.within(MAX_SECONDS):
                for group in self._stored:
                    figures.update(_guarded(group))
        except Unavailable:
            return {MONGODB_UP: one(0)}
        return figures


def _guarded(group: GaugeGroup) -> Figures:
    """The figures of a group; none when it fails, since the others are still wanted."""
    try:
        return group.figures()
    except Unavailable:
        raise
    except Exception as failed:
        _log.warning("some metrics are not known", kind=type(failed).__name__)
        return {}


def _family(definition: MetricDefinition, samples: Sequence[Sample]) -> Metric:
    make = CounterMetricFamily if definition.counts else GaugeMetricFamily
    family = make(definition.name, definition.help, labels=definition.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family
