"""No thread waits for ever on a client's connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from app.web.admission.client_socket import ClientSocket


class Hasty(ClientSocket):
    patience_seconds = 0.3
    bytes_per_second = 1_000
    silence_seconds = 0.2


@pytest.fixture
def pair() -> Iterator[tuple[Hasty, socket.socket]]:
    ours, theirs = socket.socketpair()
    served = Hasty(ours.family, ours.type, ours.proto, ours.detach())
    with served, theirs:
        served.begin(lambda: None)
        yield served, theirs


def test_a_silent_client_is_given_up(pair: tuple[Hasty, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hasty, "patience_seconds", 60)
    pair[0].begin(lambda: None)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        pair[0].recv(10)
    assert time.monotonic() - began < 30


def test_one_byte_now_and_then_does_not_hold_a_thread(pair: tuple[Hasty, socket.socket]) -> None:
    served, client = pair
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.03):
            client.send(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        while time.monotonic() - began < 3:
            served.recv(10)
    stop.set()
    thread.join()
    assert 0.25 < time.monotonic() - began < 1


def test_what_comes_fast_enough_may_take_long(pair: tuple[Hasty, socket.socket]) -> None:
    served, client = pair
    came = 0
    began = time.monotonic()
    while time.monotonic() - began < 0.8:
        client.send(b"x" * 100)
        received = len(served.recv(1_000))
        served.progress(received)
        came += received
        time.sleep(0.05)
    assert came >= 1_000


def test_a_client_that_does_not_read_is_given_up(pair: tuple[Hasty, socket.socket]) -> None:
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    with pytest.raises(TimeoutError):
        for _ in range(10_000):
            pair[0].sendall(b"x" * 100)


def test_an_answer_in_many_pieces_has_the_time_of_one(pair: tuple[Hasty, socket.socket]) -> None:
    served, client = pair
    served.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    stop = threading.Event()

    def sip() -> None:
        # Each piece gets through within the time of one, all of them much slower than they may be read.
        while not stop.wait(0.05):
            client.recv(10)

    thread = threading.Thread(target=sip)
    thread.start()
    began = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            while time.monotonic() - began < 10:
                served.sendall(b"x" * 10)
    finally:
        stop.set()
        thread.join()


def test_the_time_between_the_pieces_of_an_answer_is_not_the_client_s(pair: tuple[Hasty, socket.socket]) -> None:
    served, client = pair
    for _ in range(3):
        time.sleep(0.2)
        served.sendall(b"x")
    assert client.recv(3)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def test_a_head_goes_with_what_follows_it(pair: tuple[Hasty, socket.socket]) -> None:
    served, client = pair
    client.setblocking(False)
    served.sendall(HEAD)
    with pytest.raises(BlockingIOError):
        client.recv(1_000)
    served.sendall(b"ok")
    assert client.recv(1_000) == HEAD + b"ok"
    served.flush()
    with pytest.raises(BlockingIOError):
        client.recv(1_000)


def test_a_head_that_nothing_follows_goes_when_the_answer_ends(pair: tuple[Hasty, socket.socket]) -> None:
    served, client = pair
    served.sendall(HEAD)
    served.flush()
    assert client.recv(1_000) == HEAD


def test_what_looks_like_a_head_within_a_body_waits_for_nothing(pair: tuple[Hasty, socket.socket]) -> None:
    served, client = pair
    served.sendall(HEAD)
    served.sendall(HEAD)
    assert client.recv(1_000) == HEAD + HEAD
