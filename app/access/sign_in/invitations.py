"""Invitations: a link, good once, with which somebody chooses how they sign in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from app.access.sign_in.store import InvitationRepository, StoredInvitation
from app.access.users.service import User, Users
from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.clock import Now
from app.core.errors import BadRequest, InvitationRefused, NotFound
from app.governance.audit.log import USER_INVITED
from app.mail.service import Mail

LASTS: Final = timedelta(days=7)
CODE_BYTES: Final = 24


class Invited(NamedTuple):
    """An invitation, made.

    Attributes:
        link: Its link; the code in it is seen only here.
        ends: Its last instant.
        sent: It is on its way by e-mail.
    """

    link: str
    ends: datetime
    sent: bool


class Invitations:
    """Makes and takes invitations. Safe to share between threads."""

    def __init__(
        self,
        repository: InvitationRepository,
        users: Users,
        audit: AuditSink,
        mail: Mail,
        public_url: str,
        zone: ZoneInfo,
        now: Now = clock.now,
    ) -> None:
        """``public_url``: that of this store, which links begin with; ``zone``: of the day that messages tell."""
        self._repository = repository
        self._users = users
        self._audit = audit
        self._mail = mail
        self._zone = zone
        self._public_url = public_url.rstrip("/")
        self._now = now

    def invite(self, user: User, *, actor: str, by_mail: bool = True) -> Invited:
        """Make an invitation in place of an earlier one, and have it sent, where there is a mail server and the login
        is an address.
        """
        code, now = clock.random_bytes(CODE_BYTES).hex(), self._now()
        self._audit.append(USER_INVITED, actor, {"user": user.id})
        self._repository.put(StoredInvitation(_digest(code), user.id, now, now + LASTS))
        # In the query: logs have the path alone.
        link = f"{self._public_url}/{user.language}/invitation?code={code}"
        return Invited(link, now + LASTS, by_mail and self._send(user, link, now + LASTS))

    def _send(self, user: User, link: str, ends: datetime) -> bool:
        if not self._mail.configured:
            return False
        try:
            # The last day that it is good on from its first to its last instant.
            last_day = ends.astimezone(self._zone).date() - timedelta(days=1)
            return self._mail.send(user.login, "invitation", user.language, {"link": link, "until": last_day})
        except BadRequest:
            return False

    def user(self, code: str) -> User:
        """The account that an invitation is for.

        Raises:
            InvitationRefused: there is none with this code, or it has ended, or its account has.
        """
        found = self._repository.get(_digest(code))
        if found is None or self._now() >= found.ends:
            raise _refused()
        return self._invited(found)

    def take(self, code: str) -> User:
        """Use an invitation up; raises as ``user``."""
        found = self._repository.take(_digest(code), self._now())
        if found is None:
            raise _refused()
        return self._invited(found)

    def ends(self, user: User) -> datetime | None:
        """Until when the invitation of an account is good; None: there is none."""
        return self.ends_of([user]).get(user.id)

    def ends_of(self, users: Sequence[User]) -> Mapping[str, datetime]:
        """Until when the invitations of these accounts are good, by their ids; nothing of those that have none."""
        now = self._now()
        found = self._repository.ends_of([user.id for user in users])
        return {id: ends for id, ends in found.items() if now < ends}

    def _invited(self, found: StoredInvitation) -> User:
        try:
            user = self._users.get(found.user)
        except NotFound:
            raise _refused() from None
        if user.disabled is not None:
            raise _refused()
        return user


def _refused() -> InvitationRefused:
    return InvitationRefused("There is no such invitation, or it was used, or it has ended. Ask for another one.")


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
