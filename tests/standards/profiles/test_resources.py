"""Document resources that profiles define: where they belong, of which type and schema."""

import pytest

from app.core import contracts
from app.standards.profiles import document
from app.standards.profiles.resources import Resources

BASE = document.load(contracts.folder("profiles", "ent.jsonld").read_bytes())
SIZE = '{"type": "object", "required": ["size"]}'


def resources(kind="AgentProfileResource", content_type="application/json", schema=SIZE, version=BASE.version):
    # Structure 7.3: the T-shirt of the specification.
    shirt = document.Concept("urn:shirt", kind, version, {}, {}, False, {}, (), schema, None, content_type, None)
    return Resources([BASE._replace(concepts=(shirt,))])


def rules(made, id="urn:shirt", kind="AgentProfileResource", content_type="application/json", body=b'{"size":1}'):
    return [fault.rule for fault in made.faults(kind, id, content_type, body)]


@pytest.mark.parametrize(
    ("sent", "broken"),
    [
        ({}, []),
        ({"kind": "StateResource"}, ["document-misplaced"]),
        ({"kind": "ActivityProfileResource", "body": b"{"}, ["document-misplaced"]),
        ({"id": "urn:other", "body": b""}, []),
        ({"content_type": "text/plain"}, ["document-type"]),
        ({"content_type": 'Application/JSON ; charset="UTF-8"'}, []),
        ({"body": b"{}"}, ["document-value"]),
        ({"body": b"no json"}, ["document-value"]),
        ({"body": b'{"size":' + b"[" * 2000 + b"]" * 2000 + b"}"}, ["document-value"]),
        ({"body": b"", "content_type": ""}, ["document-type", "document-value"]),
    ],
)
def test_a_document_is_held_to_the_resource_type_and_schema_of_its_concept(sent, broken):
    assert rules(resources(), **sent) == broken


@pytest.mark.parametrize(
    ("given", "followed"),
    [
        ("text/plain; charset=utf-8", True),
        ("text/plain;format=flowed; Charset=UTF-8", True),
        ("text/plain", False),
        ("text/plain; charset=latin-1", False),
    ],
)
def test_the_parameters_of_the_content_type_must_be_there_and_others_may(given, followed):
    made = resources(content_type="text/plain; charset=utf-8", schema=None)
    assert rules(made, content_type=given) == ([] if followed else ["document-type"])


def test_the_newest_version_defines_and_a_schema_that_cannot_be_used_checks_nothing():
    assert rules(resources(version="urn:old"), body=b"{}") == []
    assert rules(resources(schema='{"$ref": "https://elsewhere.example/x"}'), body=b"{}") == []
