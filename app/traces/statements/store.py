"""The statements: sealed documents, blind index entries, in the order of ``stored``.

Two processes may stamp the same microsecond, so what goes on from a place says which statements of its ``stored`` were
seen; a process stamps each microsecond once, so they are few.

Document of a statement::

    _id      UUID        statement id
    stored   int64       microseconds since 1970, UTC; the order of everything
    source   str         id of the source, clear
    subject  binary(16)  token of the learner whose key seals the body
    t        [binary(12)] blind index entries: source, agents, verb, activities, registration, related ones, school; of
                         one that is late, month and day of the event
    e        int         1: it was stored on the day of the event, 2: later; absent where a version without
                         entries of schools stored it, until the job ``reindex`` has made them
    print    binary(16)  keyed fingerprint of what was sent: equal for a retry in the same words
    body     binary      sealed JSON, see ``app/crypto/bodies.py``
    v        int         profile verdict (absent: not checked)
    p        [int, ...]  templates that matched: number from the collection ``templates``, negative when failed
    c        int64       conditions under which it was taken in, see ``app/traces/ingest/repeats.py``; absent where the
                         same again is to be looked at anew
    void     true        voided, or waiting to be: absent otherwise
    ref      UUID        the statement that its object is (StatementRef), if it is one
    refs     [{i, t}]    of each statement that ``ref`` leads to, nearest first: id and tokens, ``MAX_CARRIED`` in all;
                         absent if none is there

A *placeholder* has no ``stored``: its statement is not there yet, and others name it. ``void`` and ``by``: the sources
that voided it (null: one that may void anything). ``wait``: how often a chain of references was found to end there.
The unique index on ``_id`` then tells the statement's writer, and a transaction that reads a chain conflicts with the
one that makes it longer.

When a statement comes that thousands of chains wait for, they are linked afterwards, some at a time. Until then it
stands in ``linking``, which its transaction writes::

    _id      UUID        the statement; later, those among its referrers that have referrers themselves
    depth    int         how many references lead from them to the statement that came, and one
    after    UUID        referrers up to this one are linked; absent at first
    until    date        somebody is at it until then; absent otherwise
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from struct import Struct
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeGuard, cast
from uuid import UUID

import structlog
from bson import decode
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.cursor import RawBatchCursor
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from app.core import clock
from app.core.errors import DatabaseUnavailable
from app.core.personal_data import Impersonal, Personal
from app.core.uuids import uuid_of
from app.platform.cluster.membership import Writing
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Document, Store, taken_places, translated
from app.platform.mongo.first_batch import Batch, by_either, by_index, first_batch, joined
from app.platform.mongo.group_commit import GroupCommit

NAME = "statements"
LINKING = "linking"
ON_TIME, LATE = 1, 2
"""Values of ``e``."""
COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="statements, encrypted with their learners' keys; school and day as blind index entries",
            locate="subject token; blind index entries of agents",
            export="statements",
            erase="with the key, then the documents; mentions in statements of others are redacted",
            retain="durations of the processing activity; end of an account, a source or an activity",
            restore="erased again by tombstones; keys destroyed since do not come back",
            apart={
                "export": "`app/people/access_package/subject_access_export.py`: one mask for all others; what they "
                "tell of documents, attachments and recipients is gathered as they are read",
                "retain": "`app/retention/store.py`: by tokens of their source, counted by the index alone",
            },
        ),
        (
            Index("order", (("stored", 1),), packed=True),
            Index("tokens", (("t", 1), ("stored", 1)), packed=True),
            Index("referrers", (("ref", 1), ("_id", 1)), only_with="ref", packed=True),
            Index("referred", (("refs.t", 1), ("stored", 1)), only_with="refs", packed=True),
        ),
        packed=True,
    ),
    Declared(LINKING, Impersonal("ids of statements whose references are being carried")),
)

_log = structlog.stdlib.get_logger("sillage.statements")

# Many who refer at once to one statement that is not there yet write one placeholder: each round one gets through.
ATTEMPTS = 12
_MAX_WAIT_SECONDS = 0.1

_DUPLICATE = 11000
# A body larger than this goes alone, so that nobody waits for it but its sender.
_MAX_SHARED_BYTES = 256 * 1024
# Of sealed bodies in one page; MongoDB sends 16 MiB at a time.
MAX_BYTES = 16 * 1024 * 1024

# A chain of references is followed this far, down to its end and up to those that refer.
CHAIN = 20

# Most referrers that one transaction links. MongoDB cuts transactions off after a minute: anybody can make thousands of
# statements wait for an id, and must not keep that one from being stored.
LINKED_AT_ONCE = 1_000
# Of these, so many are held with what they lead to: each may lead to twenty, and carry all that is carried.
_LINKED_TOGETHER = 200

MAX_CARRIED = 256
"""Most tokens that a statement carries of all those it leads to, the nearest first.

Each is an index entry: a statement of 200 bytes could otherwise have 200,000. Twenty that name a dozen agents and
activities each are carried whole.
"""
MERGED_AT_ONCE = 200
"""Tokens of one group that one query asks for.

Their entries are read in the order of ``stored`` and merged; of more MongoDB would read all there are, and sort.
"""
_PROBED_TIMES = 5
"""Of the statements of a page, how many are looked at before the tokens of a long group are asked for in parts."""
_FEW = 1_000
"""Statements that are read at once sooner than by the parts of a long group."""
CARRIED_AT_ONCE = 128_000
"""Tokens that those may carry together that are linked in one transaction; when they are more than 500, each the less.

