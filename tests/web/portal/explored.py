"""Aggregates of made-up pupils, for tests of the explorer: three levels, twelve weeks, holidays, a small group."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import orjson

from app.research.aggregates import Aggregates
from app.standards.profiles import terms
from app.traces.statements.store import Plain
from app.wiring.container import Container
from tests.research.statements import STORED, MadeUpReader
from tests.sinks import Everybody
from tests.web.portal.hostile import HOSTILE

LEVELS: Final = {"1001000C11": 0.61, "1011000111": 0.58, "1021000111": 0.52}
MONDAY: Final = datetime(2026, 9, 7, 9, tzinfo=UTC)
HOLIDAYS: Final = frozenset({6, 7})
"""Weeks in which four pupils of each level work."""
AWAY: Final = 9
"""The week in which nobody works."""


def statements(pupils: int = 24, weeks: int = 12, schools: int = 1, years: int = 1) -> Iterator[Plain]:
    """Answers of pupils, week by week."""
    dice, number = random.Random(7), 0
    for year in range(years):
        for week in range(weeks):
            for level, rate in LEVELS.items():
                for pupil in range(0 if week == AWAY else 4 if week in HOLIDAYS else pupils):
                    number += 1
                    day = MONDAY + timedelta(weeks=week - 52 * year, days=pupil % 5)
                    school = 750_001 + pupil % schools
                    extensions = {
                        terms.SCHOOL: f"{school:07}{'ABCDEFGHJKLMNPRSTUVWXYZ'[school % 23]}",
                        terms.LEVEL: level,
                        terms.PERSON_PROFILE: "ELEVE",
                        terms.SERVICE: HOSTILE if pupil % 5 in {0, 2} else "Messagerie",
                    }
                    statement = {
                        "verb": {"id": terms.ANSWERED},
                        "object": {"id": "https://exercices.example/1"},
                        "timestamp": day.isoformat(),
                        "context": {"registration": str(UUID(int=number)), "extensions": extensions},
                        "result": {"success": dice.random() < rate + 0.01 * week, "duration": "PT40S"},
                    }
                    learner = f"{level}-{pupil}".encode()[-16:].rjust(16)
                    yield Plain(UUID(int=number), STORED + number, "p2ia", learner, orjson.dumps(statement))


def counted(container: Container, made: Iterator[Plain] | None = None) -> None:
    """Count them in a store, as the job does."""
    reader = MadeUpReader()
    reader.store(*(statements() if made is None else made))
    research = container.research
    Aggregates(
        research.aggregate_repository,
        reader,
        container.keys.organisation,
        container.settings,
        Everybody(),  # type: ignore[arg-type] # stand for storage
    ).run()
