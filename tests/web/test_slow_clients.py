"""Sixteen clients that are slow on purpose, against two workers of two threads: others are still served."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import orjson
import pytest
import requests

from app.access.credentials import NewCredential
from tests.served import Server, serving, statement

POST = (
    b"POST /xAPI/statements HTTP/1.1\r\nHost: x\r\nX-Experience-API-Version: 1.0.3\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1000\r\n"
)
WAYS = {
    "says nothing": b"",
    "half a head": b"GET /healthz HT",
    "empty lines": b"\r\n\r\n\r\n",
    "a request, and half the next head with it": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HT",
    "a refused POST without its body": POST + b"\r\n",
    "a form that never comes": b"POST /xAPI/statements?method=PUT HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    "stays when the server closes": b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "stays after a bad request": b"BAD\r\n\r\n",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("slow"), mongodb_uri, threads="2") as running:
        yield running


@pytest.fixture(scope="module")
def tutor(small: Server) -> NewCredential:
    return small.source()


def signed(credential: NewCredential) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(f"{credential.id}:{credential.secret}".encode()) + b"\r\n"


@contextmanager
def clients(server: Server, sent: bytes, count: int = 1) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            client = stack.enter_context(
                socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20)
            )
            client.sendall(sent)
            opened.append(client)
        yield opened


def heard(client: socket.socket) -> bytes:
    """Everything the server says until it closes."""
    parts = []
    while part := client.recv(65_536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("way", WAYS)
def test_slow_clients_hold_no_thread(small: Server, way: str) -> None:
    with clients(small, WAYS[way], 16):
        time.sleep(0.2)
        for _ in range(8):
            assert requests.get(f"{small.url}/healthz", timeout=1.5).status_code == 200


class Late(NamedTuple):
    """The last word to a client that stopped in the midst of a request, and after how many seconds it came."""

    said: bytes
    seconds: float


@pytest.fixture(scope="module")
def stopping(small: Server) -> NewCredential:
    return small.source()


@pytest.fixture(scope="module", autouse=True)
def late(small: Server, stopping: NewCredential) -> Iterator[dict[str, Future[Late]]]:
    """Clients that stop; they wait ten seconds, while the other tests of this file run."""

    def wait(sent: bytes) -> Late:
        began = time.monotonic()
        with clients(small, sent) as (client,):
            return Late(heard(client), time.monotonic() - began)

    ways = {"head": WAYS["half a head"], "silent": b"", "body": POST + signed(stopping) + b"\r\n["}
    with ThreadPoolExecutor(len(ways)) as pool:
        yield {name: pool.submit(wait, sent) for name, sent in ways.items()}


def test_a_head_without_end_is_refused(small: Server) -> None:
    with clients(small, b"GET /healthz HTTP/1.1\r\n" + b"X-Long: " + b"x" * 70_000) as (client,):
        answer = heard(client)
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "head-too-large"


def test_a_head_in_pieces_and_requests_in_one_piece_are_served(small: Server) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with clients(small, b"\r\n") as (client,):
        for at in range(0, len(request), 5):
            client.sendall(request[at : at + 5])
            time.sleep(0.01)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        client.sendall(request * 2 + request[:-4] + b"\r\nConnection: close\r\n\r\n")
        assert heard(client).count(b"HTTP/1.1 200 ") == 3


def test_a_connection_is_kept_after_a_body_that_was_read_and_only_then(small: Server, tutor: NewCredential) -> None:
    with requests.Session() as session:
        session.auth = (tutor.id, tutor.secret)
        session.headers.update({"X-Experience-API-Version": "1.0.3", "Content-Type": "application/json"})
        for content in (statement(), [], {"actor": 1}):
            answer = session.post(f"{small.xapi}/statements", data=orjson.dumps(content))
            assert answer.headers["Connection"] == "keep-alive", answer.text
        session.auth = (tutor.id, "wrong")
        answer = session.post(f"{small.xapi}/statements", data=orjson.dumps(statement()))
        assert (answer.status_code, answer.headers["Connection"]) == (401, "close")


@pytest.mark.parametrize("way", ["head", "body"])
def test_half_a_head_and_a_body_that_stops_are_told_so_in_time(
    small: Server, late: dict[str, Future[Late]], stopping: NewCredential, way: str
) -> None:
    said, seconds = late[way].result(60)
    assert 5 < seconds < 20
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ") and b"Connection: close" in head
    assert orjson.loads(body)["code"] == "request-timeout"
    assert small.get(stopping).json()["statements"] == []


def test_who_says_nothing_is_told_nothing_and_closed_in_time(late: dict[str, Future[Late]]) -> None:
    said, seconds = late["silent"].result(60)
    assert said == b"" and 5 < seconds < 20
