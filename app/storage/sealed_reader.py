"""Opens sealed statements for those who may read them: the keys by the batch, then the bodies."""

from __future__ import annotations

from collections.abc import Sequence, Set

import structlog

from app.errors import Unsealable
from app.storage.processes import Observer
from app.storage.statements import Plain, Statements, Stored
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
        return self.opened_within(rows, None)[0]

    def opened_within(self, rows: Sequence[Stored], most_bytes: int | None) -> tuple[list[Plain], int]:
        """Open the first of these rows, as ``opened``, until there are ``most_bytes`` of JSON; at least one.

        Returns:
            What was opened, and how many of ``rows`` were gone through.
        """
        keys = self._subjects.existing(row.subject for row in rows)
        living = [row for row in rows if row.subject in keys]
        bodies = self._bodies.open([(row.id, row.body) for row in living], [keys[row.subject] for row in living])
        opened: list[Plain] = []
        damaged: list[str] = []
        total, gone = 0, len(rows)
        for row, body in zip(living, bodies, strict=True):
            if body is None:
                damaged.append(str(row.id))
                continue
            opened.append(Plain(row.id, row.stored, row.source, row.subject, body))
            total += len(body)
            if most_bytes is not None and total >= most_bytes:
                gone = rows.index(row) + 1
                break
        if damaged:
            _log.error("statements that do not open", count=len(damaged), statements=damaged[:20])
        return opened, gone

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

    def scan(
        self, after: int | None, before: int, limit: int, without: Set[bytes] = frozenset()
    ) -> tuple[list[Plain], int | None]:
        """Of about the next ``limit`` statements stored after ``after`` and before ``before``, the readable, in order.

        Voided, erased and damaged ones are left out, and those of the subjects ``without``. With them the ``stored`` up
        to which everything was read; None when nothing is left.
        """
        rows = self._statements.span(after, before, limit)
        if not rows:
            return [], None
        return self.opened([row for row in rows if not row.voided and row.subject not in without]), rows[-1].stored

    def consistent_through(self) -> int:
        """Microseconds: no statement with an earlier ``stored`` can still appear."""
        return self._observer.consistent_through()
