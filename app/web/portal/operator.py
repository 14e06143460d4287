"""Pages of operators: health, jobs, storage, keys and backups as states, sources."""

from __future__ import annotations

from typing import Final

from flask import Response

from app.access.credentials import MODES, Sources
from app.access.roles import Role
from app.core import clock
from app.core.errors import BadRequest, NotFound, RegisterInvalid
from app.governance.register.service import Register
from app.retention.contracts import Contracts
from app.traces.conformance.verdicts import ConformanceService
from app.web.portal.operator_record import OperatorRecord
from app.web.portal.signed_pages import N_, PageRequest, SignedPages

ROLES: Final = (Role.OPERATOR,)
MAX_NAME: Final = 200
_KNOWN: Final = (
    (
        "A source named",
        N_("A source of this id is registered already. If this form was sent twice, its key was shown then."),
    ),
    ("A source id is", N_("The id is lower-case letters, digits and dashes, 48 at most.")),
    ("No such processing activity", N_("There is no such processing activity in force.")),
    ("This processing activity has ended", N_("This processing activity has ended: nothing comes under it any more.")),
    ("mode is one of", N_("Choose what becomes of statements that fail.")),
    ("Profile ", N_("One of the profiles is not loaded.")),
)
"""Words of refusals, by how they begin."""


class OperatorPages:
    """Shows a store to those who run it, and registers and closes sources."""

    def __init__(
        self,
        record: OperatorRecord,
        sources: Sources,
        contracts: Contracts,
        register: Register,
        profiles: ConformanceService,
        public_url: str,
    ) -> None:
        self._record = record
        self._sources = sources
        self._contracts = contracts
        self._register = register
        self._profiles = profiles
        self._endpoint = f"{public_url.rstrip('/')}/xAPI/"

    def add_to(self, pages: SignedPages) -> None:
        """Register the pages."""
        pages.show("operations", "operations", ROLES, self.health, menu=N_("Health"))
        pages.show("operations/jobs", "jobs", ROLES, self.jobs, menu=N_("Jobs"))
        pages.show("operations/jobs/<name>", "job", ROLES, self.job)
        pages.show("operations/sources", "all_sources", ROLES, self.sources, menu=N_("Sources"))
        pages.show("operations/sources/new", "new_source", ROLES, self.new)
        pages.act("operations/sources/new", "add_source", ROLES, self.add)
        pages.show("operations/sources/<source>", "one_source", ROLES, self.one)
        pages.act("operations/sources/<source>", "close_source", ROLES, self.close)

    def health(self, asked: PageRequest) -> Response:
        """Health, queues, storage, keys and backups."""
        known = self._record.known()
        return asked.render("operator/health.html", "operations", known=known, now=clock.now())

    def jobs(self, asked: PageRequest) -> Response:
        """The jobs: last run, next run, lateness."""
        return asked.render("operator/jobs.html", "jobs", known=self._record.known())

    def job(self, asked: PageRequest, name: str) -> Response:
        """The newest runs of a job."""
        line = next((each for each in self._record.known().jobs if each.name == name), None)
        if line is None:
            raise NotFound("There is no such job.")
        return asked.render("operator/job.html", "jobs", job=line, runs=self._record.history(name))

    def sources(self, asked: PageRequest) -> Response:
        """The sources, and since when each is silent."""
        return asked.render(
            "operator/sources.html",
            "all_sources",
            sources=self._sources.list(),
            newest=self._record.known().newest,
            now=clock.now(),
        )

    def new(self, asked: PageRequest) -> Response:
        """The form that registers a source."""
        return self._new_page(asked)

    def add(self, asked: PageRequest) -> Response:
        """Register a source, and show its first key once."""
        form = asked.form
        name = form.text("name")
        if not name or len(name) > MAX_NAME:
            return self._new_page(asked, fault=N_("Give a name of at most two hundred characters."), status=422)
        try:
            source, made = self._sources.add(
                form.text("id"),
                name=name,
                activity=form.text("activity"),
                profiles=form.texts("profile"),
                mode=form.text("mode") or MODES[0],
                actor=asked.actor,
            )
        except RegisterInvalid as refused:
            known = next((words for start, words in _KNOWN if refused.detail.startswith(start)), "")
            return self._new_page(asked, fault=known, detail=refused.detail, status=422)
        return asked.render("operator/added.html", "all_sources", source=source, made=made, endpoint=self._endpoint)

    def one(self, asked: PageRequest, source: str) -> Response:
        """One source, and the form that closes it."""
        return self._one_page(asked, source)

    def close(self, asked: PageRequest, source: str) -> Response:
        """Close a source, on somebody's word."""
        form = asked.form
        if form.text("sure") != "yes":
            return self._one_page(
                asked, source, fault=N_("Say that you are sure: a closed source gets no key any more."), status=422
            )
        try:
            self._contracts.close(source, word=form.text("word"), reason=form.text("reason"), actor=asked.actor)
        except BadRequest as refused:
            return self._one_page(asked, source, detail=refused.detail, status=422)
        return asked.see("one_source", source=source)

    def _new_page(self, asked: PageRequest, *, fault: str = "", detail: str = "", status: int = 200) -> Response:
        return asked.render(
            "operator/new_source.html",
            "all_sources",
            status=status,
            activities=self._register.list(),
            profiles=self._profiles.list(),
            modes=MODES,
            given=asked.form,
            fault=fault,
            detail=detail,
        )

    def _one_page(
        self, asked: PageRequest, source: str, *, fault: str = "", detail: str = "", status: int = 200
    ) -> Response:
        try:
            found = self._sources.get(source)
        except RegisterInvalid:
            raise NotFound("There is no such source.") from None
        return asked.render(
            "operator/source.html",
            "all_sources",
            status=status,
            source=found,
            last=self._record.known().newest.get(source),
            keys=[
                (each, self._sources.good(each), self._sources.last_day(each)) for each in self._sources.keys(source)
            ],
            fault=fault,
            detail=detail,
        )
