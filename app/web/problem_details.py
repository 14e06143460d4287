"""One handler turns every error into an answer with a stable code: problem details (RFC 9457), or a page for people."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from app.core.errors import (
    BadRequest,
    BodyTooLarge,
    CredentialsRefused,
    MethodNotAllowed,
    NotFound,
    SillageError,
    UnsupportedContentType,
)
from app.standards.xapi import languages
from app.web import error_page, negotiation

CONTENT_TYPE = "application/problem+json"

_BY_STATUS: dict[int, tuple[type[SillageError], str]] = {
    404: (NotFound, "No such resource. `/xAPI/about` and the documentation name those that exist."),
    405: (MethodNotAllowed, "This resource exists but does not take that method."),
    413: (BodyTooLarge, "The body is larger than this store takes. Send smaller batches."),
    415: (UnsupportedContentType, "This resource does not take that content type."),
}

_log = structlog.get_logger("sillage.web")


def document(error: SillageError, *, french: bool, request_id: str) -> dict[str, Any]:
    """The problem document of an error: title in the reader's language, code, detail, faults, request id."""
    made: dict[str, Any] = {
        "type": f"urn:sillage:error:{error.code}",
        "code": error.code,
        "status": error.status,
        "title": error.title_fr if french else error.title,
        "detail": error.detail,
        "request_id": request_id,
    }
    if error.faults:
        made["faults"] = [fault._asdict() for fault in error.faults]
    return made


class Rendered(NamedTuple):
    """An error as it is answered: its body, and the headers that belong to it."""

    body: bytes
    headers: Mapping[str, str]


class Rendering:
    """Renders errors in the form and the language that a request asks for.

    A problem document (RFC 9457); where people look, which is not under ``/xAPI``, a page for those who ask for HTML.
    """

    def __init__(self, xapi: str = "/xAPI") -> None:
        """``xapi``: the beginning of the paths that clients of the standard ask for."""
        self._xapi = xapi

    def rendered(
        self, error: SillageError, path: str, accept: str | None, accept_language: str | None, request_id: str
    ) -> Rendered:
        """The answer to a request for a path, with these headers; an empty path is one that is not known."""
        french = negotiation.in_french(languages.parse(accept_language))
        headers = {"Content-Language": "fr" if french else "en"}
        if path.startswith("/") and path != self._xapi and not path.startswith(f"{self._xapi}/"):
            headers["Vary"] = "Accept, Accept-Language"
            if negotiation.wants_page(accept):
                headers |= {"Content-Type": "text/html; charset=utf-8", **error_page.HEADERS}
                return Rendered(error_page.page(error, french=french, request_id=request_id), headers)
        headers["Content-Type"] = CONTENT_TYPE
        return Rendered(orjson.dumps(document(error, french=french, request_id=request_id)), headers)


def install(app: Flask, rendering: Rendering, challenges: Sequence[str] = ()) -> Callable[[SillageError], Response]:
    """Have every error of this application answered as ``rendering`` says.

    ``challenges``: what ``WWW-Authenticate`` says to those who have shown no valid credentials (RFC 9110 11.6.1).

    Returns:
        What makes the answer of an error.
    """

    def answered(error: SillageError) -> Response:
        asked = request.headers
        body, headers = rendering.rendered(
            error, request.path, asked.get("Accept"), asked.get("Accept-Language"), g.get("request_id", "")
        )
        answer = Response(body, error.status, headers)
        if error.retry_after is not None:
            answer.headers["Retry-After"] = str(error.retry_after)
        if isinstance(error, CredentialsRefused):
            for challenge in challenges:
                answer.headers.add("WWW-Authenticate", challenge)
        g.error_code = error.code
        return answer

    def of_http(error: HTTPException) -> Response:
        kind, detail = _BY_STATUS.get(error.code or 500, (BadRequest, "The request is not well formed."))
        if (error.code or 500) >= 500:
            kind, detail = SillageError, "Something failed inside the store. Quote the request id to its operator."
        answer = answered(kind(detail))
        if error.code == 405 and error.get_response().headers.get("Allow"):
            answer.headers["Allow"] = error.get_response().headers["Allow"]
        return answer

    def unforeseen(error: Exception) -> Response:
        # The text of an unforeseen exception may hold personal data: its type and places say enough.
        frames = [
            f"{frame.filename.rpartition('/app/')[2]}:{frame.lineno}"
            for frame in traceback.extract_tb(error.__traceback__)
        ]
        _log.error("unforeseen", kind=type(error).__name__, frames=frames[-8:], request_id=g.get("request_id", ""))
        return answered(SillageError("Something failed inside the store. Quote the request id to its operator."))

    app.register_error_handler(SillageError, answered)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(Exception, unforeseen)
    return answered
