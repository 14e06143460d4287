"""What the data protection officer does about one person: find, erase. The body says who is meant, never the URL."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields, validate

from app.access.scopes import RIGHTS
from app.errors import BadParameter, BadRequest, MalformedJSON, NotFound, UnsupportedContentType
from app.governance.erasure import Erasures
from app.governance.persons import MOST_IDENTIFIERS, Persons
from app.storage.erasures import DONE, Erasure
from app.web import body
from app.web.api import asked
from app.web.api.answers import answer, instant
from app.web.gate import Gate

_MOST_BYTES = 64 * 1024


class _Asked(Schema):
    agents = fields.List(fields.Raw(), required=True, validate=validate.Length(1, MOST_IDENTIFIERS))


class _AskedToErase(_Asked):
    # Goes into the audit log: an id of a request, and nothing that could name somebody.
    case = fields.String(load_default=None, allow_none=True, validate=validate.Regexp(r"^[0-9A-Za-z-]{1,64}\Z"))


def blueprint(gate: Gate, persons: Persons, erasures: Erasures) -> Blueprint:
    """Routes to mount under ``/api/v1``: ``persons/places``, ``erasures``, ``erasures/<id>`` and its ``receipt``."""
    routes = Blueprint("persons", __name__)

    @routes.post("/persons/places")
    def _places() -> Response:
        credential = gate.credential(RIGHTS)
        found = persons.find(asked.person(_loaded(_Asked())["agents"]), actor=credential.id)
        return answer({"places": found._asdict()})

    @routes.post("/erasures")
    def _erase() -> Response:
        credential = gate.credential(RIGHTS)
        said = _loaded(_AskedToErase())
        erasure = erasures.erase(asked.person(said["agents"]), actor=credential.id, case=said["case"])
        made = answer(_shown(erasure))
        # The keys are destroyed; the rest is under way.
        made.status_code = 202
        return made

    @routes.get("/erasures/<uuid:identity>")
    def _erasure(identity: UUID) -> Response:
        gate.credential(RIGHTS)
        _refuse_parameters()
        return answer(_shown(erasures.get(identity)))

    @routes.get("/erasures/<uuid:identity>/receipt")
    def _receipt(identity: UUID) -> Response:
        gate.credential(RIGHTS)
        _refuse_parameters()
        receipt = erasures.get(identity).receipt
        if receipt is None:
            raise NotFound("There is no receipt yet: the erasure is under way.")
        made = Response(receipt, content_type="application/json")
        made.headers["Cache-Control"] = "no-store"
        return made

    return routes


def _shown(erasure: Erasure) -> dict[str, object]:
    return {
        "erasure": str(erasure.id),
        "phase": erasure.phase,
        "done": erasure.phase == DONE,
        "case": erasure.case,
        "keys_destroyed": erasure.destroyed.isoformat().replace("+00:00", "Z"),
        "erased_until": instant(erasure.until_stored),
        "counts": dict(sorted(erasure.counts.items())),
    }


def _refuse_parameters() -> None:
    if request.args:
        raise BadParameter("This resource takes no parameters: who is meant stands in the body of a POST.")


def _loaded(schema: Schema) -> dict[str, Any]:
    _refuse_parameters()
    if (request.mimetype or "").lower() != "application/json":
        raise UnsupportedContentType("Send who is meant as application/json.")
    try:
        content = orjson.loads(body.read(_MOST_BYTES))
    except orjson.JSONDecodeError:
        raise MalformedJSON("The body is not one well-formed JSON document.") from None
    try:
        loaded: dict[str, Any] = dict(schema.load(content if isinstance(content, dict) else {}))
    except ValidationError as refused:
        wrong = sorted(name for name in refused.messages_dict if name in schema.fields)
        takes = ", ".join(sorted(schema.fields))
        detail = f"Missing or not valid: {', '.join(wrong)}." if wrong else "A member is not known here."
        raise BadRequest(f"{detail} The body is a JSON object with: {takes}.") from None
    return loaded
