"""Broken, hostile, huge and empty input gets a clear 4xx, stores nothing, and leaves the server alive."""

from __future__ import annotations

import gzip
import os
import socket
from uuid import uuid4

import orjson
import pytest

from app.access.credentials import NewCredential
from tests.served import Server, statement


@pytest.fixture(scope="module")
def tutor(server: Server) -> NewCredential:
    return server.source()


GOOD = orjson.dumps(statement())

BODIES = {
    "empty": (b"", 400, "malformed-json"),
    "truncated": (GOOD[:-20], 400, "malformed-json"),
    "two documents": (GOOD + GOOD, 400, "malformed-json"),
    "not UTF-8": (GOOD.replace(b"lessons", b"le\xe7ons"), 400, "malformed-json"),
    "UTF-16": (GOOD.decode().encode("utf-16"), 400, "malformed-json"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, 400, "malformed-json"),
    "duplicate key": (GOOD[:-1] + b',"actor":{"mbox":"mailto:b@ent.example"}}', 400, "duplicate-key"),
    "duplicate key, escaped": (GOOD[:-1] + rb',"act\u006fr":{"mbox":"mailto:b@ent.example"}}', 400, "duplicate-key"),
    "NaN": (GOOD[:-1] + b',"result":{"score":{"scaled":NaN}}}', 400, "malformed-json"),
    "Infinity": (GOOD[:-1] + b',"result":{"score":{"raw":-Infinity}}}', 400, "malformed-json"),
    "nested 10,000 deep": (b"[" * 10_000 + b"]" * 10_000, 400, "malformed-json"),
    "nested 10,000 deep in an extension": (
        GOOD[:-1] + b',"context":{"extensions":{"https://e.example/x":' + b"[" * 10_000 + b"]" * 10_000 + b"}}}",
        400,
        "malformed-json",
    ),
    "a 100,000-statement array": (b"[" + b",".join([GOOD] * 100_000) + b"]", 413, "body-too-large"),
    "millions of values": (
        GOOD[:-1] + b',"result":{"extensions":{"https://e.example/x":[' + b"{}," * 6_500_000 + b"0]}}}",
        413,
        "body-too-large",
    ),
    "a statement of two megabytes": (
        GOOD[:-1] + b',"result":{"response":"' + b"x" * 2_000_000 + b'"}}',
        413,
        "statement-too-large",
    ),
    "an integer of 23 digits where 1 is the most": (
        GOOD[:-1] + b',"result":{"score":{"scaled":12345678901234567890123}}}',
        400,
        "invalid-statement",
    ),
    "a number": (b"42", 400, "invalid-statement"),
    "an array of arrays": (b"[[]]", 400, "invalid-statement"),
    "null": (b"null", 400, "invalid-statement"),
    "a statement that is null": (b"[null]", 400, "invalid-statement"),
    "an unknown property": (GOOD[:-1] + b',"actr":{}}', 400, "invalid-statement"),
    "a lone surrogate": (GOOD[:-1] + rb',"result":{"response":"\ud800"}}', 400, "malformed-json"),
    "twice the same id": (
        orjson.dumps([statement(id="7f4a9a0e-3c53-4d0c-8a1b-0d8f7e6d5c4b")] * 2),
        400,
        "invalid-statement",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(server: Server, tutor: NewCredential, name: str) -> None:
    body, status, code = BODIES[name]
    packed = len(body) > 1_000_000
    answer = server.send(
        "POST",
        "/xAPI/statements",
        tutor,
        data=gzip.compress(body, 1) if packed else body,
        headers={"Content-Encoding": "gzip"} if packed else {},
    )
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert code is None or problem["code"] == code
    assert len(problem["detail"]) > 10
    assert "lessons" not in answer.text
    assert server.get(tutor).json()["statements"] == []


def test_a_50_MB_body_gets_its_answer(server: Server, tutor: NewCredential) -> None:
    body = b"[" + b" " * 50_000_000 + b"]"
    answer = server.send("POST", "/xAPI/statements", tutor, data=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_a_50_MB_body_in_chunks_gets_its_answer(server: Server, tutor: NewCredential) -> None:
    answer = server.send("POST", "/xAPI/statements", tutor, data=(b" " * 1_000_000 for _ in range(50)))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_who_is_refused_while_still_sending_gets_to_read_why(server: Server, tutor: NewCredential) -> None:
    body = b"[" + b" " * 5_000_000 + b"]"
    wrong = tutor._replace(secret="wrong")
    for _ in range(5):
        answer = server.send("POST", "/xAPI/statements", wrong, data=body)
        assert (answer.status_code, answer.json()["code"]) == (401, "credentials-refused")
        answer = server.send("POST", "/xAPI/statements", tutor, data=body, headers={"Content-Type": "text/plain"})
        assert answer.status_code == 400
        assert server.send("POST", "/nowhere", tutor, data=body).status_code == 404


def test_a_statement_that_names_too_much_is_refused(server: Server, tutor: NewCredential) -> None:
    named = [{"id": f"https://e.example/{n}"} for n in range(20_000)]
    answer = server.post(tutor, statement(context={"contextActivities": {"other": named}}))
    assert (answer.status_code, answer.json()["faults"][0]["rule"]) == (400, "identifiers-count")


def test_what_is_refused_leaves_no_learner_key(server: Server) -> None:
    mine = server.source()
    keys = server.container.platform.store.collection("subjects")
    before = keys.count_documents({})
    learner = {"account": {"homePage": "https://ent.example", "name": "never-stored"}}
    named = [{"id": f"https://e.example/{n}"} for n in range(20_000)]
    for content in (
        statement(actor=learner, context={"contextActivities": {"other": named}}),
        statement(actor=learner, verb={"id": "answered"}),
    ):
        assert server.post(mine, content).status_code == 400
    assert keys.count_documents({}) == before


def test_a_very_large_statement_is_stored_and_read_back(server: Server) -> None:
    mine = server.source()
    sent = statement(result={"response": os.urandom(500_000).hex()})
    assert server.post(mine, sent).status_code == 200
    assert server.get(mine, limit=1).json()["statements"][0]["result"] == sent["result"]


@pytest.mark.parametrize("version", ["", "0.95", "1.1.0", "3.0.0", "2.1", "1.0.3, 2.0.0", "one"])
def test_an_unknown_version(server: Server, tutor: NewCredential, version: str) -> None:
    answer = server.post(tutor, statement(), version=version)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-version")
    assert answer.headers["X-Experience-API-Version"] == "1.0.3"


def test_a_missing_version(server: Server, tutor: NewCredential) -> None:
    answer = server.post(tutor, statement(), version=None)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-version")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "json"])
def test_a_wrong_content_type(server: Server, tutor: NewCredential, kind: str) -> None:
    answer = server.send("POST", "/xAPI/statements", tutor, data=GOOD, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (400, "unsupported-content-type")


def test_a_body_compressed_with_something_else_than_gzip_is_refused_clearly(
    server: Server, tutor: NewCredential
) -> None:
    answer = server.send("POST", "/xAPI/statements", tutor, data=GOOD, headers={"Content-Encoding": "zstd"})
    assert (answer.status_code, answer.json()["code"]) == (400, "unsupported-content-type")


def test_a_body_compressed_with_gzip_is_unpacked(server: Server, tutor: NewCredential) -> None:
    halves = gzip.compress(GOOD[:9]) + gzip.compress(GOOD[9:])
    for packed in (gzip.compress(GOOD), halves):
        answer = server.send("POST", "/xAPI/statements", tutor, data=packed, headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("broken", [GOOD, gzip.compress(GOOD)[:-5], gzip.compress(GOOD) + b"more", b"\x1f\x8b"])
def test_what_gzip_did_not_make_is_refused(server: Server, tutor: NewCredential, broken: bytes) -> None:
    answer = server.send("POST", "/xAPI/statements", tutor, data=broken, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-encoding")


def test_a_bomb_is_refused_before_it_is_unpacked(server: Server, tutor: NewCredential) -> None:
    bomb = gzip.compress(b" " * (200 * 1024 * 1024), 9)
    answer = server.send("POST", "/xAPI/statements", tutor, data=bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=ten",
        "since=yesterday",
        "agent=lea",
        "agent=%7B%7D",
        "verb=answered",
        "registration=1",
        "ascending=perhaps",
        "format=pretty",
        "statementId=1",
        "statementId=7f4a9a0e-3c53-4d0c-8a1b-0d8f7e6d5c4b&limit=1",
        "unknown=1",
        "limit=1&limit=2",
        "verb=%FF",
        "&".join(["a=1"] * 100),
    ],
)
def test_bad_parameters(server: Server, tutor: NewCredential, query: str) -> None:
    answer = server.send("GET", f"/xAPI/statements?{query}", tutor)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-parameter")


def test_put_without_statement_id(server: Server, tutor: NewCredential) -> None:
    answer = server.send("PUT", "/xAPI/statements", tutor, json=statement())
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-parameter")


def test_put_takes_one_statement(server: Server, tutor: NewCredential) -> None:
    answer = server.send("PUT", "/xAPI/statements", tutor, json=[statement()], params={"statementId": str(uuid4())})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-statement")


def test_unknown_places_and_methods(server: Server, tutor: NewCredential) -> None:
    assert server.send("GET", "/xAPI/nowhere", tutor).json()["code"] == "not-found"
    answer = server.send("DELETE", "/xAPI/statements", tutor)
    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
    assert "GET" in answer.headers["Allow"]


def test_a_client_that_leaves_in_mid_body_stores_nothing(server: Server) -> None:
    import base64

    mine = server.source()
    token = base64.b64encode(f"{mine.id}:{mine.secret}".encode()).decode()
    body = orjson.dumps([statement() for _ in range(50)])
    head = (
        "POST /xAPI/statements HTTP/1.1\r\nHost: x\r\nX-Experience-API-Version: 1.0.3\r\n"
        f"Authorization: Basic {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    port = int(server.url.rpartition(":")[2])
    for cut in (0, 10, len(body) // 2, len(body) - 1):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head.encode() + body[:cut])
    assert server.get(mine).json()["statements"] == []
    assert server.post(mine, statement()).status_code == 200


def test_errors_speak_french_to_those_who_ask(server: Server) -> None:
    answer = server.send("GET", "/xAPI/statements", None, headers={"Accept-Language": "fr-FR,fr;q=0.9"})
    assert answer.headers["Content-Language"] == "fr"
    assert answer.json()["title"] == "Identifiants refusés : envoyez une clé et un secret valides"


def test_after_all_that_the_server_lives(server: Server, tutor: NewCredential) -> None:
    assert server.send("GET", "/readyz").status_code == 200
    assert server.process.poll() is None
