"""Desk of the data protection officer: what all of their pages have, and what the actors of entries are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from flask import Response

from app.access.roles import Role
from app.access.users.service import Users
from app.core.clock import moment_of
from app.core.errors import SillageError
from app.people.access_package.recipients import Labels
from app.people.requests.service import DataSubjectRequests
from app.web.portal.signed_pages import PageRequest

ROLES = (Role.DPO,)


class Names:
    """The names of actors of entries: of persons theirs, of credentials their label, of others what the log has."""

    def __init__(self, people: Mapping[str, str], labels: Labels) -> None:
        """``people``: names by the id of the account."""
        self._people = people
        self._labels = labels

    def __call__(self, actor: str) -> str:
        """The name of one."""
        return self._people.get(actor) or self._labels(actor)

    def listed(self) -> list[tuple[str, str]]:
        """Those who may have read: ids and names, by name."""
        return sorted({**self._labels.known, **self._people}.items(), key=lambda one: one[1].lower())


class Desk:
    """Renders pages of the data protection officer."""

    def __init__(self, requests: DataSubjectRequests, accounts: Users, labels: Callable[[], Labels]) -> None:
        """``labels`` says what credentials are called."""
        self._requests = requests
        self._accounts = accounts
        self._labels = labels

    def render(self, asked: PageRequest, template: str, current: str, *, status: int = 200, **content: Any) -> Response:
        """A page; arguments as of ``PageRequest.render``."""
        counts = {"dpo_requests": self._requests.waiting()}
        return asked.render(
            f"dpo/{template}",
            current,
            status=status,
            counts=counts,
            moment_of=moment_of,
            day_of_text=date.fromisoformat,
            **{"problem": None, **content},
        )

    def called(self) -> Names:
        """The names of actors of entries."""
        return Names({user.id: user.name for user in self._accounts.list()}, self._labels())


def status_of(problem: SillageError) -> int:
    """The status of a page that is shown again with a problem: that of the problem, if whoever sent it can mend it.

    Raises:
        SillageError: the problem, where they cannot.
    """
    if problem.status >= 500:
        raise problem
    return problem.status
