"""Recipients: who received what, the keys with which it is read, and the figures of a year for the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from flask import Response

from app.access import key_ends
from app.access.store import SourceRepository
from app.core.clock import Now
from app.core.errors import BadRequest, NotFound
from app.governance.audit.log import EXPORT_WRITTEN
from app.governance.register.service import Register
from app.operations.figures import Figures, YearFigures
from app.people.access_package.recipients import Disclosures
from app.people.audit_search import AuditSearch, Wanted
from app.web.portal.charts import written_csv
from app.web.portal.dpo.desk import ROLES, Desk
from app.web.portal.dpo.who import ACCOUNTS, said
from app.web.portal.files import csv_answer
from app.web.portal.signed_pages import N_, PageRequest
from app.web.portal.unbounded import UnboundedPages

_EXPORTS: Final = 100
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 9999
_YEARS: Final = 5
"""Years of the report that a page leads to: as long as answered requests are kept."""


class Key(NamedTuple):
    """A key of a person or a service that reads, as a page tells it; ``ends``: its last day; None: no end."""

    id: str
    label: str
    scopes: Sequence[str]
    ends: date | None
    soon: bool


class RecipientPages:
    """Shows recipients, keys, and figures of a year."""

    def __init__(
        self,
        desk: Desk,
        *,
        disclosures: Disclosures,
        search: AuditSearch,
        register: Register,
        sources: SourceRepository,
        figures: Figures,
        now: Now,
        zone: ZoneInfo,
    ) -> None:
        """``zone``: where days begin."""
        self._desk = desk
        self._disclosures = disclosures
        self._search = search
        self._register = register
        self._sources = sources
        self._figures = figures
        self._now = now
        self._zone = zone

    def add_to(self, pages: UnboundedPages) -> None:
        """Register the pages."""
        pages.show("dpo/recipients", "dpo_recipients", ROLES, self.recipients, menu=N_("Recipients"), purpose=True)
        pages.act("dpo/recipients", "dpo_recipients_of", ROLES, self.of_person, purpose=True)
        pages.show("dpo/year", "dpo_year", ROLES, self.this_year, menu=N_("Yearly report"))
        pages.show("dpo/year/<int:year>", "dpo_year_of", ROLES, self.year)
        pages.show("dpo/year/<int:year>/figures.csv", "dpo_year_file", ROLES, self.year_file)

    def recipients(self, asked: PageRequest) -> Response:
        """Those declared in the register, packages that were written, keys that read."""
        return self._shown(asked)

    def of_person(self, asked: PageRequest) -> Response:
        """The recipients of the data of one person; on record."""
        who = said(asked.form)
        if who.faults:
            return self._shown(asked, status=422, faults=who.faults)
        return self._shown(asked, received=self._disclosures.of(who.data_subject, actor=asked.actor))

    def _shown(
        self, asked: PageRequest, *, status: int = 200, received: object = None, faults: object = None
    ) -> Response:
        # Reading the log is on record, of whatever kind.
        exports = self._search.find(Wanted(kinds=(EXPORT_WRITTEN,)), None, _EXPORTS, who=asked.actor).entries
        return self._desk.render(
            asked,
            "recipients.html",
            "dpo_recipients",
            status=status,
            given=asked.form.all(),
            faults=faults or {},
            accounts=ACCOUNTS,
            received=received,
            exports=exports,
            entries=self._register.list(),
            keys=self._keys(),
            called=self._desk.called(),
        )

    def _keys(self) -> Sequence[Key]:
        now = self._now()
        return [
            Key(
                key.id,
                key.label,
                key.scopes,
                None if key.ends is None else key_ends.last_day_of(key.ends, self._zone),
                key_ends.is_soon(key.ends, now),
            )
            for key in key_ends.of_persons(self._sources.credentials(), now)
        ]

    # --- the figures of a year --------------------------------------------------------------------------

    def this_year(self, asked: PageRequest) -> Response:
        """The figures of this year, until today."""
        return self._year(asked, self._now().astimezone(self._zone).year)

    def year(self, asked: PageRequest, year: int) -> Response:
        """The figures of a year."""
        return self._year(asked, year)

    def year_file(self, asked: PageRequest, year: int) -> Response:
        """The figures of a year, as a file."""
        found = self._of(year)
        lines: list[tuple[object, ...]] = [(found.year, "requests", *one) for one in found.requests]
        return csv_answer(f"year-{found.year}", written_csv(_COLUMNS, lines))

    def _year(self, asked: PageRequest, year: int) -> Response:
        found = self._of(year)
        now = self._now().astimezone(self._zone).year
        return self._desk.render(
            asked, "year.html", "dpo_year", found=found, years=[now - back for back in range(_YEARS)]
        )

    def _of(self, year: int) -> YearFigures:
        if not _FIRST_YEAR <= year <= _LAST_YEAR:
            raise NotFound("There are no figures of that year.")
        try:
            return self._figures.of(year)
        except BadRequest:
            raise NotFound("That year is to come.") from None


_COLUMNS: Final = (
    *("year", "what", "kind", "opened", "done", "refused", "extended", "late", "median_days", "waiting", "overdue"),
)
