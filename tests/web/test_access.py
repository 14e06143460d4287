"""Authorisation over real HTTP: no credentials, wrong ones, revoked ones, each scope."""

from __future__ import annotations

from uuid import uuid4

import pytest

from app.access import scopes
from app.access.credentials import NewCredential
from app.access.perimeters import Perimeter
from app.access.roles import SCOPES, Role
from app.core.errors import RegisterInvalid
from app.web import gate
from app.wiring.web_application import create_app
from tests.served import ACTIVITY, Server, statement
from tests.web.routes import NOT_TESTED_HERE, OPEN, PAGES, TABLE, Row, ask, before, named, recorded


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
    assert server.container.operations.sources.revoke(tutor.id, actor="cli:test") == 1
    assert {server.get(tutor).status_code for _ in range(20)} == {401}


def test_revoking_a_source_revokes_each_of_its_keys(server: Server) -> None:
    first = server.source("two-keys")
    second = server.credential(scopes.WRITE, source="two-keys")
    assert server.container.operations.sources.revoke("two-keys", actor="cli:test") == 2
    assert {server.post(one, statement()).status_code for one in (first, second)} == {401}


# --- every route, for every scope (xAPI-Communication 4.2) ------------------------------------------


@pytest.fixture(scope="module")
def holders(server: Server) -> dict[str, NewCredential]:
    """A source for each scope, with that scope alone."""
    return {
        scope: server.source(f"table-{scope.replace('/', '-')}", scopes=[scope], mode="observe")
        for scope in scopes.EVERY
    }


@pytest.fixture(scope="module")
def people(server: Server) -> dict[str, NewCredential]:
    """A person for each scope, with that scope alone."""
    return {scope: server.credential(scope) for scope in scopes.EVERY}


@pytest.fixture(scope="module")
def owner(server: Server) -> NewCredential:
    return server.source(scopes=[scopes.ALL])


@pytest.fixture(scope="module")
def strangers(server: Server) -> list[NewCredential | None]:
    """No credentials, wrong and unknown ones, and two that were revoked, one of them with every scope."""
    known = server.source(scopes=[*scopes.EVERY])
    revoked = [server.source(scopes=[*scopes.EVERY]), server.credential(*scopes.EVERY)]
    for one in revoked:
        assert server.send("GET", "/xAPI/statements", one).status_code in {200, 403}
        server.container.operations.sources.revoke(one.id, actor="cli:test")
    return [None, known._replace(secret="wrong"), known._replace(id="sk-0000000000000000"), *revoked]


@pytest.mark.parametrize("version", ["1.0.3", "2.0.0"])
@pytest.mark.parametrize("row", TABLE, ids=named)
def test_each_scope_of_each_kind_of_credential_against_each_route(
    server: Server,
    holders: dict[str, NewCredential],
    people: dict[str, NewCredential],
    owner: NewCredential,
    row: Row,
    version: str,
) -> None:
    for person, kind in ((False, holders), (True, people)):
        for scope, credential in kind.items():
            before(server, row, owner)
            answer = ask(server, row, credential, version)
            status = row.answered(scope, person=person)
            assert answer.status_code == status, (scope, "person" if person else "source", answer.text)
            if status == 403 and row.method != "HEAD":
                assert answer.json()["code"] == "scope-missing"
            if status == 403 and row.one and row.method != "HEAD":
                assert server.send("GET", row.path, owner, params=row.params).json()["kept"] is True


@pytest.fixture(scope="module")
def bounded(server: Server) -> NewCredential:
    """A person with every scope, whose perimeter is one source."""
    server.source("table-within")
    return server.container.operations.sources.issue(
        source=None,
        label="bounded",
        scopes=[*scopes.EVERY],
        perimeter=Perimeter(sources=frozenset({"table-within"})),
        actor="cli:test",
    )


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_a_perimeter_limits_each_route_or_closes_it_and_a_refusal_is_on_record(
    server: Server, bounded: NewCredential, owner: NewCredential, row: Row
) -> None:
    before(server, row, owner)
    earlier = recorded(server)
    answer = ask(server, row, bounded)
    if row.senders:
        assert answer.status_code == 403  # belongs to no source
    elif row.within is not None:
        assert answer.status_code == row.within, answer.text
    else:
        assert answer.status_code == 403, answer.text
        assert recorded(server) == earlier + 1
        (entry,) = server.container.governance.audit.newest(("outside-perimeter",), None, 1)
        why = {"activity": "names this activity", "aggregate": "not told by source"}.get(entry.detail["asked"])
        assert entry.actor == bounded.id and (why or entry.detail["asked"] == gate.WHOLE)
        if row.method != "HEAD":
            told = answer.json()
            assert told["code"] == "outside-perimeter" and "sources table-within" in told["detail"]
            assert any(each in told["detail"] for each in ([why] if why else gate.KNOWS_NONE.values()))
        assert entry.detail["route"].split("/")[:3] == row.path.split("/")[:3]
    if row.one:
        assert server.send("GET", row.path, owner, params=row.params).json()["kept"] is True


