"""The package of everything that is held about one data subject (``/api/v1/persons/access``; GDPR art. 15 and 20)."""

from __future__ import annotations

from flask import Blueprint, Response

from app.access.scopes import RIGHTS
from app.people.access_package.subject_access_export import SubjectAccessExports
from app.web.api import asked
from app.web.gate import Gate
from app.web.subject_access import ExportAnswers


def blueprint(gate: Gate, packages: SubjectAccessExports, answers: ExportAnswers) -> Blueprint:
    """The route. The data subject stands in the body: what is in an address may be logged on its way."""
    routes = Blueprint("access_packages", __name__)

    @routes.post("/persons/access")
    def access() -> Response:
        principal = gate.principal(RIGHTS)
        said = asked.document(asked.Act())
        data_subject = asked.data_subject(said["agents"])
        return answers.of(lambda: packages.write(data_subject, actor=principal.id, request=said["case"]))

    return routes
