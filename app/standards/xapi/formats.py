"""The forms in which a statement is given: ``ids`` and ``canonical`` (xAPI-Communication 2.1.3), and to older readers.

``exact`` is the statement as kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import orjson

from app.core import lossless
from app.standards.xapi import Statement
from app.standards.xapi.activities import Definition
from app.standards.xapi.attachments import SIGNATURE
from app.standards.xapi.languages import Languages
from app.standards.xapi.versions import Version

_Part = dict[str, Any]

_IDENTIFIERS = ("mbox", "mbox_sha1sum", "openid", "account")
_COMPONENT_LISTS = ("choices", "scale", "source", "target", "steps")


def exceeds(body: bytes, version: Version) -> bool:
    """True if a statement, as JSON without spaces, may have properties that this version does not know; quick."""
    spec = version.spec
    # One that came without a version was held to that which it says at its end. Most do, and to search takes longer.
    return not body.endswith(spec.unsaid_at_end) and any(name in body for name in spec.unknown_as_written)


def within(statement: Statement, version: Version) -> Statement:
    """The statement, and its SubStatement, less the properties that this version does not know.

    Its ``version`` stays: xAPI-Data 2.4.10 has the LRS retain it, and it tells a reader that there may be more. So does
    all of a statement that is signed (xAPI-Data 2.6), for its signature is of the whole.
    """
    if any(each["usageType"] == SIGNATURE for each in statement.get("attachments", ())):
        return statement
    unknown = version.spec.unknown
    known = _without(statement, unknown)
    if statement["object"].get("objectType") == "SubStatement":
        known["object"] = _without(statement["object"], unknown)
    return known


def _without(statement: Statement, unknown: Collection[str]) -> Statement:
    known = dict(statement)
    context = {name: part for name, part in known.pop("context", {}).items() if name not in unknown}
    if context:
        known["context"] = context
    return known


def as_ids(statement: Statement) -> Statement:
    """The statement with only what identifies its agents, groups, verb and activities.

    An anonymous group keeps its members, each with what identifies it.
    """
    return _reshaped(statement, _agent_id, lambda verb: {"id": verb["id"]}, _activity_id)


def described(definition: Definition, languages: Languages) -> bytes:
    """The definition of an activity, as the store knows it, in JSON for statements in canonical form: in one language a
    map.

    Extensions may say something of a learner: those of other statements are not given.
    """
    known = {name: part for name, part in definition.items() if name != "extensions"}
    return lossless.dumps(_one_definition(known, languages))


def as_canonical(statement: Statement, languages: Languages, describe: Callable[[str], bytes | None]) -> Statement:
    """The statement with one language in each language map of its verb and activities; agents stay as they were.

    Args:
        statement: As kept.
        languages: Those that the reader wants.
        describe: Gives, by IRI, what the store knows of an activity, ``described``: it stands for what the statement
            says of it. None where there is nothing, or no more is to be told. Asked for each time that the statement
            names an activity, in the order of ``activities_in``.

    Returns:
        What ``orjson`` writes: what is told is in it as written.
    """

    def verb(given: _Part) -> _Part:
        return {**given, "display": _one_language(given["display"], languages)} if "display" in given else given

    def activity(given: _Part) -> _Part:
        own = given.get("definition")
        known = describe(given["id"])
        if known is not None:
            extensions = None if own is None else own.get("extensions")
            return {**given, "definition": orjson.Fragment(_with_extensions(known, extensions))}
        return given if own is None else {**given, "definition": _one_definition(own, languages)}

    return _reshaped(statement, lambda agent: agent, verb, activity)


def _with_extensions(written: bytes, extensions: _Part | None) -> bytes:
    if extensions is None:
        return written
    comma = b"" if written == b"{}" else b","
    return b"".join((written[:-1], comma, b'"extensions":', lossless.dumps(extensions), b"}"))


_Reshape = Callable[[_Part], _Part]


def _reshaped(statement: Statement, agent: _Reshape, verb: _Reshape, activity: _Reshape) -> Statement:
    shaped = {**statement, "actor": agent(statement["actor"]), "verb": verb(statement["verb"])}
    target = statement["object"]
    kind = target.get("objectType", "Activity")
    if kind == "Activity":
        shaped["object"] = activity(target)
    elif kind == "SubStatement":
        shaped["object"] = _reshaped(target, agent, verb, activity)
    elif kind != "StatementRef":
        shaped["object"] = agent(target)
    if "authority" in statement:
        shaped["authority"] = agent(statement["authority"])
    if "context" in statement:
        shaped["context"] = _reshaped_context(statement["context"], agent, activity)
    return shaped


def _reshaped_context(context: _Part, agent: _Reshape, activity: _Reshape) -> _Part:
    shaped = dict(context)
    for name in ("instructor", "team"):
        if name in shaped:
            shaped[name] = agent(shaped[name])
    if "contextActivities" in shaped:
        shaped["contextActivities"] = {
            kind: [activity(each) for each in (given if isinstance(given, list) else [given])]
            for kind, given in shaped["contextActivities"].items()
        }
    for name, inner in (("contextAgents", "agent"), ("contextGroups", "group")):
        if name in shaped:
            shaped[name] = [{**each, inner: agent(each[inner])} for each in shaped[name]]
    return shaped


def _agent_id(agent: _Part) -> _Part:
    kept = {name: agent[name] for name in ("objectType", *_IDENTIFIERS) if name in agent}
    if not any(name in kept for name in _IDENTIFIERS):
        kept["member"] = [_agent_id(each) for each in agent["member"]]
    return kept


def _activity_id(activity: _Part) -> _Part:
    # xAPI-Data 2.4.4: an object without objectType is an Activity, so its id is all that identifies it.
    return {"id": activity["id"]}


def _one_definition(definition: _Part, languages: Languages) -> _Part:
    shaped = dict(definition)
    for name in ("name", "description"):
        if name in shaped:
            shaped[name] = _one_language(shaped[name], languages)
    for name in _COMPONENT_LISTS:
        if name in shaped:
            shaped[name] = [
                {**each, "description": _one_language(each["description"], languages)}
                if "description" in each
                else each
                for each in shaped[name]
            ]
    return shaped


def _one_language(texts: dict[str, str], languages: Languages) -> dict[str, str]:
    if len(texts) < 2:
        return texts
    chosen = languages.chosen(texts)
    return texts if chosen is None else {chosen: texts[chosen]}
