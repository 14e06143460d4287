"""The Agents resource: ``/xAPI/agents`` (xAPI-Communication 2.4)."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response

from app.access import scopes
from app.access.reach import Reaches
from app.standards.xapi.lookup import parse_agent
from app.traces.queries.agents import AgentQueries
from app.web import parameters
from app.web.gate import Gate
from app.web.xapi import headers
from app.web.xapi.reading import reader


def blueprint(gate: Gate, queries: AgentQueries, reaches: Reaches) -> Blueprint:
    """The route of the resource: whoever may read statements may ask; a reading that the audit log keeps."""
    routes = Blueprint("xapi_agents", __name__)

    @routes.get("/agents")
    def agents() -> Response:
        principal = gate.principal(scopes.READ, scopes.READ_MINE, bounded=True)
        who = reader(principal, headers.version(), reaches)
        agent, identifier = parse_agent(parameters.given())
        return Response(orjson.dumps(queries.person(agent, identifier, who)), content_type="application/json")

    return routes
