"""Checks of statements before they are sent (``/api/v1/check``)."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.access import scopes
from app.access.credentials import Access
from app.core.errors import BadParameter, Fault, UnsupportedContentType
from app.standards.xapi.versions import OLDEST, negotiate
from app.traces.ingest.checking import Checking
from app.traces.turns import Turns
from app.web import body
from app.web.api.answers import answer
from app.web.gate import Gate
from app.web.xapi.headers import VERSION


def blueprint(gate: Gate, access: Access, checking: Checking, turns: Turns, max_body_bytes: int) -> Blueprint:
    """The route: whoever may write statements may have them checked, under the profiles and policies of its source."""
    routes = Blueprint("check", __name__)

    @routes.post("/check")
    def check() -> Response:
        sender = gate.sender(scopes.WRITE)
        if request.args:
            raise BadParameter("This resource takes no parameters.")
        source = access.source(sender.source)
        given = request.headers.get(VERSION)
        version = OLDEST if given is None else negotiate(given)
        if (request.mimetype or "").lower() != "application/json":
            message = "Send the statements as application/json."
            raise UnsupportedContentType(message, faults=[Fault("", "content-type", "xAPI-Communication 1.5", message)])
        content = body.read(max_body_bytes)
        with turns.take(len(content)):
            return answer(checking.check(content, source, version))

    return routes
