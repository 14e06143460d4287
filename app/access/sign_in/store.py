"""Invitations and counts of attempts, as stored.

``sign_in_attempts``, of those who guess::

    _id       binary    MAC of what is tried: a login, a browser, an address, a second factor
    failures  int       attempts without success, one after another
    until     date      before this none is looked at
    ends      date      when it is forgotten

``user_invitations``::

    _id       binary    SHA-256 of the code in the link, 32 bytes
    user      str       whose account it opens
    created, ends date  when it was made, its last instant

``sign_ins_under_way``, of those who went to a provider::

    _id       binary    SHA-256 of the state, 32 bytes
    browser   binary    SHA-256 of what the browser must come back with
    provider  str       where they went
    back      str       path of the page that it is to lead to; empty: none
    ends      date      its last instant
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pymongo.errors import DuplicateKeyError

from app.core.personal_data import Impersonal, Personal, Restored
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Document, Store, translated

ATTEMPTS = "sign_in_attempts"
INVITATIONS = "user_invitations"
UNDER_WAY = "sign_ins_under_way"

COLLECTIONS = (
    Declared(
        ATTEMPTS,
        Impersonal("counts of failed attempts to sign in, by a MAC of what was tried; gone a day after the last"),
        (Index("ends", (("ends", 1),)),),
        restored=Restored.NEVER,
    ),
    Declared(
        INVITATIONS,
        Personal(
            what="invitations of those who are to sign in: whose account; the code only as a digest",
            locate="the id of the account",
            export="none: the account is on the page of its owner",
            erase="with the account",
            retain="7 days",
            apart={
                "locate": "none: of those who read, by the id of their account",
                "export": "none: each sees their account on its page",
                "erase": "`app/access/sign_in/invitations.py`: an invitation to no account opens nothing",
                "retain": "`app/access/sign_in/invitations.py`: gone when the next one is made after their end",
            },
        ),
        (Index("user", (("user", 1),)), Index("ends", (("ends", 1),))),
        restored=Restored.NEVER,
    ),
    Declared(
        UNDER_WAY,
        Impersonal("sign-ins by a provider that are under way: digests, of nobody who is known yet; 10 minutes"),
        (Index("ends", (("ends", 1),)),),
        restored=Restored.NEVER,
    ),
)


class Limit(NamedTuple):
    """A limit of attempts.

    Attributes:
        free: Attempts without success that nobody waits after.
        first: The wait after one more; twice as long after each that follows.
        longest: The longest wait.
    """

    free: int
    first: timedelta
    longest: timedelta


class AttemptRepository:
    """Counts attempts. An attempt is counted before it is made, so that many at once are not free."""

    def __init__(self, store: Store) -> None:
        self._attempts = store.collection(ATTEMPTS)

    def claim(self, key: bytes, limit: Limit, now: datetime, forgotten: timedelta) -> datetime | None:
        """Count one attempt as failed, until it is given back.

        Returns:
            None; or, where it may not be made yet, the instant from which it may.
        """
        known = {"$and": [{"$gt": ["$ends", now]}, {"$gt": ["$failures", 0]}]}
        failures: Mapping[str, Any] = {"$add": [{"$cond": [known, "$failures", 0]}, 1]}
        beyond = {"$subtract": ["$failures", limit.free + 1]}
        # Beyond twenty doublings the longest wait is reached, whatever it is.
        doubled = {"$pow": [2, {"$min": [beyond, 20]}]}
        first, longest = (round(each.total_seconds() * 1_000) for each in (limit.first, limit.longest))
        wait = {"$cond": [{"$lt": [beyond, 0]}, 0, {"$min": [longest, {"$multiply": [first, doubled]}]}]}
        pipeline: list[Document] = [
            {"$set": {"failures": failures}},
            {"$set": {"until": {"$add": [now, wait]}, "ends": now + forgotten}},
        ]
        with translated():
            try:
                self._attempts.update_one({"_id": key, "until": {"$lte": now}}, pipeline, upsert=True)
            except DuplicateKeyError:
                found = self._attempts.find_one({"_id": key})
                until: datetime | None = None if found is None else found["until"]
                return until if until is not None and until > now else now
        return None

    def give_back(self, key: bytes, now: datetime) -> None:
        """Take an attempt that was counted off again."""
        with translated():
            self._attempts.update_one(
                {"_id": key, "failures": {"$gt": 0}}, {"$inc": {"failures": -1}, "$set": {"until": now}}
            )

    def clear(self, key: bytes) -> None:
        """Forget the attempts of a key."""
        with translated():
            self._attempts.delete_one({"_id": key})

    def forget(self, now: datetime) -> None:
        """Forget those that are old."""
        with translated():
            self._attempts.delete_many({"ends": {"$lte": now}})


class StoredInvitation(NamedTuple):
    """An invitation; see the module's text."""

    digest: bytes
    user: str
    created: datetime
    ends: datetime


class InvitationRepository:
    """Reads and writes invitations."""

    def __init__(self, store: Store) -> None:
        self._invitations = store.collection(INVITATIONS)

    def put(self, invitation: StoredInvitation) -> None:
        """Store an invitation in place of the others of its account, and remove those that have ended."""
        document = invitation._asdict()
        document["_id"] = document.pop("digest")
        gone = [{"user": invitation.user}, {"ends": {"$lte": invitation.created}}]
        with translated():
            self._invitations.delete_many({"$or": gone})
            self._invitations.insert_one(document)

    def get(self, digest: bytes) -> StoredInvitation | None:
        """One invitation, ended or not."""
        with translated():
            found = self._invitations.find_one({"_id": digest})
        return None if found is None else _invitation(found)

    def take(self, digest: bytes, now: datetime) -> StoredInvitation | None:
        """Remove an invitation that has not ended; one of those who ask at once gets it."""
        with translated():
            found = self._invitations.find_one_and_delete({"_id": digest, "ends": {"$gt": now}})
        return None if found is None else _invitation(found)

    def ends_of(self, users: Sequence[str]) -> Mapping[str, datetime]:
        """The ends of the invitations of these accounts, past or not."""
        with translated():
            return {str(found["user"]): found["ends"] for found in self._invitations.find({"user": {"$in": [*users]}})}

    def remove_all(self, user: str) -> None:
        """Remove those of an account."""
        with translated():
            self._invitations.delete_many({"user": user})


class StoredJourney(NamedTuple):
    """A sign-in by a provider, under way; see the module's text."""

    digest: bytes
    browser: bytes
    provider: str
    back: str
    ends: datetime


class UnderWayRepository:
    """Reads and writes sign-ins under way."""

    def __init__(self, store: Store) -> None:
        self._under_way = store.collection(UNDER_WAY)

    def add(self, journey: StoredJourney, now: datetime) -> None:
        """Store one, and remove those that have ended."""
        document = journey._asdict()
        document["_id"] = document.pop("digest")
        with translated():
            self._under_way.delete_many({"ends": {"$lte": now}})
            self._under_way.insert_one(document)

    def take(self, digest: bytes, now: datetime) -> StoredJourney | None:
        """Remove one that has not ended; one of those who ask at once gets it."""
        with translated():
            found = self._under_way.find_one_and_delete({"_id": digest, "ends": {"$gt": now}})
        if found is None:
            return None
        browser = bytes(found["browser"])
        return StoredJourney(digest, browser, str(found["provider"]), str(found["back"]), found["ends"])


def _invitation(found: Mapping[str, Any]) -> StoredInvitation:
    return StoredInvitation(bytes(found["_id"]), str(found["user"]), found["created"], found["ends"])
