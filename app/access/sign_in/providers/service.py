"""Sign-in by a provider: out to it and back, once for each state, in one browser; then an account and a session."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from app.access.key_ends import default_last_day
from app.access.sign_in.providers import rules
from app.access.sign_in.providers.client import Claims, ProviderClient, texts
from app.access.sign_in.service import PAGE, SignedIn
from app.access.sign_in.store import StoredJourney, UnderWayRepository
from app.access.users.service import MAX_NAME, User, Users
from app.access.users.sessions import Sessions
from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.clock import Now, Today
from app.core.errors import DecryptionFailed, NotFound, ProviderRefused, RoleNotGiven
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import SIGN_IN_REFUSED, SIGNED_IN

LASTS: Final = timedelta(minutes=10)
"""Between going to a provider and coming back."""
_STATE_BYTES: Final = 32
_MAX_CODE: Final = 2_048
_MAX_HINT: Final = 3_500
"""Of a cookie: browsers keep 4,096 bytes of one."""


class Finished(NamedTuple):
    """A sign-in by a provider, done: the session, where it was to lead, and what signing out there takes, sealed."""

    signed_in: SignedIn
    back: str
    hint: str


class ProviderSignIn:
    """Signs people in who have an account elsewhere. Safe to share between threads."""

    def __init__(
        self,
        clients: Sequence[ProviderClient],
        under_way: UnderWayRepository,
        users: Users,
        sessions: Sessions,
        keys: OrganisationKeys,
        audit: AuditSink,
        *,
        today: Today,
        end_of: Callable[[date], datetime],
        now: Now = clock.now,
    ) -> None:
        """``end_of``: from the last day of a role to the instant at which it ends."""
        self._clients: Mapping[str, ProviderClient] = {client.file.id: client for client in clients}
        self._under_way = under_way
        self._users = users
        self._sessions = sessions
        self._keys = keys
        self._audit = audit
        self._today = today
        self._end_of = end_of
        self._now = now

    @property
    def labels(self) -> Sequence[tuple[str, Mapping[str, str]]]:
        """Id and label of each provider."""
        return [(id, client.file.label) for id, client in self._clients.items()]

    def of(self, user: User) -> Mapping[str, str] | None:
        """The label of the provider that somebody signs in by; None: of a local account."""
        id, colon, _ = user.login.partition(":")
        client = self._clients.get(id) if colon else None
        return None if client is None else client.file.label

    def begin(self, id: str, *, browser: str, back: str) -> str:
        """Send somebody to a provider.

        Args:
            id: Of the provider.
            browser: What only this browser has; it must come back with it.
            back: Where the sign-in is to lead.

        Returns:
            The address where the browser goes.

        Raises:
            NotFound: there is no such provider.
            ProviderUnavailable: it is away.
        """
        client, state, now = self._client(id), clock.random_bytes(_STATE_BYTES).hex(), self._now()
        url = client.authorization_url(state=state, nonce=self._nonce(state), verifier=self._verifier(state))
        self._under_way.add(StoredJourney(_digest(state), _digest(browser), id, back, now + LASTS), now)
        return url

    def finish(self, id: str, *, state: str, code: str, issuer: str | None, browser: str) -> Finished:
        """Take somebody back from a provider, and open a session.

        Args:
            id: Of the provider whose address they come back to.
            state: As given; good once.
            code: As given.
            issuer: As given (RFC 9207); None where nothing was.
            browser: What the browser shows.

        Raises:
            NotFound: there is no such provider.
            ProviderRefused: it was not begun in this browser, or with this provider, or what it says does not hold, or
                gives no role here.
            ProviderUnavailable: it is away, or answers nonsense.
        """
        client = self._client(id)
        # First: whatever comes of it, this state is used up. An unknown one leaves no entry, for anybody sends those.
        journey = self._under_way.take(_digest(state), self._now())
        if journey is None:
            raise ProviderRefused("This sign-in was not begun here, or was finished before. Begin once more.")
        try:
            if journey.browser != _digest(browser) or journey.provider != id:
                raise ProviderRefused("This sign-in was not begun here, or was finished before. Begin once more.")
            if issuer is not None and issuer != client.file.issuer:
                raise ProviderRefused("The answer is another provider's. Begin once more.")
            if not code or len(code) > _MAX_CODE or not code.isascii() or not code.isprintable():
                raise ProviderRefused("The provider gives no code. Begin once more.")
            claims, token = client.claims(code=code, nonce=self._nonce(state), verifier=self._verifier(state))
            return Finished(self._signed_in(client, claims), journey.back, self._hint(client, token))
        except ProviderRefused as refused:
            self._note_refusal(id, "no-role" if isinstance(refused, RoleNotGiven) else "provider")
            raise

    def end_session_url(self, id: str, hint: str, back: str) -> str | None:
        """The address where somebody who signed in by a provider signs out of it too; None: there is none.

        Args:
            id: Of the provider: the method of the session.
            hint: As of ``Finished``; empty where it is not known.
            back: Where the provider is to lead them afterwards.
        """
        client = self._clients.get(id)
        if client is None or client.file.logout != "provider":
            return None
        token = None
        with suppress(DecryptionFailed, ValueError):
            token = self._keys.decrypt(_place(id), base64.urlsafe_b64decode(hint.encode("ascii"))).decode()
        return client.end_session_url(token, back=back, state=clock.random_bytes(_STATE_BYTES).hex())

    def _hint(self, client: ProviderClient, token: str) -> str:
        if client.file.logout != "provider":
            return ""
        # The browser keeps it, and cannot read it: an ID token names somebody.
        sealed = self._keys.encrypt(_place(client.file.id), token.encode())
        hint = base64.urlsafe_b64encode(sealed).decode()
        return hint if len(hint) <= _MAX_HINT else ""

    def refused_there(self, id: str, *, state: str) -> None:
        """Use a state up of somebody whom the provider sends back without a code."""
        self._client(id)
        if self._under_way.take(_digest(state), self._now()) is not None:
            self._note_refusal(id, "provider")

    def _signed_in(self, client: ProviderClient, claims: Claims) -> SignedIn:
        id, ends = client.file.id, self._end_of(default_last_day(self._today()))
        grants = rules.granted(client.file.roles, claims, ends)
        parts = ["".join(texts(claims.get(name))) for name in client.file.subject]
        # Each: without one of them, several people are one.
        if not all(parts):
            raise ProviderRefused("The provider does not say who it is.")
        subject = "\0".join(parts)
        # As the provider tells people apart; a login that nobody types.
        login = f"{id}:{_digest(client.file.issuer + chr(0) + subject).hex()[:32]}"
        actor = f"provider:{id}"
        user = self._users.find(login)
        if user is None:
            if not grants:
                raise RoleNotGiven("What the provider says gives no role here.")
            name = " ".join(word for each in client.file.name for word in texts(claims.get(each)))
            name = "".join(sign for sign in name if sign.isprintable())[:MAX_NAME].strip()
            user = self._users.add(login, name=name or client.file.label["fr"], grants=grants, actor=actor)
        elif list(user.grants) != grants:
            # What the provider says now is what holds: whoever has moved loses the school that they left.
            user = self._users.give(user.id, lambda _: grants, actor=actor)
        if not user.roles(self._now()):
            raise RoleNotGiven("What the provider says gives no role here.")
        return self._open(user, id)

    def _open(self, user: User, id: str) -> SignedIn:
        self._audit.append(SIGNED_IN, user.id, {"user": user.id, "method": id, "second_factor": "provider"})
        return SignedIn(self._sessions.open(user, id), None, user)

    def _note_refusal(self, id: str, why: str) -> None:
        self._audit.append(SIGN_IN_REFUSED, PAGE, {"why": why, "provider": id})

    def _client(self, id: str) -> ProviderClient:
        client = self._clients.get(id)
        if client is None:
            raise NotFound("There is no such sign-in provider.")
        return client

    # The nonce and the verifier are made of the state: nothing that is kept of a sign-in under way is a secret.

    def _nonce(self, state: str) -> str:
        return self._keys.mac("provider-nonce", state.encode()).hex()

    def _verifier(self, state: str) -> str:
        made = self._keys.mac("provider-verifier", state.encode())
        return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _place(id: str) -> str:
    return f"hint:{id}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
