"""Nothing that may tell of a person is kept on its way: ``Cache-Control`` on every answer of every route."""

from __future__ import annotations

from uuid import uuid4

import pytest
import requests

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server
from tests.web.routes import NOT_TESTED_HERE, TABLE, Row, ask, before, named

NEVER = "private, no-store"


@pytest.fixture(scope="module")
def owner(server: Server) -> NewCredential:
    return server.source(scopes=[*scopes.EVERY])


@pytest.fixture(scope="module")
def bare(server: Server) -> NewCredential:
    return server.credential(scopes.METRICS)


def kept_by(answer: requests.Response) -> str | None:
    return answer.headers.get("Cache-Control")


@pytest.mark.parametrize("version", ["1.0.3", "2.0.0"])
@pytest.mark.parametrize("row", TABLE, ids=named)
def test_no_answer_of_a_route_is_kept(
    server: Server, owner: NewCredential, bare: NewCredential, row: Row, version: str
) -> None:
    before(server, row, owner)
    for credential, status in ((owner, row.status), (bare, 403), (owner._replace(secret="wrong"), 401), (None, 401)):
        answer = ask(server, row, credential, version)
        assert (answer.status_code, kept_by(answer)) == (status, NEVER)
        # A method that is not of the route, and the preflight's.
        for method in ("PATCH", "OPTIONS"):
            assert kept_by(server.send(method, row.path, credential)) == NEVER
    if row.method == "GET":
        # Whether a route takes HEAD or not, and with parameters that it does not know.
        assert kept_by(ask(server, row._replace(method="HEAD"), owner)) == NEVER
        answer = ask(server, row._replace(params={**row.params, "unheard-of": "1"}), owner, version)
        assert kept_by(answer) == NEVER


@pytest.mark.parametrize("row", [row for row in TABLE if row.one and row.method in {"GET", "HEAD"}], ids=named)
def test_what_did_not_change_is_not_kept_either(server: Server, owner: NewCredential, row: Row) -> None:
    before(server, row, owner)
    # RFC 9110 15.4.5: a 304 says of caches what the 200 would have said.
    tag = ask(server, row, owner).headers["ETag"]
    answer = ask(server, row, owner, given={"If-None-Match": tag})
    assert (answer.status_code, kept_by(answer), answer.headers["ETag"]) == (304, NEVER, tag)
    answer = ask(server, row, owner, given={"If-Match": '"other"'})
    assert (answer.status_code, kept_by(answer)) == (412, NEVER)


def test_what_is_nowhere_is_not_kept(server: Server, owner: NewCredential) -> None:
    for path in ("/nowhere", "/fr/nowhere", f"/xAPI/{uuid4()}", "/api/v1/nowhere"):
        answer = server.send("GET", path, owner)
        assert (answer.status_code, kept_by(answer)) == (404, NEVER)


def test_a_statement_and_a_form_are_not_kept(server: Server, owner: NewCredential) -> None:
    answer = server.get(owner, statementId=str(uuid4()))
    assert (answer.status_code, kept_by(answer)) == (404, NEVER)
    assert kept_by(server.send("POST", "/xAPI/statements?method=GET", data=b"limit=1")) == NEVER


def test_only_what_is_the_same_for_all_may_be_kept(server: Server, owner: NewCredential) -> None:
    for method in ("GET", "HEAD"):
        answer = server.send(method, "/xAPI/about", owner)
        assert kept_by(answer) == "public, max-age=60"
        assert "X-Experience-API-Version" in answer.headers["Vary"]
    for path in ("/healthz", "/readyz", *NOT_TESTED_HERE):
        assert kept_by(server.send("GET", path)) == NEVER
