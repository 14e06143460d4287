"""The linter: each kind of finding, at its place, and nothing in a clean profile."""

import copy
import json
import sys
from collections import Counter

import pytest

from app.core import contracts
from app.standards.profiles import document, patterns
from app.standards.profiles.findings import Severity
from app.standards.profiles.lint import lint
from tests.places import SHARED

PUBLISHED = SHARED / "data" / "profiles"
P = "https://example.org/p"
V = f"{P}/v1"


def term(name, kind, **more):
    return {
        "id": f"{P}/{name}", "type": kind, "inScheme": V, "prefLabel": {"en": name}, "definition": {"en": name}, **more
    }  # fmt: skip


def template(name, *rules, **more):
    return {
        "id": f"{P}/t/{name}", "type": "StatementTemplate", "inScheme": V, "prefLabel": {"en": name},
        "definition": {"en": name}, "verb": f"{P}/{name}", **({"rules": list(rules)} if rules else {}), **more,
    }  # fmt: skip


def pattern(name, *, primary=False, **more):
    return {
        "id": f"{P}/p/{name}", "type": "Pattern", "inScheme": V, "primary": primary, "prefLabel": {"en": name},
        "definition": {"en": name}, **more,
    }  # fmt: skip


def clean(**changes):
    raw = {
        "@context": "https://w3id.org/xapi/profiles/context",
        "id": P,
        "type": "Profile",
        "conformsTo": "https://w3id.org/xapi/profiles#1.0",
        "prefLabel": {"en": "A profile"},
        "definition": {"en": "For tests"},
        "versions": [{"id": V, "generatedAtTime": "2026-01-01T00:00:00Z"}],
        "author": {"type": "Organization", "name": "Tests"},
        "concepts": [
            term("opened", "Verb"),
            term("closed", "Verb", broader=[f"{P}/opened"]),
            term("page", "ActivityType"),
            term("where", "ContextExtension", inlineSchema='{"type": "string"}', recommendedVerbs=[f"{P}/opened"]),
            term("note", "StateResource", contentType="application/json"),
        ],
        "templates": [
            template("opened", {"location": f"$.context.extensions['{P}/where']", "presence": "included"}),
            template("closed", {"location": "$.result.success", "all": [True]}),
        ],
        "patterns": [pattern("visit", primary=True, sequence=[f"{P}/t/opened", f"{P}/t/closed"])],
    }
    return raw | changes


def found(raw, others=()):
    return [(each.pointer, each.rule, each.severity.value) for each in lint(json.dumps(raw).encode(), others)]


def test_nothing_is_found_in_a_clean_profile():
    assert found(clean()) == []


def test_numbers_beyond_64_bits_are_values_like_others():
    rules = [
        {"location": "$.result.score.raw", "presence": "recommended", "any": [10**30 + at, 10**5_000]} for at in (0, 1)
    ]
    sys.set_int_max_str_digits(0)
    try:
        assert found(clean(templates=[template("opened", *rules), *clean()["templates"][1:]])) == []
        rules[1] = rules[0]
        assert [
            rule for _, rule, _ in found(clean(templates=[template("opened", *rules), *clean()["templates"][1:]]))
        ] == ["rule-repeated"]
    finally:
        sys.set_int_max_str_digits(4_300)


ERROR, WARNING = "error", "warning"
ELSEWHERE = "https://elsewhere.example/x"
RULE = "/templates/0/rules/0"


def ruled(*rules, **more):
    """The clean profile with other rules for its first template."""
    return clean(templates=[template("opened", *rules, **more), clean()["templates"][1]])


def concepts(*made):
    return clean(concepts=[*clean()["concepts"], *made])


def patterned(*made):
    return clean(patterns=list(made))


