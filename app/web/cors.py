"""Pages of other origins in a browser: which may call this store, and what they may read of its answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from flask import Flask, Response, request
from flask_cors import CORS

from app.web import purpose
from app.web.xapi import headers

ANY = "*"
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
_SENT = (
    "Accept",
    "Accept-Language",
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    headers.VERSION,
    purpose.HEADER,
    "X-Request-ID",
)
_READ = (
    "Content-Language",
    "ETag",
    "Last-Modified",
    "Retry-After",
    "WWW-Authenticate",
    headers.VERSION,
    headers.CONSISTENT_THROUGH,
    "X-Request-ID",
    headers.VERDICT,
)
# Chromium keeps what a preflight said two hours at most.
_MAX_AGE_SECONDS = 7_200


def headers_outside(origins: Sequence[str], prefixes: Sequence[str]) -> Callable[[str, str], dict[str, str]]:
    """The headers that ``install`` gives every answer, for answers that Flask does not make: by path, and by origin (or
    none).
    """
    anyone = ANY in origins
    beginnings = tuple(f"{prefix}/" for prefix in prefixes)
    exposed = ", ".join(sorted(_READ))

    def given(path: str, origin: str) -> dict[str, str]:
        if not origins or not path.startswith(beginnings):
            return {}
        vary = {} if anyone else {"Vary": "Origin"}
        if not origin or not (anyone or origin in origins):
            return vary
        allowed = ANY if anyone else origin
        return {**vary, "Access-Control-Allow-Origin": allowed, "Access-Control-Expose-Headers": exposed}

    return given


def install(app: Flask, origins: Sequence[str], prefixes: Sequence[str]) -> None:
    """Let pages of these origins call the routes under ``prefixes``; with no origin, change nothing.

    Every answer there has the headers, errors included: a page must be able to read why it was refused. Credentials
    are always the page's own, in ``Authorization``, so the browser's are not asked for.

    Args:
        app: The application.
        origins: Exact origins as browsers send them, or ``ANY`` alone.
        prefixes: Beginnings of paths, such as ``/xAPI``.
    """
    if not origins:
        return
    anyone = ANY in origins
    CORS(
        app,
        resources=[re.compile(rf"{re.escape(prefix)}/") for prefix in prefixes],
        # Compiled, for a bracket in a text would make an expression of it.
        origins=ANY if anyone else [re.compile(rf"{re.escape(origin)}\Z") for origin in origins],
        methods=_METHODS,
        allow_headers=_SENT,
        expose_headers=_READ,
        max_age=_MAX_AGE_SECONDS,
        send_wildcard=anyone,
        always_send=False,
        vary_header=False,
        # Every error is answered by this application's own handlers.
        intercept_exceptions=False,
    )

    @app.after_request
    def vary(answer: Response) -> Response:
        # Without an Origin too: what a cache keeps of that answer is not for pages.
        if not anyone and request.path.startswith(tuple(f"{prefix}/" for prefix in prefixes)):
            answer.vary.add("Origin")
        return answer
