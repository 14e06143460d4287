"""Rights of one data subject: find, erase. The body says who is meant, never the URL."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, request

from app.access.scopes import RIGHTS
from app.core.errors import BadParameter, NotFound
from app.people.access_package.recipients import Disclosures, Recipient
from app.people.erasure.service import Erasures
from app.people.erasure.store import DONE, Erasure
from app.people.finding.finder import DataSubjectFinder
from app.web.api import asked
from app.web.api.answers import answer, instant
from app.web.gate import Gate


def blueprint(gate: Gate, finder: DataSubjectFinder, erasures: Erasures, disclosures: Disclosures) -> Blueprint:
    """Routes to mount under ``/api/v1``: ``persons/…``, ``erasures``, ``erasures/<id>`` and its ``receipt``."""
    routes = Blueprint("persons", __name__)

    @routes.post("/persons/places")
    def _places() -> Response:
        principal = gate.principal(RIGHTS)
        data_subject = asked.data_subject(asked.document(asked.OfDataSubject())["agents"])
        found = finder.find(data_subject, actor=principal.id)
        return answer({"places": {**found}, **asked.reached(finder.reach(data_subject))})

    @routes.post("/persons/recipients")
    def _recipients() -> Response:
        principal = gate.principal(RIGHTS)
        said = asked.document(asked.Act())
        data_subject = asked.data_subject(said["agents"])
        found = disclosures.of(data_subject, actor=principal.id, request=said["case"])
        return answer(
            {
                "since": instant(found.since),
                "readings": [_reading(one) for one in found.readings],
                "exports": [one._asdict() | {"at": instant(one.at)} for one in found.exports],
                **asked.reached(finder.reach(data_subject)),
            }
        )

    @routes.post("/erasures")
    def _erase() -> Response:
        principal = gate.principal(RIGHTS)
        said = asked.document(asked.Act())
        data_subject = asked.data_subject(said["agents"])
        # Before it goes; said once it is on record.
        reach = finder.reach(data_subject)
        erasure = erasures.erase(data_subject, actor=principal.id, request=said["case"])
        made = answer(_shown(erasure) | asked.reached(reach))
        # The keys are destroyed; the rest is under way.
        made.status_code = 202
        return made

    @routes.get("/erasures/<uuid:id>")
    def _erasure(id: UUID) -> Response:
        gate.principal(RIGHTS)
        _refuse_parameters()
        return answer(_shown(erasures.get(id)))

    @routes.get("/erasures/<uuid:id>/receipt")
    def _receipt(id: UUID) -> Response:
        gate.principal(RIGHTS)
        _refuse_parameters()
        receipt = erasures.get(id).receipt
        if receipt is None:
            raise NotFound("There is no receipt yet: the erasure is under way.")
        return Response(receipt, content_type="application/json")

    return routes


def _reading(one: Recipient) -> dict[str, object]:
    said = one._asdict()
    said["processing_activity"] = said.pop("activity")
    return said


def _shown(erasure: Erasure) -> dict[str, object]:
    return {
        "erasure": str(erasure.id),
        "phase": erasure.phase,
        "done": erasure.phase == DONE,
        "case": erasure.request,
        "keys_destroyed": erasure.destroyed.isoformat().replace("+00:00", "Z"),
        "erased_until": instant(erasure.until_stored),
        "counts": dict(sorted(erasure.counts.items())),
    }


def _refuse_parameters() -> None:
    if request.args:
        raise BadParameter("This resource takes no parameters: who is meant stands in the body of a POST.")
