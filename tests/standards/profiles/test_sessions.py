"""Sessions: which statements belong together, and the pattern that they follow best."""

import pytest

from app.standards.profiles import document, patterns, sessions
from app.standards.profiles.document import Pattern
from tests.standards.profiles.test_patterns import V, alt, profile, seq, word

(FOLLOWER,) = sessions.compile(profile(seq("a", "b")))
REGISTRATION = "2F1C1F7E-2f7c-4a2b-8f0e-5b2f6f1c9d11"


def statement(*categories, registration=REGISTRATION, **extensions):
    return {
        "context": {
            "registration": registration,
            "contextActivities": {"category": [{"id": each} for each in categories]},
            "extensions": extensions,
        }
    }


@pytest.mark.parametrize("named", [V, "urn:p"])
def test_a_statement_of_the_profile_is_in_the_session_of_its_registration(named):
    key = sessions.session_of(statement("urn:other", named), FOLLOWER)
    assert key == sessions.SessionKey("urn:p", REGISTRATION.lower(), None)


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"context": {}},
        statement(),
        statement("urn:other"),
        statement(V, registration=None),
        {"context": {"registration": REGISTRATION}},
    ],
)
def test_a_statement_without_registration_or_of_another_profile_is_in_none(other):
    assert sessions.session_of(other, FOLLOWER) is None


def test_a_subregistration_divides_the_registration_for_its_profile_only():
    parts = [
        {"profile": "urn:other", "subregistration": "00000000-0000-4000-8000-000000000001"},
        {"profile": V, "subregistration": "AAAAAAAA-0000-4000-8000-000000000002"},
    ]
    divided = sessions.session_of(statement(V, **{sessions.SUBREGISTRATION: parts}), FOLLOWER)
    assert divided.subregistration == "aaaaaaaa-0000-4000-8000-000000000002"
    for undivided in (parts[:1], [], "text", [None, {"profile": V}]):
        key = sessions.session_of(statement(V, **{sessions.SUBREGISTRATION: undivided}), FOLLOWER)
        assert key.subregistration is None


def test_a_session_stands_as_the_pattern_it_follows_best():
    made = profile(seq("a", "b"))
    other = Pattern("urn:second", V, True, {}, {}, False, "sequence", ("urn:a", "urn:c", "urn:d"))
    (follower,) = sessions.compile(made._replace(patterns=(*made.patterns, other)))
    states = sessions.start(follower)
    stands = []
    for templates in word("acb"):
        states = sessions.restore(follower, sessions.dump(follower, sessions.advance(follower, states, templates)))
        stands.append(sessions.standing(follower, states))
    assert [each.progress.value for each in stands] == ["partial", "partial", "failure"]
    assert stands[1].pattern == stands[2].pattern == "urn:second"
    assert stands[2].broken == patterns.Break(2, ("urn:d",), ("urn:b",))


def test_a_pattern_that_names_what_no_profile_defines_is_left_out_and_told():
    made = profile(seq("a", "b"))
    broken = Pattern("urn:broken", V, True, {}, {}, False, "optional", ("urn:gone",))
    (follower,) = sessions.compile(made._replace(patterns=(*made.patterns, broken)))
    assert [pattern.id for pattern in follower.patterns] == ["urn:pattern:0"]
    assert follower.unresolved == ("urn:gone",)


def test_states_of_other_patterns_are_not_taken_up():
    dumped = sessions.dump(FOLLOWER, sessions.start(FOLLOWER))
    for other in (profile(seq("a", "c")), profile(alt("a", "b"))):
        assert sessions.restore(*sessions.compile(other), dumped) is None
    assert sessions.restore(FOLLOWER._replace(patterns=()), dumped) is None
    assert sessions.compile(document.Profile(*profile("a")[:-1], ())) == ()


def two_versions():
    """Sessions are a, b in the newest version and b, a in the one before; nothing is described of the first."""
    made = profile(seq("a", "b"))
    old = made.patterns[0]._replace(version="urn:p:v0", members=made.patterns[0].members[::-1])
    versions = [document.Version(f"urn:p:{name}", "2025-01-01T00:00:00Z", ()) for name in ("v0", "first")]
    templates = [*made.templates, *(each._replace(version="urn:p:v0") for each in made.templates)]
    return made._replace(
        versions=(*made.versions, *versions), templates=tuple(templates), patterns=(*made.patterns, old)
    )


@pytest.mark.parametrize(
    ("named", "schemes"),
    [
        ([V], ["urn:p"]),
        (["urn:p"], ["urn:p"]),
        (["urn:p:first"], ["urn:p"]),
        (["urn:p:v0"], ["urn:p:v0"]),
        (["urn:p", "urn:p:v0"], ["urn:p:v0"]),
        ([V, "urn:p:v0"], ["urn:p", "urn:p:v0"]),
        (["urn:other"], []),
    ],
)
def test_a_session_follows_the_patterns_of_the_version_that_its_statements_name(named, schemes):
    followers = sessions.compile(two_versions())
    keys = [sessions.session_of(statement(*named), follower) for follower in followers]
    assert [key.scheme for key in keys if key is not None] == schemes


def test_each_version_has_the_patterns_that_it_describes():
    stands = {}
    for follower in sessions.compile(two_versions()):
        states = sessions.start(follower)
        for templates in word("ba"):
            states = sessions.advance(follower, states, templates)
        stands[follower.scheme] = sessions.standing(follower, states).progress.value
    assert stands == {"urn:p": "failure", "urn:p:v0": "success"}
