"""Aggregates as they are kept: sealed parts by month, and how far each aggregate has read.

``aggregate_state``, one document an aggregate (``name@version``)::

    watermark  int64         every statement stored up to it is counted; null before the first
    through    int64         at the end of the last full run: every statement stored before is counted
    complete   bool          a run has reached the end once, so that this version can be served
    sequence   int           goes up by one with every commit
    fence      int           highest fencing number seen
    settled    [str]         months whose pseudonyms were destroyed
    late       int           statements that came for a settled month, and were not counted
    corrected  int64         voidings stored before it have reached the months that they concern
    shown      {month: {of, waiting}}  what was last looked at to be shown, and how many cells of it wait

``aggregate_parts``, one document a piece of a table::

    _id        str     aggregate/bucket/sequence/table/number
    aggregate  str     name@version
    bucket     str     month (``2026-11``) that the periods in it start in
    level      int     how often compacted
    sequence   int     of the commit that wrote it
    table      str     ``sums``, ``learner``, ``session``; each as it is shown: ``shown-…``; ``cells`` once settled
    first      int64   microseconds: when the earliest statement counted in it was stored; settling goes by it
    sealed     binary  the table, sealed with the documents key and bound to ``_id``

``aggregate_corrections``, one document for each deletion of statements that figures are to follow::

    _id        ObjectId
    months     [str]   months (``2026-11``) in which something that counted was taken out
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bson.binary import Binary
from bson.objectid import ObjectId
from pymongo.client_session import ClientSession

from app.core import clock
from app.core.errors import LeaseLost
from app.core.personal_data import Impersonal, Personal
from app.crypto.keys import OrganisationKeys
from app.platform.mongo.collection import Declared, Index, UnderDocumentsKey
from app.platform.mongo.connection import Document, Store, translated

PARTS = "aggregate_parts"
STATE = "aggregate_state"
CORRECTIONS = "aggregate_corrections"
COLLECTIONS = (
    Declared(
        PARTS,
        Personal(
            what="figures, encrypted with the documents key: until a month settles, by learner under a pseudonym",
            locate="not by person: the pseudonym is of one aggregate and month",
            export="none: not identifying without the keys; the months are named",
            erase="the months are counted again without the person",
            retain="settled months keep cells alone",
            restore="counted again after erasures",
            apart={
                "locate": "none: a pseudonym is of one aggregate and month, and does not lead back",
                "export": "none: not identifying without the keys; the months are named",
                "erase": "`app/people/erasure/service.py`: the months are counted again, the last step of an erasure",
                "retain": "`app/research/refresh.py`: settled months keep cells alone",
            },
        ),
        (Index("bucket", (("aggregate", 1), ("bucket", 1), ("sequence", 1))),),
        under_documents_key=UnderDocumentsKey(("sealed",), lambda id, _: place(id)),
    ),
    Declared(STATE, Impersonal("watermarks and fingerprints of definitions")),
    Declared(CORRECTIONS, Impersonal("months to be counted again")),
)


def place(id: str) -> str:
    """The place that a sealed part is bound to; ``id`` is its ``_id``."""
    return f"aggregate-part:{id}"


class AggregateState(NamedTuple):
    """Progress of an aggregate; see the module's text. ``definition`` is the file it was computed by."""

    id: str
    name: str
    version: int
    fingerprint: str
    definition: bytes
    watermark: int | None
    through: int
    complete: bool
    sequence: int
    fence: int
    settled: frozenset[str]
    late: int
    corrected: int
    shown: Mapping[str, Shown]

    @property
    def as_of(self) -> int | None:
        """Microseconds: every statement stored before is counted; None before the first full run."""
        return self.through if self.complete else None


class Shown(NamedTuple):
    """The last look at a month: ``of`` names it, ``waiting`` leaves of it are not shown yet."""

    of: str
    waiting: int


class Piece(NamedTuple):
    """A piece of a table to store; see the module's text."""

    bucket: str
    level: int
    table: str
    first: int
    content: bytes


class PartName(NamedTuple):
    """A stored piece, without its content."""

    id: str
    bucket: str
    level: int
    sequence: int
    table: str
    first: int


