"""One handler turns every error into an answer: problem details (RFC 9457) with a stable code."""

from __future__ import annotations

import traceback
from typing import Any

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
from app.standards.xapi.languages import Languages

CONTENT_TYPE = "application/problem+json"

_BY_STATUS: dict[int, tuple[type[SillageError], str]] = {
    404: (NotFound, "No such resource. `/xAPI/about` and the documentation name those that exist."),
    405: (MethodNotAllowed, "This resource exists but does not take that method."),
    413: (BodyTooLarge, "The body is larger than this store takes. Send smaller batches."),
    415: (UnsupportedContentType, "This resource does not take that content type."),
}

_log = structlog.get_logger("sillage.web")


def install(app: Flask) -> None:
    """Make every error of this application a problem document."""
    app.register_error_handler(SillageError, _known)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unknown)


def in_french(wanted: Languages) -> bool:
    """Whether a reader of these languages prefers French to English."""
    return wanted.chosen({"en": "", "fr": ""}) == "fr"


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


def problem(error: SillageError) -> Response:
    """The answer to an error, for the request being served."""
    french = in_french(languages.parse(request.headers.get("Accept-Language")))
    made = document(error, french=french, request_id=g.get("request_id", ""))
    answer = Response(orjson.dumps(made), status=error.status, content_type=CONTENT_TYPE)
    answer.headers["Content-Language"] = "fr" if french else "en"
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, CredentialsRefused):
        answer.headers["WWW-Authenticate"] = 'Basic realm="Sillage", charset="UTF-8"'
    g.error_code = error.code
    return answer


def _known(error: SillageError) -> Response:
    return problem(error)


def _http(error: HTTPException) -> Response:
    kind, detail = _BY_STATUS.get(error.code or 500, (BadRequest, "The request is not well formed."))
    if (error.code or 500) >= 500:
        kind, detail = SillageError, "Something failed inside the store. Quote the request id to its operator."
    answer = problem(kind(detail))
    if error.code == 405 and error.get_response().headers.get("Allow"):
        answer.headers["Allow"] = error.get_response().headers["Allow"]
    return answer


def _unknown(error: Exception) -> Response:
    # The text of an unforeseen exception may hold personal data: its type and places say enough.
    frames = [
        f"{frame.filename.rpartition('/app/')[2]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    _log.error("unforeseen", kind=type(error).__name__, frames=frames[-8:], request_id=g.get("request_id", ""))
    return problem(SillageError("Something failed inside the store. Quote the request id to its operator."))
