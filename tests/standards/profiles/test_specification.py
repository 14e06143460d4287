"""The examples of the specification itself (xAPI Profiles 1.0, Structure), run as they stand there."""

import copy

import pytest

from app.standards.profiles import checker, document, patterns
from app.standards.profiles.checker import Outcome

SPORTS = "http://example.org/profiles/sports"
V2 = f"{SPORTS}/v2"
HEAD = {
    "@context": "https://w3id.org/xapi/profiles/context",
    "type": "Profile",
    "conformsTo": "https://w3id.org/xapi/profiles#1.0",
    "prefLabel": {"en": "Sports"},
    "definition": {"en": "Competitive events"},
    "author": {"type": "Organization", "name": "Tests"},
}
# Structure 6.1
VERSIONS = [
    {
        "id": "http://example.com/profiles/superheroes/v3",
        "wasRevisionOf": ["http://example.com/profiles/superheroes/v2"],
        "generatedAtTime": "2020-02-20T20:20:20Z",
    },
    {
        "id": "http://example.com/profiles/superheroes/v2",
        "wasRevisionOf": ["http://example.com/profiles/superheroes/v1"],
        "generatedAtTime": "2010-01-15T03:14:15Z",
    },
    {"id": "http://example.com/profiles/superheroes/v1", "generatedAtTime": "2010-01-14T12:13:14Z"},
]
# Structure 8.1, the two examples of rules
GROUPING = {"location": "context.contextActivities.grouping[*].id", "presence": "included"}
PLACING = {
    "id": f"{SPORTS}/templates/placing",
    "type": "StatementTemplate",
    "inScheme": V2,
    "prefLabel": {"en": "Placing"},
    "definition": {"en": "Records the actor placing in a particular event."},
    "verb": f"{SPORTS}/verbs/placed",
    "objectActivityType": f"{SPORTS}/activitytypes/event",
    "contextGroupingActivityType": [f"{SPORTS}/activitytypes/event"],
    "rules": [{"location": f"$.result.extensions['{SPORTS}/extensions/place']", "presence": "included"}],
}
EVENT = {"id": f"{SPORTS}/activities/100mdash", "definition": {"type": f"{SPORTS}/activitytypes/event"}}
PLACED = {
    "verb": {"id": f"{SPORTS}/verbs/placed"},
    "object": EVENT,
    "context": {"contextActivities": {"grouping": EVENT}},
    "result": {"extensions": {f"{SPORTS}/extensions/place": {"rank": 1, "medal": "gold"}}},
}


def profile(*templates, made=()):
    raw = HEAD | {
        "id": SPORTS,
        "versions": [{"id": V2, "generatedAtTime": "2020-02-20T20:20:20Z"}],
        "templates": list(templates),
        "patterns": list(made),
    }
    assert document.faults_of(raw) == []
    return document.read(raw)


def named(name):
    return {"id": f"{SPORTS}/templates/{name}", "type": "StatementTemplate", "inScheme": V2, "prefLabel": {"en": name}}


def without(statement, *path):
    changed = copy.deepcopy(statement)
    place = changed
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return changed


def test_6_1_the_version_of_any_day_is_known():
    read = document.read(HEAD | {"id": "http://example.com/profiles/superheroes", "versions": VERSIONS})
    assert [version.id[-2:] for version in read.versions] == ["v3", "v2", "v1"]
    assert read.versions[0].revises == (read.versions[1].id,)


@pytest.mark.parametrize(
    ("statement", "followed"),
    [
        (PLACED, True),  # a single grouping counts as a list of one
        ({"context": {"contextActivities": {"grouping": [EVENT, EVENT]}}}, True),
        ({"context": {"contextActivities": {"grouping": []}}}, False),
        ({"context": {"contextActivities": {"parent": [EVENT]}}}, False),
        ({}, False),
    ],
)
def test_8_1_at_least_one_grouping(statement, followed):
    made = checker.compile([profile({**named("grouped"), "rules": [GROUPING]})])
    assert made.check(statement).outcome is (Outcome.CONFORMS if followed else Outcome.FAILS)


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        (PLACED, Outcome.CONFORMS),
        (without(PLACED, "result"), Outcome.FAILS),
        (without(PLACED, "context"), Outcome.UNMATCHED),
        (without(PLACED, "object", "definition"), Outcome.UNMATCHED),
    ],
)
def test_8_1_placing(statement, outcome):
    assert checker.compile([profile(PLACING)]).check(statement).outcome is outcome


# Structure 9: the relay race
RELAY = (
    {
        "id": f"{SPORTS}/patterns/relay",
        "type": "Pattern",
        "primary": True,
        "inScheme": V2,
        "prefLabel": {"en": "Relay Race"},
        "definition": {"en": "A detailed recording of a relay race."},
        "sequence": [f"{SPORTS}/templates/start", f"{SPORTS}/patterns/handoffs", f"{SPORTS}/templates/placing"],
    },
    {
        "id": f"{SPORTS}/patterns/handoffs",
        "type": "Pattern",
        "inScheme": V2,
        "oneOrMore": f"{SPORTS}/templates/handoff",
    },
)


@pytest.mark.parametrize(
    ("race", "outcome"),
    [
        ("start handoff placing", "success"),
        ("start handoff handoff handoff placing", "success"),
        ("start handoff", "partial"),
        ("start placing", "failure"),
        ("start handoff placing start", "failure"),
    ],
)
def test_9_a_relay_race(race, outcome):
    read = profile(named("start"), named("handoff"), PLACING, made=RELAY)
    relay = patterns.compile(read, patterns.primaries(read)[0])
    state = patterns.follow(relay, [[f"{SPORTS}/templates/{each}"] for each in race.split()])
    assert patterns.progress(state).value == outcome


def redo(name, **made):
    return {"id": f"{SPORTS}/patterns/{name}", "type": "Pattern", "inScheme": V2, **made}


# Structure 9: levels of a game that can be played again. In the specification level1 to level3 are patterns.
LEVELS = (
    redo(
        "levels",
        primary=True,
        sequence=[
            f"{SPORTS}/{each}"
            for each in (
                "templates/level1",
                "patterns/level1redos",
                "templates/level2",
                "patterns/uptolevel2redos",
            )
        ],
    ),
    redo("level1redos", zeroOrMore=f"{SPORTS}/templates/level1"),
    redo("uptolevel2redos", zeroOrMore=f"{SPORTS}/patterns/uptolevel2"),
    redo("uptolevel2", alternates=[f"{SPORTS}/templates/level1", f"{SPORTS}/templates/level2"]),
)


@pytest.mark.parametrize(
    ("played", "outcome"), [("12", "success"), ("111212112", "success"), ("11", "partial"), ("2", "failure")]
)
def test_9_levels_that_are_played_again(played, outcome):
    read = profile(named("level1"), named("level2"), made=LEVELS)
    levels = patterns.compile(read, patterns.primaries(read)[0])
    state = patterns.follow(levels, [[f"{SPORTS}/templates/level{each}"] for each in played])
    assert patterns.progress(state).value == outcome
