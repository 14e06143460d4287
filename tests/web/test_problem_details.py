"""Errors over real HTTP: a page for people outside of ``/xAPI``, a problem document for everybody else."""

from __future__ import annotations

import socket

import orjson
import pytest
import requests

from app.core.errors import Overloaded, RequestTimeout, SillageError
from app.web.error_page import HEADERS
from app.web.problem_details import Rendering
from app.web.refusal import Refusal
from tests.served import Server, statement

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PAGE, DOCUMENT = "text/html; charset=utf-8", "application/problem+json"
# Path, method, status.
OUTSIDE = [
    ("/nowhere", "GET", 404),
    ("/nowhere", "GET", 404),
    ("/nowhere", "POST", 404),
    ("/xapi/statements", "GET", 404),
    ("/xAPIs", "GET", 404),
    ("/api/v1/aggregates", "GET", 401),
    ("/api/v1/aggregates", "DELETE", 405),
    ("/metrics/x", "GET", 404),
]
UNDER_XAPI = [
    ("/xAPI", "GET", 404),
    ("/xAPI/", "GET", 404),
    ("/xAPI/nowhere", "GET", 404),
    ("/xAPI//nowhere/", "GET", 404),
    ("//xAPI/nowhere", "GET", 404),
    ("/xAPI/statements", "GET", 401),
    ("/xAPI/statements", "DELETE", 405),
    ("/xAPI/about", "POST", 405),
]


def words(answer: requests.Response, name: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers.get(name, "").split(",")} - {""}


@pytest.mark.parametrize(("path", "method", "status"), OUTSIDE)
def test_people_get_a_page_in_their_language(server: Server, path: str, method: str, status: int) -> None:
    for language, sent in (("fr", "fr-FR,fr;q=0.9,en;q=0.5"), ("en", "en-GB"), ("en", "de")):
        answer = server.send(method, path, headers={**BROWSER, "Accept-Language": sent}, version=None)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, PAGE)
        assert answer.headers["Content-Language"] == language
        assert f'<html lang="{language}">' in answer.text
        assert answer.headers["X-Request-ID"] in answer.text
        assert words(answer, "Vary") >= {"accept", "accept-language"}
        assert answer.headers["Cache-Control"] == "private, no-store"
        for name, text in HEADERS.items():
            assert answer.headers[name] == text
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)
        assert ("Allow" in answer.headers) is (status == 405)


@pytest.mark.parametrize(("path", "method", "status"), OUTSIDE)
@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/html, application/json", "text/html;q=0"])
def test_programs_get_a_document(server: Server, path: str, method: str, status: int, accept: str | None) -> None:
    headers = {"Accept": accept, "Accept-Language": "fr"}
    answer = requests.request(method, server.url + path, headers=headers, timeout=20)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, DOCUMENT)
    assert answer.json()["status"] == status
    # What a cache keeps of this is not for people.
    assert words(answer, "Vary") >= {"accept", "accept-language"}


