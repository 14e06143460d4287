"""The requirements of the standard on one statement, each with its section, for both versions.

A case is what to put where in a valid statement, and the pointer and rule of the refusal; no pointer means accepted.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import pytest

from app.errors import InvalidStatement
from app.xapi.validate import validate
from app.xapi.versions import Version

ACTIVITY = {"id": "https://example.fr/activities/1"}
AGENT = {"objectType": "Agent", "openid": "https://id.example.fr/1"}
GROUP = {"objectType": "Group", "openid": "https://id.example.fr/2"}
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
GONE = object()
BOTH = (Version.V1, Version.V2)
V1, V2 = (Version.V1,), (Version.V2,)


class Case(NamedTuple):
    section: str
    at: str
    value: Any
    pointer: str | None = None
    rule: str = ""
    versions: tuple[Version, ...] = BOTH


def interaction(**more: Any) -> dict[str, Any]:
    return {**ACTIVITY, "definition": {"interactionType": "choice", **more}}


def context_agent(**more: Any) -> dict[str, Any]:
    return {"contextAgents": [{"objectType": "contextAgent", "agent": AGENT, **more}]}


def context_group(**more: Any) -> dict[str, Any]:
    return {"contextGroups": [{"objectType": "contextGroup", "group": GROUP, **more}]}


CASES = [
    # Data 2.2: what every statement has, and nothing else; no null; types; case of names.
    *[Case("Data 2.2", f"/{name}", GONE, "", "statement-missing-property") for name in ("actor", "verb", "object")],
    Case("Data 2.2", "/Result", {}, "/Result", "statement-unknown-property"),
    Case("Data 2.2", "/result", {"score": None}, "/result/score", "score-type"),
    Case("Data 2.2", "/result", {"success": "true"}, "/result/success", "result-success-type"),
    Case("Data 2.2", "/result", {"score": {"raw": "1"}}, "/result/score/raw", "score-raw-type"),
    Case("Data 2.2", "/result", {"score": {"raw": True}}, "/result/score/raw", "score-raw-type"),
    Case("Data 2.2", "/verb/display", {"fr": None}, "/verb/display/fr", "language-map-type"),
    # Data 2.3.2: voiding.
    Case("Data 2.3.2", "", {"verb": VOIDED, "object": REF}),
    Case("Data 2.3.2", "/verb", VOIDED, "/object", "voiding-object-missing-property"),
    Case("Data 2.3.2", "", {"verb": VOIDED, "object": AGENT}, "/object/objectType", "voiding-object-type-value"),
    # Data 2.4.1: ids are UUIDs in standard form.
    Case("Data 2.4.1", "/id", "FFFFFFFF-0000-1000-0000-00000000000f"),
    *[
        Case("Data 2.4.1", "/id", value, "/id", "uuid-format")
        for value in ("", "00000000000040008000000000000000", "{00000000-0000-4000-8000-000000000000}", "0" * 36)
    ],
    Case("Data 2.4.1", "/id", 7, "/id", "uuid-type"),
    # Data 2.4.2: actors.
    Case("Data 2.4.2", "/actor/objectType", "agent", "/actor/objectType", "actor-object-type-value"),
    Case("Data 2.4.2.1", "/actor/objectType", GONE),
    Case("Data 2.4.2.1", "/actor/openid", GONE, "/actor", "agent-identifier"),
    Case("Data 2.4.2.1", "/actor/mbox", "mailto:a@b.fr", "/actor", "agent-identifier"),
    Case("Data 2.4.2.1", "/actor/member", [AGENT], "/actor/member", "agent-unknown-property"),
    Case("Data 2.4.2.1", "/actor/name", 3, "/actor/name", "agent-name-type"),
    Case("Data 2.4.2.2", "/actor", GROUP),
    Case("Data 2.4.2.2", "/actor", {"objectType": "Group", "member": [AGENT]}),
    Case("Data 2.4.2.2", "/actor", {"objectType": "Group"}, "/actor", "group-identifier"),
    Case("Data 2.4.2.2", "/actor", {**GROUP, "mbox": "mailto:a@b.fr"}, "/actor", "group-identifier"),
    Case("Data 2.4.2.2", "/actor", {**GROUP, "member": AGENT}, "/actor/member", "group-member-type"),
    Case(
        "Data 2.4.2.2", "/actor", {**GROUP, "member": [GROUP]}, "/actor/member/0/objectType", "agent-object-type-value"
    ),
    *[
        Case("Data 2.4.2.3", "/actor", {"mbox": value}, "/actor/mbox", "mbox-format")
        for value in ("a@b.fr", "mailto:", "mailto:a", "mailto:a@b@c", "mailto:a@b.fr ", "mailto:A <a@b.fr>")
    ],
    Case("Data 2.4.2.3", "/actor", {"mbox_sha1sum": "0aF" + "0" * 37}),
    Case("Data 2.4.2.3", "/actor", {"mbox_sha1sum": "0" * 39}, "/actor/mbox_sha1sum", "mbox-sha1sum-format"),
    Case("Data 2.4.2.3", "/actor", {"openid": "id.example.fr"}, "/actor/openid", "openid-format"),
    Case("Data 2.4.2.4", "/actor", {"account": {"name": "a"}}, "/actor/account", "account-missing-property"),
    Case(
        "Data 2.4.2.4",
        "/actor",
        {"account": {"name": "a", "homePage": "ent.fr"}},
        "/actor/account/homePage",
        "iri-format",
    ),
    Case(
        "Data 2.4.2.4",
        "/actor",
        {"account": {"name": "a", "homePage": "https://a.fr", "home": 1}},
        "/actor/account/home",
        "account-unknown-property",
    ),
    # Data 2.4.3: verbs.
    Case("Data 2.4.3", "/verb/id", GONE, "/verb", "verb-missing-property"),
    Case("Data 2.4.3", "/verb/id", "read", "/verb/id", "iri-format"),
    Case("Data 2.4.3", "/verb/objectType", "Verb", "/verb/objectType", "verb-unknown-property"),
    # Data 2.4.4: objects.
    *[Case("Data 2.4.4", "/object", value) for value in (ACTIVITY, AGENT, GROUP, REF, SUB)],
    Case("Data 2.4.4", "/object/objectType", "activity", "/object/objectType", "object-object-type-value"),
    *[
        Case("Data 2.4.4.1", "/object/id", value)
        for value in ("uuid://7d4f3c70-1e79-4243-9b7d-166076ce8bfb", "course-v1:FUN-MOOC+00002+session01", "tag:é")
    ],
    Case("Data 2.4.4.1", "/object/id", GONE, "/object", "activity-missing-property"),
    Case("Data 2.4.4.1", "/object/id", "/activities/1", "/object/id", "iri-format"),
    Case("Data 2.4.4.1", "/object/definition", {"type": "quiz"}, "/object/definition/type", "iri-format"),
    Case("Data 2.4.4.1", "/object", interaction(correctResponsesPattern=[], choices=[{"id": "a"}, {"id": "b"}])),
    Case(
        "Data 2.4.4.1",
        "/object",
        interaction(interactionType="quiz"),
        "/object/definition/interactionType",
        "interaction-type-value",
    ),
    Case(
        "Data 2.4.4.1",
        "/object/definition",
        {"choices": [{"id": "a"}]},
        "/object/definition",
        "activity-definition-missing-property",
    ),
    Case(
        "Data 2.4.4.1",
        "/object",
        interaction(choices=[{"id": "a"}, {"id": "a"}]),
        "/object/definition/choices/1/id",
        "interaction-component-repeated",
    ),
    Case(
        "Data 2.4.4.1",
        "/context",
        {"contextActivities": {"other": [ACTIVITY, interaction(steps=[{"id": "a"}, {"id": "a"}])]}},
        "/context/contextActivities/other/1/definition/steps/1/id",
        "interaction-component-repeated",
    ),
    # Data 2.4.4.3: references and SubStatements.
    Case("Data 2.4.4.3", "/object", {**REF, "id": "1"}, "/object/id", "uuid-format"),
    Case(
        "Data 2.4.4.3",
        "/object",
        {**SUB, "object": SUB},
        "/object/object/objectType",
        "sub-statement-object-type-value",
    ),
    *[
        Case("Data 2.4.4.3", "/object", {**SUB, name: value}, f"/object/{name}", "sub-statement-unknown-property")
        for name, value in (
            ("id", REF["id"]),
            ("stored", "2026-01-01T00:00:00Z"),
            ("version", "1.0.0"),
            ("authority", AGENT),
        )
    ],
    Case("Data 2.4.4.3", "/object", {**SUB, "verb": {}}, "/object/verb", "verb-missing-property"),
    Case(
        "Data 2.4.4.3",
        "/object",
        {**SUB, "result": {"score": {"min": 2, "raw": 1}}},
        "/object/result/score/raw",
        "score-order",
    ),
    Case(
        "Data 2.4.4.3",
        "/object",
        {**SUB, "object": REF, "context": {"revision": "1"}},
        "/object/context/revision",
        "revision-needs-activity",
    ),
    # Data 2.4.5: results and scores.
    Case("Data 2.4.5.1", "/result", {"score": {"scaled": -1, "raw": 10, "min": 0, "max": 10}}),
    Case("Data 2.4.5.1", "/result", {"score": {"scaled": 1.01}}, "/result/score/scaled", "score-scaled-range"),
    Case("Data 2.4.5.1", "/result", {"score": {"raw": 11, "max": 10}}, "/result/score/raw", "score-order"),
    Case("Data 2.4.5.1", "/result", {"score": {"raw": -1, "min": 0}}, "/result/score/raw", "score-order"),
    Case("Data 2.4.5.1", "/result", {"score": {"min": 1, "max": 1}}, "/result/score/min", "score-order"),
    # Data 2.4.6: context.
    *[
        Case("Data 2.4.6", "", {"object": value, "context": {name: "1"}}, f"/context/{name}", f"{name}-needs-activity")
        for value in (AGENT, GROUP, REF, SUB)
        for name in ("revision", "platform")
    ],
    Case("Data 2.4.6", "/context", {"revision": "1", "platform": "ENT", "instructor": GROUP, "statement": REF}),
    Case("Data 2.4.6", "/context", {"team": AGENT}, "/context/team/objectType", "group-object-type-value"),
    Case(
        "Data 2.4.6",
        "/context",
        {"statement": {"id": REF["id"]}},
        "/context/statement",
        "statement-ref-missing-property",
    ),
    Case("Data 2.4.6", "/context", {"language": "french_fr"}, "/context/language", "language-tag-format"),
    Case("Data 2.4.6.1", "/context", {"registration": "1"}, "/context/registration", "uuid-format"),
    Case("Data 2.4.6.2", "/context", {"contextActivities": {"parent": ACTIVITY, "other": [ACTIVITY], "category": []}}),
    Case(
        "Data 2.4.6.2",
        "/context",
        {"contextActivities": {"sibling": [ACTIVITY]}},
        "/context/contextActivities/sibling",
        "context-activities-unknown-property",
    ),
    Case(
        "Data 2.4.6.2",
        "/context",
        {"contextActivities": {"parent": [{**ACTIVITY, "objectType": "Agent"}]}},
        "/context/contextActivities/parent/0/objectType",
        "activity-object-type-value",
    ),
    # IEEE 4.2.2.5: contextAgents and contextGroups are of 2.0.
    *[Case("IEEE 4.2.2.5", "/context", value, versions=V2) for value in (context_agent(), context_group())],
    *[
        Case("Data 2.4.6", "/context", value, f"/context/{name}", "context-unknown-property", V1)
        for name, value in (("contextAgents", context_agent()), ("contextGroups", context_group()))
    ],
    Case("IEEE 4.2.2.5", "/context", context_agent(relevantTypes=["https://x.fr/tutor"]), versions=V2),
    *[
        Case("IEEE 4.2.2.5", "/context", value, pointer, rule, V2)
        for value, pointer, rule in (
            (context_agent(relevantTypes=[]), "/context/contextAgents/0/relevantTypes", "relevant-types-size"),
            (context_agent(relevantTypes=["tutor"]), "/context/contextAgents/0/relevantTypes/0", "iri-format"),
            (
                context_agent(objectType="Agent"),
                "/context/contextAgents/0/objectType",
                "context-agent-object-type-value",
            ),
            (context_agent(agent={}), "/context/contextAgents/0/agent", "agent-identifier"),
            (context_group(relevantTypes=[]), "/context/contextGroups/0/relevantTypes", "relevant-types-size"),
            (context_group(group=AGENT), "/context/contextGroups/0/group/objectType", "group-object-type-value"),
        )
    ],
    # Data 2.4.7, 2.4.8, 4.5: times.
    *[
        Case("Data 4.5", "/timestamp", value)
        for value in ("2026-11-22T10:00:00Z", "2021-11-29T23:09:00.867219+00:00", "2099-01-01T00:00:00.1234567-05:30")
    ],
    *[
        Case("Data 4.5", "/timestamp", value, versions=V1)
        for value in ("2026-11-22T10:00:00", "20261122T100000Z", "2026-11-22T10:00+02")
    ],
    *[
        Case("IEEE 4.2.7", "/timestamp", value, "/timestamp", "timestamp-format", V2)
        for value in ("2026-11-22T10:00:00", "20261122T100000Z", "2026-11-22T10:00+02", "2008-09-15T15:53:00.601-00")
    ],
    *[
        Case("Data 4.5", f"/{name}", value, f"/{name}", "timestamp-format")
        for name in ("timestamp", "stored")
        for value in ("", "yesterday", "01/011/2015", "2026-11-22", "2026-11-22 10:00:00Z")
    ],
    *[
        Case("Data 4.5", f"/{name}", value, f"/{name}", "timestamp-value")
        for name in ("timestamp", "stored")
        for value in ("2026-02-29T00:00:00Z", "2026-01-01T25:00:00Z", "2008-09-15T15:53:00.601-00:00")
    ],
    Case("Data 4.5", "/timestamp", "2008-09-15T15:53:00.601-0000", "/timestamp", "timestamp-value", V1),
    # Data 2.4.9: authority.
    Case("Data 2.4.9", "/authority", AGENT),
    Case("Data 2.4.9", "/authority", {"objectType": "Group", "member": OAUTH}),
    Case("Data 2.4.9", "/authority", {**GROUP, "member": OAUTH}, "/authority", "authority-group-anonymous"),
    Case(
        "Data 2.4.9",
        "/authority",
        {"objectType": "Group", "member": [*OAUTH, AGENT]},
        "/authority/member",
        "authority-members-size",
    ),
    Case(
        "Data 2.4.9",
        "/authority",
        {"objectType": "Group", "member": [AGENT, AGENT]},
        "/authority/member",
        "authority-members",
    ),
    # Data 2.4.10: version.
    *[Case("Data 2.4.10", "/version", value) for value in ("1.0", "1.0.0", "1.0.9")],
    *[Case("Data 2.4.10", "/version", value, "/version", "version-format") for value in ("0.9.9", "1.1.0", "1", "3.0")],
    Case("Data 2.4.10", "/version", "2.0.0", "/version", "version-format", V1),
    Case("IEEE 4.2.4.3", "/version", "2.0.0", versions=V2),
    # Data 2.4.11: attachments.
    Case("Data 2.4.11", "/attachments", [ATTACHMENT]),
    Case("Data 2.4.11", "/attachments", ATTACHMENT, "/attachments", "attachments-type"),
    *[
        Case(
            "Data 2.4.11",
            "/attachments",
            [{name: value for name, value in ATTACHMENT.items() if name != missing}],
            "/attachments/0",
            "attachment-missing-property",
        )
        for missing in ("usageType", "display", "contentType", "length", "sha2")
    ],
    *[
        Case("Data 2.4.11", "/attachments", [{**ATTACHMENT, name: value}], f"/attachments/0/{name}", rule)
        for name, value, rule in (
            ("usageType", "essay", "iri-format"),
            ("contentType", "text", "attachment-content-type-format"),
            ("length", 1.5, "attachment-length-type"),
            ("length", -1, "attachment-length-range"),
            ("sha2", "0" * 40, "attachment-sha2-format"),
            ("fileUrl", "f.txt", "iri-format"),
        )
    ],
    Case(
        "Data 2.4.11",
        "/attachments",
        [{name: value for name, value in ATTACHMENT.items() if name != "fileUrl"}],
        "/attachments/0",
        "attachment-without-data",
    ),
    # Data 4.1: extensions take anything under IRIs.
    *[
        Case("Data 4.1", "/context", {"extensions": {"https://x.fr/e": value}})
        for value in (None, [None], {"": {"a": None}}, "", 1e300)
    ],
    Case("Data 4.1", "/result", {"extensions": {"room": 1}}, "/result/extensions/room", "iri-format"),
    Case("Data 4.1", "/result", {"extensions": []}, "/result/extensions", "extensions-type"),
    # Data 4.2: language maps.
    *[
        Case("Data 4.2", "/verb/display", {tag: ""})
        for tag in (
            "fr",
            "fr-FR",
            "zh-cmn-Hans-CN",
            "sl-rozaj-biske",
            "de-CH-1901",
            "es-419",
            "x-ent",
            "en-a-bbb-x-c",
            "i-lux",
        )
    ],
    *[
        Case("Data 4.2", "/verb/display", {tag: ""}, f"/verb/display/{tag}", "language-tag-format")
        for tag in ("f", "fr_FR", "fr-", "a12345", "fr-FR-FR", "abcdefghi", "fr FR")
    ],
    # Data 4.6: durations.
    *[
        Case("Data 4.6", "/result", {"duration": value})
        for value in ("PT4H35M59.14S", "PT16559.14S", "P3Y1M29DT4H35M59.14S", "P3Y", "P4W", "PT1.23456S", "P1,5D")
    ],
    *[
        Case("Data 4.6", "/result", {"duration": value}, "/result/duration", "duration-format")
        for value in ("", "P", "PT", "P4W1D", "1S", "PT1", "P1DT", "-PT1S", "P0001-01-01T00:00:00", "PT1.5H3M", "pt1s")
    ],
]


def name_of(case: Case, version: Version) -> str:
    place = case.at if case.pointer is None else case.pointer
    return f"{version.value} {case.section} {place} {'accepted' if case.pointer is None else case.rule}"


PAIRS = [pytest.param(case, version, id=name_of(case, version)) for case in CASES for version in case.versions]


def changed(case: Case) -> dict[str, Any]:
    statement = copy.deepcopy(STATEMENT)
    if not case.at:
        return {**statement, **case.value}
    place: Any = statement
    *path, last = case.at.split("/")[1:]
    for token in path:
        place = place[token]
    if case.value is GONE:
        del place[last]
    else:
        place[last] = copy.deepcopy(case.value)
    return statement


@pytest.mark.parametrize(("case", "version"), PAIRS)
def test_requirement(case: Case, version: Version) -> None:
    statement = changed(case)
    if case.pointer is None:
        validate([statement], version, many=False)
        return
    with pytest.raises(InvalidStatement) as refused:
        validate([statement], version, many=False)
    found = {(fault.pointer, fault.rule): fault for fault in refused.value.faults}
    assert (case.pointer, case.rule) in found
    source = "xAPI-Data " if version is Version.V1 else "IEEE 9274.1.1 "
    assert all(fault.section.startswith(source) for fault in found.values())
    assert len(found) == 1, list(found)


@pytest.mark.parametrize("version", BOTH)
def test_data_2_4_1_an_id_is_used_once_in_a_batch(version: Version) -> None:
    identifier = "abcdefab-0000-4000-8000-000000000000"
    batch = [{**STATEMENT, "id": identifier}, STATEMENT, STATEMENT, {**STATEMENT, "id": identifier.upper()}]
    with pytest.raises(InvalidStatement) as refused:
        validate(batch, version, many=True)
    assert [(fault.pointer, fault.rule) for fault in refused.value.faults] == [("/3/id", "batch-repeated-id")]
    validate(batch[:3], version, many=True)


@pytest.mark.parametrize("version", BOTH)
def test_data_2_4_4_2_an_agent_as_object_must_say_so(version: Version) -> None:
    with pytest.raises(InvalidStatement) as refused:
        validate([{**STATEMENT, "object": {"openid": "https://id.example.fr/1"}}], version, many=False)
    # Without objectType it is read as an Activity, which has an id and no openid.
    assert {fault.pointer for fault in refused.value.faults} == {"/object", "/object/openid"}
