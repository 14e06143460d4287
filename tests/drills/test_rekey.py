"""Drill: learners get new keys under writers, by a process that is killed again and again; nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.crypto.keys import Wrapped, subject_place
from app.keys.rekeying import RekeyRepository, Stage
from tests.drills.drilling import Senders, reckon, until
from tests.served import environment, serving

# ``sillage keys rekey-learners``, in steps small enough to be killed between two of them, and no wait for commands that
# nobody runs here.
REKEY = """
import sys
from app.cli import main
from app.operations import wiring
from app.operations.rotation import rekey
wiring.KEEP_SECONDS = 1
rekey.BATCH = rekey.GIVEN_AT_ONCE = 10
rekey.CLAIM_SECONDS = 0.5
sys.argv = ["sillage", "keys", "rekey-learners", "--share", "0.5"]
main()
"""
KILLS = 8


@pytest.mark.long
def test_a_rekey_killed_again_and_again_under_writers_ends_and_loses_nothing(tmp_path: Path, mongodb_uri: str) -> None:
    with serving(tmp_path, mongodb_uri) as server:
        container, source = server.container, server.source()
        given = {name: text for name, text in server.environ.items() if name.startswith("SILLAGE_")}
        given["SILLAGE_MONGODB_TIMEOUT_SECONDS"] = "1"
        random, repository = Random(49), RekeyRepository(container.platform.store)

        def rekey() -> subprocess.Popen[bytes]:
            with (tmp_path / "commands.log").open("ab") as out:
                return subprocess.Popen([sys.executable, "-c", REKEY], env=environment(given), stdout=out, stderr=out)

        with Senders(server, source, threads=2) as senders:
            senders.acknowledged(20)
            old = {
                bytes(one["_id"]): container.keys.keyring.unwrap(
                    subject_place(server.settings.organisation, bytes(one["_id"])), Wrapped(one["version"], one["key"])
                )
                for one in container.platform.store.collection("subjects").find({})
            }
            assert old
            kills, stages = 0, set()
            while True:
                process = rekey()
                # The first second is the start of Python.
                try:
                    ended = process.wait(random.uniform(1.5, 6.0) if kills < KILLS else 180)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    kills += 1
                    state = repository.latest()
                    stages.add(None if state is None else state.stage)
                    senders.acknowledged(2)
                    continue
                assert ended == 0, (tmp_path / "commands.log").read_text()
                break
            assert kills
            senders.acknowledged(3)
            senders.finish()
        done = repository.latest()
        assert done is not None
        assert (done.number, done.stage, done.unopened) == (1, Stage.DONE, 0)
        assert container.platform.store.collection("subjects").count_documents({"next": {"$exists": True}}) == 0
        rows = container.traces.statements.span(None, 1 << 62, 1_000_000)
        known = [row for row in rows if row.subject in old]
        assert known
        keys = [AESGCM(old[row.subject]) for row in known]
        assert set(container.traces.bodies.decrypt([(row.id, row.body) for row in known], keys)) == {None}
        assert len(container.traces.reader.decrypted(rows)) == len(rows)
        assert reckon(server, senders.record)
        until(
            lambda: not container.platform.store.collection("rekeyings").count_documents({"claim": {"$exists": True}})
        )
        print("killed", kills, "times, at", sorted(map(str, stages)))
