"""Who may do what, over real HTTP: no credentials, wrong ones, revoked ones, each scope."""

from __future__ import annotations

import pytest

from app.access import scopes
from app.access.credentials import NewCredential
from app.errors import RegisterInvalid
from tests.served import Server, statement


def test_without_credentials(server: Server) -> None:
    for answer in (server.get(None), server.post(None, statement())):
        assert (answer.status_code, answer.json()["code"]) == (401, "credentials-refused")
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_wrong_credentials_all_get_the_same_answer(server: Server) -> None:
    known = server.source()
    wrong = [
        NewCredential(known.id, known.secret + "x"),
        NewCredential(known.id, ""),
        NewCredential("sk-0000000000000000", known.secret),
        NewCredential("", ""),
    ]
    answers = [server.get(credential) for credential in wrong]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1


@pytest.mark.parametrize("header", ["Bearer abc", "Basic", "Basic !!!", "Basic YQ==", "Basic /////w=="])
def test_malformed_authorization(server: Server, header: str) -> None:
    answer = server.send("GET", "/xAPI/statements", None, headers={"Authorization": header})
    assert answer.status_code == 401


def test_revocation_works_at_once_in_every_worker(server: Server) -> None:
    tutor = server.source()
    for _ in range(20):  # every worker has it in its cache
        assert server.get(tutor).status_code == 200
    assert server.parts.sources.revoke(tutor.id, actor="cli:test") == 1
    assert {server.get(tutor).status_code for _ in range(20)} == {401}


def test_revoking_a_source_revokes_each_of_its_keys(server: Server) -> None:
    first = server.source("two-keys")
    second = server.credential(scopes.WRITE, source="two-keys")
    assert server.parts.sources.revoke("two-keys", actor="cli:test") == 2
    assert {server.post(one, statement()).status_code for one in (first, second)} == {401}


ALLOWED = {
    scopes.WRITE: {"write"},
    scopes.READ_MINE: {"mine"},
    scopes.READ: {"mine", "read"},
    scopes.ALL_READ: {"mine", "read"},
    scopes.ALL: {"write", "mine", "read"},
    scopes.STATE: set(),
    scopes.PROFILE: set(),
    scopes.RESEARCH: {"aggregates"},
    scopes.GOVERNANCE_READ: {"retention"},
    scopes.OWN_QUALITY: set(),
    scopes.METRICS: set(),
}


@pytest.mark.parametrize("scope", ALLOWED)
def test_each_scope_against_each_resource(server: Server, scope: str) -> None:
    # xAPI-Communication 4.2
    owner = f"scope-{scope.replace('/', '-')}"
    other = server.source()
    (theirs,) = server.post(other, statement()).json()
    one = server.source(owner, scopes=[scope])
    found = set()
    if server.post(one, statement()).status_code == 200:
        found.add("write")
    if server.get(one).status_code == 200:
        found.add("mine")
    if server.get(one, statementId=theirs).status_code == 200:
        found.add("read")
    if server.send("GET", "/api/v1/aggregates", one).status_code == 200:
        found.add("aggregates")
    if server.send("GET", "/api/v1/retention", one).status_code == 200:
        found.add("retention")
    assert found == ALLOWED[scope]


def test_people_cannot_write_statements(server: Server) -> None:
    person = server.credential(scopes.ALL)
    answer = server.post(person, statement())
    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")


def test_no_source_outside_a_registered_activity(server: Server) -> None:
    with pytest.raises(RegisterInvalid, match="activity"):
        server.source(activity="nothing-such")


def test_a_source_name_is_taken_once(server: Server) -> None:
    server.source("taken")
    with pytest.raises(RegisterInvalid, match="registered already"):
        server.source("taken")


def test_secrets_are_kept_only_as_digests(server: Server) -> None:
    tutor = server.source()
    kept = str([*server.parts.store.collection("credentials").find({})])
    assert tutor.id in kept
    assert tutor.secret not in kept


def test_serving_processes_anchor_the_log(server: Server) -> None:
    openers = {entry.chain for entry in server.parts.audit.newest(["anchor"], None, 500)}
    mine = {entry.chain for entry in server.parts.audit.newest(["source-added"], None, 500)}
    assert len(openers - mine) >= 2  # each worker has, in its first seconds


def test_readings_are_audited_before_the_answer(server: Server) -> None:
    tutor = server.source()
    (identity,) = server.post(tutor, statement()).json()
    server.get(tutor)
    server.get(tutor, statementId=identity)
    entries = [one for one in server.parts.audit.newest(["statements-read"], None, 200) if one.actor == tutor.id]
    assert [one.detail["count"] for one in entries] == [1, 1]
    assert "eleve-1" not in str(entries)
    assert server.parts.audit.verify().intact