OPENED, CLOSED = f"{P}/t/opened", f"{P}/t/closed"
VISIT = pattern("visit", primary=True, sequence=[OPENED, f"{P}/p/part", CLOSED])
CASES = [
    # Structure 4 and 6
    (clean(preflabel={"en": "x"}), "/preflabel", "unknown-property", WARNING),
    (clean(seeAlso=""), "/seeAlso", "empty-value", WARNING),
    (clean(prefLabel={"english!": "x"}), "/prefLabel/english!", "language-tag", WARNING),
    (clean(conformsTo="https://w3id.org/xapi/profiles#0.9"), "/conformsTo", "conforms-to", WARNING),
    (clean(**{"@context": "https://example.org/context"}), "/@context", "context", WARNING),
    (clean(id="no iri"), "/id", "profile-pattern", ERROR),
    # 6.1
    (
        clean(versions=[{"id": V, "generatedAtTime": "last spring"}]),
        "/versions/0/generatedAtTime", "timestamp", WARNING,
    ),
    (
        clean(versions=[{"id": V, "generatedAtTime": "2026-01-01T00:00:00Z"},
                        {"id": f"{P}/v0", "generatedAtTime": "2025-01-01T00:00:00Z"}]),
        "/versions/0", "revision-missing", WARNING,
    ),
    (
        clean(versions=[{"id": V, "generatedAtTime": "2026-01-01T00:00:00Z", "wasRevisionOf": [f"{P}/v0"]}]),
        "/versions/0/wasRevisionOf/0", "revision-unknown", WARNING,
    ),
    (
        clean(versions=[{"id": V, "generatedAtTime": "2026-01-01T00:00:00Z", "wasRevisionOf": [P]}]),
        "/versions/0/wasRevisionOf/0", "revision-of-profile", WARNING,
    ),
    (
        clean(versions=[{"id": V, "generatedAtTime": "2026-01-01T00:00:00Z", "wasRevisionOf": [V]}]),
        "/versions/0/wasRevisionOf/0", "revision-order", WARNING,
    ),
    # 7
    (concepts(term("x", "Verb", inScheme=f"{P}/v9")), "/concepts/5/inScheme", "in-scheme", WARNING),
    (concepts({**term("x", "Verb"), "id": V}), "/concepts/5/id", "id-of-profile", WARNING),
    (concepts({"id": f"{P}/x", "type": "Verb", "inScheme": V}), "/concepts/5", "missing-property", WARNING),
    (concepts(term("x", "Verb", inlineSchema="{}")), "/concepts/5/inlineSchema", "unknown-property", WARNING),
    (concepts(term("x", "Verb", broader=[f"{P}/y"])), "/concepts/5/broader/0", "relation-broken", WARNING),
    (concepts(term("x", "Verb", broader=[f"{P}/page"])), "/concepts/5/broader/0", "relation-type", WARNING),
    (concepts(term("x", "Verb", broader=[f"{P}/x"])), "/concepts/5/broader/0", "relation-to-itself", WARNING),
    (concepts(term("x", "Verb", broadMatch=[f"{P}/opened"])), "/concepts/5/broadMatch/0", "match-within", WARNING),
    (concepts(term("x", "Verb", exactMatch=[f"{P}/gone"])), "/concepts/5/exactMatch/0", "reference-broken", WARNING),
    (concepts(term("x", "Verb", related=[f"{P}/opened"])), "/concepts/5/related", "related-not-deprecated", WARNING),
    (
        concepts(term("x", "Verb", broader=[f"{P}/y"]), term("y", "Verb", broader=[f"{P}/x"])),
        "/concepts/5", "broader-cycle", WARNING,
    ),
    (
        concepts(term("x", "ResultExtension", recommendedVerbs=[f"{P}/page"])),
        "/concepts/5/recommendedVerbs/0", "reference-type", WARNING,
    ),
    (concepts(term("x", "ResultExtension", inlineSchema="{]")),
     "/concepts/5/inlineSchema", "inline-schema-json", WARNING),
    # The specification's own example of 7.2 is of an older draft.
    (
        concepts(term("x", "ResultExtension", inlineSchema='{"properties": {"rank": {"required": true}}}')),
        "/concepts/5/inlineSchema", "inline-schema", WARNING,
    ),
    (
        concepts(term("x", "ResultExtension", inlineSchema='{"pattern": "(?=a)"}')),
        "/concepts/5/inlineSchema", "inline-schema-unusable", WARNING,
    ),
    (
        concepts(term("x", "ResultExtension", inlineSchema='{"$ref": "https://elsewhere.example/x"}')),
        "/concepts/5/inlineSchema", "inline-schema-unusable", WARNING,
    ),
    (
        concepts(term("x", "ResultExtension", inlineSchema='{"not":' * 300 + "{}" + "}" * 300)),
        "/concepts/5/inlineSchema", "inline-schema-unusable", WARNING,
    ),
    (
        concepts(term("x", "ResultExtension", inlineSchema='{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}')),
        "/concepts/5/inlineSchema", "inline-schema-unusable", WARNING,
    ),
    (
        concepts(term("x", "ResultExtension", inlineSchema='{"enum": [' + "0," * 40_000 + "0]}")),
        "/concepts/5/inlineSchema", "inline-schema-unusable", WARNING,
    ),
    (
        concepts(term("x", "ResultExtension", inlineSchema="[" * 100_000)),
        "/concepts/5/inlineSchema", "inline-schema-json", WARNING,
    ),
    (concepts(term("x", "StateResource")), "/concepts/5", "missing-property", WARNING),
    (concepts(term("x", "StateResource", contentType="json")), "/concepts/5/contentType", "content-type", WARNING),
    (
        concepts({"id": f"{P}/a", "type": "Activity", "inScheme": V, "activityDefinition": {"name": {"en": "x"}}}),
        "/concepts/5/activityDefinition/@context", "activity-context", WARNING,
    ),
    (
        concepts({"id": f"{P}/a", "type": "Activity", "inScheme": V, "activityDefinition": {
            "@context": "https://w3id.org/xapi/profiles/activity-context", "title": "x"}}),
        "/concepts/5/activityDefinition/title", "activity-property", WARNING,
    ),
    (
        concepts({"id": f"{P}/a", "type": "Activity", "inScheme": V, "activityDefinition": {
            "@context": "https://w3id.org/xapi/profiles/activity-context",
            "extensions": {"https://x.example/one": 1, "https://x.example/many": [{"@context": "urn:c"}, {"a": 1}]}}}),
        "/concepts/5/activityDefinition/extensions/https:~1~1x.example~1many", "extension-context", WARNING,
    ),
    # 8
    (ruled(verb=f"{P}/gone"), "/templates/0/verb", "reference-broken", WARNING),
    (ruled(verb=f"{P}/page"), "/templates/0/verb", "reference-type", WARNING),
    (
        clean(templates=[{name: part for name, part in template("x").items() if name != "verb"}], patterns=[]),
        "/templates/0", "matches-everything", WARNING,
    ),
    (
        ruled(objectStatementRefTemplate=[f"{P}/t/gone"]),
        "/templates/0/objectStatementRefTemplate/0", "template-reference-broken", WARNING,
    ),
    (
        clean(templates=[template("opened"), template("again", verb=f"{P}/opened")], patterns=[]),
        "/templates/1", "indistinguishable", WARNING,
    ),
    (
        clean(templates=[template("opened", {"location": "$.result", "presence": "included"}),
                         template("again", {"location": "result", "presence": "excluded"}, verb=f"{P}/opened")],
              patterns=[]),
        "/templates/1", "indistinguishable", WARNING,
    ),
    (
        clean(templates=[template("opened", {"location": "$.result", "presence": "included"}),
                         template("again", {"location": "$.result", "presence": "excluded"}, verb=f"{P}/opened",
                                  objectActivityType=f"{P}/page", contextOtherActivityType=[f"{P}/page"])],
              patterns=[]),
        "/templates/1", "contradicts-wider", WARNING,
    ),
    # 8.1: paths that can never find anything
    (
        ruled({"location": "$.context.contextActivities.grouping.id", "presence": "included"}),
        f"{RULE}/location", "never-matches", WARNING,
    ),
    (ruled({"location": "$.attachments.usageType", "any": ["x"]}), f"{RULE}/location", "never-matches", WARNING),
    (ruled({"location": "$.results.score", "presence": "included"}), f"{RULE}/location", "never-matches", WARNING),
    (ruled({"location": "$.verb.id.x", "presence": "included"}), f"{RULE}/location", "never-matches", WARNING),
    (ruled({"location": "$.actor[0]", "presence": "included"}), f"{RULE}/location", "never-matches", WARNING),
    (ruled({"location": "$.results", "presence": "recommended"}), f"{RULE}/location", "never-matches", WARNING),
    (
        ruled({"location": "$.id | $.actor.member.name", "presence": "included"}),
        f"{RULE}/location", "never-matches", WARNING,
    ),
    (
        ruled({"location": "$.context.contextActivities.parent[*]", "selector": "$.typ", "presence": "included"}),
        f"{RULE}/selector", "never-matches", WARNING,
    ),
    (
        ruled({"location": f"$.result.extensions['{P}/where']", "presence": "included"}),
        f"{RULE}/location", "extension-misplaced", WARNING,
    ),
    (
        ruled({"location": f"$.context.extensions['{P}/wher']", "presence": "included"}),
        f"{RULE}/location", "reference-broken", WARNING,
    ),
    # 8.1: values that are never there, rules that nothing follows
    (ruled({"location": "$.result.success", "any": ["true"]}), f"{RULE}/any/0", "value-never-there", WARNING),
    (ruled({"location": "$.result.success", "any": [True, "true"]}), f"{RULE}/any/1", "value-never-there", WARNING),
    (ruled({"location": "$.result", "presence": "excluded", "any": [{}]}), RULE, "never-followed", WARNING),
    (ruled({"location": "$.actor", "presence": "excluded"}), RULE, "never-followed", WARNING),
    (ruled({"location": "$.id", "any": ["a"], "none": ["a", "b"]}), RULE, "never-followed", WARNING),
    (ruled({"location": "$.id", "any": ["a"], "all": ["b"]}), RULE, "never-followed", WARNING),
    (ruled({"location": "$.id", "presence": "excluded", "none": ["b"]}), RULE, "values-of-nothing", WARNING),
    (ruled({"location": "$.verb.id", "all": [ELSEWHERE]}), RULE, "contradicts-determining", WARNING),
    (
        ruled({"location": "$.result", "presence": "included"}, {"location": "$['result']", "presence": "excluded"}),
        "/templates/0/rules/1", "rules-contradict", WARNING,
    ),
    (
        ruled({"location": "$.id", "presence": "included", "all": ["a"]}, {"location": "$.id", "all": ["b"]}),
        "/templates/0/rules/1", "rules-contradict", WARNING,
    ),
    (
        ruled({"location": "$.id", "presence": "included"}, {"location": "$.id", "presence": "included"}),
        "/templates/0/rules/1", "rule-repeated", WARNING,
    ),
    (
        ruled({"location": "$.result.score", "any": [{"raw": 1}]}),
        "/templates/0/rules/0/any", "values-context", WARNING,
    ),
    # 9
    (patterned(pattern("visit", sequence=[OPENED, CLOSED])), "/patterns", "no-primary", WARNING),
    (
        patterned(pattern("visit", primary=True, sequence=[OPENED, CLOSED]), pattern("x", optional=OPENED)),
        "/patterns/1", "pattern-unused", WARNING,
    ),
    (patterned({**VISIT, "sequence": [f"{P}/p/part"]}, pattern("part", optional=OPENED)),
     "/patterns/0/sequence", "too-few-members", WARNING),
    (
        patterned(pattern("visit", primary=True, sequence=[OPENED, f"{P}/gone"])),
        "/patterns/0/sequence/1", "pattern-reference-broken", WARNING,
    ),
    (
        patterned(pattern("visit", primary=True, sequence=[OPENED, f"{P}/opened"])),
        "/patterns/0/sequence/1", "pattern-reference-type", WARNING,
    ),
    (
        patterned(pattern("visit", primary=True, alternates=[CLOSED, f"{P}/p/part"]), pattern("part", optional=OPENED)),
        "/patterns/0/alternates/1", "optional-in-alternates", WARNING,
    ),
    (
        patterned(VISIT, pattern("part", sequence=[OPENED, f"{P}/p/part"])),
        "/patterns/1", "profile-pattern-cycle", ERROR,
    ),
    (patterned(pattern("visit", primary=True)), "/patterns/0", "profile-oneOf", ERROR),
    # what is repeated leaves nothing for what must follow
    (
        patterned(pattern("visit", primary=True, sequence=[f"{P}/p/part", OPENED, CLOSED]),
                  pattern("part", zeroOrMore=OPENED)),
        "/patterns/0", "pattern-never-completes", WARNING,
    ),
    (
        patterned(pattern("visit", primary=True, sequence=[f"{P}/p/part", f"{P}/p/more", CLOSED]),
                  pattern("part", zeroOrMore=f"{P}/p/each"), pattern("each", alternates=[OPENED, CLOSED]),
                  pattern("more", optional=OPENED)),
        "/patterns/0", "pattern-never-completes", WARNING,
    ),
    (
        clean(templates=[*clean()["templates"], template("page", verb=ELSEWHERE)]),
        "/templates/2", "template-in-no-pattern", WARNING,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "pointer", "rule", "severity"), CASES, ids=lambda each: each if "-" in str(each) else ""
)
def test_a_defect_is_found_at_its_place(raw, pointer, rule, severity):
    assert (pointer, rule, severity) in found(raw)


