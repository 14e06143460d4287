"""Made-up statements for the tests of this room."""

from __future__ import annotations

from collections.abc import Set
from uuid import UUID

import orjson

from app.standards.profiles import terms
from app.traces.statements.store import Plain

STORED = 1_800_000_000_000_000
"""2027-01-15, in microseconds: about when the statements below were stored, after all they tell of."""


def plain(number: int, **said: object) -> Plain:
    context = {
        "registration": said.get("session"),
        "extensions": {
            terms.SCHOOL: said.get("school", "0750654D"),
            terms.LEVEL: "1001000C11A",
            terms.PERSON_PROFILE: "ELEVE",
            terms.SERVICE: said.get("service", "agenda"),
        },
    }
    statement = {
        "verb": {"id": said.get("verb", terms.ANSWERED)},
        "object": {"id": "https://exercices.example/1"},
        "timestamp": said.get("timestamp", "2026-11-03T09:00:00Z"),
        "context": context,
        "result": {"success": True},
    }
    learner = str(said.get("learner", number)).encode().ljust(16)
    return Plain(UUID(int=number), STORED + number, "p2ia", learner, orjson.dumps(statement))


def class_of(pupils: int, start: int = 1, **said: object) -> list[Plain]:
    return [plain(start + number, learner=number, **said) for number in range(pupils)]


class MadeUpReader:
    """Statements in the order they were stored, up to a bound; stands for storage, whose tests are elsewhere."""

    def __init__(self) -> None:
        self.statements: list[Plain] = []
        self.through = 0

    def store(self, *statements: Plain) -> None:
        self.statements = sorted([*self.statements, *statements], key=lambda item: (item.stored, item.id))
        self.through = self.statements[-1].stored + 1

    def scan(
        self, after: int | None, before: int, limit: int, without: Set[bytes] = frozenset()
    ) -> tuple[list[Plain], int | None]:
        follow = [item for item in self.statements if (after is None or item.stored > after) and item.stored < before]
        if not follow:
            return [], None
        last = follow[:limit][-1].stored
        return [item for item in follow if item.stored <= last and item.subject not in without], last

    def consistent_through(self) -> int:
        return self.through
