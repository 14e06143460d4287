"""The alternate request syntax of 1.0.x (xAPI-Communication 1.3) over real HTTP: any request as the POST of a form."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import orjson
import pytest
import requests

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server, statement

STATEMENTS, STATE = "/xAPI/statements", "/xAPI/activities/state"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def basic(credential: NewCredential) -> str:
    return "Basic " + base64.b64encode(f"{credential.id}:{credential.secret}".encode()).decode()


def said(content: Any) -> str:
    return orjson.dumps(content).decode()


@pytest.fixture(scope="module")
def tutor(server: Server) -> NewCredential:
    return server.source(scopes=[scopes.ALL])


def ask(
    server: Server, method: str, fields: Any, path: str = STATEMENTS, headers: dict[str, str] | None = None
) -> requests.Response:
    """A form, with no header but its own."""
    data = fields if isinstance(fields, bytes) else urlencode(fields).encode()
    return server.send("POST", f"{path}?method={method}", version=None, data=data, headers={**FORM, **(headers or {})})


def own(credential: NewCredential, **fields: str) -> dict[str, str]:
    return {"Authorization": basic(credential), "X-Experience-API-Version": "1.0.3", **fields}


def test_the_example_of_the_standard(server: Server, tutor: NewCredential) -> None:
    # xAPI-Communication, Appendix C
    id = str(uuid4())
    content = said(statement(result={"response": "a+b & c = 100 % « été » 😀"}))
    fields = own(tutor, statementId=id, content=content)
    fields |= {"Content-Type": "application/json", "Content-Length": str(len(content.encode()))}
    answer = ask(server, "PUT", fields)
    assert (answer.status_code, answer.headers["X-Experience-API-Version"]) == (204, "1.0.3")
    found = ask(server, "GET", own(tutor, statementId=id))
    assert found.status_code == 200
    assert found.json()["result"]["response"] == "a+b & c = 100 % « été » 😀"
    plain = server.get(tutor, statementId=id)
    assert plain.content == found.content
    assert found.headers["X-Experience-API-Consistent-Through"]


def test_headers_may_stay_headers(server: Server, tutor: NewCredential) -> None:
    headers = {"Authorization": basic(tutor), "X-Experience-API-Version": "1.0.3"}
    posted = ask(server, "POST", {"content": said([statement()])}, headers=headers)
    assert posted.status_code == 200
    listed = ask(server, "GET", {"limit": "1"}, headers=headers).json()
    assert [one["id"] for one in listed["statements"]] == posted.json()
    assert listed["more"] is not None


def test_a_field_counts_where_header_and_field_differ(server: Server, tutor: NewCredential) -> None:
    answer = ask(
        server, "GET", own(tutor) | {"X-Experience-API-Version": "0.8"}, headers={"X-Experience-API-Version": "1.0.3"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-version")


def test_every_method_on_a_document(server: Server, tutor: NewCredential) -> None:
    agent = said({"account": {"homePage": "https://ent.example", "name": uuid4().hex}})
    place = own(tutor, activityId=f"https://ent.example/{uuid4()}", agent=agent, stateId="bookmark")
    json = {"Content-Type": "application/json"}
    assert ask(server, "PUT", place | json | {"content": '{"a":1}', "If-None-Match": "*"}, STATE).status_code == 204
    assert ask(server, "POST", place | json | {"content": '{"b":2}'}, STATE).status_code == 204
    found = ask(server, "GET", place, STATE)
    assert (found.json(), found.headers["Content-Type"]) == ({"a": 1, "b": 2}, "application/json")
    tag = found.headers["ETag"]
    assert ask(server, "GET", place | {"If-None-Match": tag}, STATE).status_code == 304
    assert ask(server, "DELETE", place | {"If-Match": '"other"'}, STATE).status_code == 412
    head = ask(server, "HEAD", place, STATE)
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", tag)
    assert ask(server, "DELETE", place | {"If-Match": tag}, STATE).status_code == 204
    assert ask(server, "GET", place, STATE).status_code == 404


def test_content_without_a_type_is_text(server: Server, tutor: NewCredential) -> None:
    place = own(tutor, activityId=f"https://ent.example/{uuid4()}", agent=said({"mbox": "mailto:a@e.fr"}), stateId="s")
    assert ask(server, "PUT", place | {"content": "« été »"}, STATE).status_code == 204
    found = ask(server, "GET", place, STATE)
    assert (found.text, found.headers["Content-Type"]) == ("« été »", "text/plain; charset=utf-8")
    assert ask(server, "PUT", place | {"content": ""}, STATE).status_code == 204
    assert ask(server, "GET", place, STATE).content == b""


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded; charset=utf-8"])
def test_old_browsers_cannot_name_the_form(server: Server, tutor: NewCredential, kind: str) -> None:
    assert ask(server, "GET", own(tutor), headers={"Content-Type": kind}).status_code == 200


def test_a_query_longer_than_a_url(server: Server, tutor: NewCredential) -> None:
    agent = said({"account": {"homePage": "https://ent.example", "name": "x" * 20_000}})
    assert ask(server, "GET", own(tutor, agent=agent)).json()["statements"] == []


def test_about_needs_nothing(server: Server) -> None:
    assert ask(server, "GET", {}, "/xAPI/about").json()["version"] == ["1.0.3", "2.0.0"]


CONTENT = quote(said(statement()))
REFUSED = {
    "an unknown method": ("PATCH", b"content=" + CONTENT.encode()),
    "a method in small letters": ("get", b""),
    "no method": ("", b""),
    "two methods": ("GET&method=GET", b""),
    "another parameter": ("PUT&statementId=3f0c2a52-6f0e-4a8e-9b1c-6a4f3c1d2e11", b"content=" + CONTENT.encode()),
    "a parameter twice": ("GET", b"limit=1&limit=1"),
    "a header twice": ("GET", b"If-Match=%22a%22&if-match=%22a%22"),
    "content twice": ("POST", f"content={CONTENT}&content={CONTENT}".encode()),
    "PUT without content": ("PUT", b"statementId=3f0c2a52-6f0e-4a8e-9b1c-6a4f3c1d2e11"),
    "PUT of nothing": ("PUT", b""),
    "GET with content": ("GET", f"content={CONTENT}".encode()),
    "a line break in a header": ("GET", b"If-Match=%22a%22%0D%0AX-Other:%201"),
    "a NUL in a header": ("GET", b"If-Match=%00"),
    "a letter beyond ASCII in a header": ("GET", b"If-Match=%22%C3%A9%22"),
    "a header of 9,000 letters": ("GET", b"If-Match=%22" + b"a" * 9_000 + b"%22"),
    "a header that is not one of the listed": ("GET", b"Accept-Language=fr"),
    "a form that is not encoded": ("POST", b'{"content": "100 %"}'),
    "JSON that is no form": ("POST", said({"content": said(statement())}).encode()),
    "content that is not encoded": ("POST", b'content={"result":{"response":"100 % sure"}}'),
    "content that is not UTF-8": ("POST", b"content=%FF%FE"),
    "a field that is not UTF-8": ("GET", b"verb=%FF"),
    "more content announced than came": ("POST", f"Content-Length=100000&content={CONTENT}".encode()),
    "a length that is none": ("POST", f"Content-Length=many&content={CONTENT}".encode()),
    "60 fields": ("GET", b"&".join(b"a%d=1" % place for place in range(60))),
    "a megabyte of ampersands": ("GET", b"&" * 1_000_000),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_a_rule_is_refused_and_stores_nothing(server: Server, name: str) -> None:
    method, form = REFUSED[name]
    mine = server.source()
    headers = {"Authorization": basic(mine), "X-Experience-API-Version": "1.0.3"}
    answer = ask(server, method, form, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(answer.json()["detail"]) > 20
    assert server.get(mine).json()["statements"] == []


def test_only_post_is_a_form(server: Server, tutor: NewCredential) -> None:
    form = urlencode({"content": said(statement())}).encode()
    for method in ("PUT", "GET", "DELETE"):
        answer = server.send(method, f"{STATEMENTS}?method=POST", tutor, data=form, headers=FORM)
        assert answer.status_code in {400, 405}


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "application/xml"])
def test_another_type_than_a_form(server: Server, tutor: NewCredential, kind: str) -> None:
    answer = ask(server, "GET", own(tutor), headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (400, "unsupported-content-type")


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("place", ["header", "field", "both, differing"])
def test_2_0_has_no_such_syntax(server: Server, tutor: NewCredential, method: str, place: str) -> None:
    fields = own(tutor) | ({"content": said(statement())} if method in {"PUT", "POST"} else {})
    headers = {}
    fields["X-Experience-API-Version"] = "1.0.3" if place.startswith("both") else "2.0"
    if place == "header":
        del fields["X-Experience-API-Version"]
    if place != "field":
        headers["X-Experience-API-Version"] = "2.0.0"
    answer = ask(server, method, fields, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")
    assert "xAPI 2.0" in answer.json()["detail"]


def test_credentials_count_as_in_a_header(server: Server) -> None:
    reader = server.source(scopes=[scopes.READ])
    content = {"content": said(statement())}
    assert ask(server, "GET", {"X-Experience-API-Version": "1.0.3"}).status_code == 401
    assert ask(server, "GET", own(reader._replace(secret="wrong"))).status_code == 401
    assert ask(server, "POST", own(reader) | content).status_code == 403
    assert ask(server, "GET", own(reader)).status_code == 200
    version = {"X-Experience-API-Version": "1.0.3"}
    answer = ask(server, "GET", own(reader), headers={"Authorization": basic(server.source()), **version})
    assert (answer.status_code, answer.json()["faults"][0]["rule"]) == (400, "alternate-header-twice")
    assert ask(server, "GET", own(reader), headers={"Authorization": basic(reader), **version}).status_code == 200
    assert server.container.operations.sources.revoke(reader.id, actor="cli:test") == 1
    assert ask(server, "GET", own(reader)).status_code == 401


def test_a_reading_is_audited_and_logged_as_what_it_is(server: Server) -> None:
    mine = server.source()
    answer = ask(server, "GET", own(mine, limit="7"), headers={"X-Request-ID": f"alternate-{uuid4()}"})
    entries = [
        one for one in server.container.governance.audit.newest(["statements-read"], None, 200) if one.actor == mine.id
    ]
    assert [one.detail["count"] for one in entries] == [0]
    lines = [orjson.loads(line) for line in server.log.read_bytes().splitlines() if b"alternate-" in line]
    (line,) = [one for one in lines if one["request"] == answer.headers["X-Request-ID"]]
    assert (line["method"], line["route"], line["status"]) == ("GET", STATEMENTS, 200)
    assert "limit" not in str(line)


def test_the_connection_is_kept_once_the_form_was_read(server: Server, tutor: NewCredential) -> None:
    with requests.Session() as session:
        session.headers.update(FORM)

        def kept(method: str, fields: dict[str, str]) -> tuple[int, str]:
            answer = session.post(f"{server.xapi}/statements?method={method}", data=urlencode(fields))
            return answer.status_code, answer.headers["Connection"]

        content = {"content": said(statement())}
        assert kept("POST", own(tutor) | content) == (200, "keep-alive")
        assert kept("GET", own(tutor)) == (200, "keep-alive")
        assert kept("HEAD", own(tutor)) == (200, "keep-alive")
        assert kept("POST", {"X-Experience-API-Version": "1.0.3"} | content) == (401, "keep-alive")
        assert kept("PATCH", own(tutor) | content) == (400, "close")


def test_a_form_in_chunks(server: Server, tutor: NewCredential) -> None:
    form = urlencode(own(tutor, content=said(statement()))).encode()
    answer = requests.post(
        f"{server.xapi}/statements?method=POST",
        data=(form[at : at + 50] for at in range(0, len(form), 50)),
        headers=FORM,
    )
    assert answer.status_code == 200


def test_a_form_over_the_limit(server: Server, tutor: NewCredential) -> None:
    answer = ask(server, "POST", urlencode(own(tutor)).encode() + b"&content=" + b"+" * 22_000_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    answer = ask(server, "GET", own(tutor, agent="a" * 300_000))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_escapes_at_the_borders_of_what_is_decoded_at_once(server: Server, tutor: NewCredential) -> None:
    # Every byte escaped, one more byte each time: an escape lies across each border.
    for more in range(4):
        text = "x" * more + "é" * 60_000
        content = said([statement(result={"response": text})]).encode()
        form = urlencode(own(tutor)).encode() + b"&content=" + "".join(f"%{byte:02x}" for byte in content).encode()
        (id,) = ask(server, "POST", form).json()
        assert server.get(tutor, statementId=id).json()["result"]["response"] == text