@pytest.fixture(scope="module")
def roles(server: Server) -> dict[Role, NewCredential]:
    """A person of each role that may do something over the API."""
    return {role: server.credential(*held) for role, held in SCOPES.items() if held}


@pytest.mark.parametrize("row", TABLE, ids=named)
def test_each_role_against_each_route(
    server: Server, roles: dict[Role, NewCredential], owner: NewCredential, row: Row
) -> None:
    for role, credential in roles.items():
        before(server, row, owner)
        allowed = {row.answered(each, person=True) for each in scopes.closure(SCOPES[role])} - {403}
        answer = ask(server, row, credential)
        assert answer.status_code == (row.status if allowed else 403), (role, answer.text)


@pytest.mark.parametrize("row", [row for row in TABLE if row.path.startswith("/xAPI/")], ids=named)
def test_slashes_too_many_change_nothing_in_who_may(
    server: Server,
    holders: dict[str, NewCredential],
    strangers: list[NewCredential | None],
    owner: NewCredential,
    row: Row,
) -> None:
    spelled = row._replace(path="/xAPI/" + row.path.removeprefix("/xAPI").replace("/", "//") + "/")
    for scope, credential in holders.items():
        before(server, row, owner)
        assert ask(server, spelled, credential, "1.0.3").status_code == (row.status if scope in row.allowed else 403)
    assert {ask(server, spelled, credential, "1.0.3").status_code for credential in strangers} == {401}


@pytest.mark.parametrize("version", ["1.0.3", "2.0.0"])
@pytest.mark.parametrize("row", TABLE, ids=named)
def test_strangers_get_nothing_and_change_nothing(
    server: Server, strangers: list[NewCredential | None], owner: NewCredential, row: Row, version: str
) -> None:
    before(server, row, owner)
    for credential in strangers:
        answer = ask(server, row, credential, version)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        if row.method != "HEAD":
            assert answer.json()["code"] == "credentials-refused"
    if row.one:
        assert server.send("GET", row.path, owner, params=row.params).json()["kept"] is True


@pytest.mark.parametrize(("method", "params"), [("POST", {"x": "1"}), ("PUT", {}), ("PUT", {"statementId": "1"})])
def test_a_stranger_is_not_told_what_else_is_wrong(server: Server, method: str, params: dict[str, str]) -> None:
    asked = {"params": params, "json": statement()}
    assert server.send(method, "/xAPI/statements", None, **asked).status_code == 401
    assert server.send(method, "/xAPI/statements", server.credential(scopes.ALL), **asked).status_code == 403
    assert server.send(method, "/xAPI/statements", server.source(), **asked).status_code == 400


def test_people_read_but_do_not_write_nor_delete(server: Server, owner: NewCredential) -> None:
    # docs/api.md: only credentials of a source write. With every scope there is, too.
    person = server.credential(*scopes.EVERY)
    writing = [row for row in TABLE if row.path.startswith("/xAPI/") and row.method not in {"GET", "HEAD"}]
    assert len(writing) == 12
    for row in writing:
        before(server, row, owner)
        answer = ask(server, row, person, "2.0.0")
        assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing"), named(row)


def test_no_route_is_missing_from_the_table(server: Server) -> None:
    app = create_app(server.settings)
    try:
        served = {
            (method, rule.rule)
            for rule in app.url_map.iter_rules()
            for method in (rule.methods or set()) - {"OPTIONS"}
            if rule.rule not in OPEN | NOT_TESTED_HERE and not rule.endpoint.startswith(PAGES)
        }
        wanted = {
            (row.method, app.url_map.bind("x").match(row.path, row.method, return_rule=True)[0].rule) for row in TABLE
        }
    finally:
        app.extensions["sillage"].close()
    # HEAD is GET without the content; xAPI-Communication 1.1 asks for it under /xAPI.
    assert {one for one in served if one[0] != "HEAD" or one[1].startswith("/xAPI/")} == wanted


def test_about_tells_the_limits_that_hold(server: Server) -> None:
    # xAPI-Communication 2.8: versions, and extensions that are keyed by IRIs.
    reported = server.send("GET", "/xAPI/about", None).json()
    assert reported["version"] == ["1.0.3", "2.0.0"]
    limits = reported["extensions"]["urn:sillage:limits"]
    assert set(limits) == {
        "bodyBytes",
        "attachmentsBytes",
        "attachmentsPerRequest",
        "statementsPerRequest",
        "statementBytes",
        "valuesPerRequest",
        "identifierCharacters",
        "statementsPerPage",
    }
    tutor = server.source()
    # JSON may be followed by spaces: the length is all that differs.
    for more, status in ((0, 200), (1, 413)):
        body = b"[]" + b" " * (limits["bodyBytes"] - 2 + more)
        sent = server.send("POST", "/xAPI/statements", tutor, data=body, headers={"Content-Type": "application/json"})
        assert sent.status_code == status


