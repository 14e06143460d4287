"""The register of processing activities: entries in full, a form made from its schema, versions, the end of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from flask import Response

from app.core import clock, contracts, given
from app.core.errors import BadRequest, Fault, NotFound, RegisterInvalid, SillageError
from app.governance.register.service import ProcessingActivity, Register, version_on
from app.retention.certificates import Certificates
from app.retention.contracts import Contracts
from app.retention.service import Retention
from app.web.portal.dpo.desk import ROLES, Desk, status_of
from app.web.portal.dpo.schema_form import SchemaForm, differences
from app.web.portal.signed_pages import N_, PageRequest
from app.web.portal.unbounded import UnboundedPages

_ACTS = 200
_NEW: Final = "new"


class RegisterPages:
    """Shows the register, and adds to it. What an entry must be, the register decides."""

    def __init__(
        self, desk: Desk, register: Register, retention: Retention, contracts_: Contracts, certificates: Certificates
    ) -> None:
        self._desk = desk
        self._register = register
        self._retention = retention
        self._contracts = contracts_
        self._certificates = certificates
        self._form = SchemaForm(contracts.load("sillage", "processing-activity.schema.json"))

    def add_to(self, pages: UnboundedPages) -> None:
        """Register the pages."""
        pages.show("dpo/register", "dpo_register", ROLES, self.register, menu=N_("Register"))
        pages.show("dpo/register/new", "dpo_register_new", ROLES, self.new)
        pages.act("dpo/register/new", "dpo_register_add", ROLES, self.add)
        pages.show("dpo/register/<id>", "dpo_register_entry", ROLES, self.entry)
        pages.show("dpo/register/<id>/edit", "dpo_register_edit", ROLES, self.edit)
        pages.act("dpo/register/<id>/edit", "dpo_register_change", ROLES, self.change)
        pages.show("dpo/register/<id>/end", "dpo_register_end", ROLES, self.ending)
        pages.act("dpo/register/<id>/end", "dpo_register_ended", ROLES, self.end)

    def register(self, asked: PageRequest) -> Response:
        """The entries in force, and those to come."""
        return self._desk.render(
            asked,
            "register.html",
            "dpo_register",
            entries=self._register.list(),
            planned=self._register.planned(),
            overdue={entry.id for entry in self._register.overdue_reviews()},
            ended=self._contracts.ended_now(),
        )

    def entry(self, asked: PageRequest, id: str) -> Response:
        """An entry in full, with its versions and what was done about it."""
        versions = self._versions(id)
        governing = version_on(versions, self._register.day())
        return self._desk.render(
            asked,
            "register_entry.html",
            "dpo_register",
            entry=governing or versions[-1],
            governing=governing,
            versions=[*reversed(versions)],
            planned={one.version for one in self._register.planned() if one.id == id},
            overdue=id in {one.id for one in self._register.overdue_reviews()},
            ended=self._contracts.ended(id),
            sources=self._contracts.of(id)[1] if governing else [],
            acts=self._certificates.newest(_ACTS, activity=id),
        )

    # --- the form ---------------------------------------------------------------------------------------

    def new(self, asked: PageRequest) -> Response:
        """The form of a new entry."""
        return self._shown(asked, None, {})

    def add(self, asked: PageRequest) -> Response:
        """Preview a new entry, or add it."""
        return self._taken(asked, None)

    def edit(self, asked: PageRequest, id: str) -> Response:
        """The form of an entry, filled with the version that was added last."""
        latest = self._versions(id)[-1]
        return self._shown(asked, id, latest.document, base=latest.version)

    def change(self, asked: PageRequest, id: str) -> Response:
        """Preview a new version of an entry, or add it."""
        return self._taken(asked, id)

    def _taken(self, asked: PageRequest, id: str | None) -> Response:
        versions = () if id is None else self._versions(id)
        form = asked.form
        base = 0 if id is None else _version(form.text("base"))
        document = self._form.document(form)
        if id is not None:
            document = {"id": id, **{name: value for name, value in document.items() if name != "id"}}
        step = form.text("step")
        if step.startswith("add:"):
            return self._shown(asked, id, document, base=base, more=step.removeprefix("add:"))
        if step == "again":
            return self._shown(asked, id, document, base=base)
        content = orjson.dumps(document)
        try:
            if step == "save":
                with asked.once() as first:
                    if not first:
                        return asked.see("dpo_register")
                    added = self._register.add(content, actor=asked.actor, base=base)
                return asked.see("dpo_register_entry", id=added.id)
            draft = self._register.draft(content, base=base)
        except RegisterInvalid as problem:
            if id is not None and any(each.rule == "base" for each in problem.faults):
                # What was entered is kept: the preview tells then how it differs from the version added meanwhile.
                latest = self._versions(id)[-1]
                return self._shown(asked, id, document, base=latest.version, status=422, wrong="moved")
            return self._shown(asked, id, document, problem.faults, base=base, status=422, wrong="invalid")
        last = versions[-1] if versions else None
        return self._desk.render(
            asked,
            "register_preview.html",
            "dpo_register",
            id=id,
            base=base,
            draft=draft,
            latest=last,
            changes=[
                (_words(pointer), before, after)
                for pointer, before, after in differences(last.document if last else {}, document)
            ],
            fields=_fields(document),
            effect=self._retention.effect(draft, clock.now_us()),
            comes=draft.in_force_from > self._register.day(),
        )

    def _shown(
        self,
        asked: PageRequest,
        id: str | None,
        document: Mapping[str, Any],
        faults: Sequence[Fault] = (),
        *,
        base: int = 0,
        more: str = "",
        status: int = 200,
        wrong: str = "",
    ) -> Response:
        return self._desk.render(
            asked,
            "register_edit.html",
            "dpo_register",
            status=status,
            id=id,
            base=base,
            nodes=self._form.nodes(document, faults, more),
            wrong=wrong,
            beyond=self._form.beyond(faults),
        )

    def _versions(self, id: str) -> tuple[ProcessingActivity, ...]:
        versions = self._register.history(id)
        if not versions:
            raise NotFound("The register has no such entry.")
        return versions

    # --- the end of an entry ----------------------------------------------------------------------------

    def ending(self, asked: PageRequest, id: str) -> Response:
        """The page on which the end of an entry is confirmed."""
        return self._end_page(asked, id)

    def end(self, asked: PageRequest, id: str) -> Response:
        """End an entry on a day: its sources are closed then. What is stored stays until its duration is over."""
        form = asked.form
        faults = {name: "missing" for name in ("word", "reason", "on", "sure") if not form.text(name)}
        if faults:
            return self._end_page(asked, id, status=422, faults=faults)
        try:
            day = given.day(form.text("on"))
            with asked.once() as first:
                if first:
                    self._contracts.end(id, day, word=form.text("word"), reason=form.text("reason"), actor=asked.actor)
        except ValueError:
            return self._end_page(asked, id, status=422, faults={"on": "invalid"})
        except BadRequest as problem:
            return self._end_page(asked, id, status=status_of(problem), problem=problem)
        return asked.see("dpo_register_entry", id=id)

    def _end_page(
        self,
        asked: PageRequest,
        id: str,
        *,
        status: int = 200,
        faults: Mapping[str, str] | None = None,
        problem: SillageError | None = None,
    ) -> Response:
        entry, sources = self._contracts.of(id)
        return self._desk.render(
            asked,
            "register_end.html",
            "dpo_register",
            status=status,
            entry=entry,
            sources=[source for source in sources if source.closed is None],
            given=asked.form.all(),
            faults=faults or {},
            problem=problem,
        )


def _version(text: str) -> int:
    """The version that a form was made from; one that there never is for what says none."""
    try:
        return given.number(text)
    except ValueError:
        return -1


def _words(pointer: str) -> list[str | int]:
    """A pointer as names and places from 1, for a page to tell."""
    return [int(part) + 1 if part.isdigit() else part for part in pointer.strip("/").split("/")]


def _fields(document: Any, pointer: str = "") -> list[tuple[str, str]]:
    """The fields of a form that say a document."""
    if isinstance(document, Mapping):
        return [found for name, value in document.items() for found in _fields(value, f"{pointer}/{name}")]
    if isinstance(document, list):
        return [found for place, value in enumerate(document) for found in _fields(value, f"{pointer}/{place}")]
    return [(pointer, {True: "true", False: "false"}[document] if isinstance(document, bool) else str(document))]
