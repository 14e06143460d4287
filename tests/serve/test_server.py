"""The HTTP server under gunicorn: several workers, graceful stop, logs and metrics."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.places import ROOT

APPLICATION = """
import os, sys, time
from pathlib import Path
from flask import Flask, abort
from app.core.errors import KeyMissing, ScopeMissing
from app.serve.server import serve
from app.settings import load
from app.web import logs, operations

class Container:
    def __init__(self, folder): self.folder = folder
    def close(self): (self.folder / f"closed-{os.getpid()}").write_text("")

def refuse():
    raise ScopeMissing("metrics/read")

def build(settings):
    if (settings.data_dir / "refuse").exists():
        raise KeyMissing("Run `sillage init` first.")
    app = Flask("drill")
    metrics = operations.Metrics("0.0")
    logs.install(app, metrics.answered, quiet=operations.ENDPOINTS)
    app.register_blueprint(operations.blueprint(metrics, {}, refuse, trust_host=True))
    app.extensions["sillage"] = Container(settings.data_dir)
    app.extensions[operations.EXTENSION] = metrics
    @app.get("/pid")
    def pid():
        metrics.written(stored=2, repeated=1)
        return str(os.getpid())
    kept = []
    @app.get("/grow/<int:mib>")
    def grow(mib):
        kept.append(b"x" * (mib << 20))
        return str(os.getpid())
    @app.get("/slow")
    def slow():
        (settings.data_dir / "slow-began").write_text("")
        time.sleep(1.5)
        return "finished"
    @app.get("/boom/<name>")
    def boom(name):
        raise KeyError("Zoé Durand")
    flask = app.wsgi_app
    def around(environ, start):
        path = environ["PATH_INFO"]
        if path == "/before-flask":
            raise KeyError("Zoé Durand")
        if path == "/bad-header":
            start("200 OK", [("X-Name", "Zoé\\r\\nDurand")])
        if path == "/before-the-first-piece":
            start("200 OK", [("Content-Type", "text/plain")])
            return (1 / 0 for _ in "a")
        return flask(environ, start)
    app.wsgi_app = around
    return app

serve(load(os.environ), build)
"""


class Running(NamedTuple):
    process: subprocess.Popen[bytes]
    url: str
    folder: Path
    log: Path

    def get(self, path: str, **headers: str) -> str:
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(folder: Path, port: int = 0, application: str = APPLICATION, **changes: str) -> Running:
    port = port or free_port()
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("SILLAGE_", "PROMETHEUS_"))}
    environ |= {
        "SILLAGE_DATA_DIR": str(folder),
        "SILLAGE_BIND": f"127.0.0.1:{port}",
        "SILLAGE_WORKERS": "2",
        "SILLAGE_THREADS": "2",
        "SILLAGE_MONGODB_URI": "mongodb://127.0.0.1:1/",  # never connected to here
        **{f"SILLAGE_{name.upper()}": text for name, text in changes.items()},
    }
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-c", application], cwd=ROOT, env=environ, stderr=stream)
    return Running(process, f"http://127.0.0.1:{port}", folder, log)


@contextmanager
def ready(folder: Path, port: int = 0, application: str = APPLICATION, **changes: str) -> Iterator[Running]:
    server = launch(folder, port, application, **changes)
    deadline = time.monotonic() + 60
    while True:
        try:
            server.get("/healthz")
            break
        except OSError:
            assert time.monotonic() < deadline and server.process.poll() is None, server.log.read_text()
            time.sleep(0.05)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(20)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the tests that leave it as it was."""
    with ready(tmp_path_factory.mktemp("serve")) as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    """A server for a test that stops it."""
    with ready(tmp_path) as server:
        yield server


def workers_that_answer(server: Running) -> set[str]:
    seen: set[str] = set()
    deadline = time.monotonic() + 20
    while len(seen) < 2 and time.monotonic() < deadline:
        seen.add(server.get("/pid"))
    return seen


def value(exposition: str, sample: str) -> float:
    return next(float(line.split()[-1]) for line in exposition.splitlines() if line.startswith(sample))


