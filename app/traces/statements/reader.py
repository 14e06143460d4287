"""Decryption of statements for those who may read them: the keys by the batch, then the bodies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from itertools import islice
from typing import NamedTuple
from uuid import UUID

import structlog

from app.core.errors import DecryptionFailed
from app.crypto.bodies import Bodies
from app.keys.learners import SubjectKeys
from app.platform.cluster.low_watermark import Observer
from app.traces.erasures import ErasuresUnderWay
from app.traces.statements.store import Plain, Statements, Stored

_NAMED_AT_MOST = 20
_OPENED_BYTES = 1024 * 1024
_OPENED_TOGETHER = 100
_VOIDED_AT_ONCE = 1_000
_log = structlog.stdlib.get_logger("sillage.reader")


class Decrypted(NamedTuple):
    """Outcome of decrypting the first of some rows.

    Attributes:
        plain: Those that were decrypted, in order.
        gone: How many rows were gone through.
        damaged: Ids of those that do not open though nobody erased them.
    """

    plain: list[Plain]
    gone: int
    damaged: tuple[UUID, ...]


class StatementReader:
    """Reads and opens statements in the order they were stored.

    A body may be of a key that was destroyed while the learner has another one already, for whatever was sent since: it
    is erased, as those are of learners who have none. It is told from a damaged one by the erasures under way, which
    say up to which ``stored`` everything goes; once such an erasure is done, so is the body
    (``docs/adr/0028-erasure.md``).
    """

    def __init__(
        self,
        statements: Statements,
        subjects: SubjectKeys,
        bodies: Bodies,
        observer: Observer,
        erasures: ErasuresUnderWay,
    ) -> None:
        """``erasures``: of these subjects those whose erasure is under way, and up to which ``stored`` theirs is
        erased.
        """
        self._statements = statements
        self._subjects = subjects
        self._bodies = bodies
        self._observer = observer
        self._erasures = erasures

    def decrypted(self, rows: Sequence[Stored]) -> list[Plain]:
        """Decrypt a batch; a statement whose learner's key was destroyed is erased, and left out.

        A body that does not open is left out too, and named in the log: one damaged document does not keep a page or
        a job from all the others.
        """
        return self.decrypted_within(rows, None).plain

    def decrypted_within(self, rows: Sequence[Stored], max_bytes: int | None) -> Decrypted:
        """Decrypt the first of these rows, as ``decrypted``, until there are ``max_bytes`` of JSON; at least one."""
        keys = self._subjects.existing(row.subject for row in rows)
        decrypt = self._bodies.opener()
        opened: list[Plain] = []
        closed: list[Stored] = []
        total, gone, renewed = 0, 0, False
        while gone < len(rows):
            for row in islice(rows, gone, None):
                key = keys.get(row.subject)
                if key is None:
                    gone += 1
                    continue
                body = decrypt(row.id, row.body, key)
                if body is None and not renewed:
                    # The key at hand may be one that was destroyed and made anew: those of now, once for all. And what
                    # was read long before it is opened may have been sealed anew since: as it is now.
                    rows = self._as_now(rows, gone)
                    keys = self._subjects.renewed({row.subject for row in rows[gone:]})
                    renewed = True
                    break
                gone += 1
                if body is None:
                    closed.append(row)
                    continue
                opened.append(Plain(row.id, row.stored, row.source, row.subject, body))
                total += len(body)
                if max_bytes is not None and total >= max_bytes:
                    return Decrypted(opened, gone, self._damaged(closed))
        return Decrypted(opened, gone, self._damaged(closed))

    def _as_now(self, rows: Sequence[Stored], start: int) -> Sequence[Stored]:
        """These rows, those from ``start`` on as they are stored now; what is gone stays as it was read."""
        now = {row.id: row for row in self._statements.some([row.id for row in rows[start:]])}
        return [*rows[:start], *(now.get(row.id, row) for row in rows[start:])]

    def each(self, rows: Sequence[Stored]) -> Iterator[Plain]:
        """Those that ``decrypted`` gives, about 1 MiB decrypted at a time: small ones may become large."""
        for start in range(0, len(rows), _OPENED_TOGETHER):
            some = rows[start : start + _OPENED_TOGETHER]
            while some:
                plain, gone, _ = self.decrypted_within(some, _OPENED_BYTES)
                yield from plain
                some = some[gone:]

    def one(self, row: Stored) -> Plain | None:
        """Decrypt one statement; None when its learner's key was destroyed.

        Raises:
            DecryptionFailed: its body is damaged or was moved.
        """
        opened = self.decrypted_within([row], None)
        if opened.damaged:
            raise DecryptionFailed(
                "This statement is stored but does not open: it is damaged. Its operator must be told."
            )
        return opened.plain[0] if opened.plain else None

    def _damaged(self, closed: Sequence[Stored]) -> tuple[UUID, ...]:
        """Of what the present keys of its learners do not open, what is not erased; the log is told of it."""
        if not closed:
            return ()
        bounds = self._erasures.under_way({row.subject for row in closed})
        left = [row for row in closed if row.subject not in bounds or _beyond(row, bounds[row.subject])]
        if not left:
            return ()
        # Asked last: of an erasure that ended since these were read, nothing is there any more.
        there = {row.id: row.body for row in self._statements.some([row.id for row in left])}
        damaged = tuple(row.id for row in left if there.get(row.id) == row.body)
        if damaged:
            names = [str(id) for id in damaged[:_NAMED_AT_MOST]]
            _log.error("statements that do not open", count=len(damaged), statements=names)
        return damaged

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
        return self.decrypted([row for row in rows if not row.voided and row.subject not in without]), rows[-1].stored

    def voided(self, since: int, before: int) -> Iterator[list[Plain]]:
        """The readable statements that were voided by what was stored in a time, some at a time.

        Args:
            since: The statement that voids was stored at or after this, microseconds.
            before: It was stored before this.
        """
        for targets in self._statements.voidings(since, before, _VOIDED_AT_ONCE):
            yield self.decrypted([row for row in self._statements.some(targets) if row.voided])

    def consistent_through(self) -> int:
        """Microseconds: no statement with an earlier ``stored`` can still appear."""
        return self._observer.consistent_through()


def _beyond(row: Stored, bound: int | None) -> bool:
    return bound is not None and row.stored > bound