@pytest.mark.parametrize(("path", "method", "status"), UNDER_XAPI)
def test_under_xapi_it_is_a_document_whatever_is_asked_for(server: Server, path: str, method: str, status: int) -> None:
    for headers in ({}, BROWSER, {"Accept": "text/html"}):
        answer = server.send(method, path, headers={**headers, "Accept-Language": "fr"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, DOCUMENT), headers
        assert answer.json()["status"] == status
        assert not words(answer, "Vary") & {"accept", "accept-language"}
        assert "Content-Security-Policy" not in answer.headers


def test_a_refusal_of_a_body_is_a_page_too(server: Server) -> None:
    headers = {**BROWSER, "Content-Type": "application/json"}
    source = server.source()
    assert server.send("POST", "/api/v1/check", source, data=b"{", headers=headers).headers["Content-Type"] == PAGE
    answer = server.send("POST", "/api/v1/check", source, json=statement(), headers=BROWSER)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_head_says_what_get_would(server: Server) -> None:
    asked = requests.get(f"{server.url}/nowhere", headers=BROWSER, timeout=20)
    head = requests.head(f"{server.url}/nowhere", headers=BROWSER, timeout=20)
    assert head.content == b""
    named = ("Content-Type", "Content-Language", "Vary", "Content-Security-Policy")
    assert [head.headers[name] for name in named] == [asked.headers[name] for name in named]


def test_a_page_comes_compressed_to_those_who_take_it(server: Server) -> None:
    plain = server.send("GET", "/nowhere", headers={**BROWSER, "Accept-Encoding": "identity"})
    packed = server.send("GET", "/nowhere", headers={**BROWSER, "Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain.headers
    assert words(packed, "Vary") >= {"accept", "accept-language", "accept-encoding"}
    assert packed.text.count("<h1>") == plain.text.count("<h1>") == 1


# --- before the application -------------------------------------------------------------------------


def said(server: Server, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers by their names in lower case, and body of the answer to some bytes."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(request)
        received = b""
        while piece := client.recv(65_536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    return int(line.split()[1]), {name.lower(): text for name, text in (each.split(": ", 1) for each in fields)}, body


ASKS = b"Host: x\r\nAccept: text/html\r\nAccept: */*;q=0.8\r\nAccept-Language: fr\r\n"
BROKEN = {
    "a header that is none": (b"GET %s HTTP/1.1\r\n" + ASKS + b"X Odd: 1\r\n\r\n", 400),
    "a long request line": (b"GET %s?" + b"a" * 9_000 + b" HTTP/1.1\r\n" + ASKS + b"\r\n", 414),
    "a long head": (b"GET %s HTTP/1.1\r\n" + ASKS + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "an odd expectation": (b"GET %s HTTP/1.1\r\n" + ASKS + b"Expect: x\r\n\r\n", 417),
    "an odd coding": (b"POST %s HTTP/1.1\r\n" + ASKS + b"Transfer-Encoding: x\r\n\r\n", 501),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_the_application_does_not_see_has_the_same_forms(server: Server, name: str) -> None:
    request, status = BROKEN[name]
    got, headers, body = said(server, request.replace(b"%s", b"/nowhere"))
    assert (got, headers["content-type"], headers["content-language"]) == (status, PAGE, "fr")
    assert headers["vary"] == "Accept, Accept-Language"
    assert {each: headers[each.lower()] for each in HEADERS} == HEADERS
    assert int(headers["content-length"]) == len(body) and b'<html lang="fr">' in body
    assert headers["x-request-id"].encode() in body
    for path in (b"/xAPI/statements", b"//xAPI//x/", b"/%78API/statements", b"http://x/xAPI/about"):
        got, headers, body = said(server, request.replace(b"%s", path))
        assert (got, headers["content-type"]) == (status, DOCUMENT)
        assert orjson.loads(body)["status"] == status and "vary" not in headers


def test_a_request_line_that_is_none_gets_a_document(server: Server) -> None:
    status, headers, _ = said(server, b"\x01\x02\r\n" + ASKS + b"\r\n")
    assert (status, headers["content-type"]) == (400, DOCUMENT)


@pytest.mark.parametrize("error", [Overloaded(retry_after=1), RequestTimeout(), SillageError()])
def test_what_is_refused_for_overload_has_the_same_forms(error: SillageError) -> None:
    pages = {"Vary": "Origin", "Access-Control-Allow-Origin": "https://page.example"}
    refusal = Refusal(lambda path, _origin: pages if path.startswith("/api/") else {}, rendering=Rendering("/xAPI"))

    def answered(line: str, accept: str) -> tuple[bytes, bytes]:
        head = f"{line} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n"
        fields, _, body = refusal(head.encode(), error, keep=False).partition(b"\r\n\r\n")
        return fields, body

    fields, body = answered("POST /api/v1/check", "text/html")
    assert f"HTTP/1.1 {error.status} ".encode() in fields
    assert b"\r\nContent-Type: text/html; charset=utf-8\r\n" in fields
    assert b"\r\nVary: Accept, Accept-Language, Origin" in fields and fields.count(b"\r\nVary:") == 1
    assert (b"\r\nRetry-After: 1" in fields) is (error.retry_after is not None)
    assert body.startswith(b"<!DOCTYPE html>")
    assert answered("HEAD /api/v1/check", "text/html")[1] == b""
    fields, body = answered("GET /api/v1/check", "*/*")
    assert b"\r\nVary: Accept, Accept-Language, Origin" in fields and orjson.loads(body)["code"] == error.code
    fields, body = answered("GET /xAPI/statements", "text/html")
    assert b"\r\nVary:" not in fields and orjson.loads(body)["code"] == error.code
