"""Drill: the index key is replaced under writers, by processes that are killed midway; all is found, nothing stays."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from app.keys.organisation import Stage, index_keys, index_state
from app.settings import load
from app.wiring.container import Container
from tests.drills.drilling import Senders, impatient, own_mongodb, reckon, until
from tests.drills.test_keys import command
from tests.operations.rotation.test_index_key import erasure_targets
from tests.served import environment, serving

# ``sillage keys …`` in a process that is gone at one moment of it.
COMMAND = """
import os, signal, sys
from app.cli import main
from app.governance.wiring import Sink
from app.keys import organisation as organisation_keys

moment = sys.argv[1]
def after(holder, name, skipped=0):
    function, left = getattr(holder, name), [skipped + 1]
    def wrapped(*given, **named):
        made = function(*given, **named)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return made
    setattr(holder, name, wrapped)

if moment == "recorded":
    after(Sink, "append")
elif moment == "given out":
    after(organisation_keys, "begin_index")
elif moment == "moving":
    after(organisation_keys, "move_index")
elif moment == "end recorded":
    after(Sink, "append")
elif moment == "destroyed":
    after(organisation_keys, "finish_index")
sys.argv = ["sillage", "keys", *sys.argv[2:]]
main()
"""

# ``sillage keys reindex``, in steps small enough to be killed between two of them.
REINDEX = """
import sys
from app.operations.rotation import index_key
from app.cli import main
index_key.BATCH = 20
sys.argv = ["sillage", "keys", "reindex", "--share", "0.5"]
main()
"""

MOMENTS = (
    ("recorded", ("rotate", "--index"), 1, None),
    ("given out", ("rotate", "--index"), 1, Stage.GIVEN_OUT),
    ("moving", ("rotate", "--index"), 1, Stage.MOVING),
    ("end recorded", ("reindex",), 1, Stage.MOVING),
    ("destroyed", ("reindex",), 2, None),
)


@pytest.mark.long
def test_a_rotation_of_the_index_key_killed_at_any_moment_goes_on(tmp_path: Path, mongodb_uri: str) -> None:
    given = {
        "SILLAGE_DATA_DIR": str(tmp_path / "data"),
        "SILLAGE_MONGODB_URI": mongodb_uri,
        "SILLAGE_ORGANISATION": f"t{uuid4().hex[:10]}",
        "SILLAGE_HEARTBEAT_SECONDS": "0.05",
        "SILLAGE_PROCESS_TTL_SECONDS": "1",
        "SILLAGE_MONGODB_TIMEOUT_SECONDS": "1",
    }
    container = Container(load(given))
    container.lifecycle.initialise()
    try:
        organisation = container.settings.organisation
        first = index_keys(container.platform.store, container.keys.keyring, organisation).writing.token("verb", "x")
        for moment, words, generation, stage in MOMENTS:
            if words == ("reindex",) and index_state(container.platform.store, organisation).stage is None:
                container.operations.index_rotation.rotate()
            process = subprocess.run(
                [sys.executable, "-c", COMMAND, moment, *words],
                env=environment(given),
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert process.returncode == -signal.SIGKILL, (moment, process.stderr)
            state = index_state(container.platform.store, organisation)
            assert (state.generation, state.stage) == (generation, stage), moment
            # Who starts now knows what to write and what to search.
            Container(container.settings).lifecycle.check()
        assert container.operations.index_rotation.reindex().finished is False
        last = index_keys(container.platform.store, container.keys.keyring, organisation)
        assert last.other is None
        assert last.writing.token("verb", "x") != first
    finally:
        container.platform.store.client.drop_database(container.settings.database)
        container.close()


@pytest.mark.long
def test_a_reindex_killed_under_writers_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    with (
        own_mongodb(tmp_path / "mongodb") as (uri, _),
        serving(tmp_path, uri, mongodb_timeout_seconds="2") as server,
    ):
        impatient(uri)
        container = server.container
        old = index_keys(container.platform.store, container.keys.keyring, container.settings.organisation).writing
        rotation, source, reader = (
            container.operations.index_rotation,
            server.source(),
            server.credential("statements/read"),
        )
        with Senders(server, source, threads=3) as senders:
            senders.acknowledged(20)
            assert rotation.rotate() == 2
            # Before long nobody writes with the old one any more, though nobody was started anew.
            until(lambda: rotation.status().seconds > server.settings.process_ttl_seconds)
            left = rotation.status().left
            senders.acknowledged(3)
            assert rotation.status().left == left
            process = command(server, "-c", REINDEX)
            until(lambda: rotation.status().left <= left - 100 or process.poll() is not None)
            assert process.poll() is None, "it was done before it could be killed"
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert 0 < rotation.status().left < left
            senders.acknowledged(3)
            done = rotation.reindex()
            assert (done.unopened, done.finished) == (0, True)
            senders.acknowledged(3)
            senders.finish()
        reckon(server, senders.record)
        assert erasure_targets(container, old) == []
        # Each learner's statements are found, all of them.
        rows = container.traces.reader.decrypted(container.traces.statements.span(None, 1 << 62, 1_000_000))
        actors = Counter(orjson.dumps(orjson.loads(row.body)["actor"]) for row in rows)
        for actor, count in actors.most_common(5):
            answer = server.get(reader, agent=actor.decode(), limit=500)
            assert answer.status_code == 200
            assert len(answer.json()["statements"]) == count
