"""Restriction, objection and rectification (``/api/v1/persons/…``): the agent stands in the body, never in a URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response
from marshmallow import Schema, fields, validate

from app.access.restrictions.store import PURPOSES, RESEARCH
from app.access.scopes import RIGHTS
from app.core import lossless
from app.core.errors import BadRequest, Fault
from app.core.given import Flag
from app.people.finding.finder import DataSubjectFinder
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.people.rectification import Rectification
from app.people.restriction import Restriction
from app.web.api import asked
from app.web.api.answers import answer
from app.web.gate import Gate


class _Objecting(asked.Act):
    purposes = fields.List(fields.String(validate=validate.OneOf(PURPOSES)), load_default=[RESEARCH])
    refuse_new = Flag(load_default=False)


class _Rectifying(Schema):
    statement = fields.UUID(required=True)
    corrected = fields.Dict(required=True)
    case = fields.String(load_default=None, allow_none=True)


def blueprint(
    gate: Gate,
    finder: DataSubjectFinder,
    restriction: Restriction,
    rectification: Rectification,
    max_statement_bytes: int,
) -> Blueprint:
    """The routes; each act is in force in every worker when its answer leaves.

    A statement that rectifies has ``max_statement_bytes`` of JSON at most.
    """
    routes = Blueprint("restriction", __name__)

    def act(
        name: str, schema: Schema, do: Callable[[IdentifiedDataSubject, str, dict[str, Any]], dict[str, object]]
    ) -> None:
        def view() -> Response:
            principal = gate.principal(RIGHTS)
            said = asked.document(schema)
            data_subject = asked.data_subject(said["agents"])
            done = do(data_subject, principal.id, said)
            return answer(done | asked.reached(finder.reach(data_subject)))

        routes.add_url_rule(f"/persons/{name}", name, view, methods=["POST"])

    def restrict(data_subject: IdentifiedDataSubject, by: str, said: dict[str, Any]) -> dict[str, object]:
        restriction.restrict(data_subject, actor=by, request=said["case"])
        return {"restricted": True}

    def unrestrict(data_subject: IdentifiedDataSubject, by: str, said: dict[str, Any]) -> dict[str, object]:
        lifted = restriction.lift(data_subject, actor=by, request=said["case"])
        return {"restricted": False, "was_restricted": lifted}

    def note_objection(data_subject: IdentifiedDataSubject, by: str, said: dict[str, Any]) -> dict[str, object]:
        purposes, refuse_new = said["purposes"], said["refuse_new"]
        restriction.note_objection(
            data_subject, purposes=purposes, refuse_new=refuse_new, actor=by, request=said["case"]
        )
        return {"objects": purposes, "refuse_new": refuse_new}

    def withdraw(data_subject: IdentifiedDataSubject, by: str, said: dict[str, Any]) -> dict[str, object]:
        return {"withdrawn": restriction.withdraw_objection(data_subject, actor=by, request=said["case"])}

    def standing(data_subject: IdentifiedDataSubject, by: str, _: dict[str, Any]) -> dict[str, object]:
        found = restriction.standing(data_subject, actor=by)
        since = None if found.restricted is None else found.restricted.isoformat().replace("+00:00", "Z")
        return {"restricted": since, "objects": [*found.objects], "refuse_new": found.refuses}

    act("restrict", asked.Act(), restrict)
    act("unrestrict", asked.Act(), unrestrict)
    act("object", _Objecting(), note_objection)
    act("withdraw-objection", asked.Act(), withdraw)
    act("standing", asked.OfDataSubject(), standing)

    @routes.post("/persons/rectify")
    def rectify() -> Response:
        principal = gate.principal(RIGHTS)
        said = asked.document(_Rectifying(), 2 * max_statement_bytes)
        try:
            content = lossless.dumps(said["corrected"])
        except TypeError:
            # orjson writes 254 levels, and reads more.
            message = "Is nested too deeply."
            raise BadRequest(message, faults=[Fault("/corrected", "depth", "Sillage", message)]) from None
        done = rectification.rectify(said["statement"], content, actor=principal.id, request=said["case"])
        return answer({"statement": str(done.statement), "voiding": str(done.voiding)})

    return routes
