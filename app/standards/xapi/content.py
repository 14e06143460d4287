"""Content of a statement, whatever its spelling: comparison of retries, and the form in which statements are kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson

from app.core import lossless
from app.standards.xapi import Statement
from app.standards.xapi.timestamps import in_utc, parse, render
from app.standards.xapi.versions import Version

# xAPI-Data 2.3.1: what the store assigns is no part of the comparison; the id is what two statements compared share.
_NOT_COMPARED = frozenset({"id", "stored", "authority", "version"})
# What the store says itself. A version that was sent stays (xAPI-Data 2.4.10).
_ASSIGNED = frozenset({"id", "stored", "authority"})
# The id comes first in what most senders write; a valid one has 36 characters.
_ID_FIRST = b'{"id":"'
_STORED_AT = len(_ID_FIRST) + 36
_STORED = b'","stored":"'
_AUTHORITY = b',"authority":'
_COMMA = ord(",")
_AFTER_ID = len(_ID_FIRST) + 36 + len(b'",')

_Part = dict[str, Any]


def content_fingerprint(statement: Statement) -> bytes:
    """Canonical bytes of what must be equal for two statements of one id to be the same statement (xAPI-Data 2.3.1).

    Left out: id, stored, authority, version, the display of verbs, the definitions of activities. Equal: the same
    instant in another zone, members of a group in another order, addresses, hashes and UUIDs in another case, one
    context activity and an array of that one, durations that differ below 0.01 s (xAPI-Data 4.6).

    A timestamp counts only when it was sent, not when ``stamp`` gave it. The print is the same before and after
    ``normalise``.
    """
    return lossless.dumps(_content(statement), option=orjson.OPT_SORT_KEYS)


def normalise(statement: Statement, version: Version) -> Statement:
    """The form in which a valid statement is kept: context activities as arrays and, in 2.0, times in UTC.

    Returns the same object when nothing changes, else a copy that shares the unchanged parts. Normalising twice is
    normalising once.
    """
    changes: _Part = {}
    context = statement.get("context")
    if context is not None:
        given = context.get("contextActivities")
        if given is not None and any(type(each) is dict for each in given.values()):
            # xAPI-Data 2.4.6.2: the LRS MUST return every value as an array, even if it arrived as a single Activity.
            arrays = {kind: [each] if type(each) is dict else each for kind, each in given.items()}
            changes["context"] = {**context, "contextActivities": arrays}
    if version.spec.times_in_utc and "timestamp" in statement:
        # IEEE 9274.1.1 4.2.7: the LRS shall convert timestamps to UTC.
        changes["timestamp"] = in_utc(statement["timestamp"])
    target = statement["object"]
    if target.get("objectType") == "SubStatement":
        changes["object"] = normalise(target, version)
    if all(statement[name] is part or statement[name] == part for name, part in changes.items()):
        return statement
    return {**statement, **changes}


def members(kept: Statement, sent: Statement, written: bytes) -> bytes:
    """The JSON of a statement without its braces, less what only the store can say: id, stored and authority.

    Args:
        kept: The statement after ``normalise``.
        sent: The statement before it.
        written: ``sent`` as JSON without spaces (``Decoded.written``), which is not encoded again where it can serve.
    """
    if kept is sent and "stored" not in kept and "authority" not in kept:
        if "id" not in kept:
            return written[1:-1]
        if written.startswith(_ID_FIRST):
            return written[_AFTER_ID:-1]
        said = b'"id":"%b"' % kept["id"].encode()
        at = written.find(said)
        # A text cannot hold it, for its quotes would be escaped there: the only one is the statement's own.
        if at > 0 and written.find(said, at + 1) < 0:
            end = at + len(said)
            return written[1:at] + written[end + 1 : -1] if written[end] == _COMMA else written[1 : at - 1]
    return lossless.dumps({name: part for name, part in kept.items() if name not in _ASSIGNED})[1:-1]


def stamp(
    members: bytes, statement: Statement, *, id: UUID, stored_us: int, authority: bytes, version: Version
) -> bytes:
    """The exact JSON in which a statement is kept: what was sent, and what only the store can say.

    Args:
        members: As ``members`` gives them.
        statement: The statement that they are of.
        id: The statement's id: the one that was sent, or a new one.
        stored_us: When it is stored, in microseconds since 1970 UTC.
        authority: JSON of the Agent that vouches for it, in place of what was sent (xAPI-Data 2.4.9).
        version: Of the request; said in the statement unless it says one itself (xAPI-Data 2.4.10).
    """
    stored = render(stored_us).encode()
    # xAPI-Data 2.4.7: a missing timestamp is the stored time.
    time = b"" if "timestamp" in statement else b',"timestamp":"' + stored + b'"'
    said = b"" if "version" in statement else version.spec.unsaid_as_written
    return b'{"id":"%b","stored":"%b",%b,"authority":%b%b%b}' % (
        str(id).encode(),
        stored,
        members,
        authority,
        time,
        said,
    )


def members_kept(body: bytes) -> bytes:
    """The members that ``stamp`` made a statement from; a statement of another form is given back as it is."""
    # They end at the last ``authority`` of all: the Agent of an account has none, and in a text its quotes are escaped.
    end = body.rfind(_AUTHORITY)
    if body[_STORED_AT : _STORED_AT + len(_STORED)] != _STORED or end < 0:
        return body
    return body[body.index(b'",', _STORED_AT + len(_STORED)) + 2 : end]


def same(sent: Statement, kept: Statement) -> bool:
    """True if a statement that is sent is the one that is kept under its id (xAPI-Data 2.3.1).

    A timestamp counts when it was sent: one that ``stamp`` gave is that of ``stored``.
    """
    if "timestamp" not in sent and kept["timestamp"] == kept["stored"]:
        kept = {name: part for name, part in kept.items() if name != "timestamp"}
    return content_fingerprint(sent) == content_fingerprint(kept)


def _content(statement: Statement) -> _Part:
    content = {name: part for name, part in statement.items() if name not in _NOT_COMPARED}
    content["actor"] = _agent(content["actor"])
    # xAPI-Data 2.3.1: the display of a verb is not part of the statement.
    content["verb"] = content["verb"]["id"]
    target = content["object"]
    content["object"] = _OBJECTS[target.get("objectType", "Activity")](target)
    if "timestamp" in content:
        content["timestamp"] = parse(content["timestamp"])
    if "context" in content:
        content["context"] = _context(content["context"])
    result = content.get("result")
    if result is not None and "duration" in result:
        content["result"] = {**result, "duration": _duration(result["duration"])}
    return content


def _agent(agent: _Part) -> _Part:
    if "account" in agent and "member" not in agent:
        return agent
    plain = dict(agent)
    for name in ("mbox", "mbox_sha1sum"):
        if name in plain:
            plain[name] = plain[name].lower()
    if "member" in plain:
        # xAPI-Data 2.4.2.2: an unordered list.
        plain["member"] = sorted(map(_agent, plain["member"]), key=_canonical)
    return plain


def _canonical(part: _Part) -> bytes:
    return lossless.dumps(part, option=orjson.OPT_SORT_KEYS)


def _activity(activity: _Part) -> _Part:
    # xAPI-Data 2.3.1: the content of activity definitions is not part of the statement. Activity is what an object
    # without objectType is, so saying it changes nothing.
    return {"id": activity["id"]}


def _reference(reference: _Part) -> _Part:
    return {**reference, "id": reference["id"].lower()}


_OBJECTS: dict[str, Callable[[_Part], _Part]] = {
    "Activity": _activity,
    "Agent": _agent,
    "Group": _agent,
    "StatementRef": _reference,
    "SubStatement": _content,
}


def _context(context: _Part) -> _Part:
    plain = dict(context)
    given = plain.get("contextActivities")
    if given is not None:
        plain["contextActivities"] = {
            kind: [each["id"] for each in (listed if type(listed) is list else [listed])]
            for kind, listed in given.items()
        }
    if "registration" in plain:
        plain["registration"] = plain["registration"].lower()
    for name in ("instructor", "team"):
        if name in plain:
            plain[name] = _agent(plain[name])
    if "statement" in plain:
        plain["statement"] = _reference(plain["statement"])
    for name, inner in (("contextAgents", "agent"), ("contextGroups", "group")):
        if name in plain:
            plain[name] = [{**each, inner: _agent(each[inner])} for each in plain[name]]
    return plain


_SECONDS = re.compile(r"[.,]([0-9]+)S$")


def _duration(text: str) -> str:
    # xAPI-Data 4.6: precision beyond 0.01 s is not part of a comparison. The rest is compared as text (xAPI-Data
    # 2.3.1): one minute is not sixty seconds.
    found = _SECONDS.search(text)
    if found is None:
        return text
    hundredths = found[1][:2].rstrip("0")
    return text[: found.start()] + (f".{hundredths}S" if hundredths else "S")
