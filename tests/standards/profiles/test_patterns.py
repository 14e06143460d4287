"""Patterns: the engine that takes one statement at a time, beside a slow and obvious one."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.standards.profiles import checker, document, patterns
from app.standards.profiles.document import Pattern, Template
from app.standards.profiles.patterns import Progress
from tests.places import SHARED

PUBLISHED = SHARED / "data" / "profiles"
V = "urn:p:v1"
LETTERS = "abcd"


def template(name):
    return Template(f"urn:{name}", V, {}, {}, False, None, None, (), frozenset(), (), (), ())


def seq(*parts):
    return ("sequence", parts)


def alt(*parts):
    return ("alternates", parts)


def star(part):
    return ("zeroOrMore", (part,))


def plus(part):
    return ("oneOrMore", (part,))


def opt(part):
    return ("optional", (part,))


def profile(element):
    """A profile whose one primary pattern is an element: a letter, or a kind with its parts."""
    made = []

    def name(part):
        if isinstance(part, str):
            return f"urn:{part}"
        kind, parts = part
        iri = f"urn:pattern:{len(made)}"
        made.append(None)
        place = len(made) - 1
        members = tuple(name(each) for each in parts)
        made[place] = Pattern(iri, V, place == 0, {}, {}, False, kind, members)
        return iri

    name(element)
    version = document.Version(V, "2026-01-01T00:00:00Z", ())
    return document.Profile(
        "urn:p", V, (version,), {}, {}, None, (), tuple(map(template, LETTERS)), tuple(made)
    )  # fmt: skip


def compiled(element):
    made = profile(element)
    return patterns.compile(made, patterns.primaries(made)[0])


def word(text):
    return [[f"urn:{letter}"] for letter in text]


# --- the slow and obvious matcher -----------------------------------------------------------------


class Reference:
    """Communication 2.2 read as: match greedily, nothing given back; notes whether it looked beyond the last one."""

    def __init__(self, statements):
        self.statements = [set(each) for each in statements]
        self.looked_beyond = False

    def match(self, element, at):
        """The end of the element's greedy match, or None when it does not match."""
        if isinstance(element, str):
            if at == len(self.statements):
                self.looked_beyond = True
                return None
            return at + 1 if f"urn:{element}" in self.statements[at] else None
        kind, parts = element
        if kind == "sequence":
            for part in parts:
                at = self.match(part, at)
                if at is None:
                    return None
            return at
        if kind == "alternates":
            ends = [end for part in parts if (end := self.match(part, at)) is not None]
            return max(ends, default=None)
        (part,) = parts
        if kind == "optional":
            end = self.match(part, at)
            return at if end is None else end
        if kind == "oneOrMore":
            at = self.match(part, at)
            if at is None:
                return None
        while True:
            end = self.match(part, at)
            if end is None or end == at:
                return at
            at = end

    def progress(self, element):
        end = self.match(element, 0)
        if end == len(self.statements):
            return Progress.SUCCESS
        return Progress.PARTIAL if self.looked_beyond else Progress.FAILURE


ELEMENTS = st.recursive(
    st.sampled_from(LETTERS),
    lambda inner: (
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: seq(*parts))
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: alt(*parts))
        | inner.map(star)
        | inner.map(plus)
        | inner.map(opt)
    ),
    max_leaves=6,
).filter(lambda element: not isinstance(element, str))
STATEMENTS = st.lists(
    st.sets(st.sampled_from([f"urn:{letter}" for letter in LETTERS]), max_size=2).map(sorted), max_size=8
)


@settings(max_examples=600, deadline=None)
@given(ELEMENTS, STATEMENTS)
def test_one_at_a_time_gives_what_the_obvious_matcher_gives_at_each_statement(element, statements):
    pattern = compiled(element)
    state = patterns.start(pattern)
    failed = False
    for taken in range(len(statements) + 1):
        expected = Reference(statements[:taken]).progress(element)
        assert patterns.progress(state) is expected, (element, statements[:taken])
        if expected is Progress.FAILURE and not failed:
            failed = True
            assert state.broken is not None and state.broken.at == taken - 1
        if taken < len(statements):
            # Put away and taken up again between any two.
            state = patterns.restore(pattern, orjson.loads(orjson.dumps(patterns.dump(pattern, state))))
            state = patterns.advance(pattern, state, statements[taken])


