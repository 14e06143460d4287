"""The data of attachments, as sealed by those who store them: what they belong to, and their frames in order.

They come in before the statements that declare them, marked as pending; once these are stored, the mark goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from pymongo import UpdateOne

from app.core import clock
from app.core.personal_data import RIGHTS, Personal
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Document, Store, translated
from app.traces.statements.store import NAME as STATEMENTS

NAME = "attachments"
FRAMES = "attachment_frames"
COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="keys of attachments, wrapped with learners' keys",
            locate="`keys.subject`; ids of statements",
            export="attachments of the statements",
            erase="with the key, and with the last statement that declares it",
            retain="with its statements",
            restore="as its statements",
            apart={
                "export": "`app/people/access_package/subject_access_export.py`: with the statements that declare them",
                "retain": "`app/retention/store.py`: released before their statements are deleted",
            },
        ),
        (
            Index("statements", (("statements", 1),)),
            Index("pending", (("pending", 1),)),
            Index("learners", (("keys.subject", 1),)),
        ),
    ),
    Declared(
        FRAMES,
        Personal(
            what="data of attachments, encrypted with the attachment's key",
            locate="id of the attachment",
            export="attachments of the statements",
            erase="with the attachment",
            retain="with its statements",
            restore="as its statements",
            apart=dict.fromkeys(
                RIGHTS, "`app/traces/statements/personal_data.py`: with the attachment that they are of"
            ),
        ),
    ),
)
ABANDONED = timedelta(days=1)
"""After this time, data whose statements were never stored are given up."""

_NUMBER_BYTES = 4
_SWEPT_AT_ONCE = 1_000
_DROPPED_AT_ONCE = 100


class Attachment(NamedTuple):
    """The data of an attachment, without its frames.

    Attributes:
        id: 16 random bytes.
        mark: Keyed token of their digest.
        keys: The key that seals them, wrapped for each learner who has statements that declare them, by subject token.
        statements: The statements of the batch that declare them.
        length: Bytes, opened; 0 before all have come.
    """

    id: bytes
    mark: bytes
    keys: Mapping[bytes, bytes]
    statements: tuple[UUID, ...]
    length: int


class AttachmentRepository:
    """Reads and writes attachments."""

    def __init__(self, store: Store) -> None:
        self._attachments = store.collection(NAME)
        self._frames = store.collection(FRAMES)
        self._statements = store.collection(STATEMENTS)

    def begin(self, attachments: Sequence[Attachment]) -> None:
        """Note that their frames will come; at least one."""
        pending = clock.now()
        documents = [
            {
                "_id": attachment.id,
                "mark": attachment.mark,
                "keys": [{"subject": subject, "key": wrapped} for subject, wrapped in attachment.keys.items()],
                "statements": list(attachment.statements),
                "pending": pending,
            }
            for attachment in attachments
        ]
        with translated():
            self._attachments.insert_many(documents)

    def add(self, frames: Sequence[tuple[bytes, int, bytes]]) -> None:
        """Store sealed frames, at least one: of which attachment, the number, from 0, and the frame."""
        with translated():
            self._frames.insert_many(
                [{"_id": _frame(attachment, number), "data": frame} for attachment, number, frame in frames]
            )

    def complete(self, lengths: Mapping[bytes, int]) -> None:
        """Every frame of these attachments, at least one, is there: their lengths."""
        with translated():
            self._attachments.bulk_write(
                [UpdateOne({"_id": id}, {"$set": {"length": length}}) for id, length in lengths.items()]
            )

    def confirm(self, attachments: Sequence[bytes]) -> None:
        """The statements are stored."""
        with translated():
            self._attachments.update_many({"_id": {"$in": list(attachments)}}, {"$unset": {"pending": ""}})

    def drop(self, attachments: Sequence[bytes]) -> None:
        """Delete attachments with their frames."""
        with translated():
            # Frames first: whatever is left when this process ends here can still be found.
            for start in range(0, len(attachments), _DROPPED_AT_ONCE):
                some = attachments[start : start + _DROPPED_AT_ONCE]
                self._frames.delete_many({"$or": [{"_id": _bounds(attachment)} for attachment in some]})
            self._attachments.delete_many({"_id": {"$in": list(attachments)}})

    def of(self, statements: Iterable[UUID]) -> list[Attachment]:
        """The attachments of these statements whose data came whole; those that may yet be dropped come first."""
        wanted: Document = {"statements": {"$in": list(statements)}, "length": {"$exists": True}}
        with translated():
            found = sorted(self._attachments.find(wanted), key=lambda each: "pending" not in each)
        return list(map(_attachment, found))

    def frames(self, attachment: bytes) -> Iterator[bytes]:
        """The sealed frames in order, a few at a time."""
        with translated():
            for found in self._frames.find({"_id": _bounds(attachment)}).sort([("_id", 1)]).batch_size(2):
                yield bytes(found["data"])

    def release(self, statements: Sequence[UUID]) -> None:
        """Statements are about to be deleted: so is what only they declared."""
        gone = set(statements)
        with translated():
            found = list(self._attachments.find({"statements": {"$in": list(statements)}}, {"statements": 1}))
            if not found:
                return
            self.drop([bytes(each["_id"]) for each in found if gone.issuperset(each["statements"])])
            self._attachments.update_many({"statements": {"$in": list(gone)}}, {"$pullAll": {"statements": list(gone)}})

    def sweep(self, now: datetime) -> int:
        """Delete what was abandoned: data of statements that were never stored; how many there were."""
        with translated():
            old = list(
                self._attachments.find({"pending": {"$lt": now - ABANDONED}}, {"statements": 1}).limit(_SWEPT_AT_ONCE)
            )
            wanted = {id for each in old for id in each["statements"]}
            kept = {
                each["_id"]
                for each in self._statements.find(
                    {"_id": {"$in": list(wanted)}, "stored": {"$exists": True}}, {"_id": 1}
                )
            }
            abandoned = [bytes(each["_id"]) for each in old if kept.isdisjoint(each["statements"])]
            self.drop(abandoned)
            self.confirm([bytes(each["_id"]) for each in old if not kept.isdisjoint(each["statements"])])
        return len(abandoned)


def _frame(attachment: bytes, number: int) -> bytes:
    # Of one length, so that MongoDB orders them by attachment, then number.
    return attachment + number.to_bytes(_NUMBER_BYTES, "big")


def _bounds(attachment: bytes) -> Document:
    return {"$gte": _frame(attachment, 0), "$lte": attachment + b"\xff" * _NUMBER_BYTES}


def _attachment(found: Document) -> Attachment:
    return Attachment(
        bytes(found["_id"]),
        bytes(found["mark"]),
        {bytes(each["subject"]): bytes(each["key"]) for each in found["keys"]},
        tuple(found["statements"]),
        int(found["length"]),
    )
