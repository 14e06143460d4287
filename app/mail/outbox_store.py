"""Messages on their way, as stored: ``outbox``.

Document::

    _id       binary(16)  random; of a message that is sent once alone, made of what makes it that one
    state     str         waiting, sent, given-up
    template  str         which message it is
    language  str         fr, en
    created   int64       when it was asked for, microseconds since 1970 UTC
    next      int64       when it is tried next; absent once it waits no longer
    tries     int         how often it was tried
    error     str         outcome of the last attempt; absent before
    ended     int64       when it was sent or given up; absent while it waits
    once      bool        true of a message that is not sent again within ``ENDED_DAYS``; else absent
    subject   binary(16)  subject token of the address; absent once it waits no longer
    sealed    binary      address and message: JSON, sealed with the documents key; absent once it waits no longer

A message that was sent is deleted, but for one of those that are sent once: of it, and of one that was given up,
nothing is left that is anybody's, and that is deleted ``ENDED_DAYS`` later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import orjson
from pymongo.errors import DuplicateKeyError

from app.core.errors import DecryptionFailed
from app.core.personal_data import DataSubject, Erasing, Exported, Gone, Personal, PersonalDataStore, Restored
from app.platform.mongo.collection import DataContext, Declared, Index, UnderDocumentsKey
from app.platform.mongo.connection import Document, Store, translated

NAME: Final = "outbox"
WAITING: Final = "waiting"
SENT: Final = "sent"
GIVEN_UP: Final = "given-up"
ENDED_DAYS: Final = 30
"""Days that a message which waits no longer is counted."""


def place(id: bytes) -> str:
    """The place that a sealed message is bound to."""
    return f"mail:{id.hex()}"


class Queued(NamedTuple):
    """A message as stored; see the module's text. ``sealed`` is None where it waits no longer, or was not asked for."""

    id: bytes
    state: str
    template: str
    language: str
    created: int
    next: int | None
    tries: int
    error: str | None
    ended: int | None
    once: bool = False
    sealed: bytes | None = None


class OutboxData(PersonalDataStore):
    """Messages that wait, in the rights of those who have the address."""

    name = NAME

    def __init__(self, context: DataContext) -> None:
        self._collection = context.store.collection(NAME)
        self._keys = context.keys

    def locate(self, who: DataSubject) -> Mapping[str, int]:
        """Messages that wait, to an address of theirs."""
        with translated():
            return {"messages": self._collection.count_documents(_theirs(who))}

    def export(self, who: DataSubject) -> Exported:
        """Messages that wait, to an address of theirs: as they will come."""
        return Exported(
            "messages.json", self._items(who), {"en": "messages on their way to you", "fr": "les messages en route"}
        )

    def _items(self, who: DataSubject) -> Iterator[Mapping[str, object] | None]:
        with translated():
            found = list(self._collection.find(_theirs(who)).sort("_id", 1))
        for one in found:
            try:
                content = orjson.loads(self._keys.decrypt(place(bytes(one["_id"])), bytes(one["sealed"])))
            except DecryptionFailed:
                yield None
                continue
            yield {
                "template": one["template"],
                "created": one["created"],
                "to": content["to"],
                # Not the text: whoever reads an export is not always who opens the mailbox that a link is sent to.
                "subject": content["subject"],
            }

    def erase(self, asked: Erasing) -> Iterator[Gone]:
        """Delete messages that wait, to an address of theirs, from before the erasure."""
        if asked.again:
            return
        with translated():
            done = self._collection.delete_many({**_theirs(asked.who), "created": {"$lte": asked.until}})
        if done.deleted_count:
            yield Gone(done.deleted_count, {"messages": done.deleted_count})


def _theirs(who: DataSubject) -> Document:
    return {"subject": {"$in": list(who.subjects)}}


COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="messages that wait for the mail server: address and text encrypted with the documents key",
            locate="subject token of the address",
            export="messages",
            erase="deleted",
            retain="until sent, 48 hours at most",
            restore="in no backup: a link is not sent twice",
            apart={"retain": "`app/mail/service.py`: the job `mail`, by when they were asked for"},
        ),
        (
            Index("due", (("state", 1), ("next", 1))),
            Index("subject", (("subject", 1),), only_with="subject"),
        ),
        under_documents_key=UnderDocumentsKey(
            ("sealed",), lambda id, _: place(bytes(id)), {"sealed": {"$exists": True}}
        ),
        data=OutboxData,
        restored=Restored.NEVER,
    ),
)


class OutboxRepository:
    """Reads and writes messages on their way."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def add(self, queued: Queued, subject: bytes) -> bool:
        """Store a message that waits; False when there is one of its id, which stays as it is."""
        document: Document = {
            "_id": queued.id,
            "state": queued.state,
            "template": queued.template,
            "language": queued.language,
            "created": queued.created,
            "next": queued.next,
            "tries": queued.tries,
            "subject": subject,
            "sealed": queued.sealed,
        }
        if queued.once:
            document["once"] = True
        with translated():
            try:
                self._collection.insert_one(document)
            except DuplicateKeyError:
                return False
        return True

    def due(self, now: int, limit: int) -> Sequence[bytes]:
        """The ids of messages that are to be tried by now, the longest due first."""
        with translated():
            found = self._collection.find({"state": WAITING, "next": {"$lte": now}}, {"_id": 1})
            return [bytes(one["_id"]) for one in found.sort("next", 1).limit(limit)]

    def waiting(self, id: bytes) -> Queued | None:
        """A message; None where it waits no longer."""
        with translated():
            found = self._collection.find_one({"_id": id, "state": WAITING})
        return None if found is None else _queued(found)

    def wait(self, id: bytes, *, error: str, next: int) -> None:
        """Note an attempt that failed, and when the next one is made."""
        with translated():
            self._collection.update_one(
                {"_id": id, "state": WAITING}, {"$set": {"error": error, "next": next}, "$inc": {"tries": 1}}
            )

    def end(self, queued: Queued, state: str, now: int, error: str | None = None) -> None:
        """Note that a message waits no longer; nothing that is anybody's is left of it."""
        with translated():
            if state == SENT and not queued.once:
                self._collection.delete_one({"_id": queued.id})
                return
            said = {"state": state, "ended": now, "tries": queued.tries + 1}
            if error is not None:
                said["error"] = error
            gone = {"next": "", "subject": "", "sealed": ""}
            self._collection.update_one({"_id": queued.id}, {"$set": said, "$unset": gone})

    def remove_ended(self, before: int) -> int:
        """Delete those that ended before an instant; how many were."""
        with translated():
            done = self._collection.delete_many({"state": {"$in": [SENT, GIVEN_UP]}, "ended": {"$lt": before}})
        return done.deleted_count

    def list(self, limit: int) -> Sequence[Queued]:
        """Messages that wait, then those that were given up, the oldest first; without what is sealed."""
        with translated():
            found = self._collection.find({"state": {"$ne": SENT}}, {"sealed": 0, "subject": 0})
            return [_queued(one) for one in found.sort([("state", -1), ("created", 1)]).limit(limit)]

    def count(self, state: str) -> int:
        """The number of messages in a state."""
        with translated():
            return self._collection.count_documents({"state": state})

    def oldest(self) -> int | None:
        """The instant at which the oldest of those that wait was asked for; None without any."""
        with translated():
            found = self._collection.find_one({"state": WAITING}, {"created": 1}, sort=[("created", 1)])
        return None if found is None else int(found["created"])


def _queued(found: Document) -> Queued:
    sealed = found.get("sealed")
    return Queued(
        bytes(found["_id"]),
        found["state"],
        found["template"],
        found["language"],
        int(found["created"]),
        found.get("next"),
        int(found["tries"]),
        found.get("error"),
        found.get("ended"),
        bool(found.get("once", False)),
        None if sealed is None else bytes(sealed),
    )