def pseudocode(statements, element):
    """``matches`` of Communication 2.2, word for word: outcome and what remains."""
    if isinstance(element, str):
        if not statements:
            return "partial", []
        return ("success", statements[1:]) if f"urn:{element}" in statements[0] else ("failure", statements)
    kind, parts = element
    if kind == "sequence":
        left = statements
        for part in parts:
            outcome, left = pseudocode(left, part)
            if outcome == "failure":
                return "failure", statements
            if outcome == "partial":
                return "partial", []
        return "success", left
    if kind == "alternates":
        outcome, left = "failure", statements
        for part in parts:
            maybe, maybe_left = pseudocode(statements, part)
            if maybe == "success":
                outcome = "success"
                left = maybe_left if len(maybe_left) < len(left) else left
            if maybe == "partial" and outcome == "failure":
                outcome = "partial"
        return ("partial", []) if outcome == "partial" else (outcome, left)
    (part,) = parts
    if kind == "optional":
        outcome, left = pseudocode(statements, part) if statements else ("success", [])
        return (outcome, left) if outcome != "failure" else ("success", statements)
    outcome, last = "failure", statements
    while True:
        going, left = pseudocode(last, part)
        if kind == "zeroOrMore":
            if going == "failure":
                return "success", last
            if going == "partial" and left:
                return "partial", left
            if len(left) == len(last):
                return "success", left
        elif going == "success":
            outcome = "success"
            if len(left) == len(last):
                return "success", left
        elif outcome == "failure" and going == "partial":
            return "partial", []
        else:
            return ("partial" if going == "partial" and last else outcome), last
        last = left


def decidable(element):
    """True if nothing optional stands directly inside alternates, for which the pseudocode may say failure wrongly."""
    if isinstance(element, str):
        return True
    kind, parts = element
    loose = kind == "alternates" and any(part[0] in ("optional", "zeroOrMore") for part in parts)
    return not loose and all(map(decidable, parts))


@settings(max_examples=300, deadline=None)
@given(ELEMENTS.filter(decidable), STATEMENTS)
def test_the_pseudocode_of_the_specification_never_says_the_contrary(element, statements):
    # Both may say partial where the other does not: see docs/adr/0023-patterns.md.
    outcome, left = pseudocode(statements, element)
    stands = patterns.progress(patterns.follow(compiled(element), statements))
    if outcome == "success" and not left:
        assert stands is not Progress.FAILURE
    if stands is Progress.SUCCESS:
        assert outcome != "failure" and (outcome == "partial" or not left)


@settings(max_examples=200, deadline=None)
@given(ELEMENTS, st.text(LETTERS, min_size=30, max_size=60))
def test_a_state_stays_small_however_long_the_session(element, text):
    pattern = compiled(element)
    state = patterns.follow(pattern, word(text * 4))
    assert state.broken is not None or patterns._size(state.node, 10_000) < 400


@pytest.mark.parametrize(
    "element",
    [
        # Each a may end a round or be one of many before a b: every round would open one more way.
        star(alt("a", seq(plus("a"), "b"))),
        plus(seq(opt(plus("a")), opt("a"))),
    ],
)
def test_what_is_tried_already_is_not_tried_again(element):
    state = patterns.follow(compiled(element), word("a" * 500))
    assert patterns._size(state.node, 1_000) < 60
    assert patterns.progress(patterns.follow(compiled(element), word("a" * 500 + "ba"))) is not Progress.PARTIAL


def test_a_session_that_leaves_too_much_open_ends_in_failure():
    # What the specification forbids: something optional directly within alternates, under a repetition.
    state = patterns.follow(compiled(star(alt("a", opt(star("a"))))), word("a" * 400))
    assert state.broken is not None and state.seen == 400


