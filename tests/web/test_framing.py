"""Bodies in chunks (RFC 9112 7.1): read as gunicorn reads them or refused, bounded in all that is not payload."""

from __future__ import annotations

import resource
import socket
import threading
import time
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import given
from hypothesis import strategies as some

from app.web import framing
from app.web.admission.client_socket import ClientSocket
from app.web.framing import MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, Chunks, Misframed, Parser, TooMuchFraming

PLENTY = 1 << 30
HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(chunks: Chunks, sent: bytes, step: int) -> bytes:
    payload = b""
    for at in range(0, len(sent), step):
        if chunks.done:
            chunks.rest += sent[at : at + step]
        else:
            payload += chunks.feed(sent[at : at + step])
    return payload


def of_gunicorn(sent: bytes) -> tuple[bytes, bytes] | None:
    """The payload and what follows it, as gunicorn reads them; None when it refuses them or they are not whole."""
    unreader = IterUnreader([HEAD + sent])
    try:
        payload = Request(Config(), unreader, ("127.0.0.1", 1), 1).body.read()
    except (ParseException, OSError):
        return None
    return payload, unreader.take_buffered()


EXTENSION = some.sampled_from([b"", b"", b";a", b";a=b", b' ; a = "b;\\"c"', b";a;b=c"])
TRAILERS = some.sampled_from([b"", b"", b"X-Sum: 1\r\n", b"X-Sum: 1\r\nX-More: 2\r\n"])


@given(
    some.lists(some.tuples(some.binary(min_size=1, max_size=40), EXTENSION), max_size=8),
    EXTENSION,
    TRAILERS,
    some.binary(max_size=20),
    some.integers(1, 60),
)
def test_what_is_written_in_chunks_is_read_however_it_comes(
    pieces: list[tuple[bytes, bytes]], last: bytes, trailers: bytes, behind: bytes, step: int
) -> None:
    sent = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece, extension in pieces)
    sent += b"0" + last + b"\r\n" + trailers + b"\r\n" + behind
    chunks = Chunks(PLENTY)
    payload = read(chunks, sent, step)
    assert chunks.done
    assert (payload, chunks.rest) == (b"".join(piece for piece, _ in pieces), behind)
    assert of_gunicorn(sent) == (payload, behind)


PIECES = some.sampled_from([*(b"%c" % each for each in b'0 5 1 a \r \n ; = " x : - \0'), b"\r\n", b"hello", b"X: 1"])


