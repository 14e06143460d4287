"""Drill: the server is told to stop in the middle of a stream of requests."""

from __future__ import annotations

import base64
import signal
import socket
import time
from pathlib import Path

import orjson

from app.access.credentials import NewCredential
from app.platform.mongo.embedded.supervisor import Layout, server_of
from tests.drills.drilling import LABEL, Senders, alive, children, reckon, until
from tests.served import Server, serving, statement


def slow_request(server: Server, credential: NewCredential, batch: list[dict[str, object]]) -> socket.socket:
    """Begin a request whose body comes in two halves; the second one is the caller's to send."""
    body = orjson.dumps(batch)
    token = base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()
    head = (
        "POST /xAPI/statements HTTP/1.1\r\nHost: drill\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"X-Experience-API-Version: 1.0.3\r\nAuthorization: Basic {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20)
    connection.sendall(head.encode() + body[: len(body) // 2])
    return connection


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of the answer."""
    received = b""
    while part := connection.recv(65536):
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_a_stop_finishes_what_is_under_way_and_leaves_nothing_behind(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data" / "mongodb")
    with serving(tmp_path, "") as server:
        writer, reader = server.source(), server.credential("statements/read")
        workers = children(server.process.pid)
        assert len(workers) == 2
        for _ in range(10):
            assert server.get(reader, limit=1).status_code == 200  # each of them leaves a trace in the audit log
        with Senders(server, writer) as senders:
            senders.acknowledged(5)
            labels = [f"slow-{number}" for number in range(4)]
            batches = [
                [statement(context={"extensions": {LABEL: label, f"{LABEL}/place": place}}) for place in range(30)]
                for label in labels
            ]
            slow = [slow_request(server, writer, batch) for batch in batches]
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            for connection, batch in zip(slow, batches, strict=True):
                body = orjson.dumps(batch)
                connection.sendall(body[len(body) // 2 :])
            for connection, label in zip(slow, labels, strict=True):
                with connection:
                    status, body = answer_of(connection)
                assert status == 200
                senders.record.size[label] = 30
                senders.record.acknowledged[label] = orjson.loads(body)
            assert server.process.wait(20) == 0
        assert not [pid for pid in workers if alive(pid)]
        assert server_of(layout) is not None  # this test uses it still
        reckon(server, senders.record)
        verified = server.container.governance.audit.verify()
        assert verified.intact
        # Every worker closed its chain; this test's is open.
        assert verified.chains >= 2
        assert len(verified.open) == 1, verified.open
    until(lambda: server_of(layout) is None, 10)


def test_a_client_that_never_ends_its_request_leaves_a_worker_time_to_close(tmp_path: Path, mongodb_uri: str) -> None:
    with serving(tmp_path, mongodb_uri, workers="1", graceful_seconds="1") as server:
        reader = server.credential("statements/read")
        assert server.get(reader, limit=1).status_code == 200  # its trace begins the worker's chain
        with slow_request(server, server.source(), [statement()]):
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(20) == 0
        verified = server.container.governance.audit.verify()
        assert verified.intact
        assert len(verified.open) == 1, verified.open  # this test's own
