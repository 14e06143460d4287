"""Pages of one's own account: who one is here, in which roles until when, how and where one is signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, request

from app.access.sign_in import second_factor
from app.access.sign_in.passwords import MIN_CHARACTERS
from app.access.sign_in.providers.service import ProviderSignIn
from app.access.sign_in.service import LocalSignIn
from app.access.users.sessions import Sessions
from app.core.errors import PasswordRefused, SignInRefused, SignInThrottled
from app.web.portal import door as doors
from app.web.portal import visitors
from app.web.portal.frame import Frame
from app.web.portal.sign_in import qr_code
from app.web.portal.signed_pages import EVERYBODY, PageRequest, SignedPages
from app.web.portal.visitors import Visitors

Again = Callable[..., Response]
"""Shows a form again: the fault, and the seconds to wait."""


class AccountPages:
    """Shows an account to its owner, changes how they sign in, and ends sessions."""

    def __init__(
        self,
        sessions: Sessions,
        visitors: Visitors,
        sign_in: LocalSignIn,
        providers: ProviderSignIn,
        frame: Frame,
        public_url: str,
    ) -> None:
        """``public_url``: that of this store, to which providers lead back."""
        self._visitors = visitors
        self._sessions = sessions
        self._sign_in = sign_in
        self._providers = providers
        self._frame = frame
        self._public_url = public_url.rstrip("/")

    def add_to(self, pages: SignedPages) -> None:
        """Register the pages."""
        pages.show("account", "account", EVERYBODY, self.show)
        pages.show("account/password", "password", EVERYBODY, self.password)
        pages.act("account/password", "change_password", EVERYBODY, self.change_password)
        pages.show("account/second-factor", "new_second_factor", EVERYBODY, self.second_factor)
        pages.act("account/second-factor", "renew_second_factor", EVERYBODY, self.renew_second_factor)
        pages.show("account/recovery-codes", "new_recovery_codes", EVERYBODY, self.recovery_codes)
        pages.act("account/recovery-codes", "renew_recovery_codes", EVERYBODY, self.renew_recovery_codes)
        pages.act("account/end-sessions", "end_sessions", EVERYBODY, self.end_sessions)
        pages.act("sign-out", "sign_out", EVERYBODY, self.sign_out)

    def show(self, asked: PageRequest) -> Response:
        """The account."""
        user = asked.visitor.user
        return asked.render(
            "account.html", "account", sessions=self._sessions.of(user), secrets=self._sign_in.secrets(user)
        )

    def end_sessions(self, asked: PageRequest) -> Response:
        """End the sessions of the account, but for this one."""
        self._sessions.end_others(asked.visitor.session)
        return asked.see("account")

    def sign_out(self, asked: PageRequest) -> Response:
        """End this session; of a provider whose file says so, offer to sign out there too."""
        session = asked.visitor.session
        self._sessions.sign_out(session)
        hint = request.cookies.get(doors.HINT_COOKIE, "")
        there = self._providers.end_session_url(session.method, hint, f"{self._public_url}/")
        if there is None:
            answer = asked.see("home")
        else:
            label = self._providers.of(session.user) or {}
            answer = self._frame.page(asked.language, "signed_out.html", "home", there=there, label=label)
        visitors.forget(answer)
        if hint:
            doors.hint(answer, "")
        return answer

    # --- password -----------------------------------------------------------------------------------

    def password(self, asked: PageRequest) -> Response:
        """The form of another password."""
        return self._form(asked, "account_password.html")()

    def change_password(self, asked: PageRequest) -> Response:
        """Take another password; sessions end, and this one goes on under another token."""
        again, form = self._form(asked, "account_password.html"), asked.form
        new = form.secret("password")
        if new != form.secret("again"):
            return again("again")
        try:
            token = self._sign_in.change_password(asked.visitor.session, form.secret("current"), new)
        except PasswordRefused as refused:
            return again(refused.faults[0].rule)
        except (SignInRefused, SignInThrottled) as refused:
            return again(_fault(refused), refused.retry_after)
        answer = asked.see("account")
        visitors.remember(answer, token)
        return answer

    # --- second factor ------------------------------------------------------------------------------

    def second_factor(self, asked: PageRequest) -> Response:
        """The form of another second factor."""
        return self._second_factor_form(asked)()

    def renew_second_factor(self, asked: PageRequest) -> Response:
        """Set another second factor up, and show its recovery codes."""
        form = asked.form
        try:
            done, codes = self._sign_in.renew_second_factor(
                asked.visitor.session, form.secret("current"), form.text("code")
            )
        except (SignInRefused, SignInThrottled) as refused:
            return self._second_factor_form(asked)(_fault(refused), refused.retry_after)
        # The session of before has ended: forms of the page are of the new one.
        asked = asked._replace(visitor=self._visitors.of_token(done.token) or asked.visitor)
        answer = asked.render("account_codes.html", "account", recovery=codes)
        visitors.remember(answer, done.token)
        return answer

    def recovery_codes(self, asked: PageRequest) -> Response:
        """The form of new recovery codes."""
        return self._form(asked, "account_recovery.html")()

    def renew_recovery_codes(self, asked: PageRequest) -> Response:
        """Show new recovery codes in place of the old ones."""
        try:
            codes = self._sign_in.renew_recovery_codes(asked.visitor.session, asked.form.secret("current"))
        except (SignInRefused, SignInThrottled) as refused:
            return self._form(asked, "account_recovery.html")(_fault(refused), refused.retry_after)
        return asked.render("account_codes.html", "account", recovery=codes)

    # --- forms --------------------------------------------------------------------------------------

    def _second_factor_form(self, asked: PageRequest) -> Again:
        session = asked.visitor.session
        if self._sign_in.secrets(session.user).password is None:
            return self._form(asked, "account_second_factor.html")
        secret = self._sign_in.offer(session)
        uri = self._sign_in.uri(session, secret)
        return self._form(
            asked,
            "account_second_factor.html",
            uri=uri,
            drawn=qr_code(uri),
            secret=second_factor.grouped(secret),
        )

    def _form(self, asked: PageRequest, template: str, **content: Any) -> Again:
        secrets = self._sign_in.secrets(asked.visitor.user)

        def again(fault: str = "", wait: int | None = None) -> Response:
            return asked.render(
                template,
                "account",
                status=422 if fault else 200,
                secrets=secrets,
                fault=fault,
                wait=wait,
                minimum=MIN_CHARACTERS,
                **content,
            )

        return again


def _fault(refused: SignInRefused | SignInThrottled) -> str:
    return "wait" if isinstance(refused, SignInThrottled) else "refused"
