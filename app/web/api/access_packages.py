"""The package of everything that is held about one data subject (``/api/v1/persons/access``; GDPR art. 15 and 20)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import chain

from flask import Blueprint, Response

from app.access.scopes import RIGHTS
from app.core.errors import Overloaded
from app.people.access_package.subject_access_export import SubjectAccessExports
from app.web.api import asked
from app.web.gate import Gate

_AT_ONCE = 2


def blueprint(gate: Gate, packages: SubjectAccessExports) -> Blueprint:
    """The route. The data subject stands in the body: what is in an address may be logged on its way."""
    routes = Blueprint("access_packages", __name__)
    # Each takes a thread for as long as it is read.
    places = threading.BoundedSemaphore(_AT_ONCE)

    @routes.post("/persons/access")
    def access() -> Response:
        principal = gate.principal(RIGHTS)
        said = asked.document(asked.Act())
        data_subject = asked.data_subject(said["agents"])
        if not places.acquire(blocking=False):
            raise Overloaded("This server writes as many packages as it can. Ask again in a while.", retry_after=30)
        try:
            pieces = packages.write(data_subject, actor=principal.id, request=said["case"])
            # What goes wrong before the first piece is an answer; later, the connection is cut.
            first = next(pieces)
        except BaseException:
            places.release()
            raise
        answer = Response(_rest(first, pieces), content_type="application/zip")
        answer.call_on_close(places.release)
        answer.headers["Content-Disposition"] = 'attachment; filename="access.zip"'
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    return routes


def _rest(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    # An empty piece would end an answer in chunks.
    return filter(None, chain((first,), pieces))
