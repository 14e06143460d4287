"""Feedback to those who send: counts of verdicts per template."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

from app.access import scopes
from tests.served import Server, statement
from tests.traces.conformance.test_sessions import PROFILE as RELAY
from tests.traces.conformance.test_sessions import step
from tests.web.test_statements import PROFILE


def counts(server: Server, credential: Any, **params: Any) -> dict[tuple[str | None, str], int]:
    answer = server.send("GET", "/api/v1/verdicts", credential, params=params)
    assert answer.status_code == 200, answer.text
    return {(line["template"], line["outcome"]): line["statements"] for line in answer.json()["verdicts"]}


def test_a_source_sees_its_own_counts_and_a_dpo_those_of_any(server: Server) -> None:
    profile = server.container.traces.profiles.add(PROFILE).id
    tutor = server.source("counted-source", profiles=[profile])
    other = server.source(profiles=[profile])
    server.post(tutor, [statement(result={"success": True}), statement()])
    server.post(other, [statement()])
    template = "https://test.example/profile/templates#experienced"
    expected = {(None, "conforms"): 1, (None, "fails"): 1, (template, "conforms"): 1, (template, "fails"): 1}
    limit = time.monotonic() + 5
    while counts(server, tutor) != expected:
        assert time.monotonic() < limit, counts(server, tutor)
        time.sleep(0.05)
    dpo = server.credential(scopes.GOVERNANCE_READ)
    assert counts(server, dpo, source="counted-source") == expected
    assert server.send("GET", "/api/v1/verdicts", tutor, params={"source": "other"}).status_code == 403
    assert counts(server, tutor, since="2100-01-01") == {}


def test_sessions_are_counted_with_where_they_went_wrong(server: Server) -> None:
    relay = server.container.traces.profiles.add(RELAY).id
    stadium = server.source("stadium", profiles=[relay], patterns="live")
    one, two = str(uuid4()), str(uuid4())
    server.post(stadium, [step(name, one, at) for at, name in enumerate(("start", "handoff", "placing"))])
    server.post(stadium, [step("placing", two, 1)])
    answer = server.send("GET", "/api/v1/verdicts", stadium).json()
    common = {"source": "stadium", "pattern": f"{relay}/race", "order": "receipt"}
    assert answer["patterns"] == [
        {**common, "profile": relay, "outcome": outcome, "sessions": 1} for outcome in ("failure", "success")
    ]
    wanted, found = [f"{relay}/start"], [f"{relay}/placing"]
    assert answer["breaks"] == [{**common, "wanted": wanted, "found": found, "sessions": 1}]
    later = server.send("GET", "/api/v1/verdicts", stadium, params={"since": "2100-01-01"}).json()
    assert later["patterns"] == later["breaks"] == []


def test_bad_parameters(server: Server) -> None:
    tutor = server.source()
    for params in ({"since": "yesterday"}, {"since": "2026-W01-1"}, {"since": "20260101"}, {"unknown": "1"}):
        answer = server.send("GET", "/api/v1/verdicts", tutor, params=params)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-parameter")
