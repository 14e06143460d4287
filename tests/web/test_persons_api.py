"""Rights of one data subject over HTTP: who is meant stands in the body alone."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson
import pytest
import requests

from app.access import scopes
from app.crypto import signing
from tests.people.people import HOME, account, named, person
from tests.served import Server


def ask(server: Server, path: str, **content: Any) -> requests.Response:
    return server.send("POST", f"/api/v1/{path}", server.credential(scopes.RIGHTS), json=content, version=None)


def test_places_are_counted(server: Server) -> None:
    name = uuid4().hex
    tutor = server.source()
    server.post(tutor, [named(name), named("other", context={"instructor": account(name)})])
    answer = ask(server, "persons/places", agents=[{"account": {"homePage": HOME, "name": name}}])
    assert answer.status_code == 200
    found = answer.json()["places"]
    assert (found["own"], found["mentions"], found["states"]) == (1, 1, 0)
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_an_erasure_is_begun_followed_and_proved(server: Server) -> None:
    name = uuid4().hex
    tutor = server.source()
    server.post(tutor, named(name))
    agents = [{"account": {"homePage": HOME, "name": name}}]
    begun = ask(server, "erasures", agents=agents, case="case-1")
    assert begun.status_code == 202
    shown = begun.json()
    assert (shown["phase"], shown["done"], shown["case"], shown["counts"]) == (
        "forgetting",
        False,
        "case-1",
        {"keys": 1},
    )
    dpo = server.credential(scopes.RIGHTS)
    path = f"/api/v1/erasures/{shown['erasure']}"
    assert server.send("GET", f"{path}/receipt", dpo, version=None).status_code == 404
    server.container.people.erasures.run()
    done = server.send("GET", path, dpo, version=None).json()
    assert (done["phase"], done["done"], done["counts"]["statements"]) == ("done", True, 1)
    receipt = server.send("GET", f"{path}/receipt", dpo, version=None)
    assert signing.verified(receipt.content, server.container.keys.signer.public_key).content["case"] == "case-1"
    assert server.container.people.finder.places(person(name)).own == 0
    assert name not in server.log.read_text()


@pytest.mark.parametrize("path", ["persons/places", "erasures"])
@pytest.mark.parametrize(
    "content",
    [
        {},
        {"agents": []},
        {"agents": "lea"},
        {"agents": [{"name": "lea"}]},
        {"agents": [{"mbox": "lea@ent.example"}]},
        {"agents": [account("lea")], "lea": 1},
    ],
)
def test_what_names_nobody_is_400_and_is_not_repeated(server: Server, path: str, content: dict[str, Any]) -> None:
    answer = ask(server, path, **content)
    assert answer.status_code == 400
    assert "lea" not in answer.text


@pytest.mark.parametrize("path", ["persons/places", "persons/access", "erasures"])
def test_the_pointer_leads_to_the_agent_in_the_body(server: Server, path: str) -> None:
    answer = ask(server, path, agents=[account("lea"), {"mbox": "lea@ent.example"}])
    assert [fault["pointer"] for fault in answer.json()["faults"]] == ["/agents/1/mbox"]


@pytest.mark.parametrize("case", ["Léa Martin", "a b", "x" * 65, 7])
def test_a_case_is_an_id(server: Server, case: object) -> None:
    answer = ask(server, "erasures", agents=[account(uuid4().hex)], case=case)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")


def test_other_bodies_and_parameters_are_refused(server: Server) -> None:
    dpo = server.credential(scopes.RIGHTS)
    for data, kind, status in (
        (b"[]", "application/json", 400),
        (b"{", "application/json", 400),
        (b"{}", "text/x", 400),
    ):
        answer = server.send("POST", "/api/v1/erasures", dpo, data=data, headers={"Content-Type": kind}, version=None)
        assert answer.status_code == status
    answer = server.send("POST", "/api/v1/erasures", dpo, json={}, params={"agent": "lea"}, version=None)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-parameter")
    unknown = server.send("GET", f"/api/v1/erasures/{uuid4()}", dpo, version=None)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")


def test_gdpr_15_who_received_is_told_by_name(server: Server) -> None:
    name = uuid4().hex
    server.post(server.source(), named(name))
    reader = server.container.operations.sources.issue(
        source=None, label=f"Inspection {name}", scopes=("statements/read",), actor="cli:test"
    )
    agent = {"account": {"homePage": HOME, "name": name}}
    headers = {"X-Sillage-Purpose": "research"}
    params = {"agent": orjson.dumps(agent).decode()}
    assert server.send("GET", "/xAPI/statements", reader, params=params, headers=headers).status_code == 200
    reported = ask(server, "persons/recipients", agents=[agent])
    assert reported.status_code == 200 and reader.id not in reported.text
    (found,) = [one for one in reported.json()["readings"] if one["name"] == f"Inspection {name}"]
    assert (found["way"], found["purpose"], found["number"]) == ("asked", "research", 1)
    # A person read, not a source: for no processing activity.
    assert found["processing_activity"] is None and "activity" not in found
    assert reported.json()["since"] is not None
    # Nobody else may ask.
    refused = server.send(
        "POST", "/api/v1/persons/recipients", server.credential(scopes.GOVERNANCE_READ), json={"agents": [agent]}
    )
    assert refused.status_code == 403
