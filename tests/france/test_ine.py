"""INE: found by form, as whole values, anywhere."""

import json

import pytest

from app.france import ine


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


def test_values_and_keys_are_found_anywhere_without_being_repeated():
    tree = {
        "actor": {"account": {"name": "123456789AB"}},
        "result": {"response": "1234567890A", "list": ["fine", ["1234A56789B"]]},
        "a/b~c": {"987654321XY": {"deep": 1}},
        "number": 12345678901,
    }
    places = ine.find(tree)
    assert places == ["/actor/account/name", "/a~1b~0c", "/result/list/1/0", "/result/response"]
    assert ine.find(json.loads(json.dumps(["nothing", {"here": None}]))) == []


def test_a_deep_tree_is_searched_without_recursion():
    tree = "123456789AB"
    for _ in range(5000):
        tree = [tree]
    assert len(ine.find(tree)) == 1
