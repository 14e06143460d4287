"""Checks of statements before they are sent: judged as on the way in, and nothing stored."""

from __future__ import annotations

import gzip
import time
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import orjson
import pytest
from flask import Flask

from app.access import scopes
from app.access.store import Source
from app.core import contracts
from app.core.errors import DatabaseUnavailable
from app.standards.profiles import terms
from app.standards.xapi.decode import MAX_VALUES
from app.standards.xapi.versions import Version
from app.traces.ingest.checking import MAX_KEPT
from app.traces.turns import Turns
from app.web import body as bodies
from app.web.api import check as check_api
from tests.commands.test_check import VALID, of
from tests.served import Server, statement


def check(server: Server, credential: Any, content: Any, **options: Any) -> dict[str, Any]:
    answer = server.send("POST", "/api/v1/check", credential, json=content, **options)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


@pytest.fixture(scope="module")
def profile(server: Server) -> str:
    return server.container.traces.profiles.add(contracts.folder("profiles", "p2ia.jsonld").read_bytes()).id


NAMED = {**VALID["p2ia-answered"], "actor": {"name": "Camille", "mbox": "mailto:camille@ent.example"}}
FAILING = {**VALID["p2ia-answered"], "result": {}}
INVALID = {**VALID["p2ia-answered"], "verb": {"id": "no iri"}}
WRONG_SCHOOL = {**VALID["p2ia-answered"], "context": {"extensions": {terms.SCHOOL: "0750001D"}}}


def anew(*statements: dict[str, Any]) -> list[dict[str, Any]]:
    """The same under ids that nothing has."""
    return [{**each, "id": str(uuid4())} for each in statements]


def test_a_batch_is_reported_whole(server: Server, profile: str) -> None:
    tutor = server.source(profiles=[profile], mode="warn")
    reported = check(server, tutor, anew(*of("attempted", "answered", "completed"), FAILING, statement(), INVALID))
    assert not reported["accepted"]
    assert reported["verdicts"] == {"conforms": 3, "fails": 1, "unmatched": 1, "invalid": 1}
    assert [each["pointer"] for each in reported["refusals"]] == ["/5/verb/id"]
    assert reported["sessions"][0]["outcome"] in ("success", "failure")
    faults = {(each["rule"], each["pointer"], each["first"]) for each in reported["faults"]}
    assert ("template-included", "/result/success", 4) in faults
    assert server.get(tutor).json()["statements"] == []


REPEATED = [VALID["p2ia-answered"], VALID["p2ia-answered"]]


@pytest.mark.parametrize(
    ("options", "content"),
    [
        ({"mode": "observe"}, FAILING),
        ({"mode": "reject"}, FAILING),
        ({"mode": "reject"}, [VALID["p2ia-answered"], statement(), FAILING]),
        ({"mode": "reject"}, WRONG_SCHOOL),
        ({"mode": "observe"}, WRONG_SCHOOL),
        ({"mode": "reject"}, of("attempted")),
        ({"mode": "reject", "minors": "refuse"}, NAMED),
        ({"mode": "reject", "minors": "strip"}, {**NAMED}),
        ({"mode": "reject", "minors": "off"}, NAMED),
        ({"mode": "reject"}, REPEATED),
        ({"mode": "reject"}, INVALID),
        ({"mode": "reject"}, statement()),
    ],
)
def test_it_says_what_the_way_in_does(server: Server, profile: str, options: dict[str, str], content: Any) -> None:
    tutor = server.source(profiles=[profile], **options)
    if content is not REPEATED:
        content = anew(*content) if type(content) is list else anew(content)[0]
    reported = check(server, tutor, content)
    done = server.post(tutor, content)
    assert reported["accepted"] is (done.status_code == 200), (reported, done.text)
    if done.status_code == 400:
        assert reported["refusals"] == done.json()["faults"]


def test_the_policy_about_minors_is_applied_before_the_verdict(server: Server, profile: str) -> None:
    def verdicts(minors: str) -> dict[str, int]:
        found: dict[str, int] = check(server, server.source(profiles=[profile], minors=minors), NAMED)["verdicts"]
        return found

    # The template refuses names and addresses: stripped, they are not there.
    assert verdicts("off") == {"fails": 1}
    assert verdicts("strip") == {"conforms": 1}


def test_nothing_is_counted_nor_audited(server: Server, profile: str) -> None:
    tutor = server.source("checking-only", profiles=[profile], minors="strip", patterns="live")
    check(server, tutor, NAMED)
    server.container.traces.profiles.flush()
    assert server.send("GET", "/api/v1/verdicts", tutor).json() == {
        "verdicts": [],
        "patterns": [],
        "breaks": [],
        "faults": [],
    }
    entries = server.container.platform.store.collection("audit").count_documents({"actor": "source:checking-only"})
    assert entries == 0


