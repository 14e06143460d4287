"""Following `more`: what clients add to it counts, is ignored for being said already, or is refused by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import orjson
import pytest

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server, statement

AGENT = {"account": {"homePage": "https://ent.example", "name": "eleve-1"}}
VERB = "http://adlnet.gov/expapi/verbs/experienced"
LESSON = "https://ent.example/lessons/1"


class Asked:
    """A query that says everything, of a source with 12 statements."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.tutor = server.source()
        registration = str(uuid4())
        batch = [statement(context={"registration": registration}) for _ in range(12)]
        self.ids: list[str] = server.post(self.tutor, batch).json()
        self.params: dict[str, str] = {
            "agent": orjson.dumps(AGENT).decode(),
            "verb": VERB,
            "activity": LESSON,
            "registration": registration,
            "related_agents": "true",
            "related_activities": "false",
            "since": "2020-01-01T00:00:00Z",
            "until": "2999-01-01T00:00:00+01:00",
            "ascending": "true",
            "format": "exact",
            "attachments": "false",
            "limit": "3",
        }

    def cursor(self, **params: str) -> str:
        """That of the first page."""
        answer = self.server.get(self.tutor, **(params or self.params))
        assert answer.status_code == 200, answer.text
        return parse_qs(urlsplit(answer.json()["more"]).query)["cursor"][0]


@pytest.fixture(scope="module")
def asked(server: Server) -> Asked:
    return Asked(server)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["statements"]]


def as_ralph(server: Server, credential: NewCredential, query: dict[str, Any], chunk_size: int) -> Iterator[str]:
    """Read as `ralph read lrs` does (openfun/ralph, src/ralph/backends/data/lrs.py, ``_fetch_statements``).

    Its ``limit`` is its chunk size; it asks the same address over and over, the query of each ``more`` link added.
    """
    params = {**query, "limit": chunk_size}
    while True:
        answer = server.get(credential, **params)
        answer.raise_for_status()
        yield from (each["id"] for each in answer.json()["statements"])
        if not answer.json()["more"]:
            break
        params.update(parse_qs(urlsplit(answer.json()["more"]).query))


@pytest.mark.parametrize("everything", [True, False])
def test_a_client_that_repeats_its_query_gets_every_statement_once(asked: Asked, everything: bool) -> None:
    query = asked.params if everything else {}
    found = list(as_ralph(asked.server, asked.tutor, query, 5))
    assert found == (asked.ids if everything else asked.ids[::-1])


@pytest.mark.parametrize(("limit", "lengths"), [("1", [1] * 9), ("4", [4, 4, 1]), ("0", [9]), ("100000", [9])])
def test_a_limit_beside_a_cursor_counts_from_there_on(asked: Asked, limit: str, lengths: list[int]) -> None:
    found = []
    answer = asked.server.get(asked.tutor, cursor=asked.cursor(), limit=limit)
    while True:
        found.append(ids(answer))
        if not answer.json()["more"]:
            break
        answer = asked.server.send("GET", answer.json()["more"], asked.tutor)
    assert [len(each) for each in found] == lengths
    assert [id for each in found for id in each] == asked.ids[3:]


def test_the_same_said_otherwise_is_the_same(asked: Asked) -> None:
    named = {**AGENT, "objectType": "Agent", "name": "Ada"}
    again = {"agent": orjson.dumps(named).decode(), "until": "2998-12-31T23:00:00.000Z"}
    upper = asked.params["registration"].upper()
    answer = asked.server.get(asked.tutor, cursor=asked.cursor(), registration=upper, **again)
    assert ids(answer) == asked.ids[3:6]


CONTRADICTIONS = {
    "agent": orjson.dumps({"mbox": "mailto:other@ent.example"}).decode(),
    "verb": "http://adlnet.gov/expapi/verbs/answered",
    "activity": "https://ent.example/lessons/2",
    "registration": str(uuid4()),
    "related_agents": "false",
    "related_activities": "true",
    "since": "2020-01-01T00:00:00.000001Z",
    "until": "2999-01-01T00:00:00Z",
    "ascending": "false",
    "format": "canonical",
    "attachments": "true",
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_contradicts_the_cursor_is_refused_by_its_name(asked: Asked, name: str) -> None:
    for first, text in ((asked.params, CONTRADICTIONS[name]), ({"limit": "2"}, CONTRADICTIONS[name])):
        if first is not asked.params and text == "false":
            continue  # what goes without saying
        answer = asked.server.get(asked.tutor, cursor=asked.cursor(**first), **{name: text})
        assert answer.status_code == 400, (name, answer.text)
        (fault,) = answer.json()["faults"]
        assert (fault["pointer"], fault["rule"]) == (f"/{name}", "parameter-cursor")
        assert "`more`" in fault["message"]


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        ([("statementId", str(uuid4()))], "parameter-excluded"),
        ([("voidedStatementId", str(uuid4()))], "parameter-excluded"),
        ([("limit", "1"), ("limit", "1")], "parameter-repeated"),
        ([("cursor", "x")], "parameter-repeated"),
        ([("Limit", "1")], "parameter-unknown"),
        ([("limit", "many")], "parameter-limit"),
    ],
)
def test_what_is_no_list_or_no_parameter_is_refused_beside_a_cursor(
    asked: Asked, extra: list[tuple[str, str]], rule: str
) -> None:
    path = "/xAPI/statements"
    sent: Any = [("cursor", asked.cursor()), *extra]
    answer = asked.server.send("GET", path, asked.tutor, params=sent)
    assert answer.status_code == 400
    assert [fault["rule"] for fault in answer.json()["faults"]] == [rule]


def test_a_cursor_stays_its_credentials_own_whatever_is_repeated(asked: Asked) -> None:
    other = asked.server.credential(scopes.READ)
    answer = asked.server.get(other, cursor=asked.cursor(), **asked.params)
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad-cursor"


def test_the_audit_log_says_what_the_cursor_asks_for_and_how_many_were_given(asked: Asked) -> None:
    def last() -> dict[str, Any]:
        entries = asked.server.container.governance.audit.page(("statements-read",), None, None, 1).entries
        detail: dict[str, Any] = dict(entries[0].detail)
        return detail

    cursor = asked.cursor()
    first = last()
    assert len(ids(asked.server.get(asked.tutor, cursor=cursor, limit="7"))) == 7
    following = last()
    assert following["tokens"] == first["tokens"]
    assert (first["count"], following["count"]) == (3, 7)


def test_a_reader_in_1_0_3_who_asks_for_exact_only_later_is_refused(asked: Asked) -> None:
    # `exact` said aloud gives 1.0.3 readers what only 2.0 has: pages would differ within one query.
    cursor = asked.cursor(limit="2")
    answers = [
        asked.server.send(
            "GET", "/xAPI/statements", asked.tutor, version=version, params={"cursor": cursor, "format": "exact"}
        )
        for version in ("1.0.3", "2.0.0")
    ]
    assert [answer.status_code for answer in answers] == [400, 200]
