"""Policies about minors applied to what is stored: how far a pass has come, and the writes.

Document of ``minors_passes``, one a source::

    _id      str     id of the source
    policy   str     ``strip`` or ``pseudonymise``
    after    int64   statements stored up to this are done; absent at first
    until    int64   where the pass ends: what came later was looked at on the way in
    started  date    when this pass began
    finished date    when it ended; absent while it is under way
    counts   {str: int}  see ``app.operations.minors.Applied``

One that is not finished goes on from where it was: when the command is run again, or by a restore, which notes here
the passes that came after its backup (``docs/adr/0050-restores-clean-again.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from pymongo import UpdateOne

from app.core import clock
from app.core.personal_data import Impersonal, Restored
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Document, Store, translated
from app.traces.conformance.session_store import SESSIONS
from app.traces.statements.attachment_store import NAME as ATTACHMENTS
from app.traces.statements.store import NAME as STATEMENTS

NAME = "minors_passes"
COLLECTIONS = (
    Declared(NAME, Impersonal("how far a policy was applied: counts by source"), restored=Restored.BY_ITSELF),
)


class Pass(NamedTuple):
    """Progress of a pass; see the document."""

    source: str
    policy: str
    after: int | None
    until: int
    counts: Mapping[str, int]


class Cleaning(NamedTuple):
    """Record of a pass by which it is done again elsewhere; see the document."""

    source: str
    policy: str
    until: int


class Rewritten(NamedTuple):
    """A statement as it was read, and as it is to be: whose it is, what it is found by, its fingerprint, its body."""

    id: UUID
    before: bytes
    subject: bytes
    tokens: tuple[bytes, ...]
    fingerprint: bytes
    body: bytes


class MinorsRepository:
    """The passes, and what they write."""

    def __init__(self, store: Store, name: str = NAME) -> None:
        """``name``: of the collection of passes; a restore fills another one first."""
        self._passes = store.collection(name)
        self._statements = store.collection(STATEMENTS)
        self._attachments = store.collection(ATTACHMENTS)
        self._sessions = store.collection(SESSIONS)

    def under_way(self, source: str, policy: str) -> Pass | None:
        """The pass over a source under this policy that has not ended."""
        with translated():
            found = self._passes.find_one({"_id": source, "policy": policy, "finished": {"$exists": False}})
        return None if found is None else _pass(found)

    def unfinished(self) -> list[Pass]:
        """The passes that have not ended, by source."""
        with translated():
            return [_pass(each) for each in self._passes.find({"finished": {"$exists": False}}).sort("_id", 1)]

    def begun(self) -> list[Cleaning]:
        """The last pass over each source, ended or not, by source."""
        with translated():
            found = self._passes.find({}, {"policy": 1, "until": 1}).sort("_id", 1)
            return [Cleaning(str(each["_id"]), str(each["policy"]), int(each["until"])) for each in found]

    def make_due(self, known: Iterable[Cleaning]) -> None:
        """Note passes to be done, of each source the last one; one that is here, or a later one, stays as it is."""
        last: dict[str, Cleaning] = {}
        for each in known:
            if each.source not in last or last[each.source].until < each.until:
                last[each.source] = each
        for each in last.values():
            with translated():
                here = self._passes.find_one({"_id": each.source}, {"until": 1})
            if here is None or int(here["until"]) < each.until:
                self.begin(*each)

    def begin(self, source: str, policy: str, until: int) -> Pass:
        """Begin a pass over all that the source stored before ``until``."""
        with translated():
            self._passes.replace_one(
                {"_id": source},
                {"policy": policy, "until": until, "started": clock.now(), "counts": {}},
                upsert=True,
            )
        return Pass(source, policy, None, until, {})

    def mark(self, now: Pass, *, finished: bool = False) -> None:
        """Note how far a pass has come."""
        said: dict[str, object] = {"counts": dict(now.counts)}
        if now.after is not None:
            said["after"] = now.after
        if finished:
            said["finished"] = clock.now()
        with translated():
            self._passes.update_one({"_id": now.source, "policy": now.policy, "until": now.until}, {"$set": said})

    def write(self, changes: Sequence[Rewritten]) -> int:
        """Replace statements, in one write, where they are as they were read; how many were."""
        if not changes:
            return 0
        writes = [
            UpdateOne(
                {"_id": one.id, "body": one.before},
                {
                    "$set": {"subject": one.subject, "t": list(one.tokens), "print": one.fingerprint, "body": one.body},
                    # What it has become did not come in under the conditions that it did.
                    "$unset": {"c": ""},
                },
            )
            for one in changes
        ]
        with translated():
            return self._statements.bulk_write(writes, ordered=False).matched_count

    def moved(self, changes: Sequence[Rewritten]) -> list[UUID]:
        """Those of these statements that are as they were to be."""
        bodies = {one.id: one.body for one in changes}
        with translated():
            found = list(self._statements.find({"_id": {"$in": list(bodies)}}, {"body": 1}))
        return [one["_id"] for one in found if bytes(one.get("body", b"")) == bodies[one["_id"]]]

    def delete(self, statements: Sequence[UUID]) -> None:
        """Delete statements."""
        with translated():
            self._statements.delete_many({"_id": {"$in": list(statements)}})

    def wrap(self, keys: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        """Let attachments be opened by one more learner each: attachment, subject token, key wrapped for them."""
        writes = [
            # One that is wrapped for them already stays as it is.
            UpdateOne(
                {"_id": attachment, "keys.subject": {"$ne": subject}},
                {"$push": {"keys": {"subject": subject, "key": key}}},
            )
            for attachment, subject, key in keys
        ]
        if writes:
            with translated():
                self._attachments.bulk_write(writes, ordered=False)

    def forget_sessions(self, source: str, subjects: Sequence[bytes]) -> None:
        """Delete the sessions of a source that are sealed for these learners."""
        with translated():
            self._sessions.delete_many({"source": source, "subject": {"$in": list(subjects)}})


def _pass(found: Document) -> Pass:
    counts = {name: int(number) for name, number in found["counts"].items()}
    return Pass(str(found["_id"]), str(found["policy"]), found.get("after"), int(found["until"]), counts)
