"""Yearly figures for the report of a data protection officer: what was asked, what was done. Numbers, and nobody named.

From what the store keeps: requests (``SILLAGE_REQUEST_DAYS``), erasures and certificates (for good), what retention
deleted (counted by year). What each number counts, and why: ``docs/adr/0054-yearly-figures.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.access.restrictions.store import DataSubjectStateRepository
from app.core.clock import Now
from app.core.errors import BadRequest, Fault
from app.core.months import months_after
from app.people.erasure.store import ErasureRepository
from app.people.requests.steps import DONE, KINDS, MONTHS_EXTENDED, REFUSED
from app.people.requests.store import DataSubjectRequestDates, DataSubjectRequestRepository
from app.retention.certificate_store import DELETIONS, CertificateRepository
from app.retention.yearly_store import RetentionYear, RetentionYears

BY_A_RESTORE = "cli:restore"
"""Actor of the erasures that a restore makes again: each was counted when it was asked for."""


class OfKind(NamedTuple):
    """Requests of one kind in a year.

    Attributes:
        kind: Which; one of ``KINDS``, or ``all``.
        opened: Received in the year.
        done: What was asked was done, in the year.
        refused: Refused in the year.
        extended: Of those received in the year, those that took two further months.
        late: Answered in the year (done or refused), after the day that they were due.
        median_days: From receipt to answer, of those answered in the year; None when there are none.
        waiting: Unanswered at the end of the year, or now.
        overdue: Of these, past the day that they were due.
    """

    kind: str
    opened: int
    done: int
    refused: int
    extended: int
    late: int
    median_days: float | None
    waiting: int
    overdue: int


class YearFigures(NamedTuple):
    """The figures of a year.

    Attributes:
        year: Which.
        until: The last day counted: its end, or today.
        requests: By kind; the last line is all of them.
        erasures: Begun in the year, without those that a restore repeated.
        erasures_repeated: Those.
        restricted: Identifiers that are restricted now.
        objecting: Identifiers that object to research now.
        refusing: Of whom new statements are refused now.
        retention: What retention did; None: no run is on record.
        acts: Deletions on the operator's word that ended in the year.
        acts_statements: Statements that these deleted.
        acts_documents: Documents, likewise.
        requests_since: Answered requests that came before this day are removed.
        retention_since: The first run of retention that is on record; None: there is none.
    """

    year: int
    until: date
    requests: tuple[OfKind, ...]
    erasures: int
    erasures_repeated: int
    restricted: int
    objecting: int
    refusing: int
    retention: RetentionYear | None
    acts: int
    acts_statements: int
    acts_documents: int
    requests_since: date
    retention_since: date | None


class Figures:
    """Counts."""

    def __init__(
        self,
        *,
        requests: DataSubjectRequestRepository,
        erasures: ErasureRepository,
        states: DataSubjectStateRepository,
        certificates: CertificateRepository,
        retention: RetentionYears,
        zone: ZoneInfo,
        now: Now,
        request_days: int,
    ) -> None:
        """``zone``: the controller's, in which a year begins; ``request_days``: how long answered requests are kept."""
        self._requests = requests
        self._erasures = erasures
        self._states = states
        self._certificates = certificates
        self._retention = retention
        self._zone = zone
        self._now = now
        self._request_days = request_days

    def of(self, year: int) -> YearFigures:
        """The figures of a year; of this one, until today.

        Raises:
            BadRequest: the year is to come.
        """
        today = self._now().astimezone(self._zone).date()
        if year > today.year:
            message = "is to come"
            raise BadRequest(f"`year` {message}.", faults=[Fault("/year", "year", "", message)])
        first, until = date(year, 1, 1), min(date(year, 12, 31), today)
        start, end = self._instant(first), self._instant(date(year, 12, 31) + timedelta(days=1))
        kept = self._requests.between(first, until)
        begun = self._erasures.begun(start, end)
        states = self._states.read()
        acts = self._certificates.finished(DELETIONS, start, end)
        years = self._retention.read()
        return YearFigures(
            year,
            until,
            (
                *(
                    _of_kind(kind, [request for request in kept if request.kind == kind], first, until)
                    for kind in KINDS
                ),
                _of_kind("all", kept, first, until),
            ),
            sum(actor != BY_A_RESTORE for actor in begun),
            sum(actor == BY_A_RESTORE for actor in begun),
            len(states.restricted),
            len(states.objecting),
            len(states.refusing),
            next((one for one in years if one.year == year), None),
            len(acts),
            _sum("statements", acts),
            _sum("documents", acts),
            today - timedelta(days=self._request_days),
            years[0].first.astimezone(self._zone).date() if years else None,
        )

    def _instant(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self._zone).astimezone(UTC)


def _of_kind(kind: str, requests: Sequence[DataSubjectRequestDates], first: date, until: date) -> OfKind:
    opened = [request for request in requests if first <= request.received <= until]
    answered = [request for request in requests if request.answered is not None and first <= request.answered <= until]
    waiting = [
        request
        for request in requests
        if request.received <= until and (request.answered is None or request.answered > until)
    ]
    days = [(request.answered - request.received).days for request in answered if request.answered is not None]
    return OfKind(
        kind,
        len(opened),
        sum(request.status == DONE for request in answered),
        sum(request.status == REFUSED for request in answered),
        # GDPR art. 12(3): the day that it is due says whether it was extended.
        sum(request.due >= months_after(request.received, MONTHS_EXTENDED) for request in opened),
        sum(request.answered is not None and request.answered > request.due for request in answered),
        median(days) if days else None,
        len(waiting),
        sum(until > request.due for request in waiting),
    )


def _sum(name: str, acts: Iterable[dict[str, int]]) -> int:
    return sum(counts.get(name, 0) for counts in acts)
