"""The document resources: ``/xAPI/activities/state``, ``/xAPI/activities/profile``, ``/xAPI/agents/profile``."""

from __future__ import annotations

from datetime import datetime

import orjson
from flask import Blueprint, Response, request

from app.access import scopes
from app.access.credentials import Access
from app.core.errors import BadRequest, Fault, PreconditionFailed
from app.standards.xapi.documents import Conditions, Content, Resource, conditions, etag, parse_place
from app.traces.documents.service import MAX_DOCUMENT_BYTES, Documents
from app.web import body, parameters
from app.web.gate import Gate
from app.web.xapi import headers

_UNNAMED_TYPE = "application/octet-stream"


def blueprint(*, gate: Gate, access: Access, documents: Documents, max_body_bytes: int) -> Blueprint:
    """The routes of the three resources."""
    routes = Blueprint("xapi_documents", __name__)
    largest = min(max_body_bytes, MAX_DOCUMENT_BYTES)
    for resource, path, scope in (
        (Resource.STATE, "/activities/state", scopes.STATE),
        (Resource.ACTIVITY_PROFILE, "/activities/profile", scopes.PROFILE),
        (Resource.AGENT_PROFILE, "/agents/profile", scopes.PROFILE),
    ):
        _mount(routes, resource, path, scope, gate, access, documents, largest)
    return routes


def _mount(
    routes: Blueprint,
    resource: Resource,
    path: str,
    scope: str,
    gate: Gate,
    access: Access,
    documents: Documents,
    largest: int,
) -> None:
    def stored(source: str, faults: tuple[Fault, ...]) -> Response:
        answer = Response(status=204)
        # As of statements: what the source promised and did not keep is told at once in the mode ``warn``.
        if faults and access.source(source).mode == "warn":
            answer.headers[headers.VERDICT] = "documents=1"
        return answer

    def get() -> Response:
        # xAPI-Communication 4.2: all/read reads everything; `all` holds every one of these scopes.
        principal = gate.principal(scope, scopes.ALL_READ)
        headers.version()
        place = parse_place(resource, "GET", parameters.given())
        asked = _conditions()
        if place.id is None:
            listing = documents.ids(place, actor=principal.id)
            content = Content("application/json", orjson.dumps(listing.ids))
            return _answer(content, etag(content.body), listing.updated, asked)
        found = documents.read(place, actor=principal.id)
        return _answer(found.content, found.etag, found.updated, asked)

    def put() -> Response:
        sender = gate.sender(scope)
        version = headers.version()
        place = parse_place(resource, "PUT", parameters.given())
        who = {"source": sender.source, "actor": sender.id}
        return stored(sender.source, documents.put(place, _content(largest), _conditions(), version, **who))

    def post() -> Response:
        sender = gate.sender(scope)
        headers.version()
        place = parse_place(resource, "POST", parameters.given())
        who = {"source": sender.source, "actor": sender.id}
        return stored(sender.source, documents.merge(place, _content(largest), _conditions(), **who))

    def delete() -> Response:
        sender = gate.sender(scope)
        headers.version()
        place = parse_place(resource, "DELETE", parameters.given())
        asked = _conditions()
        if place.id is not None:
            documents.delete(place, asked, actor=sender.id)
        elif asked.given:
            message = "An entity tag is of one document: name it, or delete all without If-Match and If-None-Match."
            raise BadRequest(message, faults=[Fault("", "precondition-single", "xAPI-Communication 3.1", message)])
        else:
            documents.delete_all(place, actor=sender.id)
        return Response(status=204)

    for method, view in {"GET": get, "PUT": put, "POST": post, "DELETE": delete}.items():
        # Flask answers HEAD as GET without the content.
        routes.add_url_rule(path, f"{resource.value}_{view.__name__}", view, methods=[method])


def _answer(content: Content, tag: str, updated: datetime | None, asked: Conditions) -> Response:
    if asked.match_fails(tag):
        raise PreconditionFailed("The document has another ETag than those of If-Match.")
    answer = Response(status=304) if asked.none_match_fails(tag) else Response(content.body, content_type=content.type)
    answer.set_etag(tag)
    answer.last_modified = updated
    # A document is whatever its sender made it: a browser must not run it as a page of this server.
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return answer


def _conditions() -> Conditions:
    return conditions(request.headers.get("If-Match"), request.headers.get("If-None-Match"))


def _content(largest: int) -> Content:
    return Content(request.headers.get("Content-Type") or _UNNAMED_TYPE, body.read(largest))
