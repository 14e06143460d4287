"""Data-subject requests (``/api/v1/requests``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields, validate

from app.access.scopes import GOVERNANCE_READ, RIGHTS
from app.core.errors import BadParameter
from app.core.given import Day, TextNumber
from app.people.requests.service import MAX_LISTED, DataSubjectRequests
from app.people.requests.steps import KINDS, PENDING, STATUSES, DataSubjectRequest
from app.web.api import asked
from app.web.api.answers import answer, instant
from app.web.gate import Gate


class _Listing(Schema):
    status = fields.String(validate=validate.OneOf(STATUSES))
    due_within = fields.String(validate=validate.Regexp(r"^[0-9]{1,4}d\Z"))
    limit = TextNumber(load_default=100, validate=validate.Range(1, MAX_LISTED))


class _Opening(Schema):
    kind = fields.String(required=True, validate=validate.OneOf(KINDS))
    agents = fields.List(fields.Raw(), required=True)
    received = Day(load_default=None)
    note = fields.String(load_default="", validate=validate.Length(max=10_000))


class _Noting(Schema):
    note = fields.String(load_default="", validate=validate.Length(max=10_000))


class _Reasoning(Schema):
    reason = fields.String(required=True, validate=validate.Length(1, 10_000))


def blueprint(gate: Gate, requests: DataSubjectRequests, labels: Callable[[], Callable[[str], str]]) -> Blueprint:
    """Routes ``/requests``, ``/requests/<identifier>`` and its steps. ``labels`` says what credentials are called."""
    routes = Blueprint("requests", __name__)

    @routes.get("/requests")
    def _list() -> Response:
        gate.principal(GOVERNANCE_READ, RIGHTS)
        given = request.args.to_dict()
        if len(given) < sum(len(values) for _, values in request.args.lists()):
            raise BadParameter("A parameter is there twice.")
        try:
            wanted: dict[str, Any] = dict(_Listing().load(given))
        except ValidationError:
            raise BadParameter(
                "This resource takes `status`, `due_within` (a number of days such as 7d), and `limit` (from 1 to "
                f"{MAX_LISTED})."
            ) from None
        statuses = [wanted["status"]] if "status" in wanted else PENDING
        within = int(wanted["due_within"][:-1]) if "due_within" in wanted else None
        lines = [
            one._asdict()
            | {
                "received": one.received.isoformat(),
                "due": one.due.isoformat(),
                "answered": None if one.answered is None else one.answered.isoformat(),
            }
            for one in requests.list(statuses, within, wanted["limit"])
        ]
        return answer({"requests": lines, "standing": requests.standing()._asdict()})

    @routes.post("/requests")
    def _open() -> Response:
        principal = gate.principal(RIGHTS)
        said = asked.document(_Opening())
        found = requests.open(
            said["kind"],
            asked.data_subject(said["agents"]),
            received=said["received"],
            note=said["note"],
            actor=principal.id,
        )
        made = answer(_shown(found, labels()))
        made.status_code = 201
        made.headers["Location"] = f"/api/v1/requests/{found.id}"
        return made

    @routes.get("/requests/<identifier>")
    def _one(identifier: str) -> Response:
        principal = gate.principal(RIGHTS)
        if request.args:
            raise BadParameter("This resource takes no parameters.")
        return answer(_shown(requests.show(identifier, actor=principal.id), labels()))

    def step(name: str, schema: Schema, take: Callable[[str, str, dict[str, Any]], DataSubjectRequest]) -> None:
        def view(identifier: str) -> Response:
            principal = gate.principal(RIGHTS)
            return answer(_line(take(identifier, principal.id, asked.document(schema))))

        routes.add_url_rule(f"/requests/<identifier>/{name}", name, view, methods=["POST"])

    step("identify", _Noting(), lambda id, by, said: requests.identify(id, note=said["note"], actor=by))
    step("extend", _Reasoning(), lambda id, by, said: requests.extend(id, reason=said["reason"], actor=by))
    step("done", _Noting(), lambda id, by, said: requests.done(id, note=said["note"], actor=by))
    step("refuse", _Reasoning(), lambda id, by, said: requests.refuse(id, reason=said["reason"], actor=by))
    return routes


def _line(found: DataSubjectRequest) -> dict[str, object]:
    return {
        "id": found.id,
        "kind": found.kind,
        "status": found.status,
        "received": found.received.isoformat(),
        "due": found.due.isoformat(),
        "extended": None if found.extended is None else found.extended.isoformat(),
        "answered": None if found.answered is None else found.answered.isoformat(),
        "late": found.late,
    }


def _shown(found: DataSubjectRequest, label: Callable[[str], str]) -> dict[str, object]:
    steps = [
        {
            "at": instant(step.at),
            "step": step.what,
            "by": step.by,
            "by_label": label(step.by),
            "note": step.note,
            "detail": step.detail,
            "after_answer": found.after_answer(place),
        }
        for place, step in enumerate(found.steps)
    ]
    return _line(found) | {"person": [*found.identifiers], "steps": steps}
