"""The statements resource over real HTTP, two workers."""

from __future__ import annotations

import gzip
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import orjson
import pytest

from app.access import scopes
from app.traces.statements.store import LINKED_AT_ONCE, LINKING, NAME
from tests.served import Server, statement

VOIDED = "http://adlnet.gov/expapi/verbs/voided"


def stored(server: Server, credential: Any, **params: Any) -> list[dict[str, Any]]:
    answer = server.get(credential, **params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["statements"]
    return found


@pytest.mark.parametrize("version", ["1.0.3", "2.0.0"])
def test_one_statement_there_and_back(server: Server, version: str) -> None:
    tutor = server.source()
    sent = statement(result={"score": {"scaled": 0.5}, "response": "42"})
    answer = server.post(tutor, sent, version=version)
    assert answer.status_code == 200
    (id,) = answer.json()
    assert answer.headers["X-Experience-API-Version"] == version
    got = server.send("GET", "/xAPI/statements", tutor, version=version, params={"statementId": id}).json()
    assert got.items() >= sent.items()
    assert got["id"] == id
    assert got["authority"]["account"]["homePage"] == server.url
    assert got["timestamp"] == got["stored"]


def test_the_authority_is_the_stores_own(server: Server) -> None:
    tutor = server.source("authority-tutor")
    forged = statement(authority={"mbox": "mailto:minister@education.example"})
    (id,) = server.post(tutor, forged).json()
    got = server.get(tutor, statementId=id).json()
    assert got["authority"]["account"] == {"homePage": server.url, "name": "authority-tutor"}


def test_put_then_the_same_again_then_another(server: Server) -> None:
    # xAPI-Communication 2.1.1
    tutor = server.source()
    where = {"statementId": str(uuid4())}
    assert server.send("PUT", "/xAPI/statements", tutor, json=statement(), params=where).status_code == 204
    assert server.send("PUT", "/xAPI/statements", tutor, json=statement(), params=where).status_code == 204
    other = statement(object={"id": "https://ent.example/other"})
    refused = server.send("PUT", "/xAPI/statements", tutor, json=other, params=where)
    assert refused.status_code == 409
    assert refused.json()["code"] == "statement-conflict"
    assert server.get(tutor, **where).json()["object"]["id"] == "https://ent.example/lessons/1"


def test_put_whose_ids_differ_is_refused(server: Server) -> None:
    tutor = server.source()
    answer = server.send(
        "PUT", "/xAPI/statements", tutor, json=statement(id=str(uuid4())), params={"statementId": str(uuid4())}
    )
    assert answer.status_code == 400
    assert answer.json()["faults"][0]["pointer"] == "/id"


def test_a_batch_with_one_bad_statement_stores_nothing_and_says_where(server: Server) -> None:
    tutor = server.source()
    batch = [statement() for _ in range(5)]
    batch[3]["actor"] = {"mbox": "mailto:a@ent.example", "openid": "https://ent.example/a"}
    answer = server.post(tutor, batch)
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["code"] == "invalid-statement"
    assert problem["faults"][0]["pointer"].startswith("/3/actor")
    assert problem["faults"][0]["section"].startswith("xAPI-Data 2.4.2")
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert stored(server, tutor) == []


def test_a_reused_id_stores_nothing_of_the_batch(server: Server) -> None:
    tutor = server.source()
    id = str(uuid4())
    assert server.post(tutor, statement(id=id)).status_code == 200
    batch = [statement(), statement(id=id, object={"id": "https://ent.example/other"})]
    answer = server.post(tutor, batch)
    assert answer.status_code == 409
    assert answer.json()["faults"][0]["pointer"] == "/1/id"
    assert len(stored(server, tutor)) == 1


def test_the_same_batch_from_many_connections_is_stored_once(server: Server) -> None:
    tutor = server.source()
    batch = [statement(id=str(uuid4())) for _ in range(100)]
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(server.post(tutor, batch).status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    assert len(stored(server, tutor)) == 100


def test_a_page_of_large_statements_is_cut_and_the_next_goes_on(server: Server) -> None:
    tutor = server.source()
    ids = [str(uuid4()) for _ in range(40)]
    context = {"extensions": {"https://ent.example/ext/text": "a" * 900_000}}
    for place in range(0, 40, 10):
        batch = [statement(id=id, context=context) for id in ids[place : place + 10]]
        packed = gzip.compress(orjson.dumps(batch), 1)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        assert server.send("POST", "/xAPI/statements", tutor, data=packed, headers=headers).status_code == 200
    page = server.get(tutor, ascending="true").json()
    seen, pages = [each["id"] for each in page["statements"]], 1
    while page["more"]:
        page = server.send("GET", page["more"], tutor).json()
        seen += [each["id"] for each in page["statements"]]
        pages += 1
    assert seen == ids
    assert pages == 4


def test_the_next_page_of_a_query_longer_than_a_url_can_be_asked_for(server: Server) -> None:
    tutor = server.source()
    activity = "https://ent.example/" + "a" * 8_000
    server.post(tutor, [statement(object={"id": activity}) for _ in range(2)])
    agent = orjson.dumps({**statement()["actor"], "name": "n" * 20_000}).decode()
    form = {"activity": activity, "agent": agent, "limit": "1"}
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    first = server.send("POST", "/xAPI/statements", tutor, params={"method": "GET"}, data=form, headers=kind).json()
    following = server.send("GET", first["more"], tutor)
    assert following.status_code == 200
    assert len(following.json()["statements"]) == 1


def test_every_filter_finds_what_it_should(server: Server) -> None:
    # xAPI-Communication 2.1.3
    tutor = server.source()
    other = {"objectType": "Agent", "mbox": f"mailto:{uuid4().hex}@ent.example"}
    registration = str(uuid4())
    teacher = {"objectType": "Agent", "mbox": f"mailto:{uuid4().hex}@ent.example"}
    parent = f"https://ent.example/courses/{uuid4()}"
    rich = statement(
        actor=other,
        verb={"id": "http://adlnet.gov/expapi/verbs/answered"},
        object={"id": f"https://ent.example/items/{uuid4()}"},
        context={
            "registration": registration,
            "instructor": teacher,
            "contextActivities": {"parent": [{"id": parent}]},
        },
    )
    server.post(tutor, [statement(), rich, statement()])

    def found(**params: Any) -> int:
        return len(stored(server, tutor, **params))

    agent = orjson.dumps(other).decode()
    assert found() == 3
    assert found(agent=agent) == 1
    assert found(verb="http://adlnet.gov/expapi/verbs/answered") == 1
    assert found(activity=rich["object"]["id"]) == 1
    assert found(registration=registration) == 1
    assert found(registration=registration.upper()) == 1
    assert found(agent=agent, verb="http://adlnet.gov/expapi/verbs/answered", registration=registration) == 1
    assert found(agent=agent, verb="http://adlnet.gov/expapi/verbs/experienced") == 0
    assert found(agent=orjson.dumps(teacher).decode()) == 0
    assert found(agent=orjson.dumps(teacher).decode(), related_agents="true") == 1
    assert found(activity=parent) == 0
    assert found(activity=parent, related_activities="true") == 1
    assert found(limit=2) == 2


def test_the_authority_is_found_among_related_agents(server: Server) -> None:
    tutor = server.source("related-authority")
    server.post(tutor, statement())
    authority = {"account": {"homePage": server.url, "name": "related-authority"}}
    assert len(stored(server, tutor, agent=orjson.dumps(authority).decode())) == 0
    assert len(stored(server, tutor, agent=orjson.dumps(authority).decode(), related_agents="true")) == 1


def test_since_until_and_order(server: Server) -> None:
    # xAPI-Communication 2.1.3: since exclusive, until inclusive, newest first unless ascending.
    tutor = server.source()
    server.post(tutor, [statement(result={"response": str(n)}) for n in range(5)])
    newest = stored(server, tutor)
    oldest = stored(server, tutor, ascending="true")
    assert newest == oldest[::-1]
    assert [one["result"]["response"] for one in oldest] == list("01234")
    between = stored(server, tutor, since=oldest[1]["stored"], until=oldest[3]["stored"], ascending="true")
    assert between == oldest[2:4]


@pytest.mark.parametrize("ascending", ["true", "false"])
def test_more_visits_each_statement_once(server: Server, ascending: str) -> None:
    tutor = server.source()
    ids = server.post(tutor, [statement() for _ in range(95)]).json()
    seen: list[str] = []
    answer = server.get(tutor, limit=20, ascending=ascending).json()
    pages = 1
    while True:
        seen += [one["id"] for one in answer["statements"]]
        if not answer["more"]:
            break
        answer = server.send("GET", answer["more"], tutor).json()
        pages += 1
    assert pages == 5
    assert seen == (ids if ascending == "true" else ids[::-1])


def test_a_cursor_holds_no_personal_data_and_serves_its_owner_only(server: Server) -> None:
    tutor, other = server.source(), server.source()
    agent = {"mbox": "mailto:lea.martin@ent.example"}
    server.post(tutor, [statement(actor=agent) for _ in range(3)])
    more = server.get(tutor, agent=orjson.dumps(agent).decode(), limit=1).json()["more"]
    cursor = parse_qs(urlsplit(more).query)["cursor"][0]
    assert "lea" not in more
    assert server.send("GET", more, other).json()["code"] == "bad-cursor"
    altered = ("B" if cursor[20] == "A" else "A").join((cursor[:20], cursor[21:]))
    for bad in ("", "x", cursor[:-4], altered, cursor + "é"):
        answer = server.get(tutor, cursor=bad)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-cursor")


def test_voiding(server: Server) -> None:
    # xAPI-Data 2.3.2, xAPI-Communication 2.1.3
    tutor = server.source()
    (target,) = server.post(tutor, statement()).json()
    void = statement(verb={"id": VOIDED}, object={"objectType": "StatementRef", "id": target})
    (by,) = server.post(tutor, void).json()
    assert server.get(tutor, statementId=target).status_code == 404
    assert server.get(tutor, voidedStatementId=target).json()["id"] == target
    assert [one["id"] for one in stored(server, tutor)] == [by]
    again = statement(verb={"id": VOIDED}, object={"objectType": "StatementRef", "id": by})
    server.post(tutor, again)
    assert server.get(tutor, statementId=by).status_code == 200


def test_voiding_another_sources_statement_is_refused_unless_the_scope_is_all(server: Server) -> None:
    (target,) = server.post(server.source(), statement()).json()
    void = statement(verb={"id": VOIDED}, object={"objectType": "StatementRef", "id": target})
    answer = server.post(server.source(), void)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")
    assert server.post(server.source(scopes=[scopes.ALL]), void).status_code == 200


def test_formats(server: Server) -> None:
    # xAPI-Communication 2.1.3
    tutor = server.source()
    rich = statement(
        actor={"objectType": "Agent", "name": "Ada", "mbox": "mailto:ada@ent.example"},
        object={
            "id": "https://ent.example/lessons/2",
            "definition": {"name": {"fr": "Leçon", "en": "Lesson"}, "description": {"en": "A lesson"}},
        },
    )
    (id,) = server.post(tutor, rich).json()
    ids = server.get(tutor, statementId=id, format="ids").json()
    assert ids["actor"] == {"objectType": "Agent", "mbox": "mailto:ada@ent.example"}
    assert "definition" not in ids["object"]
    canonical = server.send(
        "GET",
        "/xAPI/statements",
        tutor,
        params={"statementId": id, "format": "canonical"},
        headers={"Accept-Language": "fr"},
    ).json()
    assert canonical["object"]["definition"]["name"] == {"fr": "Leçon"}
    assert server.get(tutor, statementId=id, format="exact").json()["object"] == rich["object"]


def test_a_source_reads_its_own_statements_and_a_wider_scope_all(server: Server) -> None:
    one, other = server.source(), server.source()
    (id,) = server.post(one, statement()).json()
    assert stored(server, other) == []
    assert server.get(other, statementId=id).status_code == 404
    reader = server.credential(scopes.READ)
    assert server.get(reader, statementId=id).status_code == 200


def test_consistent_through_on_every_answer_and_never_too_late(server: Server) -> None:
    tutor = server.source()
    header = "X-Experience-API-Consistent-Through"
    (id,) = server.post(tutor, statement()).json()
    at = server.get(tutor, statementId=id).json()["stored"]
    limit = time.monotonic() + 5
    while server.get(tutor).headers[header] <= at:
        assert time.monotonic() < limit
        time.sleep(0.02)
    for answer in (server.get(None), server.get(tutor, wrong="1"), server.get(tutor, statementId=str(uuid4()))):
        assert answer.status_code >= 400
        assert header in answer.headers


def test_a_poller_sees_each_statement_exactly_once(server: Server) -> None:
    """One that follows ``since`` up to Consistent-Through misses nothing while several writers write."""
    tutor = server.source()
    sent: list[str] = []
    done = threading.Event()

    def write() -> None:
        for _ in range(15):
            sent.extend(server.post(tutor, [statement() for _ in range(7)]).json())

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    threading.Thread(target=lambda: ([w.join() for w in writers], done.set())).start()
    seen: list[str] = []
    since = "2020-01-01T00:00:00Z"
    quiet = 0
    while quiet < 3:
        finished = done.is_set()
        answer = server.get(tutor, since=since, ascending="true")
        until = answer.headers["X-Experience-API-Consistent-Through"]
        page = answer.json()
        new: list[dict[str, Any]] = []
        while True:
            new += page["statements"]
            if not page["more"]:
                break
            page = server.send("GET", page["more"], tutor).json()
        taken = [one for one in new if one["stored"] < until]
        seen += [one["id"] for one in taken]
        if taken:
            since = taken[-1]["stored"]
        quiet = quiet + 1 if finished and len(seen) >= len(sent) else 0
        time.sleep(0.02)
    assert sorted(seen) == sorted(sent)


def test_profiles_in_each_mode(server: Server) -> None:
    profile = server.container.traces.profiles.add(PROFILE).id
    good = statement(result={"success": True})
    bad = statement(result={"completion": True})
    other = statement(verb={"id": "https://ent.example/verbs/waved"})
    observer = server.source(profiles=[profile])
    answer = server.post(observer, [good, bad, other])
    assert answer.status_code == 200
    assert "X-Sillage-Profile-Verdict" not in answer.headers
    warned = server.source(profiles=[profile], mode="warn")
    answer = server.post(warned, [good, bad, other])
    assert answer.headers["X-Sillage-Profile-Verdict"] == "conforms=1, fails=1, unmatched=1"
    strict = server.source("strict-source", profiles=[profile], mode="reject")
    answer = server.post(strict, [good, bad])
    assert (answer.status_code, answer.json()["code"]) == (400, "profile-rejected")
    fault = answer.json()["faults"][0]
    assert fault["pointer"].startswith("/1")
    assert fault["section"] == "https://test.example/profile/templates#experienced"
    assert stored(server, strict) == []
    assert server.post(strict, [good, other]).status_code == 200
    counts = {}
    limit = time.monotonic() + 5
    while sum(counts.values()) < 4 and time.monotonic() < limit:
        counts = {
            (c.template, c.outcome): c.statements for c in server.container.traces.profiles.counts("strict-source")
        }
        time.sleep(0.05)
    assert counts[("", "rejected")] == 2
    assert counts[("", "conforms")] == 1
    assert counts[("", "unmatched")] == 1
    assert counts[("https://test.example/profile/templates#experienced", "conforms")] == 1


PROFILE = orjson.dumps(
    {
        "@context": "https://w3id.org/xapi/profiles/context",
        "id": "https://test.example/profile",
        "type": "Profile",
        "conformsTo": "https://w3id.org/xapi/profiles#1.0",
        "prefLabel": {"en": "Test"},
        "definition": {"en": "A profile for tests."},
        "author": {"type": "Organization", "name": "Sillage"},
        "versions": [{"id": "https://test.example/profile/v1", "generatedAtTime": "2026-11-22T00:00:00Z"}],
        "templates": [
            {
                "id": "https://test.example/profile/templates#experienced",
                "type": "StatementTemplate",
                "inScheme": "https://test.example/profile/v1",
                "prefLabel": {"en": "experienced"},
                "definition": {"en": "Something was experienced."},
                "verb": "http://adlnet.gov/expapi/verbs/experienced",
                "rules": [{"location": "$.result.success", "presence": "included"}],
            }
        ],
    }
)


@pytest.mark.parametrize("version", ["1.0.3", "2.0.0"])
@pytest.mark.parametrize("first", ["target", "reference"])
def test_what_finds_a_statement_finds_those_that_refer_to_it(server: Server, version: str, first: str) -> None:
    # xAPI-Communication 2.1.3, filter conditions for StatementRefs
    tutor = server.source()
    place = f"https://ent.example/lessons/{uuid4()}"
    target = statement(id=str(uuid4()), object={"id": place})
    comment = statement(id=str(uuid4()), object={"objectType": "StatementRef", "id": target["id"]})
    voiding = statement(
        id=str(uuid4()), verb={"id": VOIDED}, object={"objectType": "StatementRef", "id": comment["id"]}
    )
    for each in (target, comment) if first == "target" else (comment, target):
        assert server.post(tutor, each, version=version).status_code == 200
    assert {each["id"] for each in stored(server, tutor, activity=place)} == {target["id"], comment["id"]}
    assert server.post(tutor, voiding, version=version).status_code == 200
    newest = stored(server, tutor, activity=place, limit=1)
    assert [each["id"] for each in newest] == [voiding["id"]]
    assert {each["id"] for each in stored(server, tutor, activity=place)} == {target["id"], voiding["id"]}


def test_what_many_refer_to_before_it_comes_is_stored_and_found_through_them(server: Server) -> None:
    source = server.source(scopes=[scopes.WRITE, scopes.READ_MINE])
    target, registration = str(uuid4()), str(uuid4())
    reference = {"objectType": "StatementRef", "id": target}
    waiting = [statement(object=reference) for _ in range(LINKED_AT_ONCE + 200)]
    assert server.post(source, waiting).status_code == 200
    assert server.post(source, statement(id=target, context={"registration": registration})).status_code == 200
    assert server.post(source, statement(object=reference)).status_code == 200

    assert len(stored(server, source, registration=registration)) == 2
    limit = time.monotonic() + 30
    store = server.container.platform.store
    while store.collection(LINKING).count_documents({}):
        assert time.monotonic() < limit
        time.sleep(0.5)
    assert store.collection(NAME).count_documents({"refs.i": UUID(target)}) == LINKED_AT_ONCE + 201
    assert len(stored(server, source, registration=registration, limit=500)) == 500
