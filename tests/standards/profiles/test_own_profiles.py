"""The project's ENT and P2IA profiles, against the examples in ``examples/``.

An example file holds valid statements of one template, and changes (RFC 7396 merge patches) to the first of
them that each break one rule.
"""

import json
from pathlib import Path

import pytest

from app.core import contracts
from app.standards.profiles import checker, document, patterns, sessions, terms

FILES = sorted((Path(__file__).parent / "examples").glob("*.json"))
EXAMPLES = [json.loads(path.read_text()) for path in FILES]
NAMES = ("ent", "p2ia")
PROFILES = {name: document.load(contracts.folder("profiles", f"{name}.jsonld").read_bytes()) for name in NAMES}
VALID = [(example, statement) for example in EXAMPLES for statement in example["valid"]]
INVALID = [(example, case) for example in EXAMPLES for case in example["invalid"]]


def merged(target, patch):
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


@pytest.fixture(scope="module")
def both():
    return checker.compile(list(PROFILES.values()))


@pytest.mark.parametrize(("example", "statement"), VALID)
def test_a_valid_example_conforms_to_its_template_alone(both, example, statement):
    verdict = both.check(statement)
    assert verdict.outcome is checker.Outcome.CONFORMS
    assert [result.template for result in verdict.matched] == [example["template"]]
    assert verdict.matched[0].profile == PROFILES[example["profile"]].id


@pytest.mark.parametrize(("example", "case"), INVALID)
def test_an_invalid_example_says_which_rule_it_breaks_and_where(both, example, case):
    verdict = both.check(merged(example["valid"][0], case["change"]))
    assert verdict.outcome is checker.Outcome.FAILS
    faults = verdict.matched[0].faults
    assert (case["rule"], case["pointer"]) in [(fault.rule, fault.pointer) for fault in faults]
    assert {fault.section for fault in faults} == {example["template"]}


@pytest.mark.parametrize("example", [each for each in EXAMPLES if "ENSEIGNANT" in json.dumps(each["valid"])])
def test_the_recommendation_that_a_teacher_decides_on_must_be_one(both, example):
    decision = example["valid"][0]
    recommended = next(each for each in EXAMPLES if each["template"].endswith("/recommended"))["valid"][0]
    for statement, outcome in ((recommended, "conforms"), (EXAMPLES[0]["valid"][0], "fails")):
        assert both.check(decision, lambda _, found=statement: found).outcome.value == outcome


SESSIONS = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "sessions").glob("*.json"))]


def followed(both, session):
    """The standing of a session of the examples of these templates, one second apart."""
    profile = PROFILES[session["profile"]]
    (follower,) = sessions.compile(profile)
    examples = {each["template"].rpartition("/")[2]: each["valid"][0] for each in EXAMPLES if
                each["profile"] == session["profile"]}  # fmt: skip
    states = sessions.start(follower)
    for name in session["templates"]:
        verdict = both.check(examples[name])
        assert sessions.session_of(examples[name], follower) is not None
        states = sessions.advance(follower, states, [each.template for each in verdict.matched])
    return sessions.standing(follower, states)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda each: each["about"])
def test_an_example_of_a_session_stands_as_it_says(both, session):
    stands = followed(both, session)
    assert stands.progress.value == session["outcome"]
    assert stands.pattern.rpartition("/")[2] == session["pattern"]
    if stands.broken is not None:
        wanted = sorted(each.rpartition("/")[2] for each in stands.broken.wanted)
        assert (stands.broken.at, wanted) == (session["at"], session["wanted"])


def test_every_primary_pattern_has_sessions_that_follow_it_and_sessions_that_do_not():
    reported = {(each["profile"], each["pattern"], each["outcome"]) for each in SESSIONS}
    for name, profile in PROFILES.items():
        for pattern in patterns.primaries(profile):
            own = pattern.id.rpartition("/")[2]
            assert {(name, own, "success"), (name, own, "failure")} <= reported


def test_every_template_has_its_examples():
    templates = {template.id for profile in PROFILES.values() for template in profile.templates}
    assert {example["template"] for example in EXAMPLES} == templates


def test_the_terms_are_those_that_the_profiles_define_and_use():
    raw = [json.loads(contracts.folder("profiles", f"{name}.jsonld").read_text()) for name in NAMES]
    defined = {concept["id"]: concept["type"] for profile in raw for concept in profile["concepts"]}
    for term in terms.CONTEXT_EXTENSIONS:
        assert defined.pop(term) == "ContextExtension"
    for term in terms.RESULT_EXTENSIONS:
        assert defined.pop(term) == "ResultExtension"
    verbs = {terms.REQUESTED_HINT, terms.CHANGED_LEVEL, terms.RECEIVED_FEEDBACK, terms.MASTERY_ESTIMATED}
    verbs |= {terms.RECOMMENDED, terms.ACCEPTED, terms.REFUSED}
    types = {terms.WORKSPACE, terms.SERVICE_ACTIVITY, terms.TOOL_ACTIVITY, terms.RESOURCE, terms.DOCUMENT}
    types |= {terms.MESSAGE, terms.SKILL}
    own = verbs | types
    assert set(defined) == own
    assert [profile["id"] for profile in raw] == [terms.ENT_PROFILE, terms.P2IA_PROFILE]
    assert [profile["versions"][0]["id"] for profile in raw] == [terms.ENT_VERSION, terms.P2IA_VERSION]


def test_the_profiles_say_in_both_languages_that_they_are_unofficial():
    for name in NAMES:
        raw = json.loads(contracts.folder("profiles", f"{name}.jsonld").read_text())
        assert raw["definition"]["en"].startswith("Unofficial")
        assert raw["definition"]["fr"].startswith("Non officiel")
        for part in [raw, *raw["concepts"], *raw["templates"], *raw["patterns"]]:
            assert set(part["prefLabel"]) == set(part["definition"]) == {"en", "fr"}
