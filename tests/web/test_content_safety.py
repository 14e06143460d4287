"""Odd and hostile characters, heads and framings over real HTTP: kept as they are or refused, and never half-stored."""

from __future__ import annotations

import base64
import socket
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson
import pytest

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server, statement

STATE = "/xAPI/activities/state"
BODY = orjson.dumps(statement())


@pytest.fixture
def tutor(server: Server) -> NewCredential:
    return server.source(scopes=[scopes.ALL])


@pytest.fixture
def mine(server: Server) -> NewCredential:
    return server.source()


def raw(server: Server, sent: bytes) -> tuple[int, bytes]:
    """The status and the rest of the answer to bytes sent as they are; 0 when there is none."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        try:
            while part := connection.recv(65_536):
                parts.append(part)
        except ConnectionResetError:
            pass
    answer = b"".join(parts)
    return (int(answer.split(b" ", 2)[1]), answer) if answer else (0, b"")


def head(credential: NewCredential, *lines: str, target: str = "/xAPI/statements", method: str = "POST") -> bytes:
    token = base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()
    common = (
        f"{method} {target} HTTP/1.1",
        "Host: x",
        f"Authorization: Basic {token}",
        "X-Experience-API-Version: 1.0.3",
        "Content-Type: application/json",
        "Connection: close",
    )
    return "\r\n".join([*common, *lines, "", ""]).encode("latin-1")


def refused(answer: bytes, code: str | None = None) -> None:
    """Every refusal is a problem, whoever makes it, and quotes nothing."""
    fields, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in fields
    assert b"Cache-Control: private, no-store" in fields
    problem = orjson.loads(body)
    assert f"X-Request-ID: {problem['request_id']}".encode() in fields
    assert problem["status"] == int(answer.split(b" ", 2)[1])
    assert code is None or problem["code"] == code
    assert len(problem["detail"]) > 20 and b"Odd" not in body


def nothing_stored(server: Server, credential: NewCredential) -> bool:
    found: list[Any] = server.get(credential).json()["statements"]
    return found == []


# --- IRIs -------------------------------------------------------------------------------------------

GOOD_IRIS = [
    "https://ent.example/leçons/été?q=é#ï",
    "https://école.example/活动/1",
    "https://ent.example/😀",
    "urn:uuid:7f4a9a0e-3c53-4d0c-8a1b-0d8f7e6d5c4b",
    "tag:ent.example,2026:lesson",
    "https://ent.example/a%20b",
    "https://ent.example/../../etc/passwd",
    "mailto:someone@ent.example",
]
BAD_IRIS = [
    "leçon",
    "/etc/passwd",
    "../x",
    "https://ent.example/a b",
    "https://ent.example/a\nb",
    "https://ent.example/\x00",
    "https://ent.example/\x7f",
    "https://ent.example/<script>",
    'https://ent.example/"',
    "https://ent.example/{x}",
    "https://ent.example/a\\b",
    "://ent.example",
    "1https://ent.example",
    "",
]


@pytest.mark.parametrize("iri", GOOD_IRIS)
def test_iris_of_any_script_come_back_and_are_found(server: Server, mine: NewCredential, iri: str) -> None:
    (id,) = server.post(mine, statement(object={"id": iri})).json()
    assert server.get(mine, statementId=id).json()["object"]["id"] == iri
    assert [one["id"] for one in server.get(mine, activity=iri).json()["statements"]] == [id]


@pytest.mark.parametrize("iri", BAD_IRIS)
def test_what_is_no_iri_is_refused(server: Server, mine: NewCredential, iri: str) -> None:
    answer = server.post(mine, statement(object={"id": iri}))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-statement")
    assert server.get(mine, activity=iri).status_code == 400
    assert nothing_stored(server, mine)


# --- parameters -------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ["\x00", "\r\n", "\n", "\r\nX-Other: 1", "\x1b[2J"])
@pytest.mark.parametrize("name", ["verb", "statementId", "since", "limit", "format", "cursor", "agent", "nothing-such"])
def test_control_characters_in_parameters(server: Server, mine: NewCredential, name: str, odd: str) -> None:
    answer = server.send("GET", f"/xAPI/statements?{name}={quote('https://ent.example/' + odd)}", mine)
    assert answer.status_code == 400
    assert answer.json()["code"] in {"bad-parameter", "bad-cursor"}
    assert "X-Other" not in answer.headers
    assert odd not in answer.text


NAMES = [
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "a/b",
    "a\\b",
    "C:\\x",
    "été 活 😀",
    "a%2Fb",
    "$where",
    "a.b",
    "%00",
    " ",
    "x" * 2_000,
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_look_like_something_else_are_only_names(server: Server, tutor: NewCredential, name: str) -> None:
    place = {
        "activityId": f"https://ent.example/{uuid4()}",
        "agent": '{"mbox":"mailto:a@ent.example"}',
        "stateId": name,
    }
    assert server.send("PUT", STATE, tutor, json={"name": 1}, params=place).status_code == 204
    assert server.send("GET", STATE, tutor, params=place).json() == {"name": 1}
    del place["stateId"]
    assert server.send("GET", STATE, tutor, params=place).json() == [name]


@pytest.mark.parametrize("name", ["a\x00b", "a\r\nb", "a\nb", "\x1b"])
def test_control_characters_in_a_name_are_kept_or_refused(server: Server, tutor: NewCredential, name: str) -> None:
    place = {
        "activityId": f"https://ent.example/{uuid4()}",
        "agent": '{"mbox":"mailto:a@ent.example"}',
        "stateId": name,
    }
    status = server.send("PUT", STATE, tutor, json={}, params=place).status_code
    listed = server.send("GET", STATE, tutor, params={key: place[key] for key in ("activityId", "agent")}).json()
    assert (status, listed) in [(204, [name]), (400, [])]


@pytest.mark.parametrize(
    "path",
    [
        "/xAPI/../../etc/passwd",
        "/xAPI/..%2f..%2fetc%2fpasswd",
        "/xAPI/statements/../../etc",
        "//elsewhere.example/xAPI//statements",
        "/xAPI/statements%00",
        "/xAPI/activities/state/bookmark",
        "/api/v1/aggregates/../../../etc/passwd",
        "/api/v1/processing-activities/..%2f..%2fetc",
    ],
)
def test_paths_lead_nowhere_else(server: Server, path: str) -> None:
    reader = server.credential(scopes.ALL, scopes.RESEARCH, scopes.GOVERNANCE_READ)
    status, answer = raw(server, head(reader, target=path, method="GET"))
    assert status in {400, 404}
    assert b"root:" not in answer and b"Location:" not in answer


# --- heads ------------------------------------------------------------------------------------------

HEADS = {
    "one header of 9,000 bytes": ["X-Long: " + "x" * 9_000],
    "a head of 70,000 bytes": [f"X-Long-{n}: " + "x" * 7_000 for n in range(10)],
    "200 headers": [f"X-{n}: 1" for n in range(200)],
    "a NUL in a header": ["X-Odd: a\x00b"],
    "a bare CR in a header": ["X-Odd: a\rb"],
    "a folded header": ["X-Odd: a\r\n b"],
    "a header without a name": [": a"],
    "a blank before the colon": ["X-Odd : a"],
    "a name with a blank": ["X Odd: a"],
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(server: Server, mine: NewCredential, name: str) -> None:
    status, answer = raw(server, head(mine, *HEADS[name], f"Content-Length: {len(BODY)}") + BODY)
    assert 400 <= status < 500, answer
    refused(answer)
    assert nothing_stored(server, mine)


def test_a_request_line_that_is_too_long(server: Server, mine: NewCredential) -> None:
    status, answer = raw(
        server, head(mine, target="/xAPI/statements?verb=https://e.example/" + "x" * 9_000, method="GET")
    )
    assert status == 414
    refused(answer, "address-too-long")


LINES = {
    "a method in small letters": b"get /healthz HTTP/1.1",
    "no version": b"GET /healthz",
    "an unknown version": b"GET /healthz HTTP/9.9",
    "a letter beyond ASCII": b"GET /healthz/\xc3\xa9 HTTP/1.1",
    "nothing that is HTTP": b"BAD",
    "a line of the PROXY protocol": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /healthz HTTP/1.1",
}


@pytest.mark.parametrize("name", LINES)
def test_request_lines(server: Server, name: str) -> None:
    status, answer = raw(server, LINES[name] + b"\r\nHost: x\r\n\r\n")
    assert status == 400
    refused(answer, "bad-request")


def test_an_expectation_that_is_not_known(server: Server, mine: NewCredential) -> None:
    status, answer = raw(server, head(mine, "Expect: 200-ok", f"Content-Length: {len(BODY)}") + BODY)
    assert status == 417
    refused(answer, "expectation-failed")


def test_who_asks_in_french_is_refused_in_french(server: Server) -> None:
    status, answer = raw(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nAccept-Language: fr\r\nX Odd: 1\r\n\r\n")
    assert status == 400
    assert b"Content-Language: fr" in answer
    refused(answer, "bad-request")


# Names by which a server may be told of the request by another: none has any effect here.
FORWARDED = [
    *("SCRIPT_NAME: /public", "SCRIPT-NAME: /public", "X-Script-Name: /public", "Script_Name: /public"),
    *("PATH_INFO: /xAPI/about", "PATH-INFO: /xAPI/about", "X-Original-URL: /xAPI/about", "X-Rewrite-URL: /xAPI/about"),
    *("X-Forwarded-Prefix: /public", "X-Forwarded-Path: /xAPI/about", "X-Forwarded-Host: elsewhere.example"),
    *("X-Forwarded-Proto: https", "X-Forwarded-Protocol: ssl", "X-Forwarded-Ssl: on", "X-Forwarded-Proto: gopher"),
    *("X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1;proto=https", "X-Real-IP: 127.0.0.1"),
    *("REMOTE_ADDR: 127.0.0.1", "REMOTE_USER: root", "X-HTTP-Method-Override: DELETE", "REQUEST_METHOD: DELETE"),
]


@pytest.mark.parametrize("line", FORWARDED)
def test_nothing_that_a_client_says_of_its_request_is_believed(server: Server, line: str) -> None:
    reader = server.credential(scopes.GOVERNANCE_READ)
    paths = {
        "/api/v1/processing-activities": 200,
        "/public/api/v1/processing-activities": 404,
        "/public": 404,
        "/xAPI/statements": 403,
    }
    for path, wanted in paths.items():
        status, answer = raw(server, head(reader, line, target=path, method="GET"))
        assert status == wanted, (path, answer)
        if status >= 400:
            refused(answer)
    status, answer = raw(server, f"GET /api/v1/processing-activities HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode())
    assert status == 401
    refused(answer, "credentials-refused")


def test_schemes_that_contradict_each_other_are_nobody_s_affair(server: Server) -> None:
    lines = ("X-Forwarded-Proto: https", "X-Forwarded-Ssl: off")
    assert (
        raw(server, head(server.credential(scopes.GOVERNANCE_READ), *lines, target="/readyz", method="GET"))[0] == 200
    )


@pytest.mark.parametrize("line", ["X_Experience_API_Version: 1.0.3", "X-Experience_API-Version: 1.0.3"])
def test_a_header_with_an_underscore_is_not_another_s(server: Server, mine: NewCredential, line: str) -> None:
    sent = head(mine, line, method="GET").replace(b"X-Experience-API-Version: 1.0.3\r\n", b"")
    status, answer = raw(server, sent)
    assert status == 400
    refused(answer, "bad-version")
    sent = head(mine, "Authorization_: x", method="GET").replace(b"\r\nAuthorization: ", b"\r\nAuthorization_: ")
    assert raw(server, sent)[0] == 401


@pytest.mark.parametrize(
    "kind", ['application/json; charset="utf-8', "application/json;;;", "application/json, text/html"]
)
def test_odd_content_types(server: Server, mine: NewCredential, kind: str) -> None:
    status = server.send("POST", "/xAPI/statements", mine, data=BODY, headers={"Content-Type": kind}).status_code
    assert status in {200, 400}
    assert nothing_stored(server, mine) is (status != 200)


# --- framing ----------------------------------------------------------------------------------------

FRAMINGS = {
    "two lengths that differ": ([f"Content-Length: {len(BODY)}", "Content-Length: 2"], BODY),
    "twice the same length": ([f"Content-Length: {len(BODY)}"] * 2, BODY),
    "a list of lengths": ([f"Content-Length: {len(BODY)}, {len(BODY)}"], BODY),
    "a negative length": (["Content-Length: -1"], BODY),
    "a signed length": ([f"Content-Length: +{len(BODY)}"], BODY),
    "a length in words": (["Content-Length: many"], BODY),
    "a length and chunks": ([f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    "chunked twice": (["Transfer-Encoding: chunked, chunked"], b"0\r\n\r\n"),
    "an unknown transfer coding": (["Transfer-Encoding: rot13"], BODY),
    "a chunk of no size": (["Transfer-Encoding: chunked"], b"xyz\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk of negative size": (["Transfer-Encoding: chunked"], b"-5\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk longer than its size": (["Transfer-Encoding: chunked"], b"5\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk cut off": (["Transfer-Encoding: chunked"], b"%x\r\n" % len(BODY) + BODY[:20]),
    "no last chunk": (["Transfer-Encoding: chunked"], b"%x\r\n" % len(BODY) + BODY + b"\r\n"),
    "a bad extension": (["Transfer-Encoding: chunked"], b'5;a="\x00"\r\nhello\r\n0\r\n\r\n'),
    "a size line without end": (["Transfer-Encoding: chunked"], b"1" * 20_000),
    "a bad trailer": (["Transfer-Encoding: chunked"], b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\nX Odd: 1\r\n\r\n"),
    "a body shorter than announced": ([f"Content-Length: {len(BODY) + 10}"], BODY),
}


@pytest.mark.parametrize("name", FRAMINGS)
def test_framings(server: Server, mine: NewCredential, name: str) -> None:
    # RFC 9112 6.3 and 7.1: a body whose end is not certain is refused, and its connection closed.
    lines, body = FRAMINGS[name]
    status, answer = raw(server, head(mine, *lines) + body)
    # RFC 9112 6.1: 501 for a transfer coding that is not understood.
    assert 400 <= status < 500 or (name, status) == ("an unknown transfer coding", 501), answer
    assert b"Traceback" not in answer
    refused(answer)
    assert nothing_stored(server, mine)


def test_a_broken_chunk_is_said_and_ends_the_connection(server: Server, mine: NewCredential) -> None:
    sent = head(mine, "Transfer-Encoding: chunked").replace(b"Connection: close\r\n", b"") + b"zz\r\n{}\r\n0\r\n\r\n"
    status, answer = raw(server, sent + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (status, answer.count(b"HTTP/1.1 ")) == (400, 1)
    problem = orjson.loads(answer.partition(b"\r\n\r\n")[2])
    assert (problem["code"], problem["faults"][0]["rule"]) == ("bad-request", "chunk")
    assert b"Connection: close" in answer


def test_whole_chunks_are_taken(server: Server, mine: NewCredential) -> None:
    half = len(BODY) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:half], BODY[half:], b""))
    status, _ = raw(server, head(mine, "Transfer-Encoding: chunked") + chunks)
    assert status == 200
    assert len(server.get(mine).json()["statements"]) == 1


def test_after_all_that_the_server_lives(server: Server) -> None:
    assert server.send("GET", "/readyz").status_code == 200
    assert server.process.poll() is None
    assert b"unforeseen" not in server.log.read_bytes()
