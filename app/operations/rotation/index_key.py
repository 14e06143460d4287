"""The rotation of the index key: given out, written with, followed by what is there, and the old one destroyed.

Order (``docs/adr/0032-index-key-rotation.md``). The next key is made and given out: every process searches by both, and
writes with the one before. When every process knows it, new statements get tokens of the next one, and those that are
there follow in the background, batch by batch. When nothing is left under the old one, it is destroyed. Each step
is one write, and what is left to do is what the indexes still show: after a kill anywhere, the same command or job goes
on. What a process that was paused wrote behind all this is found by the tokens of its source, and follows then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.access.store import SourceRepository
from app.core import clock, lossless
from app.core.audit_sink import AuditSink
from app.crypto import kinds
from app.crypto.keys import IndexKey
from app.governance.audit.log import INDEX_KEY_GIVEN_OUT, INDEX_KEY_RETIRED
from app.keys import organisation as organisation_keys
from app.keys.key_service import KeyService
from app.keys.organisation import IndexState, Stage
from app.operations.rotation.index_tokens import Move, Referring, Relink, TokenRepository, Unmoved
from app.people.erasure.store import ErasureRepository
from app.platform.mongo.connection import Store
from app.standards.xapi.content import members_kept
from app.standards.xapi.identifiers import keys_of
from app.traces.statements.index_tokens import of_statement
from app.traces.statements.stock import StatementStock
from app.traces.statements.whereabouts import whereabouts
from app.traces.statements.whereabouts_entries import WhereaboutsEntries

BATCH = 500
"""Statements opened and written at a time."""

JOB_SHARE = 0.5
"""Share of the time that the job works; the rest of it is left to those who send and ask."""

_PAUSE_SECONDS = 0.2
# What is changed by others each time it is read is left for another look.
_ROUNDS = 20

ProgressCallback = Callable[[int, int], None]


class IndexUse(NamedTuple):
    """State and use of the index key.

    Attributes:
        generation: Of the key that is in force, or is to go.
        stage: Of a rotation; None when there is none under way.
        seconds: For how long it has been so.
        left: Statements under the key that is to go; 0 without a rotation.
    """

    generation: int
    stage: Stage | None
    seconds: float
    left: int


class Reindexed(NamedTuple):
    """Outcome of a run.

    Attributes:
        statements: Got the tokens of the key in force.
        unopened: Of these, those that do not open (erased or damaged): found by their source and id alone from now on.
        referring: Got the new tokens of the statements that they refer to.
        seconds: How long it worked, rests not counted.
        finished: Whether it destroyed the old key.
    """

    statements: int
    unopened: int
    referring: int
    seconds: float
    finished: bool


class IndexRotation:
    """Replaces the index key of one organisation."""

    def __init__(
        self,
        store: Store,
        keys: KeyService,
        organisation: str,
        sources: SourceRepository,
        stock: StatementStock,
        audit: AuditSink,
        settle_seconds: float,
        erasures: ErasureRepository,
        zone: ZoneInfo,
        entries: WhereaboutsEntries,
    ) -> None:
        """Nothing is read yet.

        Args:
            store: The store.
            keys: What wraps and opens the organisation's keys.
            organisation: Its id.
            sources: Every source ever registered.
            stock: The statements; those that do not open are left out.
            audit: Takes an entry for each step.
            settle_seconds: After how long a change is known to every process, and what was begun before it has ended.
            erasures: What goes on, for longer than that, by tokens noted when it began.
            zone: Of the days of events.
            entries: How far statements of an earlier version have got theirs of school and day.
        """
        self._store = store
        self._keys = keys
        self._organisation = organisation
        self._sources = sources
        self._stock = stock
        self._audit = audit
        self._settle = settle_seconds
        self._erasures = erasures
        self._zone = zone
        self._entries = entries
        self._statements = TokenRepository(store)

    def status(self, progress: Callable[[int], None] = lambda _: None) -> IndexUse:
        """The state and the use of the index key; costs an index entry a statement that is still under the key that is
        to go.
        """
        state = self._state()
        left = 0
        if state.stage is not None:
            left = self._statements.count(self._own(self._generations()[state.generation]), progress)
        return IndexUse(state.generation, state.stage, state.seconds, left)

    def rotate(self, actor: str = "cli:keys rotate --index") -> int:
        """Give out the next key, and have new statements written with it; or finish what was cut off.

        Returns:
            The generation that new statements get from now on.
        """
        state = self._state()
        if state.stage is None:
            self._audit.append(INDEX_KEY_GIVEN_OUT, actor, {"generation": state.generation + 1})
            organisation_keys.begin_index(self._store, self._keys.keyring, self._organisation, state.generation)
        self._have_written(lambda: None)
        return state.generation + 1

    def reindex(
        self,
        actor: str = "cli:keys reindex",
        progress: ProgressCallback = lambda *_: None,
        check: Callable[[], None] = lambda: None,
        share: float = 1.0,
    ) -> Reindexed:
        """Give what is under an old key the tokens of the one in force, until nothing is; then destroy the old one.

        Statements go on coming in. May be cut off anywhere, and run twice at once.

        Args:
            actor: For the audit log, in which a run that destroys nothing leaves nothing.
            progress: Told how many statements were gone through, and how many there were to begin with.
            check: Called before each batch, and while it waits; what it raises ends the run.
            share: Of the time it works; the rest it rests.
        """
        run = _Run(progress, check, share)
        state = self._state()
        if state.stage is None:
            if self._statements.any(state.retired):
                self._follow(state.retired, self._generations()[state.generation], run)
            return run.outcome(finished=False)
        self._have_written(check)
        generations = self._generations()
        if state.generation not in generations:
            # Another run has just destroyed it.
            return run.outcome(finished=False)
        before, after = generations[state.generation], generations[state.generation + 1]
        run.total = self._statements.count(self._own(before))
        while True:
            # Asked before the look: what is not there then was written by nobody who knew what was to be known.
            settled = self._state().seconds >= self._settle
            self._follow(self._own(before), after, run)
            if settled and not self._statements.any(self._own(before)):
                break
            check()
            _pause()
        detail = {"generation": state.generation, "statements": run.statements, "unopened": run.unopened}
        self._audit.append(INDEX_KEY_RETIRED, actor, detail)
        finished = organisation_keys.finish_index(
            self._store, self._keys.keyring, self._organisation, state.generation, self._own(before)
        )
        return run.outcome(finished=finished)

    def complete(self, check: Callable[[], None] = lambda: None, share: float = 1.0) -> int:
        """Give statements of an earlier version their entries of school and month, and their day; how many got them.

        Goes on where a run was cut off. What does not open is left: nobody reads it.
        """
        began = self._entries.since()
        if began is None:
            return 0
        run = _Run(lambda *_: None, check, share)
        # Asked before the look: what is stored later is looked through by the next run.
        through = self._stock.reader.consistent_through()
        lacking, since = self._entries.lacking(), began
        for _ in range(_ROUNDS):
            before = run.statements
            while rows := self._statements.without_entries(since, BATCH):
                with run.batch():
                    # By the key that new ones get: a rotation that is under way moves these too.
                    moves = self._moves(rows, self._keys.organisation.index.writing)[0]
                    moved = self._statements.move([move for move in moves if move.late is not None])
                    run.moved(moved, 0)
                # What is left for now must not hold up what follows it.
                since = rows[-1].stored.stored + (not moved)
                self._entries.mark(since)
            if run.statements == before:
                break
            # Again, for what others changed between its reading and its writing.
            since = 0 if lacking else began
        after = None
        while (lacking or run.statements) and (found := self._statements.every_referring(after, BATCH)):
            with run.batch():
                self._statements.relink(self._relinks([row for _, row in found if row.refs]))
            after = found[-1][0]
        self._entries.finish(through)
        return run.statements

    def _relinks(self, rows: Sequence[Referring], gone: Collection[bytes] = frozenset()) -> list[Relink]:
        """``refs`` as the statements are found now that they lead to; those left out that lead to what is ``gone``."""
        known = self._statements.tokens({target for row in rows for target in row.targets()})
        # Nothing is found any more through a statement that is gone: nobody knows what it said.
        return [
            Relink(row.id, row.refs, [{"i": target, "t": known.get(target, [])} for target in row.targets()])
            for row in rows
            if not any(target in known and not set(known[target]).isdisjoint(gone) for target in row.targets())
        ]

    def _have_written(self, check: Callable[[], None]) -> None:
        """Once every process searches by the next key, have new statements written with it."""
        while (state := self._state()).stage is Stage.GIVEN_OUT:
            check()
            # What begins from now on notes tokens of both keys; what began before knows the old one only.
            if state.seconds >= self._settle and not self._erasures.open():
                organisation_keys.move_index(self._store, self._organisation, state.generation)
            else:
                _pause()

    def _follow(self, old: Sequence[bytes], new: IndexKey, run: _Run) -> None:
        """Move what has these tokens of sources; then, when they have theirs, what refers to it."""
        for token in old:
            since = None
            for _ in range(_ROUNDS):
                before = run.statements
                while rows := self._statements.under(token, since, BATCH):
                    with run.batch():
                        moves, unopened = self._moves(rows, new)
                        run.moved(self._statements.move(moves), unopened)
                    # What is left for now must not hold up what follows it.
                    since = rows[-1].stored.stored + (not moves)
                if run.statements == before:
                    break
                # Again from the beginning, for what others changed between its reading and its writing.
                since = None
        gone = set(old)
        for token in old:
            while rows_referring := self._statements.referring(token, BATCH):
                with run.batch():
                    done = self._statements.relink(self._relinks(rows_referring, gone))
                    run.referring += done
                if not done:
                    break

    def _moves(self, rows: Sequence[Unmoved], new: IndexKey) -> tuple[list[Move], int]:
        bodies = {
            plain.id: plain.body
            for plain in self._stock.reader.decrypted([row.stored for row in rows if row.stored.body])
        }
        # Asked after they did not open: an erasure that has just begun finds what it is to delete by these tokens.
        leave = len(bodies) < len(rows) and bool(self._erasures.open())
        moves = []
        for row in rows:
            body, late = bodies.get(row.stored.id), None
            if body is None and leave:
                continue
            if body is None:
                # What it was found by is not known any more, and must not stay as the old key made it.
                tokens: tuple[bytes, ...] = (new.token(kinds.SOURCE, row.stored.source),)
                mark = new.fingerprint(row.fingerprint)
            else:
                statement = lossless.loads(body)
                where = whereabouts(statement, row.stored.stored, self._zone)
                tokens = of_statement(new, row.stored.source, keys_of(statement), where)
                mark, late = new.fingerprint(members_kept(body)), where.late is not None
            moves.append(Move(row.stored.id, row.stored.body, tokens, mark, late))
        return moves, len(moves) - len(bodies)

    def _own(self, index: IndexKey) -> list[bytes]:
        return [index.token(kinds.SOURCE, source.id) for source in self._sources.list()]

    def _state(self) -> IndexState:
        return organisation_keys.index_state(self._store, self._organisation)

    def _generations(self) -> dict[int, IndexKey]:
        index = organisation_keys.index_keys(self._store, self._keys.keyring, self._organisation)
        return {each.generation: each for each in (index.writing, index.other) if each is not None}


class _Run:
    """Progress of one run."""

    def __init__(self, progress: ProgressCallback, check: Callable[[], None], share: float) -> None:
        self.total = 0
        self.statements = 0
        self.unopened = 0
        self.referring = 0
        self._seconds = 0.0
        self._progress = progress
        self._check = check
        self._share = share

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Time a batch, and rest after it."""
        self._check()
        began = clock.steady()
        yield
        took = clock.steady() - began
        self._seconds += took
        threading.Event().wait(took * (1 / self._share - 1))

    def moved(self, statements: int, unopened: int) -> None:
        """Count a batch of statements."""
        self.statements += statements
        self.unopened += unopened
        self._progress(min(self.statements, self.total), self.total)

    def outcome(self, *, finished: bool) -> Reindexed:
        """The outcome of the run."""
        return Reindexed(self.statements, self.unopened, self.referring, self._seconds, finished)


def _pause() -> None:
    threading.Event().wait(_PAUSE_SECONDS)
