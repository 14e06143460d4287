"""Pages behind sign-in: who may see which, forms that only they can send, and the purpose that they read for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from flask import Blueprint, Response, request

from app.access.principals import Principal
from app.access.roles import Grant, Role
from app.access.users.sessions import Sessions
from app.core import clock
from app.core.errors import BadParameter, FormRefused, RoleMissing
from app.core.language import LANGUAGES
from app.web import bounds
from app.web import purpose as purposes
from app.web.cross_site import require_own_form
from app.web.portal import forms
from app.web.portal.forms import Form
from app.web.portal.frame import HEADERS, NAME, Frame
from app.web.portal.visitors import Visitor, Visitors

EVERYBODY: Final = tuple(Role)
_QUERY: Final = re.compile(r"[A-Za-z0-9._~*=&+%,:@/-]{0,2000}")
SIGN_IN: Final = "sign-in"
"""Path of the page where people sign in, below the language."""
ONCE: Final = "once"
"""Name of the field with the id of a form that takes effect once."""
_ONCE: Final = re.compile(r"[0-9a-f]{32}")
SPOKEN: Final = f"/<any({','.join(LANGUAGES)}):language>"


def N_(message: str) -> str:
    """Mark a message for the catalogues; it is translated where it is shown."""
    return message


class MenuItem(NamedTuple):
    """A page of a role's navigation: its endpoint, its label (English, marked by ``N_``), its roles."""

    endpoint: str
    label: str
    roles: tuple[Role, ...]


class PageRequest(NamedTuple):
    """A request for a page by somebody who is signed in, and may see it.

    Attributes:
        visitor: Who asks.
        role: The role in which they ask.
        language: Language of the page.
        form: What they sent; empty where they sent nothing.
        pages: Renders the answer.
    """

    visitor: Visitor
    role: Role
    language: str
    form: Form
    pages: SignedPages

    @property
    def grants(self) -> tuple[Grant, ...]:
        """Their grants of the role; never empty."""
        return self.visitor.of(self.role)

    @property
    def principal(self) -> Principal:
        """The principal that services see, within the first of the grants."""
        return self.visitor.principal(self.grants[0])

    @property
    def actor(self) -> str:
        """The id of their account, for the audit log."""
        return self.visitor.user.id

    @contextmanager
    def once(self) -> Iterator[bool]:
        """Do what a form asks for once, however often its button is pressed: False when it was sent before.

        The form has ``roles.once()``. What raises within lets it be sent again.

        Raises:
            FormRefused: it has no id.
        """
        form = self.form.text(ONCE)
        if _ONCE.fullmatch(form) is None:
            raise FormRefused("The form has lost its id. Load its page again, and send it once more.")
        sessions, session = self.pages.sessions, self.visitor.session
        first = sessions.take_form(session, form)
        try:
            yield first
        except BaseException:
            if first:
                sessions.give_back_form(session, form)
            raise

    def render(self, template: str, current: str, *, status: int = 200, **content: Any) -> Response:
        """A page.

        Args:
            template: Name of its template, which extends ``signed.html``.
            current: Endpoint of the page of the navigation that it is, or belongs to.
            status: Of the answer: 422 for a form that is shown again with what is wrong.
            content: Values that the template names.
        """
        return self.pages.render(self, template, current, status, content)

    def see(self, endpoint: str, **values: Any) -> Response:
        """A redirection to another page, after something was done (RFC 9110 15.4.4)."""
        return self.pages.see(endpoint, language=self.language, **values)


View = Callable[..., Response]
"""Takes a ``PageRequest`` and the values in the path by name; returns the answer."""


