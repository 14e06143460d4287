"""What is read from the head of a request before a thread has it."""

from __future__ import annotations

import pytest

from app.web.asking import Kind, asking, whole

MIB = 1024 * 1024


def head(line: str, *fields: str, body: bytes = b"") -> bytearray:
    return bytearray("\r\n".join([f"{line} HTTP/1.1", "Host: x", *fields]).encode() + b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("GET /xAPI/statements?limit=1", Kind.READ),
        ("HEAD /xAPI/about", Kind.READ),
        ("OPTIONS /xAPI/statements", Kind.READ),
        ("POST /xAPI/statements", Kind.WRITE),
        ("PUT /xAPI/activities/state", Kind.WRITE),
        ("DELETE /xAPI/activities/state", Kind.WRITE),
        ("GET /healthz", Kind.OPERATIONS),
        ("HEAD /readyz?x", Kind.OPERATIONS),
        ("GET /metrics", Kind.OPERATIONS),
        ("GET /metricsystem", Kind.READ),
        ("POST /healthz", Kind.WRITE),
    ],
)
def test_kinds(line: str, kind: Kind) -> None:
    assert asking(head(line)).kind is kind


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ([], 0),
        (["Content-Length: 10"], 10),
        (["content-length:10"], 10),
        (["Content-Length: ten"], 0),
        (["Content-Length: 10", "Content-Encoding: gzip"], 160),
        (["Content-Encoding: gzip", "Content-Length: 10"], 160),
        (["Content-Length: 10", "Content-Encoding: identity"], 10),
        (["Transfer-Encoding: chunked"], 64 * 1024),
    ],
)
def test_bytes_of_the_body(fields: list[str], size: int) -> None:
    assert asking(head("POST /xAPI/statements", *fields)).body_bytes == size


def test_what_looks_like_a_header_in_the_body_is_none() -> None:
    received = head("POST /xAPI/statements", "Content-Length: 50", body=b"\nAuthorization: Basic eDp5\r\n\r\n")
    assert asking(received).credential is None


def test_a_credential_is_a_digest_that_tells_same_from_other() -> None:
    first, again, other = (
        asking(head("GET /", f"{name}: Basic {text}")).credential
        for name, text in (("Authorization", "eDp5"), ("authorization", "eDp5"), ("Authorization", "eDp6"))
    )
    assert first == again != other
    assert first is not None and b"eDp5" not in first


@pytest.mark.parametrize(
    "received",
    [
        head("GET /xAPI/about"),
        head("POST /xAPI/statements"),
        head("POST /xAPI/statements", "Content-Length: 2", body=b"[]"),
        head("POST /xAPI/statements", "Connection: keep-alive", "Content-Length: 0"),
    ],
)
def test_a_request_that_came_to_its_end(received: bytearray) -> None:
    assert whole(received)


@pytest.mark.parametrize(
    "received",
    [
        head("POST /xAPI/statements", "Content-Length: 3", body=b"[]"),
        head("POST /xAPI/statements", "Content-Length: 2", body=b"[]GET / HTTP/1.1\r\n"),
        head("POST /xAPI/statements", "Content-Length: 2", "Content-Length: 2", body=b"[]"),
        head("POST /xAPI/statements", "X: y\n Content-Length: 2", "Content-Length: 0"),
        head("POST /xAPI/statements", "Content-Length: +2", body=b"[]"),
        head("POST /xAPI/statements", "Content-Length: 2", "Transfer-Encoding: chunked", body=b"[]"),
        head("POST /xAPI/statements", "Transfer-Encoding\x0b: chunked"),
        head("GET /xAPI/about", "Connection: Close"),
        bytearray(b"GET /xAPI/about HTTP/1.0\r\n\r\n"),
    ],
)
def test_a_request_that_goes_on_or_whose_end_is_in_doubt(received: bytearray) -> None:
    assert not whole(received)
