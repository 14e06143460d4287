"""Forms carry their credentials inside: whoever has none may send as slowly as they like, others' forms are served."""

from __future__ import annotations

import base64
import re
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlencode

import orjson
import pytest
import requests

from app.access import scopes
from app.access.credentials import NewCredential
from app.web.admission.request_head import Framing
from app.web.framing import MAX_EXTENSION_BYTES
from app.web.gathering import Gathering, Room
from tests.served import Server, serving, statement

ATTACKERS = 60
HEAD = b"POST /xAPI/statements?method=POST HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
# What each sends at once, and then again and again.
WAYS = {
    "nothing of the body": (HEAD + b"Content-Length: 1000\r\n\r\n", b""),
    "a byte now and then": (HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
    "chunk extensions without end": (HEAD + CHUNKED + b"\r\n5;a=", b"x" * 20),
    "a byte a chunk": (HEAD + CHUNKED + b"\r\n", b"1\r\nx\r\n"),
    "trailers without end": (HEAD + CHUNKED + b"\r\n0\r\nX: ", b"x" * 20),
    "another coding before the chunks": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", b"1\r\nx\r\n"),
    "the whole URL": (HEAD.replace(b"/xAPI", b"http://x/xAPI") + b"Content-Length: 100000\r\n\r\n", b"x"),
    "another spelling": (HEAD.replace(b"/xAPI", b"/%78API") + b"Content-Length: 100000\r\n\r\n", b"x"),
    "megabytes, then nothing": (HEAD + b"Content-Length: 4000000\r\n\r\n" + b"x" * 3_000_000, b""),
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("forms"), mongodb_uri, threads="4") as running:
        yield running


@pytest.fixture(scope="module")
def tutor(small: Server) -> NewCredential:
    return small.source(scopes=[scopes.ALL])


def basic(credential: NewCredential) -> str:
    return "Basic " + base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()


def own(credential: NewCredential) -> dict[str, str]:
    return {"Authorization": basic(credential), "X-Experience-API-Version": "1.0.3"}


def form(server: Server, fields: dict[str, str], method: str = "POST") -> requests.Response:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    data = urlencode(fields)
    return requests.post(f"{server.xapi}/statements?method={method}", data=data, headers=headers, timeout=20)


def insisting(server: Server, fields: dict[str, str]) -> requests.Response:
    """The answer to a form that is sent once more if its connection is reset, as it may be on a busy machine."""
    try:
        return form(server, fields)
    except requests.ConnectionError:
        return form(server, fields)


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20)


@pytest.fixture(scope="module", autouse=True)
def stalled(small: Server) -> Iterator[Future[tuple[bytes, float]]]:
    """The answer to a form that stalls, and after how many seconds: it waits ten, while tests of this file run."""

    def wait() -> tuple[bytes, float]:
        with connected(small) as silent:
            silent.sendall(HEAD + b"Content-Length: 10\r\n\r\nx")
            began = time.monotonic()
            silent.settimeout(60)
            return silent.recv(65_536), time.monotonic() - began

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(wait)


@contextmanager
def attack(server: Server, first: bytes, again: bytes, count: int = ATTACKERS) -> Iterator[list[int]]:
    """So many connections that do this, each made anew when the server closes it; how often that was."""
    stop = threading.Event()
    closed = [0]

    def work() -> None:
        with ExitStack() as stack, selectors.DefaultSelector() as reading:

            def begin() -> None:
                client = stack.enter_context(connected(server))
                with suppress(OSError):
                    client.sendall(first)
                reading.register(client, selectors.EVENT_READ)

            for _ in range(count):
                begin()
            ready.set()
            while not stop.wait(0.1):
                for key, _ in reading.select(0):
                    reading.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                    closed[0] += 1
                    begin()
                for key in list(reading.get_map().values()):
                    with suppress(OSError):
                        key.fileobj.send(again)  # type: ignore[union-attr]

    ready = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(60)
        yield closed
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("way", WAYS)
def test_slow_forms_without_credentials_keep_no_other_out(small: Server, tutor: NewCredential, way: str) -> None:
    with attack(small, *WAYS[way]):
        for _ in range(30):
            answer = insisting(small, own(tutor) | {"content": orjson.dumps(statement()).decode()})
            assert answer.status_code == 200, answer.text
            time.sleep(0.02)
        # A larger one too: less than its share of the room (32 MiB of which each may hold the 61st part).
        large = [statement(result={"response": "x" * 400_000})]
        assert insisting(small, own(tutor) | {"content": orjson.dumps(large).decode()}).status_code == 200
        assert requests.get(f"{small.url}/healthz", timeout=5).status_code == 200


