"""Data-subject requests over real HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import requests

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server

PATH = "/api/v1/requests"
REASON = "many traces"


def agent() -> dict[str, Any]:
    return {"account": {"homePage": "https://ent.example", "name": uuid4().hex}}


@pytest.fixture(scope="module")
def dpo(server: Server) -> NewCredential:
    return server.credential(*scopes.ROLES["dpo"])


def post(server: Server, dpo: NewCredential, path: str, json: Any = None, **options: Any) -> requests.Response:
    return server.send("POST", path, dpo, json=json, version=None, **options)


def get(server: Server, dpo: NewCredential, path: str, **params: str) -> requests.Response:
    return server.send("GET", path, dpo, version=None, params=params)


def opened(server: Server, dpo: NewCredential, **changes: Any) -> str:
    answer = post(server, dpo, PATH, {"kind": "access", "agents": [agent()], **changes})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{PATH}/{answer.json()['id']}"
    return str(answer.json()["id"])


def test_a_request_from_receipt_to_answer(server: Server, dpo: NewCredential) -> None:
    who = agent()
    id = opened(server, dpo, agents=[who], received="2026-01-31", note="by letter")
    for step, said, status in (
        ("identify", {"note": "at the counter"}, 200),
        ("extend", {"reason": REASON}, 409),  # the first month is over
        ("done", {}, 200),
        ("refuse", {"reason": REASON}, 409),
    ):
        assert post(server, dpo, f"{PATH}/{id}/{step}", said).status_code == status
    shown = get(server, dpo, f"{PATH}/{id}").json()
    assert shown["status"] == "done"
    # It was due in February: answered late it stays.
    assert shown["late"] and shown["answered"] > shown["due"]
    listing = get(server, dpo, PATH, status="done").json()
    assert [one["late"] for one in listing["requests"] if one["id"] == id] == [True]
    assert listing["standing"]["answered_late"] >= 1
    assert {step["by_label"] for step in shown["steps"]} == {"test"}
    assert (shown["received"], shown["due"], shown["extended"]) == ("2026-01-31", "2026-02-28", None)
    assert shown["person"] == [f"account:https://ent.example|{who['account']['name']}"]
    assert [(step["step"], step["note"], step["by"]) for step in shown["steps"]] == [
        ("opened", "by letter", dpo.id),
        ("identified", "at the counter", dpo.id),
        ("done", "", dpo.id),
    ]


def test_the_list_tells_what_is_due_and_not_whose(server: Server, dpo: NewCredential) -> None:
    who = agent()
    late, fresh = opened(server, dpo, agents=[who], received="2026-01-31"), opened(server, dpo)
    answer = get(server, dpo, PATH, limit="1000")
    listed = {line["id"]: line for line in answer.json()["requests"]}
    assert (listed[late]["overdue"], listed[fresh]["overdue"]) == (True, False)
    assert who["account"]["name"] not in answer.text
    soon = {line["id"] for line in get(server, dpo, PATH, due_within="7d", limit="1000").json()["requests"]}
    assert late in soon
    assert fresh not in soon
    refused = {line["id"] for line in get(server, dpo, PATH, status="refused", limit="1000").json()["requests"]}
    assert refused.isdisjoint({late, fresh})


@pytest.mark.parametrize(
    "params",
    [{"due_within": "7"}, {"status": "lost"}, *({"limit": one} for one in ("0", "٣", "1_0", "1.0")), {"agent": "x"}],
)
def test_parameters_of_the_list(server: Server, dpo: NewCredential, params: dict[str, str]) -> None:
    answer = get(server, dpo, PATH, **params)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-parameter")


@pytest.mark.parametrize(
    ("said", "pointers"),
    [
        ({}, ["/kind", "/agents"]),
        ({"kind": "lunch", "agents": [{"mbox": "mailto:secret@ent.example"}]}, ["/kind"]),
        ({"kind": "access", "agents": [], "received": "yesterday"}, ["/received"]),
        ({"kind": "access", "agents": [{"mbox": "mailto:a@ent.example"}], "received": "2999-01-01"}, ["/received"]),
        ({"kind": "access", "agents": [{"mbox": "secret"}]}, ["/agents/0/mbox"]),
        ([], []),
    ],
)
def test_a_body_that_is_not_one_is_refused_where_it_is_wrong(
    server: Server, dpo: NewCredential, said: Any, pointers: list[str]
) -> None:
    answer = post(server, dpo, PATH, said)
    assert answer.status_code == 400
    assert [fault["pointer"] for fault in answer.json().get("faults", [])] == pointers
    assert "secret" not in answer.text


def test_it_is_json_and_nothing_in_the_address(server: Server, dpo: NewCredential) -> None:
    assert post(server, dpo, f"{PATH}?kind=access", {}).json()["code"] == "bad-parameter"
    sent = server.send("POST", PATH, dpo, data=b"x", headers={"Content-Type": "text/plain"}, version=None)
    assert sent.json()["code"] == "unsupported-content-type"
    assert server.send("POST", PATH, dpo, data=b"{", version=None).json()["code"] == "malformed-json"


def test_a_refusal_without_reason_and_a_request_that_is_not_there(server: Server, dpo: NewCredential) -> None:
    id = opened(server, dpo)
    for said in ({}, {"reason": " "}):
        answer = post(server, dpo, f"{PATH}/{id}/refuse", said)
        assert (answer.status_code, [fault["pointer"] for fault in answer.json()["faults"]]) == (400, ["/reason"])
    assert get(server, dpo, f"{PATH}/r-none").status_code == 404
    assert post(server, dpo, f"{PATH}/r-none/done", {}).status_code == 404
