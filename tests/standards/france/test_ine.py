"""INE: found by form, as whole values, anywhere."""

import json
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import pointer_to
from app.standards.france import ine


@pytest.mark.parametrize(
    "text", ["123456789AB", "1234567890A", "0_12345678Z", "1234A56789B", "123456789ab", " 123456789AB "]
)
def test_each_form_is_recognised(text):
    assert ine.looks_like(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "0750654D", "10010012110", "1234567890", "123456789ABC", "x123456789AB", "12345678901A",
        "2f1c1f7e-2f7c-4a2b-8f0e-5b2f6f1c9d11", "b1946ac92492d2347c6235b4d2611184", "123456789A1",
    ],
)  # fmt: skip
def test_other_identifiers_are_not(text):
    assert not ine.looks_like(text)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("123456789AB", "#"),
        ("mailto:123456789ab@ent.example", "mailto:#@ent.example"),
        ("https://ent.example/eleves/1234567890A/notes", "https://ent.example/eleves/#/notes"),
        ("https://ent.example/?ine=0_12345678Z", "https://ent.example/?ine=#"),
        ("eleve.123456789AB, 1234A56789B", "eleve.#, #"),
        ("\n123456789AB\x01", "\n#\x01"),
    ],
)
def test_one_that_stands_by_itself_is_found_within_a_text_and_replaced(text, hidden):
    assert ine.within(text)
    assert ine.replace(text, lambda found: "#" * found.isupper()) == hidden
    assert ine.possible(orjson.dumps({"x": text}))


@pytest.mark.parametrize(
    "text",
    ["x123456789AB", "123456789ABC", "1.123456789AB", "2f1c1f7e-123456789AB-2f7c", "a_123456789AB", "123456789AB-x"],
)
def test_a_part_of_something_else_is_not_found(text):
    assert not ine.within(text)
    assert ine.replace(text, lambda found: "#") == text


@given(
    st.recursive(st.text() | st.just("123456789AB"), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_the_quick_look_misses_nothing(tree):
    assert ine.possible(orjson.dumps(tree)) or not list(ine.find(tree))


def test_values_and_keys_are_found_anywhere_without_being_repeated():
    tree = {
        "actor": {"account": {"name": "123456789AB"}},
        "result": {"response": "1234567890A", "list": ["fine", ["1234A56789B"]]},
        "a/b~c": {"987654321XY": {"deep": 1}},
        "number": 12345678901,
    }
    places = [pointer_to(place) for place in ine.find(tree)]
    assert sorted(places) == ["/actor/account/name", "/a~1b~0c", "/result/list/1/0", "/result/response"]
    assert not list(ine.find(json.loads(json.dumps(["nothing", {"here": None}]))))


def test_a_long_key_above_many_values_costs_nothing_for_each():
    tree = {"k" * 50_000: ["123456789AB"] * 20_000}
    tracemalloc.start()
    try:
        places = list(ine.find(tree))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(places) == 20_000
    # Some 130 bytes each; with its pointer each would have 50,000.
    assert peak < 200 * 20_000
    assert pointer_to(places[7]) == "/" + "k" * 150 + "…" + "k" * 40 + "/7"
    assert list(ine.find("123456789AB")) == [None]


def test_a_deep_tree_is_searched_without_recursion():
    tree = "123456789AB"
    for _ in range(5000):
        tree = [tree]
    assert len(list(ine.find(tree))) == 1


@given(st.lists(st.sampled_from([*"0123456789_AaZz -.\\", "123456789AB", "12345678", "1234A5678", "000000000A", "é"])))
def test_where_runs_are_looked_at_the_pattern_misses_none(parts):
    content = orjson.dumps("".join(parts))
    assert ine.possible(content) == (ine._BYTES.search(content) is not None)
