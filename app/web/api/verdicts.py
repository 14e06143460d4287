"""Verdicts on a source's statements: the feedback that senders need (``/api/v1/verdicts``)."""

from __future__ import annotations

from datetime import UTC, date, datetime

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields

from app.access import scopes
from app.core.errors import BadParameter, ScopeMissing
from app.core.given import Day
from app.traces.conformance.sessions import Sessions
from app.traces.conformance.verdicts import ConformanceService
from app.web.api.answers import answer
from app.web.gate import Gate

ORDERS = {True: "receipt", False: "timestamp"}


class _Parameters(Schema):
    since = Day(load_default=None)
    source = fields.String(load_default=None)


def blueprint(gate: Gate, profiles: ConformanceService, sessions: Sessions) -> Blueprint:
    """The route: a source sees its own counts; a DPO those of any source, named by ``source``."""
    routes = Blueprint("verdicts", __name__)

    @routes.get("/verdicts")
    def verdicts() -> Response:
        principal = gate.principal(scopes.OWN_QUALITY, scopes.GOVERNANCE_READ)
        try:
            given = _Parameters().load(request.args.to_dict())
        except ValidationError as refused:
            names = ", ".join(sorted(map(str, refused.messages_dict)))
            raise BadParameter(
                f"Not valid: {names}. `since` is a day (2026-11-22), `source` the id of a source."
            ) from None
        source: str | None = given["source"]
        since: date | None = given["since"]
        if scopes.GOVERNANCE_READ not in principal.scopes:
            if principal.source is None or source not in (None, principal.source):
                raise ScopeMissing("These credentials see the counts of their own source only.")
            source = principal.source
        counts = profiles.counts(source, since.isoformat() if since else None)
        lines = [
            {
                "source": count.source,
                "template": count.template or None,
                "outcome": count.outcome,
                "statements": count.statements,
            }
            for count in counts
        ]
        moment = None if since is None else _microseconds(since)
        patterns = [
            {
                "source": each.source,
                "profile": each.profile,
                "pattern": each.pattern,
                "order": ORDERS[each.live],
                "outcome": each.outcome,
                "sessions": each.sessions,
            }
            for each in sessions.standings(source, moment)
        ]
        breaks = [
            {
                "source": each.source,
                "pattern": each.pattern,
                "order": ORDERS[each.live],
                "wanted": [*each.wanted],
                "found": [*each.found],
                "sessions": each.sessions,
            }
            for each in sessions.breaks(source, moment)
        ]
        return answer({"verdicts": lines, "patterns": patterns, "breaks": breaks})

    return routes


def _microseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
