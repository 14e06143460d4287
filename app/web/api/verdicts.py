"""What became of a source's statements: the feedback that those who send need (``/api/v1/verdicts``)."""

from __future__ import annotations

from datetime import date

from flask import Blueprint, Response, request
from marshmallow import Schema, ValidationError, fields

from app.access import scopes
from app.errors import BadParameter, ScopeMissing
from app.ingest.verdicts import Profiles
from app.web.api.answers import answer
from app.web.gate import Gate


class _Parameters(Schema):
    since = fields.Date(format="iso", load_default=None)
    source = fields.String(load_default=None)


def blueprint(gate: Gate, profiles: Profiles) -> Blueprint:
    """The route: a source sees its own counts; a DPO those of any source, named by ``source``."""
    routes = Blueprint("verdicts", __name__)

    @routes.get("/verdicts")
    def verdicts() -> Response:
        credential = gate.credential(scopes.OWN_QUALITY, scopes.GOVERNANCE_READ)
        try:
            given = _Parameters().load(request.args.to_dict())
        except ValidationError as refused:
            names = ", ".join(sorted(map(str, refused.messages_dict)))
            raise BadParameter(
                f"Not valid: {names}. `since` is a day (2026-11-22), `source` the id of a source."
            ) from None
        source: str | None = given["source"]
        since: date | None = given["since"]
        if scopes.GOVERNANCE_READ not in credential.scopes:
            if credential.source is None or source not in (None, credential.source):
                raise ScopeMissing("These credentials see the counts of their own source only.")
            source = credential.source
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
        return answer({"verdicts": lines})

    return routes
