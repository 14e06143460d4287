"""Taking a person out of the statements of others."""

from __future__ import annotations

from typing import Any

import pytest

from app.standards.xapi.attachments import SIGNATURE
from app.standards.xapi.identifiers import agent_identifier, keys_of
from app.standards.xapi.redaction import redacted
from app.standards.xapi.validate import validate
from app.standards.xapi.versions import Version
from tests.people.people import account, mentions
from tests.served import statement

LEA = agent_identifier(account("lea"))
NOBODY = {"homePage": "https://lrs.example/erased", "name": "0a1b"}


def without_lea(given: dict[str, Any]) -> dict[str, Any]:
    return redacted(given, lambda identifier: identifier == LEA, NOBODY).statement


@pytest.mark.parametrize("place", sorted(mentions("lea")))
def test_nothing_of_a_person_stays_at_any_place_and_the_statement_is_valid(place: str) -> None:
    given = mentions("lea")[place]
    kept = without_lea(given)
    keys = keys_of(kept)
    assert LEA not in {keys.subject, *keys.agents, *keys.related_agents}
    assert "lea" not in str(kept)
    assert f"account:{NOBODY['homePage']}|{NOBODY['name']}" in {*keys.agents, *keys.related_agents}
    validate([kept], Version.V2, many=False, data_follow=False)
    assert without_lea(kept) is kept


@pytest.mark.parametrize("place", sorted(mentions("lea")))
def test_what_is_not_theirs_stays_as_it_is(place: str) -> None:
    given = mentions("lea")[place]
    kept = without_lea(given)
    assert list(kept) == list(given)
    assert {name: part for name, part in kept.items() if name not in {"actor", "object", "context"}} == {
        name: part for name, part in given.items() if name not in {"actor", "object", "context"}
    }
    assert "Name of other" in str(kept) or "Name of other" not in str(given)


def test_a_statement_that_does_not_name_them_is_the_same_object() -> None:
    for given in (statement(), *mentions("somebody").values()):
        assert without_lea(given) is given


def test_a_group_that_is_identified_as_they_are_keeps_its_other_members() -> None:
    group = {**account("lea"), "objectType": "Group", "member": [account("lea"), account("other")]}
    team = without_lea(statement(context={"team": group}))["context"]["team"]
    assert team == {
        "objectType": "Group",
        "member": [{"objectType": "Agent", "account": NOBODY}, account("other")],
        "account": NOBODY,
    }


@pytest.mark.parametrize("others", [0, 1])
def test_a_signature_of_what_it_was_goes_and_other_attachments_stay(others: int) -> None:
    digest = "AB" * 32
    signature = {"usageType": SIGNATURE, "display": {}, "contentType": "x/y", "length": 1, "sha2": digest}
    other = {**signature, "usageType": "https://ent.example/copy"}
    given = statement(context={"instructor": account("lea")}, attachments=[signature, *[other] * others])
    outcome = redacted(given, lambda identifier: identifier == LEA, NOBODY)
    assert outcome.signatures == (digest.lower(),)
    assert outcome.statement.get("attachments", []) == [other] * others
    assert redacted(given, lambda identifier: False, NOBODY) == (given, ())
