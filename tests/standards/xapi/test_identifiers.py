import copy
import random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.standards.xapi.identifiers import VOIDED, agent_identifier, keys_of


@pytest.mark.parametrize(
    ("agent", "identifier"),
    [
        ({"mbox": "mailto:Ada@Example.FR"}, "mbox:mailto:ada@example.fr"),
        ({"mbox_sha1sum": "AB" * 20}, "mbox_sha1sum:" + "ab" * 20),
        ({"openid": "https://id.fr/A"}, "openid:https://id.fr/A"),
        ({"account": {"homePage": "https://a.fr", "name": "x|Y"}}, "account:https://a.fr|x|Y"),
        ({"objectType": "Group", "member": []}, None),
    ],
)
def test_each_identifier_has_one_string(agent: dict[str, Any], identifier: str | None) -> None:
    assert agent_identifier(agent) == identifier


@example("x", "y|z", "x|y", "z")
@given(*[st.text("ab|%7C:", max_size=4)] * 4)
def test_two_accounts_never_share_a_string(home: str, name: str, other_home: str, other_name: str) -> None:
    def identifier(home: str, name: str) -> str | None:
        return agent_identifier({"account": {"homePage": "https://" + home.replace("%", ""), "name": name}})

    same = (home.replace("%", ""), name) == (other_home.replace("%", ""), other_name)
    assert (identifier(home, name) == identifier(other_home, other_name)) is same


def test_the_least_statement_has_its_own_keys_only(simple: dict[str, Any]) -> None:
    keys = keys_of(simple)
    assert keys.subject == "account:https://ent.example.fr|e-0001"
    assert keys.agents == (keys.subject,)
    assert keys.verb == "https://example.fr/verbs/read"
    assert keys.activities == ("https://example.fr/activities/1",)
    assert (keys.related_agents, keys.related_activities) == ((), ())
    assert (keys.registration, keys.voids, keys.refers) == (None, None, None)


def test_related_keys_reach_into_context_and_sub_statement_and_repeat_nothing(full: dict[str, Any]) -> None:
    keys = keys_of(full)
    sha1 = "mbox_sha1sum:" + "a" * 40
    assert keys.subject == "openid:https://id.example.fr/4"
    assert keys.agents == (
        keys.subject,
        "account:https://ent.example.fr|e-0001",
        "mbox:mailto:other@example.fr",
    )
    assert keys.related_agents == (sha1,)
    assert keys.activities == ()
    assert sorted(keys.related_activities) == [
        "https://example.fr/activities/course",
        "https://example.fr/activities/quiz",
        "https://example.fr/profiles/quiz",
    ]
    assert keys.registration == "abcdefab-0000-4000-8000-000000000001"


def test_an_agent_or_group_as_object_is_matched_with_its_members(simple: dict[str, Any]) -> None:
    simple["object"] = {
        "objectType": "Group",
        "openid": "https://id.fr/g",
        "member": [{"openid": "https://id.fr/m"}, {"openid": "https://id.fr/m"}],
    }
    keys = keys_of(simple)
    assert keys.agents == ("account:https://ent.example.fr|e-0001", "openid:https://id.fr/g", "openid:https://id.fr/m")
    assert keys.activities == ()


def test_context_agents_and_groups_of_2_0_are_related(simple: dict[str, Any]) -> None:
    simple["context"] = {
        "contextAgents": [{"objectType": "contextAgent", "agent": {"openid": "https://id.fr/a"}}],
        "contextGroups": [
            {"objectType": "contextGroup", "group": {"objectType": "Group", "member": [{"openid": "https://id.fr/b"}]}}
        ],
    }
    assert keys_of(simple).related_agents == ("openid:https://id.fr/a", "openid:https://id.fr/b")


def test_a_context_activity_that_is_the_object_is_not_listed_twice(simple: dict[str, Any]) -> None:
    simple["context"] = {"contextActivities": {"parent": [simple["object"], {"id": "https://x.fr/p"}]}}
    assert keys_of(simple).related_activities == ("https://x.fr/p",)


def test_an_anonymous_group_is_one_subject_in_any_order_and_no_other_groups(simple: dict[str, Any]) -> None:
    members = [{"account": {"homePage": "https://a.fr", "name": name}} for name in ("1", "2", "3")]
    simple["actor"] = {"objectType": "Group", "member": members}
    first = keys_of(simple)
    shuffled = copy.deepcopy(simple)
    random.Random(3).shuffle(shuffled["actor"]["member"])
    assert keys_of(shuffled).subject == first.subject
    assert first.subject not in first.agents
    assert len(first.agents) == 3
    shuffled["actor"]["member"].pop()
    assert keys_of(shuffled).subject != first.subject


def test_a_reference_is_a_voiding_only_with_the_voiding_verb(simple: dict[str, Any]) -> None:
    target = UUID("abcdefab-0000-4000-8000-000000000009")
    simple["object"] = {"objectType": "StatementRef", "id": str(target).upper()}
    assert (keys_of(simple).refers, keys_of(simple).voids) == (target, None)
    simple["verb"]["id"] = VOIDED
    assert (keys_of(simple).refers, keys_of(simple).voids) == (target, target)
