"""Drill: readings are audited in the spool, and its host is killed, fills up, or is tampered with."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.access.credentials import NewCredential
from app.crypto import kinds
from app.governance.audit.log import STATEMENTS_READ
from app.governance.audit.spool_file import parsed
from app.governance.audit.store import AuditRepository
from tests.drills.drilling import children, ready, until
from tests.drills.test_full_disk import fill
from tests.served import Server, restarted, serving, statement


class Readers:
    """Threads that ask for statements, each time of a verb of its own, whose token the audit log keeps."""

    def __init__(self, server: Server, credential: NewCredential, *, threads: int = 4) -> None:
        self.server = server
        self.acknowledged: list[int] = []
        self.refused: Counter[tuple[int, str]] = Counter()
        self._credential = credential
        self._serial = iter(range(1, 1_000_000))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Let the readings under way end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def more(self, count: int) -> None:
        """Wait until that many more readings are answered."""
        goal = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= goal)

    def _run(self) -> None:
        session = requests.Session()
        session.auth = (self._credential.id, self._credential.secret)
        session.headers["X-Experience-API-Version"] = "1.0.3"
        while not self._stop.is_set():
            with self._lock:
                serial = next(self._serial)
            try:
                answer = session.get(f"{self.server.xapi}/statements", params={"verb": verb(serial)}, timeout=30)
            except requests.RequestException:
                self._stop.wait(0.05)
                continue
            if answer.status_code == 200:
                self.acknowledged.append(serial)
            else:
                self.refused[answer.status_code, str(answer.json().get("code"))] += 1
                self._stop.wait(0.05)


def verb(serial: int) -> str:
    return f"https://drill.example/verbs/{serial}"


def lost(server: Server, readers: Readers) -> set[int]:
    """The readings that were answered and have no entry in MongoDB."""
    entries = AuditRepository(server.container.platform.store).of_kinds((STATEMENTS_READ,))
    audited = {token for entry in entries for token in entry.detail.get("tokens", ())}  # type: ignore[attr-defined]
    named = server.container.keys.organisation.named
    return {serial for serial in readers.acknowledged if named(kinds.VERB, verb(serial)).hex() not in audited}


def crash(server: Server) -> None:
    """End everything of a server at once, as a host that fails."""
    workers = children(server.process.pid)
    os.kill(server.process.pid, signal.SIGSTOP)
    for pid in (*workers, server.process.pid):
        os.kill(pid, signal.SIGKILL)
    server.process.wait()


def reading(tmp_path: Path, server: Server) -> Readers:
    assert server.post(server.source(), [statement()]).status_code == 200
    return Readers(server, server.credential("statements/read"))


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def names(spool: Path) -> list[str]:
    return sorted(path.name for path in spool.iterdir())


def test_a_killed_worker_loses_no_entry_and_its_neighbour_ships_them(
    tmp_path: Path, spool: Path, mongodb_uri: str
) -> None:
    with serving(tmp_path, mongodb_uri, audit_spool_dir=str(spool)) as server, reading(tmp_path, server) as readers:
        readers.more(50)
        for _ in range(2):
            os.kill(children(server.process.pid)[0], signal.SIGKILL)
            readers.more(50)
        readers.finish()
        until(lambda: not lost(server, readers), 10)
        until(lambda: len(names(spool)) <= 2, 10)
        assert server.container.governance.audit.verify().intact
        server.process.terminate()
        server.process.wait(30)
        # Drained at a graceful stop, and every chain has its end.
        assert names(spool) == []
        outcome = server.container.governance.audit.verify()
        assert outcome.intact
        assert not [chain for chain in outcome.open if chain.host]


def test_a_host_that_failed_ships_its_full_spool_when_it_is_back(tmp_path: Path) -> None:
    # With the embedded MongoDB, where the spool needs no setting.
    with serving(tmp_path, "") as server:
        spool = server.settings.data_dir / "audit-spool"
        with reading(tmp_path, server) as readers:
            readers.more(100)
            crash(server)
            readers.finish()
        assert lost(server, readers), "nothing waited: the drill shows nothing"
        assert names(spool)
        with restarted(server):
            until(lambda: not lost(server, readers), 10)
            assert ready(server) == 200
            assert server.container.governance.audit.verify().intact


def test_a_spool_that_was_tampered_with_is_kept_and_told_of(tmp_path: Path, spool: Path, mongodb_uri: str) -> None:
    with serving(tmp_path, mongodb_uri, audit_spool_dir=str(spool)) as server:
        with reading(tmp_path, server) as readers:
            readers.more(60)
            crash(server)
            readers.finish()
        path = max(spool.iterdir(), key=lambda each: each.read_bytes().count(b"\n"))
        lines = path.read_bytes().rstrip(b"\0").splitlines(keepends=True)
        hidden = parsed(lines[-3].rstrip(b"\n"))
        assert hidden is not None
        path.write_bytes(
            b"".join([*lines[:-3], lines[-3].replace(b"statements-read", b"statements-sent"), *lines[-2:]])
        )
        with restarted(server):
            until(lambda: f"{path.name}.damaged" in names(spool), 10)
            named = server.container.keys.organisation.named
            left = {named(kinds.VERB, verb(serial)).hex() for serial in lost(server, readers)}
            assert left <= {*hidden.detail["tokens"]}, "what is genuine is shipped"  # type: ignore[misc]
            found = server.container.governance.audit.verify()
            assert {finding.kind for finding in found.findings} >= {"damaged", "missing"}
            assert "a spool of the audit log was altered" in server.log.read_text()
            assert ready(server) == 200


def test_a_spool_of_another_store_is_left_alone(tmp_path: Path, spool: Path, mongodb_uri: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    with serving(tmp_path / "one", mongodb_uri, audit_spool_dir=str(spool)) as other:
        with reading(tmp_path, other) as readers:
            readers.more(20)
            crash(other)
            readers.finish()
        before = {path: path.read_bytes() for path in spool.iterdir()}
        assert before
        with serving(tmp_path / "other", mongodb_uri, audit_spool_dir=str(spool)) as server:
            with reading(tmp_path, server) as readers:
                readers.more(20)
            until(lambda: "a spool of another store was left alone" in server.log.read_text(), 10)
            assert {path: path.read_bytes() for path in before} == before
            assert server.container.governance.audit.verify().intact
        assert set(spool.iterdir()) == before.keys()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own for the spool."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system to fill")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "drill", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_refuses_readings_and_room_heals(tmp_path: Path, disk: Path, mongodb_uri: str) -> None:
    with serving(tmp_path, mongodb_uri, audit_spool_dir=str(disk / "spool")) as server:
        with reading(tmp_path, server) as readers:
            readers.more(20)
            fill(disk)
            until(lambda: readers.refused[503, "audit-unavailable"] > 20)
            assert set(readers.refused) == {(503, "audit-unavailable")}
            # Each worker that was asked in vain says that it is not ready; what is no reading goes on.
            until(lambda: ready(server) == 503)
            reasons = requests.get(f"{server.url}/readyz", timeout=5).json().get("reasons", [])
            assert {(one["check"], one["code"]) for one in reasons} <= {("audit", "audit-unavailable")}
            assert server.post(server.source(), [statement()]).status_code == 200
            (disk / "filler").unlink()
            readers.more(20)
            until(lambda: ready(server) == 200)
        until(lambda: not lost(server, readers), 10)
        assert server.container.governance.audit.verify().intact
