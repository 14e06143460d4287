"""The requirements on State, Activity Profile and Agent Profile, over real HTTP and two workers, for both versions."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
import requests

from tests.standard.client import (
    ACTIVITY_PROFILE,
    AGENT_PROFILE,
    DOCUMENTS,
    STATE,
    Client,
    a_context,
    an_agent,
    an_id,
    key,
    said,
)
from tests.standard.requirement import V1, V2, requirement

ANOTHER = '"0000000000000000000000000000000000000000"'
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=["state", "activity-profile", "agent-profile"])
METHODS = ("DELETE", "GET", "POST", "PUT")

# Which number of ADL's list is of which method, for each parameter that must be there…
MISSING = {
    (STATE, "activityId"): dict(zip(METHODS, range(207, 211), strict=True)),
    (STATE, "agent"): dict(zip(METHODS, range(212, 216), strict=True)),
    (STATE, "stateId"): {"PUT": 206, "POST": 211},
    (AGENT_PROFILE, "agent"): {"GET": 261, "DELETE": 262, "POST": 263, "PUT": 264},
    (AGENT_PROFILE, "profileId"): {"DELETE": 265, "POST": 266, "PUT": 267},
    (ACTIVITY_PROFILE, "activityId"): {"GET": 296, "DELETE": 297, "POST": 298, "PUT": 299},
    (ACTIVITY_PROFILE, "profileId"): {"DELETE": 300, "POST": 301, "PUT": 302},
}
# …and for each that must have its form. An agent is unknown to Activity Profile, and since to a DELETE.
ILL_FORMED = {
    (STATE, "agent"): dict(zip(METHODS, range(196, 200), strict=True)),
    (STATE, "registration"): dict(zip(METHODS, range(200, 204), strict=True)),
    (STATE, "since"): {"GET": 204, "DELETE": 205},
    (STATE, "activityId"): dict.fromkeys(METHODS, 12),
    (AGENT_PROFILE, "agent"): {"DELETE": 255, "POST": 256, "PUT": 257, "GET": 258},
    (AGENT_PROFILE, "since"): {"GET": 260},
    (ACTIVITY_PROFILE, "since"): {"GET": 295},
    (ACTIVITY_PROFILE, "agent"): {"GET": 304},
    (ACTIVITY_PROFILE, "activityId"): dict.fromkeys(METHODS, 12),
}
WRONG = {
    "agent": ("ada", "{", said({}), said({"objectType": "Agent"}), said({"mbox": "ada"})),
    "registration": ("1", ""),
    "since": ("yesterday", "2026-11-22"),
    "activityId": ("lessons/1",),
}


def numbered(table: dict[tuple[str, str], dict[str, int]]) -> set[int]:
    return {number for methods in table.values() for number in methods.values()}


class Document:
    """One document of a resource, not there yet."""

    def __init__(self, ask: Client, path: str, **more: str) -> None:
        self.ask, self.path = ask, path
        self.context = {**a_context(path), **more}
        self.place = {**self.context, key(path): an_id()}

    def __call__(self, method: str, data: bytes | None = None, kind: str = "", **headers: str) -> requests.Response:
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        if kind:
            sent["Content-Type"] = kind
        return self.ask(method, self.path, params=self.place, data=data, headers=sent)

    def create(self, data: bytes = b'{"a":1}', kind: str = "application/json") -> str:
        """PUT the document; its ETag."""
        assert self("PUT", data, kind, If_None_Match="*").status_code == 204
        tag: str = self("GET").headers["ETag"]
        return tag


@pytest.fixture
def document(ask: Client, path: str) -> Document:
    return Document(ask, path)


@each_document
@requirement(
    "Communication 2.2",
    "PUT stores a document, GET gives it byte for byte with its type, of an agent or activity not known before",
    [140, 188, 190, 192, 217, 230, 269, 273, 274, 282, 287, 288, 290, 293, 311],
)
def test_there_and_back(document: Document) -> None:
    content = bytes(range(256))
    answer = document("PUT", content, "application/octet-stream", If_None_Match="*")
    assert (answer.status_code, answer.content) == (204, b"")
    answer = document("GET")
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["Content-Type"] == "application/octet-stream"


@each_document
@requirement(
    "Communication 2.2", "DELETE removes a document: 204, then it is not there: 404", [187, 191, 216, 271, 285, 291]
)
def test_delete(document: Document) -> None:
    assert document("GET").status_code == 404
    other = Document(document.ask, document.path)
    other.create()
    tag = document.create()
    assert document("DELETE", If_Match=tag).status_code == 204
    assert document("GET").status_code == 404
    assert other("GET").status_code == 200


@each_document
@requirement(
    "Communication 2.2",
    "POST of a document that is not there stores it, JSON or not: 204",
    [189, 231, 233, 272, 280, 283, 286, 292, 310, 312],
)
def test_post_creates(document: Document) -> None:
    assert document("POST", b'{"a":1}', "application/json").status_code == 204
    assert document("GET").json() == {"a": 1}
    other = Document(document.ask, document.path)
    assert other("POST", b"text", "text/plain").status_code == 204
    assert (other("GET").content, other("GET").headers["Content-Type"]) == (b"text", "text/plain")


@each_document
@requirement(
    "Communication 2.2",
    "POST merges a JSON object into the one that is there: top-level properties are set whole, the rest stays: 204",
    [183, 184, 185, 186, 234, 279, 308],
)
def test_merge(document: Document) -> None:
    tag = document.create(b' {"a": {"b": 1, "c": [1]}, "d": 2, "e": "\\u00e9"} ')
    assert document("POST", b'{"a":{"f":3},"d":null,"g":[]}', "application/json", If_Match=tag).status_code == 204
    answer = document("GET")
    assert answer.json() == {"a": {"f": 3}, "d": None, "e": "é", "g": []}
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["ETag"] != tag


@pytest.mark.parametrize(
    ("stored", "posted"),
    [
        (("text", "text/plain"), ('{"a":1}', "application/json")),
        (('{"a":1}', "text/plain"), ('{"a":1}', "application/json")),
        (('{"a":1}', "application/json"), ('{"b":1}', "text/plain")),
        (('{"a":1}', "application/json"), ("[1]", "application/json")),
        (("[1]", "application/json"), ('{"a":1}', "application/json")),
        (('{"a":1}', "application/json"), ("{", "application/json")),
        (("{", "application/json"), ('{"a":1}', "application/json")),
    ],
)
@each_document
@requirement(
    "Communication 2.2",
    "POST where either document is not application/json, or no JSON object: 400, and the document stays",
    [182, 229, 232, 278, 281, 309, 313],
)
def test_merge_refused(document: Document, stored: tuple[str, str], posted: tuple[str, str]) -> None:
    tag = document.create(stored[0].encode(), stored[1])
    assert document("POST", posted[0].encode(), posted[1], If_Match=tag).status_code == 400
    answer = document("GET")
    assert (answer.text, answer.headers["Content-Type"], answer.headers["ETag"]) == (*stored, tag)


@each_document
@requirement(
    "Communication 2.2",
    "POST of what says to be application/json and is not: 400, and nothing is stored",
    [235, 284, 314],
)
def test_post_of_broken_json(document: Document) -> None:
    for broken in (b"{", b'{"a":}', b'{"a" 1}', b"\xff"):
        assert document("POST", broken, "application/json").status_code == 400
    assert document("GET").status_code == 404


@each_document
@requirement("Communication 2.2", "A parameter that must be there is not: 400", numbered(MISSING))
def test_missing_parameter(document: Document) -> None:
    for (path, name), methods in MISSING.items():
        if path != document.path:
            continue
        for method in methods:
            params = {each: text for each, text in document.place.items() if each != name}
            answer = document.ask(method, path, params=params, data=b"{}", headers={"If-None-Match": "*"})
            assert answer.status_code == 400, (method, name)
            assert f"`{name}`" in answer.json()["detail"]


@each_document
@requirement(
    "Communication 2.2", "A parameter that has not its form, or does not belong there: 400", numbered(ILL_FORMED)
)
def test_ill_formed_parameter(document: Document) -> None:
    for (path, name), methods in ILL_FORMED.items():
        if path != document.path:
            continue
        for method in methods:
            base = document.context if name == "since" and method == "GET" else document.place
            for value in WRONG[name]:
                answer = document.ask(method, path, params={**base, name: value}, data=b"{}")
                assert answer.status_code == 400, (method, name, value)
                assert answer.json()["code"] == "bad-parameter"


@each_document
@requirement("Communication 3.2", "A parameter that is not known, or written in another case: 400", [324, 325])
def test_unknown_parameter(document: Document) -> None:
    for method in METHODS:
        for params in ({**document.place, "foo": "bar"}, {name.upper(): text for name, text in document.place.items()}):
            answer = document.ask(method, document.path, params=params, data=b"{}", headers={"If-None-Match": "*"})
            assert answer.status_code == 400
    assert document("GET").status_code == 404


@requirement("Communication 2.3", "registration is taken by every method, and keeps states apart", [218, 219, 220, 227])
def test_registration(ask: Client) -> None:
    with_one = Document(ask, STATE, registration=an_id())
    without = Document(ask, STATE)
    without.place = {name: text for name, text in with_one.place.items() if name != "registration"}
    without.create(b'{"without":1}')
    with_one.create(b'{"with":1}')
    assert with_one("POST", b'{"b":2}', "application/json").status_code == 204
    assert with_one("GET").json() == {"with": 1, "b": 2}
    assert with_one("DELETE").status_code == 204
    assert with_one("GET").status_code == 404
    assert without("GET").json() == {"without": 1}


@each_document
@requirement(
    "Communication 2.2", "GET without the document's id lists the ids of its context: 200", [193, 259, 270, 289]
)
def test_list(ask: Client, path: str) -> None:
    context = a_context(path)
    assert ask("GET", path, params=context).json() == []
    ids = {an_id() for _ in range(3)}
    for each in ids:
        ask("PUT", path, params={**context, key(path): each}, data=b"1", headers={"If-None-Match": "*"})
    Document(ask, path).create()
    answer = ask("GET", path, params=context)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert sorted(answer.json()) == sorted(ids)


@each_document
@requirement(
    "Communication 2.2",
    "A list with since has only documents stored or changed after it",
    [141, 195, 221, 222, 268, 275, 294, 303],
)
def test_list_since(ask: Client, path: str) -> None:
    earlier, later = Document(ask, path), Document(ask, path)
    later.place = {**earlier.context, key(path): an_id()}
    tag = earlier.create()
    time.sleep(0.02)
    since = datetime.now(UTC).isoformat()
    assert ask("GET", path, params={**earlier.context, "since": since}).json() == []
    time.sleep(0.02)
    later.create()
    assert ask("GET", path, params={**earlier.context, "since": since}).json() == [later.place[key(path)]]
    assert earlier("PUT", b"2", "text/plain", If_Match=tag).status_code == 204
    assert len(ask("GET", path, params={**earlier.context, "since": since}).json()) == 2
    assert len(ask("GET", path, params={**earlier.context, "since": "2020-01-01T00:00:00Z"}).json()) == 2


@requirement("Communication 2.3", "DELETE without stateId deletes the states of its context, and no others: 204", [194])
def test_delete_all(ask: Client) -> None:
    one, other, elsewhere = (Document(ask, STATE) for _ in range(3))
    other.place = {**one.context, "stateId": an_id()}
    for each in (one, other, elsewhere):
        each.create()
    assert ask("DELETE", STATE, params=one.context).status_code == 204
    assert [each("GET").status_code for each in (one, other, elsewhere)] == [404, 404, 200]
    assert ask("GET", STATE, params=one.context).json() == []


@requirement("Communication 2.2", "GET has Last-Modified, later after a change; a list has that of its latest document")
def test_last_modified(ask: Client) -> None:
    pairs = [(Document(ask, path), Document(ask, path)) for path in DOCUMENTS]
    tags, before = [], []
    for first, second in pairs:
        second.place = {**first.context, key(first.path): an_id()}
        tags.append(first.create())
        second.create()
        before.append(parsedate_to_datetime(first("GET").headers["Last-Modified"]))
        assert abs(before[-1].timestamp() - time.time()) < 10
    time.sleep(1.01)
    for (first, _), tag, earlier in zip(pairs, tags, before, strict=True):
        assert first("POST", b'{"b":2}', "application/json", If_Match=tag).status_code == 204
        after = first("GET").headers["Last-Modified"]
        assert parsedate_to_datetime(after) > earlier
        assert ask("GET", first.path, params=first.context).headers["Last-Modified"] == after


# --- concurrency ------------------------------------------------------------------------------------


@each_document
@requirement("Communication 3.1", "GET has an ETag in quotes, the SHA-1 of the document in hexadecimal", [322])
def test_etag(document: Document) -> None:
    for content in (b'{"a":1}', b""):
        tag = Document(document.ask, document.path).create(content)
        assert tag == f'"{hashlib.sha1(content).hexdigest()}"'


@each_document
@requirement("Communication 3.1", "The ETag is that of the document itself, whatever encodings the reader accepts")
def test_etag_of_any_encoding(document: Document) -> None:
    tag = document.create(b'{"a":"' + b"a" * 10_000 + b'"}')
    for encoding in ("identity", "gzip", "br"):
        answer = document("GET", Accept_Encoding=encoding)
        assert answer.headers["ETag"] == tag, encoding
        assert document("PUT", answer.content, "application/json", If_Match=answer.headers["ETag"]).status_code == 204


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@each_document
@requirement(
    "Communication 3.1",
    "PUT, POST or DELETE with an If-Match that does not match: 412, and the document stays",
    [182, 322],
)
def test_if_match_fails(document: Document, method: str) -> None:
    tag = document.create()
    answer = document(method, b'{"b":2}', "application/json", If_Match=ANOTHER)
    assert answer.status_code == 412
    assert (document("GET").json(), document("GET").headers["ETag"]) == ({"a": 1}, tag)


@pytest.mark.parametrize(("method", "left"), [("PUT", {"b": 2}), ("POST", {"a": 1, "b": 2}), ("DELETE", None)])
@each_document
@requirement("Communication 3.1", "PUT, POST or DELETE with the If-Match of the document is done", [322])
def test_if_match(document: Document, method: str, left: dict[str, int] | None) -> None:
    tag = document.create()
    assert document(method, b'{"b":2}', "application/json", If_Match=tag).status_code == 204
    answer = document("GET")
    assert answer.status_code == 404 if left is None else answer.json() == left


@each_document
@requirement("Communication 3.1", "PUT with If-None-Match: * where a document is there: 412, and it stays", [322])
def test_if_none_match(document: Document) -> None:
    document.create()
    assert document("PUT", b"2", "text/plain", If_None_Match="*").status_code == 412
    assert document("GET").json() == {"a": 1}


@each_document
@requirement(
    "Communication 3.1",
    "PUT over a document without If-Match or If-None-Match: 409 that says why, and it stays; State of 1.0.3 is exempt",
    [182, 322],
)
def test_put_without_condition(document: Document, version: str) -> None:
    document.create()
    answer = document("PUT", b'{"b":2}', "application/json")
    if document.path == STATE and version == "1.0.3":
        assert (answer.status_code, document("GET").json()) == (204, {"b": 2})
        return
    assert answer.status_code == 409
    assert "If-Match" in answer.json()["detail"]
    assert document("GET").json() == {"a": 1}


@pytest.mark.parametrize("path", [ACTIVITY_PROFILE, AGENT_PROFILE])
@requirement("Communication 3.1", "PUT of a profile that is not there without If-None-Match: 400", versions=V1)
def test_first_put_needs_a_condition(document: Document) -> None:
    assert document("PUT", b"1", "text/plain").status_code == 400
    assert document("GET").status_code == 404


@each_document
@requirement("", "PUT of a document that is not there needs no header: 204", versions=V2, ieee="4.1.4")
def test_first_put_needs_none(document: Document) -> None:
    assert document("PUT", b"1", "text/plain").status_code == 204


@pytest.mark.parametrize("path", [STATE, AGENT_PROFILE])
@requirement("Communication 2.2", "An agent is the same in whatever order its properties, and whatever its name")
def test_same_agent(ask: Client, path: str) -> None:
    agent = an_agent()
    reordered = {"name": "Ada", "account": dict(reversed(agent["account"].items()))}
    place = {**a_context(path), key(path): an_id()}
    condition = {"If-None-Match": "*"}
    ask("PUT", path, params={**place, "agent": said(agent)}, data=b"1", headers=condition)
    assert ask("GET", path, params={**place, "agent": said(reordered)}).status_code == 200
