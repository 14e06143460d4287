"""The requirements of the standard on one statement, for both versions, against the validator.

A requirement is a sentence and its cases. A case is what to put where in a valid statement, and the pointer and rule of
the refusal; no rule means accepted. Where a requirement binds every agent, activity, IRI… its cases are over each place
of a statement that has one, inside SubStatements too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson
import pytest

from app.core.errors import InvalidStatement
from app.standards.xapi.validate import validate
from app.standards.xapi.versions import Version
from tests.standard.requirement import V1, V2, VERSIONS, register, requirement

ACTIVITY = {"id": "https://example.fr/activities/1"}
AGENT = {"objectType": "Agent", "openid": "https://id.example.fr/1"}
ACCOUNT = {"homePage": "https://ent.example.fr", "name": "a"}
GROUP = {"objectType": "Group", "openid": "https://id.example.fr/2"}
ANONYMOUS = {"objectType": "Group", "member": [AGENT]}
REF = {"objectType": "StatementRef", "id": "00000000-0000-4000-8000-000000000000"}
STATEMENT = {"actor": AGENT, "verb": {"id": "https://example.fr/verbs/read"}, "object": ACTIVITY}
SUB = {"objectType": "SubStatement", **STATEMENT}
VOIDED = {"id": "http://adlnet.gov/expapi/verbs/voided"}
ATTACHMENT = {
    "usageType": "https://example.fr/usage",
    "display": {"fr": "Copie"},
    "contentType": "text/plain",
    "length": 0,
    "sha2": "0" * 64,
    "fileUrl": "https://example.fr/f",
}
OAUTH = [{"account": {"homePage": "https://a.fr/token", "name": "app"}}, {"openid": "https://id.fr"}]
COMPONENT_LISTS = ("choices", "scale", "source", "target", "steps")
INTERACTIONS = (
    *("true-false", "choice", "fill-in", "long-fill-in", "matching"),
    *("performance", "sequencing", "likert", "numeric", "other"),
)

# Everything that both versions know, inside a SubStatement and around it.
INNER: dict[str, Any] = {
    "actor": {"objectType": "Agent", "name": "Ada", "mbox": "mailto:ada@example.fr"},
    "verb": {"id": "https://example.fr/verbs/answered", "display": {"fr": "a répondu"}},
    "object": {
        "objectType": "Activity",
        "id": "https://example.fr/activities/2",
        "definition": {
            "name": {"fr": "Question"},
            "description": {"fr": "Une question"},
            "type": "http://adlnet.gov/expapi/activities/cmi.interaction",
            "moreInfo": "https://example.fr/more",
            "interactionType": "choice",
            "correctResponsesPattern": ["a"],
            "choices": [{"id": "a", "description": {"fr": "A"}}],
            "extensions": {"https://example.fr/e": {"room": 1}},
        },
    },
    "result": {
        "score": {"scaled": 0.5, "raw": 5, "min": 0, "max": 10},
        "success": True,
        "completion": False,
        "response": "a",
        "duration": "PT1S",
        "extensions": {"https://example.fr/e": 1},
    },
    "context": {
        "registration": "00000000-0000-4000-8000-00000000000b",
        "instructor": {"objectType": "Agent", "account": ACCOUNT},
        "team": {"objectType": "Group", "name": "6e A", "member": [{"mbox_sha1sum": "0" * 40}]},
        "contextActivities": {
            "parent": [ACTIVITY],
            "grouping": [ACTIVITY],
            "category": [ACTIVITY],
            "other": [ACTIVITY],
        },
        "revision": "1",
        "platform": "ENT",
        "language": "fr",
        "statement": REF,
        "extensions": {"https://example.fr/e": 1},
    },
    "timestamp": "2026-01-01T00:00:00Z",
    "attachments": [{**ATTACHMENT, "description": {"fr": "Une copie"}}],
}
WHOLE: dict[str, Any] = {
    **INNER,
    "id": "00000000-0000-4000-8000-00000000000a",
    "stored": "2026-01-01T00:00:00Z",
    "authority": AGENT,
    "version": "1.0.3",
}
WHOLE_SUB: dict[str, Any] = {**STATEMENT, "object": {"objectType": "SubStatement", **INNER}}
GONE = object()


class Place(NamedTuple):
    """A statement, a pointer into it, and the versions that know what is there."""

    base: dict[str, Any]
    at: str
    versions: tuple[str, ...] = VERSIONS


class Case(NamedTuple):
    base: dict[str, Any]
    at: str
    value: Any
    pointer: str = ""
    rule: str = ""
    versions: tuple[str, ...] = VERSIONS


def both(*paths: str) -> list[Place]:
    """These places of a statement, and of a SubStatement."""
    return [Place(base, under + path) for path in paths for base, under in ((WHOLE, ""), (WHOLE_SUB, "/object"))]


def with_context(name: str, value: Any, sub: bool = False) -> dict[str, Any]:
    inner = {**STATEMENT, "context": {name: value}}
    return {**STATEMENT, "object": {"objectType": "SubStatement", **inner}} if sub else inner


def context_agent(**more: Any) -> list[dict[str, Any]]:
    return [{"objectType": "contextAgent", "agent": AGENT, **more}]


def context_group(**more: Any) -> list[dict[str, Any]]:
    return [{"objectType": "contextGroup", "group": GROUP, **more}]


CONTEXT_AGENTS = [
    Place(with_context("contextAgents", context_agent(), sub), f"{'/object' if sub else ''}/context/contextAgents", V2)
    for sub in (False, True)
]
CONTEXT_GROUPS = [
    Place(with_context("contextGroups", context_group(), sub), f"{'/object' if sub else ''}/context/contextGroups", V2)
    for sub in (False, True)
]
AGENTS = [
    *both("/actor", "/context/instructor", "/context/team/member/0"),
    Place(WHOLE, "/authority"),
    Place({**STATEMENT, "actor": ANONYMOUS}, "/actor/member/0"),
    Place({**STATEMENT, "object": AGENT}, "/object"),
    Place({**STATEMENT, "object": {**SUB, "object": AGENT}}, "/object/object"),
    *[Place(base, at + "/0/agent", versions) for base, at, versions in CONTEXT_AGENTS],
]
GROUPS = [
    *both("/actor", "/context/instructor", "/context/team"),
    Place({**STATEMENT, "object": GROUP}, "/object"),
    Place({**STATEMENT, "object": {**SUB, "object": GROUP}}, "/object/object"),
    *[Place(base, at + "/0/group", versions) for base, at, versions in CONTEXT_GROUPS],
]
# Where an Agent may stand, or a Group.
ACTORS = [place for place in GROUPS if not place.at.endswith(("/team", "/0/group"))]
OBJECTS = both("/object")
ACTIVITIES = [
    *OBJECTS,
    *both(*[f"/context/contextActivities/{kind}/0" for kind in ("parent", "grouping", "category", "other")]),
]
DEFINITIONS = both("/object/definition")
REFS = [
    Place({**STATEMENT, "object": REF}, "/object"),
    Place({**STATEMENT, "object": {**SUB, "object": REF}}, "/object/object"),
    *both("/context/statement"),
]
UUIDS = [Place(WHOLE, "/id"), *[Place(base, at + "/id") for base, at, _ in REFS], *both("/context/registration")]
TIMES = [*both("/timestamp"), Place(WHOLE, "/stored")]
LANGUAGE_MAPS = both(
    *("/verb/display", "/object/definition/name", "/object/definition/description"),
    *("/object/definition/choices/0/description", "/attachments/0/display", "/attachments/0/description"),
)
EXTENSIONS = both("/object/definition/extensions", "/result/extensions", "/context/extensions")
IRIS = both(
    *("/verb/id", "/object/id", "/object/definition/type", "/object/definition/moreInfo"),
    *("/context/instructor/account/homePage", "/attachments/0/usageType", "/attachments/0/fileUrl"),
)

STATED: list[tuple[str, list[Case]]] = []


def accepted(
    where: str | Sequence[Place], *values: Any, sub: str = "", versions: tuple[str, ...] = VERSIONS
) -> list[Case]:
    """Cases: each value is accepted at each place."""
    return [
        Case(place.base, place.at + sub, value, versions=_common(versions, place.versions))
        for place in _places(where)
        for value in values
    ]


def refused(
    where: str | Sequence[Place],
    rule: str,
    *values: Any,
    sub: str = "",
    reported: str | None = None,
    versions: tuple[str, ...] = VERSIONS,
) -> list[Case]:
    """Cases: each value is refused at each place, by a rule that ends so; ``reported`` is where below the place."""
    cases = []
    for place in _places(where):
        for value in values:
            at = place.at + sub
            pointer = place.at + (reported if reported is not None else sub)
            if reported is None and value is GONE:
                pointer = at.rpartition("/")[0]
            cases.append(Case(place.base, at, value, pointer, rule, _common(versions, place.versions)))
    return cases


def stated(
    section: str,
    text: str,
    numbers: Sequence[int],
    *given: list[Case],
    versions: tuple[str, ...] = VERSIONS,
    ieee: str | None = None,
) -> None:
    """A requirement, with its cases."""
    test = "tests/standard/test_statements.py::test_requirement"
    register(section, text, test, versions=versions, ieee=ieee, numbers=numbers)
    cases = [case._replace(versions=_common(case.versions, versions)) for cases in given for case in cases]
    STATED.append((f"{section or f'IEEE {ieee}'}: {text}", cases))


def _places(where: str | Sequence[Place]) -> Sequence[Place]:
    return [Place(STATEMENT, where)] if isinstance(where, str) else where


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(version for version in one if version in other)


# --- Data 2.2: form ---------------------------------------------------------------------------------

stated(
    "Data 2.2",
    "A statement has an actor, a verb and an object; a SubStatement too",
    [3, 4, 5],
    *[
        refused([Place(WHOLE, ""), Place(WHOLE_SUB, "/object")], "missing-property", GONE, sub=f"/{name}", reported="")
        for name in ("actor", "verb", "object")
    ],
)
stated(
    "Data 2.2",
    "Everything that both versions know is accepted together, around a SubStatement and in it",
    [],
    accepted([Place(WHOLE, "/timestamp"), Place(WHOLE_SUB, "/object/timestamp")], "2026-01-01T00:00:00Z"),
)

# --- Data 2.3.2: voiding ----------------------------------------------------------------------------

stated(
    "Data 2.3.2",
    "A statement with the verb voided whose object is a StatementRef is a voiding statement",
    [19, 20],
    accepted("", {"verb": VOIDED, "object": REF}),
)
stated(
    "Data 2.3.2",
    "The object of a voiding statement is a StatementRef and nothing else",
    [17, 20],
    refused("", "voiding-object-missing-property", {"verb": VOIDED}, reported="/object"),
    *[
        refused("", "voiding-object-type-value", {"verb": VOIDED, "object": value}, reported="/object/objectType")
        for value in (AGENT, GROUP, SUB, {"objectType": "Activity", **ACTIVITY})
    ],
)

# --- Data 2.4.1, 4.4: ids ---------------------------------------------------------------------------

stated(
    "Data 2.4.1",
    "The id of a statement is a UUID in its standard string form, in upper or lower case",
    [27, 28],
    accepted("/id", "FFFFFFFF-0000-1000-0000-00000000000f"),
    refused("/id", "uuid-type", 7, {}, []),
)
stated(
    "Data 4.4",
    "Wherever a UUID is wanted, a text that is none is refused",
    [7, 29, 30, 72, 87],
    refused(
        UUIDS,
        "uuid-format",
        *("", "0" * 36, "00000000000040008000000000000000", "{00000000-0000-4000-8000-000000000000}"),
        *("00000000-0000-4000-8000-0000000000000", "00000000-0000-4000-8000-00000000000g"),
    ),
)

# --- Data 2.4.2: actors -----------------------------------------------------------------------------

stated(
    "Data 2.4.2",
    "The objectType of an actor is Agent or Group, so written",
    [9, 31, 32],
    refused(ACTORS, "object-type-value", "agent", "group", "Person", 7, sub="/objectType"),
)
stated(
    "Data 2.4.2.1", "An actor without objectType is an Agent", [31], accepted(both("/actor"), GONE, sub="/objectType")
)
stated("Data 2.4.2.1", "The name of an Agent is a string", [33], refused(AGENTS, "name-type", 3, {}, [], sub="/name"))
stated(
    "Data 2.4.2.1",
    "An Agent has exactly one identifier, of four kinds",
    [34],
    accepted(
        AGENTS,
        {"objectType": "Agent", "mbox": "mailto:a@b.fr"},
        {"objectType": "Agent", "mbox_sha1sum": "0" * 40},
        AGENT,
        {"objectType": "Agent", "account": ACCOUNT},
    ),
    refused(AGENTS, "agent-identifier", {"objectType": "Agent"}, {"objectType": "Agent", "name": "Ada"}),
    refused(
        AGENTS,
        "agent-identifier",
        {**AGENT, "mbox": "mailto:a@b.fr"},
        {**AGENT, "mbox_sha1sum": "0" * 40},
        {**AGENT, "account": ACCOUNT},
    ),
)
stated(
    "Data 2.4.2.1",
    "Only a Group has members",
    [35],
    refused(AGENTS, "unknown-property", {**AGENT, "member": [AGENT]}, reported="/member"),
)
stated(
    "Data 2.4.2.2",
    "A Group has an identifier, members, or both",
    [37],
    accepted(GROUPS, ANONYMOUS, GROUP, {**GROUP, "member": [AGENT]}),
    *[
        accepted(GROUPS, {"objectType": "Group", **identifier})
        for identifier in ({"mbox": "mailto:a@b.fr"}, {"mbox_sha1sum": "0" * 40}, {"account": ACCOUNT})
    ],
    refused(GROUPS, "group-identifier", {"objectType": "Group"}, {"objectType": "Group", "name": "6e A"}),
    refused(GROUPS, "group-identifier", {"objectType": "Group", "member": []}),
)
stated(
    "Data 2.4.2.2",
    "A Group has at most one identifier",
    [37],
    refused(
        GROUPS,
        "group-identifier",
        {**GROUP, "mbox": "mailto:a@b.fr"},
        {**GROUP, "mbox_sha1sum": "0" * 40},
        {**GROUP, "account": ACCOUNT},
        {**ANONYMOUS, "mbox": "mailto:a@b.fr", "account": ACCOUNT},
    ),
)
stated(
    "Data 2.4.2.2",
    "The members of a Group are an array of Agents; a Group is no member",
    [36],
    refused(GROUPS, "group-member-type", {**GROUP, "member": AGENT}, {**GROUP, "member": "a"}, reported="/member"),
    refused(GROUPS, "object-type-value", {**GROUP, "member": [GROUP]}, reported="/member/0/objectType"),
    refused(GROUPS, "agent-type", {**GROUP, "member": ["a"]}, reported="/member/0"),
    refused(GROUPS, "agent-identifier", {**GROUP, "member": [{"name": "Ada"}]}, reported="/member/0"),
)
stated(
    "Data 2.4.2.2",
    "The name of a Group is a string",
    [33],
    refused(GROUPS, "name-type", {**GROUP, "name": 3}, reported="/name"),
)
stated(
    "Data 2.4.2.3",
    "An mbox is a mailto IRI of one e-mail address",
    [7, 38],
    *[
        refused(AGENTS, "mbox-format", {"objectType": "Agent", "mbox": value}, reported="/mbox")
        for value in ("", "a@b.fr", "mailto:", "mailto:a", "mailto:a@b@c", "mailto:a@b.fr ", "mailto:A <a@b.fr>")
    ],
    refused(AGENTS, "mbox-type", {"objectType": "Agent", "mbox": 7}, reported="/mbox"),
    refused(GROUPS, "mbox-format", {"objectType": "Group", "mbox": "a@b.fr"}, reported="/mbox"),
)
stated(
    "Data 2.4.2.3",
    "An mbox_sha1sum is a SHA-1 hash in hexadecimal",
    [39],
    accepted(AGENTS, {"objectType": "Agent", "mbox_sha1sum": "0aF" + "0" * 37}),
    *[
        refused(
            AGENTS, f"mbox-sha1sum-{kind}", {"objectType": "Agent", "mbox_sha1sum": value}, reported="/mbox_sha1sum"
        )
        for value, kind in (("0" * 39, "format"), ("g" * 40, "format"), (7, "type"), ({}, "type"))
    ],
    refused(GROUPS, "mbox-sha1sum-type", {"objectType": "Group", "mbox_sha1sum": 7}, reported="/mbox_sha1sum"),
)
stated(
    "Data 2.4.2.3",
    "An openid is a URI",
    [11, 40],
    *[
        refused(AGENTS, f"openid-{kind}", {"objectType": "Agent", "openid": value}, reported="/openid")
        for value, kind in (("id.example.fr", "format"), ("", "format"), (7, "type"))
    ],
    refused(GROUPS, "openid-format", {"objectType": "Group", "openid": "id.example.fr"}, reported="/openid"),
)
stated(
    "Data 2.4.2.4",
    "An account is an object with a homePage, which is an IRL",
    [11, 41, 42],
    refused(AGENTS, "account-type", {"objectType": "Agent", "account": "a"}, reported="/account"),
    refused(AGENTS, "account-missing-property", {"objectType": "Agent", "account": {"name": "a"}}, reported="/account"),
    *[
        refused(
            places,
            "iri-format",
            {"objectType": kind, "account": {**ACCOUNT, "homePage": "ent.fr"}},
            reported="/account/homePage",
        )
        for places, kind in ((AGENTS, "Agent"), (GROUPS, "Group"))
    ],
)
stated(
    "Data 2.4.2.4",
    "An account has a name, which is a string",
    [6, 43],
    *[
        refused(
            places,
            "account-missing-property",
            {"objectType": kind, "account": {"homePage": "https://a.fr"}},
            reported="/account",
        )
        for places, kind in ((AGENTS, "Agent"), (GROUPS, "Group"))
    ],
    *[
        refused(
            places,
            "account-name-type",
            {"objectType": kind, "account": {**ACCOUNT, "name": {}}},
            reported="/account/name",
        )
        for places, kind in ((AGENTS, "Agent"), (GROUPS, "Group"))
    ],
)

# --- Data 2.4.3: verbs ------------------------------------------------------------------------------

stated(
    "Data 2.4.3",
    "A verb has an id, which is an IRI",
    [44],
    refused(both("/verb"), "verb-missing-property", GONE, sub="/id"),
    refused(both("/verb"), "iri-format", "read", "", sub="/id"),
    refused(both("/verb"), "iri-type", 7, sub="/id"),
    refused(both("/verb"), "verb-type", "https://example.fr/verbs/read"),
)
stated(
    "Data 2.4.3",
    "The display of a verb is a language map",
    [45],
    accepted(both("/verb/display"), {"fr": "a lu", "en": "read"}, {}),
    refused(both("/verb/display"), "language-map-type", "a lu", ["a lu"]),
    refused(both("/verb/display"), "language-map-type", {"fr": 7}, reported="/fr"),
)

# --- Data 2.4.4: objects ----------------------------------------------------------------------------

stated(
    "Data 2.4.4",
    "An object is an Activity, an Agent, a Group, a StatementRef or a SubStatement; inside one, all but the last",
    [46],
    accepted("/object", ACTIVITY, AGENT, GROUP, ANONYMOUS, REF, SUB),
    accepted([Place({**STATEMENT, "object": SUB}, "/object/object")], ACTIVITY, AGENT, GROUP, ANONYMOUS, REF),
    refused(OBJECTS, "object-type-value", "activity", "agent", "Verb", "", sub="/objectType"),
    refused(OBJECTS, "object-type", "https://example.fr/activities/1", 7),
)
stated(
    "Data 2.4.4.1",
    "An activity has an id, which is an IRI of any scheme",
    [47],
    *[
        accepted(ACTIVITIES, value, sub="/id")
        for value in ("uuid://7d4f3c70-1e79-4243-9b7d-166076ce8bfb", "course-v1:FUN-MOOC+00002+session01", "tag:é")
    ],
    refused(ACTIVITIES, "activity-missing-property", GONE, sub="/id"),
    refused(ACTIVITIES, "iri-format", "/activities/1", "", sub="/id"),
    refused(ACTIVITIES, "iri-type", 7, {}, sub="/id"),
)
stated(
    "Data 2.4.4.1",
    "The definition of an activity is an object; it may be empty, and its properties come in any choice",
    [48],
    refused(DEFINITIONS, "activity-definition-type", "a", []),
    accepted(
        DEFINITIONS,
        {},
        *[
            {name: value}
            for name, value in INNER["object"]["definition"].items()
            if name in ("name", "description", "type", "moreInfo", "interactionType", "extensions")
        ],
    ),
)
for name, number in (("name", 56), ("description", 59)):
    stated(
        "Data 2.4.4.1",
        f"The {name} of an activity is a language map",
        [number],
        refused(DEFINITIONS, "language-map-type", "Question", ["Question"], 7, sub=f"/{name}"),
        refused(DEFINITIONS, "language-tag-format", {"a12345": ""}, sub=f"/{name}", reported=f"/{name}/a12345"),
    )
stated(
    "Data 2.4.4.1",
    "The type of an activity is an IRI",
    [60],
    refused(DEFINITIONS, "iri-format", "quiz", sub="/type"),
    refused(DEFINITIONS, "iri-type", 7, sub="/type"),
)
stated(
    "Data 2.4.4.1",
    "The moreInfo of an activity is an IRL",
    [61],
    refused(DEFINITIONS, "iri-format", "more", sub="/moreInfo"),
    refused(DEFINITIONS, "iri-type", 7, sub="/moreInfo"),
)
stated(
    "Data 2.4.4.1",
    "The interactionType of an activity is one of ten, so written",
    [9, 49],
    accepted(DEFINITIONS, *[{"interactionType": each} for each in INTERACTIONS]),
    refused(
        DEFINITIONS,
        "interaction-type-value",
        *[each[:-1] + each[-1].upper() for each in INTERACTIONS],
        "quiz",
        7,
        sub="/interactionType",
    ),
)
stated(
    "Data 2.4.4.1",
    "What belongs to an interaction comes with its interactionType",
    [64],
    refused(
        DEFINITIONS,
        "activity-definition-missing-property",
        {"correctResponsesPattern": ["a"]},
        *[{name: [{"id": "a"}]} for name in COMPONENT_LISTS],
    ),
)
stated(
    "Data 2.4.4.1",
    "The correctResponsesPattern of an interaction is an array of strings, empty or not",
    [50],
    accepted(DEFINITIONS, [], ["a[,]b"], sub="/correctResponsesPattern"),
    refused(DEFINITIONS, "correct-responses-pattern-type", "a", {}, sub="/correctResponsesPattern"),
    refused(
        DEFINITIONS,
        "correct-responses-pattern-type",
        [7],
        sub="/correctResponsesPattern",
        reported="/correctResponsesPattern/0",
    ),
)
for name, number in (("choices", 55), ("scale", 54), ("source", 53), ("target", 52), ("steps", 51)):
    stated(
        "Data 2.4.4.1",
        f"The {name} of an interaction is an array of interaction components",
        [number, 63],
        accepted(DEFINITIONS, [{"id": "a"}, {"id": "b", "description": {"fr": "B"}}], sub=f"/{name}"),
        refused(DEFINITIONS, "interaction-components-type", {"id": "a"}, "a", sub=f"/{name}"),
        refused(DEFINITIONS, "interaction-component-type", ["a"], sub=f"/{name}", reported=f"/{name}/0"),
    )
stated(
    "Data 2.4.4.1",
    "An interaction component has an id, a string, distinct in its list",
    [58],
    *[
        made
        for name in COMPONENT_LISTS
        for made in (
            refused(DEFINITIONS, "interaction-component-missing-property", [{}], sub=f"/{name}", reported=f"/{name}/0"),
            refused(
                DEFINITIONS, "interaction-component-id-type", [{"id": 7}], sub=f"/{name}", reported=f"/{name}/0/id"
            ),
            refused(
                DEFINITIONS, "component-repeated", [{"id": "a"}, {"id": "a"}], sub=f"/{name}", reported=f"/{name}/1/id"
            ),
        )
    ],
    refused(
        both("/context/contextActivities/other/0"),
        "component-repeated",
        {"interactionType": "performance", "steps": [{"id": "a"}, {"id": "a"}]},
        sub="/definition",
        reported="/definition/steps/1/id",
    ),
)
stated(
    "Data 2.4.4.1",
    "The description of an interaction component is a language map",
    [62],
    *[
        refused(
            DEFINITIONS,
            "language-map-type",
            [{"id": "a", "description": "A"}],
            sub=f"/{name}",
            reported=f"/{name}/0/description",
        )
        for name in COMPONENT_LISTS
    ],
)
stated(
    "Data 2.4.4.3",
    "A StatementRef has an id, which is a UUID",
    [72],
    refused(REFS, "statement-ref-missing-property", GONE, sub="/id"),
    refused(REFS, "uuid-format", "1", sub="/id"),
    refused(REFS, "uuid-type", 7, sub="/id"),
)
stated(
    "Data 2.4.4.3",
    "A SubStatement has no SubStatement",
    [71],
    refused("/object", "sub-statement-object-type-value", {**SUB, "object": SUB}, reported="/object/objectType"),
)
for name, number, value in (
    ("id", 70, REF["id"]),
    ("stored", 69, "2026-01-01T00:00:00Z"),
    ("version", 68, "1.0.0"),
    ("authority", 67, AGENT),
):
    stated(
        "Data 2.4.4.3",
        f"A SubStatement has no {name}",
        [number],
        refused("/object", "sub-statement-unknown-property", {**SUB, name: value}, reported=f"/{name}"),
    )
stated(
    "Data 2.4.4.3",
    "A SubStatement follows the rules of statements, its own rules on scores, context and voiding included",
    [66],
    refused("/object", "verb-missing-property", {**SUB, "verb": {}}, reported="/verb"),
    refused("/object", "score-order", {**SUB, "result": {"score": {"min": 2, "raw": 1}}}, reported="/result/score/raw"),
    refused(
        "/object",
        "revision-needs-activity",
        {**SUB, "object": REF, "context": {"revision": "1"}},
        reported="/context/revision",
    ),
    refused(
        "/object", "voiding-object-type-value", {**SUB, "verb": VOIDED, "object": AGENT}, reported="/object/objectType"
    ),
)

# --- Data 2.4.5: results ----------------------------------------------------------------------------

RESULTS = both("/result")
for name, number in (("success", 74), ("completion", 75)):
    stated(
        "Data 2.4.5",
        f"{name.capitalize()} in a result is true or false, and no text",
        [6, number],
        accepted(RESULTS, True, False, sub=f"/{name}"),
        refused(RESULTS, f"result-{name}-type", "true", "yes", 1, sub=f"/{name}"),
    )
stated(
    "Data 2.4.5",
    "The response of a result is a string",
    [76],
    refused(RESULTS, "result-response-type", 7, True, {}, sub="/response"),
)
stated(
    "Data 2.4.5",
    "The duration of a result is a duration",
    [77],
    refused(RESULTS, "duration-type", 7, {}, sub="/duration"),
    refused(RESULTS, "duration-format", "", "one hour", sub="/duration"),
)
stated(
    "Data 2.4.5",
    "The extensions of a result are an object",
    [78],
    refused(RESULTS, "extensions-type", [], "a", sub="/extensions"),
)
SCORES = both("/result/score")
stated(
    "Data 2.4.5.1",
    "A score is an object",
    [79],
    accepted(SCORES, {}, {"scaled": -1, "raw": 10, "min": 0, "max": 10}),
    refused(SCORES, "score-type", 7, "7", []),
)
stated(
    "Data 2.4.5.1",
    "Scaled is a number from -1 to 1",
    [83],
    accepted(SCORES, -1.0, 0, 1, sub="/scaled"),
    refused(SCORES, "score-scaled-range", 1.01, -1.01, sub="/scaled"),
    refused(SCORES, "score-scaled-type", "1", True, sub="/scaled"),
)
stated(
    "Data 2.4.5.1",
    "Raw is a number between min and max, both included; any number without them",
    [82],
    accepted(SCORES, {"raw": -1e9}, {"raw": 0, "min": 0, "max": 10}, {"raw": 10, "min": 0, "max": 10}),
    refused(SCORES, "score-order", {"raw": 11, "max": 10}, {"raw": -1, "min": 0}, reported="/raw"),
    refused(SCORES, "score-raw-type", "1", True, sub="/raw"),
)
stated(
    "Data 2.4.5.1",
    "Min is a number below max, or equal to it as a leniency (ADR 0037); any number without it",
    [81],
    accepted(SCORES, {"min": 1e9}, {"min": 9.99, "max": 10}),
    accepted(SCORES, {"min": 0, "max": 0, "raw": 0}, {"min": 0, "max": 0.0}, {"min": 1, "max": 1, "raw": 1.0}),
    accepted(SCORES, {"scaled": 0, "min": 0, "max": 0, "raw": 0}),
    refused(SCORES, "score-order", {"min": 2, "max": 1}, {"min": 1e-9, "max": 0}, reported="/min"),
    refused(SCORES, "score-order", {"min": 0, "max": 0, "raw": 1}, {"min": 0, "max": 0, "raw": -0.1}, reported="/raw"),
    refused(SCORES, "score-min-type", "1", sub="/min"),
)
stated(
    "Data 2.4.5.1",
    "Max is a number above min, or equal to it as a leniency (ADR 0037); any number without it",
    [80],
    accepted(SCORES, {"max": -1e9}),
    refused(SCORES, "score-order", {"min": 0, "max": -1}, reported="/min"),
    refused(SCORES, "score-max-type", "1", sub="/max"),
)

# --- Data 2.4.6: context ----------------------------------------------------------------------------

CONTEXTS = both("/context")
NOT_ACTIVITIES = (AGENT, GROUP, REF)
for name, number in (("revision", 84), ("platform", 85)):
    stated(
        "Data 2.4.6",
        f"A context has {name} only where the object is an activity",
        [number],
        accepted(CONTEXTS, {name: "1"}),
        *[
            refused(
                "", f"{name}-needs-activity", {"object": value, "context": {name: "1"}}, reported=f"/context/{name}"
            )
            for value in (*NOT_ACTIVITIES, SUB)
        ],
        *[
            refused(
                "/object",
                f"{name}-needs-activity",
                {**SUB, "object": value, "context": {name: "1"}},
                reported=f"/context/{name}",
            )
            for value in NOT_ACTIVITIES
        ],
    )
for name, number in (("revision", 89), ("platform", 90)):
    stated(
        "Data 2.4.6",
        f"The {name} of a context is a string",
        [number],
        refused(CONTEXTS, f"context-{name}-type", 7, {}, sub=f"/{name}"),
    )
stated(
    "Data 2.4.6",
    "The registration of a context is a UUID",
    [87],
    refused(CONTEXTS, "uuid-type", 7, {}, sub="/registration"),
    refused(CONTEXTS, "uuid-format", "1", sub="/registration"),
)
stated(
    "Data 2.4.6",
    "The instructor of a context is an Agent or a Group",
    [87],
    accepted(CONTEXTS, AGENT, GROUP, ANONYMOUS, sub="/instructor"),
    refused(CONTEXTS, "actor-type", "Ada", sub="/instructor"),
    refused(
        CONTEXTS,
        "object-type-value",
        {"objectType": "Activity", **ACTIVITY},
        sub="/instructor",
        reported="/instructor/objectType",
    ),
)
stated(
    "Data 2.4.6",
    "The team of a context is a Group",
    [88],
    accepted(CONTEXTS, GROUP, ANONYMOUS, sub="/team"),
    refused(CONTEXTS, "group-object-type-value", AGENT, sub="/team", reported="/team/objectType"),
    refused(CONTEXTS, "group-type", "6e A", sub="/team"),
)
stated(
    "Data 2.4.6",
    "The language of a context is a language tag of RFC 5646",
    [13, 91],
    accepted(CONTEXTS, "fr-FR", "cmn", "zh-Hans-CN", sub="/language"),
    refused(CONTEXTS, "language-tag-format", "french_fr", "", "a12345", sub="/language"),
    refused(CONTEXTS, "language-tag-type", 7, sub="/language"),
)
stated(
    "Data 2.4.6",
    "The statement of a context is a StatementRef that says so",
    [92],
    refused(CONTEXTS, "statement-ref-missing-property", {"id": REF["id"]}, sub="/statement"),
    refused(
        CONTEXTS,
        "statement-ref-object-type-value",
        {**REF, "objectType": "SubStatement"},
        sub="/statement",
        reported="/statement/objectType",
    ),
    refused(CONTEXTS, "statement-ref-type", REF["id"], sub="/statement"),
)
stated(
    "Data 2.4.6.2",
    "The contextActivities are an object with parent, grouping, category, other, and no more",
    [86, 93],
    accepted(CONTEXTS, {}, {"parent": [ACTIVITY]}, {"other": []}, sub="/contextActivities"),
    refused(CONTEXTS, "context-activities-type", [ACTIVITY], "a", sub="/contextActivities"),
    refused(
        CONTEXTS,
        "context-activities-unknown-property",
        {"sibling": [ACTIVITY]},
        sub="/contextActivities",
        reported="/contextActivities/sibling",
    ),
)
KINDS = ("parent", "grouping", "category", "other")
stated(
    "Data 2.4.6.2",
    "Each of the contextActivities is an activity or an array of activities",
    [94],
    *[accepted(CONTEXTS, ACTIVITY, [ACTIVITY, ACTIVITY], sub=f"/contextActivities/{kind}") for kind in KINDS],
    *[
        refused(
            CONTEXTS,
            "activity-object-type-value",
            [{**ACTIVITY, "objectType": "Agent"}],
            sub=f"/contextActivities/{kind}",
            reported=f"/contextActivities/{kind}/0/objectType",
        )
        for kind in KINDS
    ],
)
stated(
    "Data 2.4.6",
    "1.0.3 knows neither contextAgents nor contextGroups",
    [10],
    *[
        refused("/context", "context-unknown-property", value, reported=f"/{name}")
        for value, name in (
            ({"contextAgents": context_agent()}, "contextAgents"),
            ({"contextGroups": context_group()}, "contextGroups"),
        )
    ],
    versions=V1,
)
for places, kind, name, actor, value in (
    (CONTEXT_AGENTS, "contextAgent", "agent", AGENT, GROUP),
    (CONTEXT_GROUPS, "contextGroup", "group", GROUP, AGENT),
):
    dashed = f"context-{name}"
    valid = {"objectType": kind, name: actor}
    stated(
        "",
        f"{kind}s are an array of objects with objectType {kind} and a valid {name}, around and inside SubStatements",
        [],
        accepted(places, [], [valid], [valid, valid]),
        refused(places, f"{dashed}s-type", valid, "a"),
        refused(places, f"{dashed}-object-type-value", "Agent", kind.lower(), sub="/0/objectType"),
        refused(places, "missing-property", GONE, sub=f"/0/{name}"),
        refused(places, "missing-property", GONE, sub="/0/objectType"),
        refused(places, "identifier", {"objectType": actor["objectType"]}, sub=f"/0/{name}"),
        refused(places, "object-type-value", value, sub=f"/0/{name}", reported=f"/0/{name}/objectType"),
        refused(places, f"{dashed}-unknown-property", 1, sub="/0/role"),
        versions=V2,
        ieee="4.2.2.5",
    )
    stated(
        "",
        f"The relevantTypes of a {kind} are an array of one IRI or more",
        [],
        accepted(places, ["https://example.fr/tutor"], sub="/0/relevantTypes"),
        refused(places, "relevant-types-size", [], sub="/0/relevantTypes"),
        refused(places, "iri-format", ["tutor"], sub="/0/relevantTypes", reported="/0/relevantTypes/0"),
        refused(places, "relevant-types-type", "https://example.fr/tutor", sub="/0/relevantTypes"),
        versions=V2,
        ieee="4.2.2.5",
    )

# --- Data 2.4.7, 2.4.8, 4.5: times ------------------------------------------------------------------

stated(
    "Data 2.4.7", "The timestamp of a statement is a time", [22], refused(both("/timestamp"), "timestamp-type", 7, {})
)
stated(
    "Data 2.4.8",
    "A stored that is sent is a time, though the store sets its own",
    [23],
    refused([Place(WHOLE, "/stored")], "timestamp-type", 7),
)
stated(
    "Data 4.5",
    "A time is a date and a time of day of ISO 8601, with an offset; one in the future is accepted",
    [22, 123],
    accepted(TIMES, "2026-11-22T10:00:00Z", "2021-11-29T23:09:00.867219+00:00", "2099-01-01T00:00:00.1234567-05:30"),
    refused(TIMES, "timestamp-format", "", "yesterday", "01/011/2015", "2026-11-22", "2026-11-22 10:00:00Z"),
)
stated(
    "Data 4.5",
    "A time is one that there is",
    [123],
    refused(TIMES, "timestamp-value", "2026-02-29T00:00:00Z", "2026-01-01T25:00:00Z"),
    # ADR 0038.
    refused(TIMES, "timestamp-value", "2026-01-01T24:00:00Z", "2026-01-15T23:59:60Z"),
    refused(TIMES, "timestamp-value", "2026-01-01T00:00:00+00:60", "2026-01-01T00:00:00+24:00"),
)
stated(
    "Data 4.5",
    "A time has no offset of minus zero",
    [123],
    refused(TIMES, "timestamp-value", "2008-09-15T15:53:00.601-00:00"),
    refused(TIMES, "timestamp-value", "2008-09-15T15:53:00.601-0000", versions=V1),
    refused(TIMES, "timestamp-format", "2008-09-15T15:53:00.601-0000", "2008-09-15T15:53:00.601-00", versions=V2),
)
stated(
    "Data 4.5",
    "A time may be in the basic format, have an offset of hours alone, or none, in 1.0.3",
    [123],
    accepted(TIMES, "2026-11-22T10:00:00", "20261122T100000Z", "2026-11-22T10:00+02"),
    versions=V1,
)
stated(
    "",
    "A time has the form of RFC 3339: no basic format, and an offset of hours and minutes",
    [],
    refused(TIMES, "timestamp-format", "2026-11-22T10:00:00", "20261122T100000Z", "2026-11-22T10:00+02"),
    versions=V2,
    ieee="4.2.7",
)

# --- Data 2.4.9: authority --------------------------------------------------------------------------

stated(
    "Data 2.4.9",
    "An authority that is sent is an Agent, or an anonymous Group",
    [24],
    accepted("/authority", AGENT, {"objectType": "Group", "member": OAUTH}),
    refused("/authority", "object-type-value", {"objectType": "Activity", **ACTIVITY}, reported="/objectType"),
    refused("/authority", "actor-type", "Ada"),
    refused("/authority", "authority-group-anonymous", {**GROUP, "member": OAUTH}),
)
stated(
    "Data 2.4.9",
    "An authority that is a Group has two members, of which one is an account: an application of OAuth",
    [98, 100],
    refused(
        "/authority", "authority-members-size", {"objectType": "Group", "member": [*OAUTH, AGENT]}, reported="/member"
    ),
    refused("/authority", "authority-members-size", {"objectType": "Group", "member": OAUTH[:1]}, reported="/member"),
    refused("/authority", "authority-members", {"objectType": "Group", "member": [AGENT, AGENT]}, reported="/member"),
)

# --- Data 2.4.10: version ---------------------------------------------------------------------------

stated(
    "Data 2.4.10",
    "The version of a statement is 1.0 or 1.0.x, in 2.0 also 2.0 or 2.0.x; other ones are refused",
    [101],
    accepted("/version", "1.0", "1.0.0", "1.0.9"),
    refused("/version", "version-format", "0.9.9", "1.1.0", "1", "3.0", ""),
    refused("/version", "version-type", 1.0),
    refused("/version", "version-format", "2.0.0", versions=V1),
)
stated(
    "",
    "The version of a statement may be 2.0 or 2.0.x",
    [],
    accepted("/version", "2.0", "2.0.0", "2.0.9"),
    versions=V2,
    ieee="4.2.4.3",
)

# --- Data 2.4.11: attachments -----------------------------------------------------------------------

ATTACHMENTS = both("/attachments/0")
stated(
    "Data 2.4.11",
    "The attachments of a statement are an array of attachments",
    [25],
    accepted(both("/attachments"), [], [ATTACHMENT, ATTACHMENT]),
    refused(both("/attachments"), "attachments-type", ATTACHMENT, "a"),
    refused(both("/attachments"), "attachment-type", ["a"], reported="/0"),
)
for name, number, what, wrong in (
    ("usageType", 107, "an IRI", (("essay", "iri-format"), (7, "iri-type"))),
    ("display", 106, "a language map", (("Copie", "language-map-type"), (7, "language-map-type"))),
    ("contentType", 105, "a media type", (("text", "content-type-format"), (7, "content-type-type"))),
    ("length", 102, "an integer, not negative", ((1.5, "length-type"), ("0", "length-type"), (-1, "length-range"))),
    ("sha2", 103, "a SHA-2 hash in hexadecimal", (("0" * 40, "sha2-format"), ("", "sha2-format"), (7, "sha2-type"))),
):
    stated(
        "Data 2.4.11",
        f"An attachment has a {name}, which is {what}",
        [number],
        refused(ATTACHMENTS, "attachment-missing-property", GONE, sub=f"/{name}"),
        *[refused(ATTACHMENTS, rule, value, sub=f"/{name}") for value, rule in wrong],
    )
stated(
    "Data 2.4.11",
    "The fileUrl of an attachment is an IRL",
    [104],
    refused(ATTACHMENTS, "iri-format", "f.txt", "", sub="/fileUrl"),
    refused(ATTACHMENTS, "iri-type", 7, sub="/fileUrl"),
)
stated(
    "Data 2.4.11",
    "The description of an attachment is a language map",
    [],
    refused(ATTACHMENTS, "language-map-type", "Copie", sub="/description"),
)
stated(
    "Data 2.4.11",
    "An attachment without fileUrl does not come in JSON alone",
    [129],
    refused(ATTACHMENTS, "attachment-without-data", GONE, sub="/fileUrl"),
)

# --- Data 4: special types --------------------------------------------------------------------------

stated("Data 4.1", "Extensions are an object", [57, 120], refused(EXTENSIONS, "extensions-type", [], "a", 7))
stated("Data 4.1", "The keys of extensions are IRIs", [11, 118], refused(EXTENSIONS, "iri-format", 1, sub="/room"))
stated(
    "Data 4.1",
    "The values of extensions are anything, null and empty ones too",
    [119],
    accepted(
        EXTENSIONS, *[{"https://x.fr/e": value} for value in (None, [None], {"": {"a": None}}, "", {}, [], 1e300)], {}
    ),
)
TAGS = ("fr", "fr-FR", "zh-cmn-Hans-CN", "sl-rozaj-biske", "de-CH-1901", "es-419", "x-ent", "en-a-bbb-x-c", "i-lux")
stated(
    "Data 4.2",
    "The keys of a language map are language tags of RFC 5646, with any text under them",
    [13, 106, 121],
    accepted(LANGUAGE_MAPS, *[{tag: ""} for tag in TAGS]),
    *[
        refused(LANGUAGE_MAPS, "language-tag-format", {tag: ""}, reported=f"/{tag}")
        for tag in ("f", "fr_FR", "fr-", "a12345", "fr-FR-FR", "abcdefghi", "fr FR")
    ],
    refused(LANGUAGE_MAPS, "language-map-type", {"fr": 7}, reported="/fr"),
)
stated(
    "Data 4.3",
    "IRIs and IRLs have a scheme, wherever one is wanted",
    [7, 11],
    refused(IRIS, "iri-format", "example.fr/a", "//example.fr/a", "a", ""),
)
stated(
    "Data 4.3",
    "IRIs follow the grammar of RFC 3987, and name a host in http and https, wherever one is wanted (ADR 0038)",
    [],
    accepted(IRIS, "https://exemple.fr/été\u00a0x?a=%C3%A9#f", "http://[::1]:80/", "urn:a:b", "file:///a"),
    refused(IRIS, "iri-format", "http://x.fr/%zz", "http://x.fr/a#b#c", "http://", "https:a", "http://x.fr:a/"),
)
stated(
    "Data 4.6",
    "A duration is written as P with its parts, in ISO 8601; finer than 0.01 s is accepted",
    [77, 124],
    *[
        accepted(RESULTS, value, sub="/duration")
        for value in ("PT4H35M59.14S", "PT16559.14S", "P3Y1M29DT4H35M59.14S", "P3Y", "P4W", "PT1.23456S", "P1,5D")
    ],
    *[
        refused(RESULTS, "duration-format", value, sub="/duration")
        for value in ("P", "PT", "P4W1D", "1S", "PT1", "P1DT", "-PT1S", "P0001-01-01T00:00:00", "PT1.5H3M", "pt1s")
    ],
)


# --- the test of the tables -------------------------------------------------------------------------


def faults(statement: dict[str, Any], version: str) -> list[tuple[str, str]]:
    """Pointers and rules of the refusal; none when the statement is accepted."""
    try:
        validate([statement], Version(version), many=False)
    except InvalidStatement as refusal:
        source = "xAPI-Data " if Version(version) is Version.V1 else "IEEE 9274.1.1 "
        assert all(fault.section.startswith(source) for fault in refusal.faults)
        return [(fault.pointer, fault.rule) for fault in refusal.faults]
    return []


def changed(base: dict[str, Any], at: str, value: Any) -> dict[str, Any]:
    """A copy of a statement with a value at a pointer; at its root, with those properties."""
    # By way of JSON: each place has an object of its own, though the tables above use one in several.
    statement: dict[str, Any] = orjson.loads(orjson.dumps(base))
    if not at:
        return {**statement, **value}
    place: Any = statement
    *path, last = [int(token) if token.isdigit() else token for token in at.split("/")[1:]]
    for token in path:
        place = place[token]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return statement


PAIRS = [
    pytest.param([case for case in cases if version in case.versions], version, id=f"{version} {name}")
    for name, cases in STATED
    for version in VERSIONS
    if any(version in case.versions for case in cases)
]


@pytest.mark.parametrize(("cases", "version"), PAIRS)
def test_requirement(cases: list[Case], version: str) -> None:
    wrong = []
    for case in cases:
        found = faults(changed(case.base, case.at, case.value), version)
        reported = [rule for pointer, rule in found if pointer == case.pointer]
        expected = (
            any(rule.endswith(case.rule) for rule in reported) and len(reported) == len(found)
            if case.rule
            else not found
        )
        if not expected:
            wrong.append((case.at, case.value, case.rule or "accepted", found))
    assert wrong == []


# --- what binds every property ----------------------------------------------------------------------


def properties(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Pointer and value of each property and item of a statement, extensions left closed."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inside:
        path = f"{at}/{name}"
        yield path, each
        if name != "extensions":
            yield from properties(each, path)


# Each property once, in a SubStatement or around it.
PROPERTIES = [
    *[(WHOLE, at, value) for at, value in properties(WHOLE)],
    *[(WHOLE_SUB, at, value) for at, value in properties(WHOLE_SUB) if at.startswith("/object/")],
]


def every(version: str) -> list[tuple[dict[str, Any], str, Any]]:
    added = [
        (place.base, at, value)
        for place in (*CONTEXT_AGENTS, *CONTEXT_GROUPS)
        for at, value in properties(place.base)
        if at.startswith(place.at)
    ]
    return PROPERTIES + (added if Version(version) is Version.V2 else [])


def accepted_against(version: str, changes: Iterator[tuple[dict[str, Any], str, Any]]) -> list[str]:
    """The pointers of those changes that are not refused where they were made, or above."""
    left = []
    for base, at, value in changes:
        pointers = [pointer for pointer, _ in faults(changed(base, at, value), version)]
        if not pointers or not all(at.startswith(each) or each.startswith(at) for each in pointers):
            left.append(at)
    return left


@requirement("Data 2.2", "No property is null, except inside extensions", [1])
def test_no_null(version: str) -> None:
    assert accepted_against(version, ((base, at, None) for base, at, _ in every(version))) == []


OTHER_TYPE = {str: 7, bool: "true", int: "1", float: "1", dict: "text", list: "text"}


@requirement("Data 2.2", "Each value is of its type; a number or a boolean in quotes is a text", [6])
def test_types(version: str) -> None:
    wrong = ((base, at, OTHER_TYPE[type(value)]) for base, at, value in every(version))
    assert accepted_against(version, wrong) == []


def objects(version: str) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Each object whose properties the standard names."""
    yield WHOLE, "", WHOLE
    yield WHOLE_SUB, "/object", WHOLE_SUB["object"]
    open_to_all = ("/extensions", "/display", "/description", "/definition/name")
    for base, at, value in every(version):
        if isinstance(value, dict) and not at.endswith(open_to_all):
            yield base, at, value


