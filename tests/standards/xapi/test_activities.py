"""Definitions found in statements, and merged."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.standards.xapi.activities import activities_in, definitions_of, merge

LANGUAGES = st.dictionaries(st.sampled_from(["fr", "en", "de"]), st.text(max_size=3), max_size=3)
DEFINITIONS = st.fixed_dictionaries(
    {},
    optional={
        "name": LANGUAGES,
        "description": LANGUAGES,
        "type": st.sampled_from(["x:a", "x:b"]),
    },
)


def _activity(name: str, **definition: Any) -> dict[str, Any]:
    return {"id": f"https://example.fr/{name}", "definition": definition}


def test_definitions_are_found_in_the_object_the_context_and_a_substatement() -> None:
    statement = {
        "actor": {"mbox": "mailto:a@example.fr"},
        "verb": {"id": "x:v"},
        "object": {
            "objectType": "SubStatement",
            "actor": {"mbox": "mailto:a@example.fr"},
            "verb": {"id": "x:v"},
            "object": _activity("1", type="x:t"),
            "context": {"contextActivities": {"other": _activity("2")}},
        },
        "context": {"contextActivities": {"parent": [_activity("3"), {"id": "https://example.fr/4"}]}},
    }
    assert [id[-1] for id, _ in definitions_of(statement)] == ["1", "2", "3"]
    assert sorted(id[-1] for id in activities_in(statement)) == ["1", "2", "3", "4"]


def test_languages_stand_side_by_side_and_the_rest_is_the_last() -> None:
    known = {"name": {"fr": "Un", "en": "One"}, "type": "x:old"}
    seen = {"name": {"en": "1"}, "type": "x:new"}
    assert merge(known, seen) == {"name": {"fr": "Un", "en": "1"}, "type": "x:new"}


def test_extensions_are_those_seen_last() -> None:
    assert merge({"extensions": {"x:a": 1}}, {"extensions": {"x:b": 2}}) == {"extensions": {"x:b": 2}}
    assert merge({"extensions": {"x:a": 1}}, {"type": "x:t"}) == {"extensions": {"x:a": 1}, "type": "x:t"}


def test_another_kind_of_interaction_leaves_nothing_of_the_one_before() -> None:
    choice = {
        "name": {"fr": "Q"},
        "interactionType": "choice",
        "choices": [{"id": "a"}],
        "correctResponsesPattern": ["a"],
    }
    assert merge(choice, {"interactionType": "numeric"}) == {"name": {"fr": "Q"}, "interactionType": "numeric"}
    assert merge(choice, {"interactionType": "choice"}) == choice
    assert merge(choice, {"name": {"en": "Q"}}) == {**choice, "name": {"fr": "Q", "en": "Q"}}
    likert = {"interactionType": "likert", "scale": [{"id": "1"}]}
    assert merge(choice, likert) == {"name": {"fr": "Q"}, **likert}


@given(DEFINITIONS, DEFINITIONS)
def test_merging_again_changes_nothing_and_loses_no_key(known: dict[str, Any], seen: dict[str, Any]) -> None:
    merged = merge(known, seen)
    assert merge(merged, seen) == merged
    assert merge({}, seen) == seen
    assert merged.keys() == known.keys() | seen.keys()
    for name in ("name", "description"):
        assert merged.get(name, {}).keys() == known.get(name, {}).keys() | seen.get(name, {}).keys()
