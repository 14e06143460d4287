"""Pages of sign-in: login and password, second factor, its set-up, invitation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import segno
from flask import Blueprint, Response, request
from markupsafe import Markup

from app.access.sign_in import second_factor
from app.access.sign_in.invitations import Invitations
from app.access.sign_in.passwords import MIN_CHARACTERS
from app.access.sign_in.providers.service import ProviderSignIn
from app.access.sign_in.service import LocalSignIn, SignedIn
from app.access.users.sessions import Pending, Session, Sessions
from app.core.errors import (
    InvitationRefused,
    PasswordRefused,
    ProviderRefused,
    ProviderUnavailable,
    RoleNotGiven,
    SignInRefused,
    SignInThrottled,
)
from app.web.portal import door as doors
from app.web.portal import language as languages
from app.web.portal import visitors
from app.web.portal.door import Door
from app.web.portal.frame import HEADERS, Frame
from app.web.portal.signed_pages import SIGN_IN, SPOKEN, own_path
from app.web.portal.visitors import Visitors

STALE: Final = "stale"
"""Fault of a form that is not of this browser, or was open for too long."""
_REFUSED = 403
_SAID: Final = frozenset({"away", "refused", "no-role"})
_STEPS: Final = {Pending.SECOND_FACTOR: "second_factor", Pending.SET_UP: "set_up"}


def qr_code(text: str) -> Markup:
    """A QR code as SVG, to stand in a page: shapes alone, no style, no image from anywhere."""
    drawn: str = segno.make(text, error="m", micro=False).svg_inline(
        scale=1, border=4, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True
    )
    return Markup(drawn)  # noqa: S704 # made of numbers


class SignInPages:
    """Leads people through a sign-in. What is right, ``LocalSignIn`` says."""

    def __init__(
        self,
        frame: Frame,
        visitors: Visitors,
        sessions: Sessions,
        sign_in: LocalSignIn,
        invitations: Invitations,
        providers: ProviderSignIn,
        door: Door,
    ) -> None:
        self._frame = frame
        self._visitors = visitors
        self._sessions = sessions
        self._sign_in = sign_in
        self._invitations = invitations
        self._providers = providers
        self._door = door

    def add_to(self, blueprint: Blueprint) -> None:
        """Register the pages."""
        for path, endpoint, shown, sent in (
            (SIGN_IN, "sign_in", self._show, self._send),
            (f"{SIGN_IN}/second-factor", "second_factor", self._show_second_factor, self._send_second_factor),
            (f"{SIGN_IN}/set-up", "set_up", self._show_set_up, self._send_set_up),
            ("invitation", "invitation", self._show_invitation, self._send_invitation),
        ):
            blueprint.add_url_rule(f"{SPOKEN}/{path}", endpoint, self._ready(shown), methods=("GET",))
            blueprint.add_url_rule(f"{SPOKEN}/{path}", f"{endpoint}_send", self._ready(sent), methods=("POST",))
        blueprint.add_url_rule(f"{SPOKEN}/{SIGN_IN}/with/<id>", "to_provider", self._to_provider)
        # The address that providers know: one, whatever the language.
        blueprint.add_url_rule(f"/{SIGN_IN}/from/<id>", "from_provider", self._from_provider)

    def _ready(self, view: Callable[[str], Response]) -> Callable[[str], Response]:
        def answered(language: str) -> Response:
            self._visitors.require()
            if request.method == "POST":
                self._visitors.require_right_clock()
            return view(language)

        return answered

    # --- login and password -------------------------------------------------------------------------

    def _show(self, language: str) -> Response:
        if self._visitors.find() is not None:
            return self._on(language, own_path(request.args.get("next", "")))
        said = request.args.get("said", "")
        return self._sign_in_page(language, "", request.args.get("next", ""), said=said if said in _SAID else "")

    def _send(self, language: str) -> Response:
        form = self._door.form()
        if form is None:
            return self._sign_in_page(language, STALE, "")
        back = form.text("next")
        try:
            done = self._sign_in.check_password(
                form.text("login"),
                form.secret("password"),
                address=self._door.address(),
                browser=self._door.mark(),
            )
        except SignInRefused:
            return self._sign_in_page(language, "refused", back, login=form.text("login"))
        except SignInThrottled as refused:
            return self._sign_in_page(language, "wait", back, login=form.text("login"), wait=refused.retry_after)
        return self._stepped(language, done, back)

    def _sign_in_page(
        self, language: str, fault: str, back: str, *, login: str = "", wait: int | None = None, said: str = ""
    ) -> Response:
        return self._page(
            language,
            "sign_in.html",
            "sign_in",
            fault,
            back=back,
            login=login,
            wait=wait,
            said=said,
            providers=self._providers.labels,
        )

    # --- providers ----------------------------------------------------------------------------------

    def _to_provider(self, language: str, id: str) -> Response:
        self._visitors.require()
        self._visitors.require_right_clock()
        _, cookie = self._door.token()
        back = own_path(request.args.get("next", "")) or f"/{language}/my"
        try:
            answer = self._see(self._providers.begin(id, browser=cookie, back=back))
        except ProviderUnavailable:
            return self._sign_in_again(language, "away")
        doors.remember(answer, cookie)
        return answer

    def _from_provider(self, id: str) -> Response:
        self._visitors.require()
        self._visitors.require_right_clock()
        language = languages.preferred(request.headers.get("Accept-Language"))
        given, browser = request.args, self._door.cookie()
        state = given.get("state", "")
        if "error" in given:
            self._providers.refused_there(id, state=state)
            return self._sign_in_again(language, "refused")
        try:
            done = self._providers.finish(
                id, state=state, code=given.get("code", ""), issuer=given.get("iss"), browser=browser
            )
        except ProviderRefused as refused:
            return self._sign_in_again(language, "no-role" if isinstance(refused, RoleNotGiven) else "refused")
        except ProviderUnavailable:
            return self._sign_in_again(language, "away")
        answer = self._see(self._frame.under_root(own_path(done.back) or f"/{language}/my"))
        self._begun(answer, done.signed_in)
        doors.forget(answer)
        if done.hint:
            doors.hint(answer, done.hint)
        return answer

    def _sign_in_again(self, language: str, said: str) -> Response:
        return self._see(self._frame.address("sign_in", language=language, said=said))

    # --- second factor ------------------------------------------------------------------------------

    def _show_second_factor(self, language: str) -> Response:
        if self._pending(Pending.SECOND_FACTOR) is None:
            return self._again(language)
        return self._page(language, "second_factor.html", "second_factor", "", back=request.args.get("next", ""))

    def _send_second_factor(self, language: str) -> Response:
        form, session = self._door.form(), self._pending(Pending.SECOND_FACTOR)
        if session is None:
            return self._again(language)
        back = "" if form is None else form.text("next")

        def again(fault: str, wait: int | None = None) -> Response:
            return self._page(language, "second_factor.html", "second_factor", fault, back=back, wait=wait)

        if form is None:
            return again(STALE)
        typed = form.text("recovery")
        try:
            if typed:
                done = self._sign_in.check_recovery_code(session, typed)
            else:
                done = self._sign_in.check_code(session, form.text("code"))
        except SignInRefused:
            return again("refused")
        except SignInThrottled as refused:
            return again("wait", refused.retry_after)
        return self._stepped(language, done, back)

    # --- set-up of a second factor ------------------------------------------------------------------

    def _show_set_up(self, language: str) -> Response:
        session = self._pending(Pending.SET_UP)
        if session is None:
            return self._again(language)
        return self._set_up_page(language, session, "", request.args.get("next", ""))

    def _send_set_up(self, language: str) -> Response:
        form, session = self._door.form(), self._pending(Pending.SET_UP)
        if session is None:
            return self._again(language)
        if form is None:
            return self._set_up_page(language, session, STALE, "")
        back = form.text("next")
        try:
            done, codes = self._sign_in.confirm(session, form.text("code"))
        except SignInRefused:
            return self._set_up_page(language, session, "refused", back)
        except SignInThrottled as refused:
            return self._set_up_page(language, session, "wait", back, wait=refused.retry_after)
        answer = self._frame.page(
            language, "recovery_codes.html", "sign_in", recovery=codes, onward=self._onward(language, own_path(back))
        )
        self._signed_in(answer, done)
        return answer

    def _set_up_page(
        self, language: str, session: Session, fault: str, back: str, *, wait: int | None = None
    ) -> Response:
        secret = self._sign_in.offer(session)
        uri = self._sign_in.uri(session, secret)
        return self._page(
            language,
            "set_up.html",
            "set_up",
            fault,
            back=back,
            wait=wait,
            uri=uri,
            drawn=qr_code(uri),
            secret=second_factor.grouped(secret),
        )

    # --- invitation ---------------------------------------------------------------------------------

    def _show_invitation(self, language: str) -> Response:
        return self._invitation_page(language, request.args.get("code", ""), "")

    def _send_invitation(self, language: str) -> Response:
        form = self._door.form()
        if form is None:
            return self._invitation_page(language, "", "refused")
        code, password = form.text("code"), form.secret("password")
        if password != form.secret("again"):
            return self._invitation_page(language, code, "again")
        try:
            done = self._sign_in.accept(code, password)
        except PasswordRefused as refused:
            return self._invitation_page(language, code, refused.faults[0].rule)
        except InvitationRefused:
            return self._invitation_page(language, "", "refused")
        return self._stepped(language, done, "")

    def _invitation_page(self, language: str, code: str, fault: str) -> Response:
        try:
            user = self._invitations.user(code)
        except InvitationRefused:
            return self._page(language, "invitation.html", "invitation", "refused", user=None, code="", minimum=0)
        return self._page(
            language, "invitation.html", "invitation", fault, user=user, code=code, minimum=MIN_CHARACTERS
        )

    # --- from one to the next -----------------------------------------------------------------------

    def _page(self, language: str, template: str, current: str, fault: str, **content: Any) -> Response:
        token, cookie = self._door.token()
        carried = {name: content[name] for name in ("code",) if content.get(name)}
        if own_path(content.get("back", "")):
            carried["next"] = content["back"]
        answer = self._frame.page(
            language,
            template,
            current,
            carried=carried,
            form_token=token,
            fault=fault,
            **content,
        )
        doors.remember(answer, cookie)
        if fault:
            answer.status_code = 429 if fault == "wait" else _REFUSED
        if content.get("wait"):
            answer.headers["Retry-After"] = str(content["wait"])
        return answer

    def _pending(self, wanted: Pending) -> Session | None:
        session = self._visitors.pending()
        return session if session is not None and session.pending is wanted else None

    def _stepped(self, language: str, done: SignedIn, back: str) -> Response:
        path = own_path(back)
        if done.pending is not None:
            query = {} if path is None else {"next": path}
            answer = self._see(self._frame.address(_STEPS[done.pending], language=language, **query))
            self._begun(answer, done)
            return answer
        answer = self._on(language, path)
        self._signed_in(answer, done)
        return answer

    def _begun(self, answer: Response, done: SignedIn) -> None:
        # What the browser had is of somebody else, or of before.
        former = self._visitors.session()
        if former is not None:
            self._sessions.end(former)
        visitors.remember(answer, done.token)

    def _signed_in(self, answer: Response, done: SignedIn) -> None:
        self._begun(answer, done)
        doors.forget(answer)
        doors.know(answer, self._sign_in.browser_mark(done.user.login))

    def _onward(self, language: str, path: str | None) -> str:
        return self._frame.address("my", language=language) if path is None else self._frame.under_root(path)

    def _on(self, language: str, path: str | None) -> Response:
        return self._see(self._onward(language, path))

    def _again(self, language: str) -> Response:
        return self._see(self._frame.address("sign_in", language=language))

    def _see(self, location: str) -> Response:
        return Response(status=303, headers={"Location": location, **HEADERS})
