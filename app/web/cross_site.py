"""Requests that a browser makes for a page of another origin, with credentials that the page may not know.

A browser that once asked its user for Basic credentials adds them by itself to whatever any page has it send here: a
form, an image, a fetch without CORS. Browsers say for whom they ask, in headers that no page can set (Fetch Metadata
Request Headers, W3C): with these, only pages that may call the store get any further than being refused.

Where a browser says nothing (an old one; or plain HTTP, where none does), other rules hold: credentials of a form stand
in it (``app/web/xapi/alternate.py``), plain requests under ``/xAPI`` need the header of their version, and POSTs under
``/api/v1`` the type ``application/json``, neither of which a page can give without having asked (CORS).
"""

from __future__ import annotations

from collections.abc import Sequence

from flask import request

from app.core.errors import CrossSiteRefused
from app.web import cors

# `none`: the user's own doing, such as a bookmark. A sibling of this host's domain (`same-site`) is another's page too.
_OWN = frozenset({"same-origin", "none"})


def require_own_form() -> None:
    """Let the current request, which is a form of these pages, go on.

    Raises:
        CrossSiteRefused: a page of another site sends it.
    """
    if not _own():
        raise CrossSiteRefused("A page of another site sends this form. Open the page here, and send it from there.")


def _own() -> bool:
    """True unless the browser says that it asks for another site."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") in _OWN


class CrossSite:
    """Knows which pages may call."""

    def __init__(self, origins: Sequence[str]) -> None:
        """``origins``: as in ``SILLAGE_CORS_ORIGINS``."""
        self._origins = frozenset(origins)

    def require(self) -> None:
        """Let the current request, which has credentials, go on.

        Raises:
            CrossSiteRefused: it is of a page of another origin, and not a fetch (CORS) of one that may call.
        """
        if _own():
            return
        listed = cors.ANY in self._origins or request.headers.get("Origin") in self._origins
        if request.headers.get("Sec-Fetch-Mode") != "cors" or not listed:
            raise CrossSiteRefused(
                "A browser asks this for a page of another origin, which may not call this store. Send it with fetch "
                "in mode `cors`, from an origin that SILLAGE_CORS_ORIGINS lists."
            )
