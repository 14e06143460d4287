"""Other people in a statement are masked, whatever the statement holds."""

from __future__ import annotations

import re
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from app.standards.xapi.identifiers import agent_identifier
from app.standards.xapi.masking import HOME, WITHHELD, Mask
from app.standards.xapi.validate import validate
from app.standards.xapi.versions import Version

KEY = bytes(32)
OWN = {"account": {"homePage": "https://ent.example", "name": "own-account"}, "name": "Myself Entirely"}
PAUL = {"account": {"homePage": "https://ent.example", "name": "paul-account"}, "name": "Paul Untel"}
ANNE = {"mbox": "mailto:Anne.Durand@Example.FR", "name": "Anne Durand"}
OWN_ID = str(agent_identifier(OWN))


def mask() -> Mask:
    return Mask([OWN_ID], KEY)


def statement(**changes: Any) -> dict[str, Any]:
    return {
        "actor": OWN,
        "verb": {"id": "https://example.fr/verbs/read"},
        "object": {"id": "https://example.fr/activities/1"},
        **changes,
    }


def text(value: object) -> str:
    return orjson.dumps(value).decode()


def test_a_statement_of_the_person_alone_is_given_as_it_is() -> None:
    own = statement(
        result={"response": "12"}, authority={"account": {"homePage": "https://lrs.example", "name": "tool"}}
    )
    masked = mask().masked(own)
    assert masked.statement is own
    assert masked.roles == ("actor",)


def test_the_authority_is_the_tool_and_stays() -> None:
    authority = {
        "objectType": "Agent",
        "name": "Tutor",
        "account": {"homePage": "https://lrs.example", "name": "tutor"},
    }
    masked = mask().masked(statement(actor=PAUL, authority=authority))
    assert masked.statement["authority"] == authority


@pytest.mark.parametrize(
    ("changes", "roles"),
    [
        ({"object": {"objectType": "Agent", **PAUL}}, ("actor",)),
        ({"actor": PAUL, "object": {"objectType": "Agent", **OWN}}, ("object",)),
        ({"actor": PAUL, "context": {"instructor": OWN}}, ("instructor",)),
        ({"actor": PAUL, "context": {"team": {"objectType": "Group", "member": [OWN, ANNE]}}}, ("team",)),
        ({"actor": {"objectType": "Group", "name": "Paul and me", "member": [OWN, PAUL]}}, ("actor",)),
        (
            {"actor": PAUL, "context": {"contextAgents": [{"objectType": "contextAgent", "agent": OWN}]}},
            ("context-agent",),
        ),
        (
            {
                "actor": PAUL,
                "context": {
                    "contextGroups": [
                        {"objectType": "contextGroup", "group": {"objectType": "Group", "member": [ANNE, OWN]}}
                    ]
                },
            },
            ("context-group",),
        ),
        (
            {
                "actor": PAUL,
                "object": {
                    "objectType": "SubStatement",
                    "actor": OWN,
                    "verb": {"id": "https://example.fr/verbs/read"},
                    "object": {"objectType": "Agent", **ANNE},
                    "context": {"instructor": PAUL},
                },
            },
            ("actor",),
        ),
    ],
)
def test_whoever_else_stands_anywhere_is_masked(changes: dict[str, Any], roles: tuple[str, ...]) -> None:
    given_one = statement(**changes)
    masked = mask().masked(given_one)
    said = text(masked.statement).lower()
    assert masked.roles == roles
    for word in ("paul", "anne", "durand"):
        assert word not in said
    assert "own-account" in said and "myself entirely" in said
    validate([masked.statement], Version.V2, many=False)


def test_one_person_has_one_pseudonym_throughout_and_another_in_another_package() -> None:
    one = mask()
    first = one.masked(statement(context={"instructor": PAUL})).statement["context"]["instructor"]
    second = one.masked(statement(context={"instructor": ANNE})).statement["context"]["instructor"]
    again = one.masked(statement(object={"objectType": "Agent", **PAUL})).statement["object"]
    assert (
        first == again == {"objectType": "Agent", "name": "person 1", "account": {"homePage": HOME, "name": "person-1"}}
    )
    assert second["name"] == "person 2"
    assert one.agents == 2
    assert (
        mask().masked(statement(context={"instructor": ANNE})).statement["context"]["instructor"]["name"] == "person 1"
    )


def test_an_identified_group_is_masked_and_its_members_too() -> None:
    group = {"objectType": "Group", "name": "6e B", "account": {"homePage": "https://ent.example", "name": "class-6b"}}
    masked = mask().masked(statement(context={"team": {**group, "member": [OWN, PAUL]}})).statement["context"]["team"]
    assert masked["name"] == "group 1"
    assert [each["name"] for each in masked["member"]] == ["Myself Entirely", "person 1"]


