"""Extensions that profiles define: at their place, and of their schema."""

import gzip
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest

from app.core import contracts
from app.core.lossless import Digits
from app.standards.profiles import document, schemas, terms
from app.standards.profiles.extensions import Extensions
from app.standards.profiles.sessions import SUBREGISTRATION

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
        (
            {"context": {"contextActivities": {"parent": [{"definition": {"extensions": {terms.SCHOOL: "x"}}}]}}},
            ["extension-misplaced"],
        ),
        (
            {"object": {"objectType": "SubStatement", "object": {}, "context": {"extensions": {terms.ATTEMPT: 1}}}},
            ["extension-misplaced"],
        ),
        ({"context": {"extensions": {"https://elsewhere.example/x": 3}}}, []),
        ({"context": {}, "object": {"definition": {}}}, []),
    ],
)
def test_an_extension_is_held_to_its_place_and_schema(statement, found):
    faults = Extensions(OWN).faults({"object": {}, **statement})
    assert [(fault.pointer, fault.rule) if type(found[0]) is tuple else fault.rule for fault in faults] == found


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ('{"type":"integer","minimum":5}', Digits("1" * 30), True),
        ('{"type":"integer","maximum":5}', Digits("1" * 30), False),
        ('{"type":"number"}', Digits("-1e400"), True),
        ('{"not":{"type":"number"}}', Digits("1" * 30), False),
        ('{"type":"string"}', Digits("1" * 30), False),
        ('{"items":{"properties":{"a":{"type":"integer"}}}}', [{"a": Digits("1" * 5_000)}], True),
    ],
)
def test_a_number_that_64_bits_do_not_hold_is_a_number_to_a_schema(schema, value, fits):
    assert schemas.compile(schema).is_valid(value) is fits


def test_every_activity_of_a_statement_and_what_is_within_it_is_looked_at():
    wrong = {"extensions": {terms.ATTEMPT: 1}}
    activity = {"id": "urn:x", "definition": wrong}
    inner = {"objectType": "SubStatement", "object": activity, "context": wrong, "result": {"extensions": {}}}
    related = {"contextActivities": {"parent": activity, "grouping": [{"id": "urn:y"}, activity]}}
    places = [fault.pointer for fault in Extensions(OWN).faults({"object": inner, "context": related})]
    end = PLACE.removeprefix("/result")
    assert places == [
        f"/object/context{end}",
        f"/object/object/definition{end}",
        f"/context/contextActivities/parent/definition{end}",
        f"/context/contextActivities/grouping/1/definition{end}",
    ]


PART = {"profile": "urn:p:v1", "subregistration": "00000000-0000-4000-8000-000000000001"}


@pytest.mark.parametrize(
    ("given", "more", "rules"),
    [
        ([PART], {}, []),
        ([], {}, ["extension-value"]),
        (PART, {}, ["extension-value"]),
        ([{"profile": "urn:p:v1"}], {}, ["extension-value"]),
        ([{**PART, "subregistration": "00000000-0000-4000-7000-000000000001"}], {}, ["extension-value"]),
        ([PART, {**PART, "profile": "urn:other"}], {}, ["subregistration-profile"]),
        ([PART], {"registration": None}, ["subregistration-alone"]),
    ],
)
def test_a_subregistration_is_what_the_specification_says(given, more, rules):
    # Structure 9: an array that is not empty, of profiles that the statement names, beside a registration.
    context = {
        "registration": PART["subregistration"],
        "contextActivities": {"category": [{"id": "urn:p:v1"}]},
        "extensions": {SUBREGISTRATION: given},
    }
    context = {key: value for key, value in (context | more).items() if value is not None}
    assert [fault.rule for fault in Extensions([]).faults({"object": {}, "context": context})] == rules


def test_nothing_is_fetched_for_a_schema(tmp_path):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    # No address and no file of this machine: profiles come from elsewhere.
    (tmp_path / "schema.json").write_text('{"type": "string"}')
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        for reference in (f"http://127.0.0.1:{server.server_port}/schema", (tmp_path / "schema.json").as_uri()):
            with pytest.raises(schemas.SchemaUnusable):
                schemas.compile(orjson.dumps({"$ref": reference}).decode())
        server.shutdown()
    assert asked == []


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
