"""The requirements on every request: HEAD, encoding, forms, errors, versions, credentials; over HTTP, two workers."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from app.access import scopes
from app.access.credentials import NewCredential
from app.core import errors
from tests.served import Server, statement
from tests.standard.client import (
    ABOUT,
    ACTIVITIES,
    AGENTS,
    DOCUMENTS,
    STATEMENTS,
    VERSION,
    Client,
    a_context,
    an_activity,
    an_agent,
    an_id,
    key,
    said,
)
from tests.standard.requirement import V1, V2, requirement

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
READ = (STATEMENTS, *DOCUMENTS, AGENTS, ACTIVITIES)


def params_of(path: str) -> dict[str, str]:
    """Parameters with which GET of a resource is answered with 200."""
    if path in DOCUMENTS:
        return a_context(path)
    return {AGENTS: {"agent": said(an_agent())}, ACTIVITIES: {"activityId": an_activity()}}.get(path, {})


# --- HEAD, encoding ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*READ, ABOUT])
@requirement("Communication 1.1", "HEAD is answered as GET is, without a body, errors too", [125, 126])
def test_head(ask: Client, path: str) -> None:
    params: dict[str, Any] = params_of(path)
    if path == STATEMENTS:
        ask.store(statement(id=(id := an_id())))
        params = {"statementId": id}
    if path in DOCUMENTS:
        params = {**params, key(path): an_id()}
        ask("PUT", path, params=params, data=b"12345", headers={"If-None-Match": "*"})
    for asked in (params, {**params, "foo": "bar"}):
        head, get = (ask(method, path, params=asked) for method in ("HEAD", "GET"))
        assert (head.status_code, head.content) == (get.status_code, b"")
        for name in ("Content-Type", "Content-Length", "Last-Modified", "ETag", VERSION):
            # An error has an id of its request, of one length.
            assert head.headers.get(name) == get.headers.get(name), name


@requirement("Communication 1.4", "Texts are UTF-8, in bodies and in parameters", [15])
def test_encoding(ask: Client) -> None:
    activity, verb = f"{an_activity()}/été/學習", "https://ent.example/vérifié"
    sent = statement(id=an_id(), object={"id": activity}, verb={"id": verb, "display": {"fr": "a vérifié 😀"}})
    ask.store(sent)
    assert ask.found(activity=activity, verb=verb)[0]["verb"] == sent["verb"]
    assert ask("POST", data=said(sent).encode("latin-1", "replace")).status_code in (400, 409)
    assert ask("POST", data=said(statement(verb={"id": verb})).encode("latin-1")).status_code == 400
    assert ask("GET", STATEMENTS + "?activity=x:%FF").status_code == 400


# --- the alternate request syntax -------------------------------------------------------------------


class Form:
    """Requests as forms, with no header but the content type."""

    def __init__(self, server: Server, credential: NewCredential) -> None:
        self.server = server
        basic = requests.Request("GET", "http://x", auth=(credential.id, credential.secret)).prepare().headers
        self.fields = {"Authorization": basic["Authorization"], VERSION: "1.0.3"}

    def __call__(self, method: str, path: str = STATEMENTS, query: str = "", **fields: str) -> requests.Response:
        content = urlencode({**self.fields, **{name.replace("_", "-"): text for name, text in fields.items()}})
        asked = f"{path}?method={method}{query}"
        return self.server.send("POST", asked, None, version=None, data=content.encode(), headers=FORM)


@pytest.fixture
def form(server: Server, tutor: NewCredential) -> Form:
    return Form(server, tutor)


@requirement(
    "Communication 1.3",
    "POST of a form with the parameter method is answered as that method would be",
    [148, 336],
    versions=V1,
)
def test_form(form: Form, ask: Client, version: str) -> None:
    content = said(statement(object={"id": (activity := an_activity())}))
    posted = form("POST", content=content, **{"Content-Type": "application/json"})
    assert (posted.status_code, len(posted.json())) == (200, 1)
    assert form("PUT", statementId=an_id(), content=content).status_code == 204
    listed = form("GET", activity=activity)
    assert (listed.status_code, len(listed.json()["statements"])) == (200, 2)
    assert listed.headers[VERSION] == version
    assert listed.json()["statements"] == ask.found(activity=activity)


@pytest.mark.parametrize("path", DOCUMENTS)
@requirement("Communication 1.3", "Forms carry headers and content to the document resources too", [336], versions=V1)
def test_form_of_a_document(form: Form, version: str, path: str) -> None:
    place = {**a_context(path), key(path): an_id()}
    headers = {"If-None-Match": "*", "Content-Type": "text/plain"}
    assert form("PUT", path, content="été & co", **headers, **place).status_code == 204
    found = form("GET", path, **place)
    assert (found.content, found.headers["Content-Type"]) == ("été & co".encode(), "text/plain")
    assert form("PUT", path, content="x", **headers, **place).status_code == 412
    assert form("DELETE", path, **{"If-Match": found.headers["ETag"]}, **place).status_code == 204
    assert form("GET", path, **place).status_code == 404


@requirement(
    "Communication 1.3", "A form beside another parameter in the query, or whose content is missing: 400", versions=V1
)
def test_wrong_form(form: Form, version: str) -> None:
    assert form("GET", query="&limit=1").status_code == 400
    assert form("PUT", statementId=an_id()).status_code == 400
    assert form("GET", content=said(statement())).status_code == 400
    assert form("PATCH", content=said(statement())).status_code == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@requirement("", "2.0 has no such forms: 400, and nothing is stored", versions=V2, ieee="")
def test_no_form(form: Form, ask: Client, version: str, method: str) -> None:
    form.fields[VERSION] = version
    activity = an_activity()
    content = {"content": said(statement(object={"id": activity}))} if method in ("PUT", "POST") else {}
    assert form(method, **content).status_code == 400
    headers = {**FORM, VERSION: version}
    assert ask("POST", f"{STATEMENTS}?method={method}", data=urlencode(content), headers=headers).status_code == 400
    assert ask.found(activity=activity) == []


# --- errors -----------------------------------------------------------------------------------------


@requirement(
    "Communication 3.2",
    "A parameter that is not known, or written in another case, is refused by Statements: 400",
    [324, 325],
)
def test_unknown_parameter(ask: Client) -> None:
    for params in ({"foo": "bar"}, {"StatementId": an_id()}, {"Limit": "1"}, {"AGENT": said(an_agent())}):
        assert ask("GET", params=params).status_code == 400
    kept = statement(id=an_id())
    assert ask("PUT", json=kept, params={"StatementID": kept["id"]}).status_code == 400
    assert ask("PUT", json=kept, params={"statementId": kept["id"], "foo": "bar"}).status_code == 400
    assert ask("POST", json=kept, params={"foo": "bar"}).status_code == 400
    assert ask("GET", params={"statementId": kept["id"]}).status_code == 404


@requirement("Communication 3.2", "An error says its cause, and 400 where in what was sent")
def test_errors_are_told(ask: Client) -> None:
    answer = ask("POST", json=[statement(), {**statement(), "verb": {}}])
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["faults"][0]["pointer"] == "/1/verb"


@requirement("Communication 3.2", "What the credentials do not permit: 403, and nothing is stored", [182, 327])
def test_permissions(server: Server, version: str) -> None:
    reader = Client(server, server.source(scopes=[scopes.ALL_READ]), version)
    writer = Client(server, server.source(scopes=[scopes.WRITE]), version)
    sent = statement(id=an_id())
    assert reader("POST", json=sent).status_code == 403
    assert reader("GET", params={"statementId": sent["id"]}).status_code == 404
    assert writer("GET").status_code == 403
    for path in DOCUMENTS:
        place = {**a_context(path), key(path): an_id()}
        for asked, method in ((reader, "PUT"), (reader, "POST"), (reader, "DELETE"), (writer, "GET"), (writer, "PUT")):
            answer = asked(method, path, params=place, data=b"{}", headers={"If-None-Match": "*"})
            assert answer.status_code == 403, (path, method)


@pytest.mark.parametrize("path", [STATEMENTS, *DOCUMENTS])
@requirement("Communication 3.2", "What is larger than the store is configured to take: 413", [328])
def test_too_large(server: Server, tutor: NewCredential, version: str, path: str) -> None:
    prepared = requests.Request(
        "POST", server.url + path, params={**a_context(path), key(path): an_id()} if path in DOCUMENTS else {}
    )
    prepared.auth = (tutor.id, tutor.secret)
    sent = prepared.prepare()
    # Announced, not sent: the answer does not wait for it.
    headers = {**sent.headers, VERSION: version, "Content-Type": "application/json", "Content-Length": str(10**10)}
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("POST", sent.path_url, headers=headers)
    assert connection.getresponse().status == 413
    connection.close()


@requirement(
    "Communication 3.2", "Statements are refused with the codes of the standard, and of HTTP itself, only", [323]
)
def test_codes(version: str) -> None:
    of_the_standard = {400, 401, 403, 404, 409, 412, 413, 429, 500}
    # A method that the resource has not, a sender too slow, a store that cannot serve for the moment; and what is told
    # of a message before it is one of xAPI: its address, its expectation, its headers, its transfer coding.
    of_http = {405, 408, 503} | {414, 417, 431, 501}
    statuses = {kind.status for kind in errors.every() if not issubclass(kind, errors.OperatorError)}
    assert statuses <= of_the_standard | of_http


# --- versions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READ)
@requirement(
    "Communication 3.3",
    "A request without a version, or of one not spoken, is refused, except by About: 400",
    [321, 331],
)
def test_versions_refused(ask: Client, path: str) -> None:
    methods = ("GET", "PUT", "POST") if path == STATEMENTS else ("GET",)
    for wrong in (None, "", "0.9", "0.95", "1.1.0", "1", "3.0.0", "1.0.3x"):
        for method in methods:
            params = {"statementId": an_id()} if method == "PUT" else params_of(path)
            answer = ask(
                method, path, version=wrong, params=params, **({} if method == "GET" else {"json": statement()})
            )
            assert (answer.status_code, answer.json()["code"]) == (400, "bad-version"), (method, wrong)
            assert len(answer.json()["detail"]) > 10


@pytest.mark.parametrize(
    "spoken", [None, "", "0.95", "0.9", "3.0.0", "1.1.0", "2.1.0", "1", "abc", "1.0.3, 2.0.0", "é"]
)
@requirement("Communication 2.8", "About answers without a version, and whatever version a request names", [321])
def test_about_without_a_version(server: Server, version: str, spoken: str | None) -> None:
    # Whoever asks which versions are spoken here may speak none of them.
    headers = {} if spoken is None else {VERSION: spoken.encode()}
    for method in ("GET", "HEAD"):
        answer = server.send(method, ABOUT, None, version=None, headers=headers)
        assert answer.status_code == 200
        assert answer.headers[VERSION] == server.settings.default_version
        assert method == "HEAD" or version in answer.json()["version"]


@requirement(
    "Communication 3.3", "A version of one minor is spoken as the latest: 1.0 as any 1.0.x, and 2.0 as any 2.0.x", [331]
)
def test_versions_accepted(ask: Client, version: str) -> None:
    for spoken in (version[:3], f"{version[:3]}.0", f"{version[:3]}.9", version):
        for path in READ:
            answer = ask("GET", path, version=spoken, params=params_of(path))
            assert (answer.status_code, answer.headers[VERSION]) == (200, version), (path, spoken)


@requirement("Communication 3.3", "Every answer says the latest version of the minor spoken, errors too", [333])
def test_version_is_said(server: Server, ask: Client, version: str) -> None:
    for path in (*READ, ABOUT):
        for params in (params_of(path), {"foo": "bar"}):
            assert ask("GET", path, params=params).headers[VERSION] == version
    assert server.send("GET", STATEMENTS, None, version=version).headers[VERSION] in ("1.0.3", "2.0.0")
    assert ask("GET", version=None).headers[VERSION] in ("1.0.3", "2.0.0")
    assert ask("GET", "/xAPI/nothing").headers[VERSION] in ("1.0.3", "2.0.0")


@requirement("Communication 3.3", "What was written in one version is found in the other, statements and documents")
def test_one_store(ask: Client, version: str) -> None:
    other = {"1.0.3": "2.0.0", "2.0.0": "1.0.3"}[version]
    (id,) = ask.store(statement())
    assert ask("GET", version=other, params={"statementId": id}).json() == ask.one(id)
    for path in DOCUMENTS:
        place = {**a_context(path), key(path): an_id()}
        ask("PUT", path, params=place, data=b"1", headers={"If-None-Match": "*"})
        assert ask("GET", path, version=other, params=place).content == b"1"


@requirement(
    "Communication 3.3",
    "A reader of 1.0.3 gets a statement of 2.0 without what it does not know, under its own version; exact, whole",
    versions=V1,
)
def test_what_a_reader_of_1_0_3_gets(ask: Client, version: str) -> None:
    context = {
        "registration": an_id(),
        "contextAgents": [{"objectType": "contextAgent", "agent": an_agent()}],
        "contextGroups": [{"objectType": "contextGroup", "group": {**an_agent(), "objectType": "Group"}}],
    }
    sent = statement(id=an_id(), context=context)
    assert ask("POST", json=sent, version="2.0.0").status_code == 200
    kept = ask.one(sent["id"])
    assert (kept["context"], kept["version"]) == ({"registration": context["registration"]}, "2.0.0")
    assert ask.one(sent["id"], format="exact")["context"] == context


# --- credentials ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READ)
@requirement("Communication 4.0", "No credentials, wrong or revoked ones: 401, and nothing is stored", [334])
def test_credentials(server: Server, ask: Client, tutor: NewCredential, version: str, path: str) -> None:
    revoked = server.source()
    server.container.operations.sources.revoke(revoked.id, actor="cli:test")
    wrong = tutor._replace(secret="0" * len(tutor.secret))
    for credential in (None, wrong, revoked):
        answer = server.send("GET", path, credential, version=version, params=params_of(path))
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
    if path == STATEMENTS:
        sent = statement(id=an_id())
        assert server.send("POST", path, wrong, version=version, json=sent).status_code == 401
        assert ask("GET", params={"statementId": sent["id"]}).status_code == 404


@pytest.mark.parametrize("path", READ)
@requirement("Communication 4.0", "HTTP Basic authentication opens every resource", [140, 335])
def test_basic(ask: Client, path: str) -> None:
    assert ask("GET", path, params=params_of(path)).status_code == 200