def test_a_pattern_too_ambiguous_to_be_looked_at_is_told(monkeypatch):
    reach = patterns.Reach(True, frozenset(), False)
    monkeypatch.setattr(patterns, "explore", lambda *_, **__: reach)
    assert found(clean()) == [("/patterns/0", "pattern-ambiguous", "warning")]


def test_the_paths_of_the_specification_that_lead_somewhere_are_not_complained_of():
    for location in (
        "context.contextActivities.grouping[*].id",
        "$..id",
        "$.actor.*",
        "$.object['definition','id']",
        "$.object.member[0,1].name | $.actor.name",
        "$.result.extensions['https://elsewhere.example/x'].deep[*].er",
    ):
        assert found(ruled({"location": location, "presence": "included"})) == [], location


def test_a_changed_template_or_pattern_needs_a_new_id_in_a_new_version():
    old = f"{P}/v0"
    versions = [
        {"id": V, "generatedAtTime": "2026-01-01T00:00:00Z", "wasRevisionOf": [old]},
        {"id": old, "generatedAtTime": "2025-01-01T00:00:00Z"},
    ]
    before = template("opened", {"location": "$.result", "presence": "included"}, inScheme=old)
    unchanged = copy.deepcopy(clean()["templates"][1]) | {"inScheme": old}
    raw = clean(versions=versions, templates=[*clean()["templates"], before, unchanged])
    assert [each[:2] for each in found(raw)] == [("/templates/2/id", "changed-template")]
    turned = {**clean()["patterns"][0], "inScheme": old, "sequence": [CLOSED, OPENED]}
    raw = clean(versions=versions, patterns=[*clean()["patterns"], turned])
    assert ("/patterns/1/id", "changed-pattern", "warning") in found(raw)


