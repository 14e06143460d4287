"""The About resource: ``/xAPI/about`` (xAPI-Communication 2.8)."""

from __future__ import annotations

from flask import Blueprint, Response, g, jsonify, request

from app.web.xapi import headers
from app.xapi.versions import SUPPORTED


def blueprint() -> Blueprint:
    """The route of the resource; it needs neither credentials nor a version header."""
    routes = Blueprint("xapi_about", __name__)

    @routes.get("/about")
    def about() -> Response:
        if request.headers.get(headers.VERSION):
            g.xapi_version = headers.version().value
        return jsonify({"version": [version.value for version in SUPPORTED]})

    return routes
