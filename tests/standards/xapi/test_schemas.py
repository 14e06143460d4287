"""The contracts under schemas/xapi: valid, annotated, and read alike by the two validators."""

import copy
import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.core import contracts
from app.core.errors import Fault, InvalidStatement
from app.standards.xapi.decode import decode
from app.standards.xapi.validate import _wording, validate
from app.standards.xapi.versions import Version
from app.standards.xapi.wording import Work
from tests.places import SHARED
from tests.standards.xapi.reference import faults, reference

VERSIONS = list(Version)
REAL = SHARED / "data" / "fun-video-statements.jsonl.gz"
# Keywords that only hold other schemas; a refusal is worded by those.
APPLICATORS = {"allOf", "if", "then", "else", "properties", "items", "$ref", "$defs"}
QUIET = {"$schema", "$id", "$comment", "title", "description", "x-rule", "x-section"}


def schema(version: Version) -> dict[str, Any]:
    return contracts.load("xapi", version.value, "statement.json")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schema_is_valid_under_its_metaschema(version: Version) -> None:
    Draft202012Validator.check_schema(schema(version))
    assert jsonschema_rs.meta.is_valid(schema(version))


def subschemas(node: Any, silent: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every subschema, and whether its failures never reach a reader (inside if, not, oneOf, contains)."""
    if not isinstance(node, dict):
        return
    yield node, silent
    for keyword, value in node.items():
        hidden = silent or keyword in {"if", "not", "oneOf", "anyOf", "contains"}
        if keyword in {"properties", "$defs"}:
            for each in value.values():
                yield from subschemas(each, hidden)
        elif keyword in {"allOf", "oneOf", "anyOf"}:
            for each in value:
                yield from subschemas(each, hidden)
        elif keyword in {"if", "then", "else", "not", "items", "contains", "propertyNames", "additionalProperties"}:
            yield from subschemas(value, hidden)


@pytest.mark.parametrize("version", VERSIONS)
def test_whatever_can_fail_says_its_rule_and_section(version: Version) -> None:
    section = re.compile(r"xAPI-Data \d(\.\d+)+" if version is Version.V1 else r"IEEE 9274\.1\.1 4(\.\d+)+")
    checked = 0
    for node, silent in subschemas(schema(version)):
        if not silent and node.keys() - APPLICATORS - QUIET:
            assert re.fullmatch(r"[a-z0-9-]+", node["x-rule"])
            assert section.fullmatch(node["x-section"])
            checked += 1
            if node.keys() & {"pattern", "oneOf", "not", "contains", "maxItems", "minLength"}:
                assert node["description"]
    assert checked > 60


@pytest.mark.parametrize("version", VERSIONS)
def test_every_pattern_reads_alike_in_both_engines(version: Version) -> None:
    for node, _ in subschemas(schema(version)):
        if "pattern" in node:
            # No look-around, no back-reference, no class that depends on Unicode tables, one anchored end.
            assert not re.search(r"\(\?[=!<]|\\[dDwWsSbB1-9]", node["pattern"])
            assert node["pattern"].startswith("^")
            assert node["pattern"].endswith("$")
            assert "$" not in node["pattern"][:-1]


TEXTS = st.sampled_from(
    [
        "", "Agent", "Group", "Activity", "StatementRef", "SubStatement", "contextAgent", "agent", "fr", "fr-FR",
        "fr_FR", "mailto:a@b.fr", "a@b.fr", "mailto:a@b.fr\n", "https://x.fr/é", "https://x.fr/a b", "x.fr",
        "uuid://1", "course-v1:A+B", "http://", "http:a", "x:", "http://a/%zz", "http://a/b#c#d", "http://a/%41\u00a0",
        "http://[::1]:80/?\ue000", "http://a/\U00010000", "http://a/\u202e", "i-klingon", "i-foo",
        "00000000-0000-4000-8000-000000000000",
        "00000000-0000-4000-8000-000000000000\n", "A" * 40, "a" * 64, "PT1S", "P1W2D", "PT1.5M2S", "P",
        "2026-11-22T10:00:00Z", "2026-11-22T10:00:00", "20261122T1000Z", "2026-11-22T10:00:00Z\n", "1.0",
        "1.0.9", "2.0.0", "2.1", "http://adlnet.gov/expapi/verbs/voided", "text/plain", "choice", "true",
        "\u2028", "é", "text/plain;\rX: 1", "text/plain; name=é", "a$/b; c",
    ]
)  # fmt: skip
SCALARS = st.one_of(
    TEXTS, st.none(), st.booleans(), st.integers(-3, 3), st.floats(-2, 2), st.integers(2**63, 2**70), st.just(1.0)
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(TEXTS, SCALARS, max_size=2))
NAMES = st.sampled_from(
    [
        "id", "objectType", "actor", "verb", "object", "member", "mbox", "openid", "account", "name", "context",
        "revision", "team", "platform", "contextAgents", "contextGroups", "relevantTypes", "extensions", "score",
        "raw", "duration", "authority", "version", "timestamp", "attachments", "definition", "choices",
        "interactionType", "display", "unknown", "Actor", "contentType",
    ]
)  # fmt: skip


def containers(node: Any) -> Iterator[Any]:
    if isinstance(node, dict | list):
        yield node
        for child in node.values() if isinstance(node, dict) else node:
            yield from containers(child)


def mutate(statement: dict[str, Any], data: st.DataObject) -> None:
    places = list(containers(statement))
    place = places[data.draw(st.integers(0, len(places) - 1))]
    donor = copy.deepcopy(places[data.draw(st.integers(0, len(places) - 1))])
    value = donor if data.draw(st.booleans()) else data.draw(VALUES)
    if isinstance(place, list):
        place.append(value)
    elif place and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(place)))
        if data.draw(st.booleans()):
            del place[key]
        else:
            place[key] = value
    else:
        place[data.draw(NAMES)] = value


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), version=st.sampled_from(VERSIONS), rounds=st.integers(1, 4))
def test_both_validators_give_the_same_verdict(
    full: dict[str, Any], data: st.DataObject, version: Version, rounds: int
) -> None:
    statement = copy.deepcopy(full)
    for _ in range(rounds):
        mutate(statement, data)
    # Through JSON, as statements come: numbers beyond 64 bits, which decoding refuses, arrive as floats.
    statement = orjson.loads(json.dumps(statement))
    fast = _wording(version).is_valid(statement)
    expected = faults(version, statement)
    assert fast is reference(version).is_valid(statement)
    if not fast:
        with pytest.raises(InvalidStatement) as refused:
            validate([statement], version, many=False)
        assert all(resolves(fault.pointer, statement) for fault in refused.value.faults)
        # Two branches of a schema may refuse the same thing at the same place: it is told once.
        worded = list(_wording(version).faults(statement, "", Work(10_000)))
        assert sorted(said(fault) for fault in worded) == sorted({said(fault) for fault in expected})
        assert expected.issuperset(worded)
        # When there is no work left to word it, one of them is told.
        [first] = _wording(version).faults(statement, "", Work(0))
        assert first in expected


def said(fault: Fault) -> tuple[str, str]:
    return fault.pointer, fault.message


def resolves(pointer: str, document: Any) -> bool:
    """True if a JSON pointer leads somewhere in a document."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list):
            document = document[int(name)]
        elif name in document:
            document = document[name]
        else:
            return False
    return True


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.skipif(not REAL.is_file(), reason="the shared data folder is not beside this checkout")
def test_real_statements_are_valid(version: Version) -> None:
    lines = gzip.decompress(REAL.read_bytes()).splitlines()
    assert len(lines) == 22_000
    for start in range(0, len(lines), 1_000):
        body = b"[" + b",".join(lines[start : start + 1_000]) + b"]"
        validate(decode(body, max_statements=1_000).statements, version, many=True)