def test_references_to_other_profiles_are_looked_up_in_those_at_hand():
    other = document.load(json.dumps(clean()).encode())
    mine = json.loads(json.dumps(clean()).replace(P, "https://example.org/mine"))
    mine["concepts"][0] = {**mine["concepts"][0], "id": f"{P}/opened"}
    mine["patterns"][0]["sequence"].append(CLOSED)
    without = {each[:2] for each in found(mine)}
    assert ("/patterns/0/sequence/2", "pattern-reference-broken") in without
    both = {each[:2] for each in found(mine, [other])}
    assert ("/patterns/0/sequence/2", "pattern-reference-broken") not in both
    assert ("/concepts/0/id", "defined-elsewhere") in both
    # One that supersedes the profile may define its concepts, and not those of a third.
    third = other._replace(id="urn:third", versions=(other.versions[0]._replace(id="urn:third:v1"),))
    mine["versions"][0]["wasRevisionOf"] = [V]
    assert ("/concepts/0/id", "defined-elsewhere") not in {each[:2] for each in found(mine, [other])}
    assert ("/concepts/0/id", "defined-elsewhere") in {each[:2] for each in found(mine, [other, third])}


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"null", b"{}", b'{"id": {"id": []}, "templates": [[{}], 3]}'])
def test_anything_can_be_linted(content):
    assert lint(content)


