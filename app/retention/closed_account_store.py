"""Accounts that sources say have ended.

Document::

    _id     str         the subject token in hexadecimal, /, id of the source
    source  str         whose account it was: only its statements are concerned
    closed  int64       when it ended, microseconds since 1970 UTC
    who     binary      its identifier, sealed with the key of the subject: its statements are found by a token of it

One goes when the account is opened again, and when retention has deleted what it led to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pymongo import DeleteOne, ReplaceOne

from app.core.personal_data import Personal, Restored
from app.crypto.documents import Layer, data_subject_layer
from app.platform.mongo.collection import DataContext, Declared, Index, UnderLearners
from app.platform.mongo.connection import Document, Store, translated
from app.platform.mongo.learner_collection import Export, LearnerCollection
from app.standards.xapi.timestamps import render

NAME = "accounts"
PLACE = "account"
"""Place that the identifiers of accounts that ended are sealed for."""


def _layers(found: Mapping[str, Any], _: str) -> tuple[Layer, ...]:
    return (data_subject_layer(PLACE, bytes.fromhex(str(found["_id"]).partition("/")[0])),)


def _of_learners(subjects: Sequence[bytes]) -> Document:
    if not subjects:
        return {"_id": {"$in": []}}
    # Their ids begin with the subject; the character after the bar is the zero.
    return {"$or": [{"_id": {"$gte": f"{each.hex()}/", "$lt": f"{each.hex()}0"}} for each in subjects]}


def _exported(found: Mapping[str, Any], _: Mapping[str, bytes]) -> Mapping[str, object]:
    return {"source": str(found["source"]), "ended": render(int(found["closed"]))}


class AccountData(LearnerCollection):
    """Ends of accounts in the rights of data subjects."""

    def __init__(self, context: DataContext) -> None:
        export = Export("accounts.json", _exported)
        super().__init__(context, NAME, _UNDER, counted="ended_accounts", held=False, find=_of_learners, export=export)
        self._repository = AccountRepository(context.store)

    def expire(self, source: str, before: int) -> None:
        """Delete ends of before an instant: nothing that was stored until then is left for them to lead to."""
        self._repository.expire(source, before)


_UNDER = UnderLearners(("who",), _layers)
COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="accounts that ended; identifiers encrypted with the learner's key",
            locate="subject token",
            export="accounts that ended",
            erase="with the key, then the document",
            retain="with the last statement that it ends",
        ),
        (Index("closed", (("source", 1), ("closed", 1))),),
        under_learners=_UNDER,
        data=AccountData,
        restored=Restored.IN_FORCE,
    ),
)


class Closing(NamedTuple):
    """The end of an account; see the module's text."""

    subject: bytes
    closed: int
    who: bytes


class AccountRepository:
    """Notes and finds the ends of accounts. Every change may be repeated."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def close(self, source: str, closings: Sequence[Closing]) -> None:
        """Note the ends of accounts of a source; what was said before of the same ones is replaced."""
        if closings:
            with translated():
                self._collection.bulk_write(
                    [ReplaceOne(*_replacement(source, one), upsert=True) for one in closings], ordered=False
                )

    def reopen(self, source: str, subjects: Iterable[bytes]) -> int:
        """Take ends back; how many there were."""
        changes = [DeleteOne({"_id": _id(source, subject)}) for subject in subjects]
        if not changes:
            return 0
        with translated():
            return self._collection.bulk_write(changes, ordered=False).deleted_count

    def closed(self, source: str, before: int, after: Closing | None, limit: int) -> list[Closing]:
        """The next accounts of a source that ended before an instant, the earliest first."""
        asked: Document = {"source": source, "closed": {"$lt": before}}
        if after is not None:
            place = _id(source, after.subject)
            asked["$or"] = [{"closed": {"$gt": after.closed}}, {"closed": after.closed, "_id": {"$gt": place}}]
        with translated():
            found = self._collection.find(asked).sort([("closed", 1), ("_id", 1)]).limit(limit)
            return [
                Closing(bytes.fromhex(one["_id"].partition("/")[0]), int(one["closed"]), bytes(one["who"]))
                for one in found
            ]

    def of(self, subjects: Iterable[bytes]) -> list[tuple[str, int]]:
        """The ends of accounts of these subjects: source, and when."""
        with translated():
            found = self._collection.find(_of_learners([*subjects]), {"source": 1, "closed": 1}).sort("_id", 1)
            return [(str(one["source"]), int(one["closed"])) for one in found]

    def settle(self, source: str, subjects: Iterable[bytes], before: int) -> None:
        """Delete those that have led to what they could, unless a later end was noted meanwhile."""
        asked: Document = {"_id": {"$in": [_id(source, subject) for subject in subjects]}, "closed": {"$lt": before}}
        with translated():
            self._collection.delete_many(asked)

    def count(self, source: str) -> int:
        """The number of accounts of a source that have ended, as far as this is still to lead to something."""
        with translated():
            return self._collection.count_documents({"source": source})

    def expire(self, source: str, before: int) -> int:
        """Delete those that ended before an instant: nothing that was stored until then is left."""
        with translated():
            return self._collection.delete_many({"source": source, "closed": {"$lt": before}}).deleted_count


def _id(source: str, subject: bytes) -> str:
    return f"{subject.hex()}/{source}"


def _replacement(source: str, one: Closing) -> tuple[Document, Document]:
    id = _id(source, one.subject)
    return {"_id": id}, {"_id": id, "source": source, "closed": one.closed, "who": one.who}
