"""An account with `readWrite` on the one database of a replica set that asks for accounts: everything works with it.

`docker/compose.yaml` and `docs/operations.md` say that this role is enough.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from click.testing import CliRunner
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from app.commands.jobs import jobs
from app.core.errors import KeyInUse
from app.keys import organisation as organisation_keys
from app.people.finding.finder import data_subject_of
from app.platform.mongo.embedded.server import find_binary
from app.settings import load
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.wiring.container import Container
from tests.served import ACTIVITY, free_port, serving, statement

ORGANISATION = "small"
DATABASE = f"sillage_{ORGANISATION}"
ANA = {"account": {"homePage": "https://ent.example", "name": "ana"}}


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A replica set of one member with a key file, and an account as the compose file makes it."""
    folder = tmp_path_factory.mktemp("auth")
    (folder / "data").mkdir()
    key, port = folder / "keyfile", free_port()
    key.write_text("c2VjcmV0" * 8)
    key.chmod(0o400)
    options = ["--dbpath", str(folder / "data"), "--bind_ip", "127.0.0.1", "--port", str(port), "--quiet"]
    options += ["--replSet", "small", "--keyFile", str(key), "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
    options += ["--setParameter", "diagnosticDataCollectionEnabled=false", "--logpath", str(folder / "mongod.log")]
    server = subprocess.Popen([str(find_binary()), *options], stdout=subprocess.DEVNULL)
    try:
        with MongoClient[dict[str, Any]]("127.0.0.1", port, directConnection=True) as client:
            member = {"_id": 0, "host": f"127.0.0.1:{port}"}
            _again(lambda: client.admin.command("replSetInitiate", {"_id": "small", "members": [member]}))
            # The first account is made without one, from this host.
            _again(lambda: client.admin.command("createUser", "root", pwd="r", roles=["root"]))
        with MongoClient[dict[str, Any]](f"mongodb://root:r@127.0.0.1:{port}/?directConnection=true") as client:
            client[DATABASE].command("createUser", "sillage", pwd="s", roles=["readWrite"])
        yield f"mongodb://sillage:s@127.0.0.1:{port}/?replicaSet=small&authSource={DATABASE}"
    finally:
        server.terminate()
        server.wait(30)


def _again(ask: Any, refused: type[Exception] = PyMongoError) -> None:
    limit = time.monotonic() + 60
    while True:
        try:
            ask()
            return
        except refused:
            assert time.monotonic() < limit
            time.sleep(0.1)


@pytest.fixture
def container(uri: str, tmp_path: Path) -> Iterator[Container]:
    """The container of a process with that account."""
    made = Container(
        load(
            {
                "SILLAGE_DATA_DIR": str(tmp_path / "data"),
                "SILLAGE_MONGODB_URI": uri,
                "SILLAGE_ORGANISATION": ORGANISATION,
                "SILLAGE_HEARTBEAT_SECONDS": "0.05",
                "SILLAGE_PROCESS_TTL_SECONDS": "3",
            }
        )
    )
    yield made
    made.close()
    _empty(uri)


def _empty(uri: str) -> None:
    with MongoClient[dict[str, Any]](uri) as client:
        for name in client[DATABASE].list_collection_names():
            client[DATABASE].drop_collection(name)


def test_the_account_is_as_small_as_it_is_said_to_be(container: Container) -> None:
    for forbidden in (
        lambda: container.platform.store.client["sillage_other"]["x"].insert_one({}),
        lambda: container.platform.store.client.admin.command("replSetGetStatus"),
        lambda: container.platform.store.client.admin.command("setParameter", 1, transactionLifetimeLimitSeconds=1),
        lambda: container.platform.store.db.command("createUser", "x", pwd="x", roles=[]),
    ):
        with pytest.raises(OperationFailure):
            forbidden()


def test_everything_works_with_it(container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container.lifecycle.initialise()
    # Keys are replaced below without waiting for who knows of it: this process looks each time.
    container.keys.__dict__["organisation"] = organisation_keys.unlock(
        container.platform.store, container.keys.keyring, ORGANISATION, keep_seconds=0
    )
    container.governance.register.add(orjson.dumps(ACTIVITY))
    source, _ = container.operations.sources.add(
        "tutor", name="Tutor", activity=ACTIVITY["id"], scopes=["all"], actor="cli:test"
    )
    container.lifecycle.start()
    sent = [statement(id=str(uuid4()), actor=ANA) for _ in range(5)]
    container.traces.recorder.record(orjson.dumps(sent), source, Version.V2)
    assert len(container.traces.statement_queries.page(StatementQuery(limit=10), Reader("a", None)).bodies) == 5
    # A scheduler runs each in a thread of its own; here what there is to export is counted first.
    for job in sorted(container.jobs, key=lambda job: job.name == "export"):
        assert f"{job.name}: succeeded" in _run(container, job.name)
    container.operations.key_service.status()
    assert container.operations.key_service.verify().whole
    container.operations.key_service.rotate()
    container.operations.key_service.rewrap()
    monkeypatch.setattr("app.operations.rotation.kek.RETIREMENT_GRACE", timedelta(0))
    # Once what this process says of itself has been renewed.
    _again(lambda: container.operations.key_service.retire(1), KeyInUse)
    for rotation in (container.operations.index_rotation, container.operations.documents_rotation):
        monkeypatch.setattr(rotation, "_settle", 0.0)
    container.operations.index_rotation.rotate()
    assert container.operations.index_rotation.reindex().finished
    assert container.operations.documents_rotation.rotate().finished
    written = container.operations.backups.create(tmp_path)
    erasure = container.people.erasures.erase(data_subject_of([ANA]), actor="cli:test")
    assert container.people.erasures.advance(erasure.id).receipt
    assert container.governance.audit.verify().intact
    container.close()
    again = Container(container.settings)
    try:
        restored = again.operations.backups.restore(written.path, replace=True)
        assert (restored.tombstones, restored.erased) == (2, 1)
        assert again.governance.audit.verify().intact
    finally:
        again.close()


def _run(container: Container, name: str) -> str:
    answer = CliRunner().invoke(jobs, ["run", name], obj=container)
    return answer.output if answer.exception is None else str(answer.exception)


def test_a_server_serves_with_it(uri: str, tmp_path: Path) -> None:
    try:
        with serving(tmp_path, uri, organisation=ORGANISATION, drop=False) as server:
            sender = server.source(scopes=["statements/write"])
            assert server.post(sender, [statement(actor=ANA)]).status_code == 200
            assert server.send("GET", "/readyz").status_code == 200
    finally:
        _empty(uri)
