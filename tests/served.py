"""A real server for tests: ``sillage serve`` with two workers, on a free port, over the tests' MongoDB."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pymongo
import requests

from app.access.credentials import NewCredential
from app.settings import Settings, load
from app.wiring.container import Container
from tests.places import ROOT

ACTIVITY = orjson.loads((ROOT / "docs" / "examples" / "processing-activities" / "p2ia.json").read_bytes())
# Names and addresses that tests send stay as they are; what an entry about minors does to them has tests of its own.
ACTIVITY["minors"] = False


def free_port(host: str = "127.0.0.1") -> int:
    """A port of this host that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def statement(**changes: Any) -> dict[str, Any]:
    """A small valid statement."""
    return {
        "actor": {"objectType": "Agent", "account": {"homePage": "https://ent.example", "name": "eleve-1"}},
        "verb": {"id": "http://adlnet.gov/expapi/verbs/experienced", "display": {"en": "experienced"}},
        "object": {"objectType": "Activity", "id": "https://ent.example/lessons/1"},
        **changes,
    }


class Server:
    """A running server, its settings, and the container with which a test does what an operator does."""

    def __init__(
        self,
        settings: Settings,
        container: Container,
        process: subprocess.Popen[bytes],
        log: Path,
        environ: Mapping[str, str],
    ) -> None:
        self.settings = settings
        self.container = container
        self.process = process
        self.log = log
        self.environ = environ
        self.url = settings.public_url
        self.xapi = f"{self.url}/xAPI"

    def source(self, name: str = "", **options: Any) -> NewCredential:
        """Register a source; its first credential."""
        id = name or f"source-{uuid4().hex[:8]}"
        wanted = {"name": id, "activity": ACTIVITY["id"], "actor": "cli:test", **options}
        return self.container.operations.sources.add(id, **wanted)[1]

    def credential(self, *scopes: str, source: str | None = None) -> NewCredential:
        """A credential with these scopes."""
        return self.container.operations.sources.issue(source=source, label="test", scopes=scopes, actor="cli:test")

    def send(
        self,
        method: str,
        path: str,
        credential: NewCredential | None = None,
        *,
        version: str | None = "1.0.3",
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> requests.Response:
        """One request; ``path`` under the server's root, or an absolute path as a ``more`` link gives it."""
        sent = dict(headers or {})
        if version is not None:
            sent.setdefault("X-Experience-API-Version", version)
        body = data
        if json is not None:
            body = orjson.dumps(json)
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        auth = (credential.id, credential.secret) if credential else None
        return requests.request(method, self.url + path, headers=sent, data=body, params=params, auth=auth, timeout=60)

    def post(self, credential: NewCredential | None, content: Any, **options: Any) -> requests.Response:
        """POST statements."""
        return self.send("POST", "/xAPI/statements", credential, json=content, **options)

    def get(self, credential: NewCredential | None, **params: Any) -> requests.Response:
        """GET statements."""
        return self.send("GET", "/xAPI/statements", credential, params=params)


def environment(settings_given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: this one's, less any setting, plus those given."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("SILLAGE_", "PROMETHEUS_"))}
    return {**kept, **settings_given}


@contextmanager
def serving(
    folder: Path, mongodb_uri: str, *, environ: Mapping[str, str] | None = None, drop: bool = True, **changes: str
) -> Iterator[Server]:
    """Start a server over a database of its own; stopped, and the database dropped, afterwards.

    ``environ`` is added to the environment of the server; ``drop``: the database is its own; ``changes`` are settings.
    """
    port = free_port()
    given = {
        "SILLAGE_DATA_DIR": str(folder / "data"),
        "SILLAGE_MONGODB_URI": mongodb_uri,
        "SILLAGE_ORGANISATION": f"t{uuid4().hex[:10]}",
        "SILLAGE_BIND": f"127.0.0.1:{port}",
        "SILLAGE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "SILLAGE_WORKERS": "2",
        "SILLAGE_HEARTBEAT_SECONDS": "0.1",  # more often, servers that idle take a seventh of a core
        "SILLAGE_PROCESS_TTL_SECONDS": "2",
        **{f"SILLAGE_{name.upper()}": text for name, text in changes.items()},
    }
    settings = load(given)
    container = Container(settings)
    container.lifecycle.initialise()
    container.governance.register.add(orjson.dumps(ACTIVITY))
    log = folder / f"serve-{port}.log"
    environ = {**environment(given), **(environ or {})}
    process = _start(environ, log)
    try:
        wait_ready(f"http://127.0.0.1:{port}", process, log)
        yield Server(settings, container, process, log, environ)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if drop:
            # What other tests write at this moment goes to disk first.
            with pymongo.timeout(60):
                container.platform.store.client.drop_database(settings.database)
        container.close()


def _start(environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen([sys.executable, "-m", "app.cli", "serve"], env=environ, stdout=out, stderr=out)


@contextmanager
def restarted(server: Server) -> Iterator[None]:
    """Start a server that has ended anew, with its settings; ``server.process`` is the new one."""
    server.process.wait()
    server.process = _start(server.environ, server.log)
    try:
        wait_ready(server.url, server.process, server.log)
        yield
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)


def wait_ready(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 90) -> None:
    """Wait until the server says that it is ready."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        assert process.poll() is None, log.read_text()
        try:
            if requests.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        except requests.RequestException:  # not there yet, or too busy starting
            pass
        time.sleep(0.05)
    raise AssertionError(log.read_text())
