"""Sessions of those who are signed in: a random token in a cookie, its digest in MongoDB."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from app.access.users.service import User, Users
from app.access.users.store import SessionRepository, StoredSession
from app.core import clock
from app.core.clock import Now
from app.core.errors import NotFound

TOKEN_BYTES = 32
IDLE = timedelta(minutes=30)
"""A session ends when nothing is asked in it for so long."""
LONGEST = timedelta(hours=12)
"""A session ends after this, whatever is asked."""
_NOTED = timedelta(minutes=1)


class Session(NamedTuple):
    """A session in force.

    Attributes:
        id: Digest of its token, in hexadecimal: names it on pages, and opens nothing.
        user: Whose it is.
        method: How they signed in.
        purpose: Code of what they read for; None until they have chosen one.
        created: Its begin.
        seen: When it was used last, to the minute.
        ends: Its last instant, whatever is asked.
    """

    id: str
    user: User
    method: str
    purpose: str | None
    created: datetime
    seen: datetime
    ends: datetime


class Sessions:
    """Opens, finds and ends sessions. Safe to share between threads."""

    def __init__(self, repository: SessionRepository, users: Users, now: Now = clock.now) -> None:
        self._repository = repository
        self._users = users
        self._now = now

    def open(self, user: User, method: str) -> str:
        """Begin a session of somebody who has just shown who they are.

        Returns:
            Its token, hexadecimal, for the cookie: it is seen only here.
        """
        token, now = clock.random_bytes(TOKEN_BYTES).hex(), self._now()
        self._repository.add(StoredSession(_digest(token), user.id, method, None, now, now, now + LONGEST))
        return token

    def find(self, token: str) -> Session | None:
        """The session of a token; None where there is none, or it has ended, or its account has."""
        digest = _digest(token)
        stored, now = self._repository.get(digest), self._now()
        if stored is None:
            return None
        if now >= stored.ends or now - stored.seen >= IDLE:
            self._repository.remove(digest)
            return None
        try:
            user = self._users.get(stored.user)
        except NotFound:
            return None
        if not user.roles(now):
            return None
        if now - stored.seen >= _NOTED:
            self._repository.change(digest, seen=now)
        return _opened(stored, user)

    def of(self, user: User) -> Sequence[Session]:
        """The sessions of an account that are in force, the newest first."""
        now = self._now()
        return [
            _opened(stored, user)
            for stored in self._repository.of(user.id)
            if now < stored.ends and now - stored.seen < IDLE
        ]

    def choose(self, session: Session, purpose: str) -> None:
        """Note what its owner reads for from now on."""
        self._repository.change(bytes.fromhex(session.id), purpose=purpose)

    def end(self, session: Session) -> None:
        """End a session."""
        self._repository.remove(bytes.fromhex(session.id))

    def end_others(self, session: Session) -> int:
        """End the other sessions of the same account; how many there were."""
        return self._repository.remove_all(session.user.id, bytes.fromhex(session.id))

    def end_all(self, user: User) -> int:
        """End every session of an account; how many there were."""
        return self._repository.remove_all(user.id)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _opened(stored: StoredSession, user: User) -> Session:
    return Session(stored.digest.hex(), user, stored.method, stored.purpose, stored.created, stored.seen, stored.ends)
