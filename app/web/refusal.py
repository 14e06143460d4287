"""The whole answer to a request that the application does not see, or fails to answer; made by the worker itself.

Refusing must cost far less than serving, so Flask is left out; what its hooks give every other answer is given here:
problem document or page, language, request id, the headers of xAPI, of CORS and for caches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus

from gunicorn.http import errors as parser

from app.core import clock
from app.core.errors import AddressTooLong, BadRequest, CodingUnknown, ExpectationFailed, HeadTooLarge, SillageError
from app.web import caching, logs
from app.web.problem_details import Rendering

_ASKED = re.compile(r"([A-Z]+) ([^ ?\r\n]*)")
_FIELDS = re.compile(r"\n(accept|accept-language|origin|x-request-id)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
# RFC 9110 5.3: said in several lines, they are one list.
_LISTS = frozenset({"accept", "accept-language"})
_HEAD_END = b"\r\n\r\n"

Headers = Callable[[str, str], Mapping[str, str]]
"""From a path and an ``Origin`` (empty without) to the headers that the application gives every answer there."""


# The first that fits. A header that the application would have sent is its own fault, though a subclass of these.
_BY_PARSER: tuple[tuple[type[Exception] | tuple[type[Exception], ...], type[SillageError], str], ...] = (
    (parser.LimitRequestLine, AddressTooLong, "The request line is too long. Send the query as the form of a POST."),
    (parser.LimitRequestHeaders, HeadTooLarge, "Send fewer headers, or shorter ones."),
    (parser.ExpectationFailed, ExpectationFailed, "Leave the header Expect out, or send `100-continue`."),
    (parser.UnsupportedTransferCoding, CodingUnknown, "Send the body with its length, or in chunks."),
    (
        (parser.InvalidRequestLine, parser.InvalidRequestMethod, parser.InvalidHTTPVersion),
        BadRequest,
        "The request line is not well formed: METHOD, address and HTTP/1.1, with everything but printable ASCII "
        "percent-encoded.",
    ),
    (
        (parser.InvalidHeader, parser.InvalidHeaderName, parser.ObsoleteFolding),
        BadRequest,
        "A header is not well formed, is there twice, or contradicts another one.",
    ),
    (parser.ParseException, BadRequest, "The request is not well-formed HTTP."),
)
_APPLICATION_S = (parser.InvalidResponseHeader, parser.InvalidResponseHeaderName, parser.ConfigurationProblem)


def of_parser(failed: Exception) -> SillageError | None:
    """The error of a request that gunicorn's parser does not take; None when the fault is this server's.

    Nothing is quoted: what was sent may hold personal data.
    """
    if isinstance(failed, _APPLICATION_S):
        return None
    for kinds, error, detail in _BY_PARSER:
        if isinstance(failed, kinds):
            return error(detail)
    return None


EXTENSION = "refusal"
"""Name of an application's ``Refusal`` among its extensions."""


class Refusal:
    """Makes answers for one application, and counts them."""

    def __init__(
        self,
        *headers: Headers,
        rendering: Rendering | None = None,
        count: Callable[[str], object] = lambda _: None,
        meant: Callable[[str], str] = lambda path: path,
    ) -> None:
        """``rendering`` gives an error its form, ``meant`` the path that a path means.

        ``count`` is told why, for each request that is refused.
        """
        self._headers = headers
        self._rendering = rendering or Rendering()
        self._meant = meant
        self.count = count

    def __call__(self, received: bytes | bytearray, error: SillageError, *, keep: bool) -> bytes:
        """The answer to a request, of which this has come; ``keep`` says that another may follow it."""
        end = received.find(_HEAD_END)
        head = bytes(received if end < 0 else received[: end + 2]).decode("latin-1")
        asked = _ASKED.match(head)
        method, path = asked.groups() if asked else ("", "")
        path = self._meant(path)
        fields: dict[str, str] = {}
        for found in _FIELDS.finditer(head):
            name, text = found[1].lower(), found[2].strip()
            fields[name] = f"{fields[name]},{text}" if name in _LISTS and name in fields else text
        request_id = logs.sane_id(fields.get("x-request-id", "")) or clock.random_bytes(16).hex()
        body, own = self._rendering.rendered(
            error, path, fields.get("accept"), fields.get("accept-language"), request_id
        )
        given = {
            "Server": "gunicorn",
            "Date": formatdate(clock.now_us() / 1_000_000, usegmt=True),
            "Connection": "keep-alive" if keep else "close",
            "Content-Length": str(len(body)),
            "Cache-Control": caching.NEVER,
            "X-Request-ID": request_id,
            **own,
        }
        if error.retry_after is not None:
            given["Retry-After"] = str(error.retry_after)
        for headers in self._headers:
            more = headers(path, fields.get("origin", ""))
            vary = [each["Vary"] for each in (given, more) if "Vary" in each]
            given.update(more)
            if vary:
                given["Vary"] = ", ".join(vary)
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        start = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n{lines}\r\n"
        return start.encode("latin-1") + (b"" if method == "HEAD" else body)
