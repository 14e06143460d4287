"""The look-ups that every page of the data protection officer makes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.access.roles import Role
from app.access.store import SourceRepository
from app.access.users.service import Users
from app.people.requests.store import DataSubjectRequestRepository
from app.web.portal.dpo.audit import AuditPages
from app.web.portal.dpo.desk import Desk
from app.web.portal.forms import Form
from app.wiring.container import Container
from tests.people.people import container
from tests.web.portal.signed_in import NAME, grant

__all__ = ["container"]


class Asked:
    """A request for a page, which keeps what the page would show."""

    form = Form()

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}

    def render(self, template: str, current: str, *, status: int = 200, **content: Any) -> None:
        self.shown = content


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The look-ups, as they are made."""
    found: list[str] = []

    def counted(of: type, name: str) -> None:
        real = getattr(of, name)
        monkeypatch.setattr(of, name, lambda self, *given: found.append(name) or real(self, *given))

    for of, name in (
        (DataSubjectRequestRepository, "count"),
        (DataSubjectRequestRepository, "count_late"),
        (SourceRepository, "credentials"),
        (Users, "list"),
    ):
        counted(of, name)
    return found


def desk(container: Container) -> Desk:
    return Desk(container.people.requests, container.access.users, container.people.recipients.labels)


def test_what_waits_is_told_by_one_count(container: Container, read: list[str]) -> None:
    asked = Asked()
    desk(container).render(asked, "today.html", "dpo")
    assert asked.shown["counts"] == {"dpo_requests": 0} and read == ["count"]


def test_those_who_may_have_read_and_what_they_are_called_come_from_one_reading(
    container: Container, read: list[str]
) -> None:
    user = container.access.users.add("a@ecole.example", name=NAME, grants=[grant(Role.DPO)], actor="cli:test")
    key = container.operations.sources.issue(source=None, label="aa", scopes=["metrics/read"], actor="cli:test")
    pages = AuditPages(desk(container), SimpleNamespace(), tuple, container.platform.today, ZoneInfo("Europe/Paris"))
    asked = Asked()
    read.clear()
    pages.form(asked)
    assert read.count("credentials") == 1 and read.count("list") == 1
    called, actors = asked.shown["called"], asked.shown["actors"]
    assert [(key.id, "aa"), (user.id, NAME)] == [one for one in actors if one[0] in {key.id, user.id}]
    assert (called(user.id), called(key.id), called("cli:x"), called("sk-gone")) == (NAME, "aa", "cli:x", "?")
