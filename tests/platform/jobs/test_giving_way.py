"""Jobs leave the processors to those who answer; what keeps the lead does not."""

from __future__ import annotations

import subprocess
import sys

import orjson
import pytest

from app.core import clock
from app.platform.jobs.store import JobRepository
from app.platform.mongo.connection import Store
from tests.places import ROOT

# One job, which is due: what its thread, a thread that it starts, the lease's thread and the process's group have.
PROGRAM = """
import json, os, subprocess, sys, threading, traceback
from pathlib import Path
from app.platform.jobs.lease import Leadership
from app.platform.jobs.run import Job
from app.platform.jobs.scheduler import Scheduler
from app.core import clock
from app.platform.mongo.connection import Store
from app.platform.jobs.store import JobRepository, LeaseRepository

uri, database, company = sys.argv[1:]
# It ends when this process does.
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
other = subprocess.Popen(["cat"], **pipes) if company else None
store = Store.open(uri, database, timeout_seconds=10)
stop = threading.Event()
found = {}

def nice(thread):
    return os.getpriority(os.PRIO_PROCESS, thread)

def look(name):
    found[name] = nice(threading.get_native_id())

def run(lease):
    try:
        look("job")
        started = threading.Thread(target=look, args=("started",))
        started.start()
        started.join()
        found["lease"] = next(nice(each.native_id) for each in threading.enumerate() if each.name == "lease")
        group = Path("/proc/self/autogroup")
        # Nothing is said of those that no session was made for, as under a machine's first process.
        said = group.read_text().split() if group.exists() else []
        found["group"] = int(said[-1]) if said else None
        return {}
    except Exception:
        traceback.print_exc()
        raise
    finally:
        stop.set()

before = nice(0)
leadership = Leadership(LeaseRepository(store), "one", 10.0, clock.steady)
Scheduler([Job("look", "0 * * * *", run)], leadership, JobRepository(store), clock.now_us).run(stop)
if other:
    other.communicate()
print(json.dumps({**found, "before": before}))
"""


@pytest.mark.parametrize(("session", "company"), [(False, ""), (True, ""), (True, "company")])
def test_threads_of_jobs_have_a_low_priority_and_so_has_a_session_of_their_own(
    store: Store, mongodb_uri: str, database_name: str, session: bool, company: str
) -> None:
    JobRepository(store).declare({"look": "0 * * * *"}, clock.now_us() - 5 * 3_600_000_000)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mongodb_uri, database_name, company],
        cwd=ROOT,
        start_new_session=session,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    found = orjson.loads(done.stdout.splitlines()[-1])
    assert found["job"] == found["started"] == max(10, found["before"])
    assert found["lease"] == found["before"]
    if session and found["group"] is not None:
        # Whoever shares the session, as an embedded MongoDB may, keeps its priority.
        assert found["group"] == (0 if company else 10)