def test_a_wider_template_that_says_nothing_else_is_not_complained_of():
    narrow = template("again", {"location": "$.result", "presence": "excluded"}, verb=f"{P}/opened",
                      objectActivityType=f"{P}/page")  # fmt: skip
    wide = template("opened", {"location": "$.context", "presence": "included"})
    apart = template("other", {"location": "$.result", "presence": "included"}, verb=f"{P}/opened",
                     contextParentActivityType=[f"{P}/page"])  # fmt: skip
    raw = clean(templates=[wide, narrow, apart])
    del raw["patterns"]
    assert found(raw) == []


def test_values_that_are_objects_need_a_context_of_the_document():
    raw = ruled({"location": "$.result.score", "any": [{"raw": 1}]})
    raw["@context"] = ["https://w3id.org/xapi/profiles/context", "https://example.org/context"]
    assert found(raw) == []


def test_a_key_given_twice_is_told():
    content = json.dumps(clean()).replace('"type": "Profile"', '"type": "Profile", "type": "Profile"').encode()
    assert [each.rule for each in lint(content)] == ["duplicate-key"]


def test_no_more_guesses_are_made_than_anyone_reads(monkeypatch):
    monkeypatch.setattr("app.standards.profiles.lint._MAX_GUESSES", 2 * len(clean()["concepts"]))
    raw = clean(templates=[template(f"t{n}", verb=f"{P}/opende") for n in range(3)])
    advice = [each.advice for each in lint(json.dumps(raw).encode()) if each.rule == "reference-broken"]
    assert [each.startswith("Did you mean") for each in advice] == [True, True, False]


