"""Sessions held to the patterns of profiles: live, in the order of receipt, and by a job, in the order of timestamps.

What is possible of a pattern after each session's last statement is kept, sealed with the key of the learner whose
statement came first. Sessions are read and written by the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import orjson
import structlog

from app.access.store import Source
from app.core import lossless
from app.core.clock import Clock, RandomBytes
from app.core.errors import SillageError
from app.crypto import documents as encryption
from app.crypto import kinds
from app.crypto.keys import OrganisationKeys
from app.keys.learners import SubjectKeys
from app.standards.profiles import sessions
from app.standards.profiles.checker import Mode, Verdict, followed
from app.standards.profiles.sessions import Follower, SessionKey
from app.standards.xapi.timestamps import parse
from app.traces.conformance.asked import Asked
from app.traces.conformance.session_store import Breaks, Fault, Mark, SessionRepository, SessionRow, Standings
from app.traces.conformance.verdicts import Checked, ConformanceService, Held
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Filter, Plain, Position, Statements, Stored, beyond

Statement = dict[str, Any]
PAGE = 1_000
CHUNK = 20_000
"""Statements of a source that the job follows at once, some more when a page ends beyond: the more, the fewer times a
session is read and written, and the fewer statements come after what was taken though they happened before."""
AT_ONCE = 1_000
"""Sessions read and written by one command of MongoDB, which has seconds for it."""
REORDERED_AT_ONCE = 50
"""Sessions put in order anew by one reading."""
MAX_LENGTH = 20_000
"""Statements of one session that the job puts in order; of a longer one, those stored first."""

_TRIES = 20
_TOKEN_BYTES = 16
_BY_BYTES = 8
_log = structlog.stdlib.get_logger("sillage.sessions")


class Followed(NamedTuple):
    """Outcome of the job: statements read, sessions changed, and of these the ones put in order anew."""

    statements: int
    sessions: int
    reordered: int


class _Event(NamedTuple):
    """A statement of a session: when it says it happened, and when it was stored (microseconds; 0 when live)."""

    key: SessionKey
    subject: bytes
    moment: int
    stored: int
    templates: tuple[str, ...]


class _Kept(NamedTuple):
    """The sealed part of a session: states, latest moment and place in the order of storage that they include."""

    states: list[Any]
    last: int
    stored: int


class Sessions:
    """Follows sessions. Safe to share between threads."""

    def __init__(
        self,
        *,
        repository: SessionRepository,
        profiles: ConformanceService,
        statements: Statements,
        reader: StatementReader,
        subjects: SubjectKeys,
        keys: OrganisationKeys,
        random: RandomBytes,
        now_us: Clock,
    ) -> None:
        self._repository = repository
        self._profiles = profiles
        self._statements = statements
        self._reader = reader
        self._subjects = subjects
        self._keys = keys
        self._random = random
        self._now_us = now_us

    def receive(
        self,
        source: Source,
        statements: Sequence[Statement],
        subjects: Sequence[bytes],
        checked: Checked,
        fresh: Sequence[bool],
    ) -> None:
        """Take in a batch that is durable. Never fails: what is not followed live, the job follows.

        Args:
            source: Whose batch it is; nothing is done unless its patterns are followed live.
            statements: As normalised.
            subjects: Tokens of the learners whose keys seal them.
            checked: Their verdicts.
            fresh: Which were stored now; the others were followed when they were.
        """
        if source.patterns != "live" or not checked.verdicts:
            return
        try:
            held = self._profiles.held(source)
            now = self._now_us()
            for follower in held.followers:
                events = [
                    self._event(
                        source, follower, key, statements[place], subjects[place], now, 0, checked.verdicts[place]
                    )
                    for place, new in enumerate(fresh)
                    if new and (key := sessions.session_of(statements[place], follower)) is not None
                ]
                # Communication 2.2: within a batch by timestamp, then by place; sorting keeps the place.
                events.sort(key=lambda event: event.moment)
                self._advance(source, follower, events, live=True)
        except SillageError as failed:
            _log.warning("sessions not followed", source=source.id, code=failed.code, statements=len(statements))

    def run(self, sources: Iterable[Source], check: Callable[[], None] = lambda: None) -> Followed:
        """Follow what was stored since the last run, in the order of timestamps.

        Resumable: what is noted as read has been followed, and a session does not take a statement twice. What a
        statement that came late belongs before is put in order anew. When patterns have changed, a source is read from
        the beginning.

        Args:
            sources: The sources.
            check: Called for each page; what it raises (a lost lease) ends the run.
        """
        marks = self._repository.marks()
        total = Followed(0, 0, 0)
        for source in sources:
            held = self._profiles.held(source) if source.patterns != "off" and source.profiles else None
            if held is None or not held.followers:
                continue
            fingerprint = "-".join([source.matching, *(follower.fingerprint for follower in held.followers)])
            mark = marks.get(source.id)
            if mark is not None and mark.fingerprint != fingerprint:
                self.restart(source.id)
                mark = None
            place = None if mark is None else Position(mark.stored, mark.seen)
            done = self._follow(source, held, place, fingerprint, check)
            total = Followed(*map(sum, zip(total, done, strict=True)))
        return total

    def restart(self, source: str) -> None:
        """Have the job read a source from the beginning."""
        self._repository.mark(source, None)
        self._repository.forget(source, live=False)

    def take_out(self, source: str, since: int) -> int:
        """Statements of a source stored at or after ``since`` were deleted: no session may go on from them.

        The job follows the source again from what is left; what was followed live since then begins anew.

        Returns:
            How many sessions went.
        """
        self._repository.mark(source, None)
        gone = self._repository.forget(source, live=False)
        return gone + self._repository.forget(source, live=True, since=since)

    def standings(self, source: Asked = None, since: int | None = None) -> list[Standings]:
        """Counts of sessions by source, order, profile, pattern and outcome."""
        return self._repository.standings(source, since)

    def breaks(self, source: Asked = None, since: int | None = None) -> list[Breaks]:
        """The commonest ways in which sessions went wrong."""
        return self._repository.breaks(source, since)

    # --- the job --------------------------------------------------------------------------------------

    def _follow(
        self, source: Source, held: Held, place: Position | None, fingerprint: str, check: Callable[[], None]
    ) -> Followed:
        """Follow what a source stored after a place, a chunk at a time; each is noted as read once it is followed."""
        before = self._reader.consistent_through()
        total = Followed(0, 0, 0)
        for events, read, end in self._chunks(source, held, before, place, check):
            changed = reordered = 0
            for follower, taken in zip(held.followers, events, strict=True):
                taken.sort(key=lambda event: (event.moment, event.stored))
                late = self._advance(source, follower, taken, live=False, check=check)
                keys = iter(late)
                while some := list(islice(keys, REORDERED_AT_ONCE)):
                    self._reorder(source, held, follower, some, before, check)
                changed += len({event.key for event in taken})
                reordered += len(late)
            total = Followed(total.statements + read, total.sessions + changed, total.reordered + reordered)
            self._repository.mark(source.id, Mark(end.stored, end.seen, fingerprint))
        return total

    def _chunks(
        self, source: Source, held: Held, before: int, place: Position | None, check: Callable[[], None]
    ) -> Iterator[tuple[list[list[_Event]], int, Position]]:
        """Of some ``CHUNK`` statements each: events for each follower, how many were read, the place after them."""
        events: list[list[_Event]] = [[] for _ in held.followers]
        read = 0
        for rows, end in self._pages(source, (), before, place, check):
            found = self._events(source, held, self._reader.decrypted(rows))
            # Not between two of the same moment: of those a session takes all, or it would pass over the later ones.
            if read >= CHUNK and place is not None and rows[0].stored > place.stored:
                yield events, read, place
                events, read = [[] for _ in held.followers], 0
            for taken, more in zip(events, found, strict=True):
                taken += more
            read += len(rows)
            place = end
        if read and place is not None:
            yield events, read, place

    def _pages(
        self,
        source: Source,
        registrations: Collection[str],
        before: int,
        place: Position | None,
        check: Callable[[], None],
    ) -> Iterator[tuple[list[Stored], Position]]:
        """The pages of a source's statements before a moment and after a place, of registrations or of all; each page's
        end.
        """
        ended = False
        while not ended:
            check()
            # Anew for each page: the index key may be replaced meanwhile.
            index = self._keys.index
            if registrations:
                # Not with the source's as well: MongoDB might go through all of the source's.
                tokens = tuple(chain.from_iterable(index.tokens(kinds.REGISTRATION, one) for one in registrations))
            else:
                tokens = index.tokens(kinds.SOURCE, source.id)
            wanted = Filter((tokens,), until=before - 1, through=False, moving=index.moving)
            rows, ended = self._statements.page(wanted, after=place, ascending=True, limit=PAGE)
            if rows:
                place = beyond(rows, place)
                yield [row for row in rows if row.source == source.id], place

    def _reorder(
        self,
        source: Source,
        held: Held,
        follower: Follower,
        keys: Sequence[SessionKey],
        before: int,
        check: Callable[[], None],
    ) -> None:
        """Follow whole sessions from their beginning, in order."""
        events: list[_Event] = []
        wanted = set(keys)
        read = 0
        for rows, _ in self._pages(source, {key.registration for key in keys}, before, None, check):
            for found in self._events(source, held, self._reader.decrypted(rows)):
                events += [event for event in found if event.key in wanted]
            read += len(rows)
            if read >= MAX_LENGTH:
                break
        if read >= MAX_LENGTH and len(keys) > 1:
            # One may be longer than is put in order, and must not cost the others theirs.
            for key in keys:
                self._reorder(source, held, follower, [key], before, check)
            return
        events.sort(key=lambda event: (event.moment, event.stored))
        self._advance(source, follower, events, live=False, anew=True)

    def _events(self, source: Source, held: Held, plain: Sequence[Plain]) -> list[list[_Event]]:
        """For each follower, the statements that are in sessions."""
        statements = [lossless.loads(each.body) for each in plain]
        keys = [[sessions.session_of(statement, follower) for follower in held.followers] for statement in statements]
        # What is in no session is checked only where others of the page may refer to it.
        within = [place for place, found in enumerate(keys) if any(found) or held.checker.refers]
        verdicts = self._profiles.verdicts(source, [statements[place] for place in within])
        events: list[list[_Event]] = [[] for _ in held.followers]
        for place, verdict in zip(within, verdicts, strict=True):
            subject, stored = plain[place].subject, plain[place].stored
            for follower, key, taken in zip(held.followers, keys[place], events, strict=True):
                if key is not None:
                    taken.append(self._event(source, follower, key, statements[place], subject, 0, stored, verdict))
        return events

    # --- both -----------------------------------------------------------------------------------------

    @staticmethod
    def _event(
        source: Source,
        follower: Follower,
        key: SessionKey,
        statement: Statement,
        subject: bytes,
        unsaid: int,
        stored: int,
        verdict: Verdict,
    ) -> _Event:
        """``unsaid``: the moment of a statement that does not say when it happened."""
        said = statement.get("timestamp")
        moment = unsaid if said is None else parse(said)
        return _Event(key, subject, moment, stored, followed(verdict, follower.profile, Mode(source.matching)))

    def _token(self, source: str, key: SessionKey, live: bool) -> bytes:
        return self._keys.mac("pattern-session", orjson.dumps([source, live, *key]))[:_TOKEN_BYTES]

    def _advance(
        self,
        source: Source,
        follower: Follower,
        events: Sequence[_Event],
        *,
        live: bool,
        anew: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> set[SessionKey]:
        """Take each session's next statements into its state; those of which some come before what it has."""
        together: dict[SessionKey, list[_Event]] = {}
        for event in events:
            together.setdefault(event.key, []).append(event)
        late: set[SessionKey] = set()
        keys = iter(together)
        while some := list(islice(keys, AT_ONCE)):
            check()
            by_session: Mapping[bytes, Sequence[_Event]]
            by_session = {self._token(source.id, key, live): together[key] for key in some}
            for _ in range(_TRIES):
                by_session = self._take(source, follower, by_session, late, live=live, anew=anew)
                if not by_session:
                    break
            else:
                _log.warning("sessions given up", source=source.id, sessions=len(by_session))
        return late

    def _take(
        self,
        source: Source,
        follower: Follower,
        by_session: Mapping[bytes, Sequence[_Event]],
        late: set[SessionKey],
        *,
        live: bool,
        anew: bool,
    ) -> Mapping[bytes, Sequence[_Event]]:
        """Advance sessions, once; what is left because others wrote the same sessions meanwhile."""
        found = self._repository.get(by_session)
        named = {event.subject for given in by_session.values() for event in given}
        opened = self._subjects.existing(named | {row.subject for row in found.values()})
        rows = []
        for token, given in by_session.items():
            given = [event for event in given if event.subject in opened]  # others were erased meanwhile
            row = found.get(token)
            if not given or (row is not None and row.subject not in opened):
                continue
            subject = given[0].subject if row is None else row.subject
            kept = None if row is None or anew else self._decrypted(row, opened[subject], follower)
            if kept is not None and not live:
                given = [event for event in given if event.stored > kept.stored]
                if not given:
                    continue
                if given[0].moment < kept.last:
                    late.add(given[0].key)
                    continue
            rows.append(self._row(source, follower, live, token, given, kept, row, subject, opened[subject]))
        lost = self._repository.put(rows, self._random(_BY_BYTES))
        return {token: given for token, given in by_session.items() if token in lost}

    def _row(
        self,
        source: Source,
        follower: Follower,
        live: bool,
        token: bytes,
        events: Sequence[_Event],
        kept: _Kept | None,
        row: SessionRow | None,
        subject: bytes,
        key: Any,
    ) -> SessionRow:
        states = None if kept is None else sessions.restore(follower, kept.states)
        if states is None:
            states = sessions.start(follower)
        for event in events:
            states = sessions.advance(follower, states, event.templates)
        stands = sessions.standing(follower, states)
        last = max(events[-1].moment, -1 if kept is None else kept.last)
        through = max(max(event.stored for event in events), 0 if kept is None else kept.stored)
        plain = orjson.dumps([sessions.dump(follower, states), last, through])
        sealed = encryption.encrypt(key, self._keys.organisation, encryption.session_place(token), plain, self._random)
        fault = None if stands.broken is None else Fault(*stands.broken)
        return SessionRow(
            token,
            source.id,
            live,
            follower.profile,
            stands.pattern,
            stands.progress.value,
            fault,
            subject,
            self._now_us(),
            0 if row is None else row.revision,
            sealed,
        )

    def _decrypted(self, row: SessionRow, key: Any, follower: Follower) -> _Kept | None:
        plain = encryption.decrypt(key, self._keys.organisation, encryption.session_place(row.id), row.state)
        return None if plain is None else _Kept(*orjson.loads(plain))
