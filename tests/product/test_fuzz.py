"""The fuzzer: some seconds of it find nothing, and it does find what it looks for."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.places import ROOT
from tests.served import environment


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    # As when it is run: what it is made of lies beside it.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield importlib.import_module("fuzz")


def given_of(fuzz: ModuleType, *methods: str) -> Any:
    routes = (fuzz.Route("/xAPI/statements", methods),)
    return fuzz.Given(routes, {"a": "Basic YTpi"}, ("a",), "Basic YTpi", "Basic YTpi")


@pytest.mark.long
def test_some_seconds_of_it() -> None:
    ended = subprocess.run(
        [sys.executable, "scripts/fuzz.py", "2000", "--seed=1", "--processes=2"],
        cwd=ROOT,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "nothing found" in ended.stdout


def answers(status: int, kind: str, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, text in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), text)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(2)


PAGE = b"<dd>Not found (<code>not-found</code>, 404)</dd>"
PROBLEM = b'{"status":%d,"code":"%s"}'


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (answers(500, "application/problem+json", PROBLEM % (500, b"failed")), "answered 500 failed"),
        (answers(503, "application/problem+json", PROBLEM % (503, b"overloaded")), "answered 503 overloaded"),
        (answers(400, "text/html", b"<html>"), "answered 400 in HTML"),
        (answers(404, "text/html", PAGE, Content_Security_Policy="sandbox"), "answered 404 with a page under /xAPI"),
        (answers(400, "text/html", PAGE, Content_Security_Policy="sandbox"), "answered 400 without a problem document"),
        (answers(400, "text/plain", b"no"), "answered 400 without a problem document"),
        (answers(200, "application/json", b"{}", X_Request_ID="another"), "the answer of another request: another"),
        (answers(200, "application/json", b"{}", X_Request_ID="smuggled-1"), "hidden in the body"),
        (hang_up, "the connection was cut"),
    ],
)
def test_what_it_finds(fuzz: ModuleType, answer: Callable[[BaseHTTPRequestHandler], None], what: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.close_connection = True
            self.raw_requestline = self.rfile.readline(65_537)
            if self.raw_requestline and self.parse_request():
                answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        given = given_of(fuzz, "GET")
        sender = fuzz.Sender(server.server_port, given, 1)
        for number in range(20):
            sender.send(number)
        sender.close()
    finally:
        server.shutdown()
        server.server_close()
    assert any(what in fault.what for fault in sender.faults), sender.faults


def test_the_same_seed_gives_the_same_inputs(fuzz: ModuleType) -> None:
    given = given_of(fuzz, "GET", "POST", "PUT")
    made = [[fuzz.made(given, seed, number) for number in range(200)] for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_what_must_not_stand_in_the_log(fuzz: ModuleType, tmp_path: Path) -> None:
    service = object.__new__(fuzz.Service)
    service.log, service._secrets = tmp_path / "log", ["a-secret"]
    fine = '{"level":"info","event":"request"}'
    for line in (
        '{"level":"error","event":"x"}',
        "Traceback (most recent call last)",
        '{"level":"info","trace":["x"]}',
        '{"level":"info","event":"a-secret"}',
        '{"level":"info","event":"ZQMARKER"}',
    ):
        service.log.write_text(f"{fine}\n{line}\n{fine}\n")
        assert service.log_faults(), line
    service.log.write_text(f"{fine}\n")
    assert not service.log_faults()
