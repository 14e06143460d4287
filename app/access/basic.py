"""HTTP Basic authentication (RFC 7617): the id of a credential as the user name, its secret as the password."""

from __future__ import annotations

import base64
import binascii

from app.access.authenticators import AUTHORIZATION, RequestHead
from app.access.credentials import Access
from app.access.principals import Principal
from app.core.errors import CredentialsRefused


class Basic:
    """Authenticates credentials of sources and of persons."""

    field = AUTHORIZATION
    challenge = 'Basic realm="Sillage", charset="UTF-8"'
    advice = "Send credentials with HTTP Basic authentication; of a form, in its field `Authorization`."

    def __init__(self, access: Access) -> None:
        self._access = access

    def authenticate(self, head: RequestHead) -> Principal | None:
        """``Authenticator.authenticate``: for ``Authorization: Basic``."""
        scheme, _, encoded = (head.fields.get(AUTHORIZATION) or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        return self._access.verify(*_taken_apart(encoded))


def _taken_apart(encoded: str) -> tuple[str, bytes]:
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        id = name.decode("ascii")
    except (binascii.Error, ValueError):
        colon = b""
    if not colon:
        raise CredentialsRefused("The Authorization header is not valid Basic credentials.")
    return id, secret
