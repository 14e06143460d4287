"""The gate of every protected route: who sends this request, and may they?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flask.globals import request_ctx

from app.access import scopes as scope
from app.access.authenticators import Authenticators, RequestHead
from app.access.principals import Kind, Principal, Sender
from app.core.errors import OutsidePerimeter, ScopeMissing
from app.web import bounds
from app.web.admission.client_socket import ClientSocket

AUTHENTICATORS = "authenticators"
"""Name of an application's ``Authenticators`` among its extensions."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

WHOLE = "the whole"
"""Name, in the audit log, of what is asked for where a route knows no perimeter."""
KNOWS_NONE = {
    scope.GOVERNANCE_READ: "The register, retention and the audit log are told for the whole store.",
    scope.RIGHTS: "The rights of a data subject reach whatever is kept of them, wherever that is.",
    scope.STATE: "A document names neither a school nor a day, and every source may have written to it.",
    scope.PROFILE: "A document names neither a school nor a day, and every source may have written to it.",
    scope.METRICS: "Figures of the service are of the whole store.",
}
"""Reasons, by the scope that a route asks for, why it does not limit what it gives."""


class Serving(Protocol):
    """This process among those that serve."""

    def require(self) -> object:
        """Raise when the store is known to be unable to answer any request now."""

    def require_right_clock(self) -> object:
        """Raise when it is known to be unable to answer one that writes."""


class PurposeNoting(Protocol):
    """Takes note of what each request is for."""

    def note(self, principal: Principal, asked: Sequence[str]) -> Principal:
        """The principal with the purpose of the request, whose route asks for one of these scopes; or refuse it."""


class OwnPages(Protocol):
    """Knows which pages may call."""

    def require(self) -> object:
        """Raise when a browser sends the request for a page that may not call the store."""


class Gate:
    """Authenticates the current request."""

    def __init__(
        self,
        authenticators: Authenticators,
        serving: Serving,
        purposes: PurposeNoting,
        own_pages: OwnPages,
    ) -> None:
        """Nobody is let in yet."""
        self._authenticators = authenticators
        self._serving = serving
        self._purposes = purposes
        self._own_pages = own_pages

    def principal(self, *scopes: str, bounded: bool = False) -> Principal:
        """The sender of this request, who has one of the scopes.

        Args:
            scopes: The scopes.
            bounded: True where the route gives no more than the perimeter of the principal allows; elsewhere nobody
                is let in who has one, so that a route that forgets them gives them nothing.

        Raises:
            OutsidePerimeter: it has a perimeter, and the route does not limit what it gives.
            CrossSiteRefused: it is sent for a page that may not call the store.
            CredentialsRefused: there are no credentials, or they are not valid.
            ScopeMissing: it has none of the scopes.
            BadParameter: what it says the request is for is not known here, or it must say so.
            ClockOff: the request may write, and this host's clock is off.
            DatabaseUnavailable: MongoDB is known to be away. Told at once: while it is, requests that each waited for
                it would hold every thread, and those that wait for a thread would wait several times as long.
        """
        principal = self._purposes.note(self._scoped(scopes), scopes)
        if not principal.perimeter.unbounded:
            bounds.note(principal)
            if not bounded:
                why = next((KNOWS_NONE[each] for each in scopes if each in KNOWS_NONE), "It is not limited by one.")
                raise OutsidePerimeter(
                    f"This resource is refused to keys with a perimeter. {why} "
                    f"This key allows: {principal.perimeter.described()}.",
                    asked=WHOLE,
                )
        return principal

    def sender(self, *scopes: str) -> Sender:
        """``principal``, of a source: for what changes what is kept in the name of one (docs/api.md, scopes).

        Raises:
            ScopeMissing: it has none of the scopes, or is no source.
            SillageError: as ``principal``.
        """
        principal = self._scoped(scopes)
        if principal.kind is not Kind.SOURCE or principal.source is None:
            raise ScopeMissing("Only the credentials of a source may do this; these belong to none.")
        self._purposes.note(principal, scopes)
        return Sender(principal.id, principal.source, principal.scopes)

    def _scoped(self, scopes: Sequence[str]) -> Principal:
        self._serving.require()
        asked = request_ctx.request  # once: each use of Flask's `request` looks for it
        head = RequestHead(asked.method, asked.path, asked.headers)
        if self._authenticators.shown(head):
            # Before they are looked at: such a page is not to learn whether they are valid.
            self._own_pages.require()
        principal = self._authenticators.principal(head)
        connection = asked.environ.get("gunicorn.socket")
        if isinstance(connection, ClientSocket):
            connection.learn(principal.share)
        if principal.scopes.isdisjoint(scopes):
            raise ScopeMissing(f"This needs one of the scopes: {', '.join(scopes)}.")
        # RFC 9110 9.2.1: what does not write says so by its method.
        if asked.method not in _SAFE:
            self._serving.require_right_clock()
        return principal