@pytest.mark.parametrize(
    "free",
    [
        {"result": {"response": "With Paul Untel (paul-account) and PAUL UNTEL."}},
        {"result": {"extensions": {"https://example.fr/ext/peer": {"type": "paul-account"}}}},
        {"context": {"extensions": {"https://example.fr/ext/peer": ["Paul Untel"]}}},
        {"context": {"extensions": {"https://example.fr/ext/peers": {"Paul Untel": 12}}}},
        {"result": {"extensions": {"https://example.fr/ext/peers": [{"of": {"paul-account": 12}}]}}},
        {
            "object": {
                "id": "https://ent.example/users/paul-account",
                "definition": {"name": {"fr": "Page de Paul Untel"}},
            }
        },
    ],
)
def test_those_who_are_masked_are_masked_in_texts_of_the_statement_too(free: dict[str, Any]) -> None:
    changes = {**free, "context": {**free.get("context", {}), "instructor": PAUL}}
    masked = mask().masked(statement(**changes))
    said = text(masked.statement).lower()
    assert "paul" not in said
    assert "person 1" in said


def test_addresses_of_others_are_taken_out_of_texts_and_ones_own_stay() -> None:
    own = Mask(["mbox:mailto:me@example.fr"], KEY)
    sent = statement(
        actor={"mbox": "mailto:me@example.fr"},
        result={"response": "Ask Anne.Durand@example.fr, or me@example.fr"},
        context={"extensions": {"https://example.fr/ext/contact": "mailto:anne.durand@example.fr"}},
    )
    masked = own.masked(sent).statement
    assert masked["result"]["response"] == "Ask (e-mail), or me@example.fr"
    assert "durand" not in text(masked)
    assert masked["actor"] == sent["actor"]


def test_names_of_properties_within_extensions_hold_nobody_and_none_is_lost() -> None:
    scores = {"anne.durand@example.fr": 12, "paul.untel@example.fr": 9}
    sent = statement(result={"extensions": {"https://example.fr/ext/scores": scores}})
    masked = mask().masked(sent).statement["result"]["extensions"]
    assert masked == {"https://example.fr/ext/scores": {"(e-mail)": 12, "(e-mail) (2)": 9}}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a@b.fr", "(e-mail)", "c@d.fr"], ["(e-mail)", "(e-mail) (2)", "(e-mail) (3)"]),
        (["(e-mail) (2)", "a@b.fr", "c@d.fr", "e@f.fr"], ["(e-mail) (2)", "(e-mail)", "(e-mail) (3)", "(e-mail) (4)"]),
    ],
)
def test_names_of_properties_that_become_alike_are_numbered(names: list[str], expected: list[str]) -> None:
    given_one = dict.fromkeys(names, 1)
    masked = mask().masked(statement(result={"extensions": {"https://example.fr/ext/x": given_one}})).statement
    assert list(masked["result"]["extensions"]["https://example.fr/ext/x"]) == expected


_OLD_WAY = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")


@given(
    some.lists(
        some.sampled_from(["a", "é.", "-", "@", "@b", ".fr", "@b.fr", " ", "(", "x" * 63, "y" * 70, "b.fr@c.fr", "."]),
        max_size=14,
    ).map("".join)
)
def test_addresses_are_those_that_one_regular_expression_finds(sent: str) -> None:
    masked = mask().masked(statement(result={"response": sent})).statement
    assert masked["result"]["response"] == _OLD_WAY.sub("(e-mail)", sent)


@pytest.mark.parametrize(
    "planted",
    [
        # Names of properties that are all alike once masked: half a mebibyte.
        {"extensions": {"https://example.fr/ext/x": {f"{number}@x.fr": 1 for number in range(32_000)}}},
        # What could be an address at each of its characters.
        {"response": "a" * 1_000_000 + "@"},
        {"response": ("a" * 64 + "@" + "b" * 63) * 8_000},
        {"response": "a@" * 500_000},
        {"response": "a@b" + ".c" * 500_000},
    ],
)
def test_what_is_planted_in_a_statement_does_not_hold_up_those_who_read_it(planted: dict[str, Any]) -> None:
    sent = statement(result=planted)
    began = time.process_time()
    mask().masked(sent)
    assert time.process_time() - began < 2


def test_a_short_name_masks_its_agent_and_no_words() -> None:
    masked = mask().masked(statement(context={"instructor": {**PAUL, "name": "Al"}}, result={"response": "Al gebra"}))
    assert masked.statement["context"]["instructor"]["name"] == "person 1"
    assert masked.statement["result"]["response"] == "Al gebra"


