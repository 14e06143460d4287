"""JSONPath as xAPI Profiles use it (Structure 8.1)."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.standards.profiles import jsonpath

IRI = "https://w3id.org/xapi/video/extensions/time|to, [x]"
STATEMENT = {
    "id": "1",
    "actor": {"name": None},
    "context": {
        "contextActivities": {
            "grouping": [{"id": "g0", "definition": {"type": "course"}}, {"id": "g1"}, {"id": "g2"}],
            "parent": [{"id": "p0"}],
        },
        "extensions": {IRI: 5, "a-dashed-key": 6, "it's": 7},
    },
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("$.id", ["1"]),
        ("id", ["1"]),
        ("$['id']", ["1"]),
        ("['id']", ["1"]),
        ("$", [STATEMENT]),
        ("$.actor.name", [None]),
        ("$.actor.absent", []),
        ("$.id.absent", []),
        ("context.contextActivities.grouping[*].id", ["g0", "g1", "g2"]),
        ("$.context.contextActivities.grouping[*].definition.type", ["course"]),
        ("$.context.contextActivities.grouping[1].id", ["g1"]),
        ("$.context.contextActivities.grouping[0,2].id", ["g0", "g2"]),
        ("$.context.contextActivities.grouping[9].id", []),
        ("$.context.contextActivities[ 'parent' , \"grouping\" ][0].id", ["p0", "g0"]),
        ("$.context.contextActivities.*[0].id", ["g0", "p0"]),
        ("$.context.contextActivities..id", ["g0", "g1", "g2", "p0"]),
        ("$..type", ["course"]),
        ("$.context.contextActivities..[1]['id']", ["g1"]),
        ("$..*..id", ["g0", "g1", "g2", "p0"]),
        ("$.context.contextActivities.grouping[1,1,0].id", ["g1", "g0"]),
        ("$['id','id']", ["1"]),
        (f"$.context.extensions['{IRI}']", [5]),
        (f'$.context.extensions["{IRI}"]', [5]),
        ("$.context.extensions['it\\'s']", [7]),
        ("$.context.extensions.a-dashed-key", [6]),
        ("$.id | $.actor.name", ["1", None]),
        ("$.id|id", ["1", "1"]),
    ],
)
def test_a_path_selects_its_values_in_order(path, values):
    assert jsonpath.compile(path).find(STATEMENT) == values


@pytest.mark.parametrize(
    "path",
    [
        "", " ", ".", "$.", "$..", "$.a.", "$[", "$[]", "$['a", "$['a'", "$[a]", "$[-1]", "$[0:2]", "$[?(@.a)]",
        "$[(@.length-1)]", "$.a b", "$.a | ", "| $.a", "$.a || $.b", "$a", "$.a]", "$['a',]", "@.a",
    ],
)  # fmt: skip
def test_what_the_specification_forbids_is_refused_with_its_place(path):
    with pytest.raises(jsonpath.PathInvalid, match="at character"):
        jsonpath.compile(path)


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("$.context.registration", "/context/registration"),
        ("$.a['x/y~z']", "/a/x~1y~0z"),
        ("$.a.b[*].c", "/a/b"),
        ("$.a.b | $.a.c", "/a"),
        ("$..a", ""),
    ],
)
def test_the_pointer_is_the_deepest_place_on_every_way(path, pointer):
    assert jsonpath.compile(path).pointer == pointer


KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(st.lists(KEYS, min_size=1, max_size=6), st.sampled_from(["'", '"']))
def test_any_chain_of_keys_can_be_written_and_found(keys, quote):
    document = "found"
    for key in reversed(keys):
        document = {key: document}
    quoted = [key.replace("\\", "\\\\").replace(quote, "\\" + quote) for key in keys]
    path = jsonpath.compile("$" + "".join(f"[{quote}{key}{quote}]" for key in quoted))
    assert path.keys == tuple(keys)
    assert path.find(document) == ["found"]


JSON = st.recursive(st.none() | st.booleans() | st.text(max_size=3), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from("abc"), inner), max_leaves=15)  # fmt: skip


@given(JSON)
def test_a_descent_finds_every_value_once_and_changes_nothing(document):
    before = json.dumps(document)

    def below(value):
        members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return sum(1 + below(member) for member in members)

    assert len(jsonpath.compile("$..*").find(document)) == below(document)
    assert json.dumps(document) == before


@pytest.mark.parametrize("path", ["$" + "..*" * 60, "$" + "..a" * 60, "$" + "['a','a','b','b']" * 60])
def test_no_path_takes_longer_than_the_document_is_large(path):
    # Counted in every way that leads to it, what lies 100 levels deep is found 10^29 times.
    document = "deep"
    for _ in range(100):
        document = {"a": document, "b": [document]} if document == "deep" else {"a": document}
    assert len(jsonpath.compile(path).find(document)) <= 102


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text):
    with contextlib.suppress(jsonpath.PathInvalid):
        found = jsonpath.compile(text).find(STATEMENT)
        assert all(any(value is part for part in _parts(STATEMENT)) for value in found)


def _parts(value):
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _parts(inner)


@pytest.mark.parametrize(
    "path",
    [
        "|".join(["$.a"] * 17),
        "$" + ".a" * 65,
        "$" + "..a" * 40 + "|$" + "..a" * 40,
        "$['" + "x" * 5_000 + "']",
    ],
)
def test_what_would_look_at_too_much_is_refused(path):
    with pytest.raises(jsonpath.PathInvalid, match="more than"):
        jsonpath.compile(path)


def test_what_looks_at_much_is_not():
    assert jsonpath.compile("|".join(["$.a"] * 16)).descents == 0
    assert jsonpath.compile("$" + ".a" * 64).descents == 0
    assert jsonpath.compile("$..a..b|$..c..d").descents == 4
    assert jsonpath.compile("$" + "..a" * 64).descents == 64
