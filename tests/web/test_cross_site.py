"""Cross-site requests of browsers, with the credentials that they remember, over real HTTP.

Fetch Metadata Request Headers (W3C): the browser says for whom it asks, and how. A form, or a fetch that asks nobody
first, has the type of a form, or none, and no header of the page's.
"""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlencode
from uuid import uuid4

import orjson
import pytest

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server, serving, statement
from tests.web.routes import OPEN, TABLE, Row, ask, before, named, recorded
from tests.web.test_alternate_syntax import basic

OURS = "https://tutor.example"
CORS = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
FORM = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
REFUSED = [
    {"Sec-Fetch-Site": "cross-site", **FORM, "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site", **FORM, "Origin": OURS},
    {"Sec-Fetch-Site": "cross-site", **FORM, "Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Origin": OURS},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "cross-site", **CORS, "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site", **CORS},
    {"Sec-Fetch-Site": "same-site", **CORS, "Origin": "https://other.tutor.example"},
    {"Sec-Fetch-Site": "same-site", **FORM, "Origin": OURS},
    {"Sec-Fetch-Site": "cross-site", "Origin": OURS},
]
ALLOWED = [
    {},
    {"Origin": "https://evil.example"},  # no browser of today, or over plain HTTP: see the rules for those below
    {"Sec-Fetch-Mode": "cors"},  # as Node.js sends it
    {"Sec-Fetch-Site": "same-origin", **CORS},
    {"Sec-Fetch-Site": "none", **FORM},
    {"Sec-Fetch-Site": "cross-site", **CORS, "Origin": OURS},
    {"Sec-Fetch-Site": "same-site", **CORS, "Origin": OURS},
]


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("cross")
    with serving(folder, mongodb_uri, cors_origins=OURS, workers="1") as running:
        yield running


@pytest.fixture(scope="module")
def owner(open_server: Server) -> NewCredential:
    """A source that may do everything, whose credentials a browser remembers."""
    return open_server.source(scopes=[*scopes.EVERY])


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_every_route_refuses_a_page_that_may_not_call(open_server: Server, owner: NewCredential, row: Row) -> None:
    before(open_server, row, owner)
    known = recorded(open_server)
    for given in REFUSED:
        # Whether they are valid is not told either.
        for credential in (owner, owner._replace(secret="wrong")):
            answer = ask(open_server, row, credential, given=given)
            assert answer.status_code == 403, given
            if row.method != "HEAD":
                assert answer.json()["code"] == "cross-site-refused"
                assert "SILLAGE_CORS_ORIGINS" in answer.json()["detail"]
        assert ask(open_server, row, None, given=given).status_code == 401
    assert recorded(open_server) == known
    if row.one:
        assert open_server.send("GET", row.path, owner, params=row.params).json()["kept"] is True


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_every_route_serves_pages_that_may_call_and_whoever_is_no_browser(
    open_server: Server, owner: NewCredential, row: Row
) -> None:
    for given in ALLOWED:
        before(open_server, row, owner)
        assert ask(open_server, row, owner, given=given).status_code == row.status, given


def test_what_needs_no_credentials_is_for_everybody(open_server: Server) -> None:
    for path in OPEN:
        for given in REFUSED:
            assert open_server.send("GET", path, None, headers=given).status_code == 200


