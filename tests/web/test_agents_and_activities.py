"""The Agents and Activities resources over real HTTP, two workers, in both versions."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import orjson
import pytest
import requests

from app.access import scopes
from tests.served import Server, statement

VERSIONS = ["1.0.3", "2.0.0"]
AGENTS, ACTIVITIES = "/xAPI/agents", "/xAPI/activities"


def _agent(**more: Any) -> dict[str, Any]:
    return {"objectType": "Agent", "account": {"homePage": "https://ent.example", "name": uuid4().hex}, **more}


def _person(server: Server, credential: Any, agent: dict[str, Any], **options: Any) -> requests.Response:
    return server.send("GET", AGENTS, credential, params={"agent": orjson.dumps(agent).decode()}, **options)


def _activity(server: Server, credential: Any, id: str, **options: Any) -> requests.Response:
    return server.send("GET", ACTIVITIES, credential, params={"activityId": id}, **options)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_person_has_the_identifier_asked_about_and_the_names_that_statements_give(
    server: Server, version: str
) -> None:
    credential = server.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    agent = _agent()
    teacher = {"mbox": f"mailto:{uuid4().hex}@example.fr", "name": "Somebody else"}
    sent = [
        statement(actor={**agent, "name": "Un"}, context={"instructor": teacher}),
        statement(actor=teacher, object={**agent, "name": "Deux"}),
        statement(actor={"objectType": "Group", "member": [{**agent, "name": "Trois"}]}),
    ]
    assert server.post(credential, sent, version=version).status_code == 200
    answer = _person(server, credential, {**agent, "name": "Asked"}, version=version)
    assert answer.status_code == 200
    assert answer.headers["X-Experience-API-Version"] == version
    found = answer.json()
    assert found.pop("name")[0] == "Asked"
    assert found == {"objectType": "Person", "account": [agent["account"]]}
    assert set(_person(server, credential, agent).json()["name"]) == {"Un", "Deux", "Trois"}
    head = server.send("HEAD", AGENTS, credential, params={"agent": orjson.dumps(agent).decode()})
    assert (head.status_code, head.content) == (200, b"")


def test_a_source_learns_no_name_from_the_statements_of_another(server: Server) -> None:
    mine, other = (server.source(scopes=[scopes.WRITE, scopes.READ_MINE]) for _ in range(2))
    agent = _agent()
    assert server.post(other, statement(actor={**agent, "name": "Secret"})).status_code == 200
    assert _person(server, mine, agent).json() == {"objectType": "Person", "account": [agent["account"]]}
    everybody = server.credential(scopes.READ)
    assert _person(server, everybody, agent).json()["name"] == ["Secret"]


def test_asking_about_a_person_is_on_record_without_naming_them(server: Server) -> None:
    credential = server.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    agent = _agent()
    _person(server, credential, agent)
    entries = server.container.governance.audit.newest(["person-read"], None, 10)
    mine = [entry for entry in entries if entry.actor == credential.id]
    assert len(mine) == 1
    assert agent["account"]["name"] not in repr(mine)


@pytest.mark.parametrize(
    ("path", "params", "rule"),
    [
        (AGENTS, {}, "parameter-missing"),
        (AGENTS, {"agent": "{"}, "parameter-agent"),
        (AGENTS, {"agent": "{}"}, None),
        (AGENTS, {"agent": '{"objectType":"Group","member":[{"mbox":"mailto:a@example.fr"}]}'}, "parameter-agent"),
        (AGENTS, {"agent": '{"mbox":"mailto:a@example.fr"}', "x": "1"}, "parameter-unknown"),
        (ACTIVITIES, {}, "parameter-missing"),
        (ACTIVITIES, {"activityId": "no scheme"}, "parameter-iri"),
        (ACTIVITIES, {"activityId": ["x:a", "x:b"]}, "parameter-repeated"),
    ],
)
def test_bad_parameters_are_refused_by_name(server: Server, path: str, params: dict[str, Any], rule: str) -> None:
    answer = server.send("GET", path, server.credential(scopes.READ), params=params)
    assert answer.status_code == 400
    assert answer.json()["faults"]
    if rule:
        assert answer.json()["faults"][0]["rule"] == rule


@pytest.mark.parametrize("path", [AGENTS, ACTIVITIES])
def test_who_may_not_read_statements_may_not_ask(server: Server, path: str) -> None:
    params = {"agent": '{"mbox":"mailto:a@example.fr"}'} if path == AGENTS else {"activityId": "x:a"}
    assert server.send("GET", path, None, params=params).status_code == 401
    for scope in (scopes.STATE, scopes.PROFILE, scopes.RESEARCH, scopes.GOVERNANCE_READ, scopes.METRICS):
        assert server.send("GET", path, server.credential(scope), params=params).status_code == 403
    for scope in (scopes.READ, scopes.ALL_READ, scopes.ALL):
        assert server.send("GET", path, server.credential(scope), params=params).status_code == 200
    assert server.send("GET", path, server.credential(scopes.READ), version=None, params=params).status_code == 400


@pytest.mark.parametrize("version", VERSIONS)
def test_an_activity_has_what_all_statements_say_of_it(server: Server, version: str) -> None:
    credential = server.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    id = f"https://ent.example/{uuid4()}"
    known = _activity(server, credential, id, version=version)
    assert (known.status_code, known.json()) == (200, {"objectType": "Activity", "id": id})
    first = {"id": id, "definition": {"name": {"fr": "Leçon"}, "type": "https://ent.example/t"}}
    second = {"id": id, "definition": {"name": {"en": "Lesson"}, "description": {"en": "A lesson"}}}
    assert server.post(credential, statement(object=first), version=version).status_code == 200
    parent = statement(context={"contextActivities": {"parent": [second]}})
    assert server.post(credential, [parent], version=version).status_code == 200
    expected = {
        "name": {"fr": "Leçon", "en": "Lesson"},
        "type": "https://ent.example/t",
        "description": {"en": "A lesson"},
    }
    assert _activity(server, credential, id, version=version).json()["definition"] == expected
    canonical = server.send(
        "GET",
        "/xAPI/statements",
        credential,
        version=version,
        params={"activity": id, "format": "canonical"},
        headers={"Accept-Language": "fr;q=0, en"},
    ).json()["statements"]
    assert [each["object"]["definition"]["name"] for each in canonical] == [{"en": "Lesson"}]


def test_the_extensions_of_one_statement_are_not_given_with_another(server: Server) -> None:
    writer, other = (server.source(scopes=[scopes.WRITE, scopes.READ_MINE]) for _ in range(2))
    id = f"https://ent.example/{uuid4()}"
    extensions = {"https://ent.example/pupil": "Camille"}
    target = {"id": id, "definition": {"name": {"fr": "Leçon"}, "extensions": extensions}}
    assert server.post(writer, statement(object=target)).status_code == 200
    assert server.post(other, statement(object={"id": id})).status_code == 200
    # xAPI-Communication 2.5: the complete Activity Object.
    assert _activity(server, other, id).json()["definition"] == target["definition"]
    for credential, definition in ((writer, target["definition"]), (other, {"name": {"fr": "Leçon"}})):
        [found] = server.get(credential, activity=id, format="canonical").json()["statements"]
        assert found["object"]["definition"] == definition


def test_writers_that_learn_at_the_same_time_lose_no_language(server: Server) -> None:
    credential = server.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    id = f"https://ent.example/{uuid4()}"
    languages = ["fr", "en", "de", "es", "it", "pt", "nl", "pl"]

    def tell(language: str) -> None:
        target = {"id": id, "definition": {"name": {language: language.upper()}}}
        assert server.post(credential, statement(object=target)).status_code == 200

    tellers = [threading.Thread(target=tell, args=(language,)) for language in languages]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()
    definition = _activity(server, credential, id).json()["definition"]
    assert definition == {"name": {language: language.upper() for language in sorted(definition["name"])}}
    assert sorted(definition["name"]) == sorted(languages)


def test_what_is_known_of_activities_is_sealed(server: Server) -> None:
    credential = server.source(scopes=[scopes.WRITE])
    word = uuid4().hex
    target = {"id": f"https://ent.example/{word}", "definition": {"name": {"fr": word}}}
    assert server.post(credential, statement(object=target)).status_code == 200
    kept = list(server.container.platform.store.collection("activity_definitions").find({}))
    assert kept
    assert word not in repr(kept)


def test_a_single_statement_says_when_it_was_stored(server: Server) -> None:
    credential = server.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    id = server.post(credential, statement()).json()[0]
    answer = server.get(credential, statementId=id)
    seconds = answer.json()["stored"][17:19]
    assert answer.headers["Last-Modified"].endswith(f":{seconds} GMT")
