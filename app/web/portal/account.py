"""The page of one's own account: who one is here, in which roles until when, and where one is signed in."""

from __future__ import annotations

from flask import Response

from app.access.users.sessions import Sessions
from app.web.portal import visitors
from app.web.portal.signed_pages import EVERYBODY, PageRequest, SignedPages


class AccountPages:
    """Shows an account to its owner, and ends sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def add_to(self, pages: SignedPages) -> None:
        """Register the pages."""
        pages.show("account", "account", EVERYBODY, self.show)
        pages.act("account/end-sessions", "end_sessions", EVERYBODY, self.end_sessions)
        pages.act("sign-out", "sign_out", EVERYBODY, self.sign_out)

    def show(self, asked: PageRequest) -> Response:
        """The account."""
        return asked.render("account.html", "account", sessions=self._sessions.of(asked.visitor.user))

    def end_sessions(self, asked: PageRequest) -> Response:
        """End the sessions of the account, but for this one."""
        self._sessions.end_others(asked.visitor.session)
        return asked.see("account")

    def sign_out(self, asked: PageRequest) -> Response:
        """End this session."""
        self._sessions.sign_out(asked.visitor.session)
        answer = asked.see("home")
        visitors.forget(answer)
        return answer