def test_a_form_that_ends_early_is_told_so(small: Server) -> None:
    with connected(small) as client:
        client.sendall(HEAD + b"Content-Length: 10\r\n\r\nx")
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"malformed-json" in answer


def test_extensions_of_chunks_are_ignored_and_bounded(small: Server, tutor: NewCredential) -> None:
    content = urlencode(own(tutor) | {"content": orjson.dumps(statement()).decode()}).encode()
    plain = HEAD.replace(b"?method=POST", b"") + b"Authorization: " + basic(tutor).encode() + b"\r\n"
    plain += b"X-Experience-API-Version: 1.0.3\r\nContent-Type: application/json\r\n"
    for head, body in ((HEAD, content), (plain, orjson.dumps(statement()))):
        for length, status in ((10, b"200"), (MAX_EXTENSION_BYTES + 1, b"400")):
            extension = b";a=" + b"x" * (length - 3)
            with connected(small) as client:
                client.sendall(head + CHUNKED + b"\r\n%x%s\r\n%s\r\n0\r\n\r\n" % (len(body), extension, body))
                answer = client.recv(65_536)
                assert answer.startswith(b"HTTP/1.1 " + status), answer


def test_a_client_that_waits_for_leave_to_send_its_form_gets_it(small: Server, tutor: NewCredential) -> None:
    body = urlencode(own(tutor) | {"content": orjson.dumps(statement()).decode()}).encode()
    with connected(small) as client:
        client.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_forms_in_one_piece_and_in_pieces_keep_their_connection(small: Server, tutor: NewCredential) -> None:
    body = urlencode(own(tutor)).encode()
    request = HEAD.replace(b"method=POST", b"method=GET") + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunked = (
        HEAD.replace(b"method=POST", b"method=GET")
        + CHUNKED
        + b"\r\n%x\r\n%s\r\n0\r\nX-Sum: 1\r\n\r\n"
        % (
            len(body),
            body,
        )
    )
    plain = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    with connected(small) as client:
        sent = request + chunked + plain + b"\r\n" + request + plain + b"Connection: close\r\n\r\n"
        for at in range(0, len(sent), 100):
            client.sendall(sent[at : at + 100])
            time.sleep(0.005)
        received = b""
        while part := client.recv(65_536):
            received += part
    assert len(re.findall(rb"HTTP/1\.1 200 OK", received)) == 5, received


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5\x0c\r\n",
        b"Transfer-Encoding: chunked\x0b\r\n",
        b"Content-Length : 5\r\n",
    ],
)
def test_doubt_about_the_end_of_a_form_ends_the_connection(small: Server, framing: bytes) -> None:
    with connected(small) as client:
        client.sendall(HEAD + framing + b"\r\n5\r\nhello\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        with suppress(ConnectionResetError):
            while part := client.recv(65_536):
                received += part
    assert received.count(b"HTTP/1.1 ") == 1
    assert re.match(rb"HTTP/1\.1 (400|501) ", received), received


def test_the_largest_that_is_not_whole_makes_room() -> None:
    room: Room[str] = Room(100)
    for name in ("large", "small"):
        room.enter(name, Gathering(Framing(90, chunked=False), 90, 0.0))
    assert room.feed("large", b"x" * 80, 0.0)[1] is None
    assert room.feed("small", b"x" * 30, 0.0)[1] == "large"
    room.forget("large")
    coming, excess = room.feed("small", b"x" * 60, 0.0)
    assert coming.done and excess is None and coming.gathered().payload == b"x" * 90
    # Whole, it holds its bytes until a thread has it.
    room.enter("next", Gathering(Framing(90, chunked=False), 90, 0.0))
    assert room.feed("next", b"x" * 20, 0.0)[1] == "next"
    room.forget("next")
    room.leave(90)
    room.enter("last", Gathering(Framing(90, chunked=False), 90, 0.0))
    assert room.feed("last", b"x" * 90, 0.0)[1] is None


def test_a_form_has_its_time() -> None:
    coming = Gathering(Framing(10_000_000, chunked=False), 10_000_000, 0.0)
    assert not coming.late(9.0) and coming.late(11.0)
    for second in range(1, 31):
        coming.feed(b"x", float(second))
    assert not coming.late(30.0)
    coming.feed(b"x", 31.0)
    assert coming.late(31.0)
    coming.feed(b"x" * 500_000, 31.0)
    assert not coming.late(34.0) and coming.late(36.0)


def test_a_form_that_stalls_is_told_so_in_time(stalled: Future[tuple[bytes, float]]) -> None:
    answer, seconds = stalled.result(60)
    assert 5 < seconds < 20
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ") and b"Connection: close" in head
    assert orjson.loads(body)["code"] == "request-timeout"