def test_what_is_not_even_statements_is_refused_as_on_the_way_in(server: Server) -> None:
    tutor = server.source()
    for body, code in ((b"{", "malformed-json"), (b"3", "invalid-statement"), (b'{"a":1,"a":2}', "duplicate-key")):
        answer = server.send("POST", "/api/v1/check", tutor, data=body)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
    plain = server.send("POST", "/api/v1/check", tutor, data=b"{}", headers={"Content-Type": "text/plain"})
    assert (plain.status_code, plain.json()["code"]) == (400, "unsupported-content-type")
    assert server.send("POST", "/api/v1/check", tutor, json=statement(), params={"x": "1"}).status_code == 400


def test_the_version_is_that_of_the_header_and_1_0_3_without(server: Server) -> None:
    tutor = server.source()
    two = statement(
        context={"contextAgents": [{"objectType": "contextAgent", "agent": {"mbox": "mailto:a@b.example"}}]}
    )
    assert check(server, tutor, two, version="2.0.0")["accepted"]
    assert not check(server, tutor, two, version=None)["accepted"]


def test_people_have_nothing_checked(server: Server) -> None:
    answer = server.send("POST", "/api/v1/check", server.credential(scopes.WRITE), json=statement())
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")


# --- what it costs ----------------------------------------------------------------------------------


def registered(server: Server, **options: Any) -> Source:
    name = f"source-{uuid4().hex[:8]}"
    server.source(name, **options)
    return server.container.access.credentials.source(name)


MEMBERS = [{"mbox": "mailto:a@b"}] * 40_000


@pytest.mark.parametrize(
    "each",
    [
        {"verb": {"id": "a:b", "display": {f"{at}": 1 for at in range(150)}}},
        {"actor": {"objectType": "Group", "member": [{"name": 1}] * 40}},
        {f"p{at}": 1 for at in range(200)},
        {"actor": {"objectType": "Group", "member": [*MEMBERS, 1]}},
        {"context": {"extensions": {**{f"a:{at}": 1 for at in range(60_000)}, "": 1}}},
        {"k" * 1_000_000: 1},
    ],
    ids=["language maps", "members", "unknown", "last member", "last key", "long key"],
)
def test_a_wrong_body_as_large_as_may_be_costs_seconds(server: Server, profile: str, each: dict[str, Any]) -> None:
    one = orjson.dumps(statement(**each))
    values = sum(map(one.count, (b",", b"[", b"{", b":")))
    count = min(10_000, server.settings.max_body_bytes // (len(one) + 1), MAX_VALUES // (values + 1))
    source = registered(server, profiles=[profile], mode="reject")
    sent = b"[" + b",".join([one] * count) + b"]"
    began = time.process_time()
    reported = server.container.traces.checking.check(sent, source, Version.V1)
    assert time.process_time() - began < 6
    assert reported["verdicts"] == {"invalid": count}
    # Past what may be looked at, each is told with its first fault.
    assert count // 2 < reported["faults"][0]["count"] <= count
    assert len(orjson.dumps(reported)) < 100_000


def test_a_small_body_that_unpacks_to_a_large_one_is_answered_soon(server: Server) -> None:
    wrong = statement(verb={"id": "a:b", "display": {f"{at}": 1 for at in range(150)}})
    packed = gzip.compress(orjson.dumps([wrong] * 6_000))
    assert len(packed) < 64 * 1024
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = server.send("POST", "/api/v1/check", server.source(), data=packed, headers=headers)
    assert (answer.status_code, answer.json()["verdicts"]) == (200, {"invalid": 6_000})


def test_different_faults_are_kept_up_to_a_number(server: Server) -> None:
    source = registered(server)
    sent = [statement(**{f"p{place}-{at}": 1 for at in range(10)}) for place in range(MAX_KEPT // 10 + 100)]
    reported = server.container.traces.checking.check(orjson.dumps(sent), source, Version.V1)
    assert reported["verdicts"] == {"invalid": len(sent)}
    assert len(reported["faults"]) == 50


def test_a_large_body_takes_a_turn_and_a_small_one_does_not() -> None:
    def away() -> None:
        raise DatabaseUnavailable

    gate = SimpleNamespace(sender=lambda *wanted: SimpleNamespace(source="tutor"))
    access = SimpleNamespace(source=lambda name: name)
    checking = SimpleNamespace(check=lambda content, source, version: {"bytes": len(content)})
    app = Flask(__name__)
    bodies.install(app)
    # Whoever comes to a turn is told that the database went away.
    app.register_blueprint(check_api.blueprint(gate, access, checking, Turns(8, away), 1_000_000))
    app.testing = True
    asked = app.test_client()
    assert asked.post("/check", data=b" " * 1_000, content_type="application/json").get_json() == {"bytes": 1_000}
    with pytest.raises(DatabaseUnavailable):
        asked.post("/check", data=b" " * 100_000, content_type="application/json")
