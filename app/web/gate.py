"""The gate of every protected route: who sends this request, and may they?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import g, request

from app.access.credentials import Access, Credential, Sender
from app.core.errors import ScopeMissing
from app.web.admission.client_socket import ClientSocket

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """Authenticates the current request."""

    def __init__(
        self,
        access: Access,
        require: Callable[[], object] = lambda: None,
        note: Callable[[Credential, Sequence[str]], object] = lambda *_: None,
        own_site: Callable[[], object] = lambda: None,
        *,
        writing: Callable[[], object] = lambda: None,
    ) -> None:
        """``require`` raises when the store is known to be unable to answer any request now; ``writing``, any that
        writes.

        ``own_site`` raises when a browser sends the request for a page that may not call the store.

        ``note`` takes note of what the request is for, or refuses it for that: the credential, the scopes asked for.
        """
        self._access = access
        self._require = require
        self._note = note
        self._own_site = own_site
        self._writing = writing

    def credential(self, *scopes: str) -> Credential:
        """The credential of this request, which has one of the scopes.

        Raises:
            CrossSiteRefused: it is sent for a page that may not call the store.
            CredentialsRefused: there is none, or it is not valid.
            ScopeMissing: it has none of the scopes.
            BadParameter: what it says the request is for is not known here, or it must say so.
            ClockOff: the request may write, and this host's clock is off.
            DatabaseUnavailable: MongoDB is known to be away. Told at once: while it is, requests that each waited for
                it would hold every thread, and those that wait for a thread would wait several times as long.
        """
        credential = self._scoped(scopes)
        self._note(credential, scopes)
        return credential

    def sender(self, *scopes: str) -> Sender:
        """``credential``, of a source: for what changes what is kept in the name of one (docs/api.md, scopes).

        Raises:
            ScopeMissing: it has none of the scopes, or belongs to no source, as those of people do.
            SillageError: as ``credential``.
        """
        credential = self._scoped(scopes)
        if credential.source is None:
            raise ScopeMissing("Only the credentials of a source may do this; these belong to none.")
        self._note(credential, scopes)
        return Sender(credential.id, credential.source, credential.scopes)

    def _scoped(self, scopes: Sequence[str]) -> Credential:
        self._require()
        authorization = request.headers.get("Authorization")
        if authorization is not None:
            # Before they are looked at: such a page is not to learn whether they are valid.
            self._own_site()
        credential = self._access.verify(authorization)
        g.credential = credential.id
        connection = request.environ.get("gunicorn.socket")
        if isinstance(connection, ClientSocket):
            connection.learn(credential.source or f"credential:{credential.id}")
        if credential.scopes.isdisjoint(scopes):
            raise ScopeMissing(f"This needs one of the scopes: {', '.join(scopes)}.")
        # RFC 9110 9.2.1: what does not write says so by its method.
        if request.method not in _SAFE:
            self._writing()
        return credential
