"""The explorer: an aggregate as chart, table and files, at an address that shows the same to whoever may see it."""

from __future__ import annotations

import hashlib
from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from flask import Response, request

from app.access.roles import Role
from app.core import clock
from app.core.errors import BadParameter
from app.research.aggregates import PAGE_LIMIT, Answer, Status
from app.research.readings import AggregateReadings
from app.research.tables import columns, lines, parquet
from app.web.portal.charts import written_csv
from app.web.portal.explorer.question import ANY, WHOLE, YEAR, Question, asked
from app.web.portal.explorer.view import View, headings, period_title, said, view
from app.web.portal.files import attachment, csv_answer, specification_answer
from app.web.portal.language import translations
from app.web.portal.signed_pages import N_, PageRequest, SignedPages

ROLES: Final = (Role.RESEARCHER, Role.STATISTICIAN)
PARQUET: Final = "application/vnd.apache.parquet"
_RECENT: Final = {"day": 3, "week": 6, "month": 24}
"""Months that are shown of whoever says no period, by the period of the aggregate."""
MAX_ROWS: Final = 300_000
"""Cells of one file: some 30 MB of CSV."""
_MOST_VALUES: Final = 300
"""Values beyond which a filter is a field, and not a list."""


class Cited(NamedTuple):
    """Words that cite a view, and what tells whether it is the same.

    Attributes:
        publisher: Who runs the service.
        year: Of the figures as they stand.
        fingerprint: Twelve hexadecimal digits of the definition and the CSV; empty of a view that has not all cells.
        address: Where the view is.
    """

    publisher: str
    year: int
    fingerprint: str
    address: str


