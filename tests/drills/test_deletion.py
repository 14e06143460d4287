"""Drill: what a source sent is deleted on the operator's word while others send; the command is killed midway."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.core import clock
from app.retention.certificate_store import DELETING, DONE
from app.settings import Settings, env_name
from app.wiring.container import Container
from tests.drills.drilling import Senders
from tests.drills.test_restore import stored
from tests.served import environment, free_port, serving

# ``sillage source delete-data``, in a process that is gone the n-th time that it comes to a step.
DELETE = """
import os, signal, sys
from app.cli import main
from app.retention import deletions
from app.retention import certificate_store as certificates

deletions.BATCH = 40
name, step, times, until = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
kind = getattr(certificates, name)
whole, left = getattr(kind, step), [times]
def gone(*given):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*given)
if times:
    setattr(kind, step, gone)
said = ["--execute", "--yes", "--decided-by", "DPO", "--reason", "a drill"]
sys.argv = ["sillage", "source", "delete-data", "gone", "--to", until, *said]
main()
"""


def command(settings: Settings, log: Path, *words: str) -> int:
    named = ("data_dir", "mongodb_uri", "organisation", "heartbeat_seconds", "process_ttl_seconds")
    given = {env_name(name): str(getattr(settings, name)) for name in named}
    given["SILLAGE_BIND"] = f"127.0.0.1:{free_port()}"
    with log.open("ab") as out:
        return subprocess.run(
            [sys.executable, "-c", DELETE, *words], env=environment(given), stdout=out, stderr=out, timeout=120
        ).returncode


def of(container: Container, source: str) -> dict[str, Any]:
    return {
        str(row["_id"]): row["stored"]
        for row in container.platform.store.collection("statements").find({"source": source}, {"stored": 1})
    }


@pytest.mark.long
def test_a_deletion_that_is_killed_again_and_again_deletes_all_it_said_and_nothing_else(
    tmp_path: Path, mongodb_uri: str
) -> None:
    log = tmp_path / "commands.log"
    with serving(tmp_path, mongodb_uri, process_ttl_seconds="2") as server:
        theirs, others = server.source("gone"), server.source("stays")
        with Senders(server, theirs, threads=1) as leaving, Senders(server, others, threads=1) as staying:
            leaving.acknowledged(10)
            # To the second, as the command takes it.
            until = clock.now_us() // 1_000_000 * 1_000_000 + 1_000_000
            while clock.now_us() < until + 500_000:
                leaving.acknowledged(1)
            word = _moment(until)
            for name, step, times in (
                ("CertificateRepository", "begin_batch", 2),
                ("Removal", "delete", 2),
                ("CertificateRepository", "end_batch", 2),
                ("CertificateRepository", "finish", 1),
            ):
                killed = command(server.settings, log, name, step, str(times), word)
                assert killed == -signal.SIGKILL, (step, log.read_text())
                assert [act.phase for act in server.container.retention.certificates.newest()] == [DELETING]
            assert command(server.settings, log, "Removal", "delete", "0", word) == 0, log.read_text()
            leaving.acknowledged(2)
            staying.finish()
            leaving.finish()
        assert set(of(server.container, "stays")) == set(staying.record.ids)
        left = of(server.container, "gone")
        assert left, "what came later stays"
        assert min(left.values()) >= until
        (act,) = server.container.retention.certificates.newest()
        assert act.phase == DONE
        sent = {str(id) for id in leaving.record.ids}
        assert set(left) <= sent
        # Each that went was counted once, however often the command was killed.
        assert act.counts["statements"] == len(sent - set(left))
        assert act.document is not None
        assert orjson.loads(act.document)["content"]["counts"]["statements"] == act.counts["statements"]
        assert server.container.governance.audit.verify().intact
        assert set(stored(server.container)) >= set(left)


def _moment(us: int) -> str:
    return datetime.fromtimestamp(us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
