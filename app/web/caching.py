"""``Cache-Control`` of answers: nobody may keep one, unless it is the same for everybody (RFC 9111 5.2.2)."""

from __future__ import annotations

from collections.abc import Collection

from flask import Flask, Response, request

NEVER = "private, no-store"
"""Of whatever may tell of a person, or of who asks: kept neither on the way nor on the disk of a shared computer.

A client may keep the ETag of a document, and ask with it whether that is still what it was.
"""

_SHORTLY = "public, max-age=60"
_LONG = "public, max-age=31536000, immutable"
_READING = frozenset({"GET", "HEAD"})


def install(app: Flask, public: Collection[str], lasting: Collection[str] = ()) -> None:
    """Give every answer its ``Cache-Control``, errors included.

    Args:
        app: The application. Its routes say nothing of caches.
        public: Endpoints whose answers are the same for everybody: may be kept for a minute.
        lasting: Endpoints whose answers never change, since the address does: may be kept for a year.
    """

    @app.after_request
    def keep(answer: Response) -> Response:
        directive = NEVER
        if request.method in _READING and answer.status_code == 200:
            if request.endpoint in public:
                directive = _SHORTLY
            elif request.endpoint in lasting:
                directive = _LONG
        answer.headers["Cache-Control"] = directive
        return answer
