"""Numbers that 64 bits do not hold, over real HTTP: taken, and given back digit by digit (xAPI-Data 4.1, 2.2)."""

from __future__ import annotations

import base64
import gzip
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import orjson
import pytest
import requests

from app.access import scopes
from app.access.credentials import NewCredential
from tests.multiparts import BOUNDARY, attachment_of, body_of, part_of
from tests.served import Server, serving, statement

LONG = "12345678901234567890123456789"
NUMBERS = [LONG, f"-{LONG}", "18446744073709551616", "7" * 4_000, "1e400", f'[1,{{"a":{LONG}}},{LONG}0]']
EXTENSION = "https://ent.example/x"
ACTS = "/api/v1/persons"


@pytest.fixture
def tutor(server: Server) -> NewCredential:
    return server.source(scopes=[scopes.ALL])


def text_of(number: str, mark: str = "@", **changes: Any) -> bytes:
    """The JSON of a statement with an extension in its result, and this number in it and wherever ``mark`` stands."""
    whole = {**statement(id=str(uuid4()), result={"extensions": {EXTENSION: mark}}), **changes}
    return orjson.dumps(whole).replace(f'"{mark}"'.encode(), number.encode())


def send(server: Server, who: NewCredential, body: bytes, method: str = "POST", **options: Any) -> requests.Response:
    return server.send(method, "/xAPI/statements", who, data=body, **options)


def id(body: bytes) -> str:
    return str(re.search(rb'"id":"([0-9a-f-]{36})"', body)[1].decode())  # type: ignore[index]


@pytest.mark.parametrize("number", NUMBERS, ids=range(len(NUMBERS)))
def test_the_digits_come_back_in_every_form(server: Server, tutor: NewCredential, number: str) -> None:
    definition = {"name": {"en": "x"}, "extensions": {EXTENSION: "@"}}
    target = {"id": f"https://ent.example/{uuid4()}", "definition": definition}
    body = text_of(number, object=target)
    assert send(server, tutor, body).status_code == 200
    expected = f'"{EXTENSION}":{number}'
    for version in ("1.0.3", "2.0.0"):
        for form, times in (("exact", 2), ("canonical", 2), ("ids", 1)):
            one = server.send(
                "GET",
                "/xAPI/statements",
                tutor,
                params={"statementId": id(body), "format": form},
                version=version,
            )
            page = server.send(
                "GET", "/xAPI/statements", tutor, params={"activity": target["id"], "format": form}, version=version
            )
            for answer in (one, page):
                assert (answer.status_code, answer.text.count(expected)) == (200, times)
    # IEEE 9274.1.1 4.2.2.5: to a reader in 1.0.3 a statement is written anew.
    newer = text_of(number, context={"contextAgents": [{"objectType": "contextAgent", "agent": statement()["actor"]}]})
    assert send(server, tutor, newer, version="2.0.0").status_code == 200
    reported = server.get(tutor, statementId=id(newer))
    assert expected in reported.text and "contextAgents" not in reported.text
    # xAPI-Communication 2.5: the activity, as its definitions say it.
    activity = server.send("GET", "/xAPI/activities", tutor, params={"activityId": target["id"]})
    assert expected in activity.text