@pytest.mark.parametrize("element", [seq(*[opt("a")] * 400, "b"), star(seq(*[opt("a")] * 200, "b"))])
def test_a_pattern_with_more_open_at_once_than_a_state_can_hold_is_refused(element):
    # As JSON its states would have more levels than can be written, and walking them more than Python allows.
    with pytest.raises(patterns.TooAmbiguous):
        compiled(element)


@pytest.mark.parametrize("text", ["", "a" * 50, "b" * 3 + "a"])
def test_states_of_a_long_pattern_are_put_away_and_taken_up(text):
    pattern = compiled(star(seq(*[opt("a")] * 100, plus(alt("b", seq("b", "c"))))))
    state = patterns.follow(pattern, word(text))
    assert patterns.restore(pattern, orjson.loads(orjson.dumps([[[patterns.dump(pattern, state)]]]))[0][0][0]) == state


def test_patterns_within_patterns_too_deeply_or_within_themselves_through_another_profile_are_refused():
    deep = "a"
    for _ in range(200):
        deep = seq(deep, "b")
    with pytest.raises(patterns.TooAmbiguous):
        compiled(deep)
    ours, theirs = (
        profile("a")._replace(id=name, patterns=(Pattern(f"{name}:p", V, True, {}, {}, False, "sequence", members),))
        for name, members in (("urn:ours", ("urn:theirs:p", "urn:a")), ("urn:theirs", ("urn:ours:p", "urn:a")))
    )
    with pytest.raises(patterns.TooAmbiguous):
        patterns.compile(ours, ours.patterns[0], [theirs])


# --- what is known of some patterns -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "text", "outcome", "at", "wanted"),
    [
        (seq("a", "b"), "", "partial", None, "a"),
        (seq("a", "b"), "a", "partial", None, "b"),
        (seq("a", "b"), "ab", "success", None, ""),
        (seq("a", "b"), "abc", "failure", 2, ""),
        (seq("a", "b"), "ac", "failure", 1, "b"),
        (seq("a", star(alt("b", "c")), "d"), "abccbd", "success", None, ""),
        (seq("a", star(alt("b", "c")), "d"), "abccba", "failure", 5, "bcd"),
        # the alternate that takes most, though another matched before it
        (seq(alt("a", seq("a", "b")), "c"), "abc", "success", None, ""),
        (seq(alt("a", seq("a", "b")), "c"), "ac", "success", None, ""),
        # begun and not ended: what follows begins where it began
        (seq(star(seq("a", "b")), "a", "c"), "abac", "success", None, ""),
        # greedy: nothing is left for what must follow
        (seq(star("a"), "a"), "aa", "partial", None, "a"),
        (seq(star("a"), "a"), "aab", "failure", 2, "a"),
        # within something repeated that is cut, the end is not a success
        (star(seq("a", "b")), "aba", "partial", None, "b"),
        (plus(opt("a")), "", "success", None, "a"),
        (plus(opt("a")), "aaa", "success", None, "a"),
    ],
)
def test_where_a_session_stands(element, text, outcome, at, wanted):
    pattern = compiled(element)
    state = patterns.follow(pattern, word(text))
    assert patterns.progress(state).value == outcome
    assert (state.broken and state.broken.at) == at
    awaited = state.broken.wanted if state.broken else patterns.wanted(pattern, state)
    assert sorted(awaited) == [f"urn:{letter}" for letter in wanted]


def test_a_statement_that_fails_its_template_breaks_the_session_where_it_stands():
    pattern = compiled(seq("a", "b"))
    state = patterns.follow(pattern, [["urn:a"], [], ["urn:b"]])
    assert state.broken == patterns.Break(1, ("urn:b",), ())
    assert state.seen == 3


def test_a_state_of_another_pattern_is_not_taken_up():
    one, other = compiled(seq("a", "b")), compiled(seq("a", "c"))
    dumped = patterns.dump(one, patterns.follow(one, word("a")))
    assert patterns.restore(other, dumped) is None
    assert patterns.restore(one, dumped) is not None


