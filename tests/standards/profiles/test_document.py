"""Reading profile documents."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import ProfileInvalid
from app.standards.profiles import checker, document, sessions
from app.standards.profiles.findings import Severity
from app.standards.profiles.lint import lint
from tests.places import SHARED

PUBLISHED = SHARED / "data" / "profiles"
MINIMAL = {
    "@context": "https://w3id.org/xapi/profiles/context",
    "id": "https://example.org/p",
    "type": "Profile",
    "conformsTo": "https://w3id.org/xapi/profiles#1.0",
    "prefLabel": {"en": "A profile"},
    "definition": {"en": "For tests"},
    "versions": [
        {"id": "https://example.org/p/v1", "generatedAtTime": "2025-01-01T00:00:00Z"},
        {"id": "https://example.org/p/v2", "generatedAtTime": "2026-01-01T00:00:00Z"},
    ],
    "author": {"type": "Organization", "name": "Tests"},
    "concepts": [
        {"id": "https://example.org/v", "type": "Verb", "inScheme": "https://example.org/p/v2", "deprecated": True}
    ],
    "templates": [
        {
            "id": "https://example.org/t",
            "type": "StatementTemplate",
            "inScheme": "https://example.org/p/v2",
            "prefLabel": {"en": "A template"},
            "verb": "https://example.org/v",
            "rules": [{"location": "$.id", "presence": "included"}],
        }
    ],
}


def altered(*path, to):
    raw = copy.deepcopy(MINIMAL)
    *parents, last = path
    place = raw
    for key in parents:
        place = place[key]
    if to is None:
        del place[last]
    else:
        place[last] = to
    return json.dumps(raw).encode()


def test_a_profile_is_read_with_its_newest_version_first():
    profile = document.load(json.dumps(MINIMAL).encode())
    assert (profile.id, profile.version) == ("https://example.org/p", "https://example.org/p/v2")
    assert [version.id for version in profile.versions] == ["https://example.org/p/v2", "https://example.org/p/v1"]
    assert profile.label == {"en": "A profile"}
    assert profile.concepts[0].deprecated
    assert profile.templates[0].rules[0].location.keys == ("id",)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe{}", b"not json", b"{} {}", b'{"a": NaN}', b"[" * 5000, b"\x1f\x8b\x08gzip"]
)
def test_what_is_not_json_is_refused_in_words(raw):
    with pytest.raises(ProfileInvalid, match="not well-formed UTF-8 JSON") as refused:
        document.load(raw)
    assert [fault.rule for fault in refused.value.faults] == ["json"]


def test_a_document_that_is_nested_too_deeply_or_too_long_is_refused(monkeypatch):
    deep = MINIMAL | {"https://example.org/x": json.loads("[" * 99 + "]" * 99)}
    assert document.load(json.dumps(deep).encode())
    deep["https://example.org/x"] = [deep["https://example.org/x"]]
    for raw in (json.dumps(deep).encode(), b'{"a":' * 900 + b"1" + b"}" * 900):
        with pytest.raises(ProfileInvalid) as refused:
            document.load(raw)
        assert [fault.rule for fault in refused.value.faults] == ["profile-depth"]
    monkeypatch.setattr(document, "MAX_DOCUMENT_BYTES", 100)
    with pytest.raises(ProfileInvalid, match="more than 100 bytes"):
        document.load(json.dumps(MINIMAL).encode())


@pytest.mark.parametrize(
    ("first", "second", "newest"),
    [
        ("2026-01-01T00:30:00+02:00", "2025-12-31T23:00:00Z", "v2"),
        ("2025-12-31T23:00:00-02:00", "2026-01-01T00:00:00Z", "v1"),
        ("2026-01-01", "2025-12-31T23:59:59", "v1"),
        ("no timestamp", "2020-01-01T00:00:00Z", "v2"),
    ],
)
def test_the_newest_version_is_the_last_one_made_in_whatever_zone_it_says(first, second, newest):
    raw = copy.deepcopy(MINIMAL)
    raw["versions"][0]["generatedAtTime"], raw["versions"][1]["generatedAtTime"] = first, second
    assert document.read(raw).version.rpartition("/")[2] == newest


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"profile"', b"{}", b'{"type": "Profile"}', b"[[[[]]]]"])
def test_json_that_is_no_profile_is_refused(raw):
    with pytest.raises(ProfileInvalid) as refused:
        document.load(raw)
    assert refused.value.faults


@pytest.mark.parametrize(
    ("raw", "pointer", "rule"),
    [
        (altered("id", to=None), "", "profile-required"),
        (altered("id", to="no iri"), "/id", "profile-pattern"),
        (altered("type", to="Concept"), "/type", "profile-const"),
        (altered("versions", to=[]), "/versions", "profile-minItems"),
        (altered("versions", 0, "id", to=""), "/versions/0/id", "profile-pattern"),
        (altered("concepts", to=3), "/concepts", "profile-type"),
        (altered("templates", 0, "id", to=None), "/templates/0", "profile-required"),
        (altered("templates", 0, "type", to="Pattern"), "/templates/0/type", "profile-const"),
        # what would match everything if it were read as nothing
        (altered("templates", 0, "verb", to=""), "/templates/0/verb", "profile-pattern"),
        (altered("templates", 0, "contextParentActivityType", to=["activity"]),
         "/templates/0/contextParentActivityType/0", "profile-pattern"),
        (altered("templates", 0, "rules", 0, "any", to=[]), "/templates/0/rules/0/any", "profile-minItems"),
        (
            altered("templates", to=[*MINIMAL["templates"], {**MINIMAL["templates"][0], "verb": "urn:other"}]),
            "/templates/1/id",
            "profile-id-unique",
        ),
        (
            altered("patterns", to=[{"id": "https://example.org/t", "type": "Pattern", "optional": "urn:t"}]),
            "/patterns/0/id",
            "profile-id-unique",
        ),
        (altered("patterns", to=[{"id": "urn:p", "type": "Pattern", "primary": "yes", "optional": "urn:t"}]),
         "/patterns/0/primary", "profile-type"),
        (altered("patterns", to=[{"id": "urn:p", "type": "Pattern", "optional": ["urn:t", "urn:u"]}]),
         "/patterns/0/optional", "profile-type"),
        (altered("templates", 0, "verb", to=3), "/templates/0/verb", "profile-type"),
        (altered("templates", 0, "rules", 0, "presence", to=None), "/templates/0/rules/0", "profile-anyOf"),
        (altered("templates", 0, "rules", 0, "presence", to="never"), "/templates/0/rules/0/presence", "profile-enum"),
        (altered("templates", 0, "rules", 0, "location", to="$["), "/templates/0/rules/0/location", "profile-jsonpath"),
        (altered("templates", 0, "rules", 0, "selector", to="["), "/templates/0/rules/0/selector", "profile-jsonpath"),
        (
            altered("templates", 0, "rules", 0, to={"location": "$..a", "selector": "$..b", "presence": "included"}),
            "/templates/0/rules/0/selector", "profile-jsonpath",
        ),
        (
            altered("templates", 0, "rules", to=[{"location": "$..a", "presence": "included"}] * 101),
            "/templates", "profile-jsonpath",
        ),
        (
            altered("templates", 0, to={**MINIMAL["templates"][0], "objectActivityType": "urn:t",
                                        "objectStatementRefTemplate": ["urn:r"]}),
            "/templates/0",
            "profile-not",
        ),
    ],
)  # fmt: skip
def test_a_broken_profile_says_where_and_which_rule(raw, pointer, rule):
    with pytest.raises(ProfileInvalid) as refused:
        document.load(raw)
    assert (pointer, rule) in [(fault.pointer, fault.rule) for fault in refused.value.faults]


def test_the_faults_do_not_repeat_what_stands_in_the_document():
    with pytest.raises(ProfileInvalid) as refused:
        document.load(altered("templates", 0, "verb", to="camille exemple"))
    assert "camille" not in refused.value.detail + str(refused.value.faults)


def test_a_document_full_of_faults_gives_a_bounded_answer():
    with pytest.raises(ProfileInvalid) as refused:
        document.load(altered("templates", to=[{"verb": "urn:v"}] * 1000))
    assert len(refused.value.faults) == document.MAX_FAULTS
    assert len(document.faults_of(MINIMAL | {"templates": [{"verb": "urn:v"}] * 1100})) == 1000


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published profiles are not beside this checkout")
def test_every_published_profile_loads():
    counts = {path.name: len(document.load(path.read_bytes()).templates) for path in PUBLISHED.glob("*.jsonld")}
    assert counts == {
        "acrossx-1.0.1.jsonld": 0,
        "audio-1.0.jsonld": 7,
        "cmi5-1.0.jsonld": 10,
        "scorm-1.0.jsonld": 10,
        "video-1.0.3.jsonld": 9,
    }


# --- what hinders nothing ---------------------------------------------------------------------------
# Each of these is in a profile that somebody published.

TEMPLATE = MINIMAL["templates"][0]
PATTERN = {"id": "https://example.org/pattern", "type": "Pattern", "primary": True}
V2 = "https://example.org/p/v2"


# Each part of a value is met with other parts of the schema.
WEB = json.dumps(
    {
        "allOf": [{"$ref": f"#/definitions/{n}"} for n in range(4)],
        "definitions": {
            str(n): {
                "properties": {
                    name: {"$ref": f"#/definitions/{(n * step + 1) % 16}"} for step, name in enumerate("abc", 3)
                },
                "additionalProperties": {"$ref": f"#/definitions/{(n * 7 + 3) % 16}"},
            }
            for n in range(16)
        },
    }
)


def templated(**changes):
    return altered("templates", to=[{**TEMPLATE, **changes}])


@pytest.mark.parametrize(
    "raw",
    [
        *(altered("seeAlso", to=each) for each in ("", [], {}, 3, ["https://example.org/see"])),
        *(altered(name, to=None) for name in ("@context", "conformsTo", "prefLabel", "definition", "author")),
        altered("@context", to=["https://example.org"]),
        altered("context", to="https://w3id.org/xapi/profiles/context"),
        altered("author", to={"type": "Organisation", "name": ""}),
        altered("definition", to="For tests"),
        altered("versions", 0, "id", to="https://example.org/p"),
        altered("versions", 0, "id", to=V2),
        altered("versions", 0, "generatedAtTime", to=""),
        altered("versions", 0, "wasRevisionOf", to="https://example.org/p/v0"),
        altered("concepts", 0, "exactMatch", to=["id", "https://example.org/other"]),
        altered("concepts", 0, "type", to="Word"),
        altered("concepts", 0, "definition", to=""),
        altered("concepts", 0, to={"definition": "A remark"}),
        altered("concepts", 0, to={"@id": "https://example.org/v", "@type": "Verb", "inScheme": V2}),
        altered("concepts", 0, "id", to=TEMPLATE["id"]),
        altered("concepts", to=[*MINIMAL["concepts"], {**MINIMAL["concepts"][0], "type": "ActivityType"}]),
        templated(inScheme="https://example.org/p"),
        templated(inScheme="https://example.org/p/v0"),
        templated(inScheme=None),
        templated(prefLabel=""),
        templated(type="statementTemplate"),
        templated(verb={"id": "https://example.org/v"}),
        templated(contextParentActivityType=[], attachmentUsageType=None),
        templated(rules=[{**TEMPLATE["rules"][0], "scopeNote": "In one language, and which one is not said"}]),
        altered("templates", to=[TEMPLATE, TEMPLATE]),
        altered("templates", to=[{"scopeNote": "There will be more."}, TEMPLATE]),
        altered("patterns", to=[{"scopeNote": "There will be some."}]),
        altered("patterns", to=[]),
    ],
)
def test_what_hinders_nothing_is_read_all_the_same(raw):
    read = document.load(raw)
    assert (read.id, read.version) == ("https://example.org/p", V2)
    (template,) = read.templates
    assert template._replace(label={}, rules=()) == document.load(json.dumps(MINIMAL).encode()).templates[0]._replace(
        label={}, rules=()
    )
    assert [rule.presence for rule in template.rules] == ["included"]


def test_json_ld_has_several_ways_to_say_the_same():
    plain = document.load(
        altered(
            "templates",
            to=[
                {**TEMPLATE, "contextCategoryActivityType": ["urn:c"],
                 "rules": [{"location": "$.id", "any": ["a"], "none": [{"b": 1}]}]},
            ],
        )
    )  # fmt: skip
    other = document.load(
        altered(
            "templates",
            to=[
                {**{key: value for key, value in TEMPLATE.items() if key not in ("id", "type")}, "@id": TEMPLATE["id"],
                 "@type": ["StatementTemplate"], "contextCategoryActivityType": {"@id": "urn:c"},
                 "rules": [{"location": "$.id", "any": "a", "none": {"b": 1}, "all": None}]},
            ],
        )
    )  # fmt: skip
    assert [each._replace(rules=()) for each in plain.templates] == [
        each._replace(rules=()) for each in other.templates
    ]
    rules = [[(rule.any, rule.all, rule.none) for rule in each.templates[0].rules] for each in (plain, other)]
    assert rules[0] == rules[1] == [(("a",), None, ({"b": 1},))]
    for sequence in (["urn:t"], "urn:t", {"id": "urn:t"}, [{"@id": "urn:t"}]):
        assert document.load(altered("patterns", to=[{**PATTERN, "sequence": sequence}])).patterns[0].members == (
            "urn:t",
        )
    for optional in ("urn:t", {"id": "urn:t"}, [{"id": "urn:t"}]):
        assert document.load(altered("patterns", to=[{**PATTERN, "optional": optional}])).patterns[0].members == (
            "urn:t",
        )


def test_what_names_no_version_that_there_is_is_of_the_newest():
    raw = copy.deepcopy(MINIMAL)
    raw["concepts"][0]["inScheme"] = raw["templates"][0]["inScheme"] = "https://example.org/p/v0"
    raw["patterns"] = [{**PATTERN, "optional": TEMPLATE["id"]}]
    read = document.load(json.dumps(raw).encode())
    assert {each.version for each in (*read.concepts, *read.templates, *read.patterns)} == {V2}


def test_pointers_are_those_of_the_document_whatever_is_left_out():
    raw = copy.deepcopy(MINIMAL)
    raw["templates"] = [{"scopeNote": "x"}, TEMPLATE, TEMPLATE, {**TEMPLATE, "id": "urn:u"}]
    assert document.places(raw).templates == (1, 3)
    raw["templates"][3]["rules"] = [{"location": "$["}]
    with pytest.raises(ProfileInvalid) as refused:
        document.load(json.dumps(raw).encode())
    assert refused.value.faults[0].pointer == "/templates/3/rules/0"


def test_patterns_within_themselves_are_found_at_any_length():
    chain = [{"id": f"urn:p{n}", "type": "Pattern", "optional": f"urn:p{n + 1}"} for n in range(1_500)]
    assert document.load(altered("patterns", to=chain))
    circle = [*chain, {"id": "urn:p1500", "type": "Pattern", "optional": "urn:p700"}]
    with pytest.raises(ProfileInvalid) as refused:
        document.load(altered("patterns", to=circle))
    assert refused.value.faults[0] == ("/patterns/700", *refused.value.faults[0][1:])
    assert {fault.rule for fault in refused.value.faults} == {"profile-pattern-cycle"}


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (altered("versions", to=[{"id": f"urn:v{n}"} for n in range(101)]), "/versions"),
        (altered("concepts", to=[{"id": "urn:c", "type": "Verb"}] * 10_001), "/concepts"),
        (altered("templates", to=[{"id": f"urn:t{n}"} for n in range(2_001)]), "/templates"),
        (templated(rules=TEMPLATE["rules"] * 20_001), ""),
        (templated(rules=[{"location": f"$['{'a' * 4_000}']", "presence": "included"}] * 251), ""),
        (altered("concepts", to=[{"id": f"urn:{n}", "type": "Verb", "inlineSchema": WEB} for n in range(99)]), ""),
        (altered("patterns", to=[{**PATTERN, "id": f"urn:p{n}", "optional": "urn:t"} for n in range(201)]), ""),
        (altered("patterns", to=[{**PATTERN, "sequence": ["urn:t"] * 5_001}]), ""),
        (templated(rules=[{"location": "$.id", "any": list(range(300_001))}]), ""),
    ],
)  # fmt: skip
def test_a_profile_larger_than_any_needs_to_be_is_refused_when_it_is_added(raw, pointer):
    with pytest.raises(ProfileInvalid, match=r"at most [0-9,]+") as refused:
        document.load(raw)
    assert [(fault.pointer, fault.rule) for fault in refused.value.faults] == [(pointer, "profile-limit")]
    # One that is in the store already goes on to be read.
    assert document.load(raw, loaded=True)


# --- any change at all ---------------------------------------------------------------------------------

junk = st.recursive(
    st.sampled_from([None, True, 0, 1.5, "", "x", "urn:x", V2, TEMPLATE["id"], "$.id", "$["]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "@id", "type", "en"]), inner),
    max_leaves=5,
)
CONCEPT = {"inScheme": V2, "prefLabel": {"en": "x"}, "definition": {"en": "x"}}
WHOLE = MINIMAL | {
    "seeAlso": "https://example.org",
    "concepts": [
        {**MINIMAL["concepts"][0], "related": ["urn:x"], "broader": ["urn:x"], "exactMatch": ["urn:y"]},
        {**CONCEPT, "id": "urn:x", "type": "Verb", "narrower": ["https://example.org/v"]},
        {**CONCEPT, "id": "urn:e", "type": "ContextExtension", "inlineSchema": "{}", "recommendedVerbs": ["urn:x"]},
        {**CONCEPT, "id": "urn:s", "type": "StateResource", "contentType": "text/plain", "context": "urn:c"},
        {"id": "urn:a", "type": "Activity", "inScheme": V2, "activityDefinition": {"name": {}, "extensions": {}}},
    ],
    "templates": [
        {**TEMPLATE, "objectStatementRefTemplate": ["urn:t"]},
        {
            **TEMPLATE, "id": "urn:t", "objectActivityType": "urn:o", "attachmentUsageType": ["urn:u"],
            "contextParentActivityType": ["urn:o"],
            "rules": [
                {"location": "$.context.extensions['urn:e']", "selector": "$.id", "any": ["a"], "none": [{"b": 1}]},
                {"location": "$.result", "presence": "excluded", "scopeNote": {"en": "x"}, "all": [1]},
            ],
        },
    ],
    "patterns": [
        {**PATTERN, "sequence": [TEMPLATE["id"], "urn:q"], "prefLabel": {"en": "x"}},
        {"id": "urn:q", "type": "Pattern", "zeroOrMore": "urn:t", "deprecated": True},
    ],
}  # fmt: skip


@st.composite
def broken(draw):
    """A profile with something else in one or two places."""
    raw = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 2))):
        here, parents = raw, []
        while isinstance(here, (dict, list)) and here and (not parents or draw(st.booleans())):
            key = draw(st.sampled_from(sorted(here))) if isinstance(here, dict) else draw(st.integers(0, len(here) - 1))
            parents.append((here, key))
            here = here[key]
        if parents:
            place, key = parents[-1]
            if isinstance(place, dict) and draw(st.booleans()):
                del place[key]
            else:
                place[key] = draw(junk)
    return json.dumps(raw).encode()


@settings(max_examples=300, deadline=None)
@given(broken())
def test_the_linter_calls_an_error_what_is_not_loaded_and_nothing_else(raw):
    try:
        document.load(raw)
        usable = True
    except ProfileInvalid:
        usable = False
    assert usable == all(finding.severity is Severity.WARNING for finding in lint(raw))
    if usable:
        read = document.load(raw)
        checker.compile([read]).check({"verb": {"id": "urn:v"}, "object": {"id": "urn:o"}})
        sessions.compile(read, [read])
