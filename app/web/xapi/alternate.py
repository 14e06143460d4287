"""The alternate request syntax of xAPI 1.0.x: any request as a POST of a form (xAPI-Communication 1.3).

For browsers that can neither send other methods nor set headers, and for queries longer than a URL may be. The form
is taken apart before Flask sees the request, which from then on is the plain one that it stands for: routes,
credentials, audit and metrics know no difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl, unquote_to_bytes, urlencode

from flask import Flask, request
from werkzeug.wsgi import get_content_length, get_input_stream

from app.core.errors import BadRequest, BadVersion, BodyTooLarge, Fault, SillageError, UnsupportedContentType
from app.standards.xapi.media_types import essence
from app.standards.xapi.versions import negotiate
from app.web import body
from app.web.admission.client_socket import ClientSocket

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REFUSED = "sillage.refused"
"""Key of the WSGI environment: the error that the request is answered with."""

_SECTION = "xAPI-Communication 1.3"
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
_WITH_CONTENT = frozenset({"PUT", "POST"})
# The oldest browsers that need this syntax cannot say a content type, or say text/plain only.
_FORM_TYPES = frozenset({"", "application/x-www-form-urlencoded", "text/plain"})
_VERSION = "x-experience-api-version"
# xAPI-Communication 1.3: these are headers; every other field but `content` is a query parameter.
_HEADERS = {
    "authorization": "HTTP_AUTHORIZATION",
    _VERSION: "HTTP_X_EXPERIENCE_API_VERSION",
    "content-type": "CONTENT_TYPE",
    "content-length": "CONTENT_LENGTH",
    "if-match": "HTTP_IF_MATCH",
    "if-none-match": "HTTP_IF_NONE_MATCH",
}
_MAX_FIELDS = 50
_MAX_HEADER_LENGTH = 8_190
_MAX_BYTES_BESIDE_CONTENT = 256 * 1024
# Printable ASCII: anything else could end the header, or begin another.
_HEADER = re.compile(rf"[\x20-\x7e]{{0,{_MAX_HEADER_LENGTH}}}")
_NOT_ENCODED = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SLICE = 64 * 1024


class AlternateSyntax:
    """WSGI middleware: turns the POST of a form into the request that it stands for.

    What cannot be turned goes on as it came, with the reason under ``REFUSED`` for ``install`` to raise.
    """

    def __init__(self, application: WSGIApplication, *, prefix: str, max_body_bytes: int) -> None:
        """``max_body_bytes`` is of the form as sent."""
        self._application = application
        self._prefix = f"{prefix}/"
        self._limit = max_body_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        query = environ.get("QUERY_STRING", "")
        if "method" in query and environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].startswith(self._prefix):
            try:
                method = _method(query)
                if method is not None:
                    self._rewrite(environ, method)
                    if method == "HEAD":
                        start_response = _without_length(start_response)
            except SillageError as refused:
                environ[REFUSED] = refused
        return self._application(environ, start_response)

    def _rewrite(self, environ: WSGIEnvironment, method: str) -> None:
        _require_version(environ.get("HTTP_X_EXPERIENCE_API_VERSION"))
        if essence(environ.get("CONTENT_TYPE", "")) not in _FORM_TYPES:
            raise UnsupportedContentType("With `method` in the query, send a form: application/x-www-form-urlencoded.")
        body.uncompressed(environ.get("HTTP_CONTENT_ENCODING"))
        content, fields = _fields(self._form(environ))
        if (content is not None) != (method in _WITH_CONTENT):
            _refuse("content", "A PUT or POST needs the form field `content`, which other methods do not have.")
        headers, parameters = _sorted(fields)
        _require_version(headers.get(_VERSION))
        if "HTTP_X_EXPERIENCE_API_VERSION" not in environ:
            # A browser adds the credentials that it remembers to any form of any page, so those of the header count
            # only where there is another header that no page can have it send unasked.
            environ.pop("HTTP_AUTHORIZATION", None)
        sent = headers.get("authorization")
        if sent is not None and environ.get("HTTP_AUTHORIZATION", sent) != sent:
            _refuse("header-twice", "The form and the request give different credentials. Send one.")
        said = headers.pop("content-length", None)
        if content is not None and said is not None and not _may_announce(said, content):
            _refuse("content-length", "The field `Content-Length` is not the length in bytes of `content`.")
        # The request that this was is over; nothing of its own body may be taken for the new one's.
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "wsgi.input_terminated"):
            environ.pop(name, None)
        environ.update({_HEADERS[name]: text for name, text in headers.items()})
        if content is None:
            environ.pop("CONTENT_TYPE", None)
            environ["wsgi.input"] = BytesIO()
        else:
            environ.setdefault("CONTENT_TYPE", self._unsaid(environ["PATH_INFO"]))
            environ["CONTENT_LENGTH"] = str(_length(content))
            environ["wsgi.input"] = _Content(content)
        environ["REQUEST_METHOD"] = method
        environ["QUERY_STRING"] = urlencode(parameters)

    def _form(self, environ: WSGIEnvironment) -> bytes:
        length = get_content_length(environ)
        connection = environ.get("gunicorn.socket")
        announced = bool(length) or "HTTP_TRANSFER_ENCODING" in environ
        if isinstance(connection, ClientSocket) and announced and not connection.whole:
            # Whoever sends a form has shown no credentials yet, for they are in it: no thread waits for one. The event
            # loop has gathered it, unless it is too long or its head leaves doubt about where it ends.
            connection.abandon()
            if length is not None and length > self._limit:
                raise body.too_large(self._limit)
            _refuse("framing", "Send the form with a Content-Length, or in chunks without another transfer coding.")
        form = body.whole(get_input_stream(environ), length, self._limit)
        environ[body.READ] = True
        return form

    def _unsaid(self, path: str) -> str:
        # xAPI-Communication 1.3: the content is a string in UTF-8. Statements come as JSON.
        return "application/json" if path == f"{self._prefix}statements" else "text/plain; charset=utf-8"


def install(app: Flask, *, prefix: str, max_body_bytes: int) -> None:
    """Take requests in the alternate syntax, under ``prefix``; what it refuses is answered like any error."""

    @app.before_request
    def refuse() -> None:
        refused: SillageError | None = request.environ.get(REFUSED)
        if refused is not None:
            raise refused

    app.wsgi_app = AlternateSyntax(  # type: ignore[method-assign] # the way that Flask documents
        app.wsgi_app, prefix=prefix, max_body_bytes=max_body_bytes
    )


def _refuse(rule: str, message: str) -> NoReturn:
    raise BadRequest(message, faults=[Fault("", f"alternate-{rule}", _SECTION, message)])


def _method(query: str) -> str | None:
    """The method that the query string asks for; None when it has no such parameter."""
    try:
        given = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        return None  # the resource says what is wrong with it
    methods = [text for name, text in given if name == "method"]
    if not methods:
        return None
    if len(given) > 1:
        # xAPI-Communication 1.3: MUST NOT include any other query string parameters on the request.
        _refuse("query", "Beside `method` the query string takes nothing: other parameters are fields of the form.")
    if methods[0] not in _METHODS:
        _refuse("method", f"`method` is one of {', '.join(sorted(_METHODS))}, in capitals.")
    return methods[0]


def _require_version(header: str | None) -> None:
    """Refuse a version without this syntax; one that is missing or unknown is refused where all requests' are."""
    try:
        spoken = negotiate(header)
    except BadVersion:
        return
    if not spoken.spec.alternate_syntax:
        raise BadRequest(
            f"xAPI {spoken.spec.line} has no alternate request syntax. Send the plain request.",
            faults=[Fault("", "alternate-version", "IEEE 9274.1.1 4.1", "This syntax is of xAPI 1.0.x only.")],
        )


