"""The checks of schools (UAI) and courses of study (MEF) that statements name, by what is in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from app.core.clock import Today
from app.core.errors import Fault
from app.schools.service import SchoolDirectory
from app.standards.france import schools
from app.standards.france.mef import Edition
from app.standards.france.school_directory import SchoolEdition
from app.standards.france.schools import Keys
from app.standards.profiles import terms
from app.traces.conformance.nomenclatures import Nomenclatures

KEYS = Keys(terms.SCHOOL, terms.LEVEL)
"""Extensions in which statements say their school and course of study."""


class SchoolChecks:
    """Checks batches. Safe to share between threads."""

    def __init__(self, nomenclatures: Nomenclatures, directory: SchoolDirectory, today: Today) -> None:
        """Make the service.

        Args:
            nomenclatures: The nomenclature in force.
            directory: The directory of schools in force.
            today: The date.
        """
        self._nomenclatures = nomenclatures
        self._directory = directory
        self._today = today
        self._checks = _Made((), (), schools.Checks(KEYS, ()))

    def faults(self, statements: Sequence[Any]) -> Sequence[tuple[Fault, ...]]:
        """The faults of the schools and courses that statements name, statement by statement."""
        editions, directory, today = self._nomenclatures.editions(), self._directory.editions(), self._today()
        # A new nomenclature, or directory, is another object.
        known = self._checks
        if known.editions is not editions or known.directory is not directory:
            known = self._checks = _Made(editions, directory, schools.Checks(KEYS, editions, directory))
        return [known.checks.faults(each, today) for each in statements]

    def digest(self) -> bytes:
        """Digest of the nomenclature and the directory in force."""
        return self._nomenclatures.digest() + self._directory.digest()


class _Made(NamedTuple):
    """Checks, and what they were made from."""

    editions: Sequence[Edition]
    directory: Sequence[SchoolEdition]
    checks: schools.Checks
