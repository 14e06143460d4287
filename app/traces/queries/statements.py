"""The way out: one statement by id, or pages in the order they were stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from app.access.reach import Reach
from app.access.restrictions.store import DataSubjectStates
from app.access.store import SourceRepository
from app.core import clock, lossless
from app.core.errors import BadCursor, DecryptionFailed, NotFound
from app.crypto import kinds
from app.crypto.keys import OrganisationKeys
from app.platform.cluster.membership import Presence
from app.standards.xapi import Statement
from app.standards.xapi.activities import activities_in
from app.standards.xapi.formats import as_canonical, as_ids, described, exceeds, within
from app.standards.xapi.identifiers import agent_identifier
from app.standards.xapi.languages import ANY, Languages
from app.standards.xapi.query import Repeated, StatementQuery, refuse_other
from app.standards.xapi.versions import NEWEST, Version
from app.traces.statements import index_tokens as tokens
from app.traces.statements.activities import AT_ONCE, Activities
from app.traces.statements.attachments import Attachments, Data
from app.traces.statements.index_tokens import ReachBounds
from app.traces.statements.reader import StatementReader
from app.traces.statements.store import Bounds, Filter, Plain, Position, Statements, Stored, beyond
from app.traces.statements.whereabouts import day_of, whereabouts
from app.traces.statements.whereabouts_entries import WhereaboutsEntries
from app.traces.turns import Turns

MAX_BYTES = 8 * 1024 * 1024
"""Of JSON in one page, as kept and in the form asked for: a page holds fewer than asked when they are large.

The statement with which it is reached is the last one, so that there is always one.
"""

MAX_DEFINITIONS_BYTES = 1024 * 1024
"""Of what the store knows of activities, in one statement in canonical form: beyond, the statement says its own.