@pytest.mark.parametrize("number", NUMBERS, ids=range(len(NUMBERS)))
def test_they_come_in_by_every_way(server: Server, tutor: NewCredential, number: str) -> None:
    expected = f'"{EXTENSION}":{number}'
    put, packed, parts, form = (text_of(number) for _ in range(4))
    assert send(server, tutor, put, "PUT", params={"statementId": id(put)}).status_code == 204
    assert send(server, tutor, gzip.compress(packed), headers={"Content-Encoding": "gzip"}).status_code == 200
    data = b"of an attachment"
    whole = parts[:-1] + b',"attachments":' + orjson.dumps([attachment_of(data)]) + b"}"
    message = body_of(whole, part_of(data))
    assert (
        send(server, tutor, message, headers={"Content-Type": f"multipart/mixed; boundary={BOUNDARY}"}).status_code
        == 200
    )
    # The credentials of a form are in it: a browser would add those that it remembers to the form of a strange page.
    credentials = base64.b64encode(f"{tutor.id}:{tutor.secret}".encode()).decode()
    fields = {
        "Authorization": f"Basic {credentials}",
        "X-Experience-API-Version": "1.0.3",
        "Content-Type": "application/json",
        "statementId": id(form),
        "content": form.decode(),
    }
    sent = server.send(
        "POST", "/xAPI/statements?method=PUT", version=None, data=urlencode(fields),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert sent.status_code == 204
    for each in (put, packed, parts, form):
        assert expected in server.get(tutor, statementId=id(each)).text


def test_a_retry_is_the_same_statement_and_another_digit_is_another(server: Server, tutor: NewCredential) -> None:
    # xAPI-Data 2.3.1: what the extensions of a result say is part of the statement.
    body = text_of(LONG)
    assert [send(server, tutor, body).status_code for _ in range(2)] == [200, 200]
    # In other words, so that the contents are compared and not the bytes.
    respelt = orjson.dumps(dict(reversed(orjson.loads(body.replace(LONG.encode(), b'"@"')).items())))
    assert send(server, tutor, respelt.replace(b'"@"', LONG.encode())).status_code == 200
    for other in (f"{LONG[:-1]}0", "1.2345678901234567e28"):
        refused = send(server, tutor, body.replace(LONG.encode(), other.encode()))
        assert (refused.status_code, refused.json()["code"]) == (409, "statement-conflict")


def test_a_score_of_many_digits_is_a_number_of_them(server: Server, tutor: NewCredential) -> None:
    score = {"raw": "@", "min": 0, "max": 10**19 - 1}
    good = text_of(LONG, result={"score": {**score, "max": "@"}})
    assert send(server, tutor, good).status_code == 200
    assert f'"raw":{LONG}' in server.get(tutor, statementId=id(good)).text
    refused = send(server, tutor, text_of(LONG, result={"score": score}))
    assert (refused.status_code, [fault["pointer"] for fault in refused.json()["faults"]]) == (
        400,
        ["/result/score/raw"],
    )


def test_a_policy_about_minors_changes_no_digit(server: Server) -> None:
    for policy in ("strip", "pseudonymise"):
        source = server.source(scopes=[scopes.ALL], minors=policy)
        who = {"name": "Camille", "account": {"homePage": "https://ent.example", "name": "x"}}
        for more in ({}, {"https://ent.example/y": "123456789AB"}):
            body = text_of(LONG, actor=who, result={"extensions": {EXTENSION: "@", **more}})
            assert send(server, source, body).status_code == 200
            reported = server.get(source, statementId=id(body)).text
            assert f'"{EXTENSION}":{LONG}' in reported and "Camille" not in reported and "123456789AB" not in reported


def test_a_rectified_statement_has_its_digits(server: Server, tutor: NewCredential) -> None:
    dpo = server.credential(*scopes.ROLES["dpo"])
    wrong = text_of("1")
    assert send(server, tutor, wrong).status_code == 200
    right = re.sub(rb'"id":"[0-9a-f-]{36}",', b"", text_of(LONG), count=1)
    asked = b'{"statement":"' + id(wrong).encode() + b'","corrected":' + right + b"}"
    done = server.send("POST", f"{ACTS}/rectify", dpo, data=asked, version=None).json()
    assert f'"{EXTENSION}":{LONG}' in server.get(tutor, statementId=done["statement"]).text


def test_documents_that_are_merged_keep_what_they_say(server: Server, tutor: NewCredential) -> None:
    agent = orjson.dumps(statement()["actor"]).decode()
    places = (
        ("/xAPI/agents/profile", {"agent": agent, "profileId": uuid4().hex}),
        ("/xAPI/activities/profile", {"activityId": "https://ent.example/1", "profileId": uuid4().hex}),
        ("/xAPI/activities/state", {"activityId": "https://ent.example/1", "agent": agent, "stateId": uuid4().hex}),
    )
    for path, where in places:
        for content in (f'{{"a":{LONG},"b":0.10}}', f'{{"c":{"7" * 4_000},"b":1e400}}'):
            assert server.send("POST", path, tutor, params=where, data=content).status_code == 204
        reported = server.send("GET", path, tutor, params=where)
        assert reported.text == f'{{"a":{LONG},"b":1e400,"c":{"7" * 4_000}}}'


# --- the size of a statement ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    """A server that takes statements of 8 MiB."""
    folder: Path = tmp_path_factory.mktemp("wide")
    with serving(folder, mongodb_uri, max_statement_bytes=str(8 * 1024 * 1024)) as made:
        yield made


def test_a_statement_over_its_limit_is_413_and_nothing_is_stored(server: Server, tutor: NewCredential) -> None:
    small, large = text_of("1"), text_of('"' + "x" * 1024 * 1024 + '"')
    for body, pointer in ((large, ""), (b"[" + small + b"," + large + b"]", "/1")):
        refused = send(server, tutor, body)
        reported = refused.json()
        assert (refused.status_code, reported["code"]) == (413, "statement-too-large")
        assert [(fault["pointer"], fault["rule"]) for fault in reported["faults"]] == [(pointer, "statement-size")]
    checked = server.send("POST", "/api/v1/check", tutor, data=large)
    assert (checked.status_code, checked.json()["code"]) == (413, "statement-too-large")
    assert server.get(tutor, statementId=id(small)).status_code == 404
    limits = server.send("GET", "/xAPI/about").json()["extensions"]["urn:sillage:limits"]
    assert limits["statementBytes"] == 1024 * 1024


def test_a_number_may_be_as_long_as_a_statement(wide: Server) -> None:
    # In a store of its own: Python's json, which other tests read pages with, takes 4,300 digits at most.
    tutor = wide.source(scopes=[scopes.ALL])
    number = "7" * 7_000_000
    body = text_of(number)
    assert [send(wide, tutor, body).status_code for _ in range(2)] == [200, 200]
    for form in ("exact", "canonical"):
        assert f'"{EXTENSION}":{number}' in wide.get(tutor, format=form).text
    refused = send(wide, tutor, body.replace(b"7,", b"8,").replace(b"7}", b"8}"))
    assert (refused.status_code, refused.json()["code"]) == (409, "statement-conflict")


def test_the_limit_is_a_setting(wide: Server) -> None:
    tutor = wide.source(scopes=[scopes.ALL])
    limits = wide.send("GET", "/xAPI/about").json()["extensions"]["urn:sillage:limits"]
    assert limits["statementBytes"] == 8 * 1024 * 1024
    # What compresses least: as random as JSON may be.
    noise = orjson.dumps(random_text(8 * 1024 * 1024 - 600)).decode()
    largest = text_of(noise)
    assert len(largest) <= 8 * 1024 * 1024
    assert send(wide, tutor, largest).status_code == 200
    assert noise in wide.get(tutor, statementId=id(largest)).text
    assert noise in wide.get(tutor, format="canonical").text
    refused = send(wide, tutor, text_of('"' + "x" * 8 * 1024 * 1024 + '"'))
    assert (refused.status_code, refused.json()["code"]) == (413, "statement-too-large")
    dpo = wide.credential(*scopes.ROLES["dpo"])
    right = re.sub(rb'"id":"[0-9a-f-]{36}",', b"", text_of('"' + "x" * 5_000_000 + '"'), count=1)
    asked = b'{"statement":"' + id(largest).encode() + b'","corrected":' + right + b"}"
    done = wide.send("POST", f"{ACTS}/rectify", dpo, data=asked, version=None)
    assert done.status_code == 200
    assert "x" * 5_000_000 in wide.get(tutor, statementId=done.json()["statement"]).text


def random_text(length: int) -> str:
    """Printable characters of ASCII, but for those that JSON escapes."""
    return "".join(random.Random(7).choices([chr(code) for code in range(32, 127) if chr(code) not in '"\\'], k=length))
