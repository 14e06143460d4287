"""Identifiers in a statement, as canonical strings: the store's blind index entries are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from app.standards.xapi import Statement

MAX_IDENTIFIER_LENGTH = 8_192
"""Characters of what statements are found by: IRIs of activities and verbs, mailboxes, OpenIDs, names and home pages of
accounts.

The standard sets no length; few servers take a longer address. For statements it stands in ``schemas/xapi``.
"""

VOIDED = "http://adlnet.gov/expapi/verbs/voided"
_PLACES_OF_AGENTS = frozenset({"instructor", "team", "contextAgents", "contextGroups"})


class Keys(NamedTuple):
    """The strings that a statement can be found by. No string is in a tuple twice, nor in both a tuple and its related
    one.

    Attributes:
        subject: The actor's identifier; of an anonymous group, one made of its members' identifiers, in any order.
        agents: What the ``agent`` parameter matches: the actor, an Agent or Group as object, and their members.
        related_agents: What ``related_agents`` matches beyond those; the authority is left to the store.
        verb: The verb's IRI.
        activities: What the ``activity`` parameter matches: the object's IRI, when it is an Activity.
        related_activities: What ``related_activities`` matches beyond it.
        registration: The context's registration, in lower case.
        voids: The statement that this one voids.
        refers: The statement that this one's object is (a StatementRef), voiding ones included.
    """

    subject: str
    agents: tuple[str, ...]
    related_agents: tuple[str, ...]
    verb: str
    activities: tuple[str, ...]
    related_activities: tuple[str, ...]
    registration: str | None
    voids: UUID | None
    refers: UUID | None


def agent_identifier(agent: dict[str, Any]) -> str | None:
    """The canonical string of the inverse functional identifier of an Agent or Group; None of an anonymous group.

    The kind, a colon, the value. Addresses and hashes are in lower case: senders differ in case for one mailbox
    (xAPI-Data 2.4.2.3 asks them for lower case). An account is ``account:<homePage>|<name>``; a bar in the home page
    is percent-encoded, so the first bar always divides the two.
    """
    account = agent.get("account")
    if account is not None:
        home: str = account["homePage"]
        return f"account:{home.replace('|', '%7C')}|{account['name']}"
    if "mbox" in agent:
        return f"mbox:{agent['mbox'].lower()}"
    if "mbox_sha1sum" in agent:
        return f"mbox_sha1sum:{agent['mbox_sha1sum'].lower()}"
    if "openid" in agent:
        return f"openid:{agent['openid']}"
    return None


def agent_of(identifier: str) -> dict[str, Any]:
    """The Agent that has a canonical identifier, with nothing else of it."""
    kind, _, value = identifier.partition(":")
    if kind == "account":
        home, _, name = value.partition("|")
        return {"account": {"homePage": home, "name": name}}
    return {kind: value}


def group_identifier(members: Sequence[str]) -> str:
    """The canonical identifier of an anonymous group: its members' canonical identifiers, in any order."""
    # Lengths make the list unambiguous whatever the names hold.
    return "group:" + "".join(f"{len(each)}:{each}" for each in sorted(members))


def keys_of(statement: Statement) -> Keys:
    """The keys of a valid statement, with or without what ``stamp`` adds."""
    actor, target, context = statement["actor"], statement["object"], statement.get("context")
    subject = agent_identifier(actor)
    if subject is None:
        members = sorted(_members(actor))
        subject = group_identifier(members)
        agents = tuple(dict.fromkeys(members))
    elif "member" in actor:
        agents = tuple(dict.fromkeys((subject, *_members(actor))))
    else:
        agents = (subject,)
    kind = target.get("objectType", "Activity")
    activities: tuple[str, ...] = ()
    related: dict[str, None] = {}
    related_agents: dict[str, None] = {}
    refers = None
    if kind == "Activity":
        activities = (target["id"],)
    elif kind == "StatementRef":
        refers = UUID(target["id"])
    elif kind == "SubStatement":
        # xAPI-Communication 2.1.3: related_agents and related_activities look into a contained SubStatement too.
        inner = keys_of(target)
        related_agents.update(dict.fromkeys(inner.agents + inner.related_agents))
        related.update(dict.fromkeys(inner.activities + inner.related_activities))
    else:
        agents = tuple(dict.fromkeys((*agents, *_agents_in(target))))
    registration = None
    if context is not None:
        registration = context.get("registration")
        if registration is not None:
            registration = registration.lower()
        if "contextActivities" in context:
            for given in context["contextActivities"].values():
                for activity in given if type(given) is list else (given,):
                    related[activity["id"]] = None
        if not _PLACES_OF_AGENTS.isdisjoint(context):
            related_agents.update(dict.fromkeys(_context_agents(context)))
    verb: str = statement["verb"]["id"]
    for each in activities:
        related.pop(each, None)
    for each in agents:
        related_agents.pop(each, None)
    return Keys(
        subject,
        agents,
        tuple(related_agents),
        verb,
        activities,
        tuple(related),
        registration,
        refers if verb == VOIDED else None,
        refers,
    )


def _members(group: dict[str, Any]) -> Iterator[str]:
    for member in group.get("member", ()):
        identifier = agent_identifier(member)
        if identifier is not None:
            yield identifier


def _agents_in(agent: dict[str, Any]) -> Iterator[str]:
    """An Agent or Group and, xAPI-Communication 2.1.3, the members of a group."""
    identifier = agent_identifier(agent)
    if identifier is not None:
        yield identifier
    if "member" in agent:
        yield from _members(agent)


def _context_agents(context: dict[str, Any]) -> Iterator[str]:
    if "instructor" in context:
        yield from _agents_in(context["instructor"])
    if "team" in context:
        yield from _agents_in(context["team"])
    # xAPI 2.0 only.
    for each in context.get("contextAgents", ()):
        yield from _agents_in(each["agent"])
    for each in context.get("contextGroups", ()):
        yield from _agents_in(each["group"])
