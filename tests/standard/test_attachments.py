"""The requirements on attachments, their data and signatures, over real HTTP and two workers, for both versions."""

from __future__ import annotations

from typing import Any

import jwt
import orjson
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.multiparts import BOUNDARY, JSON, attachment_of, body_of, part_of, received, sha2_of, statement_with
from tests.served import statement
from tests.standard.client import Client, an_activity, an_id
from tests.standard.requirement import requirement
from tests.standards.xapi.test_signatures import KEY as CERTIFIED
from tests.standards.xapi.test_signatures import LEAF, ROOT

MIXED = f"multipart/mixed; boundary={BOUNDARY}"
SIGNATURE = "http://adlnet.gov/expapi/attachments/signature"
DATA, OTHER = b"\r\n--some data\0", b"other data"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def send(ask: Client, body: bytes, kind: str = MIXED) -> requests.Response:
    return ask("POST", data=body, headers={"Content-Type": kind})


REFUSED = {400}, 404
"""Each body is answered with 400, and the statement is not there."""


def outcome(ask: Client, sent: dict[str, Any], *bodies: bytes, kind: str = MIXED) -> tuple[set[int], int]:
    """Statuses of the answers to these bodies, and of a GET of the statement afterwards."""
    statuses = {send(ask, body, kind).status_code for body in bodies}
    return statuses, ask("GET", params={"statementId": sent["id"]}).status_code


# --- what is taken ----------------------------------------------------------------------------------


@requirement(
    "Communication 1.5.1", "application/json is taken without attachments, and with those that have a fileUrl", [127]
)
def test_json(ask: Client) -> None:
    elsewhere = attachment_of(DATA, fileUrl="https://ent.example/f")
    for sent in (statement(), statement(attachments=[elsewhere])):
        assert send(ask, orjson.dumps(sent), "application/json").status_code == 200
        assert send(ask, orjson.dumps(sent), "application/json; charset=utf-8").status_code == 200


@requirement("Communication 1.5.2", "multipart/mixed is taken without attachments, and with those that have a fileUrl")
def test_mixed_without_data(ask: Client) -> None:
    elsewhere = attachment_of(DATA, fileUrl="https://ent.example/f")
    for sent in (statement(), statement(attachments=[elsewhere])):
        assert send(ask, body_of(sent)).status_code == 200


@requirement(
    "Communication 1.5.2", "multipart/mixed is taken with a part for each attachment, by PUT and POST, one for several"
)
def test_mixed(ask: Client) -> None:
    one, two = statement_with(DATA, OTHER), statement_with(DATA)
    assert send(ask, body_of([one, two], part_of(OTHER), part_of(DATA))).status_code == 200
    put = statement_with(DATA)
    sent = body_of(put, part_of(DATA))
    answer = ask("PUT", data=sent, params={"statementId": put["id"]}, headers={"Content-Type": MIXED})
    assert answer.status_code == 204
    for each, data in ((one, [DATA, OTHER]), (two, [DATA]), (put, [DATA])):
        content, given = received(ask("GET", params={"statementId": each["id"], "attachments": "true"}))
        assert content["attachments"] == each["attachments"]
        assert given == {sha2_of(part): part for part in data}


@requirement("Communication 1.5.2", "The data of an attachment of a SubStatement are taken and given too")
def test_substatement(ask: Client) -> None:
    inner = {**statement(attachments=[attachment_of(DATA)]), "objectType": "SubStatement"}
    sent = statement(id=an_id(), object=inner)
    assert send(ask, body_of(sent, part_of(DATA))).status_code == 200
    found = ask("GET", params={"statementId": sent["id"], "attachments": "true"})
    assert received(found)[1] == {sha2_of(DATA): DATA}


# --- what is given ----------------------------------------------------------------------------------


@requirement("Communication 2.1.3", "attachments=true gives multipart/mixed, with the data of each attachment", [167])
def test_given(ask: Client) -> None:
    activity = {"id": an_activity()}
    sent = [statement_with(DATA, object=activity), statement_with(OTHER, object=activity)]
    assert send(ask, body_of(sent, part_of(DATA), part_of(OTHER))).status_code == 200
    content, data = received(ask("GET", params={"activity": activity["id"], "attachments": "true"}))
    assert [each["id"] for each in content["statements"]] == [sent[1]["id"], sent[0]["id"]]
    assert data == {sha2_of(each): each for each in (DATA, OTHER)}


