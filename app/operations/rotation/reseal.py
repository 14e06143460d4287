"""Moving what is stored to the format in which bodies are written now, while statements come in and are read.

Bodies of every format open (``app/crypto/bodies.py``), so nothing waits for this. A pass goes through the statements in
the order they were stored, up to where it began; how far it has come is noted after each batch, so that one that was
killed goes on there. A body that somebody changed between its reading and its writing is read again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.core import clock
from app.core.audit_sink import AuditSink
from app.crypto.bodies import format_of
from app.governance.audit.log import BODIES_RESEALED
from app.keys.key_service import KeyService
from app.operations.rotation.resealing import Pass, Resealed, ResealRepository
from app.traces.statements.stock import StatementStock
from app.traces.statements.store import Stored

BATCH = 1_000
"""Statements read at a time."""

_TRIES = 5

ProgressCallback = Callable[[int, int], None]


class Done(NamedTuple):
    """Outcome of a run.

    Attributes:
        format: The format that all that opens is in now.
        seen: Statements gone through, by runs of this pass that were cut off too.
        resealed: Of these, those that were in another format.
        unopened: Of these, those that do not open (erased or damaged), left as they are.
        seconds: How long this run worked, rests not counted.
        now: How many this run went through itself.
    """

    format: int
    seen: int
    resealed: int
    unopened: int
    seconds: float
    now: int


class Reseal:
    """Moves statements to the format in which this installation writes."""

    def __init__(
        self,
        repository: ResealRepository,
        stock: StatementStock,
        keys: KeyService,
        audit: AuditSink,
    ) -> None:
        """Nothing is opened yet."""
        self._repository = repository
        self._stock = stock
        self._keys = keys
        self._audit = audit

    def due(self) -> bool:
        """True if there may be something to do: a pass was cut off, or none was begun to the format of now.

        One in which nothing is found to move is due once, too: what was stored says its format only where it is read.
        """
        wanted = self._stock.bodies.writing
        if self._repository.latest() == wanted:
            return self._repository.under_way(wanted) is not None
        return self._repository.total() > 0

    def run(
        self,
        actor: str = "cli:keys reseal",
        progress: ProgressCallback = lambda *_: None,
        check: Callable[[], None] = lambda: None,
        share: float = 1.0,
    ) -> Done:
        """Go through all that is stored, or on from where a run was cut off. Statements go on coming in.

        Args:
            actor: For the audit log, in which a pass leaves one entry, at its end.
            progress: Told how many statements were gone through, and about how many there are.
            check: Called before each batch; what it raises ends the run.
            share: Of the time it works; the rest it rests.
        """
        wanted = self._stock.bodies.writing
        now = self._repository.under_way(wanted) or self._repository.begin(
            wanted, self._stock.reader.consistent_through()
        )
        total, began_at, seconds = self._repository.total(), now.seen, 0.0
        while True:
            check()
            began = clock.steady()
            rows = self._stock.statements.span(now.after, now.until, BATCH)
            if not rows:
                break
            resealed, unopened = self._reseal(rows, wanted)
            now = Pass(
                rows[-1].stored, now.until, now.seen + len(rows), now.resealed + resealed, now.unopened + unopened
            )
            self._repository.mark(wanted, now)
            progress(min(now.seen, total), total)
            took = clock.steady() - began
            seconds += took
            threading.Event().wait(took * (1 / share - 1))
        self._audit.append(
            BODIES_RESEALED, actor, {"format": wanted, "resealed": now.resealed, "unopened": now.unopened}
        )
        self._repository.mark(wanted, now, finished=True)
        return Done(wanted, now.seen, now.resealed, now.unopened, seconds, now.seen - began_at)

    def _reseal(self, rows: Sequence[Stored], wanted: int) -> tuple[int, int]:
        """Of these statements, how many were moved, and how many that should have been do not open."""
        resealed = unopened = 0
        for _ in range(_TRIES):
            stale = [row for row in rows if row.body and format_of(row.body) != wanted]
            if not stale:
                break
            keys = self._keys.subjects.existing(row.subject for row in stale)
            living = [row for row in stale if row.subject in keys]
            each_key = [keys[row.subject] for row in living]
            plain = list(self._stock.bodies.decrypt([(row.id, row.body) for row in living], each_key))
            opened = [
                (row, body, key) for row, body, key in zip(living, plain, each_key, strict=True) if body is not None
            ]
            unopened = len(stale) - len(opened)
            fresh = self._stock.bodies.encrypt([(row.id, body) for row, body, _ in opened], [key for *_, key in opened])
            done = self._repository.write(
                [Resealed(row.id, row.body, body) for (row, *_), body in zip(opened, fresh, strict=True)]
            )
            resealed += done
            if done == len(opened):
                break
            # Some were changed meanwhile, or deleted.
            rows = self._stock.statements.some([row.id for row, *_ in opened])
        return resealed, unopened