def test_templates_and_patterns_of_other_profiles_are_used_as_if_they_were_here():
    other = profile(seq("a", "b"))._replace(id="urn:q")
    mine = profile(star("a"))._replace(
        templates=(), patterns=(Pattern("urn:mine", V, True, {}, {}, False, "optional", ("urn:pattern:0",)),)
    )
    with pytest.raises(patterns.Unresolved) as refused:
        patterns.compile(mine, mine.patterns[0])
    assert refused.value.names == ("urn:pattern:0",)
    made = patterns.compile(mine, mine.patterns[0], [other])
    assert patterns.progress(patterns.follow(made, word("ab"))) is Progress.SUCCESS
    assert {template.id for template in checker.borrowed(mine, [other])} == {"urn:a", "urn:b"}


def test_of_another_profile_an_older_version_will_do_and_the_newest_comes_first():
    versions = tuple(document.Version(f"urn:q:v{n}", f"202{n}-01-01T00:00:00Z", ()) for n in (2, 1))

    def of(version, kind, *members):
        return Pattern("urn:q:both", version, False, {}, {}, False, kind, members)

    old = Pattern("urn:q:old", "urn:q:v1", False, {}, {}, False, "sequence", ("urn:a", "urn:b"))
    described = tuple(template(name)._replace(version="urn:q:v1") for name in LETTERS)
    other = profile("a")._replace(
        id="urn:q",
        version="urn:q:v2",
        versions=versions,
        templates=described,
        patterns=(of("urn:q:v1", "sequence", "urn:a", "urn:b"), of("urn:q:v2", "oneOrMore", "urn:c"), old),
    )
    own = Pattern("urn:mine", V, True, {}, {}, False, "sequence", ("urn:q:old", "urn:q:both"))
    mine = profile("a")._replace(templates=(), patterns=(own,))
    made = patterns.compile(mine, own, [other])
    assert patterns.progress(patterns.follow(made, word("abcc"))) is Progress.SUCCESS
    assert {each.id for each in checker.borrowed(mine, [other])} == {"urn:a", "urn:b", "urn:c"}


@pytest.mark.parametrize(
    ("element", "completes", "unused"),
    [
        (seq("a", star(alt("b", "c")), "d"), True, ""),
        (seq(star("a"), "a", "b"), False, "ab"),
        (seq(star(alt("a", "b")), opt("a"), "c"), True, ""),
        (seq(star(alt("a", "b")), opt(seq("a", "d")), "c"), True, "d"),
        (seq(opt("a"), opt("b"), opt("c")), True, ""),
    ],
)
def test_what_can_complete_and_what_cannot_is_told(element, completes, unused):
    pattern = compiled(element)
    reach = patterns.explore(pattern)
    assert (reach.completes, reach.whole) == (completes, True)
    assert set(pattern.symbols) - reach.used == {f"urn:{letter}" for letter in unused}


def test_a_pattern_that_explodes_is_refused_rather_than_followed():
    part = "a"
    for _ in range(14):
        part = alt(seq(opt("a"), opt("b")), seq(opt("b"), part))
    with pytest.raises(patterns.TooAmbiguous):
        compiled(seq(part, part, part))


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published profiles are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "session", "outcome"),
    [
        ("scorm-1.0", "initialization scoactivity suspension resumption completing termination", "success"),
        ("scorm-1.0", "initialization suspension termination", "failure"),
        ("cmi5-1.0", "satisfied launched initialized completed passed satisfied terminated", "success"),
        (
            "cmi5-1.0",
            "launched initialized passed completed terminated launched initialized failed abandoned",
            "success",
        ),
        ("cmi5-1.0", "launched initialized completed", "partial"),
        ("cmi5-1.0", "launched completed", "failure"),
        ("video-1.0.3", "templates#initialized templates#played templates#terminated", "success"),
        ("audio-1.0", "templates#played", "failure"),
    ],
)
def test_sessions_of_published_profiles(name, session, outcome):
    published = document.load((PUBLISHED / f"{name}.jsonld").read_bytes())
    (primary,) = patterns.primaries(published)
    pattern = patterns.compile(published, primary)
    base = published.id + ("#" if "#" not in session else "/")
    state = patterns.follow(pattern, [[base + each] for each in session.split()])
    assert patterns.progress(state).value == outcome
    assert patterns.explore(pattern).completes