class Corrections(NamedTuple):
    """Months to count again, and the notes that say so."""

    notes: tuple[ObjectId, ...]
    months: frozenset[str]


class AggregateRepository:
    """The repository of parts and watermarks. Safe to share between threads."""

    def __init__(self, store: Store, keys: OrganisationKeys) -> None:
        self._store = store
        self._keys = keys
        self._parts = store.collection(PARTS)
        self._state = store.collection(STATE)
        self._corrections = store.collection(CORRECTIONS)

    def begin(self, id_: str, name: str, version: int, fingerprint: str, definition: bytes) -> AggregateState:
        """The state of an aggregate, made empty when there is none."""
        with translated():
            self._state.update_one(
                {"_id": id_},
                {
                    "$setOnInsert": {
                        "name": name,
                        "version": version,
                        "fingerprint": fingerprint,
                        "definition": Binary(definition),
                        "watermark": None,
                        "through": 0,
                        "complete": False,
                        "sequence": 0,
                        "fence": 0,
                        "settled": [],
                        "late": 0,
                        "corrected": 0,
                        "shown": {},
                    }
                },
                upsert=True,
            )
            document = self._state.find_one({"_id": id_})
        if document is None:
            raise LeaseLost("The aggregate was dropped while it was being started; run the job again.")
        return _state(document)

    def states(self) -> list[AggregateState]:
        """Every aggregate's state, by name and version."""
        with translated():
            return [_state(document) for document in self._state.find({}).sort([("name", 1), ("version", 1)])]

    def through(self) -> dict[str, int]:
        """Up to where each complete aggregate has counted for certain, microseconds since 1970 UTC, by its id."""
        with translated():
            found = self._state.find({"complete": True}, {"through": 1})
            return {str(one["_id"]): int(one["through"]) for one in found}

    def waiting(self) -> int:
        """The number of deletions that are still to be followed."""
        with translated():
            return self._corrections.count_documents({})

    def commit(
        self, state: AggregateState, fence: int, watermark: int | None, pieces: Sequence[Piece], late: int
    ) -> AggregateState:
        """Add parts and move the watermark, in one transaction.

        Args:
            state: As last read or returned: the commit holds only if nobody committed since.
            fence: Fencing number of this run.
            watermark: What was stored up to it is counted, in ``pieces`` or before; microseconds.
            pieces: New parts.
            late: Statements left out because their month is settled.

        Raises:
            LeaseLost: a run with a higher fence, or another run, has committed; nothing was written.
        """
        change: Document = {
            "$set": {"watermark": watermark},
            "$inc": {"late": late},
        }
        return self._change(state, fence, change, (), pieces)

    def replace(
        self,
        state: AggregateState,
        fence: int,
        old: Sequence[PartName],
        pieces: Sequence[Piece],
        *,
        settle: str | None = None,
        shown: tuple[str, Shown] | None = None,
    ) -> AggregateState:
        """Put parts in the place of others, in one transaction.

        Args:
            state: As in ``commit``.
            fence: As in ``commit``.
            old: Parts that go.
            pieces: Parts that come.
            settle: A month that is now settled.
            shown: A month, and what of it was looked at to be shown.

        Raises:
            LeaseLost: as ``commit``.
        """
        change: Document = {}
        if settle:
            change = {"$addToSet": {"settled": settle}, "$unset": {f"shown.{settle}": ""}}
        elif shown:
            change = {"$set": {f"shown.{shown[0]}": shown[1]._asdict()}}
        return self._change(state, fence, change, old, pieces)

    def finish(self, state: AggregateState, fence: int, through: int) -> AggregateState:
        """Note that every statement stored before ``through`` is counted, and every voiding has its effect.

        Raises:
            LeaseLost: as ``commit``.
        """
        done = {"through": through, "corrected": through, "complete": True}
        return self._change(state, fence, {"$set": done}, (), ())

    def _change(
        self, state: AggregateState, fence: int, change: Document, old: Sequence[PartName], pieces: Sequence[Piece]
    ) -> AggregateState:
        sequence = state.sequence + 1
        documents = self._documents(state.id, sequence, pieces)
        update = {
            **change,
            "$set": {**change.get("$set", {}), "fence": fence, "sequence": sequence, "updated": clock.now()},
        }
        with translated(), self._store.transaction() as session:
            after = self._state.find_one_and_update(
                {"_id": state.id, "sequence": state.sequence, "fence": {"$lte": fence}},
                update,
                return_document=True,
                session=session,
            )
            if after is None:
                raise LeaseLost("Another run has refreshed this aggregate meanwhile; nothing of this step was kept.")
            self._swap(old, documents, session)
        return _state(after)

    def _swap(self, old: Sequence[PartName], documents: Sequence[Document], session: ClientSession) -> None:
        if old:
            self._parts.delete_many({"_id": {"$in": [part.id for part in old]}}, session=session)
        if documents:
            self._parts.insert_many(documents, session=session)

    def _documents(self, aggregate: str, sequence: int, pieces: Sequence[Piece]) -> list[Document]:
        documents = []
        for number, piece in enumerate(pieces):
            id_ = f"{aggregate}/{piece.bucket}/{sequence}/{piece.table}/{number}"
            documents.append(
                {
                    "_id": id_,
                    "aggregate": aggregate,
                    "bucket": piece.bucket,
                    "level": piece.level,
                    "sequence": sequence,
                    "table": piece.table,
                    "first": piece.first,
                    "sealed": Binary(self._keys.encrypt(place(id_), piece.content)),
                }
            )
        return documents

    def names(self, aggregate: str, first: str = "", last: str = "~") -> list[PartName]:
        """Parts of an aggregate whose month is from ``first`` to ``last``, by month and age."""
        with translated():
            found = self._parts.find(
                {"aggregate": aggregate, "bucket": {"$gte": first, "$lte": last}}, {"sealed": 0, "aggregate": 0}
            ).sort([("bucket", 1), ("sequence", 1)])
            return [
                PartName(item["_id"], item["bucket"], item["level"], item["sequence"], item["table"], item["first"])
                for item in found
            ]

    def contents(self, parts: Sequence[PartName]) -> list[tuple[PartName, bytes]] | None:
        """Opened contents of parts.

        Returns:
            None when one of them was replaced meanwhile: read the names again.

        Raises:
            DecryptionFailed: a part is damaged or was moved.
        """
        with translated():
            sealed = {
                str(item["_id"]): bytes(item["sealed"])
                for item in self._parts.find({"_id": {"$in": [part.id for part in parts]}}, {"sealed": 1})
            }
        if len(sealed) < len(parts):
            return None
        return [(part, self._keys.decrypt(place(part.id), sealed[part.id])) for part in parts]

    def note_correction(self, months: Iterable[str]) -> None:
        """Have months counted again by the next run: call it before what counted in them is taken out."""
        wanted = sorted(set(months))
        if wanted:
            with translated():
                self._corrections.insert_one({"months": wanted})

    def corrections(self) -> Corrections:
        """The months that wait for being counted again."""
        with translated():
            found = list(self._corrections.find({}))
        return Corrections(
            tuple(note["_id"] for note in found), frozenset(month for note in found for month in note["months"])
        )

    def forget_corrections(self, done: Corrections) -> None:
        """The months of these notes are counted again."""
        if done.notes:
            with translated():
                self._corrections.delete_many({"_id": {"$in": list(done.notes)}})

    def drop(self, id_: str) -> None:
        """Forget an aggregate: its state first, so that a run under way can't commit any more."""
        with translated():
            self._state.delete_one({"_id": id_})
            self._parts.delete_many({"aggregate": id_})


def _state(document: Document) -> AggregateState:
    return AggregateState(
        id=document["_id"],
        name=document["name"],
        version=document["version"],
        fingerprint=document["fingerprint"],
        definition=bytes(document["definition"]),
        watermark=document["watermark"],
        through=document["through"],
        complete=document["complete"],
        sequence=document["sequence"],
        fence=document["fence"],
        settled=frozenset(document["settled"]),
        late=document["late"],
        corrected=document["corrected"],
        shown={month: Shown(**each) for month, each in document["shown"].items()},
    )
