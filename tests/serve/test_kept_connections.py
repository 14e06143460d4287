"""Requests that follow each other on a kept connection: whole or in pieces, fair, and answered to the end."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.drills.drilling import children, until
from tests.serve.test_server import Running, ready

APPLICATION = """
import os, time
from flask import Flask, request, send_file
from app.serve.server import serve
from app.settings import load

def build(settings):
    app = Flask("kept")
    @app.before_request
    def learn():
        if "Authorization" in request.headers:
            request.environ["gunicorn.socket"].learn(request.headers["Authorization"])
    @app.get("/healthz")
    def healthz():
        return "alive"
    @app.get("/pause")
    def pause():
        time.sleep(0.1)
        return "rested"
    @app.get("/file")
    def file():
        return send_file(os.__file__)
    @app.post("/echo")
    def echo():
        return request.get_data()
    return app

serve(load(os.environ), build)
"""
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
ECHO = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabcdef"


class Client:
    """One connection; answers are read one by one."""

    def __init__(self, server: Running) -> None:
        self.socket = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20)
        self._received = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[str, bytes]:
        """The head and the body of the next answer."""
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._more()
        head = self._received[:end].decode()
        found = re.search(r"content-length: (\d+)", head.lower())
        length = int(found[1]) if found else 0
        self._received = self._received[end + 4 :]
        while len(self._received) < length:
            self._more()
        body, self._received = self._received[:length], self._received[length:]
        return head, body

    def _more(self) -> None:
        received = self.socket.recv(65_536)
        if not received:
            raise EOFError
        self._received += received


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with ready(tmp_path_factory.mktemp("kept"), application=APPLICATION, workers="1") as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def silent(running: Running) -> Iterator[Future[float]]:
    """A client that says nothing after its first answer, until it is closed: the seconds, while other tests run."""

    def wait() -> float:
        with Client(running) as client:
            client.send(GET)
            client.answer()
            began = time.monotonic()
            with pytest.raises(EOFError):
                client.answer()
            return time.monotonic() - began

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(wait)


@pytest.fixture
def kept(running: Running) -> Iterator[Client]:
    """A connection on which a request was answered."""
    with Client(running) as client:
        client.send(GET)
        assert "keep-alive" in client.answer()[0]
        yield client


def test_requests_follow_each_other(kept: Client) -> None:
    for _ in range(50):
        kept.send(GET)
        head, body = kept.answer()
        assert head.startswith("HTTP/1.1 200 ") and body == b"alive"
        kept.send(ECHO)
        assert kept.answer()[1] == b"abcdef"


def test_requests_in_one_piece_are_answered_one_by_one_in_their_order(kept: Client) -> None:
    kept.send(GET + ECHO + GET + ECHO[:-3])
    assert [kept.answer()[1] for _ in range(3)] == [b"alive", b"abcdef", b"alive"]
    kept.send(ECHO[-3:])
    assert kept.answer()[1] == b"abcdef"


def test_a_file_comes_after_its_head(kept: Client) -> None:
    for _ in range(2):
        kept.send(GET.replace(b"/healthz", b"/file"))
        head, body = kept.answer()
        assert head.startswith("HTTP/1.1 200 ") and body.startswith(b'r"""OS routines')


@pytest.mark.parametrize("place", [1, len(GET) - 2, len(GET) - 1])
def test_a_head_in_two_pieces_is_waited_for(kept: Client, place: int) -> None:
    for _ in range(2):
        kept.send(GET[:place])
        time.sleep(0.05)
        kept.send(GET[place:])
        assert kept.answer()[1] == b"alive"


def test_half_a_head_after_an_answer_holds_no_thread(running: Running) -> None:
    with ExitStack() as stack:
        # More of them than there are threads.
        clients = [stack.enter_context(Client(running)) for _ in range(8)]
        for client in clients:
            client.send(GET)
            client.answer()
        for client in clients:
            client.send(GET[:9])
        time.sleep(0.2)
        began = time.monotonic()
        with Client(running) as other:
            for _ in range(3):
                other.send(GET)
                assert other.answer()[1] == b"alive"
        assert time.monotonic() - began < 1
        for client in clients:
            client.send(GET[9:])
            assert client.answer()[1] == b"alive"


def test_a_body_in_two_pieces_is_waited_for(kept: Client) -> None:
    for _ in range(2):
        kept.send(ECHO[:-4])
        time.sleep(0.05)
        kept.send(ECHO[-4:])
        assert kept.answer()[1] == b"abcdef"