With the activity with which it is reached: a definition has 64 KiB at most, and a statement of 1 MiB names thousands.
"""

_RELATED = ("related_agents", "related_activities")
_NAMED = {
    "agent": kinds.AGENT,
    "verb": kinds.VERB,
    "activity": kinds.ACTIVITY,
    "registration": kinds.REGISTRATION,
}

# Statements whose activities are looked up together, decoded: so many activities, so many bytes as kept.
_LOOKED_UP_ACTIVITIES = AT_ONCE
_LOOKED_UP_BYTES = 2 * 1024 * 1024
# Of definitions that are kept at hand for the next statements of a page.
_AT_HAND_BYTES = 16 * 1024 * 1024

# What a statement takes decoded, at least, in the size that it is kept in.
_DECODED_TIMES = 8

_REFILLS = 5
"""Times that a page from which restricted data subjects were left out is filled up; it may stay shorter than asked."""


class Reader(NamedTuple):
    """The reader of a query.

    Attributes:
        credential: Public id of the credential.
        mine: Set when only the statements of that source may be seen.
        version: Of the request: a reader is not given what came with a later one, unless it asks for ``exact``.
        reach: Reach of its perimeter, outside of which it is given nothing; None: everything.
    """

    credential: str
    mine: str | None
    version: Version = NEWEST
    reach: Reach | None = None


class One(NamedTuple):
    """A statement.

    Attributes:
        body: Its JSON.
        stored: When it was stored, microseconds since 1970 UTC.
        data: The data of its attachments, if asked.
        subject: Token of the learner whose key sealed it, for the audit log.
    """

    body: bytes
    stored: int
    data: Sequence[Data]
    subject: bytes


class Asked(NamedTuple):
    """A query as it goes on from page to page: what to find, how many at a time, in which form.

    Attributes:
        subject: Hexadecimal subject token of the agent that is asked for, if one is.
        generation: The latest of the index key that its tokens are of.
        named: What it asks for, as the audit log says it.
        related: Which of ``related_agents`` and ``related_activities`` it set; None in cursors that did not say yet.
    """

    wanted: Filter
    subject: str | None
    ascending: bool
    limit: int
    form: str
    as_kept: bool
    attachments: bool
    generation: int
    named: Sequence[str]
    related: Sequence[str] | None = None


class _Found(NamedTuple):
    """The rows of a page that may be seen, the place after all that was read, and whether nothing follows it."""

    rows: list[Stored]
    after: Position | None
    ended: bool


class Page(NamedTuple):
    """A page: the JSON of each statement, and the cursor of the next page if there is one.

    Attributes:
        bodies: JSON bytes of each statement, in order.
        cursor: What gets the next page, URL-safe; None at the end.
        tokens: What the query asks for, as tokens in hexadecimal: fit for the audit log.
        first: ``stored`` of the first statement, microseconds; None for an empty page.
        last: ``stored`` of the last one.
        form: ``exact``, ``ids`` or ``canonical``.
        data: The data of their attachments, each digest once; None when they were not asked for.
    """

    bodies: tuple[bytes, ...]
    cursor: str | None
    tokens: tuple[str, ...]
    first: int | None
    last: int | None
    form: str
    data: Sequence[Data] | None


class StatementQueries:
    """Answers queries for statements. Safe to share between threads."""

    def __init__(
        self,
        *,
        statements: Statements,
        reader: StatementReader,
        keys: OrganisationKeys,
        presence: Presence,
        sources: SourceRepository,
        public_url: str,
        page_limit: int,
        activities: Activities,
        attachments: Attachments,
        states: DataSubjectStates,
        turns: Turns,
        bounds: ReachBounds,
        entries: WhereaboutsEntries,
        zone: ZoneInfo,
    ) -> None:
        """``sources`` gives the ids of the registered sources, for queries by authority.

        ``definitions`` gives what is known of activities, by IRI, one after the other; ``states`` says who is
        restricted.

        ``bounds`` are those of readers with a perimeter, ``entries`` says whether they can be held to; ``zone`` is that
        of the days of events.
        """
        self._bounds = bounds
        self._entries = entries
        self._zone = zone
        self._statements = statements
        self._reader = reader
        self._keys = keys
        self._presence = presence
        self._sources = sources
        self._public_url = public_url
        self._page_limit = page_limit
        self._activities = activities
        self._attachments = attachments
        self._states = states
        self._turns = turns

    def consistent_through(self) -> int:
        """Microseconds: no statement with an earlier ``stored`` can still appear."""
        return self._presence.consistent_through()

    def one(
        self,
        id: UUID,
        who: Reader,
        *,
        voided: bool,
        form: str = "exact",
        as_kept: bool = False,
        languages: Languages = ANY,
        attachments: bool = False,
    ) -> One:
        """One statement; ``form``, ``as_kept`` and ``attachments`` as in ``StatementQuery``.

        Raises:
            NotFound: no such statement, of the other kind (voided or not), erased, restricted, or not for this reader.
            OutsidePerimeter: so for a reader with a perimeter, or it lies outside: the answer does not say which, as
                it would tell that there is one.
        """
        if who.reach is not None:
            who.reach.require_something()
        try:
            return self._one(id, who, voided, form, as_kept, languages, attachments)
        except NotFound:
            if who.reach is None:
                raise
        raise who.reach.refusal("No statement of this id is within the perimeter of this key.", "statement")

    def _one(
        self, id: UUID, who: Reader, voided: bool, form: str, as_kept: bool, languages: Languages, attachments: bool
    ) -> One:
        found = self._statements.get(id)
        # xAPI-Communication 2.1.3: statementId does not give a voided statement, voidedStatementId no other.
        if found is None or found.voided is not voided or (who.mine is not None and found.source != who.mine):
            raise NotFound("No such statement, or not one that these credentials may see.")
        # GDPR art. 18(2): what is restricted is stored, and no more.
        plain = None if found.subject in self._states.current().restricted else self._reader.one(found)
        if plain is None or not self._within(plain, who.reach):
            raise NotFound("No such statement, or not one that these credentials may see.")
        data = self._attachments.first_of([plain])[0] if attachments else ()
        with self._turn([plain.body], form):
            (body,) = self._formed([plain.body], form, languages, _understood(who, as_kept))
        return One(body, plain.stored, data, plain.subject)

    def _within(self, plain: Plain, reach: Reach | None) -> bool:
        """True if a statement lies within a reach; told by what it says, whatever it is found by."""
        if reach is None:
            return True
        where = whereabouts(lossless.loads(plain.body), plain.stored, self._zone)
        day = day_of(where, plain.stored, self._zone)
        return (
            (reach.sources is None or plain.source in reach.sources)
            and (reach.schools is None or where.school in reach.schools)
            and (reach.since is None or day >= reach.since.isoformat())
            and (reach.until is None or day <= reach.until.isoformat())
        )

    def bounds(self, who: Reader) -> Bounds | None:
        """The bounds of what a reader may see; None: there are none.

        Raises:
            OutsidePerimeter: nothing lies within its perimeter.
            Unavailable: the entries by which they are held to are still being made.
        """
        return None if who.reach is None else self._bounds_of(who.reach)

    def _bounds_of(self, reach: Reach) -> Bounds:
        reach.require_something()
        bounds = self._bounds.of(reach)
        if reach.schools is not None or reach.since is not None or reach.until is not None:
            self._entries.require()
        return bounds

    def require_named(self, activity: str, who: Reader) -> None:
        """Refuse what is known of an activity to a reader within whose perimeter no statement names it.

        Raises:
            OutsidePerimeter: it is so.
            Unavailable: as of ``bounds``.
        """
        if who.reach is None:
            return
        bounds = self._bounds_of(who.reach)
        index = self._keys.index
        named = index.tokens(kinds.ACTIVITY, activity) + index.tokens(kinds.RELATED_ACTIVITY, activity)
        wanted = Filter((named,), through=False, moving=index.moving, bounds=bounds)
        if not self._statements.page(wanted, after=None, ascending=False, limit=1).rows:
            raise who.reach.refusal("No statement within the perimeter of this key names this activity.", "activity")

    def page(self, query: StatementQuery, who: Reader, *, languages: Languages = ANY) -> Page:
        """The first page of a query.

        Raises:
            OutsidePerimeter: it asks for a source or an interval that lies outside the perimeter of the reader.
            Unavailable: the entries by which it is held to are still being made.
        """
        generation = self._keys.index.newest
        named = tokens.named(self._keys, query, mine=who.mine)
        authority, bounds = self._authority(query), None
        if who.reach is not None:
            bounds = self._bounds_of(who.reach)
            if authority is not None and who.reach.sources is not None and authority not in who.reach.sources:
                raise who.reach.refusal("This source is outside the perimeter of this key.", "source")
            # Nothing is stored before it happens: until then there was nothing of these days.
            if query.until is not None and bounds.since is not None and query.until < bounds.since:
                raise who.reach.refusal("Nothing stored by then is within the perimeter of this key.", "dates")
        wanted = tokens.of_query(self._keys, query, mine=who.mine, authority_source=authority, bounds=bounds)
        limit = min(query.limit or self._page_limit, self._page_limit)
        subject = None if query.agent is None else self._keys.subject(query.agent).hex()
        asked = Asked(
            wanted,
            subject,
            query.ascending,
            limit,
            query.format,
            query.as_kept,
            query.attachments,
            generation,
            named,
            [name for name in _RELATED if getattr(query, name)],
        )
        return self._page(asked, who, None, languages)

    def next_page(
        self, cursor: str, who: Reader, *, repeated: Repeated | None = None, languages: Languages = ANY
    ) -> Page:
        """The page that a cursor names.

        Args:
            cursor: Of the page before.
            who: The reader whom that was given to.
            repeated: What the client says beside it. A ``limit`` counts, from this page on; all else must be what the
                cursor goes on with.
            languages: Those that the reader wants.

        Raises:
            BadCursor: altered, or made for other credentials.
            BadParameter: the client asks for something else than the cursor.
        """
        asked, after = self._read_cursor(cursor, who)
        if repeated is not None:
            self._require_same(asked, repeated, who)
            if "limit" in repeated.names:
                asked = asked._replace(limit=min(repeated.query.limit, self._page_limit))
        return self._page(asked, who, after, languages)

    def _require_same(self, asked: Asked, repeated: Repeated, who: Reader) -> None:
        # Tokens that outlive the index key are compared, for a cursor does not hold what was asked.
        query, wanted, named = repeated.query, asked.wanted, set(asked.named)
        same: dict[str, bool] = {
            "since": query.since == wanted.since,
            "until": query.until == wanted.until,
            "ascending": query.ascending == asked.ascending,
            "format": (query.format, _understood(who, query.as_kept)) == (asked.form, _understood(who, asked.as_kept)),
            "attachments": query.attachments == asked.attachments,
        }
        for name in _RELATED:
            same[name] = asked.related is None or getattr(query, name) == (name in asked.related)
        for name, kind in _NAMED.items():
            value = getattr(query, name)
            same[name] = value is not None and self._keys.named(kind, value).hex() in named
        for name in sorted(repeated.names):
            if not same.get(name, True):
                refuse_other(name)

    def _page(self, asked: Asked, who: Reader, after: Position | None, languages: Languages) -> Page:
        found = self._found(asked, after)
        opened, gone, _ = self._reader.decrypted_within(found.rows, MAX_BYTES)
        kept = [plain.body for plain in opened]
        bodies: list[bytes] = []
        total = 0
        with self._turn(kept, asked.form):
            # Measured as it is answered: a form may be longer than what is kept.
            for body in self._formed(kept, asked.form, languages, _understood(who, asked.as_kept)):
                bodies.append(body)
                total += len(body)
                if total >= MAX_BYTES:
                    break
        data, count = None, len(bodies)
        if asked.attachments:
            data, count = self._attachments.first_of(opened[:count])
        if count < len(opened):
            # Up to the last one that is answered: what follows it, erased ones too, is for the next page.
            gone = next(place for place, row in enumerate(found.rows, 1) if row.id == opened[count - 1].id)
        shown = found.rows[:gone]
        whole = gone == len(found.rows)
        place = found.after if whole else beyond(shown, after)
        ended = found.ended and whole
        return Page(
            tuple(bodies[:count]),
            None if place is None or ended else self._write_cursor(asked, place, who),
            tuple(asked.named),
            shown[0].stored if shown else None,
            shown[-1].stored if shown else None,
            asked.form,
            data,
        )

    def _turn(self, bodies: Sequence[bytes], form: str) -> AbstractContextManager[None]:
        return self._turns.answer(sum(map(len, bodies)) * (1 if form == "exact" else _DECODED_TIMES))

    def _found(self, asked: Asked, after: Position | None) -> _Found:
        states = self._states.current()
        if asked.subject is not None and bytes.fromhex(asked.subject) in states.restricted:
            # Whoever asks for a restricted data subject learns nothing, where others mention them neither.
            return _Found([], None, True)
        rows: list[Stored] = []
        hidden: set[bytes] = set()
        ended = True
        for _ in range(_REFILLS):
            found, ended = self._statements.page(
                asked.wanted,
                after=after,
                ascending=asked.ascending,
                limit=asked.limit - len(rows),
                without=hidden,
            )
            after = beyond(found, after) if found else after
            met = {row.subject for row in found if row.subject in states.restricted} if states.restricted else set()
            rows += [row for row in found if row.subject not in met] if met else found
            if ended or not met:
                break
            # Those met are passed over by the database from here on: a thousand statements of one cost one more query.
            hidden |= met
        return _Found(rows, after, ended)

    def _formed(self, bodies: Sequence[bytes], form: str, languages: Languages, understood: Version) -> Iterator[bytes]:
        """Each statement as it is answered, made when it is asked for: few are decoded at a time."""
        if form == "canonical":
            yield from self._canonical(bodies, languages, understood)
        elif form == "ids":
            for body in bodies:
                yield lossless.dumps(as_ids(_decoded(body, understood)))
        elif understood.spec.unknown:
            for body in bodies:
                yield lossless.dumps(within(lossless.loads(body), understood)) if exceeds(body, understood) else body
        else:
            yield from bodies

    def _canonical(self, bodies: Sequence[bytes], languages: Languages, understood: Version) -> Iterator[bytes]:
        # As written, for they are named over and over, and decoded they take twenty times as much. None: not known.
        at_hand: dict[str, bytes | None] = {}
        held = 0
        for statements, named in _together(bodies, understood):
            if held > _AT_HAND_BYTES:
                at_hand, held = {}, 0
            sought = [id for id in named if id not in at_hand]
            looked_up = 0
            for id, definition in self._activities.definitions(sought):
                written = described(definition, languages)
                at_hand[id] = written
                looked_up += len(written)
                # Alone, a statement may name thousands. By the time that it names another one it is told no more.
                if looked_up >= MAX_DEFINITIONS_BYTES and len(statements) == 1:
                    break
            else:
                at_hand.update({id: None for id in sought if id not in at_hand})
            held += looked_up
            for statement in statements:
                yield lossless.dumps(as_canonical(statement, languages, _Definitions(at_hand)))

    def _authority(self, query: StatementQuery) -> str | None:
        # The queried agent is an authority exactly when it is this store's account of a source.
        if query.agent is None or not query.related_agents:
            return None
        for source in (each.id for each in self._sources.list()):
            if query.agent == agent_identifier({"account": {"homePage": self._public_url, "name": source}}):
                return source
        return None

    def _write_cursor(self, asked: Asked, after: Position, who: Reader) -> str:
        # Tokens, not what was asked: an address stays short. Sealed, not only signed: URLs are logged by proxies, and
        # tokens tell two queries for one data subject.
        wanted = asked.wanted
        content = {
            "tokens": [[token.hex() for token in alternatives] for alternatives in wanted.tokens],
            "since": wanted.since,
            "until": wanted.until,
            "asked": asked[1:],
            "stored": after.stored,
            "seen": after.seen,
        }
        return self._keys.encrypt_cursor(_place(who), orjson.dumps(content), clock.today())

    def _read_cursor(self, cursor: str, who: Reader) -> tuple[Asked, Position]:
        try:
            content: dict[str, Any] = orjson.loads(self._keys.decrypt_cursor(_place(who), cursor, clock.today()))
            groups = tuple(tuple(map(bytes.fromhex, alternatives)) for alternatives in content["tokens"])
            # What these credentials may see is settled now, not when the first page was asked for.
            index = self._keys.index
            mine = () if who.mine is None else index.tokens(kinds.SOURCE, who.mine)
            wanted = Filter(groups, content["since"], content["until"], mine, moving=index.moving)
            asked = Asked(wanted._replace(bounds=self.bounds(who)), *content["asked"])
            after = Position(content["stored"], tuple(map(UUID, content["seen"])))
        except (ValueError, KeyError, TypeError, DecryptionFailed):
            raise BadCursor(
                "This cursor was altered, or was made for other credentials. Start the query again from its first page."
            ) from None
        if groups and asked.generation < index.writing.generation:
            raise BadCursor(
                "The key by which statements are found was replaced since this cursor was made. Start the query again "
                "from its first page, or with `since` from the last statement received."
            )
        return asked, after


def _understood(who: Reader, as_kept: bool) -> Version:
    # Whoever asks for `exact` takes statements over as they are, whatever they hold.
    return NEWEST if as_kept else who.version


def _decoded(body: bytes, understood: Version) -> Statement:
    statement: Statement = lossless.loads(body)
    return within(statement, understood) if exceeds(body, understood) else statement


class _Definitions:
    """Definitions of the activities that one statement names, until they are ``MAX_DEFINITIONS_BYTES``."""

    def __init__(self, at_hand: Mapping[str, bytes | None]) -> None:
        self._at_hand = at_hand
        self._given = 0

    def __call__(self, id: str) -> bytes | None:
        known = None if self._given >= MAX_DEFINITIONS_BYTES else self._at_hand.get(id)
        self._given += len(known or b"")
        return known


def _together(bodies: Sequence[bytes], understood: Version) -> Iterator[tuple[list[Statement], dict[str, None]]]:
    """Statements whose activities are looked up together, at least one, and these activities in order."""
    statements: list[Statement] = []
    named: dict[str, None] = {}
    length = 0
    for body in bodies:
        statement = _decoded(body, understood)
        its = dict.fromkeys(activities_in(statement))
        length += len(body)
        fresh = sum(each not in named for each in its)
        if statements and (length > _LOOKED_UP_BYTES or len(named) + fresh > _LOOKED_UP_ACTIVITIES):
            yield statements, named
            statements, named, length = [], {}, len(body)
        statements.append(statement)
        named |= its
    if statements:
        yield statements, named


def _place(who: Reader) -> str:
    return f"cursor:{who.credential}"
