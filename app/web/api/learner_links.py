"""Links of accounts of families to learners, as sources ask for them (``/api/v1/learner-links``)."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response
from marshmallow import Schema, fields

from app.access.scopes import LINKS
from app.core.errors import BadRequest
from app.core.given import Day, Number
from app.people.family.links import DEFAULT_CODE_DAYS, FamilyLinks
from app.web.api import asked
from app.web.api.answers import answer
from app.web.gate import Gate

_MAX_BYTES = 64 * 1024


class _Asked(asked.OfDataSubject):
    role = fields.String(required=True)
    until = Day(load_default=None, allow_none=True)
    of_age_on = Day(load_default=None, allow_none=True)
    code_days = Number(load_default=DEFAULT_CODE_DAYS)


class _Ended(Schema):
    link = fields.String(load_default=None, allow_none=True)
    agents = fields.List(fields.Raw(), load_default=None, allow_none=True)


def blueprint(gate: Gate, links: FamilyLinks) -> Blueprint:
    """The routes: a source speaks of its own learners. A learner stands in the body, never in an address."""
    routes = Blueprint("learner_links", __name__)

    @routes.post("/learner-links")
    def ask() -> Response:
        sender = gate.sender(LINKS)
        said = asked.document(_Asked(), _MAX_BYTES)
        made = links.ask(
            sender.source,
            asked.data_subject(said["agents"]),
            role=said["role"],
            until=said["until"],
            of_age_on=said["of_age_on"],
            code_days=said["code_days"],
            actor=sender.id,
        )
        given = answer(
            {
                "link": made.link,
                "code": made.code,
                "code_until": made.code_until.isoformat(timespec="seconds").replace("+00:00", "Z"),
                "until": made.until.isoformat(),
            }
        )
        given.status_code = 201
        return given

    @routes.post("/learner-links/end")
    def end() -> Response:
        sender = gate.sender(LINKS)
        said: dict[str, Any] = asked.document(_Ended(), _MAX_BYTES)
        if (said["link"] is None) == (said["agents"] is None):
            raise BadRequest("Say which: `link`, the id that the code came with, or `agents`, a learner.")
        data_subject = None if said["agents"] is None else asked.data_subject(said["agents"])
        by = f"source:{sender.source}"
        return answer({"ended": links.end(by, link=said["link"], data_subject=data_subject, actor=sender.id)})

    return routes
