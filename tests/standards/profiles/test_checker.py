"""The algorithm of Communication 2.1: determining properties, rules, outcomes."""

import gzip
import itertools
import time
import tracemalloc
from collections import Counter

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.lossless import Digits
from app.standards.profiles import checker, document, jsonpath, templates
from app.standards.profiles.checker import Mode, Outcome
from tests.places import SHARED

DATA = SHARED / "data"


def profile(*described, number=1):
    version = document.Version(f"urn:p{number}:v1", "2026-01-01T00:00:00Z", ())
    templates = tuple(template(**each) for each in described)
    return document.Profile(f"urn:p{number}", version.id, (version,), {}, {}, None, (), templates, ())


def template(id="urn:t", rules=(), **given):
    named = {"parent": "contextParentActivityType", "other": "contextOtherActivityType"}
    raw = {"id": id, "inScheme": "urn:v", "prefLabel": {}, "rules": list(rules)}
    raw |= {named.get(key, key): value for key, value in given.items()}
    return document._template(raw, "urn:v")


def check(statement, *described, mode=Mode.EVERY):
    return checker.compile([profile(*described)], mode).check(statement)


def follows(statement, **rule):
    return check(statement, {"rules": [rule]}).outcome is Outcome.CONFORMS


# --- determining properties -----------------------------------------------------------------------

STATEMENT = {
    "verb": {"id": "urn:v"},
    "object": {"id": "urn:o", "definition": {"type": "urn:type"}},
    "context": {
        "contextActivities": {
            "parent": [{"id": "urn:1", "definition": {"type": "urn:a"}}, {"id": "urn:2"}],
            "other": {"id": "urn:3", "definition": {"type": "urn:b"}},
        }
    },
    "attachments": [{"usageType": "urn:u"}, {"usageType": "urn:w"}],
}


@pytest.mark.parametrize(
    ("properties", "matches"),
    [
        ({}, True),
        ({"verb": "urn:v"}, True),
        ({"verb": "urn:other"}, False),
        ({"objectActivityType": "urn:type"}, True),
        ({"objectActivityType": "urn:other"}, False),
        ({"verb": "urn:v", "objectActivityType": "urn:other"}, False),
        ({"parent": ["urn:a"]}, True),
        ({"parent": ["urn:a", "urn:missing"]}, False),
        ({"other": ["urn:b"]}, True),
        ({"contextGroupingActivityType": ["urn:a"]}, False),
        ({"attachmentUsageType": ["urn:u"]}, True),
        ({"attachmentUsageType": ["urn:u", "urn:x"]}, False),
    ],
)
def test_a_template_matches_when_the_statement_holds_all_its_determining_properties(properties, matches):
    verdict = check(STATEMENT, properties)
    assert verdict.outcome is (Outcome.CONFORMS if matches else Outcome.UNMATCHED)


@pytest.mark.parametrize(
    "statement", [{}, {"verb": "urn:v"}, {"verb": {"id": 3}, "object": [], "context": {"contextActivities": 1}}]
)
def test_a_statement_of_another_shape_matches_no_determined_template(statement):
    determined = ({"verb": "urn:v"}, {"objectActivityType": "urn:t"}, {"parent": ["urn:a"]})
    assert check(statement, *determined).outcome is Outcome.UNMATCHED


def test_a_single_context_activity_counts_as_a_list_of_one_and_the_statement_is_left_alone():
    # Structure 8.1: singleton objects MUST be replaced by arrays of length one
    before = orjson.dumps(STATEMENT)
    assert follows(STATEMENT, location="$.context.contextActivities.other[*].id", any=["urn:3"])
    assert orjson.dumps(STATEMENT) == before


# --- rules ----------------------------------------------------------------------------------------

ONE = {"r": {"s": "x", "n": 1, "t": True}, "list": [{"id": "a", "k": "p"}, {"id": "b"}]}


