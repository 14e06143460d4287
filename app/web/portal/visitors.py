"""Visitors: who is signed in, by the session that their browser shows in a cookie."""

from __future__ import annotations

import hmac
import re
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from flask import Response, request

from app.access import scopes
from app.access.principals import Kind, Principal
from app.access.roles import SCOPES, Grant, Role
from app.access.users.service import User
from app.access.users.sessions import Session, Sessions
from app.core import clock
from app.core.clock import Now
from app.crypto.keys import OrganisationKeys

COOKIE: Final = "__Host-sillage"
"""Name of the cookie: browsers take it over TLS alone (or from the same machine), for this host and every path."""
_TOKEN: Final = re.compile(r"[0-9a-f]{64}")


class Visitor(NamedTuple):
    """Somebody who is signed in.

    Attributes:
        session: Their session.
        grants: Their roles that hold now.
        form_token: The text that a form of this session must send back.
    """

    session: Session
    grants: tuple[Grant, ...]
    form_token: str

    @property
    def user(self) -> User:
        """Their account."""
        return self.session.user

    @property
    def roles(self) -> tuple[Role, ...]:
        """Their roles, in the order of ``Role``, each once."""
        held = {grant.role for grant in self.grants}
        return tuple(role for role in Role if role in held)

    def of(self, role: Role) -> tuple[Grant, ...]:
        """Their grants of a role: of a producer one for each source, of a head one for each school."""
        return tuple(grant for grant in self.grants if grant.role is role)

    def principal(self, grant: Grant) -> Principal:
        """The principal that services see, acting in one of their roles, within its perimeter."""
        sources = grant.perimeter.sources or frozenset()
        return Principal(
            Kind.PERSON,
            self.user.id,
            scopes.closure(SCOPES[grant.role]),
            next(iter(sources)) if grant.role is Role.PRODUCER else None,
            self.session.purpose,
            grant.perimeter,
        )


class Serving(Protocol):
    """This process among those that serve."""

    def require(self) -> object:
        """Raise when MongoDB is known to be away."""

    def require_right_clock(self) -> object:
        """Raise when this host's clock is off."""


class Visitors:
    """Finds the visitor of the current request. Safe to share between threads."""

    def __init__(self, sessions: Sessions, keys: OrganisationKeys, serving: Serving, now: Now = clock.now) -> None:
        self._sessions = sessions
        self._keys = keys
        self._serving = serving
        self._now = now

    def find(self) -> Visitor | None:
        """The visitor of the current request; None: nobody.

        Raises:
            DatabaseUnavailable: MongoDB is away.
        """
        self._serving.require()
        token = _token()
        return self.of_token(token) if token else None

    def of_token(self, token: str) -> Visitor | None:
        """The visitor whose session has a token; None: nobody's."""
        session = self._sessions.find(token)
        if session is None:
            return None
        now: datetime = self._now()
        return Visitor(session, session.user.roles(now), self._keys.mac("form", session.id.encode()).hex())

    def pending(self) -> Session | None:
        """The session of somebody who is on the way in; it opens nothing but the page of the step that it lacks."""
        token = _token()
        return self._sessions.find_pending(token) if token else None

    def session(self) -> Session | None:
        """The session that the browser shows, pending or not."""
        token = _token()
        return self._sessions.find_any(token) if token else None

    def require(self) -> None:
        """Refuse to look at anything while MongoDB is away.

        Raises:
            DatabaseUnavailable: it is.
        """
        self._serving.require()

    def require_right_clock(self) -> None:
        """Refuse to change anything while this host's clock is off.

        Raises:
            ClockOff: it is.
        """
        self._serving.require_right_clock()

    def genuine(self, visitor: Visitor, token: str) -> bool:
        """True if a form of this visitor's session sent this token back."""
        return hmac.compare_digest(visitor.form_token.encode(), token.encode())


def _token() -> str:
    token = request.cookies.get(COOKIE, "")
    return token if _TOKEN.fullmatch(token) else ""


def remember(answer: Response, token: str) -> None:
    """Have the browser keep the token of a session that was just opened, until it is closed."""
    answer.set_cookie(COOKIE, token, path="/", secure=True, httponly=True, samesite="Lax")


def forget(answer: Response) -> None:
    """Have the browser drop the token."""
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
