"""Governance: the register, what is kept and due, and the audit log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields, validate

from app.access.scopes import GOVERNANCE_READ, RIGHTS
from app.core import clock
from app.core.errors import BadParameter, Fault
from app.core.given import Instant, Number, TextNumber
from app.governance.audit.log import AUDIT_READ, KINDS, Audit, readable
from app.governance.audit.store import Entry
from app.governance.register.service import ProcessingActivity, Register
from app.people.audit_search import MAX_AGENT_BYTES, AuditSearch, Wanted
from app.retention.service import Retention
from app.web.api import asked
from app.web.api.answers import answer, instant
from app.web.gate import Gate


class _NoParameters(Schema):
    """These routes take none."""


class _AuditParameters(Schema):
    kind = fields.String(validate=validate.OneOf(sorted(KINDS)))
    before = Instant()
    limit = TextNumber(load_default=100, validate=validate.Range(1, 1_000))
    cursor = fields.String(load_default=None, validate=validate.Length(1, 2_000))


class _SearchBody(Schema):
    person = fields.List(fields.Raw(), validate=validate.Length(1, 20), load_default=None)
    actor = fields.String(validate=validate.Length(1, 100), load_default=None)
    kinds = fields.List(fields.String(validate=validate.OneOf(sorted(KINDS))), load_default=list)
    since = Instant(load_default=None)
    before = Instant(load_default=None)
    limit = Number(load_default=100, validate=validate.Range(1, 1_000))
    cursor = fields.String(load_default=None, validate=validate.Length(1, 2_000))


def blueprint(
    gate: Gate,
    retention: Retention,
    register: Register,
    audit: Audit,
    search: AuditSearch,
    labels: Callable[[], Callable[[str], str]],
) -> Blueprint:
    """Routes to mount under ``/api/v1``: ``retention``, ``processing-activities``, ``audit``, and those below these.

    ``labels`` says what credentials are called.
    """
    routes = Blueprint("governance", __name__)

    @routes.get("/retention")
    def _retention() -> Response:
        gate.principal(GOVERNANCE_READ)
        _parameters(_NoParameters())
        now = clock.now_us()
        activities = {activity.id: activity for activity in register.list(now)}
        lines: list[dict[str, object]] = []
        for line in retention.report(now):
            rule = activities[line.activity].retention
            lines.append(
                {
                    "processing_activity": line.activity,
                    "name": activities[line.activity].name._asdict(),
                    "source": line.source,
                    "kept": line.kept,
                    "oldest": instant(line.oldest),
                    "oldest_until": instant(line.oldest_until),
                    "due": line.due,
                    "overdue": line.overdue,
                    "active_days": line.active_days,
                    "cutoff": instant(line.cutoff),
                    "account_closed_months": line.account_closed_months,
                    "accounts_closed": line.accounts_closed,
                    "accounts_due": line.accounts_due,
                    "closed_due": line.closed_due,
                    "documents": line.documents,
                    "documents_oldest": instant(line.documents_oldest),
                    "documents_oldest_until": instant(line.documents_oldest_until),
                    "documents_due": line.documents_due,
                    "documents_overdue": line.documents_overdue,
                    "documents_closed_due": line.documents_closed_due,
                    "concerns_minors": line.concerns_minors,
                    "minors": line.minors,
                    "minors_reason": line.minors_reason or None,
                    "justification": rule.justification._asdict(),
                }
            )
        overdue = [
            {"processing_activity": one.id, "review_by": None if one.review_by is None else one.review_by.isoformat()}
            for one in register.overdue_reviews()
        ]
        return answer({"as_of": instant(now), "lines": lines, "reviews_overdue": overdue})

    @routes.get("/processing-activities")
    def _processing_activities() -> Response:
        gate.principal(GOVERNANCE_READ)
        _parameters(_NoParameters())
        return answer(
            {
                "processing_activities": [_entry_of_register(activity) for activity in register.list()],
                "planned": [_entry_of_register(activity) for activity in register.planned()],
            }
        )

    @routes.get("/processing-activities/<identifier>")
    def _processing_activity(identifier: str) -> Response:
        gate.principal(GOVERNANCE_READ)
        _parameters(_NoParameters())
        current = register.get(identifier)
        versions = [
            {
                "version": version.version,
                "added": instant(version.added),
                "in_force_from": version.in_force_from.isoformat(),
            }
            for version in register.history(identifier)
        ]
        return answer(_entry_of_register(current) | {"versions": versions})

    @routes.get("/audit")
    def _audit() -> Response:
        principal = gate.principal(GOVERNANCE_READ)
        wanted = _parameters(_AuditParameters())
        kinds = [wanted["kind"]] if "kind" in wanted else []
        before = round(wanted["before"].timestamp() * 1_000_000) if "before" in wanted else None
        # Who looked at whose reading is itself something to be accountable for (GDPR art. 5(2)).
        audit.append(AUDIT_READ, principal.id, {"kinds": kinds, "limit": wanted["limit"]})
        page = audit.page(kinds, before, wanted["cursor"], wanted["limit"])
        label = labels()
        return answer({"entries": [_entry_of_audit(entry, label) for entry in page.entries], "next": page.next})

    @routes.post("/audit/search")
    def _audit_search() -> Response:
        # By POST: who is searched for stands in the body, not in a URL that proxies keep.
        principal = gate.principal(GOVERNANCE_READ)
        said = asked.document(_SearchBody(), MAX_AGENT_BYTES)
        wanted = Wanted(
            said["person"],
            said["actor"],
            said["kinds"],
            _us(said["since"]),
            _us(said["before"]),
            RIGHTS in principal.scopes,
        )
        page = search.find(wanted, said["cursor"], said["limit"], who=principal.id)
        label = labels()
        behind = [{"host": one.host, "since": instant(one.since), "alive": one.lives} for one in audit.spools.behind()]
        entries = [_entry_of_audit(entry, label) for entry in page.entries]
        return answer({"entries": entries, "next": page.next, "behind": behind})

    return routes


def _parameters(schema: Schema) -> dict[str, Any]:
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise BadParameter(
            "A parameter is there twice.",
            faults=[Fault("", "repeated", "", f"{name} is there twice") for name in repeated if name in schema.fields],
        )
    try:
        loaded: dict[str, Any] = dict(schema.load(request.args.to_dict()))
    except ValidationError as refused:
        known = sorted(name for name in refused.messages_dict if name in schema.fields)
        takes = ", ".join(sorted(schema.fields)) or "none"
        detail = f"Not valid: {', '.join(known)}. " if known else "A parameter is not known here. "
        raise BadParameter(f"{detail}This resource takes: {takes}.") from None
    return loaded


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000_000)


def _entry_of_register(activity: ProcessingActivity) -> dict[str, object]:
    return {
        "id": activity.id,
        "version": activity.version,
        "added": instant(activity.added),
        "document": activity.document,
    }


def _entry_of_audit(entry: Entry, label: Callable[[str], str]) -> dict[str, object]:
    return {
        "chain": entry.chain,
        "n": entry.n,
        "at": instant(entry.at),
        "kind": entry.kind,
        "actor": entry.actor,
        "actor_label": label(entry.actor),
        "detail": readable(entry.detail),
    }
