"""The day of the data protection officer: what waits for an act of theirs."""

from __future__ import annotations

from collections import Counter

from flask import Response

from app.operations.agenda import Agenda, Group, grouped
from app.web.portal.dpo.desk import ROLES, Desk
from app.web.portal.signed_pages import N_, PageRequest
from app.web.portal.unbounded import UnboundedPages


class TodayPages:
    """Shows the agenda."""

    def __init__(self, desk: Desk, agenda: Agenda) -> None:
        self._desk = desk
        self._agenda = agenda

    def add_to(self, pages: UnboundedPages) -> None:
        """Register the page."""
        pages.show("dpo", "dpo", ROLES, self.today, menu=N_("Today"))

    def today(self, asked: PageRequest) -> Response:
        """The tasks that wait, and what was done last night. Nobody is named: no purpose is asked for."""
        day = self._agenda.read()
        open_requests = Counter(task.label for task in day.tasks if task.kind in {"request", "identity"})
        return self._desk.render(
            asked,
            "today.html",
            "dpo",
            groups=grouped(day.tasks),
            Group=Group,
            tonight=day.tonight,
            open_requests=open_requests,
        )
