"""CORS, over real HTTP: pages of another origin use the store."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
import requests

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server, serving, statement

OURS = "https://tutor.example"
LOCAL = "http://[::1]:3000"
THEIRS = ["https://tutor.example.evil", "https://tutorxexample", "http://tutor.example", "null", f"{OURS}:8443", ""]
PATHS = [
    "/xAPI/statements",
    "/xAPI/activities/state",
    "/xAPI/activities/profile",
    "/xAPI/agents/profile",
    "/xAPI/about",
    "/api/v1/aggregates",
    "/api/v1/verdicts",
]


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("cors")
    with serving(folder, mongodb_uri, cors_origins=f"{OURS}, {LOCAL}", workers="1") as running:
        yield running


@pytest.fixture(scope="module")
def tutor(open_server: Server) -> NewCredential:
    return open_server.source(scopes=[scopes.ALL])


def allowed(answer: requests.Response) -> str | None:
    return answer.headers.get("Access-Control-Allow-Origin")


def words(answer: requests.Response, name: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers.get(name, "").split(",")} - {""}


def preflight(server: Server, path: str, origin: str, method: str = "PUT") -> requests.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type, if-match, if-none-match, "
        "x-experience-api-version, accept-language, content-encoding, x-unheard-of",
    }
    return server.send("OPTIONS", path, version=None, headers=headers)


@pytest.mark.parametrize("origin", [OURS, LOCAL])
@pytest.mark.parametrize("path", PATHS)
def test_a_preflight_needs_no_credentials(open_server: Server, path: str, origin: str) -> None:
    answer = preflight(open_server, path, origin)
    assert answer.status_code == 200
    assert allowed(answer) == origin
    assert {"get", "put", "post", "delete", "head"} <= words(answer, "Access-Control-Allow-Methods")
    assert words(answer, "Access-Control-Allow-Headers") == {
        "authorization",
        "content-type",
        "if-match",
        "if-none-match",
        "x-experience-api-version",
        "accept-language",
        "content-encoding",
    }
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert "origin" in words(answer, "Vary")
    # Pages send their own Authorization: what the browser keeps for this server is not theirs to use.
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("origin", THEIRS)
def test_another_origin_gets_none(open_server: Server, tutor: NewCredential, origin: str) -> None:
    for answer in (
        preflight(open_server, "/xAPI/statements", origin),
        open_server.send("GET", "/xAPI/statements", tutor, headers={"Origin": origin}),
    ):
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert "origin" in words(answer, "Vary")


def test_answers_can_be_read_with_what_xapi_says_in_headers(open_server: Server, tutor: NewCredential) -> None:
    answer = open_server.post(tutor, statement(), headers={"Origin": OURS})
    assert (answer.status_code, allowed(answer)) == (200, OURS)
    assert words(answer, "Access-Control-Expose-Headers") >= {
        "etag",
        "last-modified",
        "x-experience-api-version",
        "x-experience-api-consistent-through",
        "x-sillage-profile-verdict",
        "retry-after",
        "content-language",
    }
    assert words(answer, "Vary") >= {"origin"}


def test_errors_can_be_read_too(open_server: Server, tutor: NewCredential) -> None:
    origin = {"Origin": OURS}
    form, odd = {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "a/b"}
    answers = {
        401: open_server.send("GET", "/xAPI/statements", headers=origin),
        400: open_server.send("GET", "/xAPI/statements?limit=x", tutor, headers=origin),
        404: open_server.send("GET", "/xAPI/nowhere", tutor, headers=origin),
        405: open_server.send("DELETE", "/xAPI/statements", tutor, headers=origin),
        403: open_server.send("GET", "/api/v1/retention", tutor, headers=origin),
    }
    pairs = [*answers.items()]
    pairs.append((400, open_server.send("POST", "/xAPI/statements", tutor, data=b"x", headers=origin | odd)))
    sent = "/xAPI/statements?method=GET"
    pairs.append((400, open_server.send("POST", sent, tutor, version="2.0", data=b"", headers=origin | form)))
    for status, answer in pairs:
        assert answer.status_code == status
        assert allowed(answer) == OURS, status
        assert len(answer.json()["detail"]) > 10


def test_a_simple_request_in_the_alternate_syntax(open_server: Server) -> None:
    answer = open_server.send(
        "POST",
        "/xAPI/statements?method=GET",
        version=None,
        data=urlencode({"X-Experience-API-Version": "1.0.3"}),
        headers={"Origin": OURS, "Content-Type": "text/plain"},
    )
    assert (answer.status_code, allowed(answer)) == (401, OURS)


def test_what_is_not_for_pages_has_none(open_server: Server) -> None:
    for path in ("/healthz", "/metrics", "/readyz"):
        assert allowed(open_server.send("GET", path, headers={"Origin": OURS})) is None


def test_the_default_is_nobody(server: Server) -> None:
    for answer in (
        preflight(server, "/xAPI/statements", OURS),
        server.send("GET", "/xAPI/about", headers={"Origin": OURS}),
    ):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_all_must_be_said(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> None:
    with serving(tmp_path_factory.mktemp("any"), mongodb_uri, cors_origins="*", workers="1") as running:
        answer = preflight(running, "/xAPI/statements", "https://anyone.example")
        assert (answer.status_code, allowed(answer)) == (200, "*")
        refused = running.send("GET", "/xAPI/statements", headers={"Origin": "https://anyone.example"})
        assert (refused.status_code, allowed(refused)) == (401, "*")
        assert "Access-Control-Allow-Credentials" not in refused.headers
