"""The Activities resource: ``/xAPI/activities`` (xAPI-Communication 2.5)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.access import scopes
from app.access.reach import Reaches
from app.core import lossless
from app.standards.xapi.lookup import parse_activity
from app.traces.queries.statements import StatementQueries
from app.traces.statements.activities import Activities
from app.web import parameters
from app.web.gate import Gate
from app.web.xapi import headers
from app.web.xapi.reading import reader


def blueprint(gate: Gate, activities: Activities, statement_queries: StatementQueries, reaches: Reaches) -> Blueprint:
    """The route of the resource: whoever may read statements may ask; within a perimeter, of what these name."""
    routes = Blueprint("xapi_activities", __name__)

    @routes.get("/activities")
    def described() -> Response:
        principal = gate.principal(scopes.READ, scopes.READ_MINE, bounded=True)
        spoken = headers.version()
        id = parse_activity(parameters.given())
        if not principal.perimeter.unbounded:
            statement_queries.require_named(id, reader(principal, spoken, reaches))
        # IEEE 9274.1.1 4.1.6.4: an Activity that nothing is known of is answered all the same.
        activity: dict[str, Any] = {"objectType": "Activity", "id": id}
        for _, definition in activities.definitions([id]):
            activity["definition"] = definition
        return Response(lossless.dumps(activity), content_type="application/json")

    return routes
