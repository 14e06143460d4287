"""The Python client ``tincan`` drives the server, in every version that it speaks (1.0.0 to 1.0.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import orjson
import pytest
import tincan
from tincan import (
    ActivityProfileDocument,
    AgentProfileDocument,
    RemoteLRS,
    StateDocument,
    Statement,
    StatementRef,
    Verb,
)
from tincan.version import Version

from app.access import scopes
from tests.served import Server

EXPERIENCED = "http://adlnet.gov/expapi/verbs/experienced"


class Client(NamedTuple):
    """A client, and what only this test sends: a learner, an activity, a registration."""

    lrs: RemoteLRS
    agent: tincan.Agent
    activity: tincan.Activity
    registration: str

    def statement(self, **changes: Any) -> Statement:
        given = {
            "actor": self.agent,
            "verb": {"id": EXPERIENCED, "display": {"en": "experienced"}},
            "object": self.activity,
            "context": {"registration": self.registration},
            **changes,
        }
        return Statement(**given)

    def saved(self, **changes: Any) -> Statement:
        answer = self.lrs.save_statement(self.statement(**changes))
        assert answer.success, answer.data
        assert isinstance(answer.content, Statement)
        return answer.content

    def found(self, **query: Any) -> list[str]:
        """Ids of what a query finds."""
        answer = self.lrs.query_statements(query)
        assert answer.success, answer.data
        return [str(each.id) for each in answer.content.statements]


@pytest.fixture(params=sorted(Version.supported))
def client(server: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    credential = server.source(scopes=[scopes.ALL])
    yield Client(
        RemoteLRS(version=request.param, endpoint=server.xapi, username=credential.id, password=credential.secret),
        tincan.Agent(name="Élève", account={"home_page": "https://ent.example", "name": uuid4().hex}),
        tincan.Activity(
            id=f"https://ent.example/{uuid4()}",
            definition={"name": {"fr": "Leçon", "en": "Lesson"}, "type": "http://adlnet.gov/expapi/activities/lesson"},
        ),
        str(uuid4()),
    )


# --- statements -----------------------------------------------------------------------------------


def test_a_statement_is_stored_and_read_by_id(client: Client) -> None:
    result = {
        "score": {"scaled": 0.5, "raw": 5, "min": 0, "max": 10},
        "success": True,
        "duration": timedelta(seconds=90),
    }
    sent = client.saved(result=result, timestamp=datetime(2026, 11, 20, 9, 30, tzinfo=UTC))
    assert sent.id is not None
    answer = client.lrs.retrieve_statement(sent.id)
    assert answer.success, answer.data
    assert answer.response.getheader("X-Experience-API-Version") == "1.0.3"
    got = answer.content
    assert got.id == sent.id
    assert got.actor.account.name == client.agent.account.name
    assert got.object.definition.name == {"fr": "Leçon", "en": "Lesson"}
    assert (got.result.score.scaled, got.result.success, got.result.duration) == (0.5, True, timedelta(seconds=90))
    assert got.timestamp == datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    assert got.stored is not None and got.authority.account is not None


def test_a_statement_of_a_chosen_id(client: Client) -> None:
    # With an id, the client PUTs.
    id = str(uuid4())
    assert str(client.saved(id=id).id) == id
    assert client.lrs.save_statement(client.statement(id=id)).success
    other = client.statement(id=id, verb={"id": "http://adlnet.gov/expapi/verbs/completed"})
    refused = client.lrs.save_statement(other)
    assert not refused.success and refused.response.status == 409
    assert orjson.loads(client.lrs.retrieve_statement(id).data)["verb"]["id"] == EXPERIENCED


def test_a_batch(client: Client) -> None:
    answer = client.lrs.save_statements([client.statement() for _ in range(3)])
    assert answer.success, answer.data
    ids = [str(each.id) for each in answer.content]
    assert len(set(ids)) == 3
    assert client.found(agent=client.agent, ascending="true") == ids


def test_a_statement_that_breaks_the_standard_is_refused(client: Client) -> None:
    broken = client.statement(result={"score": {"raw": 11, "min": 0, "max": 10}})
    answer = client.lrs.save_statement(broken)
    assert not answer.success and answer.response.status == 400
    assert orjson.loads(answer.data)["faults"][0]["section"].startswith("xAPI-Data")


@pytest.mark.parametrize("by", ["agent", "verb", "activity", "registration"])
def test_queries(client: Client, by: str) -> None:
    verb = Verb(id=f"https://ent.example/verbs/{uuid4()}")
    wanted = client.saved(verb=verb)
    other = {"account": {"home_page": "https://ent.example", "name": uuid4().hex}}
    client.saved(actor=other, object={"id": f"https://ent.example/{uuid4()}"}, context={"registration": str(uuid4())})
    query = {"agent": client.agent, "verb": verb, "activity": client.activity, "registration": client.registration}
    assert client.found(**{by: query[by]}) == [str(wanted.id)]
    assert client.found(**query, limit=10, format="ids") == [str(wanted.id)]


def test_related_agents_and_activities(client: Client) -> None:
    instructor = tincan.Agent(mbox=f"mailto:{uuid4().hex}@ent.example")
    course = tincan.Activity(id=f"https://ent.example/{uuid4()}")
    context = {"instructor": instructor, "context_activities": {"parent": [course]}}
    wanted = str(client.saved(context=context).id)
    assert client.found(agent=instructor) == client.found(activity=course) == []
    # The client writes a Python bool as `True`, which is no boolean of xAPI: give it the text.
    assert client.found(agent=instructor, related_agents="true") == [wanted]
    assert client.found(activity=course, related_activities="true") == [wanted]


def test_a_python_boolean_is_refused_as_known(client: Client) -> None:
    # tincan 1.0.0 sends `ascending=True` for True; xAPI-Communication 2.1.3 knows true and false.
    answer = client.lrs.query_statements({"agent": client.agent, "ascending": True})
    assert answer.response.status == 400
    assert orjson.loads(answer.data)["code"] == "bad-parameter"


def test_since_and_until(client: Client) -> None:
    first, second = (client.saved() for _ in range(2))
    since = client.lrs.retrieve_statement(first.id).content.stored.isoformat()
    assert client.found(agent=client.agent, since=since) == [str(second.id)]
    assert client.found(agent=client.agent, until=since) == [str(first.id)]


def test_more_pages(client: Client) -> None:
    sent = [str(client.saved().id) for _ in range(5)]
    answer = client.lrs.query_statements({"agent": client.agent, "limit": 2, "ascending": "true"})
    found, pages = [str(each.id) for each in answer.content.statements], 1
    while answer.content.more:
        answer = client.lrs.more_statements(answer.content)
        assert answer.success, answer.data
        found += [str(each.id) for each in answer.content.statements]
        pages += 1
    assert (found, pages) == (sent, 3)


def test_voiding(client: Client) -> None:
    wrong = client.saved()
    void = client.saved(verb={"id": "http://adlnet.gov/expapi/verbs/voided"}, object=StatementRef(id=wrong.id))
    assert client.lrs.retrieve_statement(wrong.id).response.status == 404
    answer = client.lrs.retrieve_voided_statement(wrong.id)
    assert answer.success and answer.content.id == wrong.id
    assert client.found(activity=client.activity, verb=Verb(id=EXPERIENCED)) == [str(void.id)]  # refers to it


def test_an_attachment_elsewhere(client: Client) -> None:
    # tincan has no way to send the bytes of an attachment: it describes one that is to be had at a URL.
    data = b"%PDF-1.7 certificate"
    attachment = {
        "usage_type": "http://id.tincanapi.com/attachment/certificate-of-completion",
        "display": {"en": "Certificate"},
        "content_type": "application/pdf",
        "length": len(data),
        "sha2": hashlib.sha256(data).hexdigest(),
        "fileurl": f"https://ent.example/{uuid4()}.pdf",
    }
    sent = client.saved(attachments=[attachment])
    (got,) = client.lrs.retrieve_statement(sent.id).content.attachments
    assert {name: getattr(got, name) for name in attachment} == attachment


# --- documents ------------------------------------------------------------------------------------


def test_state(client: Client) -> None:
    where = {"activity": client.activity, "agent": client.agent}
    document = StateDocument(id="bookmark", content='{"page":3}', content_type="application/json", **where)
    # The client sends every State document twice.
    assert client.lrs.save_state(document).success
    answer = client.lrs.retrieve_state(client.activity, client.agent, "bookmark")
    assert answer.success and answer.content.content == b'{"page":3}'
    assert answer.response.getheader("Content-Type") == "application/json"
    tag = hashlib.sha1(answer.data.encode(), usedforsecurity=False).hexdigest()
    assert answer.response.getheader("ETag") == f'"{tag}"'
    assert client.lrs.save_state(StateDocument(id="notes", content="any text", **where)).success
    assert sorted(client.lrs.retrieve_state_ids(client.activity, client.agent).content) == ["bookmark", "notes"]
    assert client.lrs.delete_state(document).success
    # The client takes 404 for an answer, with no content.
    assert client.lrs.retrieve_state(client.activity, client.agent, "bookmark").response.status == 404
    assert client.lrs.clear_state(client.activity, client.agent).success
    assert client.lrs.retrieve_state_ids(client.activity, client.agent).content == []


def test_state_of_a_registration(client: Client) -> None:
    # tincan 1.0.0 reads, lists and deletes with a registration, but writes without.
    where = {"activity": client.activity, "agent": client.agent}
    assert client.lrs.save_state(StateDocument(id="s", content="x", registration=client.registration, **where)).success
    assert client.lrs.retrieve_state_ids(registration=client.registration, **where).content == []
    assert client.lrs.retrieve_state_ids(**where).content == ["s"]
    assert client.lrs.retrieve_state(state_id="s", registration=client.registration, **where).response.status == 404


def test_ids_since(client: Client) -> None:
    where = {"activity": client.activity, "agent": client.agent}
    assert client.lrs.save_state(StateDocument(id="s", content="x", **where)).success
    now = datetime.now(UTC)
    for instant, wanted in ((now - timedelta(hours=1), ["s"]), (now + timedelta(hours=1), [])):
        assert client.lrs.retrieve_state_ids(since=instant.isoformat(), **where).content == wanted


@pytest.mark.parametrize("kind", ["activity", "agent"])
def test_profiles(client: Client, kind: str) -> None:
    lrs, whose = client.lrs, getattr(client, kind)
    make: Any = {"activity": ActivityProfileDocument, "agent": AgentProfileDocument}[kind]
    save, retrieve, ids, delete = (
        getattr(lrs, name.format(kind))
        for name in ("save_{}_profile", "retrieve_{}_profile", "retrieve_{}_profile_ids", "delete_{}_profile")
    )
    document = make(id="preferences", content='{"level":1}', content_type="application/json", **{kind: whose})
    # xAPI-Communication 3.1: a PUT of a profile needs If-Match or If-None-Match. The client's methods send If-Match at
    # most, so that what is not there yet needs a request of one's own.
    bare = save(document)
    assert not bare.success and bare.response.status == 400
    seed(client, kind, whose, document)
    got = retrieve(whose, "preferences")
    assert got.success and got.content.content == b'{"level":1}'
    # The client looks for `etag` in the wrong place and leaves it out: take it from the answer.
    document.etag = got.response.getheader("ETag")
    document.content = '{"level":2}'
    assert save(document).success
    assert retrieve(whose, "preferences").content.content == b'{"level":2}'
    stale = save(document)
    assert not stale.success and stale.response.status == 412
    assert ids(whose).content == ["preferences"]
    document.etag = None
    assert delete(document).success
    assert retrieve(whose, "preferences").response.status == 404
    assert ids(whose).content == []


def seed(client: Client, kind: str, whose: Any, document: Any) -> None:
    """Create a profile document through the client's own request."""
    request = tincan.HTTPRequest(
        method="POST",
        resource={"activity": "activities/profile", "agent": "agents/profile"}[kind],
        headers={"Content-Type": document.content_type},
        content=document.content,
    )
    request.query_params = {"profileId": document.id}
    if kind == "activity":
        request.query_params["activityId"] = whose.id
    else:
        request.query_params["agent"] = whose.to_json()
    answer = client.lrs._send_request(request)
    assert answer.success, answer.data


# --- about ----------------------------------------------------------------------------------------


def test_about_of_a_store_that_knows_2_0_is_refused_as_known(client: Client) -> None:
    # tincan 1.0.0 refuses any version that it does not know itself. Nothing else of it asks `about`.
    with pytest.raises(ValueError, match=r"invalid value: '2\.0\.0' in \['1\.0\.3', '2\.0\.0'\]"):
        client.lrs.about()


def test_a_wrong_secret_is_refused(client: Client, server: Server) -> None:
    wrong = RemoteLRS(version=client.lrs.version, endpoint=server.xapi, username="sk-none", password="none")
    answer = wrong.save_statement(client.statement())
    assert not answer.success and answer.response.status == 401
