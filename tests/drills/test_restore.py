"""Drill: a backup under writers, restored elsewhere by commands that are killed midway; nothing is lost or torn."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from app.core.errors import RestoreUnfinished
from app.people.finding.finder import data_subject_of
from app.settings import Settings, env_name, load
from app.wiring.container import Container
from tests.drills.drilling import LABEL, Senders, own_mongodb, reckon, until
from tests.drills.replicas import replica_set
from tests.served import environment, free_port, serving, statement

# ``sillage restore``, in a process that is gone the n-th time that it comes to a step.
RESTORE = """
import os, signal, sys
from app.cli import main
from app.operations.backup.restoring import Restoring

step, times, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
whole, left = getattr(Restoring, step, None), [times]
def gone(*given):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*given)
if times:
    setattr(Restoring, step, gone)
sys.argv = ["sillage", "restore", file]
main()
"""

KILLS = (("complete", 9), ("_rename", 3), ("finish", 1))


def command(settings: Settings, log: Path, *words: str) -> subprocess.Popen[bytes]:
    """A command of its own process."""
    named = ("data_dir", "mongodb_uri", "organisation", "heartbeat_seconds", "process_ttl_seconds")
    given = {env_name(name): str(getattr(settings, name)) for name in named}
    given["SILLAGE_BIND"] = f"127.0.0.1:{free_port()}"
    with log.open("ab") as out:
        return subprocess.Popen([sys.executable, *words], env=environment(given), stdout=out, stderr=out)


def stored(container: Container) -> dict[str, bytes]:
    """Every statement as it is given, by id."""
    found: dict[str, bytes] = {}
    position = None
    while True:
        rows, position = container.traces.reader.scan(position, 1 << 62, 5_000)
        if position is None:
            return found
        found |= {str(row.id): row.body for row in rows}


def torn(statements: dict[str, bytes], size: dict[str, int]) -> dict[str, int]:
    """Batches of which a part is there."""
    said: Counter[str] = Counter(orjson.loads(body)["context"]["extensions"][LABEL] for body in statements.values())
    return {label: number for label, number in said.items() if number != size[label]}


def test_backed_up_under_writers_and_restored_elsewhere_by_killed_commands(tmp_path: Path) -> None:
    log = tmp_path / "commands.log"
    with own_mongodb(tmp_path / "one") as (uri, _), serving(tmp_path, uri, process_ttl_seconds="1") as server:
        source = server.source()
        with Senders(server, source, threads=3) as senders:
            senders.acknowledged(5)
            before = list(senders.record.ids)
            backup = server.container.operations.backups.create(tmp_path).path
            senders.acknowledged(2)
            senders.finish()
        reckon(server, senders.record)
        here = stored(server.container)
        organisation, keys = server.settings.organisation, server.settings.key_path.read_bytes()
        known = {**senders.record.size}
        assert len(here) > len(before)

    with own_mongodb(tmp_path / "two") as (uri, _):
        elsewhere: dict[str, Any] = {
            "SILLAGE_DATA_DIR": str(tmp_path / "elsewhere"),
            "SILLAGE_MONGODB_URI": uri,
            "SILLAGE_ORGANISATION": organisation,
            "SILLAGE_HEARTBEAT_SECONDS": "0.05",
            "SILLAGE_PROCESS_TTL_SECONDS": "1",
        }
        settings = load(elsewhere)
        settings.data_dir.mkdir(mode=0o700)
        settings.key_path.touch(mode=0o600)
        settings.key_path.write_bytes(keys)
        for step, times in KILLS:
            killed = command(settings, log, "-c", RESTORE, step, str(times), str(backup))
            assert killed.wait(60) == -signal.SIGKILL, (step, log.read_text())
            with pytest.raises(RestoreUnfinished):
                Container(settings).lifecycle.check()
        serve = command(settings, log, "-m", "app.cli", "serve")
        assert serve.wait(60) != 0
        assert "restore-unfinished" in log.read_text()
        done = command(settings, log, "-c", RESTORE, "", "0", str(backup))
        assert done.wait(60) == 0, log.read_text()
        restored = Container(settings)
        restored.lifecycle.start()
        there = stored(restored)
        assert set(before) <= set(there), "acknowledged before the backup, and lost"
        assert there == {id: here[id] for id in there}
        # A batch that was under way is in it whole, or not at all.
        assert torn(there, known) == {}
        assert restored.governance.audit.verify().intact
        restored.close()


def test_who_was_erased_after_the_backup_stays_erased(tmp_path: Path, mongodb_uri: str) -> None:
    """The database is lost with its tombstones; the file beside the key file has them."""
    log = tmp_path / "commands.log"
    gone = {"account": {"homePage": "https://ent.example", "name": "gone"}}
    with serving(tmp_path, mongodb_uri, process_ttl_seconds="1", drop=False) as server:
        source = server.source()
        ids = server.post(source, [statement(actor=gone) for _ in range(5)]).json()
        others = server.post(source, [statement(), statement(actor={"mbox": "mailto:b@ent.example"})]).json()
        (mention,) = server.post(source, statement(object={"objectType": "Agent", **gone})).json()
        backup = server.container.operations.backups.create(tmp_path).path
        server.container.people.erasures.erase(data_subject_of([gone]), actor="cli:test")
        settings = server.settings
        subject = server.container.keys.organisation.subject("account:https://ent.example|gone")
    container = Container(settings)
    container.platform.store.client.drop_database(settings.database)
    try:
        # Gone at the last moment before it is finished, erasures and all; then again.
        killed = command(settings, log, "-c", RESTORE, "finish", "1", str(backup))
        assert killed.wait(60) == -signal.SIGKILL, log.read_text()
        with pytest.raises(RestoreUnfinished):
            Container(settings).lifecycle.check()
        again = Container(settings)
        again.operations.backups.restore(backup)
        again.close()
        container.lifecycle.check()
        there = stored(container)
        assert set(others) <= set(there)
        assert not set(ids) & set(there)
        assert b"gone" not in there[mention]
        assert container.platform.store.collection("subjects").count_documents({"_id": subject}) == 0
    finally:
        container.platform.store.client.drop_database(settings.database)
        container.close()


@pytest.mark.long
def test_one_moment_of_a_replica_set_of_three(tmp_path: Path) -> None:
    with replica_set(tmp_path / "replicas") as replicas:
        given = {"SILLAGE_DATA_DIR": str(tmp_path / "data"), "SILLAGE_MONGODB_URI": replicas.uri}
        container = Container(load(given))
        container.lifecycle.initialise()
        written = container.platform.store.collection("statements")
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                with container.platform.store.transaction() as session:
                    written.insert_many([{"_id": uuid4(), "stored": n} for n in range(10)], session=session)

        writer = threading.Thread(target=write)
        writer.start()
        until(lambda: written.estimated_document_count() > 100)
        made = container.operations.backups.create(tmp_path)
        stop.set()
        writer.join()
        held = made.manifest.parts["statements"].documents
        assert held >= 100
        assert held % 10 == 0, "a transaction is in it in part"
        Container(load(given)).operations.backups.restore(made.path, replace=True)
        assert written.count_documents({}) == held
        container.close()
