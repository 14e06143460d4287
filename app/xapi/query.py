"""The parameters of GET and PUT on the statement resource (xAPI-Communication 2.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias, cast
from uuid import UUID

import orjson

from app.errors import BadParameter, Fault
from app.xapi.identifiers import agent_identifier
from app.xapi.timestamps import parse
from app.xapi.validate import actor_faults, matches

Format: TypeAlias = Literal["ids", "exact", "canonical"]

_SECTION = "xAPI-Communication 2.1.3"


@dataclass(frozen=True, slots=True)
class StatementQuery:
    """What a GET asks for; ``None`` where a parameter was not given.

    Attributes:
        statement_id: Fetch this one statement.
        voided_statement_id: Fetch this one voided statement.
        agent: Canonical identifier (``agent_identifier``) to match.
        verb: Verb IRI to match.
        activity: Activity IRI to match.
        registration: Registration to match, in lower case as ``Keys`` has it.
        related_agents: Match the agent broadly.
        related_activities: Match the activity broadly.
        since: Stored after this instant, exclusive; microseconds since 1970 UTC.
        until: Stored at or before this instant; microseconds since 1970 UTC.
        limit: Most statements in the answer, from 1 to the page limit.
        format: ``ids``, ``exact`` or ``canonical``.
        attachments: Answer in multipart, with the attachments' data.
        ascending: Oldest stored first.
    """

    statement_id: UUID | None = None
    voided_statement_id: UUID | None = None
    agent: str | None = None
    verb: str | None = None
    activity: str | None = None
    registration: str | None = None
    related_agents: bool = False
    related_activities: bool = False
    since: int | None = None
    until: int | None = None
    limit: int = 1
    format: Format = "exact"
    attachments: bool = False
    ascending: bool = False


def parse_query(parameters: Sequence[tuple[str, str]], *, page_limit: int) -> StatementQuery:
    """Read the query string of GET statements.

    Args:
        parameters: Names and decoded values, in the order sent, repeats included.
        page_limit: Most statements in one answer; also what ``limit=0``, and none, give.

    Raises:
        BadParameter: unknown, repeated, ill-typed, or not allowed beside another; names it, the rule and the section.
    """
    given = _once(parameters, frozenset(_READERS))
    single = sorted(given.keys() & {"statementId", "voidedStatementId"})
    if single:
        # xAPI-Communication 2.1.3: not both, and beside either only attachments and format.
        others = sorted(given.keys() - {single[0], "attachments", "format"})
        if others:
            _refuse(others[0], "excluded", f"`{others[0]}` is not allowed beside `{single[0]}`.")
    values = {_FIELDS.get(name, name): _READERS[name](name, text) for name, text in given.items()}
    asked = cast(int, values.get("limit", 0))
    # xAPI-Communication 2.1.3: 0 is the most that the server allows.
    values["limit"] = min(asked, page_limit) if asked else page_limit
    return StatementQuery(**values)  # type: ignore[arg-type]  # each reader gives its own field's type


def parse_put(parameters: Sequence[tuple[str, str]]) -> UUID:
    """Read the query string of PUT statements: ``statementId``, once and alone (xAPI-Communication 2.1.1).

    Raises:
        BadParameter: it is missing or not a UUID, or something else is there.
    """
    given = _once(parameters, frozenset({"statementId"}))
    if "statementId" not in given:
        _refuse("statementId", "missing", "`statementId` is missing.", "xAPI-Communication 2.1.1")
    return _uuid("statementId", given["statementId"])


def _once(parameters: Sequence[tuple[str, str]], known: frozenset[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, text in parameters:
        if name not in known:
            # xAPI-Communication 3.2: parameters not recognised, or that differ by case only, are refused. The name
            # is not repeated: it may be anything.
            listed = ", ".join(f"`{each}`" for each in sorted(known))
            _refuse(
                "", "unknown", f"A parameter is unknown. Known (case-sensitive): {listed}.", "xAPI-Communication 3.2"
            )
        if name in given:
            _refuse(name, "repeated", f"`{name}` is given twice.")
        given[name] = text
    return given


def _refuse(name: str, rule: str, message: str, section: str = _SECTION) -> NoReturn:
    raise BadParameter(message, faults=[Fault(f"/{name}" if name else "", f"parameter-{rule}", section, message)])


def _uuid(name: str, text: str) -> UUID:
    if not matches("uuid", text):
        _refuse(name, "uuid", f"`{name}` must be a UUID in its standard form.")
    return UUID(text)


def _registration(name: str, text: str) -> str:
    return str(_uuid(name, text))


def _iri(name: str, text: str) -> str:
    if not matches("iri", text):
        _refuse(name, "iri", f"`{name}` must be an IRI with its scheme.")
    return text


def _agent(name: str, text: str) -> str:
    try:
        agent = orjson.loads(text)
    except orjson.JSONDecodeError:
        _refuse(name, "agent", f"`{name}` must be the JSON of an Agent or an identified Group.")
    faults = actor_faults(agent, f"/{name}")
    if faults:
        raise BadParameter(f"`{name}` is not a valid Agent or identified Group.", faults=faults)
    identifier = agent_identifier(agent)
    if identifier is None:
        # xAPI-Communication 2.1.3: each anonymous group is distinct, so none can be asked for.
        _refuse(name, "agent", f"`{name}` must have an identifier; a Group without one cannot be searched for.")
    return identifier


def _boolean(name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        _refuse(name, "boolean", f"`{name}` must be true or false.")
    return text == "true"


def _instant(name: str, text: str) -> int:
    try:
        return parse(text)
    except ValueError:
        _refuse(
            name,
            "timestamp",
            f"`{name}` must be an ISO 8601 date and time; a + in its offset is written %2B in a URL.",
        )


_COUNT = re.compile(r"[0-9]{1,18}")


def _limit(name: str, text: str) -> int:
    if not _COUNT.fullmatch(text):
        _refuse(name, "limit", f"`{name}` must be 0 or a positive integer.")
    return int(text)


def _format(name: str, text: str) -> Format:
    if text not in {"ids", "exact", "canonical"}:
        _refuse(name, "format", f"`{name}` must be ids, exact or canonical.")
    return cast(Format, text)


_READERS: dict[str, Callable[[str, str], object]] = {
    "statementId": _uuid,
    "voidedStatementId": _uuid,
    "agent": _agent,
    "verb": _iri,
    "activity": _iri,
    "registration": _registration,
    "related_agents": _boolean,
    "related_activities": _boolean,
    "since": _instant,
    "until": _instant,
    "limit": _limit,
    "format": _format,
    "attachments": _boolean,
    "ascending": _boolean,
}
_FIELDS = {"statementId": "statement_id", "voidedStatementId": "voided_statement_id"}
