"""Pages of learners and guardians: what is kept, who read it, what they ask for, and the code that links an account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response

from app.access.roles import Role
from app.core.errors import (
    BadRequest,
    DataSubjectRequestConflict,
    LinkAttemptsExceeded,
    LinkRefused,
    LinksExceeded,
    NotFound,
)
from app.people.family.links import MAX_CALLED, FamilyLinks
from app.people.family.record import ASKED_FOR, MAX_TEXT, Child, FamilyRecord, child_of
from app.people.requests.steps import COLLECTED
from app.web.portal.frame import HEADERS
from app.web.portal.signed_pages import N_, PageRequest, SignedPages
from app.web.subject_access import ExportAnswers

ROLES = (Role.LEARNER, Role.GUARDIAN)
_SHOWN_READERS = 200


class FamilyPages:
    """Shows families what is kept of their own, and takes what they ask for."""

    def __init__(self, links: FamilyLinks, record: FamilyRecord, exports: ExportAnswers) -> None:
        self._links = links
        self._record = record
        self._exports = exports

    def add_to(self, pages: SignedPages) -> None:
        """Register the pages."""
        pages.show("family", "family", ROLES, self.family, menu=N_("What is kept"))
        pages.show("family/requests", "family_requests", ROLES, self.requests, menu=N_("My requests"))
        pages.show("family/code", "family_code", ROLES, self.code, menu=N_("Type a code"))
        pages.act("family/code", "family_give_code", ROLES, self.give_code)
        pages.show("family/<link>", "family_kept", ROLES, self.kept)
        pages.show("family/<link>/readers", "family_readers", ROLES, self.readers)
        pages.show("family/<link>/ask/<kind>", "family_ask", ROLES, self.ask)
        pages.act("family/<link>/ask/<kind>", "family_asked", ROLES, self.asked)
        pages.act("family/<link>/requests/<id>/withdraw", "family_withdraw", ROLES, self.withdraw)
        pages.act("family/<link>/requests/<id>/copy", "family_copy", ROLES, self.copy)

    def family(self, asked: PageRequest) -> Response:
        """The learners of an account: of one, what is kept; of several, a choice; of none, how to link one."""
        children = self._children(asked)
        if len(children) == 1:
            return asked.see("family_kept", link=children[0].id)
        return asked.render("family/children.html", "family", children=children, **_code_form())

    def code(self, asked: PageRequest) -> Response:
        """The form for a code."""
        return asked.render("family/code.html", "family_code", **_code_form())

    def give_code(self, asked: PageRequest) -> Response:
        """Link the account by a code."""
        form = asked.form
        try:
            link = self._links.give(
                asked.actor, _roles(asked), form.text("code"), called=form.text("called"), actor=asked.actor
            )
        except LinkRefused:
            return self._again(asked, "refused", 422)
        except LinkAttemptsExceeded:
            return self._again(asked, "exceeded", 429)
        except LinksExceeded:
            return self._again(asked, "full", 422)
        except BadRequest as refused:
            if not _is_at("/called", refused):
                raise
            return self._again(asked, "called", 422)
        kept = [child.id for child in self._children(asked)]
        # An account's own identifiers are shown together, and so is a child who was linked before.
        return asked.see("family_kept", link=link.id) if link.id in kept else asked.see("family")

    def kept(self, asked: PageRequest, link: str) -> Response:
        """Everything that is kept of a learner."""
        children = self._children(asked)
        child = child_of(children, link)
        kept = self._record.kept(child, actor=asked.actor)
        requests = self._record.requests(child, actor=asked.actor)
        waiting = [each for each in requests if each.pending]
        return asked.render(
            "family/kept.html",
            "family",
            child=child,
            several=len(children) > 1,
            kept=kept,
            waiting=waiting[0] if waiting else None,
            asked_already={each.kind for each in waiting},
        )

    def readers(self, asked: PageRequest, link: str) -> Response:
        """Recipients of what is kept of a learner, and the research that it served."""
        children = self._children(asked)
        child = child_of(children, link)
        received = self._record.readers(child, actor=asked.actor)
        return asked.render(
            "family/readers.html",
            "family",
            child=child,
            several=len(children) > 1,
            readings=received.readings[:_SHOWN_READERS],
            exports=received.exports[-_SHOWN_READERS:][::-1],
            since=received.since,
        )

    def requests(self, asked: PageRequest) -> Response:
        """Requests of the account, and where they stand."""
        children = self._children(asked)
        found = [(child, request) for child in children for request in self._record.requests(child, actor=asked.actor)]
        found.sort(key=lambda each: each[1].steps[0].at, reverse=True)
        return asked.render(
            "family/requests.html",
            "family_requests",
            requests=found,
            children=children,
            collected=COLLECTED,
        )

    def ask(self, asked: PageRequest, link: str, kind: str) -> Response:
        """The form of a request."""
        return self._ask(asked, self._children(asked), link, kind)

    def asked(self, asked: PageRequest, link: str, kind: str) -> Response:
        """Note a request."""
        children = self._children(asked)
        child = child_of(children, link)
        if kind not in ASKED_FOR:
            raise NotFound("Nothing of this kind can be asked for.")
        try:
            self._record.ask(child, kind, asked.form.text("text"), actor=asked.actor)
        except DataSubjectRequestConflict:
            return self._ask(asked, children, link, kind, fault="asked", status=409)
        except BadRequest as refused:
            if not _is_at("/text", refused):
                raise
            return self._ask(asked, children, link, kind, fault="text", status=422)
        return asked.see("family_requests")

    def withdraw(self, asked: PageRequest, link: str, id: str) -> Response:
        """Take back an objection."""
        self._record.withdraw_objection(child_of(self._children(asked), link), id, actor=asked.actor)
        return asked.see("family_requests")

    def copy(self, asked: PageRequest, link: str, id: str) -> Response:
        """The copy that answers a request, once."""
        child = child_of(self._children(asked), link)
        answer = self._exports.of(lambda: self._record.copy(child, id, actor=asked.actor), "copy.zip")
        answer.headers.update(HEADERS)
        return answer

    def _children(self, asked: PageRequest) -> Sequence[Child]:
        return self._record.children(asked.actor, _roles(asked))

    def _again(self, asked: PageRequest, fault: str, status: int) -> Response:
        form = _code_form(fault, asked.form.text("code"), asked.form.text("called"))
        return asked.render("family/code.html", "family_code", status=status, **form)

    def _ask(
        self, asked: PageRequest, children: Sequence[Child], link: str, kind: str, *, fault: str = "", status: int = 200
    ) -> Response:
        child = child_of(children, link)
        if kind not in ASKED_FOR:
            raise NotFound("Nothing of this kind can be asked for.")
        return asked.render(
            "family/ask.html",
            "family",
            status=status,
            child=child,
            several=len(children) > 1,
            kind=kind,
            fault=fault,
            text=asked.form.text("text"),
            longest=MAX_TEXT,
        )


def _roles(asked: PageRequest) -> list[str]:
    return [role.value for role in asked.visitor.roles if role in ROLES]


def _is_at(pointer: str, refused: BadRequest) -> bool:
    return any(fault.pointer == pointer for fault in refused.faults)


def _code_form(fault: str = "", code: str = "", called: str = "") -> dict[str, Any]:
    return {"fault": fault, "code": code[:40], "called": called[: 2 * MAX_CALLED], "longest_name": MAX_CALLED}
