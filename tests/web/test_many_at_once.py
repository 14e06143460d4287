"""Many large requests of one source at once: they take turns for the memory that they need."""

from __future__ import annotations

import base64
import contextlib
import gzip
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from app.access import scopes
from tests.multiparts import BOUNDARY, attachment_of, body_of, part_of
from tests.served import Server, serving, statement

PATH = "/xAPI/activities/state"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    """One worker, so that its memory is that of all requests."""
    with serving(tmp_path_factory.mktemp("one"), mongodb_uri, workers="1") as running:
        yield running


def _worker(server: Server) -> int:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return int(children[0])


def _peak(server: Server, kind: str = "VmHWM") -> int:
    """Bytes of the worker in memory; the most it ever had, or ``VmRSS`` of now."""
    status = Path(f"/proc/{_worker(server)}/status").read_text()
    return int(re.search(rf"{kind}:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def _forget_peak(server: Server) -> None:
    Path(f"/proc/{_worker(server)}/clear_refs").write_text("5")


def test_pages_of_large_statements_that_many_ask_for_at_once(server: Server) -> None:
    tutor = server.source()
    values = list(range(10**6, 10**6 + 110_000))
    verb = {"id": f"https://verbs.example/{uuid4()}"}
    for _ in range(33):
        long = statement(verb=verb, result={"extensions": {"https://e.example/x": values}})
        assert server.post(tutor, long).status_code == 200
    before = _peak(server, "VmRSS")
    _forget_peak(server)

    def ask(form: str) -> int:
        return server.get(tutor, verb=verb["id"], limit=500, format=form).status_code

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, ["canonical", "ids", "exact"] * 16))
    assert set(answers) == {200}
    assert _peak(server) - before < 400 * MIB


def test_statements_that_wait_for_their_attachments_count_as_they_are_in_memory(server: Server) -> None:
    tutor, other = server.source(), server.source()
    for known in (tutor, other):
        assert server.post(known, statement()).status_code == 200
    data = b"late"
    # Decoded, an empty object takes twenty times the three bytes of its JSON.
    empty = {"extensions": {"https://e.example/x": [{}] * 300_000}}
    long = orjson.dumps([statement(attachments=[attachment_of(data)]), *(statement(result=empty) for _ in range(3))])
    whole = gzip.compress(body_of(long, part_of(data)), 1)
    connections = [socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) for _ in range(9)]
    before = _peak(server, "VmRSS")
    _forget_peak(server)
    authorization = base64.b64encode(f"{tutor.id}:{tutor.secret}".encode()).decode()
    head = (
        f"POST /xAPI/statements HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {authorization}\r\n"
        f"X-Experience-API-Version: 1.0.3\r\nContent-Type: multipart/mixed; boundary={BOUNDARY}\r\n"
        f"Content-Encoding: gzip\r\nContent-Length: {len(whole)}\r\n\r\n"
    )
    for connection in connections:
        connection.sendall(head.encode() + whole[:-40])
    # Meanwhile others are served, and have the turns of large bodies.
    honest = [statement(result={"extensions": {"https://e.example/x": ["y" * 1_000] * 100}}) for _ in range(3)]
    for _ in range(5):
        answer = server.post(other, honest)
        assert answer.status_code == 200, answer.text
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.sendall(whole[-40:])
    answers = [_status(connection) for connection in connections]
    assert set(answers) <= {200, 503}
    assert answers.count(200) >= 2
    assert _peak(server) - before < 250 * MIB


def test_merges_into_one_long_document_follow_each_other_and_each_is_stored(server: Server) -> None:
    server.source(source := f"tutor-{uuid4().hex[:8]}")
    tutor = server.credential(scopes.STATE, source=source)
    params = {
        "activityId": "https://ent.example/a",
        "agent": orjson.dumps(statement()["actor"]).decode(),
        "stateId": str(uuid4()),
    }
    json = {"Content-Type": "application/json"}
    long = orjson.dumps({"long": "x" * 13 * MIB})
    assert server.send("PUT", PATH, tutor, data=long, headers=json, params=params).status_code == 204

    def post(number: int) -> int:
        data = orjson.dumps({f"n{number}": number})
        for _ in range(10):
            answer = server.send("POST", PATH, tutor, data=data, headers=json, params=params)
            # On a slow machine it may have waited for a thread as long as it may.
            if answer.status_code != 503 or answer.json()["code"] != "overloaded":
                break
        return answer.status_code

    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(post, range(24))) == {204}
    stored = server.send("GET", PATH, tutor, params=params).json()
    assert {name: stored[name] for name in stored if name != "long"} == {f"n{number}": number for number in range(24)}


def _status(connection: socket.socket) -> int:
    with connection:
        connection.settimeout(60)
        return int(connection.recv(4_096).split(b" ")[1])