It is to end before MongoDB cuts it off, and to fit into its cache.
"""
MIN_CARRIED = 16
"""Tokens that each may carry all the same: those of an ordinary statement whole."""

_LINKING_TIME = timedelta(seconds=30)


class Row(NamedTuple):
    """A sealed statement, ready to store.

    Attributes:
        earlier_fingerprints: Its ``fingerprint`` under other generations of the index key, if it is stored already.
        conditions: Conditions under which it is taken in; None where the same again is to be looked at anew.
        late: It is stored on a later day than that of the event.
    """

    id: UUID
    stored: int
    source: str
    subject: bytes
    tokens: tuple[bytes, ...]
    fingerprint: bytes
    body: bytes
    verdict: int | None = None
    templates: tuple[int, ...] = ()
    refers: UUID | None = None
    earlier_fingerprints: tuple[bytes, ...] = ()
    conditions: int | None = None
    late: bool = False


class Known(NamedTuple):
    """A stored statement as it is told from others, without its body.

    Attributes:
        conditions: As of ``Row``.
    """

    source: str
    subject: bytes
    fingerprint: bytes
    verdict: int | None
    conditions: int | None


class Voiding(NamedTuple):
    """A statement of a batch that voids another.

    Attributes:
        by: Its id.
        target: The statement to void.
        source: Whose statements it may void; None: anybody's.
    """

    by: UUID
    target: UUID
    source: str | None


class Position(NamedTuple):
    """A place in the order of statements: ``seen`` are those of exactly this ``stored`` that lie before it."""

    stored: int
    seen: tuple[UUID, ...]


class Stored(NamedTuple):
    """A sealed statement as read back."""

    id: UUID
    stored: int
    source: str
    subject: bytes
    body: bytes
    voided: bool


class Rows(NamedTuple):
    """A page of sealed statements; ``ended``: nothing follows it."""

    rows: list[Stored]
    ended: bool


class Plain(NamedTuple):
    """An opened statement: ``body`` holds the exact JSON bytes."""

    id: UUID
    stored: int
    source: str
    subject: bytes
    body: bytes


class Inserted(NamedTuple):
    """Outcome of a batch: ids stored now, and ids that were there already with the same content.

    Attributes:
        foreign: Of the latter, those of other sources, and the tokens of their learners.
    """

    stored: tuple[UUID, ...]
    repeated: tuple[UUID, ...]
    foreign: Mapping[UUID, bytes] = MappingProxyType({})


class Clash(NamedTuple):
    """Nothing was stored: these ids are taken by statements with other fingerprints, which are given.

    Attributes:
        foreign: Of all that are there already, those of other sources, and the tokens of their learners.
    """

    fingerprints: dict[UUID, bytes]
    foreign: Mapping[UUID, bytes] = MappingProxyType({})


class Foreign(NamedTuple):
    """Nothing was stored: these voidings name statements of another source.

    Attributes:
        foreign: As of ``Clash``.
    """

    by: tuple[UUID, ...]
    foreign: Mapping[UUID, bytes] = MappingProxyType({})


class Spared(NamedTuple):
    """Nothing was stored: these voidings name statements of subjects that are to be left as they are.

    Attributes:
        foreign: As of ``Clash``.
    """

    by: tuple[UUID, ...]
    foreign: Mapping[UUID, bytes] = MappingProxyType({})


class Bounds(NamedTuple):
    """Bounds of what a reader may see, over a filter.

    Attributes:
        groups: Groups of tokens, one of each of which a statement has; one through which it is found, too.
        late: Tokens of days and months, one of which a statement has that is late; None: days are not bounded. Where
            they are, nothing is found through others: of these no day is carried.
        since: ``stored`` from which on there may be any, microseconds.
        before: ``stored`` before which those are that are not late.
        state: Value of ``e`` that they have.
    """

    groups: tuple[tuple[bytes, ...], ...] = ()
    late: tuple[bytes, ...] | None = None
    since: int | None = None
    before: int | None = None
    state: int | None = None

    def branches(self) -> tuple[Bounds, ...]:
        """The bounds of those that are late, and of those that are not; themselves, where days are not bounded."""
        if self.late is None:
            return (self,)
        # The late ones first: where many are, the search for others then ends at the last one of the page.
        return (
            self._replace(groups=(*self.groups, self.late), late=None, before=None),
            self._replace(late=None, state=ON_TIME),
        )


class Filter(NamedTuple):
    """Filter of statements: one of each group of ``tokens``, stored after ``since`` and not after ``until``.

    While statements are ``moving`` from one generation of tokens to the next, groups hold those of both.

    A statement that refers to one that has the tokens is found too (xAPI-Communication 2.1.3, "Filter Conditions for
    StatementRefs"); the bounds are on its own ``stored``. With ``mine``, tokens of a source, both must be that
    source's; likewise within ``bounds``. Without ``through`` such statements are left out.
    """

    tokens: tuple[tuple[bytes, ...], ...] = ()
    since: int | None = None
    until: int | None = None
    mine: tuple[bytes, ...] = ()
    through: bool = True
    moving: bool = False
    bounds: Bounds | None = None


# One more than is carried, so that what is left out shows.
SOME_TOKENS: Document = {"$slice": ["$t", MAX_CARRIED + 1]}
"""The projection of ``t`` for whoever carries it: a statement may have ten thousand tokens."""

_FIELDS = {"stored": 1, "source": 1, "subject": 1, "body": 1, "void": 1}
_IDS: CodecOptions[Document] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)


class VoidingVerb(Protocol):
    """The verb that voids, as statements are found by it."""

    def tokens(self) -> tuple[bytes, ...]:
        """Its blind index entries: of both index keys while one is replaced."""


class Statements:
    """Reads and writes the collection ``statements``."""

    def __init__(self, store: Store, voiding: VoidingVerb) -> None:
        """``voiding``: the verb that voids; a statement that has it is never voided itself."""
        self._store = store
        self._collection = store.collection(NAME)
        self._linking = store.collection(LINKING)
        self._voiding = voiding
        self._singles: GroupCommit[_Single, bool] = GroupCommit(self._insert_singles)

    def insert(
        self,
        rows: Sequence[Row],
        voidings: Sequence[Voiding] = (),
        writing: Writing | None = None,
        spared: Collection[bytes] = (),
    ) -> Inserted | Clash | Foreign | Spared:
        """Store a batch, all or nothing; majority-acknowledged and journalled when this returns.

        Ids that are already there with the same fingerprint are left as they are. ``writing`` is that of the stamps.
        Statements of the subjects ``spared`` are not voided.

        Raises:
            DatabaseUnavailable, StorageFull: nothing was stored, or it is not known; a retry is safe.
            Lapsed: nothing was stored; the batch needs new stamps.
        """
        documents = [_document(row) for row in rows]
        fingerprints = {row.id: (row.fingerprint, *row.earlier_fingerprints) for row in rows}
        sources = {row.id: row.source for row in rows}
        foreign: dict[UUID, bytes] = {}
        repeated: list[UUID] = []
        waiting: set[UUID] = set()
        for attempt in range(ATTEMPTS):
            if attempt > 1:  # the first retry has what it needs; further ones mean that others are at it
                time.sleep(random.uniform(0, min(0.002 * 2**attempt, _MAX_WAIT_SECONDS)))  # noqa: S311 (spreads)
            try:
                with translated():
                    self._write(documents, voidings, waiting, writing, spared)
                stored = tuple(document["_id"] for document in documents)
                return Inserted(stored, tuple(repeated), foreign)
            except _NotTheirs as refused:
                return Foreign(refused.by, foreign)
            except _NotNow as refused:
                return Spared(refused.by, foreign)
            except _Taken:
                there, waiting = self._taken(fingerprints)
                taken = {each["_id"]: each["print"] for each in there}
                foreign = {each["_id"]: each["subject"] for each in there if each["source"] != sources[each["_id"]]}
                clashes = {id: mark for id, mark in taken.items() if mark not in fingerprints[id]}
                if clashes:
                    return Clash(clashes, foreign)
                repeated = [row.id for row in rows if row.id in taken]
                documents = [document for document in documents if document["_id"] not in taken]
                voidings = [voiding for voiding in voidings if voiding.by not in taken]
                if not documents:
                    return Inserted((), tuple(repeated), foreign)
        raise DatabaseUnavailable("Other writers hold the same statements. Send the same request again.", retry_after=1)

    def _write(
        self,
        documents: list[Document],
        voidings: Sequence[Voiding],
        waiting: set[UUID],
        writing: Writing | None,
        spared: Collection[bytes],
    ) -> None:
        try:
            referring = [document for document in documents if "ref" in document]
            if len(documents) == 1 and not voidings and not waiting and not referring:
                if not self._insert_single(_Single(documents[0], writing)):
                    raise _Taken
                return
            with self._store.transaction() as session:
                awaited = self._replace_placeholders(documents, waiting, session) if waiting else set()
                self._collection.insert_many(documents, ordered=True, session=session)
                if awaited or referring:
                    self._link({document["_id"] for document in referring}, awaited, session)
                if voidings:
                    self._void(voidings, spared, session)
                if writing is not None:
                    writing.fence(session)
        except (DuplicateKeyError, BulkWriteError) as error:
            if isinstance(error, DuplicateKeyError) or all(
                e["code"] == _DUPLICATE for e in error.details["writeErrors"]
            ):
                raise _Taken from None
            raise
        except OperationFailure as error:
            # WriteConflict: another transaction holds one of the ids. Look again at what is there.
            if error.code == 112:
                raise _Taken from None
            raise

    def _insert_single(self, single: _Single) -> bool:
        if len(single.document["body"]) <= _MAX_SHARED_BYTES:
            return self._singles.put(single)
        return self._insert_singles([single])[0]

    def _insert_singles(self, singles: Sequence[_Single]) -> list[bool]:
        """Insert statements that have nothing to do with each other; whether each was, else its id is taken."""
        documents = [single.document for single in singles]
        # Not earlier: each may have waited for the write before this one. If one has lapsed, all stamp again.
        for single in singles:
            if single.writing is not None:
                single.writing.require()
        if len(documents) == 1:  # half the work of a bulk of one
            try:
                self._collection.insert_one(documents[0])
            except DuplicateKeyError:
                return [False]
            return [True]
        try:
            self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as failed:
            # Where it raises, each sends again, and what is there by then is not stored twice.
            taken = taken_places(failed)
            return [place not in taken for place in range(len(documents))]
        return [True] * len(documents)

    def _replace_placeholders(self, documents: list[Document], waiting: set[UUID], session: ClientSession) -> set[UUID]:
        """Delete them, carry out the voidings that waited; the ids to which chains of references led."""
        placeholders = {"_id": {"$in": list(waiting)}, "stored": {"$exists": False}}
        # Read within the transaction: a voiding that is added to one of them meanwhile conflicts with its deletion.
        found = list(self._collection.find(placeholders, session=session))
        by = {each["_id"]: set(each.get("by", ())) for each in found}
        for document in documents:
            # A voiding by a source whose statement this turns out not to be has no effect.
            voided = by.get(document["_id"], set()) & {document["source"], None}
            if voided and not set(document["t"]) & set(self._voiding.tokens()):
                document["void"] = True
        self._collection.delete_many(placeholders, session=session)
        return {each["_id"] for each in found if "wait" in each}

    def _link(self, referring: set[UUID], awaited: set[UUID], session: ClientSession) -> None:
        """Write ``refs`` of what was just stored with a reference, and of those whose chain ended at ``awaited``.

        If these are too many, note that they are still to be linked.
        """
        changed, level = set(referring), awaited
        for _ in range(CHAIN):
            if not level:
                break
            above = self._collection.find({"ref": {"$in": list(level)}}, {"_id": 1}, session=session)
            those = {each["_id"] for each in above.limit(LINKED_AT_ONCE + 1)}
            if len(those) > LINKED_AT_ONCE or len(changed | those) > LINKED_AT_ONCE + len(referring):
                changed = set(referring)
                self._link_later(awaited, 1, session)
                break
            level = those - changed
            changed |= level
        # Nothing, when what referred to it was deleted since.
        waiting, cut = iter(changed), 0
        most = max(MIN_CARRIED, min(MAX_CARRIED, CARRIED_AT_ONCE // max(len(changed), 1)))
        while some := list(islice(waiting, _LINKED_TOGETHER)):
            cut += self._link_together(some, most, session)
        if cut:
            _log.warning("references carried in part", count=cut, most=most)

    def _link_together(self, changed: Sequence[UUID], most: int, session: ClientSession) -> int:
        """Write ``refs`` of these, ``most`` tokens of each; how many lead to more than that."""
        known: dict[UUID, Document] = {}
        sought: Collection[UUID] = changed
        for _ in range(CHAIN + 1):
            fresh = [id for id in sought if id not in known]
            if not fresh:
                break
            wanted = {"_id": {"$in": fresh}, "stored": {"$exists": True}}
            found = list(self._collection.find(wanted, {"t": SOME_TOKENS, "ref": 1}, session=session))
            known.update((each["_id"], each) for each in found)
            sought = {each["ref"] for each in found if "ref" in each}
        updates, ends, cut = [], set(), 0
        for id in changed:
            chain: dict[UUID, Document] = {}
            after = known[id]["ref"]
            while after in known and after not in chain and len(chain) < CHAIN:
                chain[after] = {"i": after, "t": known[after]["t"]}
                after = known[after].get("ref")
            # Beyond the longest chain nothing was looked for: what is not known there may well be stored.
            if len(chain) < CHAIN and after is not None and after not in known:
                ends.add(after)
            if chain:
                cut += sum(len(each["t"]) for each in chain.values()) > most
                updates.append(UpdateOne({"_id": id}, {"$set": {"refs": carried(chain.values(), most)}}))
        # A write even where nothing changes: whoever stores an end meanwhile must conflict with this.
        updates += [UpdateOne({"_id": end}, {"$inc": {"wait": 1}}, upsert=True) for end in ends]
        self._collection.bulk_write(updates, session=session)
        return cut

    def _link_later(self, ids: Iterable[UUID], depth: int, session: ClientSession) -> None:
        # From the start again if it is there already. In a circle the depth ends it.
        change = {"$max": {"depth": depth}, "$unset": {"after": "", "until": ""}}
        updates = [UpdateOne({"_id": id}, change, upsert=True) for id in ids]
        if updates:
            self._linking.bulk_write(updates, session=session)

    def link_some(self) -> bool:
        """Link some of those that refer to a statement that many waited for; whether there were any.

        Any process may go on where another one stopped.

        Raises:
            DatabaseUnavailable: it is not done; what is done stays.
        """
        now = clock.now()
        free = {"$or": [{"until": {"$exists": False}}, {"until": {"$lt": now}}]}
        with translated():
            noted = self._linking.find_one_and_update(free, {"$set": {"until": now + _LINKING_TIME}})
            if noted is None:
                return False
            try:
                with self._store.transaction() as session:
                    self._link_next(noted["_id"], session)
            except (BulkWriteError, OperationFailure) as error:
                codes = {each["code"] for each in error.details["writeErrors"]} if _many(error) else {error.code}
                # Somebody stores what a chain leads to, or another such statement: it is tried again.
                if not codes <= {112, 11000}:
                    raise
                self._linking.update_one({"_id": noted["_id"]}, {"$unset": {"until": ""}})
        return True

    def _link_next(self, target: UUID, session: ClientSession) -> None:
        # Read again: if somebody has it begin anew meanwhile, one of the two conflicts with the other.
        noted = self._linking.find_one({"_id": target}, session=session)
        if noted is None:
            return
        wanted: Document = {"ref": target, **({"_id": {"$gt": noted["after"]}} if "after" in noted else {})}
        found = self._collection.find(wanted, {"_id": 1}, session=session).sort([("_id", 1)]).limit(LINKED_AT_ONCE)
        some = [each["_id"] for each in found]
        if some:
            self._link(set(some), set(), session)
        if len(some) < LINKED_AT_ONCE:
            self._linking.delete_one({"_id": target}, session=session)
        else:
            self._linking.update_one(
                {"_id": target}, {"$set": {"after": some[-1]}, "$unset": {"until": ""}}, session=session
            )
        if some and noted["depth"] < CHAIN:
            further = self._collection.distinct("ref", {"ref": {"$in": some}}, session=session)
            self._link_later(further, noted["depth"] + 1, session)

    def _void(self, voidings: Sequence[Voiding], spared: Collection[bytes], session: ClientSession) -> None:
        targets = sorted({voiding.target for voiding in voidings})
        fields = {"source": 1, **({"subject": 1, "t": 1} if spared else {})}
        found = list(self._collection.find({"_id": {"$in": targets}}, fields, session=session))
        owners = {document["_id"]: document.get("source") for document in found}
        known = {id for id, owner in owners.items() if owner is not None}
        foreign = [
            one.by for one in voidings if one.source and one.target in known and owners[one.target] != one.source
        ]
        if foreign:
            raise _NotTheirs(foreign)
        # Whose they are is told only to who may void them; and one that voids is not voided, whoever it is of.
        kept = {
            each["_id"]
            for each in found
            if each.get("subject") in spared and set(each["t"]).isdisjoint(self._voiding.tokens())
        }
        if kept:
            raise _NotNow(one.by for one in voidings if one.target in kept)
        # xAPI-Data 2.3.2: a statement that voids cannot itself be voided.
        self._collection.update_many(
            {"_id": {"$in": list(known)}, "t": {"$nin": list(self._voiding.tokens())}},
            {"$set": {"void": True}},
            session=session,
        )
        early: dict[UUID, list[str | None]] = {}
        for one in voidings:
            if one.target not in known:
                early.setdefault(one.target, []).append(one.source)
        absent = [{"_id": target, "void": True, "by": by} for target, by in early.items() if target not in owners]
        if absent:
            self._collection.insert_many(absent, session=session)
        waiting = [
            UpdateOne(
                {"_id": target, "stored": {"$exists": False}},
                {"$set": {"void": True}, "$addToSet": {"by": {"$each": by}}},
            )
            for target, by in early.items()
            if target in owners
        ]
        if waiting:
            self._collection.bulk_write(waiting, session=session)

    def known(self, ids: Iterable[UUID]) -> dict[UUID, Known]:
        """Of these ids, the statements that are there, voided or not, with what tells a repeat."""
        fields = {"print": 1, "source": 1, "subject": 1, "v": 1, "c": 1}
        with translated():
            found = list(self._collection.find({"_id": {"$in": list(ids)}}, fields))
        return {
            each["_id"]: Known(each["source"], each["subject"], each["print"], each.get("v"), each.get("c"))
            for each in found
            if "print" in each
        }

    def _taken(self, fingerprints: Iterable[UUID]) -> tuple[list[Document], set[UUID]]:
        """Of these ids: print, source and subject of the statements that are there, and which have placeholders."""
        with translated():
            found = list(
                self._collection.find({"_id": {"$in": list(fingerprints)}}, {"print": 1, "source": 1, "subject": 1})
            )
        return (
            [document for document in found if "print" in document],
            {document["_id"] for document in found if "print" not in document},
        )

    def restamp(self, rows: Sequence[Row], writing: Writing | None = None) -> None:
        """Give stored statements a later place in the order: their ``stored``, the body that says it, its tokens.

        The tokens too: an erasure may have taken a data subject out of one meanwhile, whom the body as it was sent
        names again. As one that came after the erasure it is to be found by them.

        Raises:
            DatabaseUnavailable: they were not moved, or it is not known.
            Lapsed: they were not moved; they need other stamps.
        """
        changes = [
            UpdateOne(
                {"_id": row.id},
                # The fingerprint is of the same index key as the tokens.
                {
                    "$set": {
                        "stored": row.stored,
                        "body": row.body,
                        "t": list(row.tokens),
                        "print": row.fingerprint,
                        "e": LATE if row.late else ON_TIME,
                    }
                },
            )
            for row in rows
        ]
        with translated(), self._store.transaction() as session:
            self._collection.bulk_write(changes, session=session)
            if writing is not None:
                writing.fence(session)

    def estimated(self) -> int:
        """The number of documents, statements that are awaited included, from what MongoDB notes of the collection."""
        with translated():
            return self._collection.estimated_document_count()

    def get(self, id: UUID) -> Stored | None:
        """One statement by id, voided or not."""
        one = first_batch(self._store, by_index(NAME, {"_id": id, "stored": {"$exists": True}}, _FIELDS, limit=1))
        found = self.some([id]) if one is None else _stored(one.batch)
        return found[0] if found else None

    def some(self, ids: Iterable[UUID], max_bytes: int | None = None) -> list[Stored]:
        """Those of these ids that are there, voided or not, in any order; no more once there are ``max_bytes``."""
        wanted = list(ids)
        among = {"_id": wanted[0] if len(wanted) == 1 else {"$in": wanted}, "stored": {"$exists": True}}
        with translated():
            cursor = self._collection.find_raw_batches(among, _FIELDS)
            with cursor:
                return _read(cursor, max_bytes)

    def page(
        self,
        wanted: Filter,
        *,
        after: Position | None,
        ascending: bool,
        limit: int,
        without: Collection[bytes] = (),
    ) -> Rows:
        """The next statements that are not voided, in the order of ``stored``, beyond ``after``.

        At most ``limit`` and, but for the first one, ``MAX_BYTES`` of sealed bodies; those of the subjects ``without``
        are passed over.
        """
        if not wanted.moving:
            return self._page(wanted, after, ascending, limit, without)
        # At one moment: what moves from one token to the other while both are gone through would be missed.
        with translated(), self._store.client.start_session(snapshot=True) as session:
            return self._page(wanted, after, ascending, limit, without, session)

    def _page(
        self,
        wanted: Filter,
        after: Position | None,
        ascending: bool,
        limit: int,
        without: Collection[bytes],
        session: ClientSession | None = None,
    ) -> Rows:
        # One more than asked tells whether anything follows.
        most = limit + 1
        if wanted.bounds is not None:
            return self._page_within(wanted, wanted.bounds, after, ascending, limit, without, session)
        # MongoDB is told the index: it would try several for a while, and remember one for other tokens.
        index = "tokens" if wanted.tokens or wanted.mine else "order"
        asked = _passing_over(query(wanted, after, ascending), without)
        if not wanted.tokens or not wanted.through:
            return _first(self._found(asked, index, ascending, most, session), limit)
        asked_through = _passing_over(query_through(wanted, after, ascending), without)
        if session is None:
            command = by_either(NAME, asked, asked_through, _FIELDS, sort=_order(ascending), hint=index, limit=most)
            both = first_batch(self._store, command)
            if both is not None and both.ended:
                return _first(Rows(_in_order(_stored(both.batch), ascending), True), limit)
        # Two queries, not one with $or: MongoDB plans the branches of that apart from the order, and reads everything.
        own = self._found(asked, index, ascending, most, session)
        through = self._found(asked_through, "referred", ascending, most, session)
        return _first(_merged(own, through, ascending), limit)

    def _page_within(
        self,
        wanted: Filter,
        bounds: Bounds,
        after: Position | None,
        ascending: bool,
        limit: int,
        without: Collection[bytes],
        session: ClientSession | None,
    ) -> Rows:
        own = self._own(wanted, bounds, after, ascending, limit + 1, without, session)
        if not wanted.tokens or not wanted.through or bounds.late is not None:
            return _first(own, limit)
        asked = _passing_over(query_through(wanted, after, ascending), without)
        through = self._found(asked, "referred", ascending, limit + 1, session)
        return _first(_merged(own, through, ascending), limit)

    def _own(
        self,
        wanted: Filter,
        bounds: Bounds,
        after: Position | None,
        ascending: bool,
        limit: int,
        without: Collection[bytes],
        session: ClientSession | None,
    ) -> Rows:
        """Those that have the tokens themselves: within bounds, by a few tokens of their longest group at a time."""
        branches = bounds.branches()
        parts = list(_parts(wanted, branches))
        if len(parts) > len(branches) and self._few(wanted.tokens, session):
            parts = [wanted._replace(bounds=branch) for branch in branches]
        found, beyond, left = Rows([], True), None, limit
        if len(parts) > 1 and bounds.late is None:
            # Where most lies within, a look at what comes next is enough.
            beyond = self._probed(wanted, after, ascending, limit, session)
            if beyond is not None:
                near = _passing_over(query(wanted, after, ascending), without)
                near["$and"].append({"stored": {"$lte" if ascending else "$gte": beyond}})
                found = self._found(near, "order", ascending, limit, session)
                if len(found.rows) >= limit or not found.ended:
                    return found
                left -= len(found.rows)
        rest = Rows([], True)
        for part in parts:
            asked = _passing_over(query(part, after, ascending), without)
            if beyond is not None:
                asked["$and"].append({"stored": {"$gt" if ascending else "$lt": beyond}})
            if rest.rows and (len(rest.rows) >= left or not rest.ended):
                # Beyond the last one that has its place already, nothing is for this page.
                asked["$and"].append({"stored": {"$lte" if ascending else "$gte": rest.rows[-1].stored}})
            index = "tokens" if part.tokens or part.mine or (part.bounds and part.bounds.groups) else "order"
            more = self._found(asked, index, ascending, left, session)
            rest = _first(_merged(rest, more, ascending), left) if rest.rows else more
        return Rows(found.rows + rest.rows, rest.ended)

    def _few(self, groups: Sequence[Sequence[bytes]], session: ClientSession | None) -> bool:
        """True if few statements have one of the tokens of some group."""
        with translated():
            return any(
                self._collection.count_documents(_one_of(group), limit=_FEW, hint="tokens", session=session) < _FEW
                for group in groups
            )

    def _probed(
        self, wanted: Filter, after: Position | None, ascending: bool, limit: int, session: ClientSession | None
    ) -> int | None:
        """``stored`` of a place some pages ahead, whoever's they are; None: it ends before."""
        bounds = {sign: at for sign, at in (("$gt", wanted.since), ("$lte", wanted.until)) if at is not None}
        clauses: list[Document] = [{"stored": bounds or {"$exists": True}}]
        if after is not None:
            clauses.append({"stored": {"$gte" if ascending else "$lte": after.stored}})
        with translated():
            found = self._collection.find({"$and": clauses}, {"_id": 0, "stored": 1}, session=session).hint("order")
            place = next(found.sort("stored", 1 if ascending else -1).skip(_PROBED_TIMES * limit).limit(1), None)
        return None if place is None else int(place["stored"])

    def _found(self, asked: Document, index: str, ascending: bool, limit: int, session: ClientSession | None) -> Rows:
        order = _order(ascending)
        if session is None:
            # One answer, taken as it came: to have PyMongo make an object of each document costs as much as the query.
            one = first_batch(self._store, by_index(NAME, asked, _FIELDS, sort=order, hint=index, limit=limit))
            if one is not None:
                return Rows(_stored(one.batch), one.ended)
        with translated():
            cursor = (
                self._collection.find_raw_batches(asked, _FIELDS, session=session)
                .sort([*order.items()])
                .hint(index)
                .limit(limit)
                .batch_size(limit + 1)
            )
            with cursor:
                rows = _read(cursor, MAX_BYTES)
                return Rows(rows, not cursor.alive)

    def voidings(self, since: int, before: int, size: int) -> Iterator[list[UUID]]:
        """The ids that statements which void name, by the order in which these were stored; ``size`` at a time.

        Args:
            since: Stored at or after this, microseconds.
            before: Stored before this.
            size: Most ids of a batch.
        """
        asked = {"t": {"$in": list(self._voiding.tokens())}, "stored": {"$gte": since, "$lt": before}}
        with translated(), self._collection.find(asked, {"ref": 1}).sort("stored", 1).hint("tokens") as cursor:
            while batch := list(islice(cursor, size)):
                yield [one["ref"] for one in batch if "ref" in one]

    def span(self, after: int | None, before: int, limit: int) -> list[Stored]:
        """Statements stored after ``after`` and before ``before``, oldest first, voided ones marked.

        About ``limit`` of them, fewer when they have ``MAX_BYTES``, and of the last ``stored`` all: whoever goes on
        after it misses none.
        """
        bounds = {"$lt": before} if after is None else {"$gt": after, "$lt": before}
        with translated():
            cursor = (
                self._collection.find_raw_batches({"stored": bounds}, _FIELDS)
                .sort([("stored", 1)])
                .hint("order")
                .limit(limit)
                .batch_size(limit + 1)
            )
            with cursor:
                rows = _read(cursor, MAX_BYTES)
                if len(rows) < limit and not cursor.alive:
                    return rows
            last = rows[-1].stored
            level = _read(self._collection.find_raw_batches({"stored": last}, _FIELDS).hint("order"))
        return [row for row in rows if row.stored != last] + level


def beyond(rows: Sequence[Stored], after: Position | None) -> Position:
    """The place after these rows, at least one, that were read beyond ``after``."""
    last = rows[-1].stored
    earlier = after.seen if after is not None and after.stored == last else ()
    return Position(last, (*earlier, *(row.id for row in rows if row.stored == last)))


def carried(refs: Iterable[Document], most: int = MAX_CARRIED) -> list[Document]:
    """Of ``refs``, what is carried: ``most`` tokens, those of the nearest first.

    Where they end a statement is carried with its first tokens, and those farther away are not. The first ones are
    those of its source, verb, registration and activity, then of its agents
    (``app/traces/statements/index_tokens.py``).
    """
    kept: list[Document] = []
    left = most
    for each in refs:
        if left <= 0:
            break
        kept.append(each if len(each["t"]) <= left else {**each, "t": each["t"][:left]})
        left -= len(each["t"])
    return kept


def _first(found: Rows, limit: int) -> Rows:
    return Rows(found.rows[:limit], found.ended and len(found.rows) <= limit)


def _order(ascending: bool) -> Document:
    return {"stored": 1 if ascending else -1}


def _in_order(rows: list[Stored], ascending: bool) -> list[Stored]:
    """Rows that were found in two ways, each in order: all of them in order, each once."""
    places = [row.stored for row in rows]
    if places == sorted(set(places), reverse=not ascending):
        # Those of one way alone, as nearly always.
        return rows
    once = {row.id: row for row in rows}
    return sorted(once.values(), key=lambda row: row.stored, reverse=not ascending)


def _merged(one: Rows, other: Rows, ascending: bool) -> Rows:
    if not other.rows:
        return one
    both = {row.id: row for row in (*one.rows, *other.rows)}
    rows = sorted(both.values(), key=lambda row: row.stored, reverse=not ascending)
    # Where one was cut short, what the other has beyond its end is not next yet.
    ends = [each.rows[-1].stored for each in (one, other) if not each.ended and each.rows]
    if ends:
        end = min(ends) if ascending else max(ends)
        kept = [row for row in rows if (row.stored <= end if ascending else row.stored >= end)]
        return Rows(kept, False)
    return Rows(rows, True)


def _many(error: OperationFailure) -> TypeGuard[BulkWriteError]:
    return isinstance(error, BulkWriteError)


class _Single(NamedTuple):
    """A statement that is written alone, and the reservation of its stamp."""

    document: Document
    writing: Writing | None


class _Taken(Exception):
    """Some id of the batch is already there."""


class _NotTheirs(Exception):
    """Voidings of the batch name statements of another source."""

    def __init__(self, by: Iterable[UUID]) -> None:
        super().__init__()
        self.by = tuple(by)


class _NotNow(Exception):
    """Voidings of the batch name statements that are to be left as they are."""

    def __init__(self, by: Iterable[UUID]) -> None:
        super().__init__()
        self.by = tuple(by)


def _parts(wanted: Filter, branches: Sequence[Bounds]) -> Iterator[Filter]:
    """Filters that find together what one finds, each of which MongoDB answers in the order of ``stored``."""
    for bounds in branches:
        longest = max(bounds.groups, key=len, default=())
        others = tuple(group for group in bounds.groups if group is not longest)
        for start in range(0, len(longest), MERGED_AT_ONCE):
            yield wanted._replace(bounds=bounds._replace(groups=(longest[start : start + MERGED_AT_ONCE], *others)))
        if not longest:
            yield wanted._replace(bounds=bounds)


def query(wanted: Filter, after: Position | None, ascending: bool) -> Document:
    """The MongoDB filter of those that have the tokens themselves.

    MongoDB's planner tries which token leads the index; the others are checked on what that finds.
    """
    return {"$and": [*map(_one_of, wanted.tokens), *_common(wanted, after, ascending)]}


def query_through(wanted: Filter, after: Position | None, ascending: bool) -> Document:
    """The MongoDB filter of those that refer to one that has the tokens, all of them."""
    of_tokens = [_one_of(alternatives) for alternatives in wanted.tokens]
    if wanted.mine:
        of_tokens.append(_one_of(wanted.mine))
    if wanted.bounds is not None:
        of_tokens += map(_one_of, wanted.bounds.groups)
    # The first one leads the index: MongoDB takes no bounds of it from within $elemMatch with $and.
    leading = {f"refs.{name}": value for name, value in _one_of(wanted.tokens[0]).items()}
    met: list[Document] = [leading]
    if len(of_tokens) > 1:
        met.append({"refs": {"$elemMatch": {"$and": of_tokens}}})
    return {"$and": [{"refs": {"$exists": True}}, *met, *_common(wanted, after, ascending)]}


def _common(wanted: Filter, after: Position | None, ascending: bool) -> list[Document]:
    bounds: dict[str, int] = {}
    # xAPI-Communication 2.1.3: stored since (exclusive), until (inclusive).
    if wanted.since is not None:
        bounds["$gt"] = wanted.since
    if wanted.until is not None:
        bounds["$lte"] = wanted.until
    clauses: list[Document] = [_one_of(wanted.mine)] if wanted.mine else []
    limits = wanted.bounds
    if limits is not None:
        clauses += map(_one_of, limits.groups)
        if limits.since is not None:
            clauses.append({"stored": {"$gte": limits.since}})
        if limits.before is not None:
            clauses.append({"stored": {"$lt": limits.before}})
        if limits.state is not None:
            clauses.append({"e": limits.state})
    clauses.append({"stored": bounds or {"$exists": True}})
    clauses.append({"void": {"$exists": False}})
    if after is not None:
        clauses.append(_beyond(after, ascending))
    return clauses


def _passing_over(asked: Document, without: Collection[bytes]) -> Document:
    return {**asked, "subject": {"$nin": [*without]}} if without else asked


def _one_of(alternatives: Iterable[bytes]) -> Document:
    tokens = list(alternatives)
    return {"t": tokens[0]} if len(tokens) == 1 else {"t": {"$in": tokens}}


def _beyond(position: Position, ascending: bool) -> Document:
    return {"stored": {"$gte" if ascending else "$lte": position.stored}, "_id": {"$nin": list(position.seen)}}


def _document(row: Row) -> Document:
    document: Document = {
        "_id": row.id,
        "stored": row.stored,
        "source": row.source,
        "subject": row.subject,
        "t": list(row.tokens),
        "print": row.fingerprint,
        "body": row.body,
        "e": LATE if row.late else ON_TIME,
    }
    if row.verdict is not None:
        document["v"] = row.verdict
        if row.templates:
            document["p"] = list(row.templates)
    if row.refers is not None:
        document["ref"] = row.refers
    if row.conditions is not None:
        document["c"] = Int64(row.conditions)
    return document


# The layout that ``_document`` gives what is read: names, types and lengths as BSON writes them.
_HEAD = Struct("<i10s16s8sq8si")
_ID, _STORED, _SOURCE = b"\x05_id\0\x10\0\0\0\x04", b"\x12stored\0", b"\x02source\0"
_BODY = Struct("<14s16s6siB")
_SUBJECT, _BODY_NAME = b"\x05subject\0\x10\0\0\0\0", b"\x05body\0"
_MARGIN = bytes(_HEAD.size + _BODY.size)


def _read(cursor: RawBatchCursor[Document], max_bytes: int | None = None) -> list[Stored]:
    """Rows of raw batches; no further batch is asked for once there are ``max_bytes``."""
    rows: list[Stored] = []
    total = 0
    # PyMongo types the cursor by what the batches would decode to.
    for batch in cast(Iterable[bytes], cursor):
        rows += _stored(joined(batch))
        total += len(batch)
        if max_bytes is not None and total >= max_bytes:
            break
    return rows


def _stored(batch: Batch) -> list[Stored]:
    """Rows of a batch, read in place: a fraction of what a dictionary of each costs, collecting them included.

    A document of another layout, for example a voided one, is decoded as any.
    """
    rows: list[Stored] = []
    # So that nothing is read beyond the end, whatever the last document is.
    data = b"".join((batch.data, _MARGIN))
    at, end = batch.start, batch.end
    head, body_of = _HEAD.unpack_from, _BODY.unpack_from
    source, written = "", b""
    for lead in batch.leads:
        at += lead
        if at >= end:
            break
        size, id_name, id, stored_name, stored, source_name, source_size = head(data, at)
        after = at + size
        if id_name == _ID and stored_name == _STORED and source_name == _SOURCE:
            source_at = at + _HEAD.size
            subject_at = source_at + source_size
            subject_name, subject, body_name, body_size, body_kind = body_of(data, subject_at)
            body_at = subject_at + _BODY.size
            if (
                subject_name == _SUBJECT
                and body_name == _BODY_NAME
                and body_kind == 0
                and body_at + body_size + 1 == after
            ):
                if data[source_at : subject_at - 1] != written:
                    written = data[source_at : subject_at - 1]
                    source = written.decode()
                body = data[body_at : after - 1]
                rows.append(Stored(uuid_of(id), stored, source, subject, body, False))
                at = after
                continue
        document = decode(data[at:after], _IDS)
        rows.append(
            Stored(
                document["_id"],
                document["stored"],
                document["source"],
                document["subject"],
                document["body"],
                "void" in document,
            )
        )
        at = after
    return rows
