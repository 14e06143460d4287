"""Rights reach what is stored under the pseudonyms that the policy about minors made of what is known."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from click.testing import CliRunner

from app.commands import erasure, restriction
from app.commands import minors as minors_command
from app.commands import person as person_command
from app.core.errors import DataSubjectRefused, DataSubjectRequestConflict
from app.governance.audit.log import PERSON_ACCESS_STARTED
from app.people.audit_search import Wanted
from app.people.finding.finder import data_subject_of
from app.people.finding.pseudonyms import IdentifiedDataSubject, Pseudonym, groups_of
from app.retention.closed_account_store import AccountRepository
from app.retention.closed_accounts import CLOSED, REOPENED, Event
from app.settings import Settings
from app.standards.xapi.identifiers import agent_identifier, agent_of, group_identifier
from app.standards.xapi.query import StatementQuery
from app.standards.xapi.versions import Version
from app.traces.queries.statements import Reader
from app.wiring.container import Container
from tests.operations.test_minors_restored import Organisation
from tests.served import ACTIVITY, statement
from tests.stores import initialised, with_tutor

BY = "cli:test"
ADDRESS = "mailto:camille@ent.example"
# SHA-1 of the address.
DIGEST = "2e3b5fea0b9f0c3f4d7c8fb1b9ae1bb0a4b2a1a0"
HOME = "https://ent.example"
CHILD = {"name": "Camille Exemple", "mbox": ADDRESS}
# As agents are sent, beside the identifier that the family knows.
SENT_AND_KNOWN = {
    "mbox": (CHILD, {"mbox": ADDRESS}),
    "mbox in capitals": ({"mbox": "mailto:Camille@ENT.example"}, {"mbox": ADDRESS}),
    "hash": ({"mbox_sha1sum": DIGEST}, {"mbox_sha1sum": DIGEST}),
    "account that is an address": (
        {"account": {"homePage": HOME, "name": "camille@ent.example"}},
        {"account": {"homePage": HOME, "name": "camille@ent.example"}},
    ),
    "account like a name": (
        {"account": {"homePage": HOME, "name": "camille.exemple"}},
        {"account": {"homePage": HOME, "name": "camille.exemple"}},
    ),
    "account made of the name": (
        {"name": "Camille Exemple", "account": {"homePage": HOME, "name": "cexemple"}},
        {"account": {"homePage": HOME, "name": "cexemple"}},
    ),
    "home page with an INE": (
        {"account": {"homePage": "https://ent.example/123456789AB/", "name": "7"}},
        {"account": {"homePage": "https://ent.example/123456789AB/", "name": "7"}},
    ),
    "openid with an INE": (
        {"openid": "https://id.example/123456789AB/"},
        {"openid": "https://id.example/123456789AB/"},
    ),
}
POLICIES = ("pseudonymise", "strip")
EVERYBODY = Reader("sk-reader", None)
# They add their commands to the group `person`.
ADDED = (*erasure.COMMANDS, *restriction.COMMANDS)


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    with with_tutor(settings, database_name) as made:
        made.lifecycle.start()
        made.operations.sources.change("tutor", minors="pseudonymise", actor=BY)
        yield made


@pytest.fixture
def house(tmp_path: Path, mongodb_uri: str, database_name: str) -> Organisation:
    return Organisation(tmp_path, mongodb_uri, database_name)


def family() -> IdentifiedDataSubject:
    return data_subject_of([{"mbox": ADDRESS}])


def said(actor: dict[str, Any] = CHILD, **more: Any) -> dict[str, Any]:
    return statement(**{"id": str(uuid4()), "actor": actor, "timestamp": "2026-10-05T10:00:00Z", **more})


def send(container: Container, *statements: dict[str, Any], source: str = "tutor") -> None:
    container.traces.recorder.record(orjson.dumps(statements), container.operations.sources.get(source), Version.V1)


def stored(container: Container) -> dict[str, dict[str, Any]]:
    return {str(one.id): orjson.loads(one.body) for one in container.traces.reader.scan(None, 1 << 62, 1_000)[0]}


def read(container: Container) -> set[str]:
    """The ids that a reader of everything gets."""
    page = container.traces.statement_queries.page(StatementQuery(), EVERYBODY)
    found = [*page.bodies]
    while page.cursor is not None:
        page = container.traces.statement_queries.next_page(page.cursor, EVERYBODY)
        found += page.bodies
    return {orjson.loads(body)["id"] for body in found}


def run(container: Container, *args: str) -> tuple[str, str]:
    answer = CliRunner().invoke(
        person_command.person, args, obj=container, env={"COLUMNS": "200"}, standalone_mode=False
    )
    if answer.exception is not None:
        raise answer.exception
    return answer.stdout, answer.stderr


def audited(container: Container, kind: str) -> list[dict[str, Any]]:
    return [entry["detail"] for entry in container.platform.store.collection("audit").find({"kind": kind})]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("case", SENT_AND_KNOWN)
def test_what_is_stored_under_a_pseudonym_is_found_by_what_was_sent(
    container: Container, case: str, policy: str
) -> None:
    container.operations.sources.change("tutor", minors=policy, reason="a test", actor=BY)
    sent, known = SENT_AND_KNOWN[case]
    own, naming = said(sent), said({"account": {"homePage": HOME, "name": "42"}}, context={"instructor": sent})
    send(container, own, naming, said({"mbox": "mailto:zoe@ent.example"}))
    assert agent_identifier(stored(container)[own["id"]]["actor"]) != agent_identifier(known)
    found = container.people.finder.find(data_subject_of([known]), actor=BY)
    assert (found.own, found.mentions) == (1, 1)
    reach = container.people.finder.reach(data_subject_of([known]))
    assert reach.held
    assert {(one.source, one.identifier) for one in reach.pseudonyms} == {
        ("tutor", agent_identifier(stored(container)[own["id"]]["actor"]))
    }


def test_it_is_found_whatever_the_policy_is_now(container: Container) -> None:
    send(container, said())
    for policy in ("off", "refuse"):
        container.operations.sources.change("tutor", minors=policy, reason="a test", actor=BY)
        assert container.people.finder.places(family()).own == 1


def test_an_anonymous_group_of_one_child_is_the_childs(container: Container) -> None:
    send(container, said({"objectType": "Group", "member": [CHILD]}))
    assert container.people.finder.places(family()).own == 1


def test_nobody_elses_is_found(container: Container) -> None:
    send(container, said({"mbox": "mailto:zoe@ent.example"}))
    reach = container.people.finder.reach(family())
    assert (reach.held, reach.pseudonyms) == (False, ())
    assert container.people.finder.places(family()).own == 0


def test_the_package_has_it_and_says_why(container: Container) -> None:
    own = said()
    send(container, own, said({"mbox": "mailto:zoe@ent.example"}, context={"instructor": CHILD}))
    content = b"".join(container.people.packages.write(family(), actor=BY))
    with zipfile.ZipFile(io.BytesIO(content)) as package:
        about = orjson.loads(package.read("about.json"))
        listed = orjson.loads(package.read("statements/own-00001.json"))
        pages = {language: package.read(f"index.{language}.html").decode() for language in ("fr", "en")}
        mention = package.read("statements/mentions-00001.json")
    account = stored(container)[own["id"]]["actor"]["account"]
    assert [one["id"] for one in listed] == [own["id"]]
    assert about["own"] == 1
    (reported,) = about["pseudonyms"]
    assert reported == {
        "identifier": agent_identifier({"account": account}),
        "made_of": f"mbox:{ADDRESS}",
        "source": "tutor",
        "name": "Tutor",
    }
    assert "remplace l&#39;adresse" in pages["fr"] or "remplace l'adresse" in pages["fr"]
    assert "replaced by a pseudonym" in pages["en"]
    # In the statement of another it is theirs, and not masked.
    assert account["name"].encode() in mention
    (entry,) = audited(container, PERSON_ACCESS_STARTED)
    assert entry["subjects"] == container.people.finder.asked(family())
    assert container.keys.organisation.subject(reported["identifier"]).hex() not in entry["subjects"], (
        "the log puts nothing together"
    )


def test_an_erasure_takes_it_and_the_receipt_says_so(container: Container) -> None:
    own, other = said(), said({"mbox": "mailto:zoe@ent.example"})
    send(container, own, other)
    done = container.people.erasures.advance(container.people.erasures.erase(family(), actor=BY).id)
    assert done.counts["statements"] == 1
    assert set(stored(container)) == {other["id"]}
    assert read(container) == {other["id"]}
    assert done.receipt is not None
    assert orjson.loads(done.receipt)["content"]["pseudonyms"] == ["tutor"]


@pytest.mark.parametrize("by", ["address", "account"])
def test_a_restore_erases_both_again(house: Organisation, by: str) -> None:
    with house.command() as container:
        container.operations.sources.change("tutor", minors="pseudonymise", actor=BY)
    own = said()
    house.send(own)
    with house.command() as container:
        container.operations.sources.change("tutor", minors="off", reason="a test", actor=BY)
    clear = said()
    house.send(clear)
    before = house.backup()
    account = house.stored()[own["id"]]["actor"]
    house.erase(family() if by == "address" else data_subject_of([{"account": account["account"]}, {"mbox": ADDRESS}]))
    assert house.stored() == {}
    house.restore(before)
    assert house.stored() == {}


def test_a_restriction_holds_for_it_and_ends(container: Container) -> None:
    own = said()
    send(container, own)
    container.people.restriction.restrict(family(), actor=BY)
    assert read(container) == set()
    late = said()
    send(container, late)
    assert read(container) == set(), "what comes later is of the same person"
    assert container.people.restriction.standing(family(), actor=BY).restricted is not None
    assert container.people.restriction.lift(family(), actor=BY)
    assert read(container) == {own["id"], late["id"]}
    assert container.platform.store.collection("person_states").count_documents({}) == 0


def test_new_statements_are_refused_at_the_way_in(container: Container) -> None:
    container.people.restriction.note_objection(family(), refuse_new=True, actor=BY)
    other = said({"mbox": "mailto:zoe@ent.example"})
    with pytest.raises(DataSubjectRefused) as refused:
        send(container, other, said())
    assert [fault.pointer for fault in refused.value.faults] == ["/1/actor"]
    assert stored(container) == {}
    assert container.people.restriction.withdraw_objection(family(), actor=BY)
    send(container, said())


def test_of_a_source_that_came_after_the_objection_too(container: Container) -> None:
    container.people.restriction.note_objection(family(), refuse_new=True, actor=BY)
    container.operations.sources.add("later", name="Later", activity=ACTIVITY["id"], minors="pseudonymise", actor=BY)
    with pytest.raises(DataSubjectRefused):
        send(container, said(), source="later")


def test_an_objection_outlives_an_erasure_and_holds_for_sources_that_come_later(container: Container) -> None:
    """Its sealed identifiers open no more, so nothing can be worked out from them: the door looks at what was sent."""
    container.people.restriction.note_objection(family(), refuse_new=True, actor=BY)
    container.people.erasures.advance(container.people.erasures.erase(family(), actor=BY).id)
    container.operations.sources.add("later", name="Later", activity=ACTIVITY["id"], minors="pseudonymise", actor=BY)
    with pytest.raises(DataSubjectRefused):
        send(container, said(), source="later")


@pytest.mark.parametrize("registered", [True, False])
def test_who_is_restricted_is_so_under_a_source_that_pseudonymises_from_then_on(
    container: Container, registered: bool
) -> None:
    if registered:
        container.operations.sources.add("later", name="Later", activity=ACTIVITY["id"], minors="off", actor=BY)
    container.people.restriction.restrict(family(), actor=BY)
    container.people.restriction.note_objection(family(), actor=BY)
    if registered:
        container.operations.sources.change("later", minors="pseudonymise", actor=BY)
    else:
        container.operations.sources.add(
            "later", name="Later", activity=ACTIVITY["id"], minors="pseudonymise", actor=BY
        )
    own = said()
    send(container, own, source="later")
    subject = container.keys.organisation.subject(str(agent_identifier(stored(container)[own["id"]]["actor"])))
    assert subject in container.access.data_subject_states.current().restricted
    assert subject in container.access.data_subject_states.current().objecting
    assert read(container) == set()


def test_no_keys_are_made_for_pseudonyms_that_no_source_makes(container: Container) -> None:
    for number in range(3):
        container.operations.sources.add(
            f"plain-{number}", name="Plain", activity=ACTIVITY["id"], minors="off", actor=BY
        )
    container.people.restriction.restrict(
        data_subject_of([{"account": {"homePage": HOME, "name": "camille.exemple"}}]), actor=BY
    )
    # The account and the group of it alone, and both as the one source has them.
    assert container.platform.store.collection("person_states").count_documents({}) == 4


def test_a_statement_is_rectified_for_a_request_by_the_address(container: Container) -> None:
    own = said()
    send(container, own)
    request = container.people.requests.open("rectification", family(), actor=BY).id
    container.people.requests.identify(request, actor=BY)
    right = {name: part for name, part in said(result={"success": True}).items() if name != "id"}
    account = stored(container)[own["id"]]["actor"]
    done = container.people.rectification.rectify(UUID(own["id"]), orjson.dumps(right), actor=BY, request=request)
    assert stored(container)[str(done.statement)]["actor"] == account
    other = container.people.requests.open(
        "rectification", data_subject_of([{"mbox": "mailto:zoe@ent.example"}]), actor=BY
    ).id
    container.people.requests.identify(other, actor=BY)
    with pytest.raises(DataSubjectRequestConflict):
        container.people.rectification.rectify(done.statement, orjson.dumps(right), actor=BY, request=other)


def test_a_request_by_the_address_is_worked_on_by_either_and_keeps_one(container: Container) -> None:
    own = said()
    send(container, own)
    account = data_subject_of([{"account": stored(container)[own["id"]]["actor"]["account"]}])
    request = container.people.requests.open("restriction", family(), actor=BY).id
    container.people.requests.identify(request, actor=BY)
    container.people.restriction.restrict(family(), actor=BY, request=request)
    container.people.restriction.restrict(account, actor=BY, request=request)
    assert set(container.people.requests.show(request, actor=BY).identifiers) == set(family().identifiers)
    under = container.people.requests.open("access", account, actor=BY).id
    (requests,) = [
        store.export(container.people.finder.for_stores(family()))
        for store in container.operations.personal_data
        if store.name == "cases"
    ]
    assert requests is not None
    assert {one["id"] for one in requests.items if one is not None} == {request, under}


def test_recipients_and_readings_are_found(container: Container) -> None:
    own = said()
    send(container, own)
    account = stored(container)[own["id"]]["actor"]
    container.traces.agents.person(account, str(agent_identifier(account)), EVERYBODY)
    page = container.people.audit_search.find(
        Wanted(agents=[{"mbox": ADDRESS}], kinds=["person-read"]), None, 10, who=BY
    )
    assert [entry.actor for entry in page.entries] == ["sk-reader"]
    bare = Wanted(agents=[{"mbox": ADDRESS}], kinds=["person-read"], pseudonyms=False)
    assert not container.people.audit_search.find(bare, None, 10, who=BY).entries
    received = container.people.disclosures.of(family(), actor=BY)
    assert [one.number for one in received.readings] == [1]
    asked = [one["tokens"] for one in audited(container, "audit-read")]
    assert asked[0] == asked[1], "the log puts nothing together"
    assert container.keys.organisation.subject(str(agent_identifier(account))).hex() not in asked[0]


def test_an_account_that_ended_is_so_under_its_pseudonym(container: Container) -> None:
    own = said()
    send(container, own)
    subject = container.keys.organisation.subject(str(agent_identifier(stored(container)[own["id"]]["actor"])))
    ends = AccountRepository(container.platform.store)
    # An address and its hash, as before.
    assert container.retention.accounts.announce("tutor", [Event(family(), CLOSED, None)], actor=BY).closed == 2
    assert [source for source, _ in ends.of([subject])] == ["tutor"]
    assert container.retention.accounts.announce("tutor", [Event(family(), REOPENED, None)], actor=BY).reopened == 2
    assert ends.of([subject]) == []


def test_the_commands_say_what_was_found_and_what_was_not(container: Container) -> None:
    own = said()
    send(container, own)
    under = "under the pseudonym that this store made of what you gave, in statements of source tutor"
    nothing = "Nothing is held under these identifiers now"
    acts = (("find",), ("restrict",), ("unrestrict",), ("object",), ("standing",), ("withdraw-objection",))
    for act in (*acts, ("recipients",)):
        out, reported = run(container, *act, "--mbox", "camille@ent.example")
        assert under in reported
        assert nothing not in reported
        assert nothing in run(container, *act, "--mbox", "nobody@ent.example")[1]
    assert "1" in run(container, "find", "--mbox", "camille@ent.example")[0]
    out = run(container, "find", "--each", "--mbox", "camille@ent.example", "--mbox", "nobody@ent.example")[0]
    assert "under pseudonyms of tutor" in out
    assert "nothing is held under these identifiers" in out
    assert nothing in run(container, "erase", "--yes", "--mbox", "nobody@ent.example")[1]
    out, reported = run(container, "erase", "--yes", "--mbox", "camille@ent.example")
    assert under in reported
    assert "statements: 1" in out
    assert stored(container) == {}


def test_two_public_urls_make_one_account(settings: Settings, database_name: str) -> None:
    """A server under its own address, a command without the setting: the same child, found by either."""
    with initialised(settings, database_name) as made:
        made.governance.register.add(orjson.dumps(ACTIVITY))
        made.operations.sources.add("tutor", name="Tutor", activity=ACTIVITY["id"], actor=BY)
        kept, later = said(), said()
        before = Container(replace(made.settings, public_url="https://lrs.ent.example"))
        before.lifecycle.start()
        send(before, kept)
        before.operations.sources.change("tutor", minors="pseudonymise", actor=BY)
        send(before, later)
        before.close()
        command = Container(replace(made.settings, public_url="http://localhost:8080"))
        answer = CliRunner().invoke(minors_command.minors, ["apply", "tutor", "--execute"], obj=command)
        assert "https://lrs.ent.example" in answer.output
        assert "SILLAGE_PUBLIC_URL is another here" in answer.output
        command.close()
        after = Container(replace(made.settings, public_url="https://elsewhere.example"))
        after.lifecycle.start()
        last = said()
        send(after, last)
        accounts = {orjson.dumps(one["actor"]["account"]) for one in stored(after).values()}
        assert len(accounts) == 1
        assert b"https://lrs.ent.example" in accounts.pop()
        assert after.people.finder.places(family()).own == 3
        after.close()


def test_identifiers_become_agents_again() -> None:
    for sent, known in SENT_AND_KNOWN.values():
        for agent in (sent, known):
            identifier = str(agent_identifier(agent))
            assert agent_identifier(agent_of(identifier)) == identifier
    assert agent_of("account:https://a.example/%7Cb|c|d") == {
        "account": {"homePage": "https://a.example/%7Cb", "name": "c|d"}
    }


def test_groups_are_of_one_source_and_not_without_end() -> None:
    """Members that a policy replaced are those of that source; many identifiers make no millions of groups."""
    two = IdentifiedDataSubject(
        ("a", "b"),
        (
            Pseudonym("x", "a", "s", True, True),
            Pseudonym("y", "a", "t", True, True),
            Pseudonym("z", "b", "t", True, False),
        ),
    )
    groups = {group for group, _ in groups_of(two)}
    wanted = [("a",), ("b",), ("a", "b"), ("x",), ("x", "b"), ("y",), ("y", "z"), ("y", "b"), ("z",)]
    assert groups == {group_identifier(members) for members in wanted}
    names = [os.urandom(4).hex() for _ in range(60)]
    many = IdentifiedDataSubject(tuple(names), tuple(Pseudonym(f"{one}'", one, "s", True, False) for one in names))
    assert sum(any(each.endswith("'") for each in members) for _, members in groups_of(many)) == 60