@requirement("Communication 2.1.3", "attachments=false, or none, gives application/json without data", [161])
def test_not_given(ask: Client) -> None:
    sent = statement_with(DATA)
    assert send(ask, body_of(sent, part_of(DATA))).status_code == 200
    for params in ({}, {"attachments": "false"}):
        answer = ask("GET", params={"statementId": sent["id"], **params})
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json()["attachments"] == sent["attachments"]


# --- what is refused --------------------------------------------------------------------------------


@requirement(
    "Communication 1.5", "Statements in another Content-Type than application/json and multipart/mixed: 400", [127, 138]
)
def test_other_types(ask: Client) -> None:
    sent = statement(id=an_id())
    with_data = statement_with(DATA)
    for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "json"):
        assert outcome(ask, sent, orjson.dumps(sent), kind=kind) == REFUSED
    for kind in ("multipart/form-data", "multipart/related"):
        assert (
            outcome(ask, with_data, body_of(with_data, part_of(DATA)), kind=f"{kind}; boundary={BOUNDARY}") == REFUSED
        )
    elsewhere = {**sent, "attachments": [attachment_of(DATA, fileUrl="https://ent.example/f")]}
    assert outcome(ask, sent, orjson.dumps(elsewhere), kind=f"multipart/form-data; boundary={BOUNDARY}") == REFUSED
    # It was the type alone.
    assert send(ask, orjson.dumps(sent), "application/json").status_code == 200
    assert send(ask, body_of(with_data, part_of(DATA))).status_code == 200


@requirement("Communication 1.5.2", "A part that is no attachment of the statements: 400", [128])
def test_excess_part(ask: Client) -> None:
    sent, bare = statement_with(DATA), statement(id=an_id())
    assert outcome(ask, sent, body_of(sent, part_of(DATA), part_of(OTHER))) == REFUSED
    assert outcome(ask, bare, body_of(bare, part_of(DATA))) == REFUSED


@requirement("Communication 1.5.2", "An attachment with neither fileUrl nor part: 400", [129])
def test_missing_part(ask: Client) -> None:
    sent = statement_with(DATA, OTHER)
    assert outcome(ask, sent, body_of(sent), body_of(sent, part_of(DATA))) == REFUSED
    assert outcome(ask, sent, orjson.dumps(sent), kind="application/json") == REFUSED


@requirement(
    "Communication 1.5.2", "A multipart/mixed that names no boundary, or another than its body has: 400", [130, 131]
)
def test_boundary(ask: Client) -> None:
    sent = statement_with(DATA)
    whole = body_of(sent, part_of(DATA))
    for kind in ("multipart/mixed", "multipart/mixed; boundary=", "multipart/mixed; boundary=other"):
        assert outcome(ask, sent, whole, kind=kind) == REFUSED


@requirement("Communication 1.5.2", "A part that no boundary begins, or a body that no boundary ends: 400", [130])
def test_parts_begin_with_a_boundary(ask: Client) -> None:
    sent = statement_with(DATA)
    whole = body_of(sent, part_of(DATA))
    line = f"--{BOUNDARY}\r\n".encode()
    joined = b"".join(whole.rsplit(line, 1))
    assert (
        outcome(ask, sent, whole.replace(line, b""), joined, whole.removeprefix(line), orjson.dumps(sent), whole[:-40])
        == REFUSED
    )


@requirement(
    "Communication 1.5.2",
    "A part after the first without X-Experience-API-Hash, or with one of no attachment: 400",
    [132],
)
def test_hash(ask: Client) -> None:
    sent = statement_with(DATA)
    hashes = ("", sha2_of(OTHER), "none")
    assert outcome(ask, sent, *[body_of(sent, part_of(DATA, X_Experience_API_Hash=each)) for each in hashes]) == REFUSED


@requirement("Communication 1.5.2", "A part whose data have not the hash that it says: 400")
def test_hash_of_the_data(ask: Client) -> None:
    sent = statement_with(DATA)
    assert outcome(ask, sent, body_of(sent, (part_of(DATA)[0], OTHER))) == REFUSED


@requirement("Communication 1.5.2", "Statements in another part than the first: 400", [133])
def test_statements_in_one_part(ask: Client) -> None:
    sent = statement_with(DATA)
    more = orjson.dumps([statement()])
    assert (
        outcome(ask, sent, body_of(sent, (JSON, more), part_of(DATA)), body_of([sent], part_of(DATA), (JSON, more)))
        == REFUSED
    )


