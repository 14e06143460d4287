"""A policy about minors applied to what a source has stored already (``docs/adr/0048-minors-by-default.md``).

What is left is what would be there had the statements been sent under the policy: names and addresses are replaced by
the same pseudonyms, a statement whose learner's identifier is replaced is sealed with the key of the account that takes
its place, and found by it alone; its fingerprint is that of the cleaned statement, so that a retry is known. Statements
are gone through in the order they were stored; how far it has come is noted after each batch, and what is done is not
found again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from app.access.restrictions.store import DataSubjectStateRepository
from app.access.store import Source, SourceRepository
from app.core import lossless
from app.core.audit_sink import AuditSink
from app.core.clock import RandomBytes
from app.core.errors import DatabaseUnavailable, DecryptionFailed, RegisterInvalid
from app.crypto import attachments as attachment_encryption
from app.crypto import kinds
from app.crypto.bodies import Bodies
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import MINORS_APPLIED, MINORS_APPLY_STARTED
from app.keys.data_subject_cipher import DataSubjectCipher
from app.keys.learners import SubjectKeys
from app.operations.minors_store import Cleaning, MinorsRepository, Pass, Rewritten
from app.operations.rotation.index_tokens import TokenRepository
from app.people.erasure.store import ErasureRepository, ErasureTargets
from app.platform.cluster.peers import Peers
from app.research.store import AggregateRepository
from app.retention.closed_account_store import PLACE, AccountRepository, Closing
from app.standards.france import minors
from app.standards.xapi.content import members_kept
from app.standards.xapi.identifiers import Keys, keys_of
from app.standards.xapi.timestamps import parse
from app.traces.conformance.minors_policy import MinorsPolicy
from app.traces.conformance.sessions import Sessions
from app.traces.statements import index_tokens as tokens
from app.traces.statements.activities import Activities
from app.traces.statements.attachment_store import AttachmentRepository
from app.traces.statements.store import Position, Statements, Stored
from app.traces.statements.whereabouts import whereabouts

BATCH = 500
"""Statements opened and written at a time."""

_TRIES = 5
_DONE = "changed"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POLICIES = {"strip": "strip", "pseudonymise": "pseudonymise", "refuse": "pseudonymise"}

ProgressCallback = Callable[[int, int], None]


class Applied(NamedTuple):
    """Outcome of a run, or of a dry run.

    Attributes:
        policy: ``strip`` or ``pseudonymise``.
        dry_run: Whether nothing was changed.
        seen: Statements gone through.
        changed: Of these, those in which something was found and replaced.
        learners: Of these, those whose learner is known by another account from then on.
        found: Names, addresses and INE in the statements changed, by kind.
        signed: With something found, left as they are: their signature would break.
        held: With something found, left as they are: of data subjects who are restricted, or who object.
        unopened: Not looked at: they do not open (erased or damaged).
        attachments: Statements with something found that have attachments, whose data were not looked at.
    """

    policy: str
    dry_run: bool
    seen: int
    changed: int
    learners: int
    found: Mapping[str, int]
    signed: int
    held: int
    unopened: int
    attachments: int


class CleaningFile(Protocol):
    """Keeps what a restore must know of a pass in another place than the database."""

    def note_cleaning(self, cleaning: Cleaning) -> None:
        """Add a pass to the file, before it changes anything."""


class Surroundings(NamedTuple):
    """Services of other packages that a pass uses.

    Attributes:
        policy: The policies of sources, by which statements are cleaned.
        processes: Those that write: a bound below which no statement can still appear.
        states: Who is restricted, and who objects.
        erasures: Who is being erased.
        figures: Aggregates, of which months are counted again.
        activities: Takes in the definitions of activities that statements carry.
        sessions: Sessions, which are followed from the beginning.
        sources: The sources.
        outside: Keeps what a restore must know of a pass in another place than the database.
    """

    policy: MinorsPolicy
    processes: Peers
    states: DataSubjectStateRepository
    erasures: ErasureRepository
    figures: AggregateRepository
    activities: Activities
    sessions: Sessions
    sources: SourceRepository
    outside: CleaningFile


class _Change(NamedTuple):
    """A statement that is to be changed: as read, its keys then, the statement as it is to be, and its keys."""

    row: Stored
    before: Keys
    statement: dict[str, Any]
    keys: Keys


class MinorsPass:
    """Applies policies about minors to what is stored."""

    def __init__(
        self,
        *,
        repository: MinorsRepository,
        statements: Statements,
        placed: TokenRepository,
        erasure_targets: ErasureTargets,
        attachments: AttachmentRepository,
        accounts: AccountRepository,
        subjects: SubjectKeys,
        cipher: DataSubjectCipher,
        bodies: Bodies,
        keys: OrganisationKeys,
        audit: AuditSink,
        random: RandomBytes,
        zone: ZoneInfo,
        around: Surroundings,
    ) -> None:
        """``zone``: of the months of aggregates."""
        self._repository = repository
        self._statements = statements
        self._placed = placed
        self._erasure_targets = erasure_targets
        self._attachments = attachments
        self._accounts = accounts
        self._subjects = subjects
        self._cipher = cipher
        self._bodies = bodies
        self._keys = keys
        self._audit = audit
        self._random = random
        self._zone = zone
        self._around = around

    def apply(
        self,
        source: Source,
        *,
        dry_run: bool = True,
        actor: str = "cli:minors apply",
        progress: ProgressCallback = lambda *_: None,
        check: Callable[[], None] = lambda: None,
    ) -> Applied:
        """Go through all that a source has stored, or on from where a run was cut off.

        Under the policy ``refuse``, which nothing stored can be any more, what is found is pseudonymised.

        Args:
            source: Its policy is the one that is applied.
            dry_run: Only count.
            actor: For the audit log, in which a pass leaves an entry at its beginning and at its end.
            progress: Told how many statements were gone through, and how many there were to begin with.
            check: Called before each batch; what it raises ends the run.

        Raises:
            RegisterInvalid: the source's policy is ``off``.
            DatabaseUnavailable: an erasure is under way, or a write takes long: later.
        """
        policy = _POLICIES.get(source.minors)
        if policy is None:
            raise RegisterInvalid(
                f"Source {source.id} has the policy `off`: choose another first, with `sillage source set {source.id} "
                "--minors pseudonymise`, so that what comes from now on is looked at too."
            )
        source = source._replace(minors=policy)
        if not dry_run and self._around.erasures.open():
            raise DatabaseUnavailable(
                "An erasure is under way, which finds persons by what is stored now. Run it later."
            )
        now = None if dry_run else self._repository.under_way(source.id, policy)
        if now is None:
            until = self._around.processes.settled()
            if dry_run:
                now = Pass(source.id, policy, None, until, {})
            else:
                self._audit.append(MINORS_APPLY_STARTED, actor, {"source": source.id, "policy": policy})
                now = self._repository.begin(source.id, policy, until)
        if dry_run:
            return _applied(self._go_through(source, now, dry_run, progress, check), dry_run=True)
        # Before the first statement changes, or the next one of a pass that was cut off: from then on erasures name
        # data subjects by what they become. The same line twice does no harm.
        self._around.outside.note_cleaning(Cleaning(source.id, policy, now.until))
        return self._finish(source, now, actor, progress, check)

    def reapply(
        self,
        *,
        actor: str = "cli:restore",
        progress: ProgressCallback = lambda *_: None,
        check: Callable[[], None] = lambda: None,
    ) -> int:
        """Finish the passes that are noted as not finished, in a database that was restored; statements changed.

        To be called when erasures have been applied again, and before they are once more: some name data subjects by
        what they were before a pass, some by what they became (``docs/adr/0050-restores-clean-again.md``). Whatever
        policy the source has in the backup, the pass has its own.

        Args:
            actor: For the audit log.
            progress: As of ``apply``, source by source.
            check: Called before each batch; what it raises ends the run.
        """
        sources = {source.id: source for source in self._around.sources.list()}
        changed = 0
        for now in self._repository.unfinished():
            if now.source not in sources:
                # Registered after the backup: nothing of it is here.
                self._repository.mark(now, finished=True)
                continue
            self._audit.append(MINORS_APPLY_STARTED, actor, {"source": now.source, "policy": now.policy})
            source = sources[now.source]._replace(minors=now.policy)
            changed += self._finish(source, now, actor, progress, check).changed
        return changed

    def _finish(
        self, source: Source, now: Pass, actor: str, progress: ProgressCallback, check: Callable[[], None]
    ) -> Applied:
        now = self._go_through(source, now, False, progress, check)
        self._refer(source, check)
        done = _applied(now, dry_run=False)
        if done.changed:
            self._around.sessions.restart(source.id)
        self._audit.append(
            MINORS_APPLIED, actor, {"source": source.id, "policy": now.policy, **dict(sorted(now.counts.items()))}
        )
        self._repository.mark(now, finished=True)
        return done

    def _go_through(
        self, source: Source, now: Pass, dry_run: bool, progress: ProgressCallback, check: Callable[[], None]
    ) -> Pass:
        tokens = self._keys.index.tokens(kinds.SOURCE, source.id)
        total = self._placed.count(tokens)
        for token in tokens:
            # While the index key is replaced statements move from the first token to the second: both are gone
            # through, from the beginning, for what is done is not found again.
            since = now.after if len(tokens) == 1 else None
            level: set[UUID] = set()
            while True:
                check()
                rows = [each.stored for each in self._placed.under(token, since, BATCH)]
                fresh = [row for row in rows if row.id not in level and row.stored < now.until]
                if fresh:
                    counts = Counter(now.counts)
                    self._batch(source, fresh, counts, dry_run=dry_run)
                    counts["seen"] += len(fresh)
                    now = now._replace(counts=counts)
                if len(rows) < BATCH or rows[-1].stored >= now.until:
                    break
                last = rows[-1].stored
                level = {row.id for row in rows if row.stored == last}
                # A page that is all of one moment, and was seen: on to the next.
                since = last if fresh else last + 1
                now = now._replace(after=since)
                if not dry_run:
                    self._repository.mark(now)
                progress(min(now.counts.get("seen", 0), total), total)
        return now

    def _batch(self, source: Source, rows: Sequence[Stored], counts: Counter[str], *, dry_run: bool) -> None:
        for attempt in range(_TRIES):
            changes, found = self._changes(source, rows)
            if attempt == 0:
                counts.update(found)
            if dry_run or not changes:
                return
            left = self._write(source, changes)
            if not left:
                return
            # What somebody changed meanwhile is read again; what was deleted is not there any more.
            rows = self._statements.some(left)
        raise DatabaseUnavailable("Others change the same statements all the time. Run the same command again.")

    def _opened(self, rows: Sequence[Stored]) -> list[tuple[Stored, bytes]]:
        keys = self._subjects.existing(row.subject for row in rows)
        living = [row for row in rows if row.subject in keys and row.body]
        plain = self._bodies.decrypt([(row.id, row.body) for row in living], [keys[row.subject] for row in living])
        return [(row, body) for row, body in zip(living, plain, strict=True) if body is not None]

    def _changes(self, source: Source, rows: Sequence[Stored]) -> tuple[list[_Change], Counter[str]]:
        """The changes of these statements, and the counts to be told of them."""
        counts: Counter[str] = Counter()
        opened = self._opened(rows)
        counts["unopened"] += len(rows) - len(opened)
        states = self._around.states.read()
        apart = states.restricted | states.objecting | states.refusing
        kept: list[tuple[Stored, dict[str, Any], list[minors.Found]]] = []
        for row, body in opened:
            statement = lossless.loads(body)
            listed = minors.find(_without_authority(statement), body)
            if not listed:
                continue
            if minors.signed(statement):
                counts["signed"] += 1
                continue
            if apart:
                keys = keys_of(statement)
                named = {keys.subject, *keys.agents, *keys.related_agents}
                # GDPR art. 18(2): what is restricted is only stored; what an objection holds for is found by its name.
                if not apart.isdisjoint(map(self._keys.subject, named)):
                    counts["held"] += 1
                    continue
            kept.append((row, statement, listed))
        cleaned = self._around.policy.cleaned(
            source, [_without_authority(statement) for _, statement, _ in kept], [listed for *_, listed in kept]
        )
        changes = []
        for (row, statement, listed), clean in zip(kept, cleaned, strict=True):
            # In the order in which it was kept, which the fingerprint is made by.
            whole = {name: statement[name] if name == "authority" else clean[name] for name in statement}
            change = _Change(row, keys_of(statement), whole, keys_of(whole))
            changes.append(change)
            counts[_DONE] += 1
            counts["learners"] += change.before.subject != change.keys.subject
            counts["attachments"] += bool(statement.get("attachments"))
            counts.update(f"found_{each.kind}" for each in listed)
        return changes, counts

    def _write(self, source: Source, changes: Sequence[_Change]) -> set[UUID]:
        """Write changes; the statements that were not as they had been read any more."""
        months = {self._month(change.statement) for change in changes}
        self._around.figures.note_correction(months)
        subjects = [self._keys.subject(change.keys.subject) for change in changes]
        learner_keys = self._subjects.ensured(subjects)
        self._carry(source, changes, subjects)
        bodies = [(change.row.id, lossless.dumps(change.statement)) for change in changes]
        index = self._keys.index.writing
        sealed = self._bodies.encrypt(bodies, [learner_keys[subject] for subject in subjects])
        rewritten = [
            Rewritten(
                change.row.id,
                change.row.body,
                subject,
                tokens.of_statement(
                    index, source.id, change.keys, whereabouts(change.statement, change.row.stored, self._zone)
                ),
                index.fingerprint(members_kept(plain)),
                body,
            )
            for change, subject, (_, plain), body in zip(changes, subjects, bodies, sealed, strict=True)
        ]
        left: set[UUID] = set()
        if self._repository.write(rewritten) < len(rewritten):
            left = {one.id for one in rewritten}.difference(self._repository.moved(rewritten))
        self._forget_erased(changes, rewritten)
        moved = {
            change.row.subject for change, subject in zip(changes, subjects, strict=True) if _moves(change, subject)
        }
        if moved:
            self._repository.forget_sessions(source.id, sorted(moved))
        self._around.activities.learn([change.statement for change in changes])
        # Again, for a run that began to count between the first note and the write.
        self._around.figures.note_correction(months)
        return left

    def _forget_erased(self, changes: Sequence[_Change], rewritten: Sequence[Rewritten]) -> None:
        """Delete what was moved of data subjects whose erasure began meanwhile, which looks for them by what was
        there.
        """
        living = self._subjects.renewed({change.row.subject for change in changes})
        gone = {change.row.id for change in changes if change.row.subject not in living}
        if gone:
            wrongly = self._repository.moved([one for one in rewritten if one.id in gone])
            self._attachments.release(wrongly)
            self._repository.delete(wrongly)

    def _carry(self, source: Source, changes: Sequence[_Change], subjects: Sequence[bytes]) -> None:
        """Give the accounts that take an identifier's place what hung on that: keys of attachments, a known end."""
        moving = [(one, subject) for one, subject in zip(changes, subjects, strict=True) if _moves(one, subject)]
        if not moving:
            return
        keys = self._subjects.existing({one.row.subject for one, _ in moving} | {subject for _, subject in moving})
        attached = {one.row.id: (one.row.subject, subject) for one, subject in moving if "attachments" in one.statement}
        wrapped = []
        for row in self._attachments.of(attached) if attached else ():
            for id in row.statements:
                before, after = attached.get(id, (b"", b""))
                if before in row.keys and before in keys:
                    try:
                        key = attachment_encryption.rewrapped(
                            keys[before], keys[after], self._keys.organisation, row.id, row.keys[before], self._random
                        )
                    except DecryptionFailed:
                        continue
                    wrapped.append((row.id, after, key))
        self._repository.wrap(wrapped)
        identifiers = {one.row.subject: (subject, one.keys.subject) for one, subject in moving}
        for before, (after, identifier) in identifiers.items():
            ends = [closed for name, closed in self._accounts.of([before]) if name == source.id]
            if ends:
                who = self._cipher.encrypt(PLACE, {after: identifier.encode()})[after]
                self._accounts.close(source.id, [Closing(after, max(ends), who)])

    def _refer(self, source: Source, check: Callable[[], None]) -> None:
        """Have statements that refer to this source's carry the tokens that these have now."""
        # Who links a chain reads and writes in the transaction that stores, under a stamp of before this bound.
        self._around.processes.settled()
        after: Position | None = None
        while True:
            check()
            done = self._erasure_targets.refresh_referring(
                self._keys.index.tokens(kinds.SOURCE, source.id), after, BATCH
            )
            if not done.seen:
                return
            after = done.place

    def _month(self, statement: Mapping[str, Any]) -> str:
        moment = _EPOCH + timedelta(microseconds=parse(statement["timestamp"]))
        return moment.astimezone(self._zone).strftime("%Y-%m")


def _without_authority(statement: Mapping[str, Any]) -> dict[str, Any]:
    # The store's own word: the name of the source.
    return {name: part for name, part in statement.items() if name != "authority"}


def _moves(change: _Change, subject: bytes) -> bool:
    return change.row.subject != subject


def _applied(now: Pass, *, dry_run: bool) -> Applied:
    def count(name: str) -> int:
        return now.counts.get(name, 0)

    return Applied(
        now.policy,
        dry_run,
        count("seen"),
        count(_DONE),
        count("learners"),
        {kind: count(f"found_{kind}") for kind in minors.KINDS},
        count("signed"),
        count("held"),
        count("unopened"),
        count("attachments"),
    )
