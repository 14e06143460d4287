"""The door: forms of those who are not signed in yet, and what their browser is known by."""

from __future__ import annotations

import hmac
import re
from typing import Final

from flask import Response, request

from app.core import clock
from app.crypto.keys import OrganisationKeys
from app.web.cross_site import require_own_form
from app.web.portal import forms
from app.web.portal.forms import Form

COOKIE: Final = "__Host-sillage-door"
"""Name of the cookie that ties a form to the browser that was given it, until it is closed."""
KNOWN_COOKIE: Final = "__Host-sillage-known"
"""Name of the cookie of a browser in which somebody has signed in."""
HINT_COOKIE: Final = "__Host-sillage-hint"
"""Name of the cookie with what signing out of a provider takes, sealed."""
_KNOWN_SECONDS: Final = 180 * 86_400
_NONCE: Final = re.compile(r"[0-9a-f]{64}")
_MARK: Final = re.compile(r"[0-9a-f]{96}")


class Door:
    """Gives forms tokens that only the browser has which was given them: nobody signs another one in by a page of
    theirs (login CSRF). Safe to share between threads.
    """

    def __init__(self, keys: OrganisationKeys, proxies: int = 0, *, behind_tls: bool = False) -> None:
        """``proxies``: how many in front add to ``X-Forwarded-For``; ``behind_tls``: there is one at least."""
        self._keys = keys
        self._proxies = proxies
        self._behind_tls = behind_tls

    def token(self) -> tuple[str, str]:
        """The token of a form, and the cookie that must come with it."""
        cookie = request.cookies.get(COOKIE, "")
        if not _NONCE.fullmatch(cookie):
            cookie = clock.random_bytes(32).hex()
        return self._token(cookie), cookie

    def cookie(self) -> str:
        """The cookie that the browser shows; empty without one."""
        cookie = request.cookies.get(COOKIE, "")
        return cookie if _NONCE.fullmatch(cookie) else ""

    def form(self) -> Form | None:
        """The form of the current request; None: it is not one that this browser was given, or that was long ago.

        Raises:
            CrossSiteRefused: a page of another site sends it.
        """
        require_own_form()
        form, cookie = forms.read(), request.cookies.get(COOKIE, "")
        given = form.text(forms.TOKEN)
        if not _NONCE.fullmatch(cookie) or not hmac.compare_digest(self._token(cookie).encode(), given.encode()):
            return None
        return form

    def address(self) -> str | None:
        """The address that asks, as far as somebody who is trusted says; None: nobody does.

        Of what proxies add, the last are theirs; what stands before these, anybody may have written.
        """
        if not self._proxies:
            return None if self._behind_tls else request.remote_addr
        said = [each.strip() for each in ",".join(request.headers.getlist("X-Forwarded-For")).split(",")]
        return said[-self._proxies] if len(said) >= self._proxies else None

    def mark(self) -> str | None:
        """The mark by which the browser shows to be one in which somebody has signed in."""
        given = request.cookies.get(KNOWN_COOKIE, "")
        return given if _MARK.fullmatch(given) else None

    def _token(self, cookie: str) -> str:
        return self._keys.mac("door", cookie.encode()).hex()


def remember(answer: Response, cookie: str) -> None:
    """Have the browser keep the cookie of a form."""
    answer.set_cookie(COOKIE, cookie, path="/", secure=True, httponly=True, samesite="Lax")


def forget(answer: Response) -> None:
    """Have the browser drop it: what was given before somebody signed in is good for nothing after."""
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")


def hint(answer: Response, sealed: str) -> None:
    """Have the browser keep what signing out of a provider takes; empty: have it dropped."""
    if sealed:
        answer.set_cookie(HINT_COOKIE, sealed, path="/", secure=True, httponly=True, samesite="Strict")
    else:
        answer.delete_cookie(HINT_COOKIE, path="/", secure=True, httponly=True, samesite="Strict")


def know(answer: Response, mark: str) -> None:
    """Have the browser keep what it is known by."""
    answer.set_cookie(
        KNOWN_COOKIE, mark, max_age=_KNOWN_SECONDS, path="/", secure=True, httponly=True, samesite="Strict"
    )