def test_a_finding_says_what_to_do():
    raw = ruled({"location": "$.result.sucess", "presence": "included"})
    assert lint(json.dumps(raw).encode())[0].advice == "Did you mean success?"


@pytest.mark.parametrize("name", ["ent", "p2ia"])
def test_the_projects_own_profiles_are_clean(name):
    others = [document.load(path.read_bytes()) for path in contracts.folder("profiles").glob("*.jsonld")]
    assert lint(contracts.folder("profiles", f"{name}.jsonld").read_bytes(), others) == []


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published profiles are not beside this checkout")
def test_the_defects_of_the_published_profiles_are_found():
    others = [document.load(path.read_bytes()) for path in PUBLISHED.glob("*.jsonld")]
    reported = {path.stem: lint(path.read_bytes(), others) for path in PUBLISHED.glob("*.jsonld")}
    rules = {name: Counter(each.rule for each in findings) for name, findings in reported.items()}
    assert rules == {
        "acrossx-1.0.1": {"related-not-deprecated": 1, "relation-broken": 1, "revision-unknown": 1},
        # $.duration, for $.result.duration
        "audio-1.0": {"never-matches": 1},
        # $.result['…/reason'], for $.result.extensions['…/reason']
        "cmi5-1.0": {"missing-property": 10, "matches-everything": 1, "never-matches": 1, "revision-unknown": 1},
        "scorm-1.0": {"matches-everything": 1, "empty-value": 8, "revision-of-profile": 1},
        # cc-enabled is used and not defined (cc-subtitle-enabled is); three templates of one verb and type
        "video-1.0.3": {"reference-broken": 2, "indistinguishable": 2, "revision-unknown": 1},
    }
    assert {each.severity for findings in reported.values() for each in findings} == {Severity.WARNING}
