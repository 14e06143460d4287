"""A collection each of whose documents is one learner's, encrypted with that learner's key: the ordinary way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pymongo
from pymongo import DeleteOne

from app.core.personal_data import Age, Ageing, DataSubject, Ended, Erasing, Exported, Gone, PersonalDataStore
from app.crypto.documents import decrypt_layers
from app.platform.mongo.collection import DataContext, UnderLearners
from app.platform.mongo.connection import Document, translated

_PAGE = 500
# Counting a source of a hundred million statements takes longer than a request may.
_COUNT_SECONDS = 600.0
# Data subjects in one query.
_AT_ONCE = 1_000

Find = Callable[[Sequence[bytes]], Document]
"""From subject tokens to the query for what is theirs, which its index answers."""


def by_subject(subjects: Sequence[bytes]) -> Document:
    """The query for what is of these learners, by the field ``subject``."""
    return {"subject": {"$in": list(subjects)}}


class Export(NamedTuple):
    """The part of a collection in subject access exports.

    Attributes:
        path: As of ``Exported``.
        item: From a document, and those of its fields that were opened, to JSON values: nothing of anybody else.
        opened: The encrypted fields that ``item`` needs.
        words: As of ``Exported``.
    """

    path: str
    item: Callable[[Mapping[str, Any], Mapping[str, bytes]], Mapping[str, object]]
    opened: tuple[str, ...] = ()
    words: Mapping[str, str] | None = None


class Aged(NamedTuple):
    """The fields by which documents end with the duration of a processing activity.

    Attributes:
        source: The id of the source that wrote it last.
        written: When that was, microseconds since 1970 UTC; an index begins with both.
        subject: The subject token.
    """

    source: str = "source"
    written: str = "updated"
    subject: str = "subject"


class LearnerCollection(PersonalDataStore):
    """Such a collection in the rights of data subjects, by the page; its indexes answer each query."""

    def __init__(
        self,
        context: DataContext,
        name: str,
        under: UnderLearners,
        *,
        counted: str | None = None,
        receipt: str | None = None,
        held: bool = True,
        find: Find = by_subject,
        export: Export | None = None,
        aged: Aged | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            context: The database and the keys.
            name: Of the collection.
            under: What is encrypted in it: a document goes when the first of these fields does not open any more. Every
                document has that one: of one without it nothing says whether it is of before an erasure, so it goes.
            counted: Its name in what is found of a data subject; None: ``name``.
            receipt: Its name in the receipt of an erasure; None: ``name``.
            held: True if a data subject of whom it has something is one of whom something is held.
            find: By what a learner's are found.
            export: Its part in subject access exports; None: that is made elsewhere.
            aged: By what retention deletes it; None: it ends in another way.
        """
        self.name = name
        self._collection = context.store.collection(name)
        self._organisation = context.keys.organisation
        self._learners = context.learners
        self._under = under
        self._counted = counted or name
        self._receipt = receipt or name
        self._held = held
        self._find = find
        self._export = export
        self._ageing = None if aged is None else _Ageing(context, name, aged)

    def locate(self, who: DataSubject) -> Mapping[str, int]:
        """Their documents."""
        return {self._counted: self._count(who)}

    def holds(self, who: DataSubject) -> bool:
        """True if there is one, and such count."""
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._held and self._collection.find_one(self._find(who.subjects), {"_id": 1}) is not None

    def export(self, who: DataSubject) -> Exported | None:
        """Their documents, in the order of their ids."""
        made = self._export
        return None if made is None else Exported(made.path, self._items(made, who), made.words)

    def erase(self, asked: Erasing) -> Iterator[Gone]:
        """Delete those of their documents that their present keys, if any, do not open."""
        field = self._under.fields[0]
        for rows in self._pages(asked.who.subjects, (field, *self._under.needs), asked.limit):
            # Read after the rows: what is sealed with a key that lives was sealed with one that is there by now.
            opened = self._opened(rows, (field,))
            changes = [
                # Only what is still as it was read; what has no such field, as long as it has none.
                DeleteOne({"_id": row["_id"], field: row.get(field)})
                for row, values in zip(rows, opened, strict=True)
                if values is None or not values
            ]
            gone = 0
            if changes:
                with translated():
                    gone = self._collection.bulk_write(changes, ordered=False).deleted_count
            yield Gone(gone, {self._receipt: gone})

    @property
    def ageing(self) -> Ageing | None:
        """By ``aged``."""
        return self._ageing

    def _count(self, who: DataSubject) -> int:
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._collection.count_documents(self._find(who.subjects))

    def _items(self, export: Export, who: DataSubject) -> Iterator[Mapping[str, object] | None]:
        for rows in self._pages(who.subjects, None, _PAGE):
            opened = self._opened(rows, export.opened) if export.opened else [{} for _ in rows]
            for row, values in zip(rows, opened, strict=True):
                # Of one that was erased nothing is told; one whose key is there is damaged.
                if values is not None:
                    yield export.item(row, values) if len(values) == len(export.opened) else None

    def _pages(self, subjects: Sequence[bytes], fields: tuple[str, ...] | None, limit: int) -> Iterator[list[Document]]:
        after: object | None = None
        while True:
            theirs = self._find(subjects)
            asked = theirs if after is None else {"$and": [theirs, {"_id": {"$gt": after}}]}
            with translated():
                found = self._collection.find(asked, None if fields is None else dict.fromkeys(fields, 1))
                rows = list(found.sort("_id", 1).limit(limit))
            if rows:
                yield rows
            if len(rows) < limit:
                return
            after = rows[-1]["_id"]

    def _opened(self, rows: Sequence[Document], fields: Sequence[str]) -> list[Mapping[str, bytes] | None]:
        """Those of these fields that open, document by document; None: the learner has no key."""
        layers = [[self._under.layers(row, field) for field in fields] for row in rows]
        keys = self._learners.existing({layer.subject for each in layers for some in each for layer in some})
        opened: list[Mapping[str, bytes] | None] = []
        for row, each in zip(rows, layers, strict=True):
            if any(layer.subject not in keys for some in each for layer in some):
                opened.append(None)
                continue
            values = {
                field: decrypt_layers(keys, self._organisation, some, bytes(row.get(field, b"")))
                for field, some in zip(fields, each, strict=True)
            }
            opened.append({field: value for field, value in values.items() if value is not None})
        return opened


