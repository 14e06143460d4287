"""The Person object: what the store tells of an agent (xAPI-Communication 2.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from app.standards.xapi import Statement
from app.standards.xapi.identifiers import agent_identifier

_IDENTIFIERS = ("mbox", "mbox_sha1sum", "openid", "account")


def names_in(statement: Statement, identifier: str) -> Iterator[str]:
    """The names that a statement gives to whoever has this identifier (``agent_identifier``), wherever it stands."""
    for agent in _agents(statement):
        if "name" in agent and agent_identifier(agent) == identifier:
            yield agent["name"]


def person(agent: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The Person of an agent: its identifier and its names, each once, as arrays.

    Identifiers that statements may show to be the same person's are not gathered: nobody asked the store to.
    """
    given = (agent["name"],) if "name" in agent else ()
    found: dict[str, Any] = {"objectType": "Person"}
    listed = list(dict.fromkeys((*given, *names)))
    if listed:
        found["name"] = listed
    return found | {name: [agent[name]] for name in _IDENTIFIERS if name in agent}


def _agents(statement: Statement) -> Iterator[dict[str, Any]]:
    context = statement.get("context", {})
    target = statement["object"]
    roots = [statement["actor"], context.get("instructor"), context.get("team"), statement.get("authority")]
    roots += [each["agent"] for each in context.get("contextAgents", ())]
    roots += [each["group"] for each in context.get("contextGroups", ())]
    if target.get("objectType") in {"Agent", "Group"}:
        roots.append(target)
    elif target.get("objectType") == "SubStatement":
        yield from _agents(target)
    for root in roots:
        if root is not None:
            yield root
            yield from root.get("member", ())
