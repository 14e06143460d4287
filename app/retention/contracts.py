"""The end of a contract: a source is closed, or moved to another entry of the register; an entry ends on a day.

Nothing is deleted by any of these: what is stored stays until its duration under the register is over, or until it is
deleted on the operator's word (``deletions.py``). Each leaves a certificate, which is the history of the source and of
the entry, and is carried out again after a restore.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple, Protocol
from uuid import UUID

from app.access.store import Source, SourceRepository
from app.core import clock
from app.core.announcer import Announcer
from app.core.audit_sink import AuditSink
from app.core.clock import Today
from app.core.errors import NotFound, RegisterInvalid
from app.governance.audit.log import ACTIVITY_ENDED, CERTIFICATES_REAPPLIED, SOURCE_CLOSED, SOURCE_MOVED
from app.governance.register.service import ProcessingActivity, Register
from app.retention import certificate_store as acts
from app.retention.certificate_store import DELETIONS, DONE, WAITING, Act, CertificateRepository
from app.retention.certificates import Certificates, require_words
from app.retention.deletions import Deletions
from app.retention.service import Retention, RetentionLine


class Move(NamedTuple):
    """Effect of moving a source.

    Attributes:
        source: As it is.
        before, after: The entries that it is under, and would be under.
        now, then: What is kept and due under each: what was stored before follows the new entry.
    """

    source: Source
    before: ProcessingActivity
    after: ProcessingActivity
    now: RetentionLine
    then: RetentionLine


class RetentionRules(Protocol):
    """Retention and deletions, made when they are first asked for."""

    @property
    def service(self) -> Retention:
        """Retention."""

    @property
    def deletions(self) -> Deletions:
        """Deletes on the operator's word."""


