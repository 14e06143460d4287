"""The shipped definitions, and what is refused."""

from __future__ import annotations

import orjson
import pytest
from jsonschema import Draft202012Validator

from app.core import contracts
from app.core.errors import DefinitionInvalid
from app.research.definitions import load_all, parse


def outcomes() -> dict:
    return orjson.loads(contracts.folder("aggregates", "outcomes.json").read_bytes())


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(contracts.load("sillage", "aggregate.schema.json"))


def test_shipped_definitions_load():
    assert [definition.id for definition in load_all()] == ["daily_activity@2", "ent_usage@1", "outcomes@2"]


def broken(change) -> DefinitionInvalid:
    content = outcomes()
    change(content)
    with pytest.raises(DefinitionInvalid) as refused:
        parse(orjson.dumps(content))
    return refused.value


@pytest.mark.parametrize(
    ("change", "pointer", "rule"),
    [
        (lambda it: it["dimensions"][1].update(column="colour"), "/dimensions/1/column", "column-unknown"),
        (lambda it: it["dimensions"][0].update(column="learner"), "/dimensions/0/column", "column-role"),
        (lambda it: it["dimensions"][0].update(column="level"), "/dimensions/1/column", "column-twice"),
        (lambda it: it["measures"][3].update(column="verb"), "/measures/3/column", "column-role"),
        (lambda it: it["measures"][3].update(name="level"), "/measures/3/name", "name-taken"),
        (lambda it: it["measures"][3].update(name="cursor"), "/measures/3/name", "name-taken"),
        (lambda it: it["filters"].append({"column": "score", "in": ["1"]}), "/filters/2/column", "column-role"),
        (lambda it: it.update(period="hour"), "/period", "schema-enum"),
        (lambda it: it["measures"][0].update(column="score"), "/measures/0", None),
        (lambda it: it["measures"][3].pop("column"), "/measures/3", "schema-required"),
        (lambda it: it["learner_keys"].pop("justification"), "/learner_keys", "schema-required"),
    ],
)
def test_a_broken_definition_says_where(change, pointer, rule):
    fault = broken(change).faults[0]
    assert fault.pointer == pointer
    assert rule is None or fault.rule == rule


def test_not_json_is_refused():
    with pytest.raises(DefinitionInvalid):
        parse(b"{")


def test_a_file_under_another_name_is_refused(tmp_path):
    (tmp_path / "other.json").write_bytes(orjson.dumps(outcomes()))
    with pytest.raises(DefinitionInvalid, match=r"outcomes\.json"):
        load_all(tmp_path)


def test_texts_do_not_change_the_fingerprint_and_figures_do():
    first = parse(orjson.dumps(outcomes()))
    other = outcomes()
    other["title"]["en"] = "Results"
    assert parse(orjson.dumps(other)).fingerprint == first.fingerprint
    other["measures"][2]["filters"] = [{"column": "level", "not_null": True}]
    assert parse(orjson.dumps(other)).fingerprint != first.fingerprint
