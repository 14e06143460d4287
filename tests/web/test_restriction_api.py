"""Restriction, objection and rectification over real HTTP, two workers."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson
import pytest
import requests

from app.access import scopes
from app.access.credentials import NewCredential
from tests.served import Server, statement

ACTS = "/api/v1/persons"


def agent() -> dict[str, Any]:
    return {"objectType": "Agent", "account": {"homePage": "https://ent.example", "name": uuid4().hex}}


@pytest.fixture(scope="module")
def dpo(server: Server) -> NewCredential:
    return server.credential(*scopes.ROLES["dpo"])


@pytest.fixture(scope="module")
def tutor(server: Server) -> NewCredential:
    return server.source(scopes=[scopes.ALL])


HELD: dict[str, Any] = {"held": True, "pseudonyms": []}
NOBODY: dict[str, Any] = {"held": False, "pseudonyms": []}


def act(server: Server, dpo: NewCredential, name: str, who: dict[str, Any], **more: Any) -> requests.Response:
    return server.send("POST", f"{ACTS}/{name}", dpo, json={"agents": [who], **more}, version=None)


def test_gdpr_18_no_worker_gives_a_restricted_person_once_the_act_is_answered(
    server: Server, dpo: NewCredential, tutor: NewCredential
) -> None:
    who = agent()
    (theirs,) = server.post(tutor, statement(actor=who)).json()
    state = {"activityId": "https://ent.example/1", "agent": orjson.dumps(who).decode(), "stateId": "page"}
    assert server.send("PUT", "/xAPI/activities/state", tutor, json={"page": 1}, params=state).status_code == 204

    def answers() -> list[int]:
        found = []
        for _ in range(10):  # both workers are asked
            found.append(server.get(tutor, statementId=theirs).status_code)
            found.append(server.send("GET", "/xAPI/activities/state", tutor, params=state).status_code)
        return found

    assert set(answers()) == {200}
    assert act(server, dpo, "restrict", who).json() == {"restricted": True} | HELD
    assert set(answers()) == {404}
    listed = server.get(tutor, agent=orjson.dumps(who).decode()).json()
    assert listed == {"statements": [], "more": ""}
    refused = server.send("DELETE", "/xAPI/activities/state", tutor, params=state)
    assert (refused.status_code, refused.json()["code"]) == (403, "person-restricted")
    reported = act(server, dpo, "standing", who).json()
    assert (reported["restricted"] is not None, reported["objects"], reported["refuse_new"]) == (True, [], False)
    assert act(server, dpo, "unrestrict", who).json() == {"restricted": False, "was_restricted": True} | HELD
    assert set(answers()) == {200}


def test_gdpr_21_the_door_is_closed_and_opened_again(server: Server, dpo: NewCredential, tutor: NewCredential) -> None:
    who = agent()
    reported = act(server, dpo, "object", who, refuse_new=True)
    assert reported.json() == {"objects": ["research"], "refuse_new": True} | NOBODY
    for _ in range(4):
        refused = server.post(tutor, [statement(), statement(actor=who)])
        assert (refused.status_code, refused.json()["code"]) == (403, "person-refused")
        assert [fault["pointer"] for fault in refused.json()["faults"]] == ["/1/actor"]
        assert who["account"]["name"] not in refused.text
    assert act(server, dpo, "withdraw-objection", who).json() == {"withdrawn": True} | NOBODY
    assert server.post(tutor, statement(actor=who)).status_code == 200


def test_acts_are_noted_on_the_request_that_they_name(server: Server, dpo: NewCredential) -> None:
    who = agent()
    opened = server.send("POST", "/api/v1/requests", dpo, json={"kind": "restriction", "agents": [who]}, version=None)
    case = opened.json()["id"]
    refused = act(server, dpo, "restrict", who, case=case)
    assert (refused.status_code, refused.json()["code"]) == (409, "case-conflict")
    server.send("POST", f"/api/v1/requests/{case}/identify", dpo, json={}, version=None)
    assert act(server, dpo, "restrict", who, case=case).status_code == 200
    shown = server.send("GET", f"/api/v1/requests/{case}", dpo, version=None).json()
    assert [step["step"] for step in shown["steps"]] == ["opened", "identified", "restricted"]


def test_gdpr_16_a_statement_is_rectified(server: Server, dpo: NewCredential, tutor: NewCredential) -> None:
    (wrong,) = server.post(tutor, statement(actor=agent())).json()
    right = server.get(tutor, statementId=wrong).json() | {"result": {"success": False}}
    asked = {"statement": wrong, "corrected": right}
    done = server.send("POST", f"{ACTS}/rectify", dpo, json=asked, version=None).json()
    found = server.get(tutor, statementId=done["statement"]).json()
    assert found["context"]["extensions"] == {"https://w3id.org/sillage/extensions/rectifies": wrong}
    assert server.get(tutor, statementId=wrong).status_code == 404
    assert server.get(tutor, voidedStatementId=wrong).status_code == 200
    again = server.send("POST", f"{ACTS}/rectify", dpo, json=asked, version=None)
    assert (again.status_code, again.json()["code"]) == (409, "case-conflict")


def test_a_right_statement_nested_too_deeply_is_refused(server: Server, dpo: NewCredential) -> None:
    nested = '{"a":' * 300 + "1" + "}" * 300
    data = f'{{"statement":"{uuid4()}","corrected":{nested}}}'
    headers = {"Content-Type": "application/json"}
    answer = server.send("POST", f"{ACTS}/rectify", dpo, data=data, headers=headers, version=None)
    assert (answer.status_code, answer.json()["faults"][0]["pointer"]) == (400, "/corrected")


@pytest.mark.parametrize(
    "said",
    [{}, {"agents": [{"mbox": "secret"}]}, {"agents": []}, {"agents": [agent()], "why": "secret"}, {"agents": 1}],
)
def test_a_body_that_names_nobody_is_refused(server: Server, dpo: NewCredential, said: dict[str, Any]) -> None:
    answer = server.send("POST", f"{ACTS}/restrict", dpo, json=said, version=None)
    assert answer.status_code == 400
    assert "secret" not in answer.text


def test_a_voiding_of_a_restricted_person_s_statement_is_refused_and_says_which(
    server: Server, dpo: NewCredential
) -> None:
    who, tutor = agent(), server.source(scopes=[scopes.ALL])
    (theirs,) = server.post(tutor, statement(actor=who)).json()
    assert act(server, dpo, "restrict", who).status_code == 200
    ref = {"objectType": "StatementRef", "id": theirs}
    void = statement(verb={"id": "http://adlnet.gov/expapi/verbs/voided"}, object=ref)
    refused = server.post(tutor, void)
    assert (refused.status_code, refused.json()["code"]) == (403, "person-restricted")
    assert refused.json()["faults"][0]["pointer"] == "/object/id"
    assert server.get(tutor, voidedStatementId=theirs).status_code == 404
    # GDPR art. 16: the controller puts it right all the same.
    said = {"statement": theirs, "corrected": statement(actor=who, result={"success": False})}
    assert server.send("POST", "/api/v1/persons/rectify", dpo, json=said).status_code == 200


def test_gdpr_21_an_address_holds_at_the_door_of_a_tool_whose_learners_get_pseudonyms(
    server: Server, dpo: NewCredential
) -> None:
    """In both workers; and each answer says what the address reaches."""
    name = f"source-{uuid4().hex[:8]}"
    tool = server.source(name, minors="pseudonymise")
    who = {"mbox": f"mailto:{uuid4().hex}@ent.example"}
    assert act(server, dpo, "places", who).json() | NOBODY == act(server, dpo, "places", who).json()
    assert server.post(tool, statement(actor=who)).status_code == 200
    reached = {"held": True, "pseudonyms": [name]}
    found = act(server, dpo, "places", who).json()
    assert (found["places"]["own"], found | reached) == (1, found)
    reported = act(server, dpo, "recipients", who).json()
    assert reported | reached == reported
    reader = server.credential(scopes.READ)
    (kept,) = server.get(reader, limit=1).json()["statements"]
    asked = {"agent": orjson.dumps(kept["actor"]).decode()}
    assert server.send("GET", "/xAPI/agents", reader, params=asked).status_code == 200
    assert act(server, dpo, "object", who, refuse_new=True).json() == (
        {"objects": ["research"], "refuse_new": True} | reached
    )
    for _ in range(4):
        refused = server.post(tool, [statement(), statement(actor=who)])
        assert (refused.status_code, refused.json()["code"]) == (403, "person-refused")
        assert [fault["pointer"] for fault in refused.json()["faults"]] == ["/1/actor"]
    for asking, entries in ((server.credential(scopes.GOVERNANCE_READ), False), (dpo, True)):
        asked = {"person": [who], "kinds": ["person-read"]}
        found = server.send("POST", "/api/v1/audit/search", asking, json=asked, version=None).json()
        assert bool(found["entries"]) == entries
    begun = server.send("POST", "/api/v1/erasures", dpo, json={"agents": [who]}, version=None).json()
    assert begun | reached == begun
    server.container.people.erasures.run()
    assert act(server, dpo, "places", who).json()["places"]["own"] == 0