class _Ageing:
    """Documents of a source by when they were last written, on an index of both."""

    def __init__(self, context: DataContext, name: str, fields: Aged) -> None:
        self._collection = context.store.collection(name)
        self._fields = fields

    def age(self, source: str, due_before: int, overdue_before: int, held: Sequence[bytes] = ()) -> Age:
        written = self._fields.written
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            of_source = {self._fields.source: source}
            first = self._collection.find_one(of_source, {"_id": 0, written: 1}, sort=[(written, 1)])
            if first is None:
                return Age(0, None, 0, 0)
            oldest = int(first[written])
            return Age(
                self._collection.count_documents(of_source),
                oldest,
                self.count(source, due_before, held) if oldest < due_before else 0,
                self.count(source, overdue_before, held) if oldest < overdue_before else 0,
            )

    def count(self, source: str, before: int, held: Sequence[bytes] = (), since: int = 0) -> int:
        asked = self._written(source, before, since)
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            # All by the index alone, then those of the few who are held: to look whose each is would read each.
            counted = self._collection.count_documents(asked)
            for place in range(0, len(held), _AT_ONCE):
                theirs = {"$in": list(held[place : place + _AT_ONCE])}
                counted -= self._collection.count_documents({**asked, self._fields.subject: theirs})
            return counted

    def delete(self, source: str, before: int, limit: int, held: Sequence[bytes] = (), since: int = 0) -> int:
        asked = self._written(source, before, since)
        return self._delete({**asked, self._fields.subject: {"$nin": list(held)}} if held else asked, limit)

    def count_ended(self, source: str, ended: Sequence[Ended], since: int) -> int:
        if not ended:
            return 0
        with translated(), pymongo.timeout(_COUNT_SECONDS):
            return self._collection.count_documents(self._of_ended(source, ended, since))

    def delete_ended(self, source: str, ended: Sequence[Ended], since: int, limit: int) -> int:
        return self._delete(self._of_ended(source, ended, since), limit) if ended else 0

    def _delete(self, asked: Document, limit: int) -> int:
        with translated():
            found = self._collection.find(asked, {"_id": 1}).sort([(self._fields.written, 1)]).limit(limit)
            ids = [document["_id"] for document in found]
            # Asked again: one may have been written anew in between, and is kept from then.
            return self._collection.delete_many({**asked, "_id": {"$in": ids}}).deleted_count if ids else 0

    def _written(self, source: str, before: int, since: int) -> Document:
        return {self._fields.source: source, self._fields.written: {"$gte": since, "$lt": before}}

    def _of_ended(self, source: str, ended: Sequence[Ended], since: int) -> Document:
        return {
            "$or": [{self._fields.subject: one.subject, **self._written(source, one.before, since)} for one in ended]
        }
