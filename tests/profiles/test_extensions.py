"""Extensions that profiles define: at their place, and of their schema."""

import gzip
from collections import Counter

import orjson
import pytest

from app import contracts
from app.profiles import document, terms
from app.profiles.extensions import Extensions

OWN = [document.load(contracts.folder("profiles", f"{name}.jsonld").read_bytes()) for name in ("ent", "p2ia")]
PLACE = "/result/extensions/" + terms.ATTEMPT.replace("/", "~1")


def concept(iri, kind, schema=None, version="urn:p:v1"):
    return document.Concept(iri, kind, version, {}, {}, False, {}, (), schema, None, None, None)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ({"result": {"extensions": {terms.ATTEMPT: 1}}}, []),
        ({"result": {"extensions": {terms.ATTEMPT: 0}}}, [(PLACE, "extension-value")]),
        ({"result": {"extensions": {terms.ATTEMPT: "1"}}}, [(PLACE, "extension-value")]),
        (
            {"context": {"extensions": {terms.ATTEMPT: 1}}},
            [(PLACE.replace("result", "context"), "extension-misplaced")],
        ),
        ({"object": {"definition": {"extensions": {terms.SCHOOL: "0750654D"}}}}, ["extension-misplaced"]),
        ({"context": {"extensions": {"https://elsewhere.example/x": 3}}}, []),
        ({"context": {}, "object": {"definition": {}}}, []),
    ],
)
def test_an_extension_is_held_to_its_place_and_schema(statement, found):
    faults = Extensions(OWN).faults({"object": {}, **statement})
    assert [(fault.pointer, fault.rule) if type(found[0]) is tuple else fault.rule for fault in faults] == found


@pytest.mark.parametrize("schema", ["{", "[]", '{"type": 3}', '{"$ref": "https://elsewhere.example/schema"}'])
def test_a_schema_that_is_none_checks_nothing(schema):
    made = OWN[0]._replace(version="urn:p:v1", concepts=(concept("urn:x", "ResultExtension", schema),))
    assert Extensions([made]).faults({"result": {"extensions": {"urn:x": 1}}}) == ()


def test_the_newest_version_defines():
    concepts = (
        concept("urn:x", "ResultExtension", '{"type": "string"}', "urn:p:v0"),
        concept("urn:x", "ResultExtension"),
    )
    made = OWN[0]._replace(version="urn:p:v1", concepts=concepts)
    assert Extensions([made]).faults({"result": {"extensions": {"urn:x": 1}}}) == ()
    assert Extensions([]).faults({}) == ()


def test_what_real_video_statements_do_with_the_extensions_of_their_profile(shared):
    video = document.load((shared / "data" / "profiles" / "video-1.0.3.jsonld").read_bytes())
    extensions = Extensions([video])
    with gzip.open(shared / "data" / "fun-video-statements.jsonl.gz") as lines:
        faults = [fault for line in lines for fault in extensions.faults(orjson.loads(line))]
    counts = Counter((fault.pointer.rpartition("~1")[2], fault.rule) for fault in faults)
    assert counts == {
        ("session-id", "extension-value"): 22_000,  # UUIDs of version 5, where the schema wants version 4
        ("length", "extension-misplaced"): 2_995,  # in the result
        ("quality", "extension-value"): 39,
    }
