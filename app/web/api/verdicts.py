"""Verdicts on a source's statements: the feedback that senders need (``/api/v1/verdicts``)."""

from __future__ import annotations

from datetime import UTC, date, datetime

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields

from app.access import scopes
from app.access.reach import Reach, Reaches
from app.core.errors import BadParameter, ScopeMissing
from app.core.given import Day
from app.traces.conformance.asked import Asked
from app.traces.conformance.sessions import Sessions
from app.traces.conformance.verdicts import ConformanceService
from app.traces.quality.arrivals import Arrivals
from app.web.api.answers import answer
from app.web.gate import Gate

ORDERS = {True: "receipt", False: "timestamp"}
MAX_FAULTS = 100


class _Parameters(Schema):
    since = Day(load_default=None)
    source = fields.String(load_default=None)


def blueprint(
    gate: Gate, profiles: ConformanceService, sessions: Sessions, arrivals: Arrivals, reaches: Reaches
) -> Blueprint:
    """The route: a source sees its own counts; a DPO those of any source, named by ``source``; whoever has a perimeter
    those of its sources.
    """
    routes = Blueprint("verdicts", __name__)

    @routes.get("/verdicts")
    def verdicts() -> Response:
        principal = gate.principal(scopes.OWN_QUALITY, scopes.GOVERNANCE_READ, bounded=True)
        try:
            given = _Parameters().load(request.args.to_dict())
        except ValidationError as refused:
            names = ", ".join(sorted(map(str, refused.messages_dict)))
            raise BadParameter(
                f"Not valid: {names}. `since` is a day (2026-11-22), `source` the id of a source."
            ) from None
        source: str | None = given["source"]
        since: date | None = given["since"]
        reach = reaches.of(principal.perimeter)
        if reach is not None:
            sources: Asked = _within(reach, source)
        elif scopes.GOVERNANCE_READ in principal.scopes:
            sources = source
        else:
            if principal.source is None or source not in (None, principal.source):
                raise ScopeMissing("These credentials see the counts of their own source only.")
            sources = principal.source
        lines = [
            {
                "source": count.source,
                "template": count.template or None,
                "outcome": count.outcome,
                "statements": count.statements,
            }
            for count in profiles.counts(sources, since.isoformat() if since else None)
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
            for each in sessions.standings(sources, moment)
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
            for each in sessions.breaks(sources, moment)
        ]
        faults = [
            {
                "source": each.source,
                "pointer": each.pointer,
                "rule": each.rule,
                "section": each.section,
                "message": each.message,
                "refused": each.refused,
                "kept": each.kept,
            }
            for each in arrivals.faults(sources, since, limit=MAX_FAULTS)
        ]
        return answer({"verdicts": lines, "patterns": patterns, "breaks": breaks, "faults": faults})

    return routes


def _within(reach: Reach, source: str | None) -> list[str]:
    """The sources whose counts are told within a reach: the one that is asked for, or all of it."""
    reach.require_something()
    if reach.sources is None or reach.schools is not None or (reach.since, reach.until) != (None, None):
        raise reach.refusal(
            "Verdicts are counted by source and day of receipt, not by school or day of the event.", "verdicts"
        )
    if source is None:
        return sorted(reach.sources)
    if source not in reach.sources:
        raise reach.refusal("This source is outside the perimeter of this key.", "source")
    return [source]


def _microseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