@given(some.lists(PIECES, max_size=25).map(b"".join), some.integers(1, 9))
def test_nothing_is_read_that_gunicorn_refuses_or_reads_otherwise(sent: bytes, step: int) -> None:
    chunks = Chunks(PLENTY)
    try:
        payload = read(chunks, sent, step)
    except Misframed:
        return
    if chunks.done and not chunks.trailers:
        assert of_gunicorn(sent) == (payload, chunks.rest)


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloo\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"0" * 17 + b"\r\n\r\n",
        b"1" * 17 + b"\r\n",
        b"1" * 2_000,
        b"5;a=" + b"x" * MAX_EXTENSION_BYTES + b"\r\nhello\r\n0\r\n\r\n",
        b"5;a=" + b"x" * 5_000,
        b"1;a=bcdefgh\r\nx\r\n" * (MAX_EXTENSION_BYTES // 10 + 1),
        b"0\r\nX: " + b"x" * MAX_TRAILER_BYTES,
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_what_is_no_body_in_chunks_is_refused(sent: bytes, step: int) -> None:
    with pytest.raises(Misframed):
        read(Chunks(PLENTY), sent, step)


def test_framing_is_bounded_beside_the_payload() -> None:
    with pytest.raises(TooMuchFraming):
        read(Chunks(10_000), b"1\r\nx\r\n" * 3_000, 1_000)
    chunks = Chunks(10_000)
    assert len(read(chunks, b"3e8\r\n" + b"x" * 1_000 + b"\r\n0\r\n\r\n", 100)) == 1_000


def test_the_smallest_chunks_that_a_body_may_have_cost_little() -> None:
    # 20 MiB of body allow 5 MiB of framing: a million chunks.
    sent = b"1\r\nx\r\n" * 1_000_000
    chunks = Chunks(PLENTY)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    assert len(read(chunks, sent, 64 * 1024)) == 1_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 6


class Hasty(ClientSocket):
    patience_seconds = 0.5
    bytes_per_second = 1_000
    silence_seconds = 0.4


def served(sent: bytes) -> tuple[Any, Hasty, socket.socket]:
    ours, theirs = socket.socketpair()
    connection = Hasty(ours.family, ours.type, ours.proto, ours.detach())
    connection.begin(lambda: None)
    theirs.sendall(sent)
    return next(Parser(Config(), connection, ("127.0.0.1", 1))), connection, theirs


@pytest.mark.parametrize("framing", [b"5;a=", b"0\r\nX: "])
def test_only_payload_gives_more_time(framing: bytes) -> None:
    began = time.monotonic()
    request, connection, client = served(HEAD + framing)
    stop = threading.Event()

    def trickle() -> None:
        # Faster than a body has to come, and no end of it before the limit.
        while not stop.wait(0.02):
            client.send(b"x" * 20)

    with connection, client:
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            with pytest.raises(TimeoutError):
                request.body.read()
        finally:
            stop.set()
            thread.join()
        assert 0.3 < time.monotonic() - began < 0.9


def test_a_body_that_comes_fast_enough_may_take_longer_than_the_patience() -> None:
    for head, chunk in (
        (HEAD, b"96\r\n%s\r\n"),
        (HEAD.replace(b"Transfer-Encoding: chunked", b"Content-Length: 3000"), b"%s"),
    ):
        request, connection, client = served(head)

        def send(client: socket.socket = client, chunk: bytes = chunk) -> None:
            for _ in range(20):
                client.sendall(chunk % (b"x" * 150))
                time.sleep(0.05)
            client.sendall(b"0\r\n\r\n")

        with connection, client:
            thread = threading.Thread(target=send)
            thread.start()
            assert request.body.read() == b"x" * 3_000
            thread.join()


def test_a_request_behind_a_body_is_left_for_the_next() -> None:
    for body in (
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n",
        b"Content-Length: 5\r\n\r\nhello",
    ):
        request, connection, client = served(b"POST /x HTTP/1.1\r\nHost: x\r\n" + body + b"GET /next")
        with connection, client:
            assert request.body.read() == b"hello"
            assert request.unreader.take_buffered() == b"GET /next"


NAME = some.sampled_from(
    [
        "Host",
        "host",
        "X-A",
        "x-a",
        "Content-Type",
        "Accept",
        "Expect",
        "X_A",
        "SCRIPT_NAME",
        "",
        " X-B",
        "X-B ",
        "X:B",
        "é",
    ]
)
SAYS = some.sampled_from(
    [
        "",
        "x",
        " x",
        "\tx y \t",
        "100-continue",
        "a:b",
        "a\tb",
        "é\xff",
        "a\x00b",
        "a\x0bb",
        "a\nb",
        "a\rb",
        "\x7f",
        "\r\n b",
    ]
) | some.integers(8_160, 8_195).map(lambda size: "x" * size)


def fields_of(kind: type[Request], sent: bytes) -> object:
    """The header fields of a head as a parser reads them, and what it makes of ``Expect``; or its refusal."""
    config = Config()
    as_served: dict[str, object] = {"header_map": "drop", "forwarded_allow_ips": "", "forwarder_headers": ""}
    limits = {"limit_request_field_size": 8190, "limit_request_fields": 6}
    for name, value in (as_served | limits | {"secure_scheme_headers": {}}).items():
        config.set(name, value)
    try:
        request = kind(config, IterUnreader([sent]), ("127.0.0.1", 1), 1)
    except ParseException as refused:
        return type(refused)
    return request.headers, request._expected_100_continue, request.scheme


@given(some.lists(some.tuples(NAME, some.sampled_from([":", ": ", ":\t", " :", ""]), SAYS), max_size=8))
def test_header_fields_are_read_and_refused_as_gunicorn_does(lines: list[tuple[str, str, str]]) -> None:
    head = "GET / HTTP/1.1\r\n" + "".join(f"{name}{colon}{text}\r\n" for name, colon, text in lines) + "\r\n"
    sent = head.encode("latin-1")
    assert fields_of(framing.Request, sent) == fields_of(Request, sent)