def test_a_head_longer_than_a_thread_reads_at_once_is_whole_too(kept: Client) -> None:
    long = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 5_000) for number in range(4))
    kept.send(GET[:-2] + long + b"\r\n")
    assert kept.answer()[1] == b"alive"
    kept.send(GET)
    assert kept.answer()[1] == b"alive"


def test_clients_that_leave_between_requests_leave_nothing_behind(running: Running) -> None:
    (worker,) = children(running.process.pid)
    folder = Path(f"/proc/{worker}/fd")
    before = len(list(folder.iterdir()))
    for half in (b"", GET[:9]):
        with ExitStack() as stack:
            clients = [stack.enter_context(Client(running)) for _ in range(30)]
            for client in clients:
                client.send(GET)
                client.answer()
            # Some of the tests before may still have been there.
            assert len(list(folder.iterdir())) >= before + 20
            for client in clients:
                client.send(half)
        until(lambda: len(list(folder.iterdir())) <= before, 5)
    with Client(running) as client:
        client.send(GET)
        assert client.answer()[1] == b"alive"


def test_one_source_with_many_kept_connections_does_not_keep_another_waiting(running: Running) -> None:
    def asking(who: bytes) -> bytes:
        return b"GET /pause HTTP/1.1\r\nHost: x\r\nAuthorization: " + who + b"\r\n\r\n"

    with ExitStack() as stack:
        hogs = [stack.enter_context(Client(running)) for _ in range(16)]
        for hog in hogs:
            hog.send(asking(b"hog"))
        for hog in hogs:
            hog.answer()
        with Client(running) as known:
            known.send(asking(b"quiet"))
            known.answer()
        stop = threading.Event()

        def go_on(client: Client) -> None:
            while not stop.is_set():
                client.send(asking(b"hog"))
                client.answer()

        threads = [threading.Thread(target=go_on, args=(hog,)) for hog in hogs]
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.3)
            # Two threads, and 16 requests of a tenth of a second: in its turn among all it would take 0.6 s and more.
            for _ in range(4):
                began = time.monotonic()
                with Client(running) as quiet:
                    quiet.send(asking(b"quiet"))
                    quiet.answer()
                assert time.monotonic() - began < 0.45
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_health_is_told_on_a_kept_connection_while_others_hold_the_threads(running: Running, kept: Client) -> None:
    with ExitStack() as stack:
        others = [stack.enter_context(Client(running)) for _ in range(12)]
        for other in others:
            other.send(GET)
            other.answer()
        for other in others:
            other.send(b"GET /pause HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.05)
        began = time.monotonic()
        kept.send(GET)
        assert kept.answer()[1] == b"alive"
        # All of the others take 0.6 s with two threads.
        assert time.monotonic() - began < 0.3
        for other in others:
            assert other.answer()[1] == b"rested"


def test_a_stop_answers_what_comes_on_a_kept_connection_and_waits_for_nobody(tmp_path: Path) -> None:
    with ready(tmp_path, application=APPLICATION, workers="1") as server, ExitStack() as stack:
        clients = [stack.enter_context(Client(server)) for _ in range(4)]
        for client in clients:
            client.send(GET)
            client.answer()
        # Every thread waits for the next request of one of them.
        (worker,) = children(server.process.pid)
        os.kill(server.process.pid, signal.SIGTERM)
        began = time.monotonic()
        time.sleep(0.3)
        clients[0].send(GET)
        head, body = clients[0].answer()
        assert body == b"alive" and "connection: close" in head.lower()
        assert server.process.wait(10) == 0
        # Two seconds for those that might be asking something just now.
        assert time.monotonic() - began < 4.5
        assert not Path(f"/proc/{worker}").exists()
        with pytest.raises(EOFError):
            clients[1].answer()


def test_a_worker_that_is_aborted_does_not_wait_for_threads_that_wait(tmp_path: Path) -> None:
    with ready(tmp_path, application=APPLICATION, workers="1") as server, Client(server) as client:
        client.send(GET)
        client.answer()
        (worker,) = children(server.process.pid)
        # As the master does to one that has not been heard of; seconds later it would kill it.
        os.kill(worker, signal.SIGABRT)
        until(lambda: not Path(f"/proc/{worker}").exists(), 5)


def test_a_connection_without_another_request_is_closed_in_time(silent: Future[float]) -> None:
    assert 13 < silent.result(60) < 20