def test_what_speaks_of_someone_else_is_withheld_where_the_person_stands_in_the_context() -> None:
    sent = statement(
        actor=PAUL,
        result={"score": {"scaled": 0.2}, "response": "no idea"},
        context={
            "instructor": OWN,
            "registration": "00000000-0000-4000-8000-000000000001",
            "extensions": {"https://x.fr/1": 1},
        },
        attachments=[
            {
                "usageType": "https://example.fr/copy",
                "display": {"fr": "Copie"},
                "contentType": "text/plain",
                "length": 1,
                "sha2": "a" * 64,
                "fileUrl": "https://example.fr/copie-de-paul",
            }
        ],
    )
    masked = mask().of_others(sent)
    assert masked.withheld == WITHHELD
    assert not {"result", "attachments"} & masked.statement.keys()
    assert masked.statement["context"].keys() == {"instructor", "registration"}
    validate([masked.statement], Version.V2, many=False)


def test_what_speaks_of_the_person_is_not_withheld() -> None:
    score = {"score": {"scaled": 0.9}}
    for changes in (
        {"object": {"objectType": "Agent", **OWN}},
        {"actor": {"objectType": "Group", "member": [OWN, PAUL]}},
    ):
        masked = mask().of_others(statement(**{"actor": PAUL, "result": score, **changes}))
        assert (masked.withheld, masked.statement["result"]) == ((), score)
    reference = {"objectType": "StatementRef", "id": "00000000-0000-4000-8000-000000000001"}
    masked = mask().of_others(statement(actor=PAUL, object=reference, result=score), about=True)
    assert (masked.withheld, masked.statement["result"]) == ((), score)


def test_what_is_given_is_not_changed(full: dict[str, Any]) -> None:
    before = text(full)
    mask().of_others(full)
    mask().masked(full)
    assert text(full) == before


# --- whatever the statement holds -------------------------------------------------------------------

MARK = "zqx"
_letters = some.text(some.sampled_from("abcdeé'-<>&\"\u202e\u0000中"), min_size=0, max_size=8)


def agents(number: int) -> some.SearchStrategy[dict[str, Any]]:
    """Agents of others: each of their identifiers and names has ``MARK`` in it."""
    name = some.builds(lambda end: f"{MARK}{number}{end}", _letters)
    account = some.builds(
        lambda end: {"account": {"homePage": "https://x.example", "name": f"{MARK}{number}{end}"}}, _letters
    )
    address = some.just({"mbox": f"mailto:{MARK}{number}@x.example"})
    id = some.just({"openid": f"https://x.example/{MARK}{number}"})
    return some.builds(lambda who, named: {**who, "name": named}, some.one_of(account, address, id), name)


people = some.one_of(some.just(OWN), *(agents(number) for number in range(3)))
groups = some.builds(
    lambda members, name: {"objectType": "Group", "name": MARK + name, "member": members},
    some.lists(people, min_size=1, max_size=4),
    _letters,
)
anyone = some.one_of(people, groups)
contexts = some.fixed_dictionaries(
    {},
    optional={
        "instructor": anyone,
        "team": groups,
        "contextAgents": some.lists(
            some.builds(lambda who: {"objectType": "contextAgent", "agent": who}, people), min_size=1, max_size=2
        ),
        "contextGroups": some.lists(
            some.builds(lambda who: {"objectType": "contextGroup", "group": who}, groups), min_size=1, max_size=2
        ),
    },
)
targets = some.one_of(
    some.just({"id": "https://example.fr/activities/1"}),
    some.builds(lambda who: {"objectType": "Agent", **who}, people),
    groups,
)


def built(inner: bool) -> some.SearchStrategy[dict[str, Any]]:
    return some.builds(
        lambda actor, target, context: {
            **statement(actor=actor, object=target, context=context),
            **({"objectType": "SubStatement"} if inner else {}),
        },
        anyone,
        targets if inner else some.one_of(targets, built(True)),
        contexts,
    )


@settings(max_examples=150, deadline=None)
@given(built(False))
def test_nobody_else_is_left_in_any_statement(sent: dict[str, Any]) -> None:
    validate([sent], Version.V2, many=False)
    for masked in (mask().masked(sent), mask().of_others(sent)):
        assert MARK not in text(masked.statement)
        validate([masked.statement], Version.V2, many=False)
        assert ("own-account" in text(masked.statement)) == ("own-account" in text(sent))
        assert bool(masked.roles) == ("own-account" in text(sent))
