"""Taking a person out of a statement that is another's: an anonymous account stands in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from app.standards.xapi import Statement
from app.standards.xapi.attachments import SIGNATURE
from app.standards.xapi.identifiers import agent_identifier

_Part = dict[str, Any]


class Redacted(NamedTuple):
    """A statement without a person.

    Attributes:
        statement: The same object when it did not name them, else a copy that shares the unchanged parts.
        signatures: Digests (lower-case hexadecimal) of signatures that were taken out: a signature is made over the
            whole statement and holds a copy of it (xAPI-Data 2.6), so it cannot stay.
    """

    statement: Statement
    signatures: tuple[str, ...] = ()


def redacted(statement: Statement, erased: Callable[[str], bool], account: Mapping[str, str]) -> Redacted:
    """Put an account in the place of a person, wherever a valid statement names them as an Agent or a Group.

    The actor, an Agent or Group as object, members of groups, instructor, team, authority, ``contextAgents`` and
    ``contextGroups``, and all of these inside a SubStatement. Their name goes with their identifier; the statement
    stays valid, its id, its order and everything else as they are.

    Args:
        statement: The statement.
        erased: Whether a canonical identifier (``agent_identifier``) is the person's.
        account: ``homePage`` and ``name`` of the account that stands for them.
    """

    def agent(part: _Part) -> _Part:
        identifier = agent_identifier(part)
        if identifier is not None and erased(identifier):
            part = {name: part[name] for name in ("objectType", "member") if name in part} | {"account": dict(account)}
        members = part.get("member")
        if members is not None:
            kept = [agent(each) for each in members]
            if any(new is not old for new, old in zip(kept, members, strict=True)):
                part = {**part, "member": kept}
        return part

    def context(part: _Part) -> _Part:
        changes: _Part = {name: agent(part[name]) for name in ("instructor", "team") if name in part}
        # xAPI 2.0 only.
        for name, inner in (("contextAgents", "agent"), ("contextGroups", "group")):
            if name in part:
                each_changed = [_with(each, {inner: agent(each[inner])}) for each in part[name]]
                same = all(new is old for new, old in zip(each_changed, part[name], strict=True))
                changes[name] = part[name] if same else each_changed
        return _with(part, changes)

    def whole(part: Statement) -> Statement:
        changes: _Part = {"actor": agent(part["actor"])}
        target = part["object"]
        kind = target.get("objectType", "Activity")
        if kind in {"Agent", "Group"}:
            changes["object"] = agent(target)
        elif kind == "SubStatement":
            changes["object"] = whole(target)
        if "context" in part:
            changes["context"] = context(part["context"])
        if "authority" in part:
            changes["authority"] = agent(part["authority"])
        return _with(part, changes)

    changed = whole(statement)
    attached = statement.get("attachments", ())
    signatures = tuple(each["sha2"].lower() for each in attached if each["usageType"] == SIGNATURE)
    if changed is statement or not signatures:
        return Redacted(changed)
    kept = [each for each in attached if each["usageType"] != SIGNATURE]
    rest = {name: part for name, part in changed.items() if name != "attachments"}
    return Redacted({**rest, "attachments": kept} if kept else rest, signatures)


def _with(part: _Part, changes: Mapping[str, Any]) -> _Part:
    """The part with these members; the same object when they are what it has."""
    return part if all(part[name] is new for name, new in changes.items()) else {**part, **changes}
