"""Aggregates counted with those who take part: a use case of rights and of research.

Who is erased, or has left research, goes out of the figures that counted them before; what is new is counted without
them (GDPR art. 17, 18, 21). Research knows nobody, and rights know no figure: what needs both is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from app.access.restrictions.store import DataSubjectStateRepository
from app.core import clock
from app.governance.kept_since import KeptSince
from app.people.erasure.store import Erasure, ErasureRepository
from app.research.aggregates import Aggregates
from app.research.refresh import Progress, Recounted, RunSummary


class Figures(Protocol):
    """Aggregates, made when they are first asked for."""

    @property
    def aggregates(self) -> Aggregates:
        """The aggregates."""


class Counting:
    """Counts what is new, and counts again without those who are not to be counted."""

    def __init__(
        self, figures: Figures, erasures: ErasureRepository, states: DataSubjectStateRepository, kept: KeptSince
    ) -> None:
        """Nothing is counted yet."""
        self._figures = figures
        self._erasures = erasures
        self._states = states
        self._kept = kept

    def run(
        self,
        fence: int | None = None,
        progress: Progress | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> RunSummary:
        """Take out who has left research since the last run, then count what is new; see ``Aggregates.run``.

        ``check`` is called while months are counted again; what it raises ends the run.
        """
        self._take_out(check)
        return self._figures.aggregates.run(fence, progress, check)

    def without(self, subjects: Iterable[bytes], check: Callable[[], None]) -> None:
        """Count aggregates again without everybody whose erasure is under way, and without these learners.

        Of those under way nobody can read anything: whatever the reason, a month that is counted again goes without
        them, and their receipts say so. ``check`` is called now and then; what it raises ends it.
        """
        others = [(each,) for each in subjects]
        under_way: list[Erasure] = []

        def data_subjects() -> list[tuple[bytes, ...]]:
            under_way[:] = self._erasures.open()
            return [*(each.subjects for each in under_way), *others]

        def note(data_subject: int, months: Recounted) -> None:
            # Before it is done: a recount that was cut off finds nothing of them any more.
            if data_subject < len(under_way):
                self._erasures.note_months(under_way[data_subject].id, months.recounted, months.published)

        self._figures.aggregates.recount(data_subjects, self._kept.microseconds(), check, note)

    def _take_out(self, check: Callable[[], None]) -> None:
        # Cut off in between, it is done again the next time.
        subjects = self._states.to_take_out()
        if subjects:
            self.without(subjects, check)
            self._states.taken_out(subjects, clock.now())
