"""Pages of accounts, for operators: who signs in here, in which roles, how; invitations, and second factors anew."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import orjson
from flask import Response, request

from app.access.key_ends import default_last_day, end_of
from app.access.perimeters import SCHOOL, Perimeter, Territory, territory
from app.access.roles import BOUNDED, Grant, Role, grants, with_given
from app.access.sign_in.invitations import Invitations, Invited
from app.access.sign_in.providers.service import ProviderSignIn
from app.access.sign_in.service import LocalSignIn
from app.access.store import Source
from app.access.users.secrets import Secrets, ways
from app.access.users.service import User, Users
from app.access.users.sessions import Sessions
from app.core.clock import Now, Today
from app.core.errors import BadParameter, Fault, RegisterInvalid, UserConflict
from app.core.given import day
from app.governance.register.service import Register
from app.standards.france import uai
from app.web.portal.forms import Form
from app.web.portal.signed_pages import N_, PageRequest, SignedPages

PAGE: Final = 100
"""Accounts of one page of the list."""
_OPERATOR: Final = (Role.OPERATOR,)


class Standing(NamedTuple):
    """An account, as the list shows it.

    Attributes:
        user: The account.
        held: Its roles that hold now.
        ways: How its owner signs in: of ``password``, ``second-factor``, ``invited``.
        provider: Label of the provider that they sign in by; None: of a local account.
    """

    user: User
    held: Sequence[Grant]
    ways: Sequence[str]
    provider: Mapping[str, str] | None


class KnownPerimeters(Protocol):
    """Knows what a perimeter may name."""

    def require_known(self, perimeter: Perimeter) -> None:
        """Refuse a perimeter that names what there is not, with ``RegisterInvalid``."""


class UserPages:
    """Shows accounts to operators, and changes them. What is right, the services say."""

    def __init__(
        self,
        users: Users,
        sessions: Sessions,
        sign_in: LocalSignIn,
        invitations: Invitations,
        providers: ProviderSignIn,
        register: Register,
        sources: Callable[[], Sequence[Source]],
        known: KnownPerimeters,
        *,
        today: Today,
        now: Now,
        zone: ZoneInfo,
    ) -> None:
        """``sources``: those that there are; ``zone``: of the days on which roles end."""
        self._users = users
        self._sessions = sessions
        self._sign_in = sign_in
        self._invitations = invitations
        self._providers = providers
        self._register = register
        self._sources = sources
        self._known = known
        self._today = today
        self._now = now
        self._zone = zone

    def add_to(self, pages: SignedPages) -> None:
        """Register the pages."""
        pages.show("users", "users", _OPERATOR, self.list, menu=N_("Accounts"))
        pages.show("users/new", "new_user", _OPERATOR, self.new)
        pages.act("users/new", "add_user", _OPERATOR, self.add)
        pages.show("users/<id>", "user", _OPERATOR, self.show)
        pages.act("users/<id>/give", "give_role", _OPERATOR, self.give)
        pages.act("users/<id>/take", "take_role", _OPERATOR, self.take)
        pages.act("users/<id>/disable", "disable_user", _OPERATOR, self.disable)
        pages.act("users/<id>/enable", "enable_user", _OPERATOR, self.enable)
        pages.act("users/<id>/invite", "invite_user", _OPERATOR, self.invite)
        pages.act("users/<id>/reset", "reset_user", _OPERATOR, self.reset)

    def list(self, asked: PageRequest) -> Response:
        """The accounts, page by page."""
        after = request.args.get("after")
        found = self._users.page(self._users.get(after) if after else None, PAGE + 1)
        shown = found[:PAGE]
        invited = self._invitations.ends_of([user for user, _ in shown])
        return asked.render(
            "users.html",
            "users",
            accounts=[self._standing(user, secrets, invited.get(user.id)) for user, secrets in shown],
            whole=not after and shown == found,
            following=None if shown == found else shown[-1][0].id,
        )

    def _standing(self, user: User, secrets: Secrets, invited: datetime | None) -> Standing:
        return Standing(user, user.roles(self._now()), ways(secrets, invited), self._providers.of(user))

    # --- a new one ----------------------------------------------------------------------------------

    def new(self, asked: PageRequest) -> Response:
        """The form of an account."""
        return self._new_form(asked, "")

    def add(self, asked: PageRequest) -> Response:
        """Make an account, and invite its owner."""
        form = asked.form
        try:
            user = self._users.add(
                form.text("login"),
                name=form.text("name"),
                language=form.text("language"),
                grants=self._grants(form),
                actor=asked.actor,
            )
        except RegisterInvalid as refused:
            return self._new_form(asked, refused.faults[0].rule)
        except UserConflict:
            return self._new_form(asked, "user-taken")
        return self._invited(asked, user, self._invitations.invite(user, actor=asked.actor))

    def _new_form(self, asked: PageRequest, fault: str) -> Response:
        return asked.render("user_new.html", "users", status=422 if fault else 200, fault=fault, **self._choices(asked))

    # --- one account --------------------------------------------------------------------------------

    def show(self, asked: PageRequest, id: str) -> Response:
        """An account."""
        return self._page(asked, self._users.get(id), "")

    def give(self, asked: PageRequest, id: str) -> Response:
        """Give it a role more; its sessions end."""
        user = self._users.get(id)

        def act() -> None:
            given = self._grants(asked.form)
            self._users.give(id, lambda held: with_given(held, given), actor=asked.actor)

        return self._done(asked, user, act)

    def take(self, asked: PageRequest, id: str) -> Response:
        """Take one of its roles; its sessions end."""
        user = self._users.get(id)
        wanted = asked.form.text("grant")

        def edit(held: tuple[Grant, ...]) -> list[Grant]:
            kept = [grant for grant in held if named(grant) != wanted]
            if len(kept) == len(held):
                raise BadParameter("The account does not have this role any more. Load its page again.")
            return kept

        return self._done(asked, user, lambda: self._users.give(id, edit, actor=asked.actor))

    def disable(self, asked: PageRequest, id: str) -> Response:
        """Let nobody sign in by it any more."""
        return self._done(asked, self._users.get(id), lambda: self._users.disable(id, actor=asked.actor))

    def enable(self, asked: PageRequest, id: str) -> Response:
        """Let its owner sign in again."""
        return self._done(asked, self._users.get(id), lambda: self._users.enable(id, actor=asked.actor))

    def invite(self, asked: PageRequest, id: str) -> Response:
        """Make another link."""
        user = self._users.get(id)
        return self._invited(asked, user, self._invitations.invite(user, actor=asked.actor))

    def reset(self, asked: PageRequest, id: str) -> Response:
        """Take password and second factor off it, and make a link."""
        user = self._users.get(id)
        if asked.form.text("sure") != "yes":
            return self._page(asked, user, "user-sure")
        try:
            return self._invited(asked, user, self._sign_in.reset(user, actor=asked.actor))
        except RegisterInvalid as refused:
            return self._page(asked, user, refused.faults[0].rule)

    def _done(self, asked: PageRequest, user: User, act: Callable[[], object]) -> Response:
        try:
            act()
        except RegisterInvalid as refused:
            return self._page(asked, user, refused.faults[0].rule)
        return asked.see("user", id=user.id)

    def _page(self, asked: PageRequest, user: User, fault: str) -> Response:
        invited = self._invitations.ends(user)
        return asked.render(
            "user.html",
            "users",
            status=422 if fault else 200,
            fault=fault,
            account=self._standing(user, self._sign_in.secrets(user), invited),
            named=named,
            invited=invited,
            sessions=self._sessions.of(user),
            now=self._now(),
            **self._choices(asked),
        )

    def _invited(self, asked: PageRequest, user: User, invited: Invited) -> Response:
        return asked.render("user_invited.html", "users", account=user, invited=invited)

    # --- what roles are made of ---------------------------------------------------------------------

    def _choices(self, asked: PageRequest) -> dict[str, Any]:
        return {
            "every_role": [*Role],
            "bounded": {role.value: bound for role, bound in BOUNDED.items()},
            "activities": self._register.list(),
            "sources": self._sources(),
            "last_day": default_last_day(self._today()),
            "typed": defaultdict(str, asked.form.all()),
            "chosen": {name: asked.form.texts(name) for name in ("role", "activity", "source")},
        }

    def _grants(self, form: Form) -> Sequence[Grant]:
        try:
            roles = [Role(text) for text in form.texts("role")]
        except ValueError:
            raise BadParameter("There is no such role.") from None
        if not roles:
            raise RegisterInvalid("Choose a role.", faults=[_fault("role")])
        ends = None if form.text("no-end") else _day(form, "ends") or default_last_day(self._today())
        perimeter = Perimeter.of(
            form.texts("activity"),
            form.texts("source"),
            _territories(form.text("territories")),
            _day(form, "since"),
            _day(form, "until"),
        )
        try:
            self._known.require_known(perimeter)
        except RegisterInvalid as refused:
            raise RegisterInvalid(refused.detail, faults=[_fault("unknown")]) from None
        return grants(roles, perimeter, None if ends is None else end_of(ends, self._zone))


def named(grant: Grant) -> str:
    """A text that tells one grant of an account from the others, however many schools it names."""
    bounds = orjson.dumps(grant.perimeter.document())
    return f"{grant.role.value} {hashlib.blake2b(bounds, digest_size=16).hexdigest()}"


def _territories(text: str) -> list[Territory]:
    made = []
    for word in text.replace(",", " ").split():
        try:
            made.append(Territory(SCHOOL, word.upper()) if uai.valid(word.upper()) else territory(word))
        except ValueError:
            raise RegisterInvalid("A line is neither a UAI nor a territory.", faults=[_fault("territory")]) from None
    return made


def _day(form: Form, name: str) -> date | None:
    text = form.text(name)
    try:
        return day(text) if text else None
    except ValueError:
        raise RegisterInvalid("A day is not a day.", faults=[_fault("day")]) from None


def _fault(what: str) -> Fault:
    return Fault(f"/{what}", f"user-{what}", "Sillage, accounts", "Correct it.")
