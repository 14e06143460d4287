"""Activity definitions that statements carry, and the merge of two definitions of one activity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.standards.xapi import Statement
from app.standards.xapi.identifiers import keys_of

Definition = dict[str, Any]

_MERGED_BY_KEY = ("name", "description")
_OF_AN_INTERACTION = ("correctResponsesPattern", "choices", "scale", "source", "target", "steps")


def definitions_of(statement: Statement) -> Iterator[tuple[str, Definition]]:
    """The activities that a valid statement defines, each with its definition: object, context, SubStatement."""
    target = statement["object"]
    if "definition" in target:
        yield target["id"], target["definition"]
    elif target.get("objectType") == "SubStatement":
        yield from definitions_of(target)
    context = statement.get("context")
    if context is None:
        return
    for given in context.get("contextActivities", {}).values():
        for activity in given if type(given) is list else (given,):
            if "definition" in activity:
                yield activity["id"], activity["definition"]


def activities_in(statement: Statement) -> tuple[str, ...]:
    """The IRIs of the activities that a valid statement names, defined or not."""
    found = keys_of(statement)
    return found.activities + found.related_activities


def merge(known: Definition, seen: Definition) -> Definition:
    """The definition that holds both: languages side by side, and of the rest, extensions too, what was seen last.

    Another ``interactionType`` leaves nothing of the interaction known before: its components mean nothing to it.
    Merging the same again changes nothing.
    """
    if seen.get("interactionType", known.get("interactionType")) != known.get("interactionType"):
        known = {name: part for name, part in known.items() if name not in _OF_AN_INTERACTION}
    merged = {**known, **seen}
    for name in _MERGED_BY_KEY:
        if name in known and name in seen:
            merged[name] = {**known[name], **seen[name]}
    return merged
