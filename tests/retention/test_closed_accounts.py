"""Ends of accounts, as sources announce them."""

from __future__ import annotations

import os

import orjson
import pytest

from app.core import clock
from app.core.errors import BadRequest, MalformedJSON, SillageError
from app.crypto.keys import KeyEncryptionKeys, OrganisationKeys
from app.governance.audit.log import ACCOUNTS_ANNOUNCED, Audit
from app.governance.audit.store import AuditRepository
from app.keys.data_subject_cipher import DataSubjectCipher
from app.keys.learners import SubjectKeys
from app.people.finding.finder import data_subject_of
from app.platform.mongo.connection import Store
from app.retention.closed_account_store import AccountRepository
from app.retention.closed_accounts import MAX_EVENTS, Accounts, Announced, Event, of_csv, of_json
from tests.sinks import AllAdmitted, NoPseudonyms

NOW = 1_790_000_000_000_000
DAY = 1_795_132_800_000_000
"""2026-11-20, midnight UTC."""


def agent(name: str) -> dict[str, object]:
    return {"account": {"homePage": "https://ent.example", "name": name}}


def ending(said: dict[str, object], event: str, on: int | None) -> Event:
    return Event(data_subject_of([said]), event, on)


class Desk:
    def __init__(self, store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> None:
        self.store = store
        self.vault = vault
        self.repository = AccountRepository(store)
        self.audit = Audit(AuditRepository(store), vault, clock.now_us, os.urandom)
        cipher = DataSubjectCipher(SubjectKeys(store, keks, "default"), "default", os.urandom)
        self.accounts = Accounts(self.repository, vault, cipher, self.audit, lambda: NOW, AllAdmitted(), NoPseudonyms())

    def say(self, *events: Event, source: str = "ent") -> Announced:
        return self.accounts.announce(source, events, actor="sk-test")

    def known(self, source: str = "ent") -> dict[bytes, int]:
        return {one.subject: one.closed for one in self.repository.closed(source, 1 << 62, None, 100)}

    def subject(self, name: str) -> bytes:
        return self.vault.subject(f"account:https://ent.example|{name}")


@pytest.fixture
def desk(store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> Desk:
    return Desk(store, keks, vault)


def test_ends_are_noted_once_and_taken_back(desk: Desk) -> None:
    ends = [ending(agent("a"), "closed", None), ending(agent("b"), "closed", DAY)]
    assert desk.say(*ends) == desk.say(*ends) == Announced(2, 0)
    assert desk.known() == {desk.subject("a"): NOW, desk.subject("b"): DAY}
    assert desk.say(ending(agent("a"), "reopened", None), ending(agent("c"), "reopened", None)) == Announced(0, 1)
    assert desk.known() == {desk.subject("b"): DAY}
    entry = desk.audit.newest([ACCOUNTS_ANNOUNCED])[0]
    assert (entry.actor, entry.detail) == ("sk-test", {"source": "ent", "closed": 0, "reopened": 2})


def test_a_source_speaks_of_its_own_accounts_alone(desk: Desk) -> None:
    desk.say(ending(agent("a"), "closed", None))
    assert desk.say(ending(agent("a"), "reopened", None), source="tutor") == Announced(0, 0)
    assert (len(desk.known()), desk.known("tutor")) == (1, {})


def test_the_last_word_on_an_account_counts(desk: Desk) -> None:
    assert desk.say(ending(agent("a"), "closed", None), ending(agent("a"), "reopened", None)) == Announced(0, 0)
    assert desk.known() == {}


def test_nothing_of_an_account_stands_in_clear(desk: Desk) -> None:
    desk.say(ending(agent("zoe"), "closed", None), ending(agent("other"), "reopened", None))
    stored = repr([*desk.store.collection("accounts").find({}), *desk.store.collection("audit").find({})])
    assert "zoe" not in stored


def test_ends_are_paged_in_the_order_of_their_days(desk: Desk) -> None:
    desk.say(*[ending(agent(str(number)), "closed", DAY + number % 3) for number in range(10)])
    seen, after = [], None
    while page := desk.repository.closed("ent", 1 << 62, after, 3):
        after = page[-1]
        seen += page
    assert len({one.subject for one in seen}) == len(seen) == 10
    assert [one.closed for one in seen] == sorted(one.closed for one in seen)
    assert desk.repository.closed("ent", DAY, None, 3) == []


def test_json_says_accounts_events_and_days() -> None:
    said = [
        {"agent": agent("a")},
        {"agent": agent("b"), "event": "reopened"},
        {"agent": agent("c"), "on": "2026-11-20"},
    ]
    said.append({"agent": agent("d"), "on": "2026-11-20T01:00:00+01:00"})
    assert of_json(orjson.dumps({"accounts": said})) == [
        ending(agent("a"), "closed", None),
        ending(agent("b"), "reopened", None),
        ending(agent("c"), "closed", DAY),
        ending(agent("d"), "closed", DAY),
    ]


def test_csv_says_the_same() -> None:
    content = (
        "\ufeffhome_page,name,mbox,event,on\r\n"
        "https://ent.example,a,,,\r\n"
        'https://ent.example,"b, with a comma",,reopened,\r\n'
        ",,mailto:c@ent.example,closed,2026-11-20\r\n"
    )
    assert of_csv(content.encode()) == [
        ending(agent("a"), "closed", None),
        ending(agent("b, with a comma"), "reopened", None),
        ending({"mbox": "mailto:c@ent.example"}, "closed", DAY),
    ]


def test_csv_may_have_semicolons_as_french_spreadsheets_write_them() -> None:
    content = '\ufeffhome_page;name;on\r\nhttps://ent.example;"b; c, d";2026-11-20\r\n'
    assert of_csv(content.encode()) == [ending(agent("b; c, d"), "closed", DAY)]


@pytest.mark.parametrize(
    ("accounts", "pointers"),
    [
        ([{"agent": {}}], ["/accounts/0/agent"]),
        ([{"agent": "a"}], ["/accounts/0/agent"]),
        ([{}, "a"], ["/accounts/0/agent", "/accounts/1"]),
        ([{"agent": {"mbox": "nobody"}}], ["/accounts/0/agent/mbox"]),
        ([{"agent": agent("a"), "event": "gone"}], ["/accounts/0/event"]),
        ([{"agent": agent("a"), "on": "20 November"}], ["/accounts/0/on"]),
        ([{"agent": agent("a"), "on": "2026-11-20T01:00:00"}], ["/accounts/0/on"]),
        ([{"agent": agent("a"), "on": 3}], ["/accounts/0/on"]),
        ([{"agent": agent("a"), "on": "2026-W01-1"}], ["/accounts/0/on"]),
        ([{"agent": agent("a"), "on": "2026-W01-1T00:00:00Z"}], ["/accounts/0/on"]),
        ([{"agent": agent("a"), "on": "20261120T010000Z"}], ["/accounts/0/on"]),
        ([{"agent": agent("a"), "on": "202٦-11-20"}], ["/accounts/0/on"]),
        ([{"agent": agent("a"), "on": "0001-01-01T00:00:00+14:00"}], ["/accounts/0/on"]),
        ([{"agent": agent("a"), "on": "9999-12-31T23:59:59-14:00"}], ["/accounts/0/on"]),
        ([{"agent": agent("a"), "why": ""}], ["/accounts/0"]),
        ("all", [""]),
    ],
)
def test_what_is_wrong_is_told_where_it_stands_without_its_value(accounts: object, pointers: list[str]) -> None:
    with pytest.raises(BadRequest) as refused:
        of_json(orjson.dumps({"accounts": accounts}))
    assert [fault.pointer for fault in refused.value.faults] == pointers
    assert "nobody" not in str(refused.value.faults)


@pytest.mark.parametrize(
    ("content", "pointers"),
    [
        (b"\xff\xfe", [""]),
        (b"home_page,name,school\nhttps://ent.example,a,b\n", ["/2"]),
        (b"home_page,name\nhttps://ent.example,a,b\n", ["/2"]),
        (b"home_page,name\nhttps://ent.example\n", ["/2"]),
        (b"home_page,name\nhttps://ent.example,a\n,b\n", ["/3/agent/account/homePage"]),
        (b"mbox,on\nmailto:a@ent.example,soon\n", ["/2/on"]),
        (b"mbox,on\nmailto:a@ent.example,2026-W01-1\n", ["/2/on"]),
    ],
)
def test_a_line_of_csv_that_is_wrong_is_named(content: bytes, pointers: list[str]) -> None:
    with pytest.raises(BadRequest) as refused:
        of_csv(content)
    assert [fault.pointer for fault in refused.value.faults] == pointers


def test_lists_that_are_none_or_too_long_are_refused() -> None:
    with pytest.raises(MalformedJSON):
        of_json(b"{")
    for content in (b"[]", b"{}", b'{"accounts":[],"more":1}'):
        with pytest.raises(BadRequest):
            of_json(content)
    for refused in (
        lambda: of_json(orjson.dumps({"accounts": [{}] * (MAX_EVENTS + 1)})),
        lambda: of_csv(b"name\n" + b"a\n" * (MAX_EVENTS + 1)),
    ):
        with pytest.raises(SillageError, match="more than"):
            refused()
