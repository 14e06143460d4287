"""The Statements resource: ``/xAPI/statements``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

import orjson
from flask import Blueprint, Response, g, request

from app.access import scopes
from app.access.credentials import Access, Credential
from app.errors import BadParameter, Fault, ScopeMissing, UnsupportedContentType
from app.ingest.querying import Library, Page, Reader
from app.ingest.recording import Recorded, Recorder
from app.web import body, parameters
from app.web.gate import Gate
from app.web.operations import Metrics
from app.web.xapi import headers
from app.xapi.query import parse_put, parse_query

VERDICT = "X-Sillage-Profile-Verdict"


def blueprint(
    *,
    gate: Gate,
    access: Access,
    recorder: Recorder,
    library: Library,
    audit: Callable[[str, str, Mapping[str, object]], object],
    metrics: Metrics,
    max_body_bytes: int,
    page_limit: int,
    prefix: str,
) -> Blueprint:
    """The routes of the resource. ``audit(kind, actor, detail)`` records a reading, durably."""
    routes = Blueprint("xapi_statements", __name__)

    def record(only: UUID | None) -> Recorded:
        credential = gate.credential(scopes.WRITE)
        if credential.source is None:
            raise ScopeMissing("Only the credentials of a source may write statements.")
        source = access.source(credential.source)
        spoken = headers.version()
        _json_only()
        recorded = recorder.record(
            body.read(max_body_bytes), source, spoken, only=only, void_any=scopes.ALL in credential.scopes
        )
        metrics.written(stored=len(recorded.inserted.stored), repeated=len(recorded.inserted.repeated))
        # What the source promised and did not keep: told at once in the mode ``warn``.
        g.verdicts = recorded.verdicts if source.mode == "warn" else {}
        return recorded

    @routes.post("/statements")
    def post() -> Response:
        if request.args:
            raise BadParameter("POST takes no query parameters here.")
        recorded = record(None)
        return _told(
            Response(orjson.dumps([str(identity) for identity in recorded.ids]), content_type="application/json")
        )

    @routes.put("/statements")
    def put() -> Response:
        record(parse_put(parameters.given()))
        return _told(Response(status=204))

    @routes.get("/statements")
    def get() -> Response:
        credential = gate.credential(scopes.READ, scopes.READ_MINE)
        spoken = headers.version()
        # Read before the query: the answer holds everything stored up to this.
        g.consistent_through = library.consistent_through()
        who = Reader(credential.id, None if scopes.READ in credential.scopes else _own(credential), spoken)
        given = parameters.given()
        languages = [language for language, _ in request.accept_languages]
        cursor = dict(given).get("cursor")
        if cursor is not None:
            if len(given) > 1:
                raise BadParameter("A cursor comes alone: follow the `more` link as it was given.")
            query, page = library.next_page(cursor, who, languages=languages)
            return listed(page, credential, query.format)
        query = parse_query(given, page_limit=page_limit)
        single = query.statement_id or query.voided_statement_id
        if single is not None:
            found = library.one(
                single,
                who,
                voided=query.statement_id is None,
                form=query.format,
                as_kept=query.as_kept,
                languages=languages,
            )
            audit("statements-read", credential.id, {"statement": str(single), "count": 1})
            metrics.returned(1)
            return Response(found, content_type="application/json")
        return listed(library.page(query, who, languages=languages), credential, query.format)

    def listed(page: Page, credential: Credential, form: str) -> Response:
        detail = {"tokens": [*page.tokens], "count": len(page.bodies), "first": page.first, "last": page.last}
        # Before the answer: whoever got data left a trace of it.
        audit("statements-read", credential.id, {**detail, "format": form})
        metrics.returned(len(page.bodies))
        more = f"{prefix}/statements?cursor={page.cursor}" if page.cursor else ""
        content = b'{"statements":[' + b",".join(page.bodies) + b'],"more":' + orjson.dumps(more) + b"}"
        return Response(content, content_type="application/json")

    return routes


def _own(credential: Credential) -> str:
    if credential.source is None:
        raise ScopeMissing("These credentials belong to no source, so there are no statements of their own to read.")
    return credential.source


def _told(answer: Response) -> Response:
    if g.verdicts:
        answer.headers[VERDICT] = ", ".join(f"{name}={count}" for name, count in sorted(g.verdicts.items()))
    return answer


def _json_only() -> None:
    kind = (request.mimetype or "").lower()
    if kind != "application/json":
        raise UnsupportedContentType(
            "Send statements as application/json.",
            faults=[Fault("", "content-type", "xAPI-Communication 1.5", "Only application/json is taken here.")],
        )
