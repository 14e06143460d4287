"""Readers of the query parameters that several resources share; each names the section that asks for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NoReturn
from uuid import UUID

import orjson

from app.core.errors import BadParameter, Fault
from app.standards.xapi.identifiers import agent_identifier
from app.standards.xapi.timestamps import parse
from app.standards.xapi.validate import actor_faults, matches


def refuse(name: str, rule: str, message: str, section: str) -> NoReturn:
    """Refuse a parameter; ``name`` is empty when it is not one of the standard's.

    Raises:
        BadParameter: always.
    """
    raise BadParameter(message, faults=[Fault(f"/{name}" if name else "", f"parameter-{rule}", section, message)])


def once(parameters: Sequence[tuple[str, str]], known: Collection[str], section: str) -> dict[str, str]:
    """Each parameter by its name.

    Raises:
        BadParameter: one is not among ``known``, or is given twice.
    """
    given: dict[str, str] = {}
    for name, text in parameters:
        if name not in known:
            # xAPI-Communication 3.2: parameters not recognised, or that differ by case only, are refused. The name
            # is not repeated: it may be anything.
            listed = ", ".join(f"`{each}`" for each in sorted(known))
            message = f"A parameter is unknown, or not for this method. Known (case-sensitive): {listed}."
            refuse("", "unknown", message, "xAPI-Communication 3.2")
        if name in given:
            refuse(name, "repeated", f"`{name}` is given twice.", section)
        given[name] = text
    return given


def iri(name: str, text: str, section: str) -> str:
    """An IRI, as given."""
    if not matches("iri", text):
        refuse(name, "iri", f"`{name}` must be an IRI with its scheme.", section)
    return text


def uuid(name: str, text: str, section: str) -> UUID:
    """A UUID in its standard form."""
    if not matches("uuid", text):
        refuse(name, "uuid", f"`{name}` must be a UUID in its standard form.", section)
    return UUID(text)


def agent(name: str, text: str, section: str) -> str:
    """The canonical identifier (``agent_identifier``) of the JSON of an Agent or identified Group."""
    return identified(name, text, section)[1]


def identified(name: str, text: str, section: str) -> tuple[dict[str, Any], str]:
    """The JSON of an Agent or identified Group, decoded, and its canonical identifier."""
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        refuse(name, "agent", f"`{name}` must be the JSON of an Agent or an identified Group.", section)
    faults = actor_faults(given, f"/{name}")
    if faults:
        raise BadParameter(f"`{name}` is not a valid Agent or identified Group.", faults=faults)
    identifier = agent_identifier(given)
    if identifier is None:
        refuse(name, "agent", f"`{name}` must have an identifier; a Group without one names nobody.", section)
    return given, identifier


def instant(name: str, text: str, section: str) -> int:
    """Microseconds since 1970 UTC of an ISO 8601 date and time."""
    try:
        return parse(text)
    except ValueError:
        message = f"`{name}` must be an ISO 8601 date and time; a + in its offset is written %2B in a URL."
        refuse(name, "timestamp", message, section)
