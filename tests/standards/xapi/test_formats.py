import copy
from typing import Any

import pytest

from app.core import lossless
from app.core.lossless import Digits
from app.standards.xapi.activities import activities_in
from app.standards.xapi.formats import as_canonical, as_ids, described, exceeds, within
from app.standards.xapi.identifiers import keys_of
from app.standards.xapi.languages import Languages
from app.standards.xapi.versions import Version


def canonical_of(statement: dict[str, Any], wanted: list[str], known: dict[str, Any] | None = None) -> dict[str, Any]:
    """As it is written, and read again."""
    languages = Languages(wanted)
    written = {id: described(each, languages) for id, each in (known or {}).items()}
    read: dict[str, Any] = lossless.loads(lossless.dumps(as_canonical(statement, languages, written.get)))
    return read


def test_ids_keeps_what_identifies_and_nothing_more(full: dict[str, Any]) -> None:
    before = copy.deepcopy(full)
    ids = as_ids(full)
    assert full == before
    assert ids["actor"] == {"objectType": "Group", "openid": "https://id.example.fr/4"}
    assert ids["verb"] == {"id": full["verb"]["id"]}
    assert ids["object"]["actor"] == full["object"]["actor"]
    assert ids["object"]["verb"] == {"id": full["object"]["verb"]["id"]}
    assert ids["object"]["object"] == {"id": "https://example.fr/activities/quiz"}
    assert ids["context"]["instructor"] == {"mbox": "mailto:Other@Example.FR"}
    assert ids["context"]["team"] == full["context"]["team"]
    assert ids["context"]["contextActivities"]["parent"] == [{"id": "https://example.fr/activities/course"}]
    assert ids["authority"] == full["authority"]
    for same in ("id", "result", "timestamp", "stored", "version", "attachments"):
        assert ids[same] == full[same]


def test_ids_shortens_members_context_agents_and_agents_as_objects(simple: dict[str, Any]) -> None:
    named = {"openid": "https://id.fr/1", "name": "One"}
    bare = {"openid": "https://id.fr/1"}
    simple["actor"] = {"objectType": "Group", "name": "G", "member": [named]}
    simple["object"] = {"objectType": "Agent", **named}
    simple["context"] = {"contextAgents": [{"objectType": "contextAgent", "agent": named}]}
    ids = as_ids(simple)
    assert ids["actor"] == {"objectType": "Group", "member": [bare]}
    assert ids["object"] == {"objectType": "Agent", **bare}
    assert ids["context"]["contextAgents"] == [{"objectType": "contextAgent", "agent": bare}]


def test_ids_is_found_by_the_same_activities_and_verb(full: dict[str, Any]) -> None:
    whole, short = keys_of(full), keys_of(as_ids(full))
    assert short[3:] == whole[3:]
    assert short.subject == whole.subject


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (["fr"], "Question"),
        (["FR"], "Question"),
        (["fr-CA"], "Question"),
        (["en"], "Question 1"),
        (["en-GB"], "Question one"),
        (["en-US"], "Question 1"),
        (["de", "en"], "Question 1"),
        (["de"], "Question"),
        (["*"], "Question"),
        ([], "Question"),
    ],
)
def test_canonical_answers_one_language(full: dict[str, Any], wanted: list[str], name: str) -> None:
    definition = canonical_of(full, wanted)["object"]["object"]["definition"]
    assert list(definition["name"].values()) == [name]


def test_canonical_matches_a_region_when_only_the_language_was_asked(simple: dict[str, Any]) -> None:
    simple["verb"]["display"] = {"de": "las", "en-GB": "read"}
    assert canonical_of(simple, ["en"])["verb"]["display"] == {"en-GB": "read"}


def test_canonical_chooses_for_each_map_alone_and_leaves_agents(full: dict[str, Any]) -> None:
    canonical = canonical_of(full, ["en", "fr"])
    assert canonical["verb"]["display"] == {"en": "planned"}
    assert canonical["object"]["verb"]["display"] == {"en": "answered"}
    definition = canonical["object"]["object"]["definition"]
    assert definition["description"] == {"fr": "Laquelle ?"}
    assert definition["choices"] == [{"id": "a", "description": {"en": "This"}}, {"id": "b"}]
    assert canonical["context"]["contextActivities"]["parent"][0]["definition"]["name"] == {"fr": "Cours"}
    assert canonical["actor"] == full["actor"]
    assert canonical["attachments"] == full["attachments"]


