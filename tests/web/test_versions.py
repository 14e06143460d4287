"""xAPI 1.0.3 and 2.0 side by side over real HTTP: what is taken, and what a reader in the other version gets."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import uuid4

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tincan import StatementsResult

from app.access.credentials import NewCredential
from app.standards.xapi.validate import validate
from app.standards.xapi.versions import Version
from tests.served import Server, statement

TUTOR = {"account": {"homePage": "https://ent.example", "name": "teacher-1"}}
CLASS = {"objectType": "Group", "account": {"homePage": "https://ent.example", "name": "class-1"}}
NEW = {
    "contextAgents": [
        {"objectType": "contextAgent", "agent": TUTOR, "relevantTypes": ["https://ent.example/roles/teacher"]}
    ],
    "contextGroups": [{"objectType": "contextGroup", "group": CLASS}],
}
SIGNATURE = {
    "usageType": "http://adlnet.gov/expapi/attachments/signature",
    "display": {"en": "Signature"},
    "contentType": "application/octet-stream",
    "length": 4_235,
    "sha2": "672fa5fa658017f1b72d65036f13379c6ab05d4ab3b6664908d8acf0b6a0c634",
}


def write(server: Server, source: NewCredential, content: Any, version: str = "2.0.0") -> list[str]:
    answer = server.post(source, content, version=version)
    assert answer.status_code == 200, answer.text
    ids: list[str] = answer.json()
    return ids


def read(server: Server, source: NewCredential, version: str, **params: str) -> Any:
    answer = server.send("GET", "/xAPI/statements", source, version=version, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- what is taken ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "said", "kept"),
    [
        ("1.0.3", None, "1.0.0"),
        ("1.0", None, "1.0.0"),
        ("1.0.0", "1.0.0", "1.0.0"),
        ("1.0.3", "1.0.2", "1.0.2"),
        ("1.0.3", "1.0", "1.0"),
        ("2.0", None, "2.0.0"),
        ("2.0.0", None, "2.0.0"),
        ("2.0.0", "2.0.0", "2.0.0"),
        ("2.0.0", "2.0", "2.0"),
        ("2.0.0", "2.0.1", "2.0.1"),
        ("2.0.0", "1.0.3", "1.0.3"),
        ("2.0", "1.0", "1.0"),
    ],
)
def test_the_version_of_a_statement_is_kept(server: Server, header: str, said: str | None, kept: str) -> None:
    # xAPI-Data 2.4.10; IEEE 9274.1.1 4.2.4.3
    mine = server.source()
    (id,) = write(server, mine, statement(**({"version": said} if said else {})), header)
    for version in ("1.0.3", "2.0.0"):
        assert read(server, mine, version, statementId=id)["version"] == kept


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("1.0.3", "2.0.0"),
        ("1.0.3", "2.0"),
        ("1.0.3", "1.1.0"),
        ("1.0.3", "0.95"),
        ("1.0.3", "1"),
        ("2.0.0", "0.9.5"),
        ("2.0.0", "2.1.0"),
        ("2.0.0", "3.0.0"),
        ("2.0.0", "2"),
        ("2.0.0", ""),
    ],
)
def test_other_versions_are_refused(server: Server, header: str, said: str) -> None:
    mine = server.source()
    answer = server.post(mine, statement(version=said), version=header)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-statement")
    assert server.get(mine).json()["statements"] == []


@pytest.mark.parametrize(
    ("sent", "answered"), [("1.0", "1.0.3"), ("1.0.0", "1.0.3"), ("2.0", "2.0.0"), ("2.0.1", "2.0.0")]
)
def test_short_forms_and_patches(server: Server, sent: str, answered: str) -> None:
    answer = server.send("GET", "/xAPI/statements", server.source(), version=sent)
    assert (answer.status_code, answer.headers["X-Experience-API-Version"]) == (200, answered)


def test_what_came_with_2_0_is_not_taken_in_1_0_3(server: Server) -> None:
    mine = server.source()
    assert server.post(mine, statement(context=NEW), version="1.0.3").status_code == 400
    assert server.get(mine).json()["statements"] == []


# --- what is given ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["", "ids", "canonical"])
def test_a_1_0_3_reader_gets_what_it_knows(server: Server, form: str) -> None:
    mine = server.source()
    sent = [
        statement(context={**NEW, "platform": "tutor"}),
        statement(context=NEW),
        statement(object={"objectType": "SubStatement", **statement(context=NEW)}, context=NEW),
        statement(context={"platform": "tutor"}),
    ]
    ids = write(server, mine, sent)
    params = {"format": form} if form else {}
    first, second, third, last = (read(server, mine, "1.0.3", statementId=each, **params) for each in ids)
    assert first["context"] == {"platform": "tutor"}
    assert "context" not in second
    assert "context" not in third and "context" not in third["object"]
    assert last["context"] == {"platform": "tutor"}
    for each in (first, second, third, last):
        # xAPI-Data 2.4.10: the version that a statement was accepted with is kept, and says what it is.
        assert each.pop("version") == "2.0.0"
        validate([each], Version.V1, many=False)
    listed = read(server, mine, "1.0.3", ascending="true", **params)["statements"]
    assert [one.get("context") for one in listed] == [{"platform": "tutor"}, None, None, {"platform": "tutor"}]
    # A library of 1.0.3 that knows no other property reads the page.
    server_side = server.send("GET", "/xAPI/statements", mine, params=params)
    assert len(StatementsResult.from_json(server_side.text).statements) == 4


def test_a_2_0_reader_gets_all(server: Server) -> None:
    mine = server.source()
    (id,) = write(server, mine, statement(context=NEW))
    assert read(server, mine, "2.0.0", statementId=id)["context"] == NEW
    (one,) = read(server, mine, "2.0.0")["statements"]
    assert one["context"] == NEW


def test_whoever_asks_for_exact_gets_it(server: Server) -> None:
    # xAPI-Communication 2.1.3: for those who take statements over as they are.
    mine = server.source()
    ids = write(server, mine, [statement(context=NEW), statement(context=NEW)])
    assert read(server, mine, "1.0.3", statementId=ids[0], format="exact")["context"] == NEW
    page = read(server, mine, "1.0.3", format="exact", limit="1")
    assert page["statements"][0]["context"] == NEW
    rest = server.send("GET", page["more"], mine, version="1.0.3").json()
    assert rest["statements"][0]["context"] == NEW


def test_a_signed_statement_is_given_whole(server: Server) -> None:
    # xAPI-Data 2.6: the signature is of all of it.
    mine = server.source()
    plain = statement(context=NEW)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    value = jwt.PyJWS().encode(orjson.dumps(plain), key, algorithm="RS256").encode()
    sha2 = hashlib.sha256(value).hexdigest()
    signed = orjson.dumps({**plain, "attachments": [{**SIGNATURE, "length": len(value), "sha2": sha2}]})
    head = f"Content-Transfer-Encoding: binary\r\nX-Experience-API-Hash: {sha2}\r\n\r\n".encode()
    parts = [b"Content-Type: application/json\r\n\r\n" + signed, head + value]
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    kind = {"Content-Type": "multipart/mixed; boundary=b"}
    answer = server.send("POST", "/xAPI/statements", mine, version="2.0.0", data=body, headers=kind)
    (id,) = answer.json()
    assert read(server, mine, "1.0.3", statementId=id)["context"] == NEW
    assert read(server, mine, "1.0.3", statementId=id, format="canonical")["context"] == NEW


def test_words_that_look_like_it_are_left_alone(server: Server) -> None:
    mine = server.source()
    extensions = {"https://ent.example/x": {"contextAgents": ["mine"], "version": "2.0.0"}}
    sent = statement(result={"response": '"contextAgents":', "extensions": extensions}, context={"revision": "1"})
    (id,) = write(server, mine, sent, "1.0.3")
    assert read(server, mine, "1.0.3", statementId=id).items() >= sent.items()


def test_what_is_not_shown_is_still_found(server: Server) -> None:
    mine = server.source()
    teacher = {"account": {"homePage": "https://ent.example", "name": str(uuid4())}}
    new = {"contextAgents": [{"objectType": "contextAgent", "agent": teacher}]}
    ids = write(server, mine, statement(context=new))
    found = read(server, mine, "1.0.3", agent=orjson.dumps(teacher).decode(), related_agents="true")["statements"]
    assert [one["id"] for one in found] == ids


@pytest.mark.parametrize(("begun", "followed"), [("1.0.3", "2.0.0"), ("2.0.0", "1.0.3")])
def test_a_more_link_may_be_followed_in_the_other_version(server: Server, begun: str, followed: str) -> None:
    mine = server.source()
    write(server, mine, [statement(context=NEW) for _ in range(3)])
    page = read(server, mine, begun, limit="2")
    answer = server.send("GET", page["more"], mine, version=followed)
    assert (answer.status_code, answer.headers["X-Experience-API-Version"]) == (200, followed)
    shown = [*page["statements"], *answer.json()["statements"]]
    assert len({one["id"] for one in shown}) == 3
    assert ["context" in one for one in shown] == [begun == "2.0.0"] * 2 + [followed == "2.0.0"]
