"""The way out: one statement by id, or pages in the order they were stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from app import lossless
from app.errors import BadCursor, NotFound, Unsealable
from app.ingest import tokens
from app.ingest.attachments import Attachments, Data
from app.storage import clock
from app.storage.person_states import States
from app.storage.processes import Presence
from app.storage.sealed_reader import SealedReader
from app.storage.statements import Filter, Plain, Position, Statements, Stored, beyond
from app.vault import kinds
from app.vault.keys import OrganisationKeys
from app.xapi import Statement
from app.xapi.activities import Definition, activities_in
from app.xapi.formats import as_1_0_3, as_canonical, as_ids, needs_2
from app.xapi.identifiers import agent_identifier
from app.xapi.query import StatementQuery
from app.xapi.versions import Version

MOST_BYTES = 32 * 1024 * 1024
"""Of JSON in one page, but for its first statement: a page holds fewer than asked when they are large."""


_REFILLS = 5
"""How often a page from which restricted persons were left out is filled up; it may stay shorter than asked."""


class Reader(NamedTuple):
    """Who reads.

    Attributes:
        credential: Public id of the credential.
        mine: Set when only the statements of that source may be seen.
        version: Of the request: a reader in 1.0.3 is not given what came with 2.0, unless it asks for ``exact``.
    """

    credential: str
    mine: str | None
    version: Version = Version.V2


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


class Library:
    """Answers queries for statements. Safe to share between threads."""

    def __init__(
        self,
        *,
        statements: Statements,
        reader: SealedReader,
        keys: OrganisationKeys,
        presence: Presence,
        sources: Callable[[], Sequence[str]],
        public_url: str,
        page_limit: int,
        definitions: Callable[[Iterable[str]], Mapping[str, Definition]],
        attachments: Attachments,
        states: Callable[[], States],
    ) -> None:
        """``sources`` gives the ids of the registered sources, for queries by authority.

        ``definitions`` gives what is known of activities, by IRI; ``states`` says who is restricted.
        """
        self._statements = statements
        self._reader = reader
        self._keys = keys
        self._presence = presence
        self._sources = sources
        self._public_url = public_url
        self._page_limit = page_limit
        self._definitions = definitions
        self._attachments = attachments
        self._states = states

    def consistent_through(self) -> int:
        """Microseconds: no statement with an earlier ``stored`` can still appear."""
        return self._presence.consistent_through()

    def one(
        self,
        identity: UUID,
        who: Reader,
        *,
        voided: bool,
        form: str = "exact",
        as_kept: bool = False,
        languages: Sequence[str] = (),
        attachments: bool = False,
    ) -> One:
        """One statement; ``form``, ``as_kept`` and ``attachments`` as in ``StatementQuery``.

        Raises:
            NotFound: no such statement, of the other kind (voided or not), erased, restricted, or not for this reader.
        """
        found = self._statements.get(identity)
        # xAPI-Communication 2.1.3: statementId does not give a voided statement, voidedStatementId no other.
        if found is None or found.voided is not voided or (who.mine is not None and found.source != who.mine):
            raise NotFound("No such statement, or not one that these credentials may see.")
        # GDPR art. 18(2): what is restricted is stored, and no more.
        plain = None if found.subject in self._states().restricted else self._reader.one(found)
        if plain is None:
            raise NotFound("No such statement, or not one that these credentials may see.")
        data = self._data([plain]) if attachments else ()
        return One(
            self._formed([plain.body], form, languages, _understood(who, as_kept))[0], plain.stored, data, plain.subject
        )

    def page(self, query: StatementQuery, who: Reader, *, languages: Sequence[str] = ()) -> Page:
        """The first page of a query."""
        generation = self._keys.index.newest
        named = tokens.named(self._keys, query, mine=who.mine)
        wanted = tokens.of_query(self._keys, query, mine=who.mine, authority_source=self._authority(query))
        limit = min(query.limit or self._page_limit, self._page_limit)
        subject = None if query.agent is None else self._keys.subject(query.agent).hex()
        asked = Asked(
            wanted, subject, query.ascending, limit, query.format, query.as_kept, query.attachments, generation, named
        )
        return self._page(asked, who, None, languages)

    def next_page(self, cursor: str, who: Reader, *, languages: Sequence[str] = ()) -> Page:
        """The page that a cursor names.

        Raises:
            BadCursor: altered, or made for other credentials.
        """
        asked, after = self._read_cursor(cursor, who)
        return self._page(asked, who, after, languages)

    def _page(self, asked: Asked, who: Reader, after: Position | None, languages: Sequence[str]) -> Page:
        found = self._found(asked, after)
        opened, gone, _ = self._reader.opened_within(found.rows, MOST_BYTES)
        shown = found.rows[:gone]
        whole = gone == len(found.rows)
        place = found.after if whole else beyond(shown, after)
        ended = found.ended and whole
        return Page(
            tuple(
                self._formed([plain.body for plain in opened], asked.form, languages, _understood(who, asked.as_kept))
            ),
            None if place is None or ended else self._write_cursor(asked, place, who),
            tuple(asked.named),
            shown[0].stored if shown else None,
            shown[-1].stored if shown else None,
            asked.form,
            self._data(opened) if asked.attachments else None,
        )

    def _found(self, asked: Asked, after: Position | None) -> _Found:
        states = self._states()
        if asked.subject is not None and bytes.fromhex(asked.subject) in states.restricted:
            # Whoever asks for a restricted person learns nothing, where others mention them neither.
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

    def _data(self, opened: Sequence[Plain]) -> Sequence[Data]:
        return self._attachments.of([(plain, lossless.loads(plain.body)) for plain in opened])

    def _formed(self, bodies: Sequence[bytes], form: str, languages: Sequence[str], understood: Version) -> list[bytes]:
        if form == "canonical":
            statements = [_decoded(body, understood) for body in bodies]
            mentioned = {activity for statement in statements for activity in activities_in(statement)}
            definitions = self._definitions(mentioned)
            return [lossless.dumps(as_canonical(statement, languages, definitions)) for statement in statements]
        if form == "ids":
            return [lossless.dumps(as_ids(_decoded(body, understood))) for body in bodies]
        if understood is Version.V1:
            return [lossless.dumps(as_1_0_3(lossless.loads(body))) if needs_2(body) else body for body in bodies]
        return list(bodies)

    def _authority(self, query: StatementQuery) -> str | None:
        # The queried agent is an authority exactly when it is this store's account of a source.
        if query.agent is None or not query.related_agents:
            return None
        for source in self._sources():
            if query.agent == agent_identifier({"account": {"homePage": self._public_url, "name": source}}):
                return source
        return None

    def _write_cursor(self, asked: Asked, after: Position, who: Reader) -> str:
        # Tokens, not what was asked: an address stays short. Sealed, not only signed: URLs are logged by proxies, and
        # tokens tell two queries for one person.
        wanted = asked.wanted
        content = {
            "tokens": [[token.hex() for token in alternatives] for alternatives in wanted.tokens],
            "since": wanted.since,
            "until": wanted.until,
            "asked": asked[1:],
            "stored": after.stored,
            "seen": after.seen,
        }
        return self._keys.seal_cursor(_place(who), orjson.dumps(content), clock.today())

    def _read_cursor(self, cursor: str, who: Reader) -> tuple[Asked, Position]:
        try:
            content: dict[str, Any] = orjson.loads(self._keys.open_cursor(_place(who), cursor, clock.today()))
            groups = tuple(tuple(map(bytes.fromhex, alternatives)) for alternatives in content["tokens"])
            # What these credentials may see is settled now, not when the first page was asked for.
            index = self._keys.index
            mine = () if who.mine is None else index.tokens(kinds.SOURCE, who.mine)
            wanted = Filter(groups, content["since"], content["until"], mine, moving=index.moving)
            asked = Asked(wanted, *content["asked"])
            after = Position(content["stored"], tuple(map(UUID, content["seen"])))
        except (ValueError, KeyError, TypeError, Unsealable):
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
    return Version.V2 if as_kept else who.version


def _decoded(body: bytes, understood: Version) -> Statement:
    statement: Statement = lossless.loads(body)
    return as_1_0_3(statement) if understood is Version.V1 and needs_2(body) else statement


def _place(who: Reader) -> str:
    return f"cursor:{who.credential}"
