"""Desk of the data protection officer: what all of their pages have, and what the actors of entries are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Protocol

from flask import Response

from app.access.roles import Role
from app.access.users.service import User
from app.core.errors import SillageError
from app.people.requests.service import Standing
from app.web.portal.frame import moment_of
from app.web.portal.signed_pages import PageRequest

ROLES = (Role.DPO,)


class PendingRequests(Protocol):
    """The data-subject requests, as far as the navigation tells of them."""

    def standing(self) -> Standing:
        """The numbers of those that wait."""


class Accounts(Protocol):
    """The accounts of persons who sign in."""

    def list(self) -> Sequence[User]:
        """Every one."""


class Desk:
    """Renders pages of the data protection officer."""

    def __init__(
        self, requests: PendingRequests, accounts: Accounts, labels: Callable[[], Callable[[str], str]]
    ) -> None:
        """``labels`` says what credentials are called."""
        self._requests = requests
        self._accounts = accounts
        self._labels = labels

    def render(self, asked: PageRequest, template: str, current: str, *, status: int = 200, **content: Any) -> Response:
        """A page; arguments as of ``PageRequest.render``."""
        counts = {"dpo_requests": self._requests.standing().pending}
        return asked.render(
            f"dpo/{template}",
            current,
            status=status,
            counts=counts,
            moment_of=moment_of,
            day_of_text=date.fromisoformat,
            **{"problem": None, **content},
        )

    def called(self) -> Callable[[str], str]:
        """The names of actors of entries: of persons theirs, of credentials their label, of others what the log has."""
        people = {user.id: user.name for user in self._accounts.list()}
        label = self._labels()
        return lambda actor: people.get(actor) or label(actor)


def status_of(problem: SillageError) -> int:
    """The status of a page that is shown again with a problem: that of the problem, if whoever sent it can mend it.

    Raises:
        SillageError: the problem, where they cannot.
    """
    if problem.status >= 500:
        raise problem
    return problem.status