def test_about_is_open(server: Server, strangers: list[NewCredential | None]) -> None:
    # xAPI-Communication 2.8
    for credential in strangers:
        for method in ("GET", "HEAD"):
            assert server.send(method, "/xAPI/about", credential).status_code == 200


def test_who_may_read_its_own_statements_reads_no_others(server: Server, holders: dict[str, NewCredential]) -> None:
    (theirs,) = server.post(server.source(), statement()).json()
    for scope, credential in holders.items():
        status = server.get(credential, statementId=theirs).status_code
        wanted = {scopes.READ_MINE: 404, scopes.READ: 200, scopes.ALL_READ: 200, scopes.ALL: 200}
        assert status == wanted.get(scope, 403), scope


def test_no_source_outside_a_registered_activity(server: Server) -> None:
    with pytest.raises(RegisterInvalid, match="activity"):
        server.source(activity="nothing-such")


def test_a_source_name_is_taken_once(server: Server) -> None:
    server.source("taken")
    with pytest.raises(RegisterInvalid, match="registered already"):
        server.source("taken")


def test_secrets_are_kept_only_as_digests(server: Server) -> None:
    tutor = server.source()
    kept = str([*server.container.platform.store.collection("credentials").find({})])
    assert tutor.id in kept
    assert tutor.secret not in kept


def test_serving_processes_anchor_the_log(server: Server) -> None:
    openers = {entry.chain for entry in server.container.governance.audit.newest(["anchor"], None, 500)}
    mine = {entry.chain for entry in server.container.governance.audit.newest(["source-added"], None, 500)}
    assert len(openers - mine) >= 2  # each worker has, in its first seconds


def test_readings_are_audited_before_the_answer(server: Server) -> None:
    tutor = server.source()
    (id,) = server.post(tutor, statement()).json()
    server.get(tutor)
    server.get(tutor, statementId=id)
    entries = [
        one for one in server.container.governance.audit.newest(["statements-read"], None, 200) if one.actor == tutor.id
    ]
    assert [one.detail["count"] for one in entries] == [1, 1]
    assert "eleve-1" not in str(entries)
    assert server.container.governance.audit.verify().intact


def test_what_a_write_tells_of_the_statements_of_others_is_audited_before_the_answer(server: Server) -> None:
    owner, guesser = server.source(), server.source()
    kept = [statement(id=str(uuid4())) for _ in range(3)]
    assert server.post(owner, kept).status_code == 200
    other = {**statement()["verb"], "id": "https://verbs.example/other"}
    # The same content, another, and several at once; the display of a verb is no part of the comparison.
    assert server.post(guesser, kept[0]).status_code == 200
    assert server.post(guesser, {**kept[0], "verb": other}).status_code == 409
    said = {**kept[1], "verb": {**kept[1]["verb"], "display": {"en": "said otherwise"}}}
    assert server.post(guesser, [said, kept[2], statement()]).status_code == 200
    # One's own may be sent again as often as one likes.
    assert server.post(owner, kept).status_code == 200
    entries = server.container.governance.audit.newest(["statements-read"], None, 200)
    mine = [one.detail for one in reversed(entries) if one.actor == guesser.id]
    subject = server.container.keys.organisation.subject("account:https://ent.example|eleve-1").hex()
    compared = {"compared": True, "activity": ACTIVITY["id"]}
    single = {"statement": kept[0]["id"], "subject": subject, "count": 1, **compared}
    assert mine == [single, single, {"tokens": [subject], "count": 2, **compared}]
    assert not [one for one in entries if one.actor == owner.id]


def test_a_right_guess_beside_a_refused_voiding_is_audited_like_a_wrong_one(server: Server) -> None:
    owner, guesser = server.source(), server.source()
    kept, other = statement(id=str(uuid4())), statement(id=str(uuid4()))
    assert server.post(owner, [kept, other]).status_code == 200
    voiding = statement(
        verb={"id": "http://adlnet.gov/expapi/verbs/voided"}, object={"objectType": "StatementRef", "id": other["id"]}
    )
    refused = server.post(guesser, [kept, voiding])
    assert (refused.status_code, refused.json()["code"]) == (403, "scope-missing")
    entries = server.container.governance.audit.newest(["statements-read"], None, 200)
    (mine,) = [one.detail for one in entries if one.actor == guesser.id]
    assert (mine["statement"], mine["compared"]) == (kept["id"], True)
