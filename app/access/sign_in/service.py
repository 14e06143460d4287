"""Local sign-in: a password, then a second factor for whoever may see data of others."""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple, NoReturn

from app.access.roles import SECOND_FACTOR
from app.access.sign_in import passwords, second_factor, throttle
from app.access.sign_in.invitations import Invitations, Invited
from app.access.sign_in.passwords import Passwords
from app.access.sign_in.throttle import Attempt, Throttle
from app.access.users.secrets import Secrets
from app.access.users.service import User, Users, require_other
from app.access.users.sessions import Pending, Session, Sessions
from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.clock import Now
from app.core.errors import Overloaded, SignInRefused
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import SIGN_IN_REFUSED, SIGNED_IN, USER_CHANGED

LOCAL: Final = "local"
"""Method of those who sign in with a password."""
PAGE: Final = "page:sign-in"
"""Actor of refusals: nobody who is known."""


class SignedIn(NamedTuple):
    """A step of a sign-in, done.

    Attributes:
        token: Of the session that was opened.
        pending: What that session lacks; None: it is in force.
        user: Whose it is.
    """

    token: str
    pending: Pending | None
    user: User


class LocalSignIn:
    """Signs people in who have a local account. Safe to share between threads."""

    def __init__(
        self,
        users: Users,
        sessions: Sessions,
        invitations: Invitations,
        attempts: Throttle,
        keys: OrganisationKeys,
        audit: AuditSink,
        *,
        service_name: str,
        second_factor_off: bool = False,
        hashing: Passwords | None = None,
        now: Now = clock.now,
    ) -> None:
        """``service_name``: what authenticators call it; ``second_factor_off``: of a demonstration."""
        self._users = users
        self._sessions = sessions
        self._invitations = invitations
        self._attempts = attempts
        self._keys = keys
        self._audit = audit
        self._service_name = service_name
        self._second_factor_off = second_factor_off
        self._hashing = hashing or Passwords()
        self._now = now

    # --- the password -------------------------------------------------------------------------------

    def check_password(self, login: str, password: str, *, address: str | None, browser: str | None = None) -> SignedIn:
        """Open a session of whoever knows the password of a login.

        An unknown login, one that has no password, or no role now, and a wrong password are one answer, after the same
        work.

        Args:
            login: As typed.
            password: As typed.
            address: Of who asks; None where nobody knows it.
            browser: What a browser shows that its owner signed in with before (``browser_mark``).

        Raises:
            SignInRefused: it is not the password of this login.
            SignInThrottled: it comes too soon after others.
            Overloaded: too many sign in at this moment.
        """
        login = login.strip()
        known = browser if browser is not None and self._is_known(browser, login) else None
        attempt = self._attempts.begin(throttle.of_login(login, known), throttle.of_address(address))
        found = self._users.with_secrets(login)
        user, secrets = found or (None, Secrets())
        right = self._matches(attempt, password, secrets.password)
        if user is None or not right or not user.roles(self._now()):
            self._refuse("credentials", {"login": self._keys.named("login", login.casefold()).hex()})
        attempt.succeeded()
        if secrets.password is not None and self._hashing.outdated(secrets.password):
            hashed = self._hashing.hashed(password)
            # Unless it was changed or taken off meanwhile.
            self._users.edit_secrets(
                user.id, lambda held: held._replace(password=hashed) if held.password == secrets.password else held
            )
        return self._passed(user, secrets)

    def accept(self, code: str, password: str) -> SignedIn:
        """Take an invitation: choose a password, and open a session.

        Raises:
            InvitationRefused: it is none, or not any more.
            PasswordRefused: the password is not good; the invitation stays.
        """
        user = self._invitations.user(code)
        self._require_good(user, password)
        hashed = self._hashing.hashed(password)
        # Whoever has it now, nobody else has.
        user = self._invitations.take(code)
        self._audit.append(USER_CHANGED, user.id, {"user": user.id, "password": True})
        secrets = self._users.edit_secrets(user.id, lambda held: held._replace(password=hashed))
        self._sessions.end_all(user)
        return self._passed(user, secrets)

    def change_password(self, session: Session, current: str, password: str) -> str:
        """Give one's account another password; every session of it ends.

        Returns:
            The token of a session in place of this one.

        Raises:
            SignInRefused: the current password is wrong.
            SignInThrottled: it comes too soon after others.
            PasswordRefused: the new one is not good.
        """
        user = session.user
        self._require_password(session, current)
        self._require_good(user, password)
        hashed = self._hashing.hashed(password)
        self._audit.append(USER_CHANGED, user.id, {"user": user.id, "password": True})
        self._users.edit_secrets(user.id, lambda held: held._replace(password=hashed))
        return self._sessions.renew(session)

    def _require_password(self, session: Session, current: str) -> None:
        # Whoever has got hold of an open browser has not got its owner's password.
        user = session.user
        attempt = self._attempts.begin(throttle.of_second_factor(f"{user.id} password"))
        if not self._matches(attempt, current, self._users.secrets(user.id).password):
            self._refuse("credentials", {"user": user.id})
        attempt.succeeded()

    def _matches(self, attempt: Attempt, password: str, stored: str | None) -> bool:
        try:
            return self._hashing.matches(password, stored)
        except Overloaded:
            attempt.withdraw()
            raise

    def _require_good(self, user: User, password: str) -> None:
        passwords.require_good(password, user.login, user.name, self._service_name)

    # --- the second factor --------------------------------------------------------------------------

    def needs_second_factor(self, user: User) -> bool:
        """True of an account that nobody signs in to by a password alone."""
        if self._second_factor_off:
            return False
        return any(grant.role in SECOND_FACTOR for grant in user.roles(self._now()))

    def check_code(self, session: Session, code: str) -> SignedIn:
        """Finish a sign-in with a code of the authenticator.

        Raises:
            SignInRefused: it is not the code of now, or was used before.
            SignInThrottled: it comes too soon after others.
        """
        user = session.user
        attempt = self._attempts.begin(throttle.of_second_factor(user.id))

        def used(held: Secrets) -> Secrets:
            step = None if held.totp is None else second_factor.step_of(held.totp, code, self._now(), held.step)
            if step is None:
                self._refuse("second-factor", {"user": user.id})
            return held._replace(step=step)

        self._users.edit_secrets(user.id, used)
        attempt.succeeded()
        return self._finished(session, "totp")

    def check_recovery_code(self, session: Session, typed: str) -> SignedIn:
        """Finish a sign-in with a recovery code, which is used up; raises as ``check_code``."""
        user = session.user
        attempt = self._attempts.begin(throttle.of_second_factor(user.id))
        digest = self._recovery_digest(user, typed)

        def used(held: Secrets) -> Secrets:
            left = tuple(each for each in held.recovery if not hmac.compare_digest(each, digest))
            if held.totp is None or len(left) == len(held.recovery):
                self._refuse("second-factor", {"user": user.id})
            return held._replace(recovery=left)

        self._users.edit_secrets(user.id, used)
        attempt.succeeded()
        return self._finished(session, "recovery")

    def offer(self, session: Session) -> str:
        """The secret that a second factor is being set up with in a session: the same until it is confirmed."""

        def offering(held: Secrets) -> Secrets:
            if held.offered_in == session.id:
                return held
            return held._replace(offered=second_factor.new_secret(), offered_in=session.id)

        return self._users.edit_secrets(session.user.id, offering).offered or ""

    def uri(self, session: Session, secret: str) -> str:
        """The address that an authenticator takes a secret from."""
        return second_factor.uri(secret, session.user.login, self._service_name or "Sillage")

    def confirm(self, session: Session, code: str) -> tuple[SignedIn, list[str]]:
        """Set the second factor up with a code of the secret that was offered; other sessions end.

        Returns:
            The session in place of this one; the recovery codes, seen only here.

        Raises:
            SignInRefused: it is not the code of now.
            SignInThrottled: it comes too soon after others.
        """
        user = session.user
        attempt = self._attempts.begin(throttle.of_second_factor(user.id))
        codes, kept = self._new_codes(user)

        def confirmed(held: Secrets) -> Secrets:
            offered = held.offered if held.offered_in == session.id else None
            step = offered and second_factor.step_of(offered, code, self._now())
            # Whoever knows the password alone replaces no second factor: one was set up since this set-up began.
            if not step or (session.pending is Pending.SET_UP and held.totp is not None):
                self._refuse("second-factor", {"user": user.id})
            # Before it is written.
            self._audit.append(USER_CHANGED, user.id, {"user": user.id, "second_factor": "set-up"})
            return held._replace(totp=offered, step=step, offered=None, offered_in=None, recovery=kept)

        self._users.edit_secrets(user.id, confirmed)
        attempt.succeeded()
        if session.pending is not None:
            # With them the other set-ups that were begun.
            self._sessions.end_all(user)
        return self._finished(session, "totp"), codes

    def renew_second_factor(self, session: Session, current: str, code: str) -> tuple[SignedIn, list[str]]:
        """Set another second factor up, as ``confirm``, by whoever knows the password."""
        self._require_password(session, current)
        return self.confirm(session, code)

    def renew_recovery_codes(self, session: Session, current: str) -> list[str]:
        """New recovery codes in place of the old ones; seen only here.

        Raises:
            SignInRefused: it is not the password.
            SignInThrottled: it comes too soon after others.
        """
        user = session.user
        self._require_password(session, current)
        codes, kept = self._new_codes(user)
        self._audit.append(USER_CHANGED, user.id, {"user": user.id, "second_factor": "recovery-codes"})
        self._users.edit_secrets(user.id, lambda held: held._replace(recovery=kept))
        return codes

    def reset(self, user: User, *, actor: str, by_mail: bool = True) -> Invited:
        """Take password and second factor off an account, end its sessions and invite its owner anew.

        Without the password too: whoever knows it alone would otherwise choose the new second factor.
        """
        require_other(user.id, actor)
        self._audit.append(USER_CHANGED, actor, {"user": user.id, "second_factor": "reset"})
        self._users.edit_secrets(user.id, lambda _: Secrets())
        self._sessions.end_all(user)
        return self._invitations.invite(user, actor=actor, by_mail=by_mail)

    def secrets(self, user: User) -> Secrets:
        """The secrets of an account: those that are set up."""
        return self._users.secrets(user.id)

    # --- browsers that are known ----------------------------------------------------------------------

    def browser_mark(self, login: str) -> str:
        """The mark that a browser shows from now on: who guesses this login elsewhere does not slow its owner down."""
        nonce = clock.random_bytes(16).hex()
        return f"{nonce}{self._browser_mac(nonce, login)}"

    def _is_known(self, mark: str, login: str) -> bool:
        return hmac.compare_digest(mark[32:].encode(), self._browser_mac(mark[:32], login).encode())

    def _browser_mac(self, nonce: str, login: str) -> str:
        return self._keys.mac("browser", f"{nonce} {login.strip().casefold()}".encode()).hex()

    # --- what becomes of a step -----------------------------------------------------------------------

    def _passed(self, user: User, secrets: Secrets) -> SignedIn:
        pending = None
        if not self._second_factor_off:
            if secrets.totp is not None:
                pending = Pending.SECOND_FACTOR
            elif self.needs_second_factor(user):
                pending = Pending.SET_UP
        if pending is None:
            self._audit.append(SIGNED_IN, user.id, {"user": user.id, "method": LOCAL, "second_factor": "none"})
        return SignedIn(self._sessions.open(user, LOCAL, pending), pending, user)

    def _finished(self, session: Session, by: str) -> SignedIn:
        user = session.user
        if session.pending is None:
            return SignedIn(self._sessions.renew(session), None, user)
        self._audit.append(SIGNED_IN, user.id, {"user": user.id, "method": session.method, "second_factor": by})
        # Another token: whoever saw the one of before has nothing.
        self._sessions.end(session)
        return SignedIn(self._sessions.open(user, session.method), None, user)

    def _refuse(self, why: str, whom: dict[str, object]) -> NoReturn:
        self._audit.append(SIGN_IN_REFUSED, PAGE, {"why": why, **whom})
        raise SignInRefused("It is not what this account has. Check it, and try again.")

    def _new_codes(self, user: User) -> tuple[list[str], tuple[str, ...]]:
        codes = second_factor.new_recovery_codes()
        return codes, tuple(self._recovery_digest(user, code) for code in codes)

    def _recovery_digest(self, user: User, typed: str) -> str:
        text = second_factor.recovery_text(typed)
        return self._keys.mac("recovery-code", f"{user.id} {text}".encode()).hex()