@requirement("Data 2.2", "A property that the standard does not know at its place is refused, extensions apart", [10])
def test_unknown_properties(version: str) -> None:
    assert accepted_against(version, ((base, at + "/unknown", 1) for base, at, _ in objects(version))) == []


@requirement("Data 2.2", "The names of properties are written in the case of the standard", [8])
def test_case_of_names(version: str) -> None:
    for base, at, value in objects(version):
        for name, each in value.items():
            wrong = changed(changed(base, f"{at}/{name}", GONE), f"{at}/{name.capitalize()}", each)
            capitalised = f"{at}/{name.capitalize()}"
            assert capitalised in {pointer for pointer, _ in faults(wrong, version)}, capitalised


@requirement("Data 2.4.1", "An id is used once in a batch, upper and lower case alike")
def test_ids_of_a_batch(version: str) -> None:
    identifier = "abcdefab-0000-4000-8000-000000000000"
    batch = [{**STATEMENT, "id": identifier}, STATEMENT, STATEMENT, {**STATEMENT, "id": identifier.upper()}]
    with pytest.raises(InvalidStatement) as refusal:
        validate(batch, Version(version), many=True)
    assert [(fault.pointer, fault.rule) for fault in refusal.value.faults] == [("/3/id", "batch-repeated-id")]
    validate(batch[:3], Version(version), many=True)


@requirement("Data 2.4.4.2", "An Agent, Group, StatementRef or SubStatement as object says its objectType", [65, 73])
def test_object_types_are_said(version: str) -> None:
    for value in (AGENT, GROUP, ANONYMOUS, REF, SUB):
        unsaid = {name: each for name, each in value.items() if name != "objectType"}
        for at in ("/object", "/object/object"):
            # Without objectType it is read as an Activity, which has an id and none of the rest.
            found = faults(changed({**STATEMENT, "object": SUB}, at, unsaid), version)
            # A reference that does not say so looks like an activity whose id has no scheme.
            assert found and {pointer.removeprefix(at).count("/") for pointer, _ in found} <= {0, 1}, (at, value)