def _fields(form: bytes) -> tuple[bytes | None, list[tuple[str, str]]]:
    """The field ``content``, still encoded, and the others, decoded, in the order sent."""
    content: bytes | None = None
    others: list[tuple[bytes, bytes]] = []
    # Split no further than allowed: a body of nothing but ampersands would become millions of pieces.
    pieces = form.split(b"&", _MAX_FIELDS)
    if len(pieces) > _MAX_FIELDS:
        _refuse("fields", f"The form has more than {_MAX_FIELDS} fields.")
    for piece in filter(None, pieces):
        name, _, text = piece.partition(b"=")
        if name == b"content":
            if content is not None:
                _refuse("repeated", "The field `content` is given twice.")
            content = text
        else:
            others.append((name, text))
    if sum(len(name) + len(text) for name, text in others) > _MAX_BYTES_BESIDE_CONTENT:
        raise BodyTooLarge(f"The fields beside `content` hold more than {_MAX_BYTES_BESIDE_CONTENT:,} bytes.")
    if content is not None:
        _require_encoded(content)
    return content, [(_text(name), _text(text)) for name, text in others]


def _sorted(fields: list[tuple[str, str]]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Headers by their name in lower case, and query parameters."""
    headers: dict[str, str] = {}
    parameters = []
    for name, text in fields:
        # Names of headers have no case.
        header = name.lower()
        if header not in _HEADERS:
            parameters.append((name, text))
            continue
        if header in headers:
            _refuse("repeated", "A header is given twice among the fields of the form.")
        if not _HEADER.fullmatch(text):
            _refuse("header", "A header among the fields of the form is too long, or not of printable ASCII.")
        headers[header] = text.strip()
    return headers, parameters


def _text(encoded: bytes) -> str:
    _require_encoded(encoded)
    try:
        return _decoded(encoded).decode()
    except UnicodeDecodeError:
        _refuse("encoding", "A field of the form is not UTF-8.")


def _require_encoded(encoded: bytes) -> None:
    if _NOT_ENCODED.search(encoded):
        _refuse("encoding", "The form is not percent-encoded: a % comes without two hexadecimal digits.")


def _length(encoded: bytes) -> int:
    return len(encoded) - 2 * encoded.count(b"%")


def _may_announce(said: str, content: bytes) -> bool:
    # Browsers' libraries count characters, of which there are no more than bytes. More of them were lost on the way.
    return re.fullmatch("[0-9]{1,12}", said) is not None and int(said) <= _length(content)


def _decoded(encoded: bytes) -> bytes:
    # By slices: decoding makes an object of each escape.
    decoded = bytearray()
    at = 0
    while at < len(encoded):
        end = min(at + _SLICE, len(encoded))
        cut = encoded.rfind(b"%", max(at, end - 2), end)
        if cut > at and end < len(encoded):
            end = cut
        decoded += unquote_to_bytes(encoded[at:end].replace(b"+", b" "))
        at = end
    return bytes(decoded)


class _Content:
    """The content of a form as a stream; decoded when it is first read, so for accepted credentials only."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded
        self._stream: BytesIO | None = None

    def read(self, size: int = -1, /) -> bytes:
        """As a file.

        Raises:
            BadRequest: it is not UTF-8.
        """
        if self._stream is None:
            plain = _decoded(self._encoded)
            try:
                plain.decode()
            except UnicodeDecodeError:
                _refuse("encoding", "The content is not UTF-8; this syntax carries nothing else.")
            self._stream = BytesIO(plain)
        return self._stream.read(size)


def _without_length(start_response: StartResponse) -> StartResponse:
    """To a POST the server sends what it announces; the answer to HEAD announces what it does not send."""

    def start(
        status: str, headers: list[tuple[str, str]], failed: OptExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        kept = [(name, text) for name, text in headers if name.lower() != "content-length"]
        return start_response(status, kept, failed)

    return start
