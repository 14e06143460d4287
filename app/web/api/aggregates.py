"""Aggregates for researchers: their list, and their protected cells."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields, validate

from app.access.scopes import RESEARCH
from app.core.errors import BadParameter, Fault
from app.core.given import Day, TextNumber
from app.research.aggregates import PAGE_LIMIT, Aggregates, Answer, Query, described
from app.research.readings import AggregateReadings
from app.web.api.answers import answer, instant
from app.web.gate import Gate


class _Parameters(Schema):
    first = Day(data_key="from")
    last = Day(data_key="to")
    by = fields.String()
    limit = TextNumber(load_default=1_000, validate=validate.Range(1, PAGE_LIMIT))
    cursor = fields.String(validate=validate.Length(1, 2_000))


def blueprint(gate: Gate, aggregates: Aggregates, readings: AggregateReadings) -> Blueprint:
    """Routes ``/aggregates`` and ``/aggregates/<name>``."""
    routes = Blueprint("aggregates", __name__)

    @routes.get("/aggregates")
    def _list() -> Response:
        principal = gate.principal(RESEARCH, bounded=True)
        if request.args:
            raise BadParameter("This resource takes no parameters.")
        lines = [
            {**described(line.definition), "as_of": instant(line.as_of), "complete": line.complete}
            for line in readings.status(principal)
        ]
        return answer({"aggregates": lines})

    @routes.get("/aggregates/<name>")
    def _cells(name: str) -> Response:
        principal = gate.principal(RESEARCH, bounded=True)
        dimensions = aggregates.served(name)[0].dimension_names
        found = readings.read(principal, _query(name, dimensions))
        return answer(_shown(found))

    return routes


def _query(name: str, dimensions: tuple[str, ...]) -> Query:
    for parameter, values in request.args.lists():
        if len(values) > 1 and parameter in {*dimensions, *_NAMES}:
            raise _bad(parameter, "it is there twice; once is allowed")
    given = request.args.to_dict()
    where = tuple((dimension, given.pop(dimension)) for dimension in dimensions if dimension in given)
    try:
        loaded: dict[str, Any] = dict(_Parameters().load(given))
    except ValidationError as refused:
        wrong = sorted(parameter for parameter in refused.messages_dict if parameter in _NAMES)
        if wrong:
            raise _bad(wrong[0], _FORMS[wrong[0]]) from None
        raise BadParameter(
            f"A parameter is not known here. This aggregate takes: {', '.join([*_NAMES, *dimensions])}."
        ) from None
    by = loaded.get("by")
    return Query(
        name,
        loaded.get("first"),
        loaded.get("last"),
        None if by is None else tuple(part for part in by.split(",") if part),
        where,
        loaded["limit"],
        loaded.get("cursor"),
    )


_FORMS = {
    "from": "it is a day, for example 2026-09-01",
    "to": "it is a day, for example 2026-09-30",
    "by": "it is a list of dimensions, separated by commas",
    "limit": f"it is a number from 1 to {PAGE_LIMIT}",
    "cursor": "it is the `next` of an answer",
}
_NAMES = tuple(_FORMS)


def _bad(parameter: str, message: str) -> BadParameter:
    return BadParameter(
        f"`{parameter}` is not valid: {message}.", faults=[Fault(f"/{parameter}", "parameter", "", message)]
    )


def _shown(found: Answer) -> dict[str, object]:
    definition = found.definition
    return {
        "name": definition.name,
        "version": definition.version,
        "title": definition.title._asdict(),
        "period": definition.period,
        "as_of": instant(found.as_of),
        "minimum_group": found.minimum_group,
        "rows": found.rows,
        "next": found.next,
    }
