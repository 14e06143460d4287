"""Doubled and trailing slashes under ``/xAPI`` mean the resource, for everything that looks at a path."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st

from app.access import scopes
from app.access.credentials import NewCredential
from app.core.errors import Overloaded
from app.web import cors, paths
from app.web.refusal import Refusal
from app.web.xapi import headers
from tests.served import Server, serving, statement

ORIGIN = "https://unit.example"
SPELLINGS = [
    "/xAPI//statements",
    "/xAPI/statements/",
    "/xAPI///statements//",
    "/xAPI//statements/",
    "//xAPI/statements",
]
NOT_SLASHES = ["/xAPI%2Fstatements", "/xAPI/%2Fstatements", "/xAPI/statements%2F", "/xAPI%2fstatements"]
OUTSIDE = ["/xAPI/./statements", "/xAPI/../healthz", "/healthz/", "/healthz//", "/api//v1/aggregates", "/xAPIx//about"]
AGENT = '{"mbox":"mailto:paths@ent.example"}'


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("paths"), mongodb_uri, cors_origins=ORIGIN, workers="1") as running:
        yield running


@pytest.fixture(scope="module")
def unit(open_server: Server) -> NewCredential:
    return open_server.source(scopes=[scopes.ALL])


def raw(server: Server, target: str, method: str = "GET", **fields: str) -> tuple[int, dict[str, str], bytes]:
    """A request whose target is sent as it is written here."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]), timeout=60)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, text in fields.items():
            connection.putheader(name.replace("_", "-"), text)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", SPELLINGS)
def test_statements_are_sent_and_read_under_every_spelling(open_server: Server, unit: NewCredential, path: str) -> None:
    id = str(uuid4())
    sent = open_server.send("PUT", path, unit, json=statement(), params={"statementId": id})
    assert sent.status_code == 204
    assert open_server.send("POST", path, unit, json=[statement(), statement()]).status_code == 200
    got = open_server.send("GET", path, unit, params={"statementId": id})
    assert (got.status_code, got.json()["id"]) == (200, id)
    assert headers.CONSISTENT_THROUGH in got.headers
    assert open_server.send("HEAD", path, unit).status_code == 200
    page = open_server.send("GET", path, unit, params={"limit": 1}).json()
    # What follows is said in the one form that clients have always been given.
    assert page["more"].startswith("/xAPI/statements?")
    assert open_server.send("GET", page["more"].replace("/xAPI/", "/xAPI//"), unit).status_code == 200
    refused = open_server.send("DELETE", path, unit)
    assert (refused.status_code, "POST" in refused.headers["Allow"]) == (405, True)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/xAPI//activities//state/", {"activityId": "https://e.example/1", "agent": AGENT, "stateId": "s"}),
        ("/xAPI//activities/profile", {"activityId": "https://e.example/1", "profileId": "p"}),
        ("/xAPI/agents/profile/", {"agent": AGENT, "profileId": "p"}),
    ],
)
def test_documents(open_server: Server, unit: NewCredential, path: str, params: dict[str, str]) -> None:
    put = open_server.send("PUT", path, unit, json={"a": 1}, params=params, headers={"If-None-Match": "*"})
    assert put.status_code == 204, put.text
    assert open_server.send("GET", path, unit, params=params).json() == {"a": 1}
    assert open_server.send("DELETE", path, unit, params=params, headers={"If-Match": "*"}).status_code == 204


@pytest.mark.parametrize("path", ["/xAPI//about", "/xAPI/about/", "/xAPI//agents", "/xAPI/activities//"])
def test_the_other_resources(open_server: Server, unit: NewCredential, path: str) -> None:
    params = {"agents": {"agent": AGENT}, "activities": {"activityId": "https://e.example/1"}}
    assert open_server.send("GET", path, unit, params=params.get(path.strip("/")[5:].strip("/"))).status_code == 200


