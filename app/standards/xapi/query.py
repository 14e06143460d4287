"""The parameters of GET and PUT on the statement resource (xAPI-Communication 2.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, NoReturn, TypeAlias, cast
from uuid import UUID

from app.standards.xapi import parameters

Format: TypeAlias = Literal["ids", "exact", "canonical"]

CURSOR = "cursor"
"""The parameter of a ``more`` link. It is the store's own: the standard leaves to it what such a link holds."""

_SECTION = "xAPI-Communication 2.1.3"


@dataclass(frozen=True, slots=True)
class StatementQuery:
    """Parameters of a GET of statements; ``None`` where one was not given.

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
        as_kept: Whether ``exact`` was asked for, not merely what goes without saying.
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
    as_kept: bool = False
    attachments: bool = False
    ascending: bool = False


class Repeated(NamedTuple):
    """Parameters that a client repeats beside a cursor: their names, and these as a query."""

    names: Collection[str]
    query: StatementQuery


def parse_query(sent: Sequence[tuple[str, str]], *, page_limit: int) -> StatementQuery:
    """Read the query string of GET statements.

    Args:
        sent: Names and decoded values, in the order sent, repeats included.
        page_limit: Most statements in one answer; also what ``limit=0``, and none, give.

    Raises:
        BadParameter: unknown, repeated, ill-typed, or not allowed beside another; names it, the rule and the section.
    """
    given = parameters.once(sent, _READERS, _SECTION)
    single = sorted(given.keys() & {"statementId", "voidedStatementId"})
    if single:
        # xAPI-Communication 2.1.3: not both, and beside either only attachments and format.
        others = sorted(given.keys() - {single[0], "attachments", "format"})
        if others:
            parameters.refuse(others[0], "excluded", f"`{others[0]}` is not allowed beside `{single[0]}`.", _SECTION)
    return _query(given, page_limit)


def parse_following(sent: Sequence[tuple[str, str]], *, page_limit: int) -> tuple[str, Repeated]:
    """Read the query string of a ``more`` link to which a client may have added parameters of its own.

    Many clients repeat the query with each page, or say how long pages are to be. Whether what they say agrees with the
    cursor is for whoever can read it.

    Args:
        sent: Names and decoded values, in the order sent, repeats included; one is ``cursor``.
        page_limit: As for ``parse_query``.

    Raises:
        BadParameter: as ``parse_query``; or one that asks for a single statement.
    """
    given = parameters.once(sent, _READERS.keys() | {CURSOR}, _SECTION)
    cursor = given.pop(CURSOR)
    for single in sorted(given.keys() & {"statementId", "voidedStatementId"}):
        parameters.refuse(single, "excluded", f"`{single}` is not allowed beside `{CURSOR}`.", _SECTION)
    return cursor, Repeated(given.keys(), _query(given, page_limit))


def refuse_other(name: str) -> NoReturn:
    """Refuse a parameter that says something else than the cursor beside it.

    Raises:
        BadParameter: always.
    """
    message = (
        f"`{name}` is not what this `{CURSOR}` goes on with. Follow the `more` link as it was given, or leave the "
        f"`{CURSOR}` out to begin another query."
    )
    parameters.refuse(name, "cursor", message, _SECTION)


def _query(given: Mapping[str, str], page_limit: int) -> StatementQuery:
    values = {_FIELDS.get(name, name): _READERS[name](name, text) for name, text in given.items()}
    asked = cast(int, values.get("limit", 0))
    # xAPI-Communication 2.1.3: 0 is the most that the server allows.
    values["limit"] = min(asked, page_limit) if asked else page_limit
    values["as_kept"] = given.get("format") == "exact"
    return StatementQuery(**values)  # type: ignore[arg-type]  # each reader gives its own field's type


def parse_put(sent: Sequence[tuple[str, str]]) -> UUID:
    """Read the query string of PUT statements: ``statementId``, once and alone (xAPI-Communication 2.1.1).

    Raises:
        BadParameter: it is missing or not a UUID, or something else is there.
    """
    given = parameters.once(sent, {"statementId"}, _SECTION)
    if "statementId" not in given:
        parameters.refuse("statementId", "missing", "`statementId` is missing.", "xAPI-Communication 2.1.1")
    return parameters.uuid("statementId", given["statementId"], _SECTION)


def _registration(name: str, text: str) -> str:
    return str(parameters.uuid(name, text, _SECTION))


def _boolean(name: str, text: str) -> bool:
    if text not in {"true", "false"}:
        parameters.refuse(name, "boolean", f"`{name}` must be true or false.", _SECTION)
    return text == "true"


_COUNT = re.compile(r"[0-9]{1,18}")


def _limit(name: str, text: str) -> int:
    if not _COUNT.fullmatch(text):
        parameters.refuse(name, "limit", f"`{name}` must be 0 or a positive integer.", _SECTION)
    return int(text)


def _format(name: str, text: str) -> Format:
    if text not in {"ids", "exact", "canonical"}:
        parameters.refuse(name, "format", f"`{name}` must be ids, exact or canonical.", _SECTION)
    return cast(Format, text)


def _in_section(reader: Callable[[str, str, str], object]) -> Callable[[str, str], object]:
    return lambda name, text: reader(name, text, _SECTION)


_READERS: dict[str, Callable[[str, str], object]] = {
    "statementId": _in_section(parameters.uuid),
    "voidedStatementId": _in_section(parameters.uuid),
    "agent": _in_section(parameters.agent),
    "verb": _in_section(parameters.iri),
    "activity": _in_section(parameters.iri),
    "registration": _registration,
    "related_agents": _boolean,
    "related_activities": _boolean,
    "since": _in_section(parameters.instant),
    "until": _in_section(parameters.instant),
    "limit": _limit,
    "format": _format,
    "attachments": _boolean,
    "ascending": _boolean,
}
_FIELDS = {"statementId": "statement_id", "voidedStatementId": "voided_statement_id"}
