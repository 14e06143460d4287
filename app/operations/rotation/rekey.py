"""New data keys for learners, and what is there sealed anew with them, while everybody works.

For the day that the key file and a copy of the database are in other hands: what they open is what was stored then, and
nothing that is stored under the new keys (``docs/adr/0051-new-keys-for-learners.md``). Order:

1. Every learner gets a second key, which opens; the first one seals. By the page, in the order of subjects.
2. When every process knows of it, it seals. From then on nobody seals with the first one.
3. What is sealed with the first one follows: statements in the order they were stored, up to where this began; then
   documents, keys of attachments, sessions, and what governance keeps of data subjects.
4. Nobody uses the first one any more. What a process that was paused wrote with it after all is moved; then the first
   keys are destroyed, by the page.

Each step may be cut off anywhere and done again; each write is of something as it was read. An erasure takes both keys
along, whatever the stage: no key is ever put where there is none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.errors import DatabaseUnavailable, DecryptionFailed
from app.crypto import attachments as attachment_encryption
from app.crypto.documents import decrypt_layers, encrypt_layers
from app.crypto.keys import KEY_BYTES, Cipher, KeyPair, encrypting_alone, subject_place
from app.governance.audit.log import LEARNERS_REKEY_STARTED, LEARNERS_REKEYED
from app.keys.holders import Forgetting
from app.keys.key_service import KeyService
from app.keys.keyring import KeyHolding
from app.keys.learners import WrappedKey, WrappedKeys
from app.keys.rekeying import Given, Rekeying, RekeyRepository, Stage
from app.operations.rotation.learner_ciphertexts import KINDS, AttachmentKeys, Change, Kind, LearnerCiphertexts, Row
from app.operations.rotation.resealing import Resealed, ResealRepository
from app.platform.cluster.peers import Peers
from app.traces.statements import attachment_store as attachments
from app.traces.statements import store as statements_store
from app.traces.statements.stock import StatementStock
from app.traces.statements.store import Stored

BATCH = 1_000
"""Statements read at a time, and other documents."""
GIVEN_AT_ONCE = 1_000
"""Learners' keys made, or destroyed, at a time."""
CLAIM_SECONDS = 20.0
"""Seconds after the death of a process until another may take over its claim."""

_PAUSE_SECONDS = 0.2
_LATE = "A process has not taken notice of the new keys in time. Run the command again, or let the job `rekey` go on."

ProgressCallback = Callable[[str, int, int], None]
"""Callback with what is done, how much of it, and about how much there is (0: not known)."""


class Standing(NamedTuple):
    """Standing of learners' keys.

    Attributes:
        rekeying: The rekey under way, or the last one; None when learners have the keys that they began with.
        learners: About how many learners there are.
        statements: About how many statements there are.
        active: The version that new keys are wrapped with.
    """

    rekeying: Rekeying | None
    learners: int
    statements: int
    active: int


class Rekeyed(NamedTuple):
    """Outcome of a rekey.

    Attributes:
        number: 1 for the first of this store.
        learners: Got a new key.
        moved: Values sealed anew: statements, and documents of other collections; by all runs of this rekey.
        unopened: Statements that do not open (erased or damaged), left as they are.
        statements: Those that this run went through.
        seconds: How long this run went through them, rests not counted.
        finished: Whether no old key is left; false where another run is at it, or nothing is under way.
    """

    number: int
    learners: int
    moved: int
    unopened: int
    statements: int
    seconds: float
    finished: bool


