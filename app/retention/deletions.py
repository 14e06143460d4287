"""Deletion on the operator's word: one statement, or what a source sent in a time, with a certificate.

``stored`` bounds what goes, so that what a tool sends again later is never meant. A deletion is noted before it begins,
and what is being deleted before it is deleted: one that was cut off anywhere is gone on with (by the same command, or
by the job ``erasure``), and each statement is counted once.

With statements go the attachments that only they declare, the states of sessions held to patterns, and what statements
that refer to them carry of them; figures of their months are counted again. Data of data subjects who are restricted
stay (GDPR art. 18). Keys of learners stay too, as with retention.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from app.access.restrictions.store import Restricted
from app.access.store import SourceRepository
from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.errors import BadRequest, DatabaseUnavailable, DataSubjectRestricted, NotFound
from app.core.personal_data import PersonalDataStore
from app.crypto import kinds
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import DELETION_APPLIED, DELETION_STARTED
from app.people.erasure.store import ErasureTargets
from app.people.restriction import Restriction
from app.platform.cluster import claims
from app.platform.cluster.peers import Peers
from app.retention.certificate_store import (
    DATA_DELETED,
    DELETING,
    STATEMENT_DELETED,
    Act,
    Batch,
    CertificateRepository,
    Removal,
)
from app.retention.certificates import Certificates, require_words
from app.retention.documents import AgeingDocuments
from app.retention.store import RetentionRepository
from app.traces.conformance.sessions import Sessions
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Plain, Position, Statements, Stored

BATCH = 500
"""Statements opened and deleted at a time."""
_REFERRING = 2_000
_LOOK_SECONDS = 0.2


class Plan(NamedTuple):
    """Plan of a deletion: what it would take, and what it would leave: statements of data subjects who are
    restricted.
    """

    statements: int
    documents: int
    restricted: int


class Figures(Protocol):
    """Services of the aggregates that a deletion uses."""

    def months_counted(self, batch: Sequence[Plain]) -> set[str]:
        """The months in whose figures these statements are."""

    def note_correction(self, months: Sequence[str]) -> None:
        """Have these months counted again."""


class Deletions:
    """Deletes on the operator's word. One deletion is worked on by one process at a time."""

    def __init__(
        self,
        *,
        repository: CertificateRepository,
        certificates: Certificates,
        removal: Removal,
        retained: RetentionRepository,
        erasure_targets: ErasureTargets,
        stores: Sequence[PersonalDataStore],
        sources: SourceRepository,
        statements: Statements,
        reader: StatementReader,
        keys: OrganisationKeys,
        figures: Figures,
        sessions: Sessions,
        restriction: Restriction,
        audit: AuditSink,
        processes: Peers,
    ) -> None:
        """``sessions(source, since)`` forgets sessions with statements stored since; ``held``: who is restricted.

        ``stores``: all that keep personal data.
        """
        self._repository = repository
        self._certificates = certificates
        self._removal = removal
        self._retained = retained
        self._erasure_targets = erasure_targets
        self._stores = stores
        self._written = AgeingDocuments(stores)
        self._sources = sources
        self._statements = statements
        self._reader = reader
        self._keys = keys
        self._figures = figures
        self._sessions = sessions
        self._restriction = restriction
        self._audit = audit
        self._processes = processes

    # --- before -----------------------------------------------------------------------------------------

    def plan(self, source: str, since: int = 0, until: int | None = None) -> Plan:
        """The plan of a deletion: of a source, stored (documents: last written) from ``since`` on and before ``until``.

        Args:
            source: Its id.
            since: Microseconds since 1970 UTC.
            until: Likewise; None: now.

        Raises:
            NotFound: there is no such source.
            BadRequest: the time ends before it begins.
        """
        self._activity(source)
        until = _bounded(since, until)
        return self._planned(source, since, until, self._restriction.held())

    def statement(self, id: UUID) -> Stored:
        """The statement that ``delete_statement`` would delete.

        Raises:
            NotFound: there is none of this id.
            DataSubjectRestricted: it stays as it is.
        """
        found = self._statements.get(id)
        if found is None:
            raise NotFound("No statement has this id.")
        if found.subject in {one.subject for one in self._restriction.held()}:
            raise DataSubjectRestricted("The data of this person are restricted: nothing is deleted until that ends.")
        return found

    # --- deleting ---------------------------------------------------------------------------------------

    def delete_data(
        self,
        source: str,
        since: int = 0,
        until: int | None = None,
        *,
        word: str,
        reason: str,
        actor: str,
        progress: Callable[[int, int], None] = lambda done, total: None,
        check: Callable[[], None] = lambda: None,
    ) -> Act:
        """Delete what ``plan`` tells; returns when it is done, with the certificate.

        One for the same source and time that was cut off is gone on with.

        Args:
            source: Its id.
            since: As of ``plan``.
            until: As of ``plan``.
            word: Who decided: a function, not a name.
            reason: Why; it stands in the certificate, so nothing that tells a data subject.
            actor: For the audit log.
            progress: Told statements deleted and due.
            check: Called before each batch; what it raises ends this, and it can be gone on with.

        Raises:
            NotFound, BadRequest: as ``plan``; or a word or a reason is missing.
            DatabaseUnavailable: it cannot go on now; the job does, later.
        """
        require_words(word, reason)
        activity = self._activity(source)
        for other in self._repository.open(DELETING):
            if (other.kind, other.source, other.since) == (DATA_DELETED, source, since) and until in (
                None,
                other.until,
            ):
                return self.advance(other.id, progress=progress, check=check)
        held = self._restriction.held()
        bound = _bounded(since, until)
        planned = self._planned(source, since, bound, held)
        act = Act(
            UUID(bytes=clock.random_bytes(16), version=4),
            DATA_DELETED,
            clock.now(),
            actor,
            word,
            reason,
            activity,
            source,
            since=since,
            until=bound,
            kept=tuple(one.subject for one in held) if planned.restricted else (),
            phase=DELETING,
            counts={"statements": 0, "restricted": planned.restricted},
        )
        where = {"stored_from": since, "stored_before": bound}
        self._begin(act, {**where, "due": planned.statements, "documents_due": planned.documents})
        return self.advance(act.id, progress=progress, check=check)

    def delete_statement(
        self, id: UUID, *, word: str, reason: str, actor: str, check: Callable[[], None] = lambda: None
    ) -> Act:
        """Delete one statement; returns when it is done, with the certificate. Arguments as of ``delete_data``.

        A statement that voids another may be deleted; that other one stays voided.

        Raises:
            NotFound, DataSubjectRestricted: as ``statement``.
            BadRequest: a word or a reason is missing.
            DatabaseUnavailable: it cannot go on now; the job does, later.
        """
        require_words(word, reason)
        for other in self._repository.open(DELETING):
            if other.statement == id:
                return self.advance(other.id, check=check)
        found = self.statement(id)
        act = Act(
            UUID(bytes=clock.random_bytes(16), version=4),
            STATEMENT_DELETED,
            clock.now(),
            actor,
            word,
            reason,
            self._activity(found.source),
            found.source,
            statement=id,
            since=found.stored,
            until=max(clock.now_us(), found.stored + 1),
            phase=DELETING,
            counts={"statements": 0},
        )
        self._begin(act, {"statement": str(id), "due": 1})
        return self.advance(act.id, check=check)

    def run(self, check: Callable[[], None] = lambda: None) -> int:
        """Go on with every deletion that was cut off; how many were finished: for the job.

        Raises:
            DatabaseUnavailable: one of them cannot go on now.
        """
        done = 0
        for act in self._repository.open(DELETING):
            check()
            done += self.advance(act.id, check=check, wait=False).phase != DELETING
        return done

    def advance(
        self,
        id: UUID,
        *,
        progress: Callable[[int, int], None] = lambda done, total: None,
        check: Callable[[], None] = lambda: None,
        wait: bool = True,
    ) -> Act:
        """Go on with a deletion to its end. May be cut off anywhere and called again.

        Args:
            id: Of the act.
            progress: As of ``delete_data``.
            check: As of ``delete_data``.
            wait: When another process is at it: wait until it has ended, rather than give it back as it is.

        Raises:
            DatabaseUnavailable: it cannot go on now.
        """
        by = clock.random_bytes(8)
        while not claims.take(self._repository.claims, id, by):
            act = self._certificates.get(id)
            if act.phase != DELETING or not wait:
                return act
            check()
            threading.Event().wait(_LOOK_SECONDS)
        with claims.kept(self._repository.claims, id, by, check, "deletion") as keep:
            act = self._certificates.get(id)
            if act.phase != DELETING:
                return act
            held = self._restriction.held()
            self._delete_statements(act, held, keep, progress)
            if act.kind == DATA_DELETED:
                self._delete_documents(act, held, keep)
            self._refer(act, keep)
            return self._finish(act)

    def again(self, act: Act, check: Callable[[], None] = lambda: None) -> bool:
        """Carry out a deletion anew, in a database that was restored; whether there was anything to delete."""
        if act.phase != DELETING:
            held = self._without(act, self._restriction.held())
            documents = self._documents(act, held) if act.kind == DATA_DELETED else 0
            if not documents and not self._next(act, held):
                return False
            self._repository.reopen(act.id)
        self.advance(act.id, check=check)
        return True

    # --- steps ------------------------------------------------------------------------------------------

    def _begin(self, act: Act, due: Mapping[str, object]) -> None:
        # The intent first: nothing is deleted that no entry tells of.
        self._audit.append(DELETION_STARTED, act.actor, {**_where(act), **due})
        self._repository.add(act)

    def _delete_statements(
        self, act: Act, held: Sequence[Restricted], keep: Callable[[], None], progress: Callable[[int, int], None]
    ) -> None:
        if not self._processes.observer().wait_for_low_watermark((act.until or 0) - 1):
            raise DatabaseUnavailable("A write under way takes long. The deletion goes on by itself.")
        kept, again = self._without(act, held), act.document is not None
        done = act.counts.get("statements", 0)
        total = done + (self._due(act, kept) if act.kind == DATA_DELETED else 1)
        batch = act.batch
        while True:
            keep()
            if batch is None:
                ids = self._next(act, kept)
                if not ids:
                    return
                rows = self._statements.some(ids)
                if not rows:
                    continue  # gone meanwhile, for their age or with their learner
                months = self._figures.months_counted(self._reader.decrypted(rows))
                self._figures.note_correction(sorted(months))
                batch = Batch(tuple(row.id for row in rows), tuple(row.id for row in rows if row.voided))
                self._repository.begin_batch(act.id, batch, months)
            self._removal.delete(batch, act.until or 0)
            self._repository.end_batch(act.id, batch, {"again" if again else "statements": len(batch.ids)})
            done += len(batch.ids)
            progress(done, max(total, done))
            batch = None

    def _delete_documents(self, act: Act, held: Sequence[Restricted], keep: Callable[[], None]) -> None:
        source, since, until = act.source or "", act.since or 0, act.until or 0
        kept = self._without(act, held)
        if "documents" not in act.counts:
            # Before the first goes: a kill does not make it less.
            self._repository.count(act.id, {"documents": self._documents(act, kept)})
        keep()
        while self._written.delete(source, until, _REFERRING, [one.subject for one in kept], since):
            keep()

    def _refer(self, act: Act, keep: Callable[[], None]) -> None:
        """Take out of referring statements what they carry of those that went, once nobody can copy it any more."""
        keep()
        if not self._processes.observer().wait_for_low_watermark(clock.now_us()):
            raise DatabaseUnavailable("A write under way takes long. The deletion goes on by itself.")
        after: Position | None = None
        while (done := self._erasure_targets.refresh_referring(self._tokens(act), after, _REFERRING)).seen:
            keep()
            after = done.place

    def _finish(self, act: Act) -> Act:
        sessions = self._sessions.take_out(act.source or "", act.since or 0)
        if act.kind == DATA_DELETED and act.since == 0:
            for store in self._stores:
                # Nothing that was stored before is left for it to lead to.
                store.expire(act.source or "", act.until or 0)
        act = self._certificates.get(act.id)
        # Once more: whoever counted meanwhile may have counted them.
        self._figures.note_correction(act.months)
        ended = act
        if act.document is None:
            ended = self._certificates.finished(act, sessions=sessions)
            self._repository.count(act.id, ended.counts)
        self._audit.append(DELETION_APPLIED, act.actor, {**_where(act), "counts": dict(ended.counts)})
        if act.document is None and ended.finished is not None:
            self._repository.finish(act.id, ended.finished, ended.document)
        else:
            self._repository.finish(act.id, clock.now(), None)
        return self._certificates.get(act.id)

    def _planned(self, source: str, since: int, until: int, held: Sequence[Restricted]) -> Plan:
        tokens = self._keys.index.tokens(kinds.SOURCE, source)
        statements = self._retained.count(tokens, until, held, since)
        restricted = self._retained.count(tokens, until, (), since) - statements if held else 0
        written = self._written.count(source, until, [one.subject for one in held], since)
        return Plan(statements, written, restricted)

    def _next(self, act: Act, held: Sequence[Restricted]) -> list[UUID]:
        since, until = act.since or 0, act.until or 0
        if act.statement is not None:
            found = self._statements.get(act.statement)
            return [act.statement] if found is not None and found.stored < until else []
        return self._removal.next(self._tokens(act), since, until, [one.subject for one in held], BATCH)

    def _due(self, act: Act, held: Sequence[Restricted]) -> int:
        return self._retained.count(self._tokens(act), act.until or 0, held, act.since or 0)

    def _documents(self, act: Act, held: Sequence[Restricted]) -> int:
        subjects = [one.subject for one in held]
        return self._written.count(act.source or "", act.until or 0, subjects, act.since or 0)

    def _without(self, act: Act, held: Sequence[Restricted]) -> list[Restricted]:
        """The data subjects whose data stay: those restricted now, and those who were when it was asked for."""
        known = {one.subject for one in held}
        return [*held, *(Restricted(subject, ()) for subject in act.kept if subject not in known)]

    def _tokens(self, act: Act) -> tuple[bytes, ...]:
        # Anew each time: the index key may be replaced meanwhile.
        return self._keys.index.tokens(kinds.SOURCE, act.source or "")

    def _activity(self, source: str) -> str:
        found = self._sources.get(source)
        if found is None:
            raise NotFound("No such source. `sillage source list` shows those that exist.")
        return found.activity


def _bounded(since: int, until: int | None) -> int:
    now = clock.now_us()
    bound = now if until is None else min(until, now)
    if since < 0 or bound <= since:
        raise BadRequest("The time ends before it begins, or has not begun yet.")
    return bound


def _where(act: Act) -> dict[str, object]:
    return {"certificate": str(act.id), "kind": act.kind, "activity": act.activity, "source": act.source}