class SignedPages:
    """Registers pages for roles, and renders them. What a page shows, its services decide."""

    def __init__(
        self, blueprint: Blueprint, frame: Frame, visitors: Visitors, sessions: Sessions, codes: Sequence[str]
    ) -> None:
        """``codes``: of the purposes that data are read for."""
        self._blueprint = blueprint
        self._frame = frame
        self._visitors = visitors
        self.sessions = sessions
        """Sessions, which remember the forms that take effect once."""
        self._codes = tuple(codes)
        self._menu: list[MenuItem] = []
        self.roles: dict[str, tuple[Role, ...]] = {}
        """Roles of each endpoint."""
        blueprint.add_url_rule(f"{SPOKEN}/my", "my", self._my)
        self.act("my/purpose", "choose_purpose", EVERYBODY, self._choose_purpose)

    def show(
        self,
        path: str,
        endpoint: str,
        roles: Sequence[Role],
        view: View,
        *,
        menu: str | None = None,
        purpose: bool = False,
    ) -> None:
        """Register a page.

        Args:
            path: Its address below the language, as Flask writes it.
            endpoint: Its name.
            roles: Who may see it.
            view: Makes it.
            menu: Its label in the navigation of these roles, marked by ``N_``; the first of a role is where they land.
            purpose: It shows data of persons: whoever has not said what they read for is asked first.
        """
        if menu is not None:
            self._menu.append(MenuItem(endpoint, menu, tuple(roles)))
        self._add(path, endpoint, tuple(roles), view, ("GET",), purpose=purpose)

    def act(
        self,
        path: str,
        endpoint: str,
        roles: Sequence[Role],
        view: View,
        *,
        purpose: bool = False,
        file_bytes: int | None = None,
    ) -> None:
        """Register what a form does (POST); arguments as of ``show``.

        ``file_bytes``: a file may come with it, of at most so many bytes.
        """
        self._add(path, endpoint, tuple(roles), view, ("POST",), purpose=purpose, file_bytes=file_bytes)

    def home(self, visitor: Visitor) -> str | None:
        """The endpoint where somebody lands; None where no page is for their roles."""
        return next((home for role in visitor.roles if (home := self._home(role))), None)

    def see(self, endpoint: str, **values: Any) -> Response:
        """A redirection to a page, by its path alone: this server may see another name than browsers do."""
        return Response(status=303, headers={"Location": self._frame.address(endpoint, **values), **HEADERS})

    def render(
        self, asked: PageRequest, template: str, current: str, status: int, content: Mapping[str, Any]
    ) -> Response:
        """A page of somebody who is signed in; see ``PageRequest.render``."""
        visitor = asked.visitor
        answer = self._frame.page(
            asked.language,
            template,
            current,
            visitor=visitor,
            role=asked.role,
            menu=[item for item in self._menu if asked.role in item.roles],
            homes=[(role, self._home(role)) for role in visitor.roles if role is not asked.role and self._home(role)],
            codes=self._codes,
            form_token=visitor.form_token,
            back=_here(),
            form_id=clock.random_bytes(16).hex(),
            **content,
        )
        answer.status_code = status
        return answer

    def _home(self, role: Role) -> str | None:
        return next((item.endpoint for item in self._menu if role in item.roles), None)

    def _add(
        self,
        path: str,
        endpoint: str,
        roles: tuple[Role, ...],
        view: View,
        methods: Sequence[str],
        *,
        purpose: bool,
        file_bytes: int | None = None,
    ) -> None:
        self.roles[f"{NAME}.{endpoint}"] = roles

        def answered(language: str, **values: Any) -> Response:
            visitor = self._visitors.find()
            if visitor is None:
                back = f"?next={quote(_here(), safe='/')}" if request.method == "GET" else ""
                return self._go(f"/{language}/{SIGN_IN}{back}")
            role = next((each for each in visitor.roles if each in roles), None)
            if role is None:
                wanted = ", ".join(roles)
                raise RoleMissing(f"This page is for: {wanted}. Ask whoever runs the service for the role you need.")
            form = Form()
            if request.method == "POST":
                form = self._form(visitor, file_bytes)
                self._visitors.require_right_clock()
            asked = PageRequest(visitor, role, language, form, self)
            purposes.state(visitor.session.purpose)
            bounds.note(asked.principal)
            if purpose and visitor.session.purpose is None:
                return asked.render("purpose.html", endpoint)
            return view(asked, **values)

        self._blueprint.add_url_rule(f"{SPOKEN}/{path}", endpoint, answered, methods=methods)

    def _form(self, visitor: Visitor, file_bytes: int | None) -> Form:
        require_own_form()
        form = forms.read() if file_bytes is None else forms.read(file_bytes + forms.MAX_BYTES, files=True)
        if not self._visitors.genuine(visitor, form.text(forms.TOKEN)):
            raise FormRefused("The form is not of this session. Load its page again, and send it once more.")
        return form

    def _my(self, language: str) -> Response:
        visitor = self._visitors.find()
        if visitor is None:
            return self._go(f"/{language}/{SIGN_IN}")
        return self.see(self.home(visitor) or "account", language=language)

    def _choose_purpose(self, asked: PageRequest) -> Response:
        chosen = asked.form.text("purpose")
        if chosen not in self._codes:
            raise BadParameter(f"The purpose is one of: {', '.join(self._codes)}.")
        self.sessions.choose(asked.visitor.session, chosen)
        back = own_path(asked.form.text("back"))
        if back is None:
            return self.see("my", language=asked.language)
        return self._go(back)

    def _go(self, path: str) -> Response:
        return Response(status=303, headers={"Location": self._frame.under_root(path), **HEADERS})


def own_path(text: str) -> str | None:
    """A path of these pages, with its query, that somebody is to be led back to; None where it could lead elsewhere."""
    path, _, query = text.partition("?")
    parts = path.split("/")
    plain = len(parts) > 2 and parts[1] in LANGUAGES and all(part and part not in {".", ".."} for part in parts[1:])
    safe = path.isascii() and not set(path) & set("\\#%:@ \t\r\n") and _QUERY.fullmatch(query)
    return text if plain and safe else None


def _here() -> str:
    """The path of the current request, with its query as it was sent."""
    query = request.query_string.decode("ascii", "replace")
    return f"{request.path}?{query}" if query else request.path