@pytest.mark.parametrize("path", [*SPELLINGS, "/xAPI//activities/state", "/xAPI//about"])
def test_a_preflight(open_server: Server, path: str) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}
    asked["Access-Control-Request-Headers"] = "authorization, content-type, x-experience-api-version"
    answer = open_server.send("OPTIONS", path, version=None, headers=asked)
    # A browser follows no redirect of a preflight, and wants a status of success.
    assert (answer.status_code, answer.history) == (200, [])
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize("path", SPELLINGS)
def test_the_alternate_syntax(open_server: Server, unit: NewCredential, path: str) -> None:
    form = {"Authorization": "Basic x", "X-Experience-API-Version": "1.0.3", "statementId": str(uuid4())}
    form["Authorization"] = _basic(unit)
    # Content without a type is JSON for statements, under each spelling.
    form["content"] = '{"actor":{"mbox":"mailto:a@e.example"},"verb":{"id":"urn:v"},"object":{"id":"urn:o"}}'
    answer = open_server.send(
        "POST",
        f"{path}?method=PUT",
        version=None,
        data=urlencode(form),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 204, answer.text


@pytest.mark.parametrize("path", NOT_SLASHES)
def test_an_encoded_slash_is_none(open_server: Server, unit: NewCredential, path: str) -> None:
    for target in (path, f"{open_server.url}{path}"):
        status, _, _ = raw(open_server, target, Authorization=_basic(unit), X_Experience_API_Version="1.0.3")
        assert status == 404


def test_the_whole_address_as_a_target(open_server: Server, unit: NewCredential) -> None:
    # RFC 9112 3.2.2
    target = f"{open_server.url}/xAPI//statements/?limit=1"
    assert raw(open_server, target, Authorization=_basic(unit), X_Experience_API_Version="1.0.3")[0] == 200
    # Other characters may be encoded (RFC 3986 6.2.2.2).
    target = f"{open_server.url}/xAPI//%73tatements"
    assert raw(open_server, target, Authorization=_basic(unit), X_Experience_API_Version="1.0.3")[0] == 200


@pytest.mark.parametrize("path", OUTSIDE)
def test_other_paths_are_left_alone(open_server: Server, unit: NewCredential, path: str) -> None:
    status, given, _ = raw(open_server, path, Authorization=_basic(unit), X_Experience_API_Version="1.0.3")
    assert (status, "Location" in given) == (404, False)


def test_what_is_no_resource_stays_unknown_and_says_its_version(open_server: Server) -> None:
    for path in ("/xAPI/", "/xAPI//", "/xAPI/nothing//", "/xAPI//statements//x"):
        status, given, _ = raw(open_server, path)
        assert status == 404
        assert given[headers.VERSION] == open_server.settings.default_version


def test_metrics_name_the_route(open_server: Server, unit: NewCredential) -> None:
    raw(open_server, "/xAPI//statements//", Authorization=_basic(unit), X_Experience_API_Version="1.0.3")
    text = open_server.send("GET", "/metrics", version=None).text
    assert 'route="/xAPI/statements"' in text
    assert "//statements" not in text


def test_an_answer_made_without_the_application_has_the_same_headers() -> None:
    refusal = Refusal(
        headers.headers_outside("/xAPI", "1.0.3", lambda: 1_700_000_000_000_000),
        cors.headers_outside([ORIGIN], ["/xAPI"]),
        meant=partial(paths.meant_by, prefix="/xAPI"),
    )
    for path in ("/xAPI/statements", *SPELLINGS, "/%78API/statements", "//x%41P%49//statements"):
        head = f"GET {path}?limit=1 HTTP/1.1\r\nOrigin: {ORIGIN}\r\n\r\n"
        answer = refusal(bytearray(head.encode()), Overloaded("x"), keep=True).decode()
        assert all(name in answer for name in (headers.VERSION, headers.CONSISTENT_THROUGH, f"Origin: {ORIGIN}")), path
    # An encoded slash is none: as for the application, this is no path under that of xAPI.
    assert (
        headers.VERSION not in refusal(b"GET /xAPI%2Fstatements HTTP/1.1\r\n\r\n", Overloaded("x"), keep=True).decode()
    )


@given(st.text(alphabet="/xAPIst.%2F", max_size=30))
def test_what_is_meant_is_meant_again(text: str) -> None:
    once = paths.meant(text, "/xAPI")
    assert paths.meant(once, "/xAPI") == once
    assert once == (text or "/") or (text.startswith(("/xAPI/", "//")) and not once.startswith("//"))
    assert once.replace("/", "") == text.replace("/", "")
    assert "//" not in once or not once.startswith("/xAPI/")


def test_behind_a_prefix_of_the_server() -> None:
    app = Flask("x")

    @app.get("/xAPI/<name>")
    def show(name: str) -> dict[str, Any]:
        return {"path": request.path, "name": name}

    app.url_map.merge_slashes = False
    paths.install(app, prefix="/xAPI")
    client = app.test_client()
    environ = {"SCRIPT_NAME": "/lrs", "PATH_INFO": "/xAPI/a/b", "RAW_URI": "/lrs/xAPI/a%2Fb?x=/lrs"}
    assert client.get("/", environ_overrides=environ).json == {"path": "/xAPI/a%2Fb", "name": "a%2Fb"}


def _basic(credential: NewCredential) -> str:
    return "Basic " + base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()
