"""The About resource: ``/xAPI/about`` (xAPI-Communication 2.8)."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, jsonify

from app.standards.xapi.versions import SUPPORTED
from app.web.xapi import headers

# The key of the extension: what a sender must know to cut its batches, a reader to choose its `limit`.
LIMITS = "urn:sillage:limits"
ENDPOINT = "xapi_about.about"


def blueprint(limits: Mapping[str, int]) -> Blueprint:
    """The route of the resource; it needs no credentials, and answers whatever version a request names.

    Args:
        limits: What this installation takes and gives at most, by name; shown as the extension ``LIMITS``.
    """
    routes = Blueprint("xapi_about", __name__)

    @routes.get("/about")
    def about() -> Response:
        # Whoever asks which versions there are may speak none of them.
        headers.whatever_version()
        answer = jsonify({"version": [version.value for version in SUPPORTED], "extensions": {LIMITS: dict(limits)}})
        # Which version it is answered in is all that depends on the request; caches may keep it.
        answer.vary.add(headers.VERSION)
        return answer

    return routes
