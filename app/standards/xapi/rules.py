"""The rules of a statement that a JSON Schema cannot say. Statements have passed their schema before they come here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from app.core.errors import Fault
from app.core.lossless import rounded
from app.standards.xapi import Statement
from app.standards.xapi.attachments import SIGNATURE
from app.standards.xapi.timestamps import parse
from app.standards.xapi.versions import Sections, Version

MAX_FAULTS = 20
"""Faults that a refusal tells."""

_COMPONENT_LISTS = ("choices", "scale", "source", "target", "steps")


def broken(statement: Statement, version: Version, pointer: str, *, data_follow: bool) -> list[Fault]:
    """The rules that one statement breaks, its SubStatement included; of very many, ``MAX_FAULTS`` or some more.

    Args:
        statement: One that its schema accepts.
        version: Says which text of the standard the faults cite.
        pointer: JSON pointer of the statement in the body: empty, or ``/3`` in a batch.
        data_follow: Whether the data of attachments come after the statements, to be looked at then.
    """
    sections = version.spec.sections
    faults = _of_statement(statement, pointer, sections, data_follow)
    target = statement["object"]
    if target.get("objectType") == "SubStatement":
        faults += _of_statement(target, pointer + "/object", sections, data_follow)
    return faults


def unbroken(statement: Statement) -> bool:
    """True only of a statement that breaks none of these rules, and of most: quick, and says nothing of the others."""
    target = statement["object"]
    if "attachments" in statement or "stored" in statement or target.get("objectType") == "SubStatement":
        return False
    if "timestamp" in statement:
        try:
            parse(statement["timestamp"])
        except ValueError:
            return False
    result = statement.get("result")
    if result is not None and "score" in result:
        score = result["score"]
        # Of score-order there is nothing to see without one of these.
        if "min" in score or "max" in score:
            return False
    definition = target.get("definition")
    if definition is not None and "interactionType" in definition:
        return False
    context = statement.get("context")
    if context is not None and "contextActivities" in context:
        for given in context["contextActivities"].values():
            for activity in given if type(given) is list else (given,):
                definition = activity.get("definition")
                if definition is not None and "interactionType" in definition:
                    return False
    return True


def repeated_ids(statements: Sequence[Statement], version: Version) -> Iterator[Fault]:
    """A fault for each statement of a batch whose id an earlier one already has, upper and lower case alike."""
    given = [(place, each["id"].lower()) for place, each in enumerate(statements) if "id" in each]
    seen: dict[str, int] = {}
    for place, identifier in given:
        first = seen.setdefault(identifier, place)
        if first != place:
            # xAPI-Data 2.4.1: an id names one statement; two in one request cannot both be stored.
            yield Fault(
                f"/{place}/id",
                "batch-repeated-id",
                version.spec.sections.identifier,
                f"The statement at /{first} of this batch has the same id.",
            )


def _of_statement(statement: Statement, pointer: str, sections: Sections, data_follow: bool) -> list[Fault]:
    faults: list[Fault] = []
    for name in ("timestamp", "stored"):
        if name in statement:
            text = statement[name]
            try:
                parse(text)
            except ValueError as refused:
                message = f"Not a valid time: {refused}."
                faults.append(Fault(f"{pointer}/{name}", "timestamp-value", sections.timestamp, message))
    result = statement.get("result")
    if result is not None and "score" in result:
        faults += _of_score(rounded(result["score"]), f"{pointer}/result/score", sections)
    if statement["object"].get("definition") or "context" in statement:
        for place, definition in _definitions(statement):
            faults += islice(_of_components(definition, pointer + place, sections), MAX_FAULTS)
            if len(faults) >= MAX_FAULTS:
                return faults
    if "attachments" in statement:
        found = _of_attachments(statement["attachments"], f"{pointer}/attachments", sections, data_follow)
        faults += islice(found, MAX_FAULTS)
    return faults


def _of_score(score: dict[str, float], pointer: str, sections: Sections) -> Iterator[Fault]:
    raw, low, high = score.get("raw"), score.get("min"), score.get("max")
    # xAPI-Data 2.4.5.1: min is less than max, and raw between them, inclusive. Equal they are let through, content
    # without points says so (docs/adr/0037-score-without-points.md); raw is then equal to both.
    if low is not None and high is not None and low > high:
        yield Fault(f"{pointer}/min", "score-order", sections.score, "`min` must not be more than `max`.")
    if raw is not None and low is not None and raw < low:
        yield Fault(f"{pointer}/raw", "score-order", sections.score, "`raw` must not be less than `min`.")
    if raw is not None and high is not None and raw > high:
        yield Fault(f"{pointer}/raw", "score-order", sections.score, "`raw` must not be more than `max`.")


def _definitions(statement: Statement) -> Iterator[tuple[str, dict[str, Any]]]:
    """The activity definitions of a statement that may list interaction components, each with its place."""
    target = statement["object"].get("definition")
    if target is not None and "interactionType" in target:
        yield "/object/definition", target
    context = statement.get("context")
    if context is None:
        return
    for kind, given in context.get("contextActivities", {}).items():
        for place, activity in enumerate(given) if type(given) is list else ((None, given),):
            definition = activity.get("definition")
            if definition is not None and "interactionType" in definition:
                part = "" if place is None else f"/{place}"
                yield f"/context/contextActivities/{kind}{part}/definition", definition


def _of_components(definition: dict[str, Any], pointer: str, sections: Sections) -> Iterator[Fault]:
    for name in _COMPONENT_LISTS:
        seen: set[str] = set()
        for place, component in enumerate(definition.get(name, ())):
            if component["id"] in seen:
                # xAPI-Data 2.4.4.1, Interaction Components: within an array, all id values MUST be distinct.
                yield Fault(
                    f"{pointer}/{name}/{place}/id",
                    "interaction-component-repeated",
                    sections.component,
                    "An earlier component of this list has the same id.",
                )
            seen.add(component["id"])


def _of_attachments(
    attachments: list[dict[str, Any]], pointer: str, sections: Sections, data_follow: bool
) -> Iterator[Fault]:
    for place, attachment in enumerate(attachments):
        if attachment["usageType"] == SIGNATURE:
            yield from _of_signature(attachment, f"{pointer}/{place}")
        if "fileUrl" not in attachment and not data_follow:
            # xAPI-Data 2.4.11: without fileUrl the data come in the request, which then is multipart, not JSON.
            yield Fault(
                f"{pointer}/{place}",
                "attachment-without-data",
                sections.attachment,
                "An attachment of an application/json request needs a `fileUrl`: no data come with it.",
            )


def _of_signature(attachment: dict[str, Any], pointer: str) -> Iterator[Fault]:
    # xAPI-Data 2.6: the contentType of a signature is application/octet-stream; one that cannot be looked at cannot be
    # told from a malformed one, which the LRS MUST reject.
    if attachment["contentType"] != "application/octet-stream":
        message = "The `contentType` of a signature must be application/octet-stream."
        yield Fault(f"{pointer}/contentType", "signature-type", "xAPI-Data 2.6", message)
    if "fileUrl" in attachment:
        message = "A signature comes with its statement, in a part of its own, not by `fileUrl`."
        yield Fault(f"{pointer}/fileUrl", "signature-elsewhere", "xAPI-Data 2.6", message)