class Rekey:
    """Gives learners of one organisation new keys. One run is at it at a time."""

    def __init__(
        self,
        *,
        repository: RekeyRepository,
        ciphertexts: LearnerCiphertexts,
        learners: WrappedKeys,
        bodies_written: ResealRepository,
        keys: KeyService,
        organisation: str,
        stock: StatementStock,
        audit: AuditSink,
        processes: Peers,
        forgetting: Forgetting,
        settle_seconds: float,
    ) -> None:
        """Nothing is read yet.

        ``settle_seconds``: after how long whoever took a key, told of nothing, has written what it took it for, and
        takes none from memory any more.
        """
        self._repository = repository
        self._ciphertexts = ciphertexts
        self._learners = learners
        self._written = bodies_written
        self._keys = keys
        self._organisation = organisation
        self._stock = stock
        self._audit = audit
        self._processes = processes
        self._forgetting = forgetting
        self._settle = settle_seconds

    def status(self) -> Rekeying | None:
        """The progress of the rekey under way, or the outcome of the last one."""
        return self._repository.latest()

    def standing(self) -> Standing:
        """The standing of learners' keys, and about how much a rekey would have to go through. Changes nothing."""
        ring = self._keys.keyring
        ring.refresh()
        return Standing(
            self._repository.latest(), self._learners.total(), self._repository.statements(), ring.current.active
        )

    def run(
        self,
        actor: str = "cli:keys rekey-learners",
        progress: ProgressCallback = lambda *_: None,
        check: Callable[[], None] = lambda: None,
        share: float = 1.0,
    ) -> Rekeyed:
        """Give every learner a new key, or go on with a rekey that was cut off. Everybody goes on meanwhile.

        Args:
            actor: For the audit log.
            progress: See ``ProgressCallback``.
            check: Called before each batch, and while it waits; what it raises ends the run.
            share: Of the time it works; the rest it rests.

        Raises:
            DatabaseUnavailable: it cannot go on now; the job does, later.
        """
        state = self._repository.latest()
        if state is None or not state.under_way:
            ring = self._keys.keyring
            ring.refresh()
            number = 1 if state is None else state.number + 1
            self._audit.append(LEARNERS_REKEY_STARTED, actor, {"number": number, "version": ring.current.active})
            self._repository.begin(number)
        return self.resume(actor, progress, check, share)

    def resume(
        self,
        actor: str = "job:rekey",
        progress: ProgressCallback = lambda *_: None,
        check: Callable[[], None] = lambda: None,
        share: float = 1.0,
        *,
        wait: bool = True,
    ) -> Rekeyed:
        """Go on with a rekey that was cut off, if there is one; see ``run``.

        ``wait``: when another process is at it, wait until it has ended, rather than leave it to that one.
        """
        state = self._repository.latest()
        if state is not None and state.again is not None and not state.under_way:
            self._repository.begin(state.again)
            state = self._repository.latest()
        if state is None or not state.under_way:
            return _nothing(state)
        by = clock.random_bytes(8)
        while not self._repository.claim(state.number, by, CLAIM_SECONDS):
            state = self._state(state.number)
            if not state.under_way or not wait:
                return _nothing(state)
            check()
            progress(str(state.stage), state.moved, 0)
            threading.Event().wait(_PAUSE_SECONDS)
        run = _Run(self._repository, state.number, by, progress, check, share)
        try:
            return self._go_on(state.number, run, actor)
        finally:
            self._repository.release(state.number, by)

    def _go_on(self, number: int, run: _Run, actor: str) -> Rekeyed:
        steps = {
            Stage.GIVING: self._give,
            Stage.GIVEN: self._wait,
            Stage.MOVING: self._move,
            Stage.CLOSING: self._close,
        }
        while (state := self._state(number)).under_way:
            run.keep()
            run.progress(str(state.stage), 0, 0)
            steps[state.stage](state, run, actor)
        return Rekeyed(number, state.learners, state.moved, state.unopened, run.statements, run.seconds, finished=True)

    def _state(self, number: int) -> Rekeying:
        found = self._repository.latest()
        if found is None or found.number != number:
            raise DatabaseUnavailable(
                "The rekey is not there any more: the database was restored. Run the command again."
            )
        return found

    # --- the keys -------------------------------------------------------------------------------

    def _give(self, state: Rekeying, run: _Run, actor: str) -> None:
        """Give every learner who is there a second key. Those who come meanwhile have one that nobody has seen."""
        ring = self._keys.keyring
        after, total, done = state.given, self._learners.total(), state.learners
        while True:
            run.keep()
            rows = self._learners.every(after, GIVEN_AT_ONCE)
            if not rows:
                break
            ring.refresh()
            lacking = [row for row in rows if row.next is None]
            given = self._second_keys(lacking, ring)
            if len(given) < len(lacking) or not self._repository.give(state.number, given, rows[-1].subject):
                if self._state(state.number).stage is not Stage.GIVING:
                    return
                # Somebody changed one of them at this moment: they are read again.
                continue
            after, done = rows[-1].subject, done + len(given)
            run.progress(Stage.GIVING, min(done, total), total)
        self._repository.advance(state.number, Stage.GIVING, Stage.GIVEN)

    def _second_keys(self, rows: Sequence[WrappedKey], ring: KeyHolding) -> list[Given]:
        places = [subject_place(self._organisation, row.subject) for row in rows]
        # Both are under one version, so that a rewrap moves both at once.
        plain = ring.unwrap_all([(place, row.wrapped) for place, row in zip(places, rows, strict=True)])
        fresh = [clock.random_bytes(KEY_BYTES) for _ in rows]
        wrapped = ring.wrap_all(
            [*zip(places, plain, strict=True), *zip(places, fresh, strict=True)], clock.random_bytes
        )
        return [
            Given(row.subject, row.wrapped, before, after)
            for row, before, after in zip(rows, wrapped[: len(rows)], wrapped[len(rows) :], strict=True)
            # Vault may have begun another version in between: then once more.
            if before.version == after.version
        ]

    def _wait(self, state: Rekeying, run: _Run, actor: str) -> None:
        """Have the second keys seal, once nobody is left who knows the first ones alone."""
        self._await_all(state, run)
        self._repository.advance(state.number, Stage.GIVEN, Stage.MOVING)

    def _await_all(self, state: Rekeying, run: _Run) -> None:
        """Wait until every process has looked at learners' keys since this stage was reached."""
        self._keys.subjects.forget()
        if not self._forgetting.forgotten(self._forgetting.begin()):
            raise DatabaseUnavailable(_LATE)
        while (now := self._state(state.number)).stage is state.stage and now.seconds < self._settle:
            run.keep()
            run.progress(str(state.stage), round(now.seconds), round(self._settle))
            threading.Event().wait(min(_PAUSE_SECONDS, self._settle))

    def _close(self, state: Rekeying, run: _Run, actor: str) -> None:
        """Destroy the first keys, once nobody uses them any more."""
        self._await_all(state, run)
        # What was sealed with one by a process that had been paused, and did not notice. It does on its next look.
        for kind in KINDS:
            self._move_kind(state, kind, None, run)
        self._move_attachments(state, None, run)
        done = 0
        while self._repository.two_keys():
            after: bytes | None = None
            while True:
                run.keep()
                count, after = self._repository.settle(after, GIVEN_AT_ONCE)
                if after is None:
                    break
                done += count
                run.progress(Stage.CLOSING, min(done, state.learners), state.learners)
        now = self._state(state.number)
        detail = {"number": now.number, "learners": now.learners, "moved": now.moved, "unopened": now.unopened}
        self._audit.append(LEARNERS_REKEYED, actor, detail)
        self._repository.finish(state.number)
        self._keys.subjects.forget()

    # --- what is sealed with them ---------------------------------------------------------------

    def _move(self, state: Rekeying, run: _Run, actor: str) -> None:
        """Encrypt anew all that first keys encrypt; nobody encrypts with one any more when this begins."""
        if state.until is None:
            self._await_all(state, run)
            # Stamped later is sealed later, by processes that have noticed (``app/traces/ingest/recording.py``).
            self._repository.bound(state.number, self._processes.settled())
            state = self._state(state.number)
        parts = [statements_store.NAME, *(kind.collection for kind in KINDS), attachments.NAME]
        begun = 0 if state.part is None else parts.index(state.part)
        for place, part in enumerate(parts[begun:], begun):
            after = state.after if part == state.part else None
            if part == statements_store.NAME:
                self._move_statements(state, after, run)
            elif part == attachments.NAME:
                self._move_attachments(state, after, run)
            else:
                self._move_kind(state, KINDS[place - 1], after, run)
        self._repository.advance(state.number, Stage.MOVING, Stage.CLOSING)

    def _move_statements(self, state: Rekeying, after: object | None, run: _Run) -> None:
        last = None if after is None else int(str(after))
        until, total = state.until or 0, self._repository.statements()
        seen = 0
        while True:
            with run.batch():
                rows = self._stock.statements.span(last, until + 1, BATCH)
                if not rows:
                    return
                moved, unopened = self._move_bodies(rows, run)
                last = rows[-1].stored
                self._repository.mark(state.number, statements_store.NAME, last, moved, unopened)
                run.statements += len(rows)
            seen += len(rows)
            run.progress(Stage.MOVING, min(state.moved + seen, total), total)

    def _move_bodies(self, rows: Sequence[Stored], run: _Run) -> tuple[int, int]:
        """Of these statements, how many were sealed anew, and how many do not open."""
        done = 0
        while True:
            keys = self._keys.subjects.both({row.subject for row in rows})
            pairs = {subject: key for subject, key in keys.items() if isinstance(key, KeyPair)}
            # Who has one key alone got it since this began.
            stale = [row for row in rows if row.body and row.subject in pairs]
            fresh = self._stock.bodies.moved(
                [(row.id, row.body) for row in stale],
                [pairs[row.subject].other for row in stale],
                [pairs[row.subject].encrypting for row in stale],
            )
            changes = [
                Resealed(row.id, row.body, body)
                for row, body in zip(stale, fresh, strict=True)
                if body is not None and body is not row.body
            ]
            written = self._written.write(changes)
            done += written
            if written == len(changes):
                return done, fresh.count(None) + sum(row.subject not in keys for row in rows)
            run.keep()
            # Some were changed meanwhile, or deleted: those that are there are read again.
            wanted: list[UUID] = [row.id for row in rows]
            rows = self._stock.statements.some(wanted)

    def _move_kind(self, state: Rekeying, kind: Kind, after: object | None, run: _Run) -> None:
        while True:
            with run.batch():
                rows = self._ciphertexts.page(kind, after, BATCH)
                if not rows:
                    return
                # Read after the rows: what is sealed with a key that lives was sealed with one that is there by now.
                keys = self._keys.subjects.both({subject for row in rows for subject in row.subjects})
                changes = [change for row in rows if (change := self._anew(keys, row)) is not None]
                moved = self._ciphertexts.replace(kind, changes)
                if moved < len(changes):
                    # Changed or deleted at this moment: the same page again.
                    continue
                after = rows[-1].id
                self._repository.mark(state.number, kind.collection, after, moved)

    def _anew(self, keys: Mapping[bytes, Cipher], row: Row) -> Change | None:
        """A document's values sealed with newer keys; None where that is not to be done, or cannot be."""
        newer = {subject: encrypting_alone(key) for subject, key in keys.items()}
        after: dict[str, bytes] = {}
        for field, (layers, sealed) in row.values.items():
            if decrypt_layers(newer, self._organisation, layers, sealed) is not None:
                continue
            plain = decrypt_layers(keys, self._organisation, layers, sealed)
            if plain is not None:
                after[field] = encrypt_layers(newer, self._organisation, layers, plain, clock.random_bytes)
        return Change(row, after) if after else None

    def _move_attachments(self, state: Rekeying, after: object | None, run: _Run) -> None:
        last = after if isinstance(after, bytes) else None
        while True:
            with run.batch():
                rows = self._ciphertexts.attachments(last, BATCH)
                if not rows:
                    return
                keys = self._keys.subjects.both({subject for row in rows for subject, _ in row.keys})
                changes = [(row, fresh) for row in rows if (fresh := self._rewrapped(keys, row)) != row]
                moved = self._ciphertexts.rewrap(changes)
                if moved < len(changes):
                    continue
                last = rows[-1].id
                self._repository.mark(state.number, attachments.NAME, last, moved)

    def _rewrapped(self, keys: Mapping[bytes, Cipher], row: AttachmentKeys) -> AttachmentKeys:
        fresh = []
        for subject, wrapped in row.keys:
            key = keys.get(subject)
            made = wrapped
            if isinstance(key, KeyPair):
                try:
                    made = attachment_encryption.rewrapped(
                        key.other, key.encrypting, self._organisation, row.id, wrapped, clock.random_bytes
                    )
                except DecryptionFailed:
                    # It is under the newer one, or under one that was destroyed.
                    made = wrapped
            fresh.append((subject, made))
        return row._replace(keys=tuple(fresh))


