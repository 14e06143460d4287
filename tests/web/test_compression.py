"""Compressed answers over real HTTP: who asked, what is left as it is, and that it says the same."""

from __future__ import annotations

import gzip

import brotli
import orjson
import pytest
import urllib3

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server, statement

HTTP = urllib3.PoolManager()


@pytest.fixture(scope="module")
def tutor(server: Server) -> NewCredential:
    made = server.source(scopes=[scopes.WRITE, scopes.READ_MINE, scopes.PROFILE])
    server.post(made, [statement(result={"response": f"answer {place}"}) for place in range(50)])
    return made


def fetch(
    server: Server, credential: NewCredential, accepted: str | None, path: str = "/xAPI/statements", method: str = "GET"
) -> urllib3.BaseHTTPResponse:
    """An answer whose body is left as it came."""
    headers = urllib3.make_headers(basic_auth=f"{credential.id}:{credential.secret}")
    headers["X-Experience-API-Version"] = "1.0.3"
    # urllib3 would say identity of its own accord.
    headers["Accept-Encoding"] = urllib3.util.SKIP_HEADER if accepted is None else accepted
    return HTTP.request(method, server.url + path, headers=headers, decode_content=False)


def unpacked(answer: urllib3.BaseHTTPResponse) -> bytes:
    coding = answer.headers.get("Content-Encoding")
    return {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[coding](answer.data)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, deflate, br", "br"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("gzip;q=0.001", "gzip"),
        ("GZIP", "gzip"),
        ("*", "br"),
        ("*;q=0.5, br;q=0", "gzip"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        (None, None),
        ("", None),
        ("identity", None),
        ("deflate, zstd", None),
        ("gzip;q=0", None),
        ("gzip;q=0, br;q=0", None),
        ("*;q=0", None),
        ("gzip;q=0.4, identity", None),
        ("identity;q=0", None),
    ],
)
def test_the_coding_is_the_one_wanted_most(
    server: Server, tutor: NewCredential, accepted: str | None, coding: str | None
) -> None:
    answer = fetch(server, tutor, accepted)
    assert answer.status == 200
    assert answer.headers.get("Content-Encoding") == coding
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert len(orjson.loads(unpacked(answer))["statements"]) == 50
    if coding:
        assert len(answer.data) < len(unpacked(answer)) / 4


def test_the_same_content_and_the_same_head(server: Server, tutor: NewCredential) -> None:
    plain = fetch(server, tutor, None)
    for coding in ("br", "gzip"):
        packed = fetch(server, tutor, coding)
        assert unpacked(packed) == plain.data
        head = fetch(server, tutor, coding, method="HEAD")
        for name in ("Content-Encoding", "Content-Length", "Content-Type", "Vary"):
            assert head.headers[name] == packed.headers[name]
        assert head.data == b""


def test_what_is_small_stays_plain(server: Server, tutor: NewCredential) -> None:
    answer = fetch(server, tutor, "br, gzip", "/xAPI/about")
    assert "Content-Encoding" not in answer.headers
    assert "Accept-Encoding" in answer.headers["Vary"]


def test_what_has_an_etag_stays_plain(server: Server, tutor: NewCredential) -> None:
    # RFC 9110 8.8.3: compressed it would be another representation, with another tag.
    where = "/xAPI/activities/profile?activityId=https%3A%2F%2Fent.example%2Fcompressed&profileId=p"
    content = b'{"text":"' + b"long " * 2_000 + b'"}'
    put = server.send("PUT", where, tutor, data=content, headers={"If-None-Match": "*"})
    assert put.status_code == 204
    answer = fetch(server, tutor, "br, gzip", where)
    assert "Content-Encoding" not in answer.headers
    assert answer.data == content
    again = server.send("PUT", where, tutor, data=b"{}", headers={"If-Match": answer.headers["ETag"]})
    assert again.status_code == 204


def test_other_json_and_text_are_compressed(server: Server, tutor: NewCredential) -> None:
    answer = fetch(server, tutor, "gzip", "/metrics")
    assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")
    assert b"sillage_http_requests" in unpacked(answer)
    faults = server.send(
        "POST",
        "/xAPI/statements",
        tutor,
        json=[statement(actr={}) for _ in range(20)],
        headers={"Accept-Encoding": "br"},
    )
    assert (faults.status_code, faults.headers["Content-Encoding"]) == (400, "br")
