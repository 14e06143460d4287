"""User accounts: added, given roles, disabled, removed, each change on record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import orjson

from app.access.roles import BOUNDED, Grant, Role
from app.access.sign_in.store import InvitationRepository
from app.access.users.secrets import Secrets
from app.access.users.store import (
    SessionRepository,
    StoredUser,
    UserRepository,
    grant_document,
    place,
)
from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.clock import Now
from app.core.errors import Fault, NotFound, RegisterInvalid, UserConflict
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import USER_ADDED, USER_CHANGED, USER_REMOVED

MAX_NAME = 100
MAX_LOGIN = 254
"""Characters of a login, which is an e-mail address (RFC 5321 4.5.3.1.3)."""
LANGUAGES = ("fr", "en")
_TRIES = 5


class User(NamedTuple):
    """An account, opened.

    Attributes:
        id: Public id, random; the actor of the audit log.
        name: What they are called; personal.
        login: What they sign in with, an e-mail address as a rule; personal.
        language: Of what is sent to them, one of ``LANGUAGES``.
        grants: Roles, with those that have ended.
        created: When it was made.
        disabled: Since when nobody signs in by it.
    """

    id: str
    name: str
    login: str
    language: str
    grants: tuple[Grant, ...]
    created: datetime
    disabled: datetime | None = None

    def roles(self, now: datetime) -> tuple[Grant, ...]:
        """The roles that hold at an instant; none of a disabled account."""
        if self.disabled is not None:
            return ()
        return tuple(grant for grant in self.grants if grant.ends is None or now < grant.ends)


class Users:
    """The accounts. Safe to share between threads."""

    def __init__(
        self,
        repository: UserRepository,
        sessions: SessionRepository,
        invitations: InvitationRepository,
        keys: OrganisationKeys,
        audit: AuditSink,
        now: Now = clock.now,
    ) -> None:
        self._repository = repository
        self._sessions = sessions
        self._invitations = invitations
        self._keys = keys
        self._audit = audit
        self._now = now

    def add(self, login: str, *, name: str, grants: Sequence[Grant], language: str = "fr", actor: str) -> User:
        """Make an account.

        Raises:
            RegisterInvalid: login, name, language or a role is not as it must be.
            UserConflict: there is an account with that login.
        """
        login, name = _login(login), _name(name)
        if language not in LANGUAGES:
            raise _invalid("language", f"language is one of: {', '.join(LANGUAGES)}.")
        self._check(grants)
        id = f"u-{clock.random_bytes(12).hex()}"
        # As MongoDB keeps it: in milliseconds.
        now = self._now()
        created = now.replace(microsecond=now.microsecond // 1_000 * 1_000)
        user = User(id, name, login, language, tuple(grants), created)
        if self._repository.by_login(self._token(login)) is not None:
            raise UserConflict("There is an account with this login already. `sillage user list` shows it.")
        self._audit.append(USER_ADDED, actor, {"user": id, "grants": _told(user.grants)})
        if not self._repository.add(self._stored(user)):
            raise UserConflict("There is an account with this login already. `sillage user list` shows it.")
        return user

    def get(self, id: str) -> User:
        """One account.

        Raises:
            NotFound: there is none.
        """
        return self._opened(self._row(id))

    def find(self, login: str) -> User | None:
        """The account with a login, whatever its case; None without one."""
        found = self._repository.by_login(self._token(login.strip()[:MAX_LOGIN]))
        return None if found is None else self._opened(found)

    def list(self) -> Sequence[User]:
        """Every account, oldest first."""
        return [self._opened(row) for row in self._repository.list()]

    def page(self, after: User | None, limit: int) -> Sequence[tuple[User, Secrets]]:
        """Accounts with their secrets, oldest first, ``limit`` of them at most: those after one of them."""
        rows = self._repository.page(None if after is None else (after.created, after.id), limit)
        return [(self._opened(row), self._secrets(row)) for row in rows]

    def any(self) -> bool:
        """True if there is an account."""
        return self._repository.any()

    def give(self, id: str, edit: Callable[[tuple[Grant, ...]], Sequence[Grant]], *, actor: str) -> User:
        """Give an account other roles in place of those that it has; its sessions end.

        Args:
            id: The account.
            edit: From the roles that it has to those that it is to have; asked again where somebody else changed them
                meanwhile, so that of two who change roles at once neither takes the other's back.
            actor: For the audit log.

        Raises:
            NotFound: there is no such account.
            RegisterInvalid: a role is not as it must be, or it is one's own account.
        """
        require_other(id, actor)

        def given(row: StoredUser) -> StoredUser:
            grants = tuple(edit(row.grants))
            self._check(grants)
            self._audit.append(USER_CHANGED, actor, {"user": id, "grants": _told(grants)})
            return row._replace(grants=grants)

        changed = self._change(id, given)
        self._sessions.remove_all(id)
        return self._opened(changed)

    def disable(self, id: str, *, actor: str) -> User:
        """Let nobody sign in by an account any more; its sessions and its invitation end.

        Raises:
            NotFound: there is no such account.
        """
        require_other(id, actor)
        self._row(id)
        self._audit.append(USER_CHANGED, actor, {"user": id, "disabled": True})
        changed = self._change(id, lambda row: row._replace(disabled=self._now()))
        self._end(id)
        return self._opened(changed)

    def enable(self, id: str, *, actor: str) -> User:
        """Let its owner sign in again.

        Raises:
            NotFound: there is no such account.
        """
        self._row(id)
        self._audit.append(USER_CHANGED, actor, {"user": id, "disabled": False})
        return self._opened(self._change(id, lambda row: row._replace(disabled=None)))

    def remove(self, id: str, *, actor: str) -> None:
        """Remove an account, its sessions and its invitation first. The audit log keeps its id, which names nobody.

        Raises:
            NotFound: there is no such account.
        """
        require_other(id, actor)
        self._row(id)
        self._audit.append(USER_REMOVED, actor, {"user": id})
        self._end(id)
        self._repository.remove(id)

    def _end(self, id: str) -> None:
        self._sessions.remove_all(id)
        self._invitations.remove_all(id)

    # --- secrets of local accounts ------------------------------------------------------------------

    def with_secrets(self, login: str) -> tuple[User, Secrets] | None:
        """The account with a login, and its secrets; None without one."""
        found = self._repository.by_login(self._token(login.strip()[:MAX_LOGIN]))
        return None if found is None else (self._opened(found), self._secrets(found))

    def secrets(self, id: str) -> Secrets:
        """The secrets of an account.

        Raises:
            NotFound: there is none.
        """
        return self._secrets(self._row(id))

    def edit_secrets(self, id: str, edit: Callable[[Secrets], Secrets]) -> Secrets:
        """Change the secrets of an account; what ``edit`` sees is what it changes, whoever else is at it.

        Raises:
            NotFound: there is none.
            UserConflict: others keep changing it.
        """

        def edited(row: StoredUser) -> StoredUser:
            held = self._secrets(row)
            changed = edit(held)
            if changed is held:
                return row
            return row._replace(secrets=self._keys.encrypt(place(id, "secrets"), changed.encoded()))

        return self._secrets(self._change(id, edited))

    def _secrets(self, row: StoredUser) -> Secrets:
        return Secrets.decoded(self._keys.decrypt(place(row.id, "secrets"), row.secrets))

    def _row(self, id: str) -> StoredUser:
        row = self._repository.get(id)
        if row is None:
            raise NotFound("There is no such account. `sillage user list` shows them.")
        return row

    def _change(self, id: str, edit: Callable[[StoredUser], StoredUser]) -> StoredUser:
        for _ in range(_TRIES):
            row = self._row(id)
            edited = edit(row)
            if edited is row:
                return row
            changed = edited._replace(n=row.n + 1)
            if self._repository.replace(changed):
                return changed
        raise UserConflict("This account is being changed by others. Try again.")

    def _check(self, grants: Sequence[Grant]) -> None:
        for grant in grants:
            bound = BOUNDED.get(grant.role)
            if bound is not None and not getattr(grant.perimeter, bound):
                raise _invalid(bound, f"The role {grant.role} needs {bound}.")
            if grant.role is Role.PRODUCER and len(grant.perimeter.sources or ()) != 1:
                raise _invalid("sources", "The role producer is of one source; give it several times for several.")

    def _token(self, login: str) -> bytes:
        return self._keys.mac("user-login", login.casefold().encode())

    def _stored(self, user: User) -> StoredUser:
        profile = orjson.dumps({"name": user.name, "login": user.login, "language": user.language})
        return StoredUser(
            user.id,
            self._token(user.login),
            self._keys.encrypt(place(user.id, "profile"), profile),
            self._keys.encrypt(place(user.id, "secrets"), Secrets().encoded()),
            user.grants,
            user.created,
            user.disabled,
        )

    def _opened(self, row: StoredUser) -> User:
        profile = orjson.loads(self._keys.decrypt(place(row.id, "profile"), row.profile))
        return User(
            row.id, profile["name"], profile["login"], profile["language"], row.grants, row.created, row.disabled
        )


def _told(grants: Sequence[Grant]) -> list[dict[str, object]]:
    return [
        {**grant_document(grant), "ends": None if grant.ends is None else grant.ends.isoformat()} for grant in grants
    ]


def _invalid(what: str, message: str) -> RegisterInvalid:
    return RegisterInvalid(message, faults=[Fault(f"/{what}", f"user-{what}", "Sillage, accounts", message)])


def require_other(id: str, actor: str) -> None:
    """Refuse that somebody changes their own account: a role that one gives oneself, nobody has given.

    Raises:
        RegisterInvalid: they do.
    """
    if id == actor:
        raise _invalid("own", "Nobody changes their own roles, or closes their own account: ask another operator.")


def _login(text: str) -> str:
    login = text.strip()
    if not login or len(login) > MAX_LOGIN or any(not sign.isprintable() or sign.isspace() for sign in login):
        raise _invalid(
            "login", f"A login is an e-mail address, or a name without spaces, of {MAX_LOGIN} characters at most."
        )
    return login


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise _invalid("name", f"A name has one to {MAX_NAME} printable characters.")
    return name