def form(server: Server, path: str, fields: dict[str, str], kind: str | None, **headers: str) -> int:
    """The status of what a page can have a browser send without asking."""
    sent = {**headers, **({} if kind is None else {"Content-Type": kind})}
    return server.send("POST", path, version=None, data=urlencode(fields).encode(), headers=sent).status_code


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_a_form_of_a_page_has_no_use_of_remembered_credentials(
    open_server: Server, owner: NewCredential, kind: str
) -> None:
    # An old browser, or plain HTTP: nothing tells who made the form. Its credentials stand in it (docs/adr/0040).
    agent = orjson.dumps({"mbox": "mailto:a@ent.example"}).decode()
    place = {"activityId": f"https://ent.example/{uuid4()}", "agent": agent, "stateId": "s"}
    state = "/xAPI/activities/state"
    assert open_server.send("PUT", state, owner, json={"kept": 1}, params=place).status_code == 204
    content = {"content": orjson.dumps(statement(id=str(uuid4()))).decode()}
    version = {"X-Experience-API-Version": "1.0.3"}
    reported = open_server.get(owner).json()["statements"]
    for path, fields in (
        ("/xAPI/statements?method=POST", content | version),
        ("/xAPI/statements?method=GET", version),
        (f"{state}?method=DELETE", place | version),
        (f"{state}?method=PUT", place | version | {"content": "x"}),
    ):
        assert form(open_server, path, fields, kind, Authorization=basic(owner)) == 401, path
    assert open_server.send("GET", state, owner, params=place).json() == {"kept": 1}
    assert open_server.get(owner).json()["statements"] == reported
    # With its own, whatever the browser adds.
    other = {"Authorization": basic(open_server.source())}
    mine = {"Authorization": basic(owner), **version}
    assert form(open_server, "/xAPI/statements?method=POST", content | mine, kind, **other) == 200
    assert form(open_server, f"{state}?method=DELETE", place | mine, kind, **other) == 204


def test_a_client_that_sets_headers_may_have_its_credentials_there(open_server: Server, owner: NewCredential) -> None:
    # No page can send the header of the version unasked. The public conformance suite sends its forms so.
    headers = {"Authorization": basic(owner), "X-Experience-API-Version": "1.0.3"}
    kind = "application/x-www-form-urlencoded"
    assert form(open_server, "/xAPI/statements?method=GET", {"limit": "1"}, kind, **headers) == 200


def test_a_form_of_a_page_that_may_not_call_is_refused_with_credentials_of_its_own(
    open_server: Server, owner: NewCredential
) -> None:
    fields = {"Authorization": basic(owner), "X-Experience-API-Version": "1.0.3"}
    path, kind = "/xAPI/statements?method=GET", "application/x-www-form-urlencoded"
    for given in REFUSED:
        assert form(open_server, path, fields, kind, **given) == 403, given
    for given in ALLOWED:
        assert form(open_server, path, fields, kind, **given) == 200, given


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.method == "POST" and row.path.startswith("/api/")], ids=named
)
def test_no_post_of_a_page_does_anything_under_api(open_server: Server, owner: NewCredential, row: Row) -> None:
    # These, or none, are what a page can have sent without asking (Fetch 2.2.2); an empty body says as much as {}.
    before(open_server, row, owner)
    known = recorded(open_server)
    for kind in (None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        for content in (b"", orjson.dumps(row.json)):
            headers = {} if kind is None else {"Content-Type": kind}
            answer = raw_post(open_server, row.path, owner, content, headers)
            assert answer == (400, "unsupported-content-type"), (kind, content)
    assert recorded(open_server) == known


def raw_post(
    server: Server, path: str, credential: NewCredential, content: bytes, headers: dict[str, str]
) -> tuple[int, str]:
    """A POST with these headers and no type of its own."""
    sent = {"Authorization": basic(credential), **headers, "Content-Length": str(len(content))}
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        connection.request("POST", path, content, sent)
        answer = connection.getresponse()
        return answer.status, orjson.loads(answer.read())["code"]
    finally:
        connection.close()


@pytest.mark.parametrize("row", [row for row in TABLE if row.path.startswith("/xAPI/")], ids=named)
def test_nothing_plain_under_xapi_goes_without_a_header_that_a_page_must_ask_for(
    open_server: Server, owner: NewCredential, row: Row
) -> None:
    before(open_server, row, owner)
    known = recorded(open_server)
    params = {name: text or str(uuid4()) for name, text in row.params.items()}
    content = None if row.json is None else orjson.dumps(row.json)
    answer = open_server.send(row.method, row.path, owner, version=None, params=params, data=content)
    assert answer.status_code == 400
    assert recorded(open_server) == known
