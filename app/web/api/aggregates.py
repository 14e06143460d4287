"""What researchers read: the list of aggregates, and their protected cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields, validate

from app.errors import BadParameter, Fault
from app.research.aggregates import PAGE_LIMIT, Aggregates, Answer, Query, described
from app.web.gate import Gate

SCOPE = "research/read"
READ = "aggregate-read"

Audited = Callable[[str, str, Mapping[str, object]], None]


class _Parameters(Schema):
    first = fields.Date(data_key="from", format="iso")
    last = fields.Date(data_key="to", format="iso")
    by = fields.String()
    limit = fields.Integer(strict=False, load_default=1_000, validate=validate.Range(1, PAGE_LIMIT))
    cursor = fields.String(validate=validate.Length(1, 2_000))


def blueprint(gate: Gate, aggregates: Aggregates, audit: Audited) -> Blueprint:
    """Routes ``/aggregates`` and ``/aggregates/<name>``; ``audit`` takes (kind, credential id, detail)."""
    routes = Blueprint("aggregates", __name__)

    @routes.get("/aggregates")
    def _list() -> Response:
        gate.credential(SCOPE)
        if request.args:
            raise BadParameter("This resource takes no parameters.")
        lines = [
            {**described(line.definition), "as_of": _instant(line.as_of), "complete": line.complete}
            for line in aggregates.status()
        ]
        return _answer({"aggregates": lines})

    @routes.get("/aggregates/<name>")
    def _cells(name: str) -> Response:
        credential = gate.credential(SCOPE)
        dimensions = aggregates.served(name)[0].dimension_names
        query = _query(name, dimensions)
        answer = aggregates.query(query)
        # Figures go out only once their reading is on record. The values of filters stay out of it.
        audit(
            READ,
            credential.id,
            {
                "aggregate": answer.definition.id,
                "from": query.first and query.first.isoformat(),
                "to": query.last and query.last.isoformat(),
                "by": list(query.by if query.by is not None else dimensions),
                "filtered": [dimension for dimension, _ in query.where],
                "rows": len(answer.rows),
            },
        )
        return _answer(_shown(answer))

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


def _shown(answer: Answer) -> dict[str, object]:
    definition = answer.definition
    return {
        "name": definition.name,
        "version": definition.version,
        "title": definition.title._asdict(),
        "period": definition.period,
        "as_of": _instant(answer.as_of),
        "minimum_group": answer.minimum_group,
        "rows": answer.rows,
        "next": answer.next,
    }


def _answer(document: object) -> Response:
    answer = Response(orjson.dumps(document), content_type="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _instant(microseconds: int | None) -> str | None:
    if microseconds is None:
        return None
    moment = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
