"""The first batch of a query, as MongoDB sent it: one exchange, and no object for any of its documents.

PyMongo's raw batches make an object of each document before they join them again, and a cursor of each query: of a page
of a hundred statements that is a third of what it costs this side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, repeat
from struct import Struct
from typing import NamedTuple

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import AutoReconnect, NetworkTimeout, ServerSelectionTimeoutError

from app.platform.mongo.connection import Document, Store, translated

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument, uuid_representation=UuidRepresentation.STANDARD
)
# The cursor of an answer: its length, then the array of documents, behind that the number of what is left open.
_BATCH = b"\x04firstBatch\0"
_CURSOR = b"\x12id\0"
_ARRAY_AT = 4 + len(_BATCH)
_INT = Struct("<i")
_LONG = Struct("<q")


class Batch(NamedTuple):
    """Documents in a row: ``data`` from ``start`` to ``end``, each behind some bytes of ``leads``."""

    data: bytes | memoryview
    start: int
    end: int
    leads: Iterator[int]


def joined(data: bytes) -> Batch:
    """Documents one behind the other."""
    return Batch(data, 0, len(data), repeat(0))


class Found(NamedTuple):
    """The first batch of a query; ``ended``: nothing follows it."""

    batch: Batch
    ended: bool


def by_index(
    name: str,
    asked: Document,
    fields: Mapping[str, int],
    *,
    sort: Document | None = None,
    hint: str = "_id_",
    limit: int,
) -> Document:
    """The command that finds documents of a collection by an index."""
    return {
        "find": name,
        "filter": asked,
        "projection": fields,
        "sort": sort or {},
        "hint": hint,
        "limit": limit,
        # One more than there may be: else MongoDB keeps a cursor for what is not there.
        "batchSize": limit + 1,
    }


def by_either(
    name: str, asked: Document, other: Document, fields: Mapping[str, int], *, sort: Document, hint: str, limit: int
) -> Document:
    """The command that finds ``limit`` documents of a collection by an index, and behind them as many by ``other``.

    One exchange instead of two. A hint is for the first of them: for the other MongoDB chooses.
    """

    def stages(asked: Document) -> list[Document]:
        return [{"$match": asked}, {"$sort": sort}, {"$limit": limit}, {"$project": fields}]

    return {
        "aggregate": name,
        "pipeline": [*stages(asked), {"$unionWith": {"coll": name, "pipeline": stages(other)}}],
        "hint": hint,
        "cursor": {"batchSize": 2 * limit + 1},
    }


def first_batch(store: Store, command: Document) -> Found | None:
    """The first documents that a command finds: all that it may give, or as many as fit into an answer of MongoDB.

    None: to be asked again by a cursor of PyMongo, which tries a second time where the connection broke or the primary
    has changed, and knows answers of any form.

    Raises:
        DatabaseUnavailable: MongoDB did not answer in time.
    """
    command = {**command, "readConcern": store.db.read_concern.document}
    with translated():
        try:
            answer = store.db.command(command, codec_options=_RAW)
        except (NetworkTimeout, ServerSelectionTimeoutError):
            raise
        except AutoReconnect:
            return None
        # A view of the answer where it is long.
        cursor = answer["cursor"].raw
        if cursor[4:_ARRAY_AT] != _BATCH:
            return None
        end = _ARRAY_AT + _INT.unpack_from(cursor, _ARRAY_AT)[0]
        if cursor[end : end + len(_CURSOR)] != _CURSOR:
            return None
        left = _LONG.unpack_from(cursor, end + len(_CURSOR))[0]
        if left:
            store.db.command({"killCursors": next(iter(command.values())), "cursors": [left]})
    return Found(Batch(cursor, _ARRAY_AT + 4, end - 1, _keyed()), not left)


def _keyed() -> Iterator[int]:
    # Of each element of an array in BSON: its type, its place in decimal digits, a zero.
    return chain(repeat(3, 10), repeat(4, 90), repeat(5, 900), repeat(6, 9_000), repeat(7, 90_000))
