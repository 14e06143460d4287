"""The pass over all rules of a template, held to the checks that word their faults."""

from __future__ import annotations

import gzip
import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import contracts
from app.standards.profiles import checker, document, jsonpath, templates
from app.standards.profiles.templates import Compiled
from tests.places import ROOT, SHARED
from tests.standards.profiles.test_checker import template

DATA = SHARED / "data"
EXAMPLES = ROOT / "tests" / "standards" / "profiles" / "examples"

NAMES = ["a", "b", "c"]
LEAVES = ["a", "b", "x", True, 1, 1.0, None, ["a"], {}]
STATEMENTS: list[Any] = [
    *({}, [], "a", {"a": "a", "b": {"c": "b"}}, {"a": "a", "b": "b"}, {"a": {"b": [{"c": "a"}, {"c": "x"}]}}),
    *({"a": each} for each in LEAVES),
    *({"b": {"c": each}} for each in LEAVES),
    *({"a": {"b": each}} for each in LEAVES),
    *({"a": {"b": {"c": each}}} for each in LEAVES),
    *({"a": [each, {"b": "a"}]} for each in LEAVES),
    *({"a": [{"b": each}]} for each in LEAVES),
    *({"a": [{"b": "b"}, {"b": each}]} for each in LEAVES),
]
PATHS = [
    *("$.a", "$.a.b", "$.a.b.c", "$['a','b']", "$.a | $.b.c", "$.a[*].b", "$.a.b[*].c", "$.a[*]", "$.a.*", "$..b"),
    *("$.a[0]", "$.a[*].b.c", "$.a[*].b | $.b"),
]
LISTS = [*itertools.product([None, ("a", True)], [None, ("a", "x", True)], [None, ("b", 1)])]
TREES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=10,
)


def ruled(path: str, selector: str | None, presence: str | None, lists: Any = (None, None, None)) -> document.Rule:
    picked = None if selector is None else jsonpath.compile(selector)
    return document.Rule(jsonpath.compile(path), picked, presence, *lists)


def compiled(*rules: document.Rule) -> Compiled:
    return templates.compile(template()._replace(rules=rules))


def broken(of: Compiled, statement: Any) -> bool:
    return any(check(statement) is not None for check in of.checks)


@pytest.mark.parametrize("presence", [None, "included", "excluded", "recommended"])
@pytest.mark.parametrize("selector", [None, "$.b"])
def test_what_passes_breaks_no_rule(presence: str | None, selector: str | None) -> None:
    for path, lists in itertools.product(PATHS, LISTS):
        one = compiled(ruled(path, selector, presence, lists))
        for statement in STATEMENTS:
            assert not (one.follows(statement) and broken(one, statement)), (path, lists, statement)


PLAIN = st.builds(
    lambda keys, presence: ruled("$." + ".".join(keys), None, presence),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
    st.sampled_from(["included", "excluded"]),
)


@given(st.lists(PLAIN, min_size=1, max_size=5), st.dictionaries(st.sampled_from(NAMES), TREES))
def test_of_rules_that_ask_what_must_be_there_the_pass_knows_both(
    rules: list[document.Rule], statement: dict[str, Any]
) -> None:
    one = compiled(*rules)
    assert one.follows(statement) is not broken(one, statement)


def examples(kind: str) -> list[dict[str, Any]]:
    documents = [orjson.loads(path.read_bytes()) for path in sorted(EXAMPLES.glob("*.json"))]
    return [each.get("statement", each) for one in documents for each in one[kind]]


@pytest.mark.parametrize("name", ["p2ia", "ent"])
def test_examples_of_the_profiles_pass_where_they_follow_their_templates(name: str) -> None:
    made = checker.compile([document.load(contracts.folder("profiles", f"{name}.jsonld").read_bytes())])
    passed = 0
    for statement in (*examples("valid"), *examples("invalid")):
        for entry in made._index.of(statement):
            passes = entry.compiled.follows(checker._normalised(statement))
            assert passes is not broken(entry.compiled, checker._normalised(statement))
            passed += passes
    assert passed > 5


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not beside this checkout")
def test_real_statements_pass_where_they_follow_their_templates() -> None:
    video = checker.compile([document.load((DATA / "profiles" / "video-1.0.3.jsonld").read_bytes())])
    with gzip.open(DATA / "fun-video-statements.jsonl.gz") as lines:
        statements = [checker._normalised(orjson.loads(line)) for line in lines]
    told = [
        (entry.compiled.follows(statement), broken(entry.compiled, statement))
        for statement in statements
        for entry in video._index.of(statement)
    ]
    assert all(passes is not breaks for passes, breaks in told)
    assert sum(passes for passes, _ in told) > 20_000