def test_metrics_add_up_over_workers_and_survive_one_of_them(running: Running) -> None:
    pids = workers_that_answer(running)
    assert len(pids) == 2
    sample = 'sillage_http_requests_total{method="GET",route="/pid",status="200"}'
    before = value(running.get("/metrics"), sample)
    assert value(running.get("/metrics"), sample) == before  # whichever worker answers
    assert value(running.get("/metrics"), 'sillage_statements_total{outcome="stored"}') == 2 * before
    os.kill(int(pids.pop()), signal.SIGKILL)
    running.get("/pid")
    assert value(running.get("/metrics"), sample) == before + 1


def test_metrics_that_come_through_a_proxy_need_a_credential(running: Running) -> None:
    with pytest.raises(urllib.error.HTTPError):
        running.get("/metrics", **{"X-Forwarded-For": "192.0.2.1"})


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_requests_under_way_are_finished_when_it_stops(own: Running, kind: signal.Signals) -> None:
    workers = workers_that_answer(own)
    answers: list[str] = []
    client = threading.Thread(target=lambda: answers.append(own.get("/slow")))
    client.start()
    while not (own.folder / "slow-began").exists():
        time.sleep(0.02)
    own.process.send_signal(kind)
    if kind is signal.SIGINT:  # a terminal sends it to the workers too
        for pid in workers:
            os.kill(int(pid), kind)
    client.join(20)
    assert answers == ["finished"]
    assert own.process.wait(20) == 0
    assert {path.name for path in own.folder.glob("closed-*")} == {f"closed-{pid}" for pid in workers}


def test_each_line_is_json_has_the_request_id_and_nothing_personal(running: Running) -> None:
    running.get("/pid?agent=Zo%C3%A9", **{"X-Request-ID": "drill-0001"})
    with pytest.raises(urllib.error.HTTPError) as failed:
        running.get("/boom/Zo%C3%A9?agent=Durand", **{"X-Request-ID": "mailto:zoe@example.org"})
    assert failed.value.code == 500
    with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2]))) as client:
        client.sendall(b"GET /?agent=Durand HTTP/1.1\r\nBad Zo\xc3\xa9: Durand\r\n\r\n")
        client.recv(1000)
    time.sleep(0.2)
    lines = running.lines()
    (known,) = [line for line in lines if line.get("request") == "drill-0001"]
    assert (known["method"], known["route"], known["status"], known["level"]) == ("GET", "/pid", 200, "info")
    assert isinstance(known["ms"], float)
    text = running.log.read_text()
    for secret in ("Zo", "Durand", "example.org", "agent="):
        assert secret not in text
    (boom,) = [line for line in lines if line.get("exception") == ["KeyError"]]
    assert boom["request"] == failed.value.headers["X-Request-ID"]
    assert any("request refused by the HTTP parser" in str(line["event"]) for line in lines)
    assert not any(line.get("route") == "/healthz" for line in lines)


def test_a_long_query_is_accepted_and_a_longer_one_refused(running: Running) -> None:
    assert running.get("/pid?agent=" + "x" * 8_000)
    with pytest.raises(urllib.error.HTTPError) as refused:
        running.get("/pid?agent=" + "x" * 9_000)
    assert 400 <= refused.value.code < 500


def counters(server: Running) -> Path:
    """The folder of the counters, which the master keeps open."""
    opened = Path(f"/proc/{server.process.pid}/fd").glob("*")
    (folder,) = {target for entry in opened if (target := entry.resolve()).name.startswith("sillage-metrics-")}
    return folder


def test_the_counters_of_a_server_that_was_killed_are_cleared_and_then_removed(tmp_path: Path) -> None:
    port = free_port()
    sample = 'sillage_http_requests_total{method="GET",route="/pid",status="200"}'
    with ready(tmp_path, port) as server:
        folder = counters(server)
        server.get("/pid")
        assert folder.stat().st_mode & 0o777 == 0o700
        server.process.kill()
        server.process.wait(20)
        assert any(folder.iterdir())
        with pytest.raises(OSError):  # its workers answer until they notice
            while True:
                server.get("/healthz")
    with ready(tmp_path, port) as server:
        assert counters(server) == folder
        server.get("/pid")
        assert value(server.get("/metrics"), sample) == 1
    assert not folder.exists()


