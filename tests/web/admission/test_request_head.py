"""Description of a request by its head, before a thread has it."""

from __future__ import annotations

import time

import pytest

from app.web.admission.request_head import Framing, Heads, Kind, form, whole

MIB = 1024 * 1024
HEADS = Heads()
asking, asking_form = HEADS.asking, HEADS.asking_form


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
        (["Content-Length: " + "0" * 5_000 + "10"], 10),
        (["Content-Length: 0000000000000000020971520"], 20_971_520),
        (["Content-Length: " + "9" * 40], 10**15),
        (["Content-Length: " + "9" * 5_000], 10**15),
        (["Content-Length: 000"], 0),
        (["Content-Length: 10", "Content-Encoding: gzip"], 160),
        (["Content-Encoding: gzip", "Content-Length: 10"], 160),
        (["Content-Length: 10", "Content-Encoding: identity"], 10),
        (["Transfer-Encoding: chunked"], 64 * 1024),
    ],
)
def test_bytes_of_the_body(fields: list[str], size: int) -> None:
    assert asking(head("POST /xAPI/statements", *fields)).body_bytes == size


FORM = "POST /xAPI/statements?method=PUT"


@pytest.mark.parametrize(
    ("line", "fields", "framing"),
    [
        (FORM, ["Content-Length: 10"], Framing(10, chunked=False)),
        (FORM, ["Content-Length: " + "0" * 5_000 + "10"], Framing(10, chunked=False)),
        (FORM, ["Transfer-Encoding: Chunked"], Framing(0, chunked=True)),
        ("POST http://x/%78API/statements?method=PUT", ["Content-Length: 10"], Framing(10, chunked=False)),
        (FORM, [], None),
        (FORM, ["Content-Length: 0"], None),
        (FORM, ["Content-Length: 1001"], None),
        (FORM, ["Content-Length: 10", "Content-Length: 10"], None),
        (FORM, ["Content-Length: 10", "Transfer-Encoding: chunked"], None),
        (FORM, ["Transfer-Encoding: gzip, chunked"], None),
        ("POST /xAPI/statements?limit=1", ["Content-Length: 10"], None),
        ("POST /method?", ["Content-Length: 10"], None),
        ("PUT /xAPI/statements?method=PUT", ["Content-Length: 10"], None),
    ],
)
def test_what_may_be_a_form_and_where_it_ends(line: str, fields: list[str], framing: Framing | None) -> None:
    assert form(head(line, *fields), 1_000) == framing


def test_the_credential_of_a_form_is_that_of_a_header() -> None:
    plain = asking(head("POST /", "Authorization: Basic eDp5+/=")).credential
    inside = b"uthorization=Basic+eDp5%2B%2F%3D"
    for content in (b"A" + inside, b"content=" + b"x" * 100_000 + b"&a" + inside + b"&limit=1"):
        asked = asking_form(head(FORM, "Content-Length: 9"), content)
        assert (asked.credential, asked.body_bytes) == (plain, len(content))
    assert asking_form(head(FORM), b"content=authorization").credential is None


def test_looking_at_a_head_made_to_be_slow_costs_little() -> None:
    before = time.process_time()
    for _ in range(100):
        form(head("POST /" + "?" * 8_000, "Content-Length: 10"), 1_000)
        form(head("POST /?" + "metho" * 1_600, "Content-Length: 10"), 1_000)
        asking_form(head(FORM), b"&authorization" * 5_000)
    assert time.process_time() - before < 2


def test_what_looks_like_a_header_in_the_body_is_none() -> None:
    received = head("POST /xAPI/statements", "Content-Length: 50", body=b"\nAuthorization: Basic eDp5\r\n\r\n")
    assert asking(received).credential is None


def test_no_spelling_of_a_credential_makes_another_of_it() -> None:
    plain = asking(head("GET /", "Authorization: Basic eDp5")).credential
    for spelt in ("basic eDp5", "bAsIc eDp5", "Basic      eDp5", "BASIC \t eDp5", "Basic eDp5  "):
        assert asking(head("GET /", f"Authorization: {spelt}")).credential == plain
        content = f"Authorization={spelt.replace(' ', '+')}".encode()
        assert asking_form(head(FORM), content).credential == plain


def test_a_credential_is_a_digest_that_tells_same_from_other() -> None:
    first, again, other = (
        asking(head("GET /", f"{name}: Basic {text}")).credential
        for name, text in (("Authorization", "eDp5"), ("authorization", "eDp5"), ("Authorization", "eDp6"))
    )
    assert first == again != other
    assert first is not None and b"eDp5" not in first


def test_credentials_may_come_in_other_fields_and_the_first_that_has_any_counts() -> None:
    heads = Heads(("Authorization", "Cookie"))
    session, basic = "Cookie: __Host-session=aB", "Authorization: Basic eDp5"

    def shown(*fields: str) -> bytes | None:
        return heads.asking(head("GET /", *fields)).credential

    assert shown() is None and shown("X-Cookie: a") is None
    assert shown(session) == shown("cookie:  __Host-session=aB") != shown("Cookie: __Host-session=ab")
    # Cookies that change do not make another of who sends Authorization too.
    assert shown(session, basic) == shown(basic, "Cookie: c=1") == shown(basic)
    assert shown(basic) == asking(head("GET /", basic)).credential
    # A field that no authenticator looks at tells nobody from another.
    assert asking(head("GET /", session)).credential is None


@pytest.mark.parametrize(
    "received",
    [
        head("GET /xAPI/about"),
        head("POST /xAPI/statements"),
        head("POST /xAPI/statements", "Content-Length: 2", body=b"[]"),
        head("POST /xAPI/statements", "Connection: keep-alive", "Content-Length: 0"),
        head("POST /xAPI/statements", "Content-Length: 00000000000000000002", body=b"[]"),
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
