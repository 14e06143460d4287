"""Finding a person: by any identifier, in every place where one can stand."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest

from app.core.errors import BadRequest
from app.people.finding import finder as rules
from app.people.finding.finder import MENTION, OWN, Named, data_subject_of
from app.standards.xapi.documents import Resource
from app.wiring.container import Container
from tests.people.people import (
    HOME,
    account,
    container,
    document,
    mentions,
    named,
    person,
    refers,
    send,
    with_attachment,
)
from tests.served import statement

__all__ = ("container",)


def test_several_identifiers_are_one_person_each_once_and_in_order() -> None:
    found = data_subject_of([{"openid": "https://id.example/z"}, account("b"), account("a"), account("b")])
    assert found.identifiers == (f"account:{HOME}|a", f"account:{HOME}|b", "openid:https://id.example/z")


@pytest.mark.parametrize("address", ["mailto:lea@ent.example", "mailto:Lea@Ent.example"])
def test_an_address_stands_for_its_sum_as_well(address: str) -> None:
    sums = {hashlib.sha1(form.encode()).hexdigest() for form in (address, address.lower())}
    found = data_subject_of([{"mbox": address}])
    assert set(found.identifiers) == {f"mbox:{address.lower()}"} | {f"mbox_sha1sum:{each}" for each in sums}


@pytest.mark.parametrize(
    "agents",
    [
        [],
        ["Léa"],
        [{"name": "Léa"}],
        [{"mbox": "lea@ent.example"}],
        [{"account": {"homePage": HOME}}],
        [{"mbox": "mailto:lea@ent.example", "openid": "https://id.example/lea"}],
        [{"objectType": "Group", "account": {"homePage": HOME, "name": "lea-class"}}],
        [{"objectType": "Group", "member": [account("lea")]}],
        [account("a")] * 21,
        [None],
        [{"mbox": orjson.loads("[" * 1_000 + "]" * 1_000)}],
    ],
)
def test_what_names_nobody_is_refused_without_repeating_it(agents: list[Any]) -> None:
    with pytest.raises(BadRequest) as refused:
        data_subject_of(agents)
    said = refused.value.detail + "".join(f"{fault.pointer}{fault.message}" for fault in refused.value.faults)
    assert "lea" not in said.lower()


def everything(container: Container, *names: str) -> list[Named]:
    return [each for batch in container.people.finder.statements(person(*names)) for each in batch.statements]


def test_every_place_that_names_a_person_is_found_with_its_role(container: Container) -> None:
    own, places = named("lea"), mentions("lea")
    send(container, own, *places.values(), named("other"))
    found = {str(each.row.id): each.role for each in everything(container, "lea")}
    assert found == {own["id"]: OWN} | {each["id"]: MENTION for each in places.values()}


def test_voided_statements_are_found_and_placeholders_are_not(container: Container) -> None:
    own = named("lea")
    send(container, own)
    verb = {"id": "http://adlnet.gov/expapi/verbs/voided"}
    send(container, {**refers("lea", own["id"]), "verb": verb}, refers("lea", "3f2f8c0e-8d0c-4a57-9e2f-6f1f2c9d8b7a"))
    found = everything(container, "lea")
    assert len(found) == 3
    assert [each.row.voided for each in found if str(each.row.id) == own["id"]] == [True]


def test_a_group_of_nobody_else_is_their_own(container: Container) -> None:
    alone = statement(actor={"objectType": "Group", "member": [account("lea")]})
    both = statement(actor={"objectType": "Group", "member": [account("lea"), account("lea-2")]})
    send(container, alone, both)
    assert [each.role for each in everything(container, "lea", "lea-2")] == [OWN, OWN]
    assert [each.role for each in everything(container, "lea")] == [OWN, MENTION]


def test_batches_go_on_from_a_place_and_miss_none(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "PAGE", 3)
    for _ in range(4):
        send(container, *(named("lea") for _ in range(2)))
    # Two statements of one microsecond, of two processes.
    some = container.traces.statements.span(None, 1 << 62, 10)
    container.platform.store.collection("statements").update_one(
        {"_id": some[3].id}, {"$set": {"stored": some[2].stored}}
    )
    batches = list(container.people.finder.statements(person("lea")))
    assert [len(batch.statements) for batch in batches] == [3, 3, 2]
    rest = list(container.people.finder.statements(person("lea"), after=batches[0].place))
    ids = [each.row.id for batch in (batches[0], *rest) for each in batch.statements]
    assert len(ids) == len(set(ids)) == 8


def test_places_are_counted_and_the_question_is_on_record(container: Container) -> None:
    own = with_attachment("lea", b"copy")
    send(container, own, data=(b"copy",))
    send(container, *mentions("lea").values(), refers("other", own["id"]))
    document(container, Resource.STATE, "lea")
    document(container, Resource.STATE, "lea", "e")
    document(container, Resource.AGENT_PROFILE, "lea")
    document(container, Resource.STATE, "other")
    found = container.people.finder.find(person("lea"), actor="cli:test")
    assert {name: number for name, number in found.items() if number} == {
        "own": 1,
        "mentions": 9,
        "referring": 1,
        "states": 2,
        "agent_profiles": 1,
        "attachments": 1,
    }
    (entry,) = container.governance.audit.newest(["person-found"])
    agents = [container.keys.organisation.named("agent", identifier).hex() for identifier in person("lea").identifiers]
    assert (entry.actor, entry.detail) == ("cli:test", {"tokens": agents})


def test_of_somebody_unknown_there_is_nothing(container: Container) -> None:
    assert set(container.people.finder.places(person("nobody")).values()) == {0}


def test_finding_documents_and_sessions_uses_their_indexes(container: Container) -> None:
    for collection, query in (
        ("documents", {"subject": {"$in": [bytes(16)], "$exists": True}}),
        ("pattern_sessions", {"subject": {"$in": [bytes(16)]}}),
        ("attachments", {"keys.subject": {"$in": [bytes(16)]}}),
    ):
        plan = container.platform.store.db.command(
            "explain", {"count": collection, "query": query}, verbosity="queryPlanner"
        )
        assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"]), collection
