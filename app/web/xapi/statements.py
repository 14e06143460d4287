"""The Statements resource: ``/xAPI/statements``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from uuid import UUID

import orjson
from flask import Blueprint, Response, g, request

from app.access import scopes
from app.access.credentials import Access
from app.access.principals import Principal
from app.access.reach import Reaches
from app.core.audit_sink import AuditSink
from app.core.errors import BadParameter
from app.standards.xapi import languages
from app.standards.xapi.query import CURSOR, parse_following, parse_put, parse_query
from app.traces.ingest.recording import Recorded, Recorder
from app.traces.queries.statements import Page, StatementQueries
from app.traces.statements.attachments import Part
from app.traces.turns import Turns
from app.web import body, parameters
from app.web.gate import Gate
from app.web.operations import Metrics
from app.web.xapi import answers, headers, submitted
from app.web.xapi.reading import reader

# What statements take decoded, in the size of their JSON: small values cost most.
_DECODED_TIMES = 16
# So that the largest one is not always without room beside others.
_MAX_COUNTED_BYTES = 24 * 1024 * 1024


def blueprint(
    *,
    gate: Gate,
    access: Access,
    reaches: Reaches,
    recorder: Recorder,
    statement_queries: StatementQueries,
    audit: AuditSink,
    metrics: Metrics,
    turns: Turns,
    max_body_bytes: int,
    max_attachments_bytes: int,
    page_limit: int,
    prefix: str,
) -> Blueprint:
    """The routes of the resource. ``audit`` takes an entry for each reading."""
    routes = Blueprint("xapi_statements", __name__)

    def record(address: Callable[[], UUID | None]) -> Recorded:
        sender = gate.sender(scopes.WRITE)
        source = access.source(sender.source)
        # Only now: a stranger is told nothing else.
        only = address()
        spoken = headers.version()
        content, parts = submitted.read(max_body_bytes, max_attachments_bytes)
        if parts is not None:
            # They wait for their attachments as long as these take, decoded.
            body.hold(max(len(content), min(len(content) * _DECODED_TIMES, _MAX_COUNTED_BYTES)))
        with ExitStack() as turn:
            turn.enter_context(turns.take(len(content)))
            recorded = recorder.record(
                content,
                source,
                spoken,
                only=only,
                void_any=scopes.ALL in sender.scopes,
                parts=None if parts is None else awaited(parts, turn, len(content)),
                compared=lambda foreign: audit.append(
                    "statements-read", sender.id, {**_named(foreign), "count": len(foreign), "compared": True}
                ),
            )
        metrics.written(stored=len(recorded.inserted.stored), repeated=len(recorded.inserted.repeated))
        # What the source promised and did not keep: told at once in the mode ``warn``.
        g.verdicts = recorded.verdicts if source.mode == "warn" else {}
        return recorded

    def awaited(parts: Iterator[Part], turn: ExitStack, size: int) -> Iterator[Part]:
        """The data of attachments, without the turn while they come: a slow sender would keep it."""
        turn.close()
        yield from parts
        turn.enter_context(turns.take(size))

    @routes.post("/statements")
    def post() -> Response:
        recorded = record(_unaddressed)
        return _with_verdicts(Response(orjson.dumps([str(id) for id in recorded.ids]), content_type="application/json"))

    @routes.put("/statements")
    def put() -> Response:
        record(lambda: parse_put(parameters.given()))
        return _with_verdicts(Response(status=204))

    @routes.get("/statements")
    def get() -> Response:
        principal = gate.principal(scopes.READ, scopes.READ_MINE, bounded=True)
        spoken = headers.version()
        # Read before the query: the answer holds everything stored up to this.
        g.consistent_through = statement_queries.consistent_through()
        who = reader(principal, spoken, reaches)
        given = parameters.given()
        wanted = languages.parse(request.headers.get("Accept-Language"))
        if any(name == CURSOR for name, _ in given):
            cursor, repeated = parse_following(given, page_limit=page_limit)
            return listed(statement_queries.next_page(cursor, who, repeated=repeated, languages=wanted), principal)
        query = parse_query(given, page_limit=page_limit)
        single = query.statement_id or query.voided_statement_id
        if single is not None:
            found = statement_queries.one(
                single,
                who,
                voided=query.statement_id is None,
                form=query.format,
                as_kept=query.as_kept,
                languages=wanted,
                attachments=query.attachments,
            )
            audit.append("statements-read", principal.id, {**_named({single: found.subject}), "count": 1})
            metrics.returned(1)
            answer = answers.statements(found.body, found.data if query.attachments else None)
            # IEEE 9274.1.1 4.1.6.1: the instant in `stored`, to the second as HTTP has it.
            answer.last_modified = datetime.fromtimestamp(found.stored // 1_000_000, UTC)
            return answer
        return listed(statement_queries.page(query, who, languages=wanted), principal)

    def listed(page: Page, principal: Principal) -> Response:
        detail = {"tokens": [*page.tokens], "count": len(page.bodies), "first": page.first, "last": page.last}
        # Before the answer: whoever got data left a trace of it.
        audit.append("statements-read", principal.id, {**detail, "format": page.form})
        metrics.returned(len(page.bodies))
        more = f"{prefix}/statements?cursor={page.cursor}" if page.cursor else ""
        # Joined once: a page may have tens of megabytes.
        pieces = [b","] * (2 * len(page.bodies) - 1)
        pieces[::2] = page.bodies
        content = b"".join((b'{"statements":[', *pieces, b'],"more":', orjson.dumps(more), b"}"))
        return answers.statements(content, page.data)

    return routes


def _named(statements: Mapping[UUID, bytes]) -> dict[str, object]:
    """Statements by ids, and the tokens of their learners, as the audit log names them."""
    if len(statements) == 1:
        ((id, subject),) = statements.items()
        return {"statement": str(id), "subject": subject.hex()}
    return {"tokens": sorted({subject.hex() for subject in statements.values()})}


def _unaddressed() -> None:
    if request.args:
        raise BadParameter("POST takes no query parameters here.")


def _with_verdicts(answer: Response) -> Response:
    if g.verdicts:
        answer.headers[headers.VERDICT] = ", ".join(f"{name}={count}" for name, count in sorted(g.verdicts.items()))
    return answer
