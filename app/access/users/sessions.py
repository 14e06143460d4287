"""Sessions of those who are signed in: a random token in a cookie, its digest in MongoDB."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from app.access.users.service import User, Users
from app.access.users.store import SessionRepository, StoredSession
from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.clock import Now
from app.core.errors import NotFound
from app.governance.audit.log import SIGNED_OUT

TOKEN_BYTES = 32
IDLE = timedelta(minutes=30)
"""A session ends when nothing is asked in it for so long."""
LONGEST = timedelta(hours=12)
"""A session ends after this, whatever is asked."""
HALFWAY = timedelta(minutes=10)
"""A session that something is pending of ends after this."""
MAX_FORMS = 100
"""Forms that take effect once, of which a session remembers that they were sent."""
_NOTED = timedelta(minutes=1)


class Pending(StrEnum):
    """Step that a sign-in lacks: until it is done, its session opens the page of that step and nothing else."""

    SECOND_FACTOR = "second-factor"
    """A code of the second factor."""
    SET_UP = "set-up"
    """A second factor at all: the roles ask for one."""


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
        pending: What it lacks to be in force; None: nothing.
    """

    id: str
    user: User
    method: str
    purpose: str | None
    created: datetime
    seen: datetime
    ends: datetime
    pending: Pending | None = None


class Sessions:
    """Opens, finds and ends sessions. Safe to share between threads."""

    def __init__(self, repository: SessionRepository, users: Users, audit: AuditSink, now: Now = clock.now) -> None:
        self._repository = repository
        self._users = users
        self._audit = audit
        self._now = now

    def open(self, user: User, method: str, pending: Pending | None = None) -> str:
        """Begin a session of somebody who has just shown who they are, or begun to.

        Returns:
            Its token, hexadecimal, for the cookie: it is seen only here.
        """
        token, now = clock.random_bytes(TOKEN_BYTES).hex(), self._now()
        ends = now + (LONGEST if pending is None else HALFWAY)
        self._repository.add(StoredSession(_digest(token), user.id, method, None, now, now, ends, pending))
        return token

    def renew(self, session: Session) -> str:
        """Begin a session in place of every one of its account: what was seen of these opens nothing any more.

        Returns:
            Its token.
        """
        token, now = clock.random_bytes(TOKEN_BYTES).hex(), self._now()
        self._repository.add(
            StoredSession(
                _digest(token), session.user.id, session.method, session.purpose, session.created, now, session.ends
            )
        )
        self._repository.remove_all(session.user.id, _digest(token))
        return token

    def find(self, token: str) -> Session | None:
        """The session in force of a token; None where there is none, or it has ended, or its account has."""
        found = self.find_any(token)
        return found if found is not None and found.pending is None else None

    def find_pending(self, token: str) -> Session | None:
        """The session of a token that lacks something yet."""
        found = self.find_any(token)
        return found if found is not None and found.pending is not None else None

    def find_any(self, token: str) -> Session | None:
        """The session of a token, pending or not; None as for ``find``."""
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
            if now < stored.ends and now - stored.seen < IDLE and stored.pending is None
        ]

    def choose(self, session: Session, purpose: str) -> None:
        """Note what its owner reads for from now on."""
        self._repository.change(bytes.fromhex(session.id), purpose=purpose)

    def sign_out(self, session: Session) -> None:
        """End a session, as its owner asks."""
        self._audit.append(SIGNED_OUT, session.user.id, {"user": session.user.id})
        self.end(session)

    def take_form(self, session: Session, form: str) -> bool:
        """Note that a form that takes effect once was sent; False when it was before, whichever process took it."""
        return self._repository.take_form(bytes.fromhex(session.id), form, MAX_FORMS)

    def give_back_form(self, session: Session, form: str) -> None:
        """Let a form be sent again, which came to nothing."""
        self._repository.give_back_form(bytes.fromhex(session.id), form)

    def end(self, session: Session) -> None:
        """End a session."""
        self._repository.remove(bytes.fromhex(session.id))

    def end_others(self, session: Session) -> int:
        """End the other sessions of the same account, as its owner asks; how many there were."""
        self._audit.append(SIGNED_OUT, session.user.id, {"user": session.user.id, "others": True})
        return self._repository.remove_all(session.user.id, bytes.fromhex(session.id))

    def end_all(self, user: User) -> int:
        """End every session of an account; how many there were."""
        return self._repository.remove_all(user.id)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _opened(stored: StoredSession, user: User) -> Session:
    pending = None if stored.pending is None else Pending(stored.pending)
    return Session(
        stored.digest.hex(), user, stored.method, stored.purpose, stored.created, stored.seen, stored.ends, pending
    )
