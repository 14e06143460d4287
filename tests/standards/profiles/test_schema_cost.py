"""Schemas come from elsewhere: none is used whose checking could take for ever, and ordinary ones are."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from app.standards.profiles import schema_cost, schemas
from app.standards.profiles.schema_cost import TooCostly, weigh
from tests.places import ROOT

PROFILES = ROOT / "schemas" / "profiles"


def doubling(way: str, levels: int = 30) -> dict[str, Any]:
    """Definitions each of which asks the next one twice."""
    made: dict[str, Any] = {}
    for level in range(levels):
        twice = [{"$ref": f"#/definitions/a{level + 1}"}] * 2
        made[f"a{level}"] = {
            "allOf": {"allOf": twice},
            "anyOf": {"anyOf": twice},
            "oneOf": {"oneOf": twice},
            "if": {"if": twice[0], "then": twice[1], "else": twice[1]},
            "not": {"not": twice[0], "allOf": [twice[1]]},
            "dependencies": {"dependencies": {"a": twice[0], "b": twice[1]}},
            "members": {"allOf": [{"properties": {"a": twice[0]}}, {"additionalProperties": twice[1]}]},
            "patterns": {"patternProperties": {"a": twice[0], "^a": twice[1]}},
            "items": {"items": twice[0], "contains": twice[1]},
            "numbers": {"allOf": [{"items": [twice[0]]}, {"items": twice[1]}]},
            "names": {"anyOf": [{"propertyNames": {"anyOf": twice}}, twice[0]]},
        }[way]
    made[f"a{levels}"] = {"type": "string"}
    return {"$ref": "#/definitions/a0", "definitions": made}


WAYS = [
    "allOf", "anyOf", "oneOf", "if", "not", "dependencies", "members", "patterns", "items", "numbers", "names",
]  # fmt: skip
HOSTILE: dict[str, Any] = {
    **{f"doubling by {way}": doubling(way) for way in WAYS},
    "itself twice": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    "itself": {"allOf": [{"$ref": "#"}]},
    "itself, twice a level": {"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}]},
    "itself by its name": {
        "$id": "#me",
        "definitions": {"x": {"$id": "#x", "oneOf": [{"$ref": "#x"}] * 2}},
        "$ref": "#x",
    },
    "itself by its address": {"$id": "http://e.fr/s", "anyOf": [{"$ref": "http://e.fr/s"}, {"$ref": "s#"}]},
    "a name within an example first": {
        "const": {"$id": "#x"},
        "definitions": {"x": {"$id": "#x", "oneOf": [{"$ref": "#x"}] * 2}},
        "allOf": [{"$ref": "#x"}],
    },
    "an address within": {"definitions": {"x": {"$id": "http://e.fr/x", "allOf": [{"$ref": "#"}]}}},
    "a chain": {
        "$ref": "#/definitions/a0",
        "definitions": {f"a{level}": {"$ref": f"#/definitions/a{level + 1}"} for level in range(500)} | {"a500": {}},
    },
    "many values": {"enum": list(range(20_000))},
    "many patterns": {"patternProperties": {f"^a{place}": {} for place in range(2_000)}},
    "many alternatives": {"anyOf": [{"required": ["a"]}] * 2_000},
    "another document": {"$ref": "http://e.fr/other"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_could_take_for_ever_is_not_used(name: str) -> None:
    before = time.process_time()
    with pytest.raises(TooCostly):
        weigh(HOSTILE[name])
    with pytest.raises(schemas.SchemaUnusable):
        schemas.compile(json.dumps(HOSTILE[name]))
    assert schemas.usable(json.dumps(HOSTILE[name])) is None
    assert time.process_time() - before < 3


TREE = {
    "type": "object",
    "properties": {side: {"$ref": "#"} for side in ("left", "right")},
    "additionalProperties": False,
}
JSON = {
    "anyOf": [
        {"type": ["null", "boolean", "number", "string"]},
        {"type": "array", "items": {"$ref": "#"}},
        {"type": "object", "additionalProperties": {"$ref": "#"}},
    ]
}
ORDINARY: list[tuple[Any, Any, Any]] = [
    ({"type": "integer", "minimum": 1}, 1, 0),
    (TREE, {"left": {"right": {}}}, {"left": {"up": {}}}),
    (JSON, {"a": [1, {"b": None}]}, None),
    ({"enum": [f"code-{place}" for place in range(2_000)]}, "code-1999", "code-2000"),
    ({"properties": {f"p{place}": {"type": "string"} for place in range(900)}}, {"p1": "x"}, {"p1": 1}),
    (
        {
            "definitions": {"x": {"type": "string"}},
            "properties": {f"p{p}": {"$ref": "#/definitions/x"} for p in range(300)},
        },
        {"p1": "x"},
        {"p1": 1},
    ),
    ({"oneOf": [{"required": [f"p{place}"]} for place in range(100)]}, {"p1": 1}, {}),
    (
        {"items": [{"type": "string"}, {"type": "number"}], "additionalItems": {"type": "null"}},
        ["a", 1, None],
        ["a", 1, 1],
    ),
    ({"definitions": {"x": {"$id": "#x", "type": "string"}}, "items": {"$ref": "#x"}}, ["a"], [1]),
    ({"$id": "http://e.fr/s", "properties": {"a": {"$ref": "s#"}}, "type": "object"}, {"a": {}}, {"a": 1}),
    (True, 1, None),
]


@pytest.mark.parametrize(("schema", "good", "bad"), ORDINARY)
def test_ordinary_schemas_are_used(schema: Any, good: Any, bad: Any) -> None:
    made = schemas.compile(json.dumps(schema))
    assert made.is_valid(good)
    assert bad is None or not made.is_valid(bad)


def test_the_schemas_of_our_own_profiles_are_used() -> None:
    texts = [
        concept["inlineSchema"]
        for file in PROFILES.glob("*.jsonld")
        for concept in json.loads(file.read_bytes()).get("concepts", [])
        if "inlineSchema" in concept
    ]
    assert texts
    assert max(weigh(json.loads(text)) for text in texts) < 10


SCHEMA = some.recursive(
    some.sampled_from(
        [{}, {"type": "string"}, {"enum": [1, "a"]}, {"$ref": "#"}, {"$ref": "#/definitions/d"}, True, False]
    ),
    lambda inner: some.fixed_dictionaries(
        {},
        optional={
            "allOf": some.lists(inner, min_size=1, max_size=3),
            "anyOf": some.lists(inner, min_size=1, max_size=3),
            "oneOf": some.lists(inner, min_size=1, max_size=3),
            "not": inner,
            "if": inner,
            "then": inner,
            "properties": some.dictionaries(some.sampled_from("ab"), inner, max_size=2),
            "patternProperties": some.dictionaries(some.sampled_from(["a", "b$"]), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner | some.lists(inner, min_size=1, max_size=2),
            "additionalItems": inner,
            "contains": inner,
            "propertyNames": inner,
            "dependencies": some.dictionaries(some.sampled_from("ab"), inner, max_size=2),
        },
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(SCHEMA, SCHEMA)
def test_whatever_is_used_is_checked_soon(schema: Any, definition: Any) -> None:
    text = json.dumps({"definitions": {"d": definition}, "allOf": [schema]})
    before = time.process_time()
    made = schemas.usable(text)
    assert time.process_time() - before < 2
    if made is None:
        return
    value: Any = "x"
    for level in range(120):
        value = {"a": value, "b": 1} if level % 2 else [value, 1]
    before = time.process_time()
    made.is_valid(value)
    assert time.process_time() - before < 2


def test_the_deepest_value_and_the_deepest_schema_do_not_overflow_the_stack() -> None:
    # A thread of a worker has 8 MiB of it.
    chain = {f"a{level}": {"$ref": f"#/definitions/a{level + 1}"} for level in range(28)}
    chain["a28"] = {"items": {"$ref": "#/definitions/a0"}}
    made = schemas.compile(json.dumps({"$ref": "#/definitions/a0", "definitions": chain}))
    value: Any = 1
    for _ in range(250):
        value = [value]
    found = []
    thread = threading.Thread(target=lambda: found.append(made.is_valid(value)))
    thread.start()
    thread.join()
    assert found == [True]


def test_a_heavy_schema_is_held_to_so_many_parts_only() -> None:
    made = schemas.compile(
        json.dumps({"items": {"anyOf": [{"const": place} for place in range(400)] + [{"type": "null"}]}})
    )
    assert made.is_valid([399] * 100)
    before = time.process_time()
    assert not made.is_valid([None] * 400_000)
    assert time.process_time() - before < 2
    assert schema_cost.MAX_WEIGHT >= weigh({"anyOf": [{"const": place} for place in range(400)]}) == 401
