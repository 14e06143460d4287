"""The scheduler: one leader, runs recorded, missed runs made up for."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count

import pytest
from apscheduler.triggers.cron import CronTrigger
from pymongo.errors import WriteError

from app.core import clock
from app.core.errors import DatabaseUnavailable, LeaseLost
from app.platform.jobs.lease import Leadership, Lease
from app.platform.jobs.run import Job, execute
from app.platform.jobs.scheduler import RETRY_MINUTES, Scheduler, is_due, next_time
from app.platform.jobs.store import (
    ABANDONED,
    FAILED,
    INTERRUPTED,
    RUNNING,
    SUCCEEDED,
    JobRepository,
    JobState,
    LeaseRepository,
    Run,
)
from app.platform.mongo.connection import Store

NEVER = "0 0 29 2 *"
HOURLY = "0 * * * *"
WEEKLY = "0 4 * * mon"


def leadership(store: Store, holder: str, seconds: float = 10) -> Leadership:
    return Leadership(LeaseRepository(store), holder, seconds, time.monotonic)


@pytest.fixture
def lease(store: Store) -> Iterator[Lease]:
    taken = leadership(store, "tests").acquire()
    assert taken is not None
    with taken:
        yield taken


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextmanager
def scheduling(
    store: Store,
    holder: str,
    *jobs: Job,
    grace: float = 5,
    lease: float = 2,
    retry_minutes: Sequence[float] = RETRY_MINUTES,
) -> Iterator[threading.Event]:
    stop = threading.Event()
    scheduler = Scheduler(
        jobs,
        leadership(store, holder, lease),
        JobRepository(store),
        clock.now_us,
        grace_seconds=grace,
        retry_minutes=retry_minutes,
    )
    thread = threading.Thread(target=scheduler.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def declared(store: Store, name: str, cron: str, since: int) -> JobRepository:
    repository = JobRepository(store)
    repository.declare({name: cron}, since)
    return repository


def state_of(store: Store, name: str) -> JobState:
    return next(state for state in JobRepository(store).states() if state.name == name)


def test_a_run_is_recorded_with_its_summary(store: Store, lease: Lease) -> None:
    ticks = count(1_000_000, 500)
    repository = declared(store, "count", HOURLY, 1)
    run = execute(Job("count", HOURLY, lambda _: {"rows": 7}), lease, repository, lambda: next(ticks))
    assert (run.outcome, run.summary, run.started, run.finished) == (SUCCEEDED, {"rows": 7}, 1_000_000, 1_000_500)
    assert repository.history("count", 10) == [run]
    state = state_of(store, "count")
    assert (state.last_outcome, state.last_success, state.last_error, state.runs) == (SUCCEEDED, 1_000_500, None, 1)


def test_a_failure_is_an_outcome_and_its_text_is_not_kept(store: Store, lease: Lease) -> None:
    def fail(_: Lease) -> Mapping[str, object]:
        raise ValueError("Jeanne Martin")

    repository = declared(store, "fail", HOURLY, 1)
    run = execute(Job("fail", HOURLY, fail), lease, repository, clock.now_us)
    assert (run.outcome, run.error) == (FAILED, {"class": "ValueError", "code": "internal"})
    assert state_of(store, "fail").last_error == run.error
    assert "Jeanne" not in str(list(store.collection("job_runs").find()) + list(store.collection("jobs").find()))


def test_a_success_clears_the_last_error(store: Store, lease: Lease) -> None:
    outcomes = iter([DatabaseUnavailable(), None])

    def sometimes(_: Lease) -> Mapping[str, object]:
        error = next(outcomes)
        if error is not None:
            raise error
        return {}

    repository = declared(store, "some", HOURLY, 1)
    job = Job("some", HOURLY, sometimes)
    execute(job, lease, repository, clock.now_us)
    assert state_of(store, "some").last_error == {"class": "DatabaseUnavailable", "code": "database-unavailable"}
    execute(job, lease, repository, clock.now_us)
    state = state_of(store, "some")
    assert (state.last_error, state.runs) == (None, 2)


def test_the_outcome_of_a_run_that_was_taken_over_is_refused(store: Store, lease: Lease) -> None:
    repository = declared(store, "slow", HOURLY, 1)

    def taken_over(_: Lease) -> Mapping[str, object]:
        assert repository.interrupt(lease.fence + 1, 5) == ["slow"]
        return {"rows": 1}

    with pytest.raises(LeaseLost):
        execute(Job("slow", HOURLY, taken_over), lease, repository, clock.now_us)
    assert [run.outcome for run in repository.history("slow", 5)] == [INTERRUPTED]
    assert state_of(store, "slow").last_success is None


def test_a_run_whose_end_was_not_recorded_is_closed_by_the_next(
    store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = declared(store, "some", HOURLY, 1)
    job = Job("some", HOURLY, lambda _: {})

    def away(_: JobRepository, __: Run) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(JobRepository, "finished", away)
        with pytest.raises(DatabaseUnavailable):
            execute(job, lease, repository, lambda: 100)
    execute(job, lease, repository, lambda: 200)
    assert [(run.outcome, run.started, run.finished) for run in repository.history("some", 5)] == [
        (SUCCEEDED, 200, 200),
        (INTERRUPTED, 100, 200),
    ]
    assert state_of(store, "some").last_outcome == SUCCEEDED


def test_an_end_is_recorded_in_both_places_or_in_none(
    store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = declared(store, "some", HOURLY, 1)
    # The history refuses what the state of the job takes.
    store.db.command("collMod", "job_runs", validator={"outcome": {"$ne": SUCCEEDED}})
    with pytest.raises(WriteError):
        execute(Job("some", HOURLY, lambda _: {}), lease, repository, lambda: 100)
    assert state_of(store, "some").last_outcome == RUNNING
    assert repository.interrupt(lease.fence + 1, 300) == ["some"]
    assert [(run.outcome, run.finished) for run in repository.history("some", 5)] == [(INTERRUPTED, 300)]


def test_a_run_under_an_older_fence_does_not_begin(store: Store, lease: Lease) -> None:
    repository = declared(store, "once", HOURLY, 1)
    store.collection("jobs").update_one({"_id": "once"}, {"$set": {"fence": lease.fence + 1}})
    ran = []
    with pytest.raises(LeaseLost):
        execute(Job("once", HOURLY, lambda _: ran.append(1) or {}), lease, repository, clock.now_us)
    assert ran == []
    assert repository.history("once", 5) == []


def test_history_is_kept_for_ninety_days(store: Store, lease: Lease) -> None:
    day = 86_400_000_000
    repository = declared(store, "old", HOURLY, 1)
    job = Job("old", HOURLY, lambda _: {})
    for at in (100, 100 + 50 * day, 100 + 91 * day):
        execute(job, lease, repository, lambda at=at: at)
    assert [run.started for run in repository.history("old", 5)] == [100 + 91 * day, 100 + 50 * day]


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("since", "started", "outcome", "interruptions", "now", "due"),
    [
        ("2026-11-22T09:59", None, None, 0, "2026-11-22T10:01", True),
        ("2026-11-22T10:01", None, None, 0, "2026-11-22T10:59", False),
        ("2026-11-01T00:00", "2026-11-22T10:00", SUCCEEDED, 0, "2026-11-22T10:59", False),
        ("2026-11-01T00:00", "2026-11-22T10:00", SUCCEEDED, 0, "2026-11-22T11:00", True),
        ("2026-11-01T00:00", "2026-11-22T10:00", FAILED, 0, "2026-11-22T10:30", False),
        ("2026-11-01T00:00", "2026-11-22T10:00", "database-unavailable", 0, "2026-11-22T10:30", True),
        ("2026-11-01T00:00", "2026-11-22T10:00", "storage-full", 0, "2026-11-22T10:30", True),
        ("2026-11-01T00:00", "2026-11-22T10:00", "internal", 0, "2026-11-22T10:30", False),
        ("2026-11-01T00:00", "2026-11-22T10:00", ABANDONED, 0, "2026-11-22T10:30", True),
        ("2026-11-01T00:00", "2026-11-22T10:00", INTERRUPTED, 1, "2026-11-22T10:30", True),
        ("2026-11-01T00:00", "2026-11-22T10:00", INTERRUPTED, 3, "2026-11-22T10:30", False),
    ],
)
def test_when_a_new_leader_runs_a_job_at_once(
    since: str, started: str | None, outcome: str | None, interruptions: int, now: str, due: bool
) -> None:
    begun = at(started) if started else None
    # The code of an error stands for a run that failed with it.
    code = outcome if outcome in ("database-unavailable", "storage-full", "internal") else None
    error = {"class": "SomeError", "code": code} if code else None
    state = JobState("job", HOURLY, at(since), begun, begun, None, FAILED if code else outcome, error, interruptions, 1)
    assert is_due(state, CronTrigger.from_crontab(HOURLY, timezone=UTC), at(now)) is due


def test_the_next_time_is_after_the_instant() -> None:
    assert next_time(HOURLY, UTC, at("2026-11-22T10:00")) == datetime(2026, 11, 22, 11, tzinfo=UTC)


def test_a_time_missed_is_made_up_for_once(store: Store) -> None:
    declared(store, "hourly", HOURLY, clock.now_us() - 5 * 3_600_000_000)
    runs: list[int] = []
    with scheduling(store, "a", Job("hourly", HOURLY, lambda lease: runs.append(lease.fence) or {})):
        until(lambda: state_of(store, "hourly").last_success is not None)
        time.sleep(0.3)
    assert runs == [1]
    with scheduling(store, "b", Job("hourly", HOURLY, lambda lease: runs.append(lease.fence) or {})):
        until(lambda: LeaseRepository(store).held() is not None)
        time.sleep(0.5)
    assert runs == [1]


def test_two_schedulers_run_a_job_once_and_the_second_takes_over(store: Store) -> None:
    declared(store, "hourly", HOURLY, clock.now_us() - 5 * 3_600_000_000)
    runs: list[str] = []

    def by(name: str) -> Job:
        return Job("hourly", HOURLY, lambda _: runs.append(name) or {})

    with scheduling(store, "a", by("a")) as stop_a:
        until(lambda: runs == ["a"])
        with scheduling(store, "b", by("b")):
            time.sleep(1)
            assert runs == ["a"]
            stop_a.set()
            until(lambda: (held := LeaseRepository(store).held()) is not None and held.holder == "b")
    assert runs == ["a"]


def test_a_job_under_way_may_finish_when_the_scheduler_stops(store: Store) -> None:
    declared(store, "slow", HOURLY, clock.now_us() - 5 * 3_600_000_000)
    begun = threading.Event()

    def slow(lease: Lease) -> Mapping[str, object]:
        begun.set()
        time.sleep(0.5)
        lease.check()
        return {"done": True}

    with scheduling(store, "a", Job("slow", HOURLY, slow)):
        assert begun.wait(10)
    assert state_of(store, "slow").last_outcome == SUCCEEDED
    assert LeaseRepository(store).held() is None


def test_a_job_that_goes_on_too_long_leaves_off_and_is_taken_up_by_the_next_leader(store: Store) -> None:
    declared(store, "long", HOURLY, clock.now_us() - 5 * 3_600_000_000)
    begun = threading.Event()

    def endless(lease: Lease) -> Mapping[str, object]:
        begun.set()
        while True:
            lease.check()
            time.sleep(0.02)

    with scheduling(store, "a", Job("long", HOURLY, endless), grace=0.2):
        assert begun.wait(10)
    assert state_of(store, "long").last_outcome == ABANDONED
    assert LeaseRepository(store).held() is None
    with scheduling(store, "b", Job("long", HOURLY, lambda _: {})):
        until(lambda: state_of(store, "long").last_outcome == SUCCEEDED)


def test_a_leader_that_loses_its_lease_tells_its_jobs_and_comes_back(store: Store) -> None:
    declared(store, "watch", HOURLY, clock.now_us() - 5 * 3_600_000_000)
    begun, reported = threading.Event(), threading.Event()

    def watch(lease: Lease) -> Mapping[str, object]:
        begun.set()
        try:
            while not reported.is_set():
                lease.check()
                time.sleep(0.02)
        except LeaseLost:
            reported.set()
            raise
        return {"again": True}

    with scheduling(store, "a", Job("watch", HOURLY, watch)):
        assert begun.wait(10)
        store.collection("leases").update_one({}, [{"$set": {"holder": "b", "fence": 50, "expires": "$$NOW"}}])
        assert reported.wait(10)
        until(lambda: state_of(store, "watch").last_outcome == SUCCEEDED)
    outcomes = [(run.outcome, run.fence) for run in JobRepository(store).history("watch", 5)]
    assert outcomes == [(SUCCEEDED, 51), (ABANDONED, 1)]


def test_a_scheduler_waits_for_a_database_that_is_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    declared(store, "hourly", HOURLY, clock.now_us() - 5 * 3_600_000_000)
    real = LeaseRepository.acquire
    calls = count()

    def away(self: LeaseRepository, holder: str, seconds: float) -> int | None:
        if next(calls) < 2:
            raise DatabaseUnavailable
        return real(self, holder, seconds)

    monkeypatch.setattr(LeaseRepository, "acquire", away)
    with scheduling(store, "a", Job("hourly", HOURLY, lambda _: {}), lease=1):
        until(lambda: state_of(store, "hourly").last_outcome == SUCCEEDED)
    assert next(calls) > 2


def test_a_job_that_failed_in_passing_is_retried_long_before_its_time(store: Store) -> None:
    runs: list[float] = []

    def third_time(_: Lease) -> Mapping[str, object]:
        runs.append(time.monotonic())
        if len(runs) < 4:
            raise DatabaseUnavailable
        return {}

    declared(store, "weekly", WEEKLY, clock.now_us() - 8 * 86_400_000_000)
    with scheduling(store, "a", Job("weekly", WEEKLY, third_time), retry_minutes=(1 / 60, 2 / 60)):
        until(lambda: state_of(store, "weekly").last_outcome == SUCCEEDED)
        time.sleep(2.5)
    assert len(runs) == 4
    # A second, then two, then two again, not four; and the time that the scheduler takes to notice.
    waits = [later - earlier for earlier, later in itertools.pairwise(runs)]
    assert [1.0 <= waits[0] < 2.0, 2.0 <= waits[1] < 3.2, 2.0 <= waits[2] < 3.2] == [True] * 3, waits
    assert [run.outcome for run in JobRepository(store).history("weekly", 9)] == [SUCCEEDED, FAILED, FAILED, FAILED]


def test_a_job_whose_end_could_not_be_recorded_is_retried(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = JobRepository.finished
    calls = count()

    def away(self: JobRepository, run: Run) -> None:
        if next(calls) == 0:
            raise DatabaseUnavailable
        real(self, run)

    monkeypatch.setattr(JobRepository, "finished", away)
    declared(store, "weekly", WEEKLY, clock.now_us() - 8 * 86_400_000_000)
    with scheduling(store, "a", Job("weekly", WEEKLY, lambda _: {}), retry_minutes=(0.1 / 60,)):
        until(lambda: state_of(store, "weekly").last_outcome == SUCCEEDED)
    assert [run.outcome for run in JobRepository(store).history("weekly", 9)] == [SUCCEEDED, INTERRUPTED]


def test_a_job_that_failed_for_good_waits_for_its_time(store: Store) -> None:
    runs: list[int] = []

    def fail(_: Lease) -> Mapping[str, object]:
        runs.append(1)
        raise ValueError

    declared(store, "weekly", WEEKLY, clock.now_us() - 8 * 86_400_000_000)
    with scheduling(store, "a", Job("weekly", WEEKLY, fail), retry_minutes=(0.0,)):
        until(lambda: state_of(store, "weekly").last_outcome == FAILED)
        time.sleep(0.8)
    assert len(runs) == 1


def test_a_stop_does_not_wait_for_a_retry(store: Store) -> None:
    def fail(_: Lease) -> Mapping[str, object]:
        raise DatabaseUnavailable

    declared(store, "weekly", WEEKLY, clock.now_us() - 8 * 86_400_000_000)
    with scheduling(store, "a", Job("weekly", WEEKLY, fail)) as stop:
        until(lambda: state_of(store, "weekly").last_outcome == FAILED)
        stop.set()
        until(lambda: LeaseRepository(store).held() is None, 3)
    # Whoever leads next does not wait either.
    with scheduling(store, "b", Job("weekly", WEEKLY, lambda _: {})):
        until(lambda: state_of(store, "weekly").last_outcome == SUCCEEDED, 3)
    assert [run.outcome for run in JobRepository(store).history("weekly", 9)] == [SUCCEEDED, FAILED]


def test_jobs_with_no_time_passed_only_wait(store: Store) -> None:
    with scheduling(store, "a", Job("rare", NEVER, lambda _: {})):
        until(lambda: [state.name for state in JobRepository(store).states()] == ["rare"])
        time.sleep(0.3)
    assert state_of(store, "rare").last_outcome is None
    assert RUNNING not in str(store.collection("job_runs").find_one())
