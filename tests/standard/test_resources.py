"""The requirements of the standard on resources, over real HTTP and two workers, for both versions."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
import requests

from app.access.credentials import NewCredential
from tests.served import Server, statement
from tests.standard.requirement import requirement

STATEMENTS = "/xAPI/statements"
AGENT = orjson.dumps({"mbox": "mailto:eleve@ent.example"}).decode()
PLACES = {
    "/xAPI/activities/state": {"activityId": "https://ent.example/a", "agent": AGENT, "stateId": "s"},
    "/xAPI/activities/profile": {"activityId": "https://ent.example/a", "profileId": "p"},
    "/xAPI/agents/profile": {"agent": AGENT, "profileId": "p"},
}
each_document = pytest.mark.parametrize("path", PLACES)


@pytest.fixture(scope="module")
def tutor(server: Server) -> NewCredential:
    """A credential that may do everything, of a source of its own."""
    identity = f"standard-{uuid4().hex[:8]}"
    server.source(identity)
    return server.credential("all", source=identity)


class Client:
    """Requests with one credential, in one version."""

    def __init__(self, server: Server, credential: NewCredential, version: str) -> None:
        self._server, self._credential, self._version = server, credential, version

    def __call__(self, method: str, path: str = STATEMENTS, **options: Any) -> requests.Response:
        return self._server.send(method, path, self._credential, **{"version": self._version, **options})

    def found(self, **params: Any) -> list[dict[str, Any]]:
        answer = self("GET", params=params)
        assert answer.status_code == 200, answer.text
        statements: list[dict[str, Any]] = answer.json()["statements"]
        return statements


@pytest.fixture
def ask(server: Server, tutor: NewCredential, version: str) -> Client:
    return Client(server, tutor, version)


@pytest.fixture
def place(path: str) -> dict[str, str]:
    """Parameters that name one document of the resource, not there yet."""
    given = dict(PLACES[path])
    given["stateId" if "stateId" in given else "profileId"] = uuid4().hex
    return given


@requirement("Communication 2.1.1", "PUT stores a statement under the id of its parameter: 204")
def test_put(ask: Client) -> None:
    where = {"statementId": str(uuid4())}
    assert ask("PUT", json=statement(), params=where).status_code == 204
    assert ask("GET", params=where).json()["id"] == where["statementId"]


@requirement("Communication 2.1.1", "PUT without statementId: 400")
def test_put_without_id(ask: Client) -> None:
    assert ask("PUT", json=statement()).status_code == 400


@requirement("Communication 2.1.1", "A different statement under an id that is taken: 409, and nothing changes")
def test_conflict(ask: Client) -> None:
    kept = statement(id=str(uuid4()))
    assert ask("POST", json=kept).status_code == 200
    assert ask("POST", json={**kept, "object": {"id": "https://ent.example/other"}}).status_code == 409
    assert ask("GET", params={"statementId": kept["id"]}).json()["object"]["id"] == kept["object"]["id"]


@requirement("Communication 2.1.2", "POST of an array gives the ids in its order")
def test_post_many(ask: Client) -> None:
    ids = [str(uuid4()) for _ in range(5)]
    assert ask("POST", json=[statement(id=each) for each in ids]).json() == ids


@requirement("Communication 2.1.2", "A batch with one invalid statement is refused whole")
def test_batch_is_whole(ask: Client) -> None:
    good = statement(id=str(uuid4()))
    assert ask("POST", json=[good, {**statement(), "verb": {}}]).status_code == 400
    assert ask("GET", params={"statementId": good["id"]}).status_code == 404


@requirement("Communication 2.1.3", "statementId and voidedStatementId exclude each other, and other filters: 400")
def test_ids_exclude(ask: Client) -> None:
    one = str(uuid4())
    for params in ({"statementId": one, "voidedStatementId": one}, {"statementId": one, "limit": 1}):
        assert ask("GET", params=params).status_code == 400


@requirement("Communication 2.1.3", "A parameter that the standard does not know: 400")
def test_unknown_parameter(ask: Client) -> None:
    assert ask("GET", params={"foo": "bar"}).status_code == 400
    assert ask("GET", params={"StatementId": str(uuid4())}).status_code == 400


@requirement("Communication 2.1.3", "A voided statement is found by voidedStatementId only")
def test_voided(ask: Client) -> None:
    target = statement(id=str(uuid4()))
    verb = {"id": "http://adlnet.gov/expapi/verbs/voided"}
    void = statement(verb=verb, object={"objectType": "StatementRef", "id": target["id"]})
    assert ask("POST", json=[target, void]).status_code == 200
    assert ask("GET", params={"statementId": target["id"]}).status_code == 404
    assert ask("GET", params={"voidedStatementId": target["id"]}).status_code == 200


@requirement("Communication 2.1.3", "agent, verb, activity and registration: all that are given must be met")
def test_filters(ask: Client) -> None:
    activity, registration = f"https://ent.example/{uuid4()}", str(uuid4())
    name = {"mbox": f"mailto:{uuid4()}@ent.example"}
    verb = "https://ent.example/verbs/opened"
    both = statement(
        id=str(uuid4()), actor=name, verb={"id": verb}, object={"id": activity}, context={"registration": registration}
    )
    ask("POST", json=[both, statement(object={"id": activity})])
    filters = {"agent": orjson.dumps(name).decode(), "verb": verb, "activity": activity, "registration": registration}
    assert [each["id"] for each in ask.found(**filters)] == [both["id"]]
    assert len(ask.found(activity=activity)) == 2
    assert ask.found(**{**filters, "verb": "https://ent.example/verbs/closed"}) == []


@requirement("Communication 2.1.3", "The latest stored comes first; with ascending, the oldest")
def test_order(ask: Client) -> None:
    activity = f"https://ent.example/{uuid4()}"
    ids = [str(uuid4()) for _ in range(4)]
    ask("POST", json=[statement(id=each, object={"id": activity}) for each in ids])
    assert [each["id"] for each in ask.found(activity=activity)] == ids[::-1]
    assert [each["id"] for each in ask.found(activity=activity, ascending="true")] == ids


@requirement("Communication 2.1.3", "since is exclusive, until inclusive, on stored")
def test_bounds(ask: Client) -> None:
    activity = f"https://ent.example/{uuid4()}"
    ask("POST", json=[statement(object={"id": activity}) for _ in range(3)])
    oldest, middle, latest = ask.found(activity=activity, ascending="true")
    assert [each["id"] for each in ask.found(activity=activity, since=middle["stored"])] == [latest["id"]]
    found = ask.found(activity=activity, until=middle["stored"])
    assert [each["id"] for each in found] == [middle["id"], oldest["id"]]


@requirement("Communication 2.1.3", "related_activities and related_agents look into the context and SubStatements")
def test_related(ask: Client) -> None:
    activity, coach = f"https://ent.example/{uuid4()}", {"mbox": f"mailto:{uuid4()}@ent.example"}
    context = {"instructor": coach, "contextActivities": {"parent": [{"id": activity}]}}
    ask("POST", json=[statement(context=context), statement(object={**statement(), "objectType": "SubStatement"})])
    agent = orjson.dumps(coach).decode()
    assert ask.found(activity=activity) == ask.found(agent=agent) == []
    assert len(ask.found(activity=activity, related_activities="true")) == 1
    assert len(ask.found(agent=agent, related_agents="true")) == 1


@requirement("Communication 2.1.3", "A filter finds the statements that refer to one that meets it")
def test_references(ask: Client) -> None:
    activity = f"https://ent.example/{uuid4()}"
    target = statement(id=str(uuid4()), object={"id": activity})
    refers = statement(id=str(uuid4()), object={"objectType": "StatementRef", "id": target["id"]})
    ask("POST", json=refers)
    assert ask.found(activity=activity) == []
    ask("POST", json=target)
    assert {each["id"] for each in ask.found(activity=activity)} == {target["id"], refers["id"]}


@requirement("Communication 2.1.3", "limit and more give every statement once")
def test_more(ask: Client) -> None:
    activity = f"https://ent.example/{uuid4()}"
    ids = [str(uuid4()) for _ in range(7)]
    ask("POST", json=[statement(id=each, object={"id": activity}) for each in ids])
    page = ask("GET", params={"activity": activity, "limit": 3, "ascending": "true"}).json()
    seen = [each["id"] for each in page["statements"]]
    while page.get("more"):
        page = ask("GET", page["more"]).json()
        seen += [each["id"] for each in page["statements"]]
    assert seen == ids


@requirement("Communication 2.1.3", "format=ids keeps of agents, activities and verbs only what identifies them")
def test_ids(ask: Client) -> None:
    activity = {"id": f"https://ent.example/{uuid4()}", "definition": {"name": {"fr": "Leçon"}}}
    ask("POST", json=statement(object=activity))
    (found,) = ask.found(activity=activity["id"], format="ids")
    assert found["object"] == {"id": activity["id"]}


@requirement("Communication 2.1.3", "format=canonical gives one language of each map, by Accept-Language")
def test_canonical(ask: Client) -> None:
    activity = {"id": f"https://ent.example/{uuid4()}", "definition": {"name": {"fr": "Leçon", "en": "Lesson"}}}
    ask("POST", json=statement(object=activity))
    params = {"activity": activity["id"], "format": "canonical"}
    for language, name in (("fr", {"fr": "Leçon"}), ("en-GB, en;q=0.9", {"en": "Lesson"})):
        answer = ask("GET", params=params, headers={"Accept-Language": language}).json()
        assert answer["statements"][0]["object"]["definition"]["name"] == name


@requirement("Communication 2.1.3", "Every answer to GET has X-Experience-API-Consistent-Through, errors too")
def test_consistent_through(ask: Client) -> None:
    for params, status in (({}, 200), ({"foo": "bar"}, 400), ({"statementId": str(uuid4())}, 404)):
        answer = ask("GET", params=params)
        assert answer.status_code == status
        assert datetime.fromisoformat(answer.headers["X-Experience-API-Consistent-Through"]).tzinfo is not None


@requirement("Communication 1.1", "HEAD answers as GET does, without a body")
def test_head(ask: Client) -> None:
    identity = str(uuid4())
    ask("POST", json=statement(id=identity))
    head, get = (ask(method, params={"statementId": identity}) for method in ("HEAD", "GET"))
    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Type", "Content-Length", "Last-Modified"):
        assert head.headers[name] == get.headers[name]


@requirement("Communication 3.3", "Every answer names the version; one without a version is refused: 400")
def test_version_header(ask: Client, version: str) -> None:
    assert ask("GET").headers["X-Experience-API-Version"] == version
    for wrong in (None, "0.95", "3.0.0"):
        answer = ask("GET", version=wrong)
        assert answer.status_code == 400
        assert "X-Experience-API-Version" in answer.headers


@requirement("Communication 4.0", "No credentials, or wrong ones: 401")
def test_credentials(server: Server, tutor: NewCredential, version: str) -> None:
    wrong = tutor._replace(secret="0" * len(tutor.secret))
    for credential in (None, wrong):
        for path in (STATEMENTS, *PLACES, "/xAPI/agents", "/xAPI/activities"):
            assert server.send("GET", path, credential, version=version).status_code == 401


@requirement("Communication 2.8", "About gives the versions, to anybody")
def test_about(server: Server, version: str) -> None:
    answer = server.send("GET", "/xAPI/about", None, version=version)
    assert version in answer.json()["version"]


@requirement("Communication 2.4", "Agents gives a Person, whose properties are arrays")
def test_person(ask: Client) -> None:
    person = ask("GET", "/xAPI/agents", params={"agent": AGENT}).json()
    assert person["objectType"] == "Person"
    assert person["mbox"] == ["mailto:eleve@ent.example"]


@requirement("Communication 2.5", "Activities gives the activity with its definition")
def test_activity(ask: Client) -> None:
    activity = {"id": f"https://ent.example/{uuid4()}", "definition": {"name": {"fr": "Leçon"}}}
    ask("POST", json=statement(object=activity))
    found = ask("GET", "/xAPI/activities", params={"activityId": activity["id"]}).json()
    assert found["definition"] == activity["definition"]


@each_document
@requirement("Communication 2.2", "A document comes back byte for byte, with its type, an ETag and Last-Modified")
def test_document(ask: Client, path: str, place: dict[str, str]) -> None:
    content = bytes(range(256))
    headers = {"Content-Type": "application/octet-stream", "If-None-Match": "*"}
    assert ask("PUT", path, params=place, data=content, headers=headers).status_code == 204
    answer = ask("GET", path, params=place)
    assert (answer.content, answer.headers["Content-Type"]) == (content, "application/octet-stream")
    assert answer.headers["ETag"] == f'"{hashlib.sha1(content).hexdigest()}"'
    assert answer.headers["Last-Modified"]


@each_document
@requirement("Communication 2.2", "POST merges JSON documents at their top level")
def test_document_merge(ask: Client, path: str, place: dict[str, str]) -> None:
    ask("POST", path, params=place, json={"a": {"b": 1}, "c": 2})
    tag = {"If-Match": ask("GET", path, params=place).headers["ETag"]}
    assert ask("POST", path, params=place, json={"a": {"d": 3}}, headers=tag).status_code == 204
    assert ask("GET", path, params=place).json() == {"a": {"d": 3}, "c": 2}


@each_document
@requirement("Communication 3.1", "If-Match with another ETag: 412, and the document stays")
def test_document_concurrency(ask: Client, path: str, place: dict[str, str]) -> None:
    ask("PUT", path, params=place, json={"a": 1}, headers={"If-None-Match": "*"})
    for headers in ({"If-Match": f'"{"0" * 40}"'}, {"If-None-Match": "*"}):
        assert ask("PUT", path, params=place, json={"a": 2}, headers=headers).status_code == 412
    assert ask("GET", path, params=place).json() == {"a": 1}


@each_document
@requirement("Communication 2.2", "DELETE removes a document: 204, then 404")
def test_document_delete(ask: Client, path: str, place: dict[str, str]) -> None:
    ask("PUT", path, params=place, json={}, headers={"If-None-Match": "*"})
    tag = {"If-Match": ask("GET", path, params=place).headers["ETag"]}
    assert ask("DELETE", path, params=place, headers=tag).status_code == 204
    assert ask("GET", path, params=place).status_code == 404


@requirement("Communication 1.3", "A form with the parameter method is taken as that request", ("1.0.3",))
def test_alternate_syntax(ask: Client, server: Server, tutor: NewCredential, version: str) -> None:
    form = {"X-Experience-API-Version": version, "limit": "1"}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    sent = requests.Request("POST", "https://x.example", data=form).prepare().body
    answer = ask("POST", STATEMENTS + "?method=GET", data=sent, headers=headers, version=None)
    assert answer.status_code == 200
    assert "statements" in answer.json()


@requirement("IEEE 4.1", "A form with the parameter method is refused", ("2.0.0",))
def test_alternate_syntax_is_gone(ask: Client, version: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert ask("POST", STATEMENTS + "?method=GET", data=b"limit=1", headers=headers).status_code == 400
