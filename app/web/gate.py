"""The gate of every protected route: who sends this request, and may they?"""

from __future__ import annotations

from flask import g, request

from app.access.credentials import Access, Credential
from app.errors import ScopeMissing


class Gate:
    """Authenticates the current request."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def credential(self, *scopes: str) -> Credential:
        """The credential of this request, which has one of the scopes.

        Raises:
            CredentialsRefused: there is none, or it is not valid.
            ScopeMissing: it has none of the scopes.
        """
        credential = self._access.verify(request.headers.get("Authorization"))
        g.credential = credential.id
        if credential.scopes.isdisjoint(scopes):
            raise ScopeMissing(f"This needs one of the scopes: {', '.join(scopes)}.")
        return credential
