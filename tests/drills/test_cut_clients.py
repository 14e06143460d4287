"""Drill: clients that are cut off, in the middle of what they send or of what they are told."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.access.credentials import NewCredential
from tests.drills.drilling import LABEL, SEED, Poller, Record, followed, ready
from tests.served import Server, serving, statement

ROUNDS = 40


@pytest.fixture
def server(tmp_path: Path, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path, mongodb_uri, process_ttl_seconds="1") as running:
        yield running


def batch_of(random: Random, label: str, size: int) -> list[dict[str, Any]]:
    return [
        statement(
            id=str(UUID(int=random.getrandbits(128), version=4)),
            context={"extensions": {LABEL: label, f"{LABEL}/place": place}},
        )
        for place in range(size)
    ]


def request(credential: NewCredential, batch: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    """Head and body of a POST."""
    body = orjson.dumps(batch if len(batch) > 1 else batch[0])
    token = base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()
    head = (
        "POST /xAPI/statements HTTP/1.1\r\nHost: drill\r\nContent-Type: application/json\r\n"
        f"X-Experience-API-Version: 1.0.3\r\nAuthorization: Basic {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode(), body


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20)


def cut(connection: socket.socket, *, abruptly: bool) -> None:
    """Close; abruptly: by a reset, as a client does whose process or network dies."""
    if abruptly:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_body_that_is_cut_stores_nothing(server: Server) -> None:
    writer = server.source()
    statements = server.container.platform.store.collection("statements")

    def send(number: int) -> list[dict[str, Any]]:
        random = Random(f"{SEED}-{number}")
        batch = batch_of(random, f"cut-{number}", random.choice([1, 2, 30, 300]))
        head, body = request(writer, batch)
        connection = connected(server)
        connection.sendall(head + body[: random.randrange(len(body))])
        cut(connection, abruptly=random.random() < 0.5)
        return batch

    with ThreadPoolExecutor(6) as pool:
        sent = list(pool.map(send, range(ROUNDS)))
    assert ready(server) == 200
    assert not statements.count_documents({})
    # What was cut may be sent again, whole.
    assert {server.post(writer, batch).status_code for batch in sent} == {200}
    assert statements.count_documents({}) == sum(map(len, sent))


def test_an_answer_that_is_cut_is_had_again_by_a_retry_that_stores_nothing(server: Server) -> None:
    writer, reader = server.source(), server.credential("statements/read")
    record = Record()

    def send(number: int) -> None:
        random = Random(f"{SEED}-{number}")
        label = f"{SEED}-{number}"
        batch = batch_of(random, label, random.choice([1, 2, 30, 300]))
        record.size[label] = len(batch)
        head, body = request(writer, batch)
        for _ in range(2):
            connection = connected(server)
            connection.sendall(head + body)
            # Before the answer, at its first byte, or in the midst of its ids.
            read = random.choice([0, 1, 200])
            if read:
                connection.recv(read)
            cut(connection, abruptly=random.random() < 0.5)
        answer = server.post(writer, batch)
        while answer.status_code == 503 and "Retry-After" in answer.headers:
            answer = server.post(writer, batch)
        assert answer.status_code == 200, answer.text
        assert answer.json() == [one["id"] for one in batch]
        record.acknowledged[label] = answer.json()

    with Poller(server, reader) as poller:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(send, range(ROUNDS)))
        followed(server, poller, record)
    assert ready(server) == 200
    assert "unforeseen" not in server.log.read_text()


def test_an_answer_to_a_reader_that_is_cut_costs_nobody_else(server: Server) -> None:
    writer, reader = server.source(), server.credential("statements/read")
    batch = batch_of(Random(SEED), "read", 500)
    assert server.post(writer, batch).status_code == 200
    token = base64.b64encode(f"{reader.id}:{reader.secret}".encode()).decode()
    asked = (
        "GET /xAPI/statements?limit=500 HTTP/1.1\r\nHost: drill\r\nX-Experience-API-Version: 1.0.3\r\n"
        f"Authorization: Basic {token}\r\n\r\n"
    ).encode()
    for number in range(ROUNDS):
        connection = connected(server)
        connection.sendall(asked)
        if number % 2:
            connection.recv(1_000)
        cut(connection, abruptly=number % 4 < 2)
    assert len(server.get(reader, limit=500).json()["statements"]) == 500
    assert "unforeseen" not in server.log.read_text()
