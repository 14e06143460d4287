"""Looking for entries of the audit log by person, actor, kind and period."""

from __future__ import annotations

import os
from itertools import count

import pytest

from app.core.errors import BadCursor, BadRequest
from app.crypto import kinds
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import AUDIT_READ, PERSON_READ, STATEMENTS_READ, Audit
from app.governance.audit.store import AuditRepository
from app.people.audit_search import AuditSearch, Wanted, read_agents
from app.platform.mongo.connection import Store
from tests.sinks import NoPseudonyms

START = 1_790_000_000_000_000
ALICE = {"mbox": "mailto:alice@ent.example"}
BOB = {"account": {"homePage": "https://ent.example", "name": "bob"}}


class House:
    def __init__(self, store: Store, vault: OrganisationKeys) -> None:
        ticks = count(START, 1_000_000)
        self.audit = Audit(AuditRepository(store), vault, lambda: next(ticks), os.urandom)
        self.search = AuditSearch(self.audit, vault, NoPseudonyms())
        alice = vault.named(kinds.AGENT, "mbox:mailto:alice@ent.example").hex()
        bob = vault.named(kinds.RELATED_AGENT, "account:https://ent.example|bob").hex()
        subject = vault.subject("account:https://ent.example|bob").hex()
        self.audit.append(STATEMENTS_READ, "sk-1", {"tokens": [alice], "n": 0})
        self.audit.append(STATEMENTS_READ, "sk-2", {"tokens": [vault.named(kinds.VERB, "v").hex()], "n": 1})
        self.audit.append(PERSON_READ, "sk-1", {"tokens": [bob], "n": 2})
        self.audit.append(STATEMENTS_READ, "sk-2", {"subject": subject, "n": 3})

    def find(self, wanted: Wanted) -> list[object]:
        page = self.search.find(wanted, None, 50, who="tests")
        return [entry.detail["n"] for entry in page.entries if "n" in entry.detail]


@pytest.fixture
def house(store: Store, vault: OrganisationKeys) -> House:
    return House(store, vault)


def test_by_person(house: House) -> None:
    assert house.find(Wanted([ALICE])) == [0]
    assert house.find(Wanted([BOB])) == [3, 2]
    assert house.find(Wanted([ALICE, BOB])) == [3, 2, 0]
    assert house.find(Wanted([{"mbox": "mailto:carol@ent.example"}])) == []


def test_by_actor_kind_and_period(house: House) -> None:
    assert house.find(Wanted()) == [3, 2, 1, 0]
    assert house.find(Wanted(actor="sk-1")) == [2, 0]
    assert house.find(Wanted(kinds=(PERSON_READ,))) == [2]
    first, last = (entry.at for entry in house.audit.newest((STATEMENTS_READ,), None, 3)[::2][::-1])
    assert house.find(Wanted(since=first, before=last)) == [2, 1, 0]
    assert house.find(Wanted([BOB], "sk-1", (PERSON_READ,), first, last)) == [2]


def test_a_search_is_recorded_without_naming_anybody(house: House) -> None:
    house.find(Wanted([ALICE], actor="sk-1"))
    (entry,) = house.audit.newest((AUDIT_READ,), None, 5)
    assert entry.detail["searched"] == "sk-1"
    # Whoever looks for readings about somebody is found by the next who does.
    assert len(entry.detail["tokens"]) == 6  # type: ignore[arg-type]
    assert "alice" not in str(entry)


def test_pages_are_of_their_question(house: House) -> None:
    wanted = Wanted(kinds=(STATEMENTS_READ,))
    page = house.search.find(wanted, None, 2, who="tests")
    assert [entry.detail["n"] for entry in page.entries] == [3, 1]
    rest = house.search.find(wanted, page.next, 2, who="tests")
    assert [entry.detail["n"] for entry in rest.entries] == [0]
    assert rest.next is None
    with pytest.raises(BadCursor):
        house.search.find(wanted._replace(actor="sk-2"), page.next, 2, who="tests")


@pytest.mark.parametrize("content", [b"", b"alice@ent.example", b"[" * 70_000])
def test_a_text_that_is_no_agent_is_refused(content: bytes) -> None:
    with pytest.raises(BadRequest):
        read_agents(content)


def test_one_agent_or_several(house: House) -> None:
    assert read_agents(b'{"mbox": "mailto:alice@ent.example"}') == [ALICE]
    assert read_agents(b'[{"mbox": "mailto:alice@ent.example"}]') == [ALICE]
    with pytest.raises(BadRequest):
        house.find(Wanted(read_agents(b'{"mbox": "alice"}')))
