"""Reading profile documents."""

import copy
import json
from pathlib import Path

import pytest

from app.errors import ProfileInvalid
from app.profiles import document

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "profiles"
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
    monkeypatch.setattr(document, "LARGEST", 100)
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
        (altered("@context", to=["https://example.org"]), "/@context", "profile-anyOf"),
        (altered("versions", to=[]), "/versions", "profile-minItems"),
        (altered("versions", 0, "id", to="https://example.org/p/v2"), "/versions", "profile-version-id"),
        (altered("versions", 0, "id", to="https://example.org/p"), "/versions", "profile-version-id"),
        (altered("concepts", 0, "type", to="Word"), "/concepts/0/type", "profile-enum"),
        (altered("concepts", 0, "id", to="https://example.org/t"), "/templates/0/id", "profile-id-unique"),
        (altered("templates", 0, "id", to=None), "/templates/0", "profile-required"),
        (altered("templates", 0, "verb", to=3), "/templates/0/verb", "profile-type"),
        (altered("templates", 0, "inScheme", to="https://example.org/x"), "/templates/0/inScheme", "profile-in-scheme"),
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
        document.load(altered("concepts", to=[{}] * 1000))
    assert len(refused.value.faults) == document.MOST_FAULTS
    assert len(document.faults_of(MINIMAL | {"concepts": [{}] * 1100})) == 1000


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
