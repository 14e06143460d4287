"""Requests to sign-in providers: short, bounded, never redirected."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Final, NamedTuple

from app.access.sign_in.providers.files import is_safe
from app.core import clock
from app.core.errors import ProviderUnavailable

MAX_BYTES: Final = 256 * 1024
SILENCE_SECONDS: Final = 4.0
"""Longest wait for a piece of an answer."""
WHOLE_SECONDS: Final = 8.0
"""Longest wait for the whole of it."""
_PIECE: Final = 16 * 1024


class Fetched(NamedTuple):
    """An answer: its status, its type without parameters, its body."""

    status: int
    type: str
    body: bytes


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow none: what is sent is for that address alone."""


_opener = urllib.request.build_opener(_NoRedirects)


def fetch(url: str, *, form: bytes | None = None, headers: Mapping[str, str] | None = None) -> Fetched:
    """Ask a provider; ``form``: send it (POST).

    Raises:
        ProviderUnavailable: it is away, too slow, says too much, or is to be asked without TLS.
    """
    if not is_safe(url):
        raise ProviderUnavailable("The sign-in provider names an address without TLS.")
    asked = urllib.request.Request(url, form, {"Accept": "application/json", **(headers or {})})  # noqa: S310 # see above
    begun = clock.steady()
    try:
        with _opener.open(asked, timeout=SILENCE_SECONDS) as answer:
            return Fetched(answer.status, answer.headers.get_content_type(), _body(answer, begun))
    except urllib.error.HTTPError as refused:
        with refused:
            return Fetched(refused.code, refused.headers.get_content_type(), b"")
    except (OSError, HTTPException, ValueError):
        raise ProviderUnavailable("The sign-in provider does not answer, or answers too slowly.") from None


def _body(answer: Any, begun: float) -> bytes:
    body = bytearray()
    # One read of the socket at a time: a drop now and then does not keep a thread.
    while piece := answer.read1(_PIECE):
        body += piece
        if len(body) > MAX_BYTES:
            raise ProviderUnavailable("The sign-in provider says more than anybody needs to.")
        if clock.steady() - begun > WHOLE_SECONDS:
            raise ProviderUnavailable("The sign-in provider answers too slowly.")
    return bytes(body)
