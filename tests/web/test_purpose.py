"""Purpose of a reading: said by a header, kept in the audit log as a code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.access import scopes
from app.access.credentials import NewCredential
from app.governance.audit.log import AUDIT_READ, DOCUMENTS_READ, PERSON_FOUND, PERSON_READ, STATEMENTS_READ
from app.web.purpose import HEADER
from tests.served import ACTIVITY, Server, serving, statement
from tests.web.routes import TABLE, Row, ask, before, named, recorded

AGENT = '{"mbox": "mailto:a@ent.example"}'
STATE = {"activityId": "https://ent.example/lessons/1", "agent": AGENT}


def detail(server: Server, kind: str, credential: NewCredential) -> dict[str, object]:
    entries = server.container.governance.audit.newest((kind,), None, 200)
    return dict(next(entry.detail for entry in entries if entry.actor == credential.id))


@pytest.mark.parametrize(
    ("path", "params", "kind"),
    [
        ("/xAPI/statements", {}, STATEMENTS_READ),
        ("/xAPI/agents", {"agent": AGENT}, PERSON_READ),
        ("/xAPI/activities/state", STATE, DOCUMENTS_READ),
        ("/api/v1/audit", {}, AUDIT_READ),
    ],
)
def test_the_purpose_of_a_reading_is_kept(server: Server, path: str, params: dict[str, str], kind: str) -> None:
    reader = server.credential(scopes.ALL, scopes.GOVERNANCE_READ)
    for sent, kept in (({HEADER: "support"}, "support"), ({}, None)):
        assert server.send("GET", path, reader, params=params, headers=sent).status_code == 200
        assert detail(server, kind, reader).get("purpose") == kept


def test_the_purpose_of_looking_for_a_person_is_kept(server: Server) -> None:
    officer = server.credential(scopes.RIGHTS)
    asked = {"agents": [{"mbox": "mailto:a@ent.example"}]}
    sent = server.send("POST", "/api/v1/persons/places", officer, json=asked, headers={HEADER: "support"})
    assert sent.status_code == 200
    assert detail(server, PERSON_FOUND, officer)["purpose"] == "support"


def test_a_source_reads_for_its_processing_activity(server: Server) -> None:
    source = server.source()
    id = server.post(source, statement()).json()[0]
    assert server.get(source, statementId=id).status_code == 200
    assert detail(server, STATEMENTS_READ, source)["activity"] == ACTIVITY["id"]
    person = server.credential(scopes.READ)
    server.get(person)
    assert "activity" not in detail(server, STATEMENTS_READ, person)


def test_a_purpose_that_is_not_known_is_refused_and_nothing_given(server: Server) -> None:
    reader = server.credential(scopes.READ)
    for wrong in ("curiosity", "support,support", "Marie Dupont", ""):
        answer = server.send("GET", "/xAPI/statements", reader, headers={HEADER: wrong})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-parameter"), wrong
        assert "teaching" in answer.json()["detail"] and "Marie" not in answer.text
    assert not any(
        entry.actor == reader.id for entry in server.container.governance.audit.newest((STATEMENTS_READ,), None, 200)
    )


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, mongodb_uri: str) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("strict")
    with serving(folder, mongodb_uri, purposes="inspection", purpose_required="true", workers="1") as running:
        yield running


@pytest.fixture(scope="module")
def owner(strict: Server) -> NewCredential:
    return strict.source(scopes=[scopes.ALL])


@pytest.fixture(scope="module")
def person(strict: Server) -> NewCredential:
    return strict.credential(*scopes.EVERY)


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_people_must_say_it_whatever_they_ask_where_that_is_required(
    strict: Server, owner: NewCredential, person: NewCredential, row: Row
) -> None:
    # Searches, packages and acts by POST tell of persons as much as a GET.
    before(strict, row, owner)
    known = recorded(strict)
    for purpose, status in ((None, 400), ("curiosity", 400), ("inspection", row.status)):
        answer = ask(strict, row, person, given={} if purpose is None else {HEADER: purpose})
        if row.senders:
            assert answer.status_code == 403
            continue
        assert answer.status_code == status, answer.text
        if status == 400 and row.method != "HEAD":
            assert answer.json()["code"] == "bad-parameter"
            assert "inspection" in answer.json()["detail"]
        if purpose != "inspection":
            assert recorded(strict) == known


def test_figures_of_the_service_need_no_purpose(strict: Server, person: NewCredential) -> None:
    # As a proxy passes it on, so that credentials are asked for.
    outside = {"X-Forwarded-For": "192.0.2.7"}
    assert strict.send("GET", "/metrics", None, headers=outside).status_code == 401
    assert strict.send("GET", "/metrics", person, headers=outside).status_code == 200


def test_sources_need_not_say_it(strict: Server) -> None:
    source = strict.source()
    assert strict.post(source, statement()).status_code == 200
    assert strict.get(source).status_code == 200