def test_a_link_in_the_place_of_the_counters_is_not_followed(tmp_path: Path) -> None:
    port = free_port()
    with ready(tmp_path, port) as server:
        place = counters(server)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_text("")
    place.symlink_to(victim)
    try:
        with ready(tmp_path, port) as server:
            server.get("/pid")
            assert counters(server).parent == tmp_path / "metrics"
            assert "sillage_http_requests_total" in server.get("/metrics")
    finally:
        place.unlink()
    assert [path.name for path in victim.iterdir()] == ["kept"]


def test_a_second_server_at_the_same_address_leaves_the_counters_of_the_first(running: Running) -> None:
    before = value(running.get("/metrics"), "sillage_info")
    second = launch(running.folder, int(running.url.rpartition(":")[2]))
    assert second.process.wait(20) != 0
    assert value(running.get("/metrics"), "sillage_info") == before
    assert any(counters(running).iterdir())


def test_silent_clients_do_not_delay_a_stop(own: Running) -> None:
    with ExitStack() as stack:
        for sent in (b"", b"GET /pi", b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") * 3:
            address = ("127.0.0.1", int(own.url.rpartition(":")[2]))
            stack.enter_context(socket.create_connection(address)).sendall(sent)
        time.sleep(0.2)
        began = time.monotonic()
        own.process.terminate()
        assert own.process.wait(20) == 0
        assert time.monotonic() - began < 6


def test_workers_that_have_just_begun_hear_of_a_stop(tmp_path: Path) -> None:
    # Forked, and then slow to get handlers of their own.
    slow = "import os, time\nos.register_at_fork(after_in_child=lambda: time.sleep(1))\n"
    server = launch(tmp_path, application=slow + APPLICATION)
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    deadline = time.monotonic() + 20
    while len(children.read_text().split()) < 2:
        assert time.monotonic() < deadline and server.process.poll() is None, server.log.read_text()
        time.sleep(0.01)
    server.process.terminate()
    try:
        # They would be killed after 35.
        assert server.process.wait(20) == 0
    finally:
        server.process.kill()


def test_an_installation_that_cannot_start_says_why_and_ends(tmp_path: Path) -> None:
    (tmp_path / "refuse").write_text("")
    server = launch(tmp_path)
    assert server.process.wait(20) == 3
    refusals = [line for line in server.lines() if line["event"] == "the service cannot start"]
    assert refusals and refusals[0]["detail"] == "Run `sillage init` first."
    assert not any("trace" in line for line in server.lines())


def test_an_address_that_is_taken_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        given = {**os.environ, "SILLAGE_DATA_DIR": str(tmp_path), "SILLAGE_BIND": f"127.0.0.1:{taken.getsockname()[1]}"}
        ended = subprocess.run(
            [sys.executable, "-m", "app.cli", "serve"], env=given, capture_output=True, text=True, timeout=60
        )
    assert ended.returncode == 2
    assert "SILLAGE_BIND" in ended.stderr
    assert "Traceback" not in ended.stderr


REPLACED = "a worker takes more memory than it may, and is replaced"
# That a young one stays has a test of its own (tests/web/test_memory.py).
SOON = "from app.web import memory; memory.LEAST_AGE_SECONDS = 2.0; memory._LOOK_SECONDS = 0.2\n" + APPLICATION


def events(server: Running, name: str) -> list[dict[str, object]]:
    return [line for line in server.lines() if line["event"] == name]


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("workers", [pytest.param("1", marks=pytest.mark.long), "2"])
def test_a_worker_above_its_memory_is_replaced_and_no_request_is_lost(tmp_path: Path, workers: str) -> None:
    # Threads enough that no request waits for a slow one.
    given = {"workers": workers, "threads": "8", "max_worker_memory_mb": "400"}
    with ready(tmp_path, application=SOON, **given) as server, ExitStack() as stack:
        host, port = server.url.removeprefix("http://").split(":")
        stop = threading.Event()
        answers: list[int] = []
        broken: list[object] = []

        def ask(path: str) -> None:
            connection: http.client.HTTPConnection | None = None
            while not stop.is_set():
                connection = connection or http.client.HTTPConnection(host, int(port), timeout=30)
                try:
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    answer.read()
                except (OSError, http.client.HTTPException) as failed:
                    broken.append(failed)
                    return
                answers.append(answer.status)
                if answer.getheader("Connection") == "close":
                    connection.close()
                    connection = None
                time.sleep(0.01)

        threads = [threading.Thread(target=ask, args=(path,)) for path in ("/pid", "/pid", "/slow", "/slow")]
        for thread in threads:
            thread.start()
        stack.callback(lambda: [thread.join() for thread in threads])
        stack.callback(stop.set)
        large = server.get("/grow/450")
        until(lambda: events(server, REPLACED))
        until(lambda: (tmp_path / f"closed-{large}").exists())
        (said,) = events(server, REPLACED)
        assert said["pid"] == int(large) and said["level"] == "warning"
        assert isinstance(said["mib"], int) and 450 < said["mib"] < 1_000 and said["most"] == 400
        until(lambda: len(answers) > 100)
        seen = {server.get("/pid") for _ in range(20)}
        assert large not in seen
        assert value(server.get("/metrics"), "sillage_workers_replaced_total") == 1
        until(lambda: 0 < value(server.get("/metrics"), "sillage_worker_memory_bytes") < 400 << 20)
        stop.set()
        for thread in threads:
            thread.join()
        assert not broken and set(answers) == {200}
        # Those that came after it stay.
        assert len(events(server, REPLACED)) == 1


def test_a_ceiling_below_what_an_idle_worker_takes_is_refused(tmp_path: Path) -> None:
    server = launch(tmp_path, max_worker_memory_mb="64")
    assert server.process.wait(20) == 3
    refusals = events(server, "the service cannot start")
    assert refusals and "SILLAGE_MAX_WORKER_MEMORY_MB" in str(refusals[0]["detail"])


@pytest.mark.long
def test_no_ceiling_is_no_ceiling(tmp_path: Path) -> None:
    with ready(tmp_path, max_worker_memory_mb="0") as server:
        server.get("/grow/450")
        time.sleep(13)
        assert not events(server, REPLACED)


@pytest.mark.parametrize(("behind_tls", "warnings"), [("true", 1), ("false", 0)])
@pytest.mark.parametrize("command", ["serve", "scheduler"])
def test_the_embedded_mongodb_behind_tls_is_warned_of_at_the_start(
    tmp_path: Path, command: str, behind_tls: str, warnings: int
) -> None:
    given = {name: text for name, text in os.environ.items() if not name.startswith("SILLAGE_")}
    given |= {"SILLAGE_DATA_DIR": str(tmp_path), "SILLAGE_BEHIND_TLS": behind_tls, "SILLAGE_LOG_FORMAT": "json"}
    given["SILLAGE_BIND"] = f"127.0.0.1:{free_port()}"
    # Not initialised: it ends by itself, once MongoDB has started.
    ended = subprocess.run(
        [sys.executable, "-m", "app.cli", command], env=given, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode != 0
    assert (ended.stdout + ended.stderr).count("of a version past its end of life") == warnings


@pytest.mark.parametrize("path", ["/before-flask", "/bad-header", "/before-the-first-piece"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_fails_outside_of_flask_is_a_problem_too(running: Running, path: str, method: str) -> None:
    request = urllib.request.Request(running.url + path, headers={"Accept-Language": "fr"}, method=method)
    with pytest.raises(urllib.error.HTTPError) as failed:
        urllib.request.urlopen(request, timeout=20)
    answer = failed.value
    assert (answer.code, answer.headers["Content-Type"]) == (500, "application/problem+json")
    body = answer.read()
    assert bool(body) is (method == "GET")
    if body:
        problem = json.loads(body)
        assert (problem["code"], problem["request_id"]) == ("error", answer.headers["X-Request-ID"])
        assert problem["title"] == "Erreur interne : donnez l'identifiant de la requête à l'exploitant"
    assert "Zoé" not in running.log.read_text() and b"Zo" not in body


def test_a_prefix_in_the_environment_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_NAME", "/public")
    with ready(tmp_path) as server:
        assert server.get("/pid")
