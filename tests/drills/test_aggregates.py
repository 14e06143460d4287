"""Drill: aggregates are refreshed while statements arrive, and refreshing processes are killed midway."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from app.core.errors import DatabaseUnavailable, LeaseLost
from app.research.store import AggregateRepository
from app.settings import env_name
from tests.drills.drilling import Senders, impatient, own_mongodb, reckon, until
from tests.research.counted import totals
from tests.served import Server, environment, serving

# ``sillage aggregate run``, in steps small enough to be killed between two of them.
PROGRAM = """
import sys
from app.research import refresh
from app.cli import main
refresh.PARTITION = refresh.STEP = 40
sys.argv = ["sillage", "aggregate", "run"]
main()
"""


def killed_midway(server: Server) -> bool:
    """Run the aggregation in a process and kill it after its second commit; false when it was done before."""
    settings = server.settings
    given = {
        env_name(name): str(getattr(settings, name))
        for name in ("data_dir", "mongodb_uri", "organisation", "heartbeat_seconds", "process_ttl_seconds")
    }
    states = server.container.platform.store.collection("aggregate_state")

    def sequence() -> int:
        return sum(state["sequence"] for state in states.find({}))

    before = sequence()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment(given),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: sequence() >= before + 2 or process.poll() is not None)
        return process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_every_statement_is_counted_once(tmp_path: Path) -> None:
    with own_mongodb(tmp_path / "mongodb") as (uri, _), serving(tmp_path, uri) as server:
        impatient(uri)
        aggregates = server.container.research.aggregates
        writers = [server.source() for _ in range(2)]
        runs = Counter[str]()
        stop = threading.Event()

        def refresh() -> None:
            while not stop.is_set():
                try:
                    aggregates.run()
                    runs["whole"] += 1
                except (LeaseLost, DatabaseUnavailable) as refused:
                    runs[refused.code] += 1
                time.sleep(0.05)

        with Senders(server, writers[0], threads=2) as one, Senders(server, writers[1], threads=2) as two:
            one.acknowledged(15)
            two.acknowledged(15)
            assert killed_midway(server), "it was done before it could be killed"
            refreshing = threading.Thread(target=refresh)
            refreshing.start()
            try:
                killed_midway(server)
                one.acknowledged(5)
                one.finish()
                two.finish()
            finally:
                stop.set()
                refreshing.join()
        assert runs["whole"]
        until(lambda: not settled(server))
        reckon(server, one.record, two.record)
        stored = Counter(
            document["source"]
            for document in server.container.platform.store.collection("statements").find({}, {"source": 1})
        )
        counted = Counter[str]()
        # As counted: what was shown first follows when enough learners have changed, and today when it is over.
        for row in totals(
            AggregateRepository(server.container.platform.store, server.container.keys.organisation), by=("source",)
        ):
            counted[row["source"]] += row["statements"]
        assert counted == stored


def settled(server: Server) -> int:
    """Run once more; how many statements were new."""
    try:
        return server.container.research.aggregates.run().statements
    except DatabaseUnavailable:
        return 1