class _Run:
    """One run: what it did, its claim and its rests."""

    def __init__(
        self,
        repository: RekeyRepository,
        number: int,
        by: bytes,
        progress: ProgressCallback,
        check: Callable[[], None],
        share: float,
    ) -> None:
        self.statements = 0
        self.seconds = 0.0
        self.progress = progress
        self._repository = repository
        self._number = number
        self._by = by
        self._check = check
        self._share = share
        self._renewed = clock.steady()

    def keep(self) -> None:
        """Look whether to go on, and keep the claim."""
        self._check()
        if clock.steady() - self._renewed > CLAIM_SECONDS / 4:
            if not self._repository.claim(self._number, self._by, CLAIM_SECONDS):
                raise DatabaseUnavailable("Another process goes on with this rekey.")
            self._renewed = clock.steady()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Time a batch, and rest after it."""
        self.keep()
        began = clock.steady()
        yield
        took = clock.steady() - began
        self.seconds += took
        threading.Event().wait(took * (1 / self._share - 1))


def _nothing(state: Rekeying | None) -> Rekeyed:
    if state is None:
        return Rekeyed(0, 0, 0, 0, 0, 0.0, finished=False)
    return Rekeyed(state.number, state.learners, state.moved, state.unopened, 0, 0.0, finished=False)
