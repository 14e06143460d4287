"""JSON bodies of this API's requests, and the data subjects named in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError, fields

from app.core import lossless
from app.core.errors import BadParameter, BadRequest, Fault, MalformedJSON, UnsupportedContentType
from app.people.finding.finder import Reach, data_subject_of
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.web import body

_MAX_BYTES = 1024 * 1024


class OfDataSubject(Schema):
    """A body that says who is meant: ``agents``, for ``data_subject``."""

    agents = fields.List(fields.Raw(), required=True)


class Act(OfDataSubject):
    """The body of an act, which may be for a request: ``case``, for ``DataSubjectRequests.require``."""

    case = fields.String(load_default=None, allow_none=True)


def document(schema: Schema, max_bytes: int = _MAX_BYTES) -> dict[str, Any]:
    """The body of this request, one JSON object that keeps a schema. An empty body is an empty object.

    Raises:
        BadRequest: it is not; the faults name members, never what was sent.
    """
    content = raw(max_bytes)
    try:
        said = lossless.loads(content) if content else {}
    except lossless.Malformed:
        raise MalformedJSON("The body is not one well-formed UTF-8 JSON document.") from None
    if not isinstance(said, dict):
        raise BadRequest("The body is one JSON object.")
    try:
        loaded: dict[str, Any] = dict(schema.load(said))
    except ValidationError as refused:
        known = [name for name in schema.fields if name in refused.messages_dict]
        takes = f"This resource takes: {', '.join(schema.fields) or 'nothing'}."
        faults = [Fault(f"/{name}", "member", "Sillage, API", "Is missing, or not of its kind.") for name in known]
        raise BadRequest(f"The body is not valid. {takes}", faults=faults) from None
    return loaded


def data_subject(agents: Sequence[object]) -> IdentifiedDataSubject:
    """The data subject that the member ``agents`` of a body names.

    Raises:
        BadRequest: they are not Agents with an identifier; the faults point into the body.
    """
    try:
        return data_subject_of(agents)
    except BadRequest as refused:
        faults = [fault._replace(pointer=f"/agents{fault.pointer}") for fault in refused.faults]
        raise BadRequest(refused.detail, faults=faults) from None


def reached(found: Reach) -> dict[str, object]:
    """The members of an answer that say what the identifiers reach; for those who act for data subjects alone."""
    return {"held": found.held, "pseudonyms": [*found.sources]}


def raw(max_bytes: int) -> bytes:
    """The body of this request, which says to be JSON.

    Also where it is empty: a page can have a browser POST anything but that type without asking (CORS), and the browser
    adds the credentials that it remembers.

    Raises:
        UnsupportedContentType: it says to be something else, or nothing.
        BadParameter: there are query parameters; such a request has none.
    """
    if request.args:
        raise BadParameter("This resource takes no parameters: what it needs is in the body.")
    if (request.mimetype or "").lower() != "application/json":
        message = "Send the header Content-Type: application/json, without a body too."
        raise UnsupportedContentType(message, faults=[Fault("", "content-type", "RFC 9110 8.3", message)])
    return body.read(max_bytes)