@pytest.mark.parametrize(
    ("rule", "followed"),
    [
        ({"location": "$.r.s", "presence": "included"}, True),
        ({"location": "$.r.z", "presence": "included"}, False),
        ({"location": "$.r.s", "presence": "excluded"}, False),
        ({"location": "$.r.z", "presence": "excluded"}, True),
        ({"location": "$.list[*].k", "presence": "excluded"}, False),
        ({"location": "$.r.z", "presence": "recommended"}, True),
        ({"location": "$.r.s", "any": ["x", "y"]}, True),
        ({"location": "$.r.s", "any": ["y"]}, False),
        ({"location": "$.r.z", "any": ["y"]}, False),  # strict without presence: nothing intersects
        ({"location": "$.r.z", "presence": "recommended", "any": ["y"]}, True),
        ({"location": "$.r.s", "presence": "recommended", "any": ["y"]}, False),
        ({"location": "$.list[*].id", "any": ["b", "z"]}, True),
        ({"location": "$.list[*].id", "all": ["b", "z"]}, False),
        ({"location": "$.list[*].id", "all": ["b", "a"]}, True),
        ({"location": "$.r.z", "all": ["b"]}, True),  # the pseudocode tests the values there are
        ({"location": "$.list[*].id", "none": ["b"]}, False),
        ({"location": "$.list[*].id", "none": ["z"]}, True),
        ({"location": "$.r.z", "none": ["z"]}, True),
        ({"location": "$.r.z", "presence": "included", "none": ["z"]}, False),
        # selector: a location where it finds nothing is unmatchable
        ({"location": "$.list[*]", "selector": "$.id", "presence": "included"}, True),
        ({"location": "$.list[*]", "selector": "$.k", "presence": "included"}, False),
        ({"location": "$.list[*]", "selector": "$.k", "all": ["p"]}, False),
        ({"location": "$.list[*]", "selector": "$.k", "any": ["p"]}, True),
        ({"location": "$.list[*]", "selector": "$.k", "none": ["q"]}, True),
        ({"location": "$.list[*]", "selector": "$.k", "presence": "excluded"}, False),
        ({"location": "$.list[*]", "selector": "$.absent", "presence": "excluded"}, True),
        ({"location": "$.absent[*]", "selector": "$.k", "presence": "included"}, False),
        # JSON equality
        ({"location": "$.r.n", "all": [1.0]}, True),
        ({"location": "$.r.n", "all": [True]}, False),
        ({"location": "$.r.t", "all": [1]}, False),
        ({"location": "$.list[0]", "all": [{"k": "p", "id": "a"}]}, True),
        ({"location": "$.list[0]", "all": [{"k": "p"}]}, False),
    ],
)
def test_a_rule_is_followed_as_the_pseudocode_says(rule, followed):
    assert follows(ONE, **rule) is followed


@pytest.mark.parametrize(
    ("value", "any_", "followed"),
    [
        (Digits("1" * 30), [Digits("1" * 30)], True),
        (Digits("1" * 30), [Digits("1" * 29 + "2"), 1.1111111111111111e29], False),
        (Digits("1" + "0" * 22), [1e22], True),
        ([{"a": Digits("1e400")}], [[{"a": Digits("1E+400")}]], True),
        (Digits("1" * 30), ["1" * 30], False),
    ],
)
def test_numbers_that_64_bits_do_not_hold_are_compared_by_value(value, any_, followed):
    assert follows({"r": value}, location="$.r", any=any_) is followed


def test_a_template_that_wants_a_reference_needs_a_statement_ref():
    wants = {"contextStatementRefTemplate": ["urn:x"]}
    reference = {"context": {"statement": {"objectType": "StatementRef", "id": "1"}}}
    assert check(reference, wants).outcome is Outcome.CONFORMS
    assert check({}, wants).matched[0].faults[0].pointer == "/context/statement"
    wants = {"objectStatementRefTemplate": ["urn:x"]}
    assert check({"object": {"objectType": "StatementRef"}}, wants).outcome is Outcome.CONFORMS
    assert check(STATEMENT, wants).outcome is Outcome.FAILS


REFERRED = {"id": "urn:wanted", "verb": "urn:v", "rules": [{"location": "$.r", "presence": "included"}]}
OTHER = {"id": "urn:other", "verb": "urn:v"}
REFERS = {"id": "urn:refers", "verb": "urn:w", "objectStatementRefTemplate": ["urn:wanted"]}


def reference(id, verb="urn:w"):
    return {"verb": {"id": verb}, "object": {"objectType": "StatementRef", "id": id}}


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        ({"verb": {"id": "urn:v"}, "r": 1}, Outcome.CONFORMS),  # follows both: the wanted one is among them
        # The pseudocode gives the failing templates of an invalid statement: the wanted one is among these.
        ({"verb": {"id": "urn:v"}}, Outcome.CONFORMS),
        ({"verb": {"id": "urn:x"}}, Outcome.FAILS),
        (None, Outcome.CONFORMS),  # not available to the checking system
    ],
)
def test_the_statement_that_is_referred_to_must_be_of_a_wanted_template(statement, outcome):
    made = checker.compile([profile(REFERRED, OTHER, REFERS)])
    assert made.refers
    assert made.check(reference("ABC"), {"abc": statement}.get).outcome is outcome


def test_of_a_statement_that_fails_a_template_those_count_that_it_fails():
    # Communication 2.1: it follows the wanted one, but validates gives the failing ones.
    fails = {"id": "urn:fails", "verb": "urn:v", "rules": [{"location": "$.r", "presence": "excluded"}]}
    made = checker.compile([profile(REFERRED, fails, REFERS)])
    assert made.check(reference("1"), {"1": {"verb": {"id": "urn:v"}, "r": 1}}.get).outcome is Outcome.FAILS


