import json
from uuid import UUID

import pytest

from app.core.errors import BadParameter
from app.standards.xapi.query import StatementQuery, parse_put, parse_query

ID = "abcdefab-0000-4000-8000-000000000001"


def ask(*parameters: tuple[str, str]) -> StatementQuery:
    return parse_query(parameters, page_limit=50)


def test_nothing_asked_is_a_full_page() -> None:
    assert ask() == StatementQuery(limit=50)


def test_everything_asked() -> None:
    query = ask(
        ("agent", json.dumps({"mbox": "mailto:Ada@Example.fr", "name": "Ada"})),
        ("verb", "https://x.fr/v"),
        ("activity", "course-v1:FUN-MOOC+00002+session01"),
        ("registration", ID.upper()),
        ("related_agents", "true"),
        ("related_activities", "false"),
        ("since", "1970-01-01T00:00:01Z"),
        ("until", "1970-01-01T01:00:02+01:00"),
        ("limit", "7"),
        ("format", "ids"),
        ("attachments", "true"),
        ("ascending", "true"),
    )
    assert query == StatementQuery(
        agent="mbox:mailto:ada@example.fr",
        verb="https://x.fr/v",
        activity="course-v1:FUN-MOOC+00002+session01",
        registration=ID,
        related_agents=True,
        since=1_000_000,
        until=2_000_000,
        limit=7,
        format="ids",
        attachments=True,
        ascending=True,
    )


@pytest.mark.parametrize(("text", "limit"), [("0", 50), ("1", 1), ("50", 50), ("51", 50), ("999999999999", 50)])
def test_the_page_limit_bounds_the_limit(text: str, limit: int) -> None:
    assert ask(("limit", text)).limit == limit


@pytest.mark.parametrize("name, field", [("statementId", "statement_id"), ("voidedStatementId", "voided_statement_id")])
def test_one_statement_may_be_asked_for_with_attachments_and_format(name: str, field: str) -> None:
    query = ask((name, ID), ("attachments", "false"), ("format", "canonical"))
    assert getattr(query, field) == UUID(ID)


GROUP = {"objectType": "Group", "member": [{"mbox": "mailto:a@b.fr"}]}


@pytest.mark.parametrize(
    ("parameters", "pointer", "rule"),
    [
        ([("statementid", ID)], "", "parameter-unknown"),
        ([("cursor", "x")], "", "parameter-unknown"),
        ([("limit", "1"), ("limit", "1")], "/limit", "parameter-repeated"),
        ([("statementId", ID), ("voidedStatementId", ID)], "/voidedStatementId", "parameter-excluded"),
        ([("statementId", ID), ("limit", "1")], "/limit", "parameter-excluded"),
        ([("voidedStatementId", ID), ("agent", "{}")], "/agent", "parameter-excluded"),
        ([("statementId", ID[:-1])], "/statementId", "parameter-uuid"),
        ([("statementId", ID.replace("-", ""))], "/statementId", "parameter-uuid"),
        ([("registration", f"{{{ID}}}")], "/registration", "parameter-uuid"),
        ([("verb", "read")], "/verb", "parameter-iri"),
        ([("activity", "https://x.fr/a b")], "/activity", "parameter-iri"),
        ([("activity", "https://x.fr/a\n")], "/activity", "parameter-iri"),
        ([("limit", "-1")], "/limit", "parameter-limit"),
        ([("limit", "1.0")], "/limit", "parameter-limit"),
        ([("limit", "٣")], "/limit", "parameter-limit"),
        ([("ascending", "True")], "/ascending", "parameter-boolean"),
        ([("attachments", "")], "/attachments", "parameter-boolean"),
        ([("since", "yesterday")], "/since", "parameter-timestamp"),
        ([("until", "2026-01-01T00:00:00 01:00")], "/until", "parameter-timestamp"),
        ([("format", "Exact")], "/format", "parameter-format"),
        ([("agent", "{")], "/agent", "parameter-agent"),
        ([("agent", json.dumps(GROUP))], "/agent", "parameter-agent"),
        ([("agent", "[]")], "/agent", "actor-type"),
        ([("agent", json.dumps({"mbox": "a@b.fr"}))], "/agent/mbox", "mbox-format"),
        ([("agent", json.dumps({"name": "a"}))], "/agent", "agent-identifier"),
    ],
)
def test_bad_parameters_are_refused_by_name(parameters: list[tuple[str, str]], pointer: str, rule: str) -> None:
    with pytest.raises(BadParameter) as refused:
        ask(*parameters)
    assert [(fault.pointer, fault.rule) for fault in refused.value.faults] == [(pointer, rule)]
    assert refused.value.faults[0].section


def test_an_identified_group_may_be_asked_for() -> None:
    assert ask(("agent", json.dumps({**GROUP, "openid": "https://g.fr"}))).agent == "openid:https://g.fr"


def test_put_takes_statement_id_and_nothing_else() -> None:
    assert parse_put([("statementId", ID)]) == UUID(ID)
    for parameters in ([], [("statementId", ID), ("limit", "1")], [("statementId", "x")], [("statementId", ID)] * 2):
        with pytest.raises(BadParameter):
            parse_put(parameters)
