"""The checks of schools (UAI) and courses of study (MEF) that statements name, with the nomenclature in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.core.clock import Today
from app.core.errors import Fault
from app.standards.france import schools
from app.standards.france.mef import Edition
from app.standards.france.schools import Keys
from app.standards.profiles import terms
from app.traces.conformance.nomenclatures import Nomenclatures

KEYS = Keys(terms.SCHOOL, terms.LEVEL)
"""Extensions in which statements say their school and course of study."""


class SchoolChecks:
    """Checks batches. Safe to share between threads."""

    def __init__(self, nomenclatures: Nomenclatures, today: Today) -> None:
        """Make the service.

        Args:
            nomenclatures: The nomenclature in force.
            today: The date.
        """
        self._nomenclatures = nomenclatures
        self._today = today
        self._checks: tuple[Sequence[Edition], schools.Checks] = ((), schools.Checks(KEYS, ()))

    def faults(self, statements: Sequence[dict[str, Any]]) -> Sequence[tuple[Fault, ...]]:
        """The faults of the schools and courses that statements name, statement by statement."""
        editions, today = self._nomenclatures.editions(), self._today()
        # A new nomenclature is another object.
        known, checks = self._checks
        if known is not editions:
            checks = schools.Checks(KEYS, editions)
            self._checks = (editions, checks)
        return [checks.faults(each, today) for each in statements]
