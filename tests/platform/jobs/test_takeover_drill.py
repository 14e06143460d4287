"""Drill: the leading process is killed in the middle of a job, and another takes over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.core import clock
from app.platform.jobs.store import INTERRUPTED, SUCCEEDED, JobRepository, LeaseRepository
from app.platform.mongo.connection import Store
from tests.places import ROOT

LEASE_SECONDS = 2.0

# Counts to 20 in the database, one step at a time, and goes on from where the one before it was.
PROGRAM = """
import signal, sys, threading, time
from app.platform.jobs.lease import Leadership
from app.platform.jobs.run import Job
from app.platform.jobs.scheduler import Scheduler
from app.core import clock
from app.platform.mongo.connection import Store
from app.platform.jobs.store import JobRepository, LeaseRepository

uri, database, holder, seconds = sys.argv[1:]
store = Store.open(uri, database, timeout_seconds=10)
steps = store.collection("steps")

def run(lease):
    for n in range(steps.count_documents({}), 20):
        lease.check()
        steps.insert_one({"_id": n, "by": holder, "fence": lease.fence})
        time.sleep(0.1)
    return {"steps": 20}

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
leadership = Leadership(LeaseRepository(store), holder, float(seconds), time.monotonic)
Scheduler([Job("count", "0 * * * *", run)], leadership, JobRepository(store), clock.now_us, grace_seconds=0.1).run(stop)
"""


@pytest.fixture
def processes(store: Store, mongodb_uri: str, database_name: str) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    JobRepository(store).declare({"count": "0 * * * *"}, clock.now_us() - 5 * 3_600_000_000)
    with ExitStack() as stack:
        started = {}
        for holder in ("a", "b"):
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, mongodb_uri, database_name, holder, str(LEASE_SECONDS)],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
            )
            stack.callback(process.wait, 20)
            stack.callback(process.kill)
            started[holder] = process
        yield started


def leader(store: Store) -> str | None:
    held = LeaseRepository(store).held()
    return held.holder if held else None


def until_steps(store: Store, number: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while store.collection("steps").count_documents({}) < number:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_leader_that_ends_in_mid_job_is_replaced_and_its_job_resumed(
    store: Store, processes: dict[str, subprocess.Popen[bytes]], number: int
) -> None:
    until_steps(store, 5, 60)
    first = leader(store)
    assert first is not None
    os.kill(processes[first].pid, number)
    ended = time.monotonic()
    before = store.collection("steps").count_documents({})
    until_steps(store, before + 2, 60)
    # The lease, the pause between two attempts of who waits for it, and much for a busy machine.
    assert time.monotonic() - ended < LEASE_SECONDS * 4 / 3 + 15
    until_steps(store, 20, 60)
    deadline = time.monotonic() + 60
    repository = JobRepository(store)
    while repository.history("count", 1)[0].outcome != SUCCEEDED:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = leader(store)
    assert second not in (None, first)
    # Each step was made by one leader only, and the fence went up with the take-over.
    steps = list(store.collection("steps").find().sort("_id", 1))
    makers = [step["by"] for step in steps]
    assert makers == [first] * makers.count(first) + [second] * makers.count(second)
    assert steps[-1]["fence"] > steps[0]["fence"]
    runs = repository.history("count", 5)
    assert [run.outcome for run in runs] == [SUCCEEDED, INTERRUPTED if number == signal.SIGKILL else "abandoned"]