@requirement("Communication 1.5.2", "A first part that is not application/json: 400", [134])
def test_first_part(ask: Client) -> None:
    sent = statement_with(DATA)
    whole = body_of(sent, part_of(DATA))
    others = (b"text/plain", b"multipart/mixed", b"application/octet-stream")
    assert outcome(ask, sent, *[whole.replace(b"application/json", each, 1) for each in others]) == REFUSED
    assert outcome(ask, sent, body_of(DATA, part_of(orjson.dumps(sent)))) == REFUSED


@requirement("Communication 1.5.2", "A part after the first without Content-Transfer-Encoding: binary: 400", [135])
def test_encoding(ask: Client) -> None:
    sent = statement_with(DATA)
    encodings = ("", "base64", "quoted-printable", "8bit")
    assert (
        outcome(ask, sent, *[body_of(sent, part_of(DATA, Content_Transfer_Encoding=each)) for each in encodings])
        == REFUSED
    )


# --- signatures -------------------------------------------------------------------------------------


def signed(payload: Any, algorithm: str = "RS256", key: Any = KEY, **header: Any) -> bytes:
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return jwt.PyJWS(algorithms=[algorithm]).encode(body, key, algorithm=algorithm, headers=header).encode()


def with_signature(value: bytes, sent: dict[str, Any]) -> bytes:
    attachment = attachment_of(value, usageType=SIGNATURE, contentType="application/octet-stream")
    return body_of({**sent, "attachments": [attachment]}, part_of(value, Content_Type=attachment["contentType"]))


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
@requirement(
    "Data 2.6", "A statement signed with RS256, RS384 or RS512 is taken, and given back with its signature", [115, 117]
)
def test_signed(ask: Client, algorithm: str) -> None:
    sent = statement(id=an_id())
    value = signed(sent, algorithm)
    answer = send(ask, with_signature(value, sent))
    assert answer.status_code == 200, answer.text
    found = ask("GET", params={"statementId": sent["id"], "attachments": "true"})
    assert received(found)[1] == {sha2_of(value): value}


@requirement("Data 2.6", "A signature of another algorithm: 400", [117])
def test_algorithm(ask: Client) -> None:
    sent = statement(id=an_id())
    bodies = [with_signature(signed(sent, how, key), sent) for how, key in (("HS256", "k" * 32), ("none", None))]
    assert outcome(ask, sent, *bodies) == REFUSED


@requirement("Data 2.6", "A signature that is no JWS, or whose content is no JSON: 400", [115, 116])
def test_malformed_signature(ask: Client) -> None:
    sent = statement(id=an_id())
    values = (b"no signature", b"a.b.c", signed(b"{"), signed(b"text"), signed([sent]))
    assert outcome(ask, sent, *[with_signature(value, sent) for value in values]) == REFUSED


@requirement("Data 2.6", "A signature of another statement: 400", [116])
def test_signature_of_another(ask: Client) -> None:
    sent = statement(id=an_id())
    for other in ({**sent, "verb": {"id": "https://ent.example/v"}}, {**sent, "result": {"success": True}}):
        assert outcome(ask, sent, with_signature(signed(other), sent)) == REFUSED


@requirement("Data 2.6", "A signature whose contentType is not application/octet-stream: 400", [115])
def test_type_of_a_signature(ask: Client) -> None:
    sent = statement(id=an_id())
    value = signed(sent)
    attachment = attachment_of(value, usageType=SIGNATURE, contentType="text/plain")
    assert outcome(ask, sent, body_of({**sent, "attachments": [attachment]}, part_of(value))) == REFUSED


@requirement(
    "Data 2.6", "A signature with certificates is verified with the first of them; one made with another key: 400"
)
def test_certificates(ask: Client) -> None:
    sent = statement(id=an_id())
    assert outcome(ask, sent, with_signature(signed(sent, key=KEY, x5c=[LEAF, ROOT]), sent)) == REFUSED
    assert outcome(ask, sent, with_signature(signed(sent, key=CERTIFIED, x5c=["AAAA"]), sent)) == REFUSED
    assert send(ask, with_signature(signed(sent, key=CERTIFIED, x5c=[LEAF, ROOT]), sent)).status_code == 200
