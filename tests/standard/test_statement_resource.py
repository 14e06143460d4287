"""The requirements of the standard on the Statement resource, over real HTTP and two workers, for both versions."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import orjson
import pytest

from tests.served import statement
from tests.standard.client import Client, an_activity, an_agent, an_id, said
from tests.standard.requirement import V2, requirement

VOIDED = {"id": "http://adlnet.gov/expapi/verbs/voided"}
CONSISTENT_THROUGH = "X-Experience-API-Consistent-Through"
FILTERS = {
    "agent": said({"mbox": "mailto:nobody@ent.example"}),
    "verb": "https://ent.example/v",
    "activity": "https://ent.example/nothing",
    "registration": "00000000-0000-4000-8000-000000000001",
    "related_activities": "true",
    "related_agents": "true",
    "since": "2026-01-01T00:00:00Z",
    "until": "2026-01-01T00:00:00Z",
    "limit": "1",
    "ascending": "true",
    "format": "ids",
    "attachments": "false",
}


def ref(id: str) -> dict[str, str]:
    return {"objectType": "StatementRef", "id": id}


def about(activity: str, **changes: Any) -> dict[str, Any]:
    return statement(id=an_id(), object={"id": activity}, **changes)


def voiding(id: str) -> dict[str, Any]:
    return statement(id=an_id(), verb=VOIDED, object=ref(id))


# --- PUT and POST -----------------------------------------------------------------------------------


@requirement("Communication 2.1.1", "PUT stores a statement under the id of its parameter: 204", [139, 140, 143, 144])
def test_put(ask: Client) -> None:
    id = an_id()
    assert ask.put(statement(), id).status_code == 204
    assert ask.one(id)["id"] == id


@requirement("Communication 2.1.1", "PUT without statementId: 400", [145])
def test_put_without_id(ask: Client) -> None:
    assert ask("PUT", json=statement(id=an_id())).status_code == 400


@requirement("Communication 2.1.1", "PUT whose statement has another id than its parameter: 400")
def test_put_with_two_ids(ask: Client) -> None:
    assert ask.put(statement(id=an_id()), an_id()).status_code == 400


@requirement("Communication 2.1.1", "PUT of a statement that is there, unchanged: 204; POST of it: 200")
def test_again(ask: Client) -> None:
    sent = statement(id=an_id(), timestamp="2026-01-01T00:00:00.000Z")
    assert ask.put(sent, sent["id"]).status_code == ask.put(sent, sent["id"]).status_code == 204
    assert ask.store(sent) == [sent["id"]]


@requirement(
    "Communication 2.1.1", "A different statement under an id that is taken: 409, and nothing changes", [142, 182]
)
def test_conflict(ask: Client) -> None:
    kept = statement(id=an_id())
    ask.store(kept)
    stored = ask.one(kept["id"])
    other = {**kept, "object": {"id": "https://ent.example/other"}}
    assert ask("POST", json=other).status_code == 409
    assert ask.put(other, kept["id"]).status_code == 409
    assert ask.one(kept["id"]) == stored


@requirement(
    "Communication 2.1.2",
    "POST takes a statement or an array of them and gives their ids, in order: 200",
    [139, 146, 147],
)
def test_post(ask: Client) -> None:
    ids = [an_id() for _ in range(5)]
    assert ask.store(*[statement(id=each) for each in ids]) == ids
    answer = ask("POST", json=statement(id=(alone := an_id())))
    assert (answer.status_code, answer.json()) == (200, [alone])


@requirement(
    "Communication 3.2", "A batch with one statement that is refused is refused whole, and changes nothing", [182, 326]
)
def test_batch_is_whole(ask: Client) -> None:
    good = statement(id=an_id())
    assert ask("POST", json=[good, {**statement(), "verb": {}}]).status_code == 400
    assert ask("GET", params={"statementId": good["id"]}).status_code == 404


@requirement("", "A batch in which an id is used twice: 400, and nothing is stored", versions=V2, ieee="4.1.6.1")
def test_batch_with_an_id_twice(ask: Client) -> None:
    twice = statement(id=an_id())
    assert ask("POST", json=[twice, twice]).status_code == 400
    assert ask("GET", params={"statementId": twice["id"]}).status_code == 404


# --- what the store does to a statement -------------------------------------------------------------


@requirement("Data 2.4.1", "A statement without id gets one, a UUID", [26])
def test_id_is_made(ask: Client) -> None:
    (id,) = ask.store(statement())
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", id)
    assert ask.one(id)["id"] == id


@requirement("Data 2.4.8", "The store sets stored, a time, whatever was sent", [23, 97])
def test_stored_is_set(ask: Client) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    sent = [statement(), statement(stored="2013-05-18T05:32:34.804Z")]
    by_put = an_id()
    assert ask.put(sent[1], by_put).status_code == 204
    for id in (*ask.store(*sent), by_put):
        assert before < datetime.fromisoformat(ask.one(id)["stored"]) <= datetime.now(UTC) + timedelta(seconds=1)


@requirement("Data 2.4.7", "A statement without timestamp gets the value of stored")
def test_timestamp_is_stored(ask: Client) -> None:
    (id,) = ask.store(statement())
    kept = ask.one(id)
    assert kept["timestamp"] == kept["stored"]


@requirement("Data 2.4.7", "A timestamp in the future is accepted and kept")
def test_timestamp_in_the_future(ask: Client) -> None:
    later = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    (id,) = ask.store(statement(timestamp=later))
    assert datetime.fromisoformat(ask.one(id)["timestamp"]) == datetime.fromisoformat(later)


@requirement("Data 4.5", "Times keep milliseconds or better", [122])
def test_precision_of_times(ask: Client) -> None:
    (id,) = ask.store(statement(timestamp="2026-01-01T00:00:00.123456+02:00"))
    kept = datetime.fromisoformat(ask.one(id)["timestamp"])
    assert kept.microsecond // 1000 == 123
    assert kept.replace(microsecond=0) == datetime(2025, 12, 31, 22, tzinfo=UTC)


@requirement("", "Times are given in UTC", versions=V2, ieee="4.2.7")
def test_times_in_utc(ask: Client) -> None:
    (id,) = ask.store(statement(timestamp="2026-01-01T00:00:00.123+02:00"))
    assert ask.one(id)["timestamp"].startswith("2025-12-31T22:00:00.123")
    assert ask.one(id)["timestamp"].endswith("Z")


@requirement("Data 2.4.9", "The store sets an authority, whatever was sent", [99])
def test_authority_is_set(ask: Client) -> None:
    sent = {"mbox": "mailto:somebody@ent.example"}
    authorities = [ask.one(each)["authority"] for each in ask.store(statement(), statement(authority=sent))]
    assert authorities[0] == authorities[1]
    assert authorities[0]["objectType"] == "Agent" and "mbox" not in authorities[0]


@requirement("Data 2.4.10", "A statement keeps the version it came with, one before 1.0.1 too", [330, 332])
def test_version_is_kept(ask: Client) -> None:
    for version in ("1.0", "1.0.0", "1.0.3"):
        (id,) = ask.store(statement(version=version))
        assert ask.one(id)["version"] == version


@requirement("Data 2.4.10", "A statement without version gets 1.0.0, in 2.0 2.0.0")
def test_version_is_set(ask: Client, version: str) -> None:
    (id,) = ask.store(statement())
    assert ask.one(id)["version"] == {"1.0.3": "1.0.0", "2.0.0": "2.0.0"}[version]


@requirement("Data 2.4.6.2", "contextActivities are given back as arrays, in a SubStatement too", [96])
def test_context_activities_are_arrays(ask: Client) -> None:
    given = {kind: {"id": an_activity()} for kind in ("parent", "grouping", "category", "other")}
    inner = statement(context={"contextActivities": given})
    whole, around = ask.store(inner, statement(object={**inner, "objectType": "SubStatement"}))
    for context in (ask.one(whole)["context"], ask.one(around)["object"]["context"]):
        for kind, activity in given.items():
            (kept,) = context["contextActivities"][kind]
            assert kept["id"] == activity["id"]


@requirement("Data 2.2", "Numbers keep the precision of 32-bit floating point or better", [2])
def test_precision_of_numbers(ask: Client) -> None:
    score = {"scaled": 0.1234567, "raw": 1.1754944e-38, "max": 3.4028235e38}
    (id,) = ask.store(statement(result={"score": score, "extensions": {"https://ent.example/e": 16777217}}))
    kept = ask.one(id)["result"]
    assert (kept["score"], kept["extensions"]) == (score, {"https://ent.example/e": 16777217})


@requirement(
    "Data 2.2", "What was sent is given back as it was, text and empty values in extensions included", [15, 119, 170]
)
def test_content_is_kept(ask: Client) -> None:
    extensions = {"https://ent.example/e": [None, "", {}, [], {"": None}], "https://ent.example/é": "😀 " * 3}
    sent = statement(
        id=an_id(),
        actor={"objectType": "Agent", "name": "Zoé \u202eΩ", "mbox": "mailto:zoe@ent.example"},
        verb={"id": "https://ent.example/vérifié", "display": {"fr": "a vérifié", "en": "checked"}},
        result={"extensions": extensions, "response": "l'été\n\t\"\\"},
        context={"extensions": {}},
    )
    ask.store(sent)
    kept = ask.one(sent["id"], format="exact")
    assert {name: kept[name] for name in sent} == sent


@requirement("Data 2.3.1", "A statement that differs only in what the store sets, or in form, is the same statement")
def test_same_statement(ask: Client) -> None:
    sent = statement(
        id=an_id(),
        timestamp="2026-01-01T00:00:00Z",
        context={"contextActivities": {"parent": {"id": "https://ent.example/p"}}},
    )
    ask.store(sent)
    kept = ask.one(sent["id"])
    assert ask("POST", json=kept).status_code == 200
    same = {**kept, "stored": "2020-01-01T00:00:00Z", "authority": an_agent(), "id": kept["id"].upper()}
    assert ask("POST", json={**same, "timestamp": "2026-01-01T01:00:00+01:00"}).status_code == 200
    assert ask.one(sent["id"]) == kept
    assert ask("POST", json={**same, "timestamp": "2026-01-01T00:00:01Z"}).status_code == 409


@requirement("Data 4.6", "Durations finer than 0.01 s are accepted, and compared to 0.01 s")
def test_durations_are_compared(ask: Client) -> None:
    sent = statement(id=an_id(), timestamp="2026-01-01T00:00:00Z", result={"duration": "PT1.235678S"})
    ask.store(sent)
    assert ask.one(sent["id"])["result"]["duration"].startswith("PT1.23")
    assert ask("POST", json={**sent, "result": {"duration": "PT1.2399S"}}).status_code == 200
    assert ask("POST", json={**sent, "result": {"duration": "PT1.24S"}}).status_code == 409


@requirement("Data 4.3", "IRIs are compared letter by letter, or so that equivalent ones are equal; no further")
def test_iris_are_compared(ask: Client) -> None:
    activity = an_activity()
    (lower, upper) = ask.store(about(activity + "/a"), about(activity + "/A"))
    assert ask.ids(activity=activity + "/a") == [lower]
    assert ask.ids(activity=activity + "/A") == [upper]
    assert ask.ids(activity=activity + "/%61") in ([], [lower])


@requirement("Data 2.2", "A body that is no well-formed JSON: 400", [14])
def test_malformed_json(ask: Client) -> None:
    for body in (b"{", b"", b"[{]", orjson.dumps(statement())[:-1], b"'a'", orjson.dumps(statement()) + b"x"):
        assert ask("POST", data=body, headers={"Content-Type": "application/json"}).status_code == 400


@requirement("Data 2.4", "A body with a key given twice in one object: 400", [21], ieee="4.2.2")
def test_key_twice(ask: Client) -> None:
    body = orjson.dumps(statement())
    for twice in (b'{"actor":{"mbox":"mailto:a@b.fr"},' + body[1:], body.replace(b'"id":', b'"id":"x:y","id":', 1)):
        assert ask("POST", data=twice).status_code == 400


# --- GET: one statement -----------------------------------------------------------------------------


@requirement(
    "Communication 2.1.3",
    "statementId gives that statement alone: 200; one that is not there: 404",
    [139, 156, 158, 159],
)
def test_one_statement(ask: Client) -> None:
    (id, _) = ask.store(statement(), statement())
    answer = ask("GET", params={"statementId": id})
    assert (answer.status_code, answer.json()["id"]) == (200, id)
    assert "statements" not in answer.json()
    assert ask("GET", params={"statementId": an_id()}).status_code == 404


@requirement("Communication 2.1.3", "GET of one statement has Last-Modified, which is its stored to the second")
def test_last_modified(ask: Client) -> None:
    (id,) = ask.store(statement())
    answer = ask("GET", params={"statementId": id})
    stored = datetime.fromisoformat(answer.json()["stored"])
    assert parsedate_to_datetime(answer.headers["Last-Modified"]) == stored.replace(microsecond=0)


@pytest.mark.parametrize("name", ["statementId", "voidedStatementId"])
@requirement(
    "Communication 2.1.3",
    "statementId or voidedStatementId beside anything but attachments and format: 400",
    [150, 151],
)
def test_ids_exclude(ask: Client, name: str) -> None:
    (id, *_) = ask.store(statement(id=(other := an_id())), voiding(other))
    if name == "statementId":
        (id,) = ask.store(statement())
    for beside, value in FILTERS.items():
        allowed = beside in ("format", "attachments")
        status = ask("GET", params={name: id, beside: value}).status_code
        assert status == (200 if allowed else 400), beside
    assert ask("GET", params={"statementId": id, "voidedStatementId": id}).status_code == 400


# --- GET: many --------------------------------------------------------------------------------------


@requirement(
    "Communication 2.1.3", "GET without an id gives a StatementResult: an array, and more", [110, 113, 154, 165]
)
def test_statement_result(ask: Client) -> None:
    ask.store(about(activity := an_activity()))
    answer = ask("GET", params={"activity": activity})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert [type(each) for each in answer.json()["statements"]] == [dict]
    assert set(answer.json()) <= {"statements", "more"}


@pytest.mark.parametrize("name", FILTERS)
@requirement("Communication 2.1.3", "Each parameter is taken, alone: 200", [154, 164])
def test_each_parameter(ask: Client, name: str) -> None:
    answer = ask("GET", params={name: FILTERS[name]})
    assert answer.status_code == 200
    assert isinstance(answer.json()["statements"], list)


@requirement("Communication 2.1.3", "Nothing found is an empty array: 200", [112, 149])
def test_nothing_found(ask: Client) -> None:
    answer = ask("GET", params={"activity": an_activity()})
    assert (answer.status_code, answer.json()["statements"]) == (200, [])


@requirement(
    "Communication 2.1.3", "agent finds by identifier, with whatever name, as actor or object; Groups too", [164, 181]
)
def test_agent(ask: Client) -> None:
    agent, group = an_agent(), {**an_agent(), "objectType": "Group"}
    by, to, group_by, _ = ask.store(
        statement(actor={**agent, "name": "Ada"}),
        statement(object=agent),
        statement(actor={**group, "member": [an_agent()]}),
        statement(),
    )
    assert ask.ids(agent=said({**agent, "name": "Zoé"})) == [to, by]
    assert ask.ids(agent=said(group)) == [group_by]


@requirement(
    "Communication 2.1.3",
    "verb, activity and registration are matched exactly; all filters given must be met",
    [164, 178, 179, 180],
)
def test_filters(ask: Client) -> None:
    activity, registration, verb = an_activity(), an_id(), f"{an_activity()}/verb"
    all_of_them = about(activity, verb={"id": verb}, context={"registration": registration})
    ask.store(
        all_of_them, about(activity), statement(verb={"id": verb}), statement(context={"registration": registration})
    )
    for each in ({"activity": activity}, {"verb": verb}, {"registration": registration.upper()}):
        assert len(ask.found(**each)) == 2
    assert ask.ids(activity=activity, verb=verb, registration=registration) == [all_of_them["id"]]
    assert ask.found(activity=activity, verb=verb + "/x") == []
    assert ask.found(verb=verb[:-1]) == ask.found(activity=activity[:-1]) == []


@requirement("Communication 2.1.3", "related_activities looks into contextActivities and SubStatements too", [177])
def test_related_activities(ask: Client) -> None:
    activity = an_activity()
    in_context = [
        statement(context={"contextActivities": {kind: [{"id": activity}]}})
        for kind in ("parent", "grouping", "category", "other")
    ]
    ids = ask.store(
        *in_context,
        statement(object={**statement(object={"id": activity}), "objectType": "SubStatement"}),
        statement(object={**in_context[0], "objectType": "SubStatement"}),
    )
    assert ask.found(activity=activity) == ask.found(activity=activity, related_activities="false") == []
    assert ask.ids(activity=activity, related_activities="true", ascending="true") == ids


@requirement(
    "Communication 2.1.3", "related_agents looks for instructor, team, members, authority, SubStatements too", [176]
)
def test_related_agents(ask: Client) -> None:
    agent = an_agent()
    group = {"objectType": "Group", "member": [agent]}
    ids = ask.store(
        statement(context={"instructor": agent}),
        statement(context={"team": {**agent, "objectType": "Group"}}),
        statement(actor=group),
        statement(context={"team": group}),
        statement(object={**statement(actor=agent), "objectType": "SubStatement"}),
        statement(object={**statement(object=agent), "objectType": "SubStatement"}),
        statement(object={**statement(context={"instructor": agent}), "objectType": "SubStatement"}),
    )
    assert ask.found(agent=said(agent), related_agents="false") in ([], ask.found(agent=said(agent)))
    found = ask.ids(agent=said(agent), related_agents="true", ascending="true")
    # A team that is that Group is found under the Group's own identifier, which is the same here.
    assert found == ids
    authority = ask.one(ids[0])["authority"]
    assert set(ids) <= set(ask.ids(agent=said(authority), related_agents="true", limit=len(ids) + 100))


@requirement("", "related_agents looks into contextAgents and contextGroups too", versions=V2, ieee="4.2.2.5")
def test_related_context_agents(ask: Client) -> None:
    agent = an_agent()
    group = {"objectType": "Group", "member": [agent]}
    ids = ask.store(
        statement(context={"contextAgents": [{"objectType": "contextAgent", "agent": agent}]}),
        statement(context={"contextGroups": [{"objectType": "contextGroup", "group": group}]}),
    )
    assert ask.found(agent=said(agent)) == []
    assert ask.ids(agent=said(agent), related_agents="true", ascending="true") == ids


@requirement("Communication 2.1.3", "The latest stored comes first; with ascending, the oldest", [166])
def test_order(ask: Client) -> None:
    activity = an_activity()
    ids = ask.store(*[about(activity) for _ in range(4)])
    assert ask.ids(activity=activity) == ask.ids(activity=activity, ascending="false") == ids[::-1]
    assert ask.ids(activity=activity, ascending="true") == ids


@requirement("Communication 2.1.3", "since is exclusive, until inclusive, on stored", [174, 175])
def test_bounds(ask: Client) -> None:
    activity = an_activity()
    ask.store(*[about(activity) for _ in range(3)])
    oldest, middle, latest = ask.found(activity=activity, ascending="true")
    assert ask.ids(activity=activity, since=middle["stored"]) == [latest["id"]]
    assert ask.ids(activity=activity, until=middle["stored"]) == [middle["id"], oldest["id"]]


@requirement("Communication 2.1.3", "limit bounds what is given; 0, or none, is the most that the server gives", [173])
def test_limit(ask: Client) -> None:
    activity = an_activity()
    ids = ask.store(*[about(activity) for _ in range(5)])
    assert ask.ids(activity=activity, limit=2) == ids[:2:-1]
    assert ask.ids(activity=activity, limit=0) == ask.ids(activity=activity) == ids[::-1]
    for wrong in ("-1", "two", "1.5", ""):
        assert ask("GET", params={"limit": wrong}).status_code == 400


@requirement(
    "Data 2.5",
    "more leads on, page by page in one form, to each statement once; on the last page it is empty or absent",
    [108, 109, 111, 113, 114],
)
def test_more(ask: Client) -> None:
    activity = an_activity()
    ids = ask.store(*[about(activity) for _ in range(7)])
    page = ask("GET", params={"activity": activity, "limit": 3, "ascending": "true"}).json()
    pages = [page]
    while page.get("more"):
        assert page["more"].startswith("/")
        answer = ask("GET", page["more"])
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
        page = answer.json()
        assert set(page) <= {"statements", "more"}
        pages.append(page)
    assert [[each["id"] for each in page["statements"]] for page in pages] == [ids[:3], ids[3:6], ids[6:]]
    assert pages[-1].get("more", "") == ""


@requirement(
    "Communication 2.1.3", "A statement that refers to one that meets the filter is found, and one that refers to that"
)
def test_references(ask: Client) -> None:
    activity = an_activity()
    target = about(activity)
    refers = statement(id=an_id(), object=ref(target["id"]))
    refers_to_that = statement(id=an_id(), object=ref(refers["id"]))
    ask.store(refers_to_that, refers)
    assert ask.ids(activity=activity) == []
    ask.store(target)
    assert set(ask.ids(activity=activity)) == {target["id"], refers["id"], refers_to_that["id"]}


@requirement("Communication 2.1.3", "A StatementRef in a context does not make its statement found")
def test_references_in_context(ask: Client) -> None:
    target = about(activity := an_activity())
    ask.store(target, statement(context={"statement": ref(target["id"])}))
    assert ask.ids(activity=activity) == [target["id"]]


@requirement("Communication 2.1.3", "Parameters are held to the forms of the same things in statements: 400", [7, 12])
def test_bad_values(ask: Client) -> None:
    wrong = {
        "statementId": ("1", "{" + an_id() + "}"),
        "voidedStatementId": ("1",),
        "agent": ("ada", said({}), said({"mbox": "ada"}), said({**an_agent(), "mbox": "mailto:a@b.fr"})),
        "verb": ("read",),
        "activity": ("lessons/1", ""),
        "registration": ("1", ""),
        "since": ("yesterday", "2026-13-01T00:00:00Z", ""),
        "until": ("tomorrow", "2026-11-22"),
        "related_activities": ("yes",),
        "related_agents": ("1",),
        "ascending": ("TRUE",),
        "attachments": ("no",),
        "format": ("all", "Exact"),
    }
    for name, values in wrong.items():
        for value in values:
            assert ask("GET", params={name: value}).status_code == 400, (name, value)


# --- formats ----------------------------------------------------------------------------------------


@requirement("Communication 2.1.3", "format is exact when not said, and exact gives what was sent", [168, 170])
def test_exact(ask: Client) -> None:
    activity = {"id": an_activity(), "definition": {"name": {"fr": "Leçon", "en": "Lesson"}}}
    sent = statement(object=activity, actor={**an_agent(), "name": "Ada"}, verb={"id": "x:v", "display": {"fr": "v"}})
    ask.store(sent, statement(object={**activity, "definition": {"name": {"es": "Lección"}}}))
    found = ask.found(activity=activity["id"], ascending="true")
    assert found == ask.found(activity=activity["id"], ascending="true", format="exact")
    assert all(found[0][name] == sent[name] for name in sent)


@requirement(
    "Communication 2.1.3", "format=ids keeps of agents, activities, verbs and members only what identifies them", [171]
)
def test_ids(ask: Client) -> None:
    activity = {"id": an_activity(), "definition": {"name": {"fr": "Leçon"}}}
    agent = an_agent()
    group = {"objectType": "Group", "name": "6e A", "member": [{**agent, "name": "Ada"}]}
    verb = {"id": "https://ent.example/v", "display": {"fr": "v"}}
    ask.store(statement(object=activity, actor=group, verb=verb, context={"instructor": {**agent, "name": "Ada"}}))
    (found,) = ask.found(activity=activity["id"], format="ids")
    assert found["object"] == {"id": activity["id"]}
    assert found["verb"] == {"id": verb["id"]}
    assert found["context"]["instructor"] == agent
    assert found["actor"] == {"objectType": "Group", "member": [agent]}


@requirement(
    "Communication 2.1.3",
    "format=canonical gives the definition known to the store, with one language in each map",
    [169],
)
def test_canonical(ask: Client) -> None:
    activity = an_activity()
    ask.store(
        statement(object={"id": activity, "definition": {"name": {"fr": "Leçon"}}}),
        statement(object={"id": activity, "definition": {"name": {"en": "Lesson"}, "description": {"en": "Long"}}}),
    )
    for found in ask.found(activity=activity, format="canonical"):
        definition = found["object"]["definition"]
        assert len(definition["name"]) == 1
        assert definition["description"] == {"en": "Long"}


@requirement(
    "Communication 2.1.3",
    "format=canonical chooses the language by Accept-Language, map by map; other formats do not",
    [172],
)
def test_languages(ask: Client) -> None:
    definition = {"name": {"fr": "Leçon", "en": "Lesson"}, "description": {"en": "A lesson"}}
    activity = {"id": an_activity(), "definition": definition}
    ask.store(statement(object=activity, verb={"id": "x:v", "display": {"fr": "a lu", "en": "read"}}))
    for language, name in (("fr", "fr"), ("en-GB, en;q=0.9", "en"), ("en;q=0.5, fr", "fr")):
        params = {"activity": activity["id"], "format": "canonical"}
        (found,) = ask("GET", params=params, headers={"Accept-Language": language}).json()["statements"]
        assert found["object"]["definition"]["name"] == {name: definition["name"][name]}
        assert found["object"]["definition"]["description"] == {"en": "A lesson"}
        assert list(found["verb"]["display"]) == [name]
    exact = ask("GET", params={"activity": activity["id"]}, headers={"Accept-Language": "fr"}).json()["statements"]
    assert exact[0]["object"]["definition"] == definition


# --- Consistent-Through -----------------------------------------------------------------------------


@requirement(
    "Communication 2.1.3",
    "Every answer has X-Experience-API-Consistent-Through, a time; errors and writes too",
    [153, 160],
)
def test_consistent_through(ask: Client) -> None:
    (id,) = ask.store(statement())
    asked = [
        *[({name: value}, 200) for name, value in FILTERS.items()],
        ({"statementId": id}, 200),
        ({"statementId": an_id()}, 404),
        ({"foo": "bar"}, 400),
        ({}, 200),
    ]
    answers = [(ask("GET", params=params), status) for params, status in asked]
    answers += [(ask("GET", version=None), 400), (ask("POST", json={}), 400), (ask("POST", json=statement()), 200)]
    for answer, status in answers:
        assert answer.status_code == status
        at = datetime.fromisoformat(answer.headers[CONSISTENT_THROUGH])
        assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)


# --- voiding ----------------------------------------------------------------------------------------


@requirement(
    "Data 2.3.2",
    "A voided statement is given for voidedStatementId, and no longer for statementId or by filters",
    [18, 155, 157, 163],
)
def test_voided(ask: Client) -> None:
    target = about(activity := an_activity())
    ask.store(target)
    assert ask("GET", params={"voidedStatementId": target["id"]}).status_code == 404
    void = voiding(target["id"])
    ask.store(void)
    assert ask("GET", params={"statementId": target["id"]}).status_code == 404
    answer = ask("GET", params={"voidedStatementId": target["id"]})
    assert (answer.status_code, answer.json()["id"]) == (200, target["id"])
    assert ask.ids(activity=activity) == [void["id"]]


@requirement(
    "Communication 2.1.4", "Statements that refer to a voided one are still found, within since, until and limit", [162]
)
def test_references_to_a_voided_statement(ask: Client) -> None:
    target = about(activity := an_activity())
    refers, void = statement(id=an_id(), object=ref(target["id"])), voiding(target["id"])
    ask.store(target, refers)
    ask.store(void)
    assert ask.ids(activity=activity) == [void["id"], refers["id"]]
    stored = ask.one(refers["id"])["stored"]
    assert ask.ids(activity=activity, since=stored) == [void["id"]]
    assert ask.ids(activity=activity, until=stored) == [refers["id"]]
    assert ask.ids(activity=activity, limit=1) == [void["id"]]


@requirement(
    "Data 2.3.2",
    "A voiding statement is not voided: the statement that would is taken or refused, and changes nothing",
    [16],
)
def test_voiding_statement_is_not_voided(ask: Client) -> None:
    target = statement(id=an_id())
    void = voiding(target["id"])
    ask.store(target, void)
    assert ask("POST", json=voiding(void["id"])).status_code in (200, 400)
    assert ask.one(void["id"])["id"] == void["id"]
    assert ask("GET", params={"voidedStatementId": void["id"]}).status_code == 404
    assert ask("GET", params={"statementId": target["id"]}).status_code == 404


@requirement("Data 2.3.2", "A statement may be voided twice; it stays voided")
def test_voided_twice(ask: Client) -> None:
    target = statement(id=an_id())
    ask.store(target)
    ask.store(voiding(target["id"]))
    ask.store(voiding(target["id"]))
    assert ask("GET", params={"voidedStatementId": target["id"]}).status_code == 200


@requirement(
    "Data 2.3.2",
    "A voiding statement is not refused for want of its target, which is voided when it comes",
    ieee="4.2.4.1",
)
def test_voiding_what_is_not_there(ask: Client) -> None:
    target = statement(id=an_id())
    ask.store(voiding(target["id"]))
    ask.store(target)
    assert ask("GET", params={"statementId": target["id"]}).status_code == 404
    assert ask("GET", params={"voidedStatementId": target["id"]}).status_code == 200
