"""What statements say of activities: the definitions they carry, and how two of one activity become one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.xapi import Statement
from app.xapi.identifiers import keys_of

Definition = dict[str, Any]

_MERGED_BY_KEY = ("name", "description", "extensions")


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
    """The definition that holds both: languages and extensions side by side, and of the rest what was seen last.

    xAPI-Data 2.4.4.1 leaves to the store what it keeps of an activity's definition. Merging the same again changes
    nothing.
    """
    merged = {**known, **seen}
    for name in _MERGED_BY_KEY:
        if name in known and name in seen:
            merged[name] = {**known[name], **seen[name]}
    return merged