def test_statements_of_a_batch_may_refer_to_each_other_and_to_themselves_in_a_circle():
    made = checker.compile([profile(REFERRED, REFERS)])
    good = {"id": "1", "verb": {"id": "urn:v"}, "r": 1}
    verdicts = made.check_all([{"id": "2"} | reference("1"), good, {"id": "3"} | reference("3")])
    assert [verdict.outcome for verdict in verdicts] == [Outcome.CONFORMS, Outcome.CONFORMS, Outcome.FAILS]
    assert verdicts[2].matched[0].faults[0].rule == "template-object-reference-template"


def test_a_statement_that_many_templates_refer_to_is_looked_at_once_a_depth():
    # Each of ten templates asks for both of its references, and each of these is the statement itself: 20 to the 8.
    both = {"objectStatementRefTemplate": ["urn:wanted"], "contextStatementRefTemplate": ["urn:wanted"]}
    made = checker.compile([profile(*({"id": f"urn:{n}", "verb": "urn:w", **both} for n in range(10)))])
    itself = reference("1") | {"context": {"statement": {"objectType": "StatementRef", "id": "1"}}}
    asked = []
    verdict = made.check(itself, lambda id: asked.append(id) or itself)
    assert verdict.outcome is Outcome.FAILS
    assert len(asked) == checker._MAX_DEPTH


def test_a_template_of_another_profile_does_not_make_up_for_the_wanted_one():
    made = checker.compile([profile(REFERS), profile(REFERRED, number=2)])
    assert made.check(reference("1"), {"1": {"verb": {"id": "urn:v"}, "r": 1}}.get).outcome is Outcome.FAILS


def test_a_statement_is_held_to_the_version_that_it_names_and_to_the_newest_otherwise():
    versions = tuple(document.Version(f"urn:p1:v{n}", f"202{n}-01-01T00:00:00Z", ()) for n in (2, 1))
    old, new, same = (
        template(id=name, verb="urn:v")._replace(version=f"urn:p1:v{n}")
        for name, n in (("urn:old", 1), ("urn:new", 2), ("urn:same", 1))
    )
    described = (old, new, same, same._replace(version="urn:p1:v2"))
    made = checker.compile([profile()._replace(version="urn:p1:v2", versions=versions, templates=described)])

    def matched(*named):
        context = {"contextActivities": {"category": [{"id": each} for each in named]}}
        verdict = made.check({"verb": {"id": "urn:v"}, "context": context})
        return sorted(result.template for result in verdict.matched)

    assert matched() == matched("urn:p1:v2") == matched("urn:elsewhere") == ["urn:new", "urn:same"]
    assert matched("urn:p1:v1") == ["urn:old", "urn:same"]
    assert matched("urn:p1:v1", "urn:p1:v2") == ["urn:new", "urn:old", "urn:same"]


def test_only_templates_of_the_verb_and_type_are_tried():
    described = [{"id": f"urn:{n}", "verb": f"urn:v{n}", "objectActivityType": f"urn:t{n % 7}"} for n in range(100)]
    index = checker.compile([profile(*described, {"id": "urn:any"}, {"id": "urn:t", "objectActivityType": "urn:t3"})])
    tried = index._index.of({"verb": {"id": "urn:v3"}, "object": {"definition": {"type": "urn:t3"}}})
    assert {entry.compiled.id for entry in tried} == {"urn:3", "urn:any", "urn:t"}
    assert len(index._index.of({"verb": {"id": "urn:v3"}, "object": {}})) == 1


UNMATCHABLE = object()
VALUES = st.sampled_from([None, True, False, 0, 1, "a", "b", [], ["a"], {"x": 1}])
LISTED = st.none() | st.lists(VALUES, min_size=1, max_size=3)


def same(left, right):
    return orjson.dumps(left) == orjson.dumps(right)


def pseudocode(values, presence, any_, all_, none):
    """``follows_rule`` of Communication 2.1, word for word."""
    strict = presence != "recommended"
    real = [value for value in values if value is not UNMATCHABLE]
    if presence == "included" and (len(real) < len(values) or not values):
        return False
    if presence == "excluded" and real:
        return False
    if strict or values:
        if any_ is not None and not any(same(value, listed) for value in real for listed in any_):
            return False
        if all_ is not None:
            if len(real) < len(values):
                return False
            if not all(any(same(value, listed) for listed in all_) for value in real):
                return False
        if none is not None and any(same(value, listed) for value in real for listed in none):
            return False
    return True