def test_canonical_takes_the_definition_that_the_store_knows() -> None:
    known = {"https://example.fr/a": {"name": {"en": "Known", "fr": "Connue"}}}
    plain = {
        "actor": {"mbox": "mailto:a@example.fr"},
        "verb": {"id": "https://example.fr/v"},
        "object": {"id": "https://example.fr/a", "definition": {"name": {"fr": "Dite"}}},
        "context": {"contextActivities": {"parent": [{"id": "https://example.fr/b", "definition": {"type": "x:y"}}]}},
    }
    canonical = canonical_of(plain, ["en"], known)
    assert canonical["object"]["definition"] == {"name": {"en": "Known"}}
    assert canonical["context"] == plain["context"]


@pytest.mark.parametrize("known", [{}, {"name": {"en": "Known"}}])
def test_canonical_gives_the_extensions_of_the_statement_and_no_others(known: dict[str, Any]) -> None:
    own = {"https://example.fr/e": [1, "é", Digits("1" * 30)]}
    plain = {
        "actor": {"mbox": "mailto:a@example.fr"},
        "verb": {"id": "https://example.fr/v"},
        "object": {"id": "https://example.fr/a", "definition": {"name": {"fr": "Dite"}, "extensions": own}},
    }
    learnt = {**known, "extensions": {"https://example.fr/other": "of somebody else"}}
    canonical = canonical_of(plain, ["en"], {"https://example.fr/a": learnt})
    assert canonical["object"]["definition"] == {**known, "extensions": own}
    del plain["object"]["definition"]  # type: ignore[attr-defined]
    assert canonical_of(plain, ["en"], {"https://example.fr/a": learnt})["object"].get("definition") == known


def test_canonical_asks_for_activities_in_the_order_in_which_they_are_listed(full: dict[str, Any]) -> None:
    asked: dict[str, None] = {}
    as_canonical(full, Languages(), lambda id: asked.setdefault(id))
    assert tuple(asked) == activities_in(full)


def test_1_0_3_leaves_out_what_came_with_2_0_and_nothing_more(full: dict[str, Any], simple: dict[str, Any]) -> None:
    assert within(full, Version.V1) == full
    new = {"contextAgents": [{"objectType": "contextAgent", "agent": {"openid": "https://id.fr/1"}}]}
    inner = {**full["object"], "context": {**full["object"]["context"], **new}}
    sent = {**full, "context": {**full["context"], **new}, "object": inner}
    before = copy.deepcopy(sent)
    assert within(sent, Version.V1) == full
    assert sent == before
    assert "context" not in within({**simple, "context": new}, Version.V1)


def test_1_0_3_leaves_a_signed_statement_whole(simple: dict[str, Any]) -> None:
    signature = {"usageType": "http://adlnet.gov/expapi/attachments/signature"}
    signed = {**simple, "context": {"contextGroups": []}, "attachments": [signature]}
    assert within(signed, Version.V1) is signed


@pytest.mark.parametrize(
    ("body", "needed"),
    [
        (b'{"context":{"contextAgents":[]}}', True),
        (b'{"object":{"context":{"contextGroups":[]}}}', True),
        (b'{"context":{"contextActivities":{}},"version":"2.0.0"}', False),
        (rb'{"result":{"response":"\"contextAgents\":"}}', False),
        # One that came without a version was held to 1.0.3: a name there is that of an extension.
        (b'{"context":{"extensions":{"contextAgents":1}},"version":"1.0.0"}', False),
        (b'{"context":{"contextAgents":[]},"version":"2.0.0"}', True),
        (b'{"context":{"contextAgents":[],"extensions":{"x":{"a":1,"version":"1.0.0"}}}}', True),
    ],
)
def test_only_what_came_with_2_0_is_looked_into(body: bytes, needed: bool) -> None:
    assert exceeds(body, Version.V1) is needed
    assert not exceeds(body, Version.V2)
