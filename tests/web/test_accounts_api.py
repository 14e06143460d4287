"""Ends of accounts, as sources announce them, over real HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server

PATH = "/api/v1/accounts"


def agent() -> dict[str, Any]:
    return {"account": {"homePage": "https://ent.example", "name": uuid4().hex}}


def announce(server: Server, credential: NewCredential, *accounts: dict[str, Any]) -> tuple[int, Any]:
    answer = server.send("POST", PATH, credential, json={"accounts": [*accounts]}, version=None)
    return answer.status_code, answer.json()


def test_a_source_says_that_accounts_ended_and_were_opened_again(server: Server) -> None:
    ent = server.source(scopes=[scopes.ACCOUNTS])
    one, other = agent(), agent()
    assert announce(server, ent, {"agent": one, "on": "2026-06-30"}, {"agent": other}) == (
        200,
        {"closed": 2, "reopened": 0},
    )
    assert announce(server, ent, {"agent": one, "event": "reopened"}) == (200, {"closed": 0, "reopened": 1})
    dpo = server.credential(*scopes.ROLES["dpo"])
    report = server.send("GET", "/api/v1/retention", dpo, version=None).json()["lines"]
    source = server.container.access.sources_repository.credential(ent.id)
    assert source is not None
    line = next(line for line in report if line["source"] == source.source)
    assert (line["accounts_closed"], line["account_closed_months"], line["closed_due"]) == (1, None, 0)


def test_only_a_source_says_so_and_all_or_nothing(server: Server) -> None:
    nobody = server.credential(scopes.ACCOUNTS)
    assert announce(server, nobody, {"agent": agent()})[0] == 403
    ent = server.source(scopes=[scopes.ACCOUNTS])
    status, reported = announce(server, ent, {"agent": agent()}, {"agent": {"mbox": "secret"}})
    assert (status, [fault["pointer"] for fault in reported["faults"]]) == (400, ["/accounts/1/agent/mbox"])
    assert announce(server, ent, {"agent": agent(), "event": "reopened"})[1]["reopened"] == 0
