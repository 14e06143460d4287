"""The parameters of GET on the Agents and Activities resources (xAPI-Communication 2.4 and 2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.standards.xapi import parameters


def parse_agent(sent: Sequence[tuple[str, str]]) -> tuple[dict[str, Any], str]:
    """The agent asked about, and its canonical identifier (``agent_identifier``).

    Raises:
        BadParameter: missing, repeated, not an Agent or identified Group, or something else is there.
    """
    section = "xAPI-Communication 2.4"
    return parameters.identified("agent", _only(sent, "agent", section), section)


def parse_activity(sent: Sequence[tuple[str, str]]) -> str:
    """The IRI of the activity asked about.

    Raises:
        BadParameter: missing, repeated, not an IRI, or something else is there.
    """
    section = "xAPI-Communication 2.5"
    return parameters.iri("activityId", _only(sent, "activityId", section), section)


def _only(sent: Sequence[tuple[str, str]], name: str, section: str) -> str:
    given = parameters.once(sent, {name}, section)
    if name not in given:
        parameters.refuse(name, "missing", f"`{name}` is missing.", section)
    return given[name]
