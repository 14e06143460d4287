"""Somebody who is signed in, for tests of the pages behind sign-in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from uuid import uuid4

import requests
from playwright.sync_api import BrowserContext

from app.access.perimeters import Perimeter, Territory
from app.access.roles import BOUNDED, Grant, Role
from app.access.users.service import User
from app.web.portal.visitors import COOKIE
from tests.served import Server

_TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')
NAME = "Camille Exemple"


def grant(role: Role, **bounds: object) -> Grant:
    """A role, with a perimeter where the role needs one and none is given."""
    made = Perimeter(**bounds)  # type: ignore[arg-type] # by name
    bound = BOUNDED.get(role)
    if bound == "sources" and made.sources is None:
        made = made._replace(sources=frozenset({"tutor"}))
    if bound == "territories" and made.territories is None:
        made = made._replace(territories=frozenset({Territory("school", "0750001A")}))
    return Grant(role, made)


class SignedIn:
    """A browser of somebody who is signed in."""

    def __init__(self, server: Server, user: User, token: str) -> None:
        self._server = server
        self.user = user
        self.token = token

    def get(self, path: str, **options: object) -> requests.Response:
        """A page, by its path with its language."""
        headers = {"Cookie": f"{COOKIE}={self.token}", "Accept": "text/html"}
        return requests.get(
            self._server.url + path,
            headers=headers,
            timeout=60,
            allow_redirects=False,
            **options,  # type: ignore[arg-type] # by name
        )

    def post(
        self, path: str, fields: Mapping[str, str] | Sequence[tuple[str, str]] = (), *, token: str | None = None
    ) -> requests.Response:
        """Send a form, with the token of the session (or another)."""
        pairs = [*fields.items()] if isinstance(fields, Mapping) else [*fields]
        pairs.append(("token", self.form_token() if token is None else token))
        headers = {"Cookie": f"{COOKIE}={self.token}", "Accept": "text/html"}
        return requests.post(self._server.url + path, pairs, headers=headers, timeout=60, allow_redirects=False)

    def form_token(self) -> str:
        """The token that forms of the session have."""
        found = _TOKEN.search(self.get("/en/account").text)
        assert found is not None
        return found[1]

    def into(self, context: BrowserContext) -> None:
        """Have a browser of Playwright show the session."""
        # Of a cookie of this name the browser asks that it be set over TLS; it sends it to this machine without.
        address = self._server.url.replace("http:", "https:")
        context.add_cookies([{"name": COOKIE, "value": self.token, "url": address, "secure": True, "httpOnly": True}])


def signed_in(server: Server, *grants: Grant | Role, purpose: str | None = "audit") -> SignedIn:
    """Make an account with these roles, and a session of it; ``purpose``: that they have chosen."""
    held = [each if isinstance(each, Grant) else grant(each) for each in grants]
    access = server.container.access
    user = access.users.add(f"{uuid4().hex[:12]}@ecole.example", name=NAME, grants=held, actor="cli:test")
    token = access.sessions.open(user, "local")
    if purpose is not None:
        session = access.sessions.find(token)
        assert session is not None
        access.sessions.choose(session, purpose)
    return SignedIn(server, user, token)
