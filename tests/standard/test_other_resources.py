"""The requirements on Agents, Activities and About, over real HTTP and two workers, for both versions."""

from __future__ import annotations

import pytest

from tests.served import Server, statement
from tests.standard.client import ABOUT, ACTIVITIES, AGENTS, Client, an_activity, an_agent, an_id, said
from tests.standard.requirement import requirement

# An agent with each identifier, and what a Person has of it.
IDENTIFIED = {
    "mbox": "mailto:eleve@ent.example",
    "mbox_sha1sum": "ebd31e95054c018b10727ccffd2ef2ec3a016ee9",
    "openid": "https://id.ent.example/eleve",
    "account": {"homePage": "https://ent.example", "name": "eleve"},
}


@pytest.mark.parametrize("name", IDENTIFIED)
@requirement(
    "Communication 2.4",
    "GET of an agent gives a Person, whose properties are arrays, with the identifier asked about, known or not: 200",
    [236, 237, 239, 240, 241, 242, 244, 245, 246, 247, 248],
)
def test_person(ask: Client, name: str) -> None:
    answer = ask("GET", AGENTS, params={"agent": said({"objectType": "Agent", name: IDENTIFIED[name]})})
    assert answer.status_code == 200
    person = answer.json()
    assert person["objectType"] == "Person"
    assert person[name] == [IDENTIFIED[name]]
    assert set(person) <= {"objectType", "name", name}


@requirement("Communication 2.4", "The names of a Person are an array of those that statements give", [238, 248])
def test_names(ask: Client) -> None:
    agent = an_agent()
    ask.store(statement(actor={**agent, "name": "Un"}), statement(object={**agent, "name": "Deux"}))
    person = ask("GET", AGENTS, params={"agent": said(agent)}).json()
    assert sorted(person["name"]) == ["Deux", "Un"]


@requirement("Communication 2.4", "GET without agent, or with one that is none: 400", [243, 249])
def test_no_agent(ask: Client) -> None:
    assert ask("GET", AGENTS).status_code == 400
    wrong = ("ada", "{", said({}), said([]), said({"mbox": "ada"}), said({**an_agent(), "mbox": "mailto:a@b.fr"}))
    for each in wrong:
        assert ask("GET", AGENTS, params={"agent": each}).status_code == 400, each


@requirement(
    "Communication 2.5", "GET of an activity gives it with what statements say of it: 200", [251, 252, 253, 254]
)
def test_activity(ask: Client) -> None:
    activity = an_activity()
    definitions = (
        {"name": {"fr": "Leçon"}, "type": "https://ent.example/type"},
        {"name": {"en": "Lesson"}, "moreInfo": "https://ent.example/more"},
        {"description": {"fr": "Une leçon"}, "extensions": {"https://ent.example/e": 1}},
    )
    for each in definitions:
        ask.store(statement(object={"id": activity, "definition": each}))
    answer = ask("GET", ACTIVITIES, params={"activityId": activity})
    assert (answer.status_code, answer.json()["id"]) == (200, activity)
    merged = {**definitions[0], **definitions[1], **definitions[2], "name": {"fr": "Leçon", "en": "Lesson"}}
    assert answer.json()["definition"] == merged


@requirement("Communication 2.5", "GET of an activity of which nothing is known gives an activity all the same: 200")
def test_unknown_activity(ask: Client) -> None:
    answer = ask("GET", ACTIVITIES, params={"activityId": (activity := an_activity())})
    assert (answer.status_code, answer.json()) == (200, {"objectType": "Activity", "id": activity})


@requirement("Communication 2.5", "GET without activityId, or with one that is no IRI: 400", [250])
def test_no_activity(ask: Client) -> None:
    for params in ({}, {"activityId": ""}, {"activityId": "lessons/1"}, {"activityid": an_activity()}):
        assert ask("GET", ACTIVITIES, params=params).status_code == 400


@requirement(
    "Communication 2.8",
    "About gives the versions, an array of strings of the standard's, to anybody: 200",
    [315, 316, 317, 318, 319],
)
def test_about(server: Server, version: str) -> None:
    answer = server.send("GET", ABOUT, None, version=version)
    assert answer.status_code == 200
    versions = answer.json()["version"]
    assert version in versions
    assert any(each.startswith("1.0.") for each in versions)
    assert set(versions) <= {"0.9", "0.95", *(f"1.0.{patch}" for patch in range(4)), "2.0.0"}


@requirement("Communication 2.8", "About has no more than version and extensions, whose keys are IRIs", [320])
def test_about_extensions(server: Server, version: str) -> None:
    content = server.send("GET", ABOUT, None, version=version).json()
    assert set(content) == {"version", "extensions"}
    assert content["extensions"] and all(":" in name for name in content["extensions"])


@pytest.mark.parametrize("path", [AGENTS, ACTIVITIES])
@requirement(
    "Communication 3.2",
    "A parameter that is not known, or in another case, is refused by Agents and Activities: 400",
    [324, 325],
)
def test_unknown_parameter(ask: Client, path: str) -> None:
    name, text = ("agent", said(an_agent())) if path == AGENTS else ("activityId", an_activity())
    assert ask("GET", path, params={name: text}).status_code == 200
    assert ask("GET", path, params={name: text, "foo": "bar"}).status_code == 400
    assert ask("GET", path, params={name.upper(): text}).status_code == 400
    assert ask("GET", path, params={name: text, "registration": an_id()}).status_code == 400