@given(
    st.lists(st.tuples(st.booleans(), VALUES), max_size=4),
    st.sampled_from([None, "included", "excluded", "recommended"]),
    LISTED, LISTED, LISTED,
)  # fmt: skip
def test_any_rule_gives_the_verdict_of_the_pseudocode(members, presence, any_, all_, none):
    statement = {"list": [{"v": value} if matchable else {} for matchable, value in members]}
    values = [value if matchable else UNMATCHABLE for matchable, value in members]
    path = jsonpath.compile
    rule = document.Rule(path("$.list[*]"), path("$.v"), presence, *map(_tuple, (any_, all_, none)))
    compiled = templates.compile(template()._replace(rules=(rule,)))
    followed = all(each(statement) is None for each in compiled.checks)
    assert followed is pseudocode(values, presence, any_, all_, none)


def _tuple(values):
    return None if values is None else tuple(values)


# --- outcomes -------------------------------------------------------------------------------------

GOOD = {"id": "urn:good", "verb": "urn:v"}
BAD = {"id": "urn:bad", "rules": [{"location": "$.absent", "presence": "included"}]}


def test_every_matching_template_must_be_followed_unless_one_is_enough():
    verdict = check(STATEMENT, GOOD, BAD)
    assert verdict.outcome is Outcome.FAILS
    assert [(result.template, result.ok) for result in verdict.matched] == [("urn:good", True), ("urn:bad", False)]
    assert check(STATEMENT, GOOD, BAD, mode=Mode.ANY).outcome is Outcome.CONFORMS
    assert check(STATEMENT, BAD, mode=Mode.ANY).outcome is Outcome.FAILS


def test_a_fault_names_place_rule_and_template_and_no_value():
    fault = check({"r": "secret"}, {"rules": [{"location": "$.r", "none": ["secret"]}]}).matched[0].faults[0]
    assert (fault.pointer, fault.rule, fault.section) == ("/r", "template-none", "urn:t")
    assert "secret" not in fault.message


def test_several_profiles_are_checked_together_and_a_batch_keeps_its_order():
    both = checker.compile([profile(GOOD), profile(BAD, number=2), profile(GOOD)])
    verdicts = both.check_all([STATEMENT, {"absent": 1}])
    assert [result.profile for result in verdicts[0].matched] == ["urn:p1", "urn:p2"]
    assert [verdict.outcome for verdict in verdicts] == [Outcome.FAILS, Outcome.CONFORMS]


def test_no_profile_means_unmatched():
    assert checker.compile([]).check(STATEMENT) == checker.Verdict(Outcome.UNMATCHED, ())


# --- real statements ------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not beside this checkout")
def test_the_verdicts_on_real_video_statements():
    video = document.load((DATA / "profiles" / "video-1.0.3.jsonld").read_bytes())
    with gzip.open(DATA / "fun-video-statements.jsonl.gz") as lines:
        statements = [orjson.loads(line) for line in lines]
    verdicts = checker.compile([video]).check_all(statements)
    assert Counter(verdict.outcome.value for verdict in verdicts) == {
        "conforms": 17_764, "fails": 4_182, "unmatched": 54,
    }  # fmt: skip
    results = itertools.chain.from_iterable(verdict.matched for verdict in verdicts)
    counts = Counter((result.template.partition("#")[2], result.ok) for result in results)
    assert counts == {
        ("initialized", True): 1_348,
        ("played", True): 6_603,
        ("paused", True): 6_480,
        ("seeked", True): 2_995,
        ("completed", False): 636,  # neither duration nor completion
        ("terminated", True): 338,
        # three templates for one verb: only the volume is always there
        ("volumechange", True): 3_546,
        ("closed-captioning", False): 3_546,
        ("screenchange", False): 3_546,
    }


def test_what_is_selected_within_what_is_selected_is_not_compared_whole_each_time():
    # Each of 250 levels holds all that is below it: compared whole, some 50 million parts.
    value = list(range(200_000))
    for level in range(250):
        value = {"a": value, "b": level}
    statement = {"context": {"extensions": {"urn:x": value}}}
    before = time.process_time()
    tracemalloc.start()
    try:
        assert not follows(statement, location="$..*", any=["nowhere", [1, [2]], {"a": 1}])
        assert follows(statement, location="$..*", any=["nowhere", 249])
        assert tracemalloc.get_traced_memory()[1] < 400 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert time.process_time() - before < 20


def test_lists_and_objects_are_equal_to_those_of_as_many_levels():
    for given_, wanted in (([1, [2]], [1, [2]]), ({"a": {"b": [1]}}, {"a": {"b": [1]}}), ([], []), ({}, {})):
        assert follows({"result": given_}, location="$.result", any=[wanted, 3])
    for given_, wanted in (([1, [2]], [1, [[2]]]), ([[1]], [1]), ({"a": {}}, {}), ([], {}), ([[]], [])):
        assert not follows({"result": given_}, location="$.result", any=[wanted, 3])
