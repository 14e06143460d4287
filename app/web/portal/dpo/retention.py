"""Retention: what is kept and due, the proof that durations are applied, deletion on the operator's word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Response

from app.access.store import SourceRepository
from app.core import clock, given
from app.core.clock import moment_of
from app.core.errors import BadRequest, NotFound, SillageError
from app.core.language import moment, number
from app.governance.audit.log import RETENTION_APPLIED, RETENTION_RUN, Audit
from app.governance.audit.store import Entry
from app.governance.register.service import ProcessingActivity, Register
from app.retention.certificates import Certificates
from app.retention.deletions import Deletions
from app.retention.service import DAY_US, Retention
from app.web.portal.charts import Axis, Cell, Chart, Form, Kind, Limit, Span
from app.web.portal.dpo.ages import Ages
from app.web.portal.dpo.desk import ROLES, Desk, status_of
from app.web.portal.files import attachment, csv_answer, specification_answer
from app.web.portal.language import translations
from app.web.portal.signed_pages import N_, PageRequest
from app.web.portal.unbounded import UnboundedPages

_MONTH_DAYS: Final = 365.25 / 12
_SPANS: Final = 12
"""Spans of the chart; what is older stands in one more."""
_YEAR_DAYS: Final = 366
_SERIES: Final = 4
_LISTED: Final = 100
_SECONDS: Final = 5.0
"""A deletion that takes longer than this goes on in the background."""


class _Enough(Exception):  # no error: the job goes on
    """A page has waited long enough for a deletion, which the job ``erasure`` goes on with."""


class RetentionPages:
    """Shows retention, and deletes on the operator's word."""

    def __init__(
        self,
        desk: Desk,
        *,
        retention: Retention,
        register: Register,
        sources: SourceRepository,
        audit: Audit,
        deletions: Deletions,
        certificates: Certificates,
        zone: ZoneInfo,
    ) -> None:
        """``zone``: where days begin."""
        self._desk = desk
        self._retention = retention
        self._ages = Ages(retention)
        self._register = register
        self._sources = sources
        self._audit = audit
        self._deletions = deletions
        self._certificates = certificates
        self._zone = zone

    def add_to(self, pages: UnboundedPages) -> None:
        """Register the pages."""
        pages.show("dpo/retention", "dpo_retention", ROLES, self.retention, menu=N_("Retention"))
        pages.show("dpo/retention/ages.csv", "dpo_ages_csv", ROLES, self.ages_csv)
        pages.show("dpo/retention/ages.vl.json", "dpo_ages_specification", ROLES, self.ages_specification)
        pages.show("dpo/retention/sources/<id>/delete", "dpo_delete_data", ROLES, self.deleting)
        pages.act("dpo/retention/sources/<id>/delete", "dpo_data_deleted", ROLES, self.delete)
        pages.show("dpo/certificates/<uuid:id>", "dpo_certificate", ROLES, self.certificate)
        pages.show("dpo/certificates/<uuid:id>/file", "dpo_certificate_file", ROLES, self.certificate_file)

    def retention(self, asked: PageRequest) -> Response:
        """The report on retention by processing activity and source; proofs; the chart by age."""
        now = clock.now_us()
        lines = self._retention.report(now)
        entries = self._entries(now)
        runs = self._audit.newest((RETENTION_RUN,), None, 1)
        return self._desk.render(
            asked,
            "retention.html",
            "dpo_retention",
            charts=(self._chart(asked, entries),),
            lines=lines,
            entries=entries,
            names={source.id: source.name for source in self._sources.list()},
            run=runs[0] if runs else None,
            proofs=self._proofs(),
            acts=self._certificates.newest(_LISTED),
            day_of=lambda at: clock.moment_of(at).astimezone(self._zone).date(),
            now=now,
        )

    def ages_csv(self, asked: PageRequest) -> Response:
        """The figures of the chart by age."""
        chart = self._chart(asked, self._entries())
        return csv_answer(chart.id, chart.csv())

    def ages_specification(self, asked: PageRequest) -> Response:
        """The chart by age as it is declared."""
        return specification_answer(self._chart(asked, self._entries()))

    def _entries(self, now: int | None = None) -> Mapping[str, ProcessingActivity]:
        return {entry.id: entry for entry in self._register.list(now)}

    def _proofs(self) -> Mapping[str, Entry]:
        """The last entry on each source of which something was deleted."""
        entries = self._audit.newest_of_each(RETENTION_APPLIED, "source")
        return {str(entry.detail.get("source")): entry for entry in entries}

    def _chart(self, asked: PageRequest, entries: Mapping[str, ProcessingActivity]) -> Chart:
        _ = translations(asked.language).gettext
        longest = max((entry.retention.active_days for entry in entries.values()), default=0)
        months = 1 if longest <= _YEAR_DAYS else 3
        edges = [round(months * place * _MONTH_DAYS * DAY_US) for place in range(1, _SPANS + 1)]
        at, ages = self._ages.of(edges)
        # The largest each for itself, the others together: more could not be told apart.
        order = sorted(ages, key=lambda id: -sum(ages[id]))
        alone = order if len(order) <= _SERIES else order[: _SERIES - 1]
        spans = [
            *(
                Span(months * place, months * (place + 1), f"{months * place}–{months * (place + 1)}")
                for place in range(_SPANS)
            ),
            Span(months * _SPANS, months * (_SPANS + 1), _("over %(months)s") % {"months": months * _SPANS}),
        ]
        cells = [
            Cell(spans[place], count, getattr(entries[id].name, asked.language))
            for id in alone
            for place, count in enumerate(ages[id])
        ]
        if len(alone) < len(order):
            cells += [
                Cell(span, sum(ages[id][place] for id in order[len(alone) :]), _("the others"))
                for place, span in enumerate(spans)
            ]
        limits = [
            Limit(
                entries[id].retention.active_days / _MONTH_DAYS,
                _("%(entry)s: %(days)s days")
                % {"entry": id, "days": number(entries[id].retention.active_days, asked.language)},
                id,
            )
            for id in alone
            if entries[id].retention.active_days / _MONTH_DAYS <= months * (_SPANS + 1)
        ]
        return Chart(
            id="ages",
            language=asked.language,
            title=_("The age of what is kept"),
            note=_(
                "Traces by age in months since they were stored, as of %(moment)s. Marked: the duration of each entry."
            )
            % {"moment": moment(moment_of(at).astimezone(self._zone), asked.language)},
            form=Form.BARS,
            places=Axis("months", _("Age, in months")),
            figures=Axis("statements", _("Traces")),
            kind=Kind.COUNT,
            cells=cells,
            series=Axis("processing_activity", _("Processing activity")),
            limits=limits,
        )

    # --- deletion on the operator's word ----------------------------------------------------------------

    def deleting(self, asked: PageRequest, id: str) -> Response:
        """The form of a deletion."""
        return self._delete_page(asked, id)

    def delete(self, asked: PageRequest, id: str) -> Response:
        """Tell what would go; once that was seen and confirmed, delete it."""
        form = asked.form
        faults = {name: "missing" for name in ("word", "reason") if not form.text(name)}
        first, last = form.text("first"), form.text("last")
        bounds: dict[str, int | None] = {"first": 0, "last": None}
        for name, said in (("first", first), ("last", last)):
            if said:
                try:
                    bounds[name] = given.bound_of_day(said, self._zone, end=name == "last")
                except ValueError:
                    faults[name] = "invalid"
        if not first and not last and form.text("everything") != "yes":
            faults["everything"] = "missing"
        if faults:
            return self._delete_page(asked, id, status=422, faults=faults)
        since, until = bounds["first"] or 0, bounds["last"]
        planned = form.text("planned")
        try:
            # What goes is what was counted, of the same time: the end is open up to when it was counted, no further.
            if form.text("sure") == "yes" and planned == _planned(since, until, _counted(planned)):
                with asked.once() as once:
                    if once:
                        self._delete(asked, id, since, _end(until, _counted(planned)))
                return asked.see("dpo_retention")
            now = clock.now_us()
            plan = self._deletions.plan(id, since, _end(until, now))
        except BadRequest as problem:
            return self._delete_page(asked, id, status=status_of(problem), problem=problem)
        missing = {"sure": "missing"} if planned else {}
        return self._delete_page(
            asked,
            id,
            status=422 if missing else 200,
            faults=missing,
            plan=plan,
            planned=_planned(since, until, now),
        )

    def _delete(self, asked: PageRequest, id: str, since: int, until: int) -> None:
        end = clock.steady() + _SECONDS

        def check() -> None:
            if clock.steady() > end:
                raise _Enough

        form = asked.form
        try:
            self._deletions.delete_data(
                id,
                since,
                until,
                word=form.text("word"),
                reason=form.text("reason"),
                actor=asked.actor,
                check=check,
            )
        except _Enough:
            # It is noted, and the job goes on with it: the list of certificates tells how far it is.
            return

    def _delete_page(
        self,
        asked: PageRequest,
        id: str,
        *,
        status: int = 200,
        faults: Mapping[str, str] | None = None,
        plan: object = None,
        planned: str = "",
        problem: SillageError | None = None,
    ) -> Response:
        source = self._sources.get(id)
        if source is None:
            raise NotFound("There is no such source.")
        return self._desk.render(
            asked,
            "delete_data.html",
            "dpo_retention",
            status=status,
            source=source,
            given=asked.form.all(),
            faults=faults or {},
            plan=plan,
            planned=planned,
            problem=problem,
        )

    # --- certificates -----------------------------------------------------------------------------------

    def certificate(self, asked: PageRequest, id: UUID) -> Response:
        """A certificate, to print."""
        return self._desk.render(
            asked, "certificate.html", "dpo_retention", act=self._certificates.get(id), called=self._desk.called()
        )

    def certificate_file(self, asked: PageRequest, id: UUID) -> Response:
        """A certificate as it was signed."""
        document = self._certificates.get(id).document
        if document is None:
            raise NotFound("There is no certificate yet: it is under way.")
        return attachment(f"certificate-{id}.json", document, "application/json")


def _end(until: int | None, counted: int) -> int:
    """The end of what is deleted: nothing that was stored after it was counted."""
    return counted if until is None else min(until, counted)


def _planned(since: int, until: int | None, counted: int) -> str:
    """The bounds of a plan, and when it was counted: what a form shows to be of a plan that was seen."""
    return f"{since}-{_end(until, counted)}-{counted}"


def _counted(planned: str) -> int:
    """The instant at which a plan was counted; 0 for what is no plan."""
    try:
        return given.number(planned.rpartition("-")[2])
    except ValueError:
        return 0