class Contracts:
    """Closes and moves sources, and ends entries of the register."""

    def __init__(
        self,
        *,
        repository: CertificateRepository,
        certificates: Certificates,
        sources: SourceRepository,
        register: Register,
        rules: RetentionRules,
        audit: AuditSink,
        announcer: Announcer,
        today: Today,
    ) -> None:
        """``announcer``: of what every process is to take notice; ``today`` is the organisation's."""
        self._repository = repository
        self._certificates = certificates
        self._sources = sources
        self._register = register
        self._rules = rules
        self._audit = audit
        self._announcer = announcer
        self._today = today

    # --- sources ----------------------------------------------------------------------------------------

    def close(self, source: str, *, word: str, reason: str, actor: str) -> Act:
        """Accept nothing of a source any more: its credentials are revoked, and it gets no others.

        No process accepts anything of it when this returns. One that is closed already is left as it is.

        Args:
            source: Its id.
            word: Who decided: a function, not a name.
            reason: Why; it stands in the certificate, so nothing that tells a person.
            actor: For the audit log.

        Raises:
            NotFound: no such source.
            BadRequest: a word or a reason is missing.
        """
        require_words(word, reason)
        found = self._source(source)
        for done in self._repository.newest(1_000, activity=found.activity) if found.closed else ():
            if (done.kind, done.source) == (acts.SOURCE_CLOSED, source):
                return done
        act = _act(acts.SOURCE_CLOSED, actor, word, reason, found.activity, source=source)
        self._audit.append(SOURCE_CLOSED, actor, _where(act))
        self._sources.close(source, act.at)
        self._announcer.announce()
        return self._kept(act)

    def planned(self, source: str, to: str) -> Move:
        """The effect that ``move`` would have.

        Raises:
            NotFound: no such source or entry.
            RegisterInvalid: it is under that entry already, or that entry has ended.
        """
        found = self._source(source)
        after = self._register.get(to)
        if found.activity == to:
            raise RegisterInvalid(f"The source is under {to} already.")
        if self.ended(to):
            raise RegisterInvalid(f"The entry {to} has ended: nothing comes under it any more.")
        before = self._register.get(found.activity)
        retention, now = self._rules.service, clock.now_us()
        return Move(found, before, after, retention.line(before, source, now), retention.line(after, source, now))

    def move(self, source: str, to: str, *, word: str, reason: str, actor: str) -> Act:
        """Put a source under another entry of the register. Arguments and errors as of ``close`` and ``planned``.

        What was stored before follows the new entry from now on: its purposes, and its duration tonight.
        """
        require_words(word, reason)
        plan = self.planned(source, to)
        act = _act(acts.SOURCE_MOVED, actor, word, reason, plan.before.id, source=source)._replace(
            to=to,
            counts={"statements": plan.now.kept, "documents": plan.now.documents, "due": plan.then.due},
        )
        self._audit.append(SOURCE_MOVED, actor, {**_where(act), "to": to})
        self._sources.move(source, to)
        self._announcer.announce()
        return self._kept(act)

    # --- entries of the register ------------------------------------------------------------------------

    def ended(self, activity: str) -> bool:
        """True if an entry of the register has ended."""
        return activity in self.ended_now()

    def ended_now(self) -> set[str]:
        """The ids of the entries of the register that have ended."""
        return {id for id, day in self._repository.ends().items() if self.has_come(date.fromisoformat(day))}

    def has_come(self, day: date) -> bool:
        """True if a day has begun, in the organisation's time zone."""
        return day <= self._today()

    def of(self, activity: str) -> tuple[ProcessingActivity, list[Source]]:
        """An entry of the register, and its sources.

        Raises:
            NotFound: no such entry.
        """
        found = self._register.get(activity)
        return found, [source for source in self._sources.list() if source.activity == activity]

    def end(self, activity: str, on: date, *, word: str, reason: str, actor: str) -> Act:
        """End an entry of the register: from that day on nothing is accepted of its sources. Arguments as of ``close``.

        On that day, or now if it has come, its sources are closed. Until then another day may be said instead.

        Args:
            activity: Its id.
            on: The first day on which nothing is accepted, in the organisation's time zone.
            word: As of ``close``.
            reason: As of ``close``.
            actor: As of ``close``.

        Returns:
            The act: with its certificate if the day has come.
        """
        require_words(word, reason)
        self._register.get(activity)
        act = _act(acts.ACTIVITY_ENDED, actor, word, reason, activity)._replace(on=on.isoformat(), phase=WAITING)
        self._audit.append(ACTIVITY_ENDED, actor, {**_where(act), "on": on.isoformat()})
        self._repository.add(act)
        self.run()
        return self._certificates.get(act.id)

    def run(self, check: Callable[[], None] = lambda: None) -> int:
        """Close the sources of entries whose last day is over; how many entries ended: for the job."""
        ends, done = {}, 0
        waiting = self._repository.open(WAITING)
        if waiting:
            ends = self._repository.ends()
        for act in waiting:
            check()
            if ends[act.activity] != act.on:
                # Another day was said since.
                self._finished(act, replaced=1)
            elif self.has_come(date.fromisoformat(act.on)):
                open_ = [source for source in self.of(act.activity)[1] if source.closed is None]
                for source in open_:
                    self.close(source.id, word=act.word, reason=act.reason, actor=act.actor)
                self._finished(act, sources=len(open_))
                done += 1
        return done

    # --- after a restore --------------------------------------------------------------------------------

    def reapply(
        self, documents: Sequence[bytes] = (), *, actor: str, check: Callable[[], None] = lambda: None
    ) -> tuple[UUID, ...]:
        """Carry out again, in a database that was restored, what was done since its backup was made.

        By the certificates in the database, and those given: of a database that is lost.

        Args:
            documents: Certificates, as they were written.
            actor: For the audit log.
            check: Called now and then; what it raises ends this, and it can be done again.

        Returns:
            The acts that had something to change.

        Raises:
            SignatureRefused: one of them is not this organisation's; nothing of them was carried out.
        """
        for document in documents:
            self._certificates.taken_in(document)
        changed = [act.id for act in self._repository.every() if self._again(act, check)]
        if changed:
            self._audit.append(CERTIFICATES_REAPPLIED, actor, {"certificates": [str(each) for each in changed]})
            self._announcer.announce()
        return tuple(changed)

    def _again(self, act: Act, check: Callable[[], None]) -> bool:
        check()
        source = None if act.source is None else self._sources.get(act.source)
        if act.kind in DELETIONS:
            return self._rules.deletions.again(act, check)
        if source is None:
            return False
        if act.kind == acts.SOURCE_CLOSED and source.closed is None:
            self._sources.close(source.id, act.at)
            return True
        if act.kind == acts.SOURCE_MOVED and source.activity == act.activity and act.to is not None:
            self._sources.move(source.id, act.to)
            return True
        return False

    # --- steps ------------------------------------------------------------------------------------------

    def _source(self, id: str) -> Source:
        found = self._sources.get(id)
        if found is None:
            raise NotFound("No such source. `sillage source list` shows those that exist.")
        return found

    def _kept(self, act: Act) -> Act:
        done = self._certificates.finished(act)
        self._repository.add(done)
        return done

    def _finished(self, act: Act, **counts: int) -> None:
        done = self._certificates.finished(act, **counts)
        self._repository.count(act.id, counts)
        if done.finished is not None:
            self._repository.finish(act.id, done.finished, done.document)


def _act(kind: str, actor: str, word: str, reason: str, activity: str, source: str | None = None) -> Act:
    id = UUID(bytes=clock.random_bytes(16), version=4)
    return Act(id, kind, clock.now(), actor, word, reason, activity, source, phase=DONE)


def _where(act: Act) -> dict[str, object]:
    said = {"certificate": str(act.id), "activity": act.activity, "source": act.source}
    return {name: value for name, value in said.items() if value is not None}
