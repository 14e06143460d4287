"""Answers in gzip or Brotli for those who take it (RFC 9110 12.5.3)."""

from __future__ import annotations

import gzip

import brotli
from flask import Flask, Response, request

MIN_BYTES = 1_024
"""Bytes under which compressing saves no packet."""

# Measured on pages of statements: 3 ms and 5 ms for 1 MB, of which a tenth is left. Brotli of the next quality takes
# twice as long and leaves no less.
_QUALITY = 4
_LEVEL = 6
_KINDS = frozenset({"application/json", "application/problem+json"})


def install(app: Flask) -> None:
    """Compress answers of text, unless they have an ETag.

    A compressed form would be another representation with a tag of its own, and If-Match compares strong tags
    (RFC 9110 8.8.3.3): see docs/adr/0019-http-edge.md.
    """

    @app.after_request
    def compress(answer: Response) -> Response:
        if not _suits(answer):
            return answer
        if "Vary" in answer.headers:
            answer.vary.add("Accept-Encoding")
        else:
            answer.headers["Vary"] = "Accept-Encoding"
        coding = _chosen() if (answer.content_length or 0) >= MIN_BYTES else None
        if coding is not None:
            plain = answer.get_data()
            packed = (
                brotli.compress(plain, mode=brotli.MODE_TEXT, quality=_QUALITY)
                if coding == "br"
                else gzip.compress(plain, compresslevel=_LEVEL, mtime=0)
            )
            answer.set_data(packed)
            answer.headers["Content-Encoding"] = coding
        return answer


def _suits(answer: Response) -> bool:
    if answer.direct_passthrough or answer.is_streamed or answer.status_code in {204, 206, 304}:
        return False
    if "ETag" in answer.headers or "Content-Encoding" in answer.headers:
        return False
    kind = (answer.content_type or "").partition(";")[0].strip().lower()
    return kind in _KINDS or kind.startswith("text/")


def _chosen() -> str | None:
    """The coding the client wants most: Brotli before gzip, and either before none, where it does not say."""
    if "HTTP_ACCEPT_ENCODING" not in request.environ:
        return None
    wanted = request.accept_encodings
    plain = wanted.quality("identity") if "identity" in wanted.values() else 0
    best = max(("br", "gzip"), key=wanted.quality)
    return best if wanted.quality(best) > 0 and wanted.quality(best) >= plain else None
