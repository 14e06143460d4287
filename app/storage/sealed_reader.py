"""Opens sealed statements for those who may read them: the keys by the batch, then the bodies."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from app.errors import Unsealable
from app.storage.processes import Observer
from app.storage.statements import Plain, Position, Statements, Stored
from app.storage.subjects import SubjectKeys
from app.vault.bodies import Bodies

_log = structlog.stdlib.get_logger("sillage.reader")


class SealedReader:
    """Reads and opens statements in the order they were stored."""

    def __init__(self, statements: Statements, subjects: SubjectKeys, bodies: Bodies, observer: Observer) -> None:
        self._statements = statements
        self._subjects = subjects
        self._bodies = bodies
        self._observer = observer

    def opened(self, rows: Sequence[Stored]) -> list[Plain]:
        """Open a batch; a statement whose learner's key was destroyed is erased, and left out.

        A body that does not open is left out too, and named in the log: one damaged document does not keep a page or
        a job from all the others.
        """
        keys = self._subjects.existing(row.subject for row in rows)
        living = [row for row in rows if row.subject in keys]
        bodies = self._bodies.open([(row.id, row.body) for row in living], [keys[row.subject] for row in living])
        opened = [
            Plain(row.id, row.stored, row.source, row.subject, body)
            for row, body in zip(living, bodies, strict=True)
            if body is not None
        ]
        if len(opened) < len(living):
            found = {plain.id for plain in opened}
            damaged = [str(row.id) for row in living if row.id not in found]
            _log.error("statements that do not open", count=len(damaged), statements=damaged[:20])
        return opened

    def one(self, row: Stored) -> Plain | None:
        """Open one statement; None when its learner's key was destroyed.

        Raises:
            Unsealable: its body is damaged or was moved.
        """
        opened = self.opened([row])
        if opened:
            return opened[0]
        if self._subjects.existing([row.subject]):
            raise Unsealable("This statement is stored but does not open: it is damaged. Its operator must be told.")
        return None

    def scan(self, after: Position | None, before: int, limit: int) -> tuple[list[Plain], Position | None]:
        """Of the next ``limit`` statements beyond ``after`` and stored before ``before``, the readable, oldest first.

        Voided, erased and damaged ones are left out. With them the position read up to; None when nothing is left.
        """
        rows = self._statements.span(after, before, limit)
        if not rows:
            return [], None
        return self.opened([row for row in rows if not row.voided]), Position(rows[-1].stored, rows[-1].id)

    def consistent_through(self) -> int:
        """Microseconds: no statement with an earlier ``stored`` can still appear."""
        return self._observer.consistent_through()