class ExplorerPages:
    """Shows aggregates to researchers and statisticians. What they may read is decided by the readings."""

    def __init__(self, readings: AggregateReadings, zone: ZoneInfo, publisher: str, public_url: str) -> None:
        """``zone``, ``publisher``: of the organisation; ``public_url``: the address of the service, for links."""
        self._readings = readings
        self._zone = zone
        self._publisher = publisher
        self._public_url = public_url.rstrip("/")

    def add_to(self, pages: SignedPages) -> None:
        """Register the pages."""
        pages.show("explore", "explore", ROLES, self.show, menu=N_("Explore"), purpose=True)
        pages.show("explore/cells.csv", "explore_csv", ROLES, self.csv, purpose=True)
        pages.show("explore/cells.parquet", "explore_parquet", ROLES, self.parquet, purpose=True)
        pages.show("explore/chart.vl.json", "explore_specification", ROLES, self.specification, purpose=True)

    def show(self, page: PageRequest) -> Response:
        """The page."""
        status = self._readings.status(page.principal)
        if not status:
            return page.render("explorer/nothing.html", "explore")
        question = self._asked(page, status)
        if question.first is not None and question.last is not None and question.first > question.last:
            form = self._form(page, question, status)
            return page.render("explorer/explore.html", "explore", status=422, disordered=True, **form)
        found, answer = self._viewed(page, question)
        line = next(each for each in status if each.definition.name == question.definition.name)
        return page.render(
            "explorer/explore.html",
            "explore",
            charts=(found.chart,),
            view=found,
            disordered=False,
            period_title=period_title(question.definition, page.language),
            cut=answer.next is not None,
            minimum=answer.minimum_group,
            as_of=None if answer.as_of is None else clock.moment_of(answer.as_of).astimezone(self._zone),
            standing=line,
            cited=self._cited(page, question, answer),
            **self._form(page, question, status),
        )

    def csv(self, page: PageRequest) -> Response:
        """The cells as CSV."""
        question = self._asked(page, self._readings.status(page.principal))
        first, answers = self._all(page, question)
        return csv_answer(_file_name(question), self._written(question, first, answers))

    def parquet(self, page: PageRequest) -> Response:
        """The cells as Parquet."""
        question = self._asked(page, self._readings.status(page.principal))
        first, answers = self._all(page, question)
        content = parquet(question.definition, columns(question.definition, self._told(question, first)), answers)
        return attachment(f"{_file_name(question)}.parquet", content, PARQUET)

    def specification(self, page: PageRequest) -> Response:
        """The specification of the chart."""
        question = self._asked(page, self._readings.status(page.principal))
        return specification_answer(replace(self._viewed(page, question)[0].chart, id=_file_name(question)))

    # --- the question -------------------------------------------------------------------------------

    def _asked(self, page: PageRequest, status: Sequence[Status]) -> Question:
        if not status:
            raise BadParameter("There is no aggregate to explore.")
        question = asked(request.args, [each.definition for each in status])
        months = self._readings.months(page.principal, question.definition)
        bounds = page.principal.perimeter
        # Whoever says no period is shown the latest; the link to the view says which it was.
        if question.last is None and months:
            year, month = map(int, months[-1].split("-"))
            last = date(year, month, monthrange(year, month)[1])
            question = question._replace(last=min(last, bounds.until or last))
        if question.first is None and question.last is not None:
            first = _months_before(question.last, _RECENT[question.definition.period] - 1)
            question = question._replace(first=max(first, bounds.since or first))
        return question

    def _viewed(self, page: PageRequest, question: Question) -> tuple[View, Answer]:
        answer = self._readings.read(page.principal, question.query(PAGE_LIMIT))
        before = whole = None
        if question.compare == YEAR:
            before = self._readings.read(page.principal, question.year_before().query(PAGE_LIMIT))
        elif question.compare == WHOLE and question.by:
            whole = self._readings.read(page.principal, question._replace(by=()).query(PAGE_LIMIT))
        return view(question, answer, before, whole, page.language), answer

    def _all(self, page: PageRequest, question: Question) -> tuple[Answer, Iterator[Answer]]:
        """The first page of the cells, and every page, the first included; one is in memory at a time."""
        pages = self._readings.read_all(page.principal, question.query(PAGE_LIMIT))
        first = next(pages)
        return first, _bounded(chain((first,), pages))

    def _written(self, question: Question, first: Answer, answers: Iterable[Answer]) -> bytes:
        names = [each.name for each in columns(question.definition, self._told(question, first))]
        rows = ([int(each) if isinstance(each, bool) else each for each in line] for line in lines(answers, names))
        return written_csv(names, rows)

    def _told(self, question: Question, answer: Answer) -> Sequence[str]:
        return [*answer.by, *(name for name, _ in question.where)]

    # --- the page -----------------------------------------------------------------------------------

    def _form(self, page: PageRequest, question: Question, status: Sequence[Status]) -> dict[str, Any]:
        definition = question.definition
        values = self._readings.values(page.principal, definition, question.first, question.last)
        return {
            "query": question.address(),
            "question": question,
            "chosen": dict(question.where),
            "any": ANY,
            "said": partial(said, words=translations(page.language)),
            "tables": [each.definition for each in status],
            "headings": headings(definition, page.language),
            "values": {name: each for name, each in values.items() if len(each) <= _MOST_VALUES},
            "bounded": not page.principal.perimeter._replace(since=None, until=None).unbounded,
            # The other language shows the same view.
            "carried": question.carried(),
        }

    def _cited(self, page: PageRequest, question: Question, answer: Answer) -> Cited:
        # Of the file that the page offers: whoever has it can make it again. Of a view in part there is none.
        digest = ""
        if answer.next is None:
            content = self._written(question, answer, [answer])
            digest = hashlib.sha256(question.definition.sha256.encode() + content).hexdigest()
        when = clock.now() if answer.as_of is None else clock.moment_of(answer.as_of)
        address = f"{self._public_url}/{page.language}/explore?{question.address()}"
        return Cited(self._publisher, when.astimezone(self._zone).year, digest[:12], address)


def _bounded(answers: Iterable[Answer]) -> Iterator[Answer]:
    rows = 0
    for answer in answers:
        rows += len(answer.rows)
        if rows > MAX_ROWS:
            raise BadParameter(f"There are more than {MAX_ROWS:,} cells. Choose a shorter period, or fewer dimensions.")
        yield answer


def _months_before(day: date, months: int) -> date:
    """The first day of the month that lies so many months before that of a day."""
    month = day.year * 12 + day.month - 1 - months
    return date(month // 12, month % 12 + 1, 1)


def _file_name(question: Question) -> str:
    days = "-".join(day.isoformat() for day in (question.first, question.last) if day is not None)
    return f"{question.definition.name}-{days}" if days else question.definition.name
