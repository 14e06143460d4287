"""User accounts and sessions, as stored.

``users``::

    _id       str       u- and 24 hexadecimal digits, random: what the audit log has as actor
    login     binary    MAC of the login, by which it is found: unique
    profile   binary    name, login and language: JSON, sealed with the documents key
    secrets   binary    what a local sign-in is checked against: JSON, sealed with the documents key; `{}` without
    grants    [object]  roles, each with its perimeter and its end
    created   date
    disabled  date      since when nobody signs in by it; null: it is good
    n         int       number of changes: two writers do not undo each other

``user_sessions``::

    _id       binary    SHA-256 of the token in the cookie, 32 bytes
    user      str       whose it is
    method    str       how they signed in: ``local``, or the id of a provider
    purpose   str       code of what they read for; null until they have chosen one
    created, seen, ends date   begin, last use (to the minute), last instant
    pending   str       what it lacks to be in force: ``second-factor``, ``set-up``; null: nothing
    forms     [str]     ids of forms that take effect once and were sent, the newest of them; absent without any
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pymongo.errors import DuplicateKeyError

from app.access.perimeters import Perimeter
from app.access.roles import Grant, Role
from app.core.personal_data import Personal, Restored
from app.platform.mongo.collection import Declared, Index, UnderDocumentsKey
from app.platform.mongo.connection import Document, Store, translated

USERS = "users"
SESSIONS = "user_sessions"


def place(id: str, field: str) -> str:
    """The place that a sealed part of an account is bound to."""
    return f"user:{field}:{id}"


COLLECTIONS = (
    Declared(
        USERS,
        Personal(
            what="accounts of those who sign in: name and login sealed with the documents key, roles, perimeters",
            locate="a MAC of the login",
            export="none: staff see theirs on the page of their account",
            erase="removed by the operator",
            retain="with the account; its roles have ends",
            apart={
                "locate": "none: accounts are of those who read, known to the operator",
                "export": "none: each sees their own on the page of their account",
                "erase": "`app/access/users/service.py`: removed by the operator",
                "retain": "`app/access/users/service.py`: with the account",
            },
        ),
        (Index("login", (("login", 1),), unique=True),),
        under_documents_key=UnderDocumentsKey(("profile", "secrets"), lambda id, field: place(id, field)),
        restored=Restored.IN_FORCE,
    ),
    Declared(
        SESSIONS,
        Personal(
            what="sessions of those who are signed in: whose, since when; the token only as a digest",
            locate="the id of the account",
            export="none: each sees theirs on the page of their account",
            erase="with the account",
            retain="12 hours",
            apart={
                "locate": "none: of those who read, by the id of their account",
                "export": "none: each sees their own on the page of their account",
                "erase": "`app/access/users/service.py`: with the account",
                "retain": "`app/access/users/sessions.py`: gone when the next one begins after their end",
            },
        ),
        (Index("user", (("user", 1),)), Index("ends", (("ends", 1),))),
        restored=Restored.NEVER,
    ),
)


class StoredUser(NamedTuple):
    """An account; see the module's text."""

    id: str
    login: bytes
    profile: bytes
    secrets: bytes
    grants: tuple[Grant, ...]
    created: datetime
    disabled: datetime | None = None
    n: int = 0


class StoredSession(NamedTuple):
    """A session; see the module's text."""

    digest: bytes
    user: str
    method: str
    purpose: str | None
    created: datetime
    seen: datetime
    ends: datetime
    pending: str | None = None


class UserRepository:
    """Reads and writes accounts."""

    def __init__(self, store: Store) -> None:
        self._users = store.collection(USERS)

    def add(self, user: StoredUser) -> bool:
        """Store a new account; False when its login or its id is taken."""
        with translated():
            try:
                self._users.insert_one(_user_document(user))
            except DuplicateKeyError:
                return False
        return True

    def replace(self, user: StoredUser) -> bool:
        """Write the next state of an account, number ``user.n``; False when another writer was first."""
        with translated():
            return self._users.replace_one({"_id": user.id, "n": user.n - 1}, _user_document(user)).matched_count == 1

    def get(self, id: str) -> StoredUser | None:
        """One account."""
        with translated():
            found = self._users.find_one({"_id": id})
        return _user(found) if found else None

    def by_login(self, login: bytes) -> StoredUser | None:
        """The account with this MAC of its login."""
        with translated():
            found = self._users.find_one({"login": login})
        return _user(found) if found else None

    def list(self) -> Sequence[StoredUser]:
        """Every account, oldest first."""
        with translated():
            return [_user(found) for found in self._users.find({}).sort([("created", 1), ("_id", 1)])]

    def page(self, after: tuple[datetime, str] | None, limit: int) -> Sequence[StoredUser]:
        """Accounts, oldest first, from the one after an instant and an id."""
        asked: Document = {}
        if after is not None:
            created, id = after
            asked = {"$or": [{"created": {"$gt": created}}, {"created": created, "_id": {"$gt": id}}]}
        with translated():
            return [_user(found) for found in self._users.find(asked).sort([("created", 1), ("_id", 1)]).limit(limit)]

    def any(self) -> bool:
        """True if there is an account."""
        with translated():
            return self._users.find_one({}, {"_id": 1}) is not None

    def remove(self, id: str) -> bool:
        """Remove an account; True if there was one."""
        with translated():
            return self._users.delete_one({"_id": id}).deleted_count == 1


class SessionRepository:
    """Reads and writes sessions."""

    def __init__(self, store: Store) -> None:
        self._sessions = store.collection(SESSIONS)

    def add(self, session: StoredSession) -> None:
        """Store a new session, and remove those that have ended."""
        document = session._asdict()
        document["_id"] = document.pop("digest")
        with translated():
            self._sessions.delete_many({"ends": {"$lte": session.created}})
            self._sessions.insert_one(document)

    def get(self, digest: bytes) -> StoredSession | None:
        """One session, ended or not."""
        with translated():
            found = self._sessions.find_one({"_id": digest})
        return _session(found) if found else None

    def of(self, user: str) -> Sequence[StoredSession]:
        """The sessions of an account, the newest first."""
        with translated():
            return [_session(found) for found in self._sessions.find({"user": user}).sort("created", -1)]

    def change(self, digest: bytes, **fields: object) -> None:
        """Write fields of a session."""
        with translated():
            self._sessions.update_one({"_id": digest}, {"$set": fields})

    def take_form(self, digest: bytes, form: str, limit: int) -> bool:
        """Note that a form was sent; False when it was before. The newest ``limit`` are remembered."""
        asked: Document = {"_id": digest, "forms": {"$ne": form}}
        change = {"$push": {"forms": {"$each": [form], "$slice": -limit}}}
        with translated():
            return self._sessions.update_one(asked, change).modified_count == 1

    def give_back_form(self, digest: bytes, form: str) -> None:
        """Forget that a form was sent."""
        with translated():
            self._sessions.update_one({"_id": digest}, {"$pull": {"forms": form}})

    def remove(self, digest: bytes) -> None:
        """End a session."""
        with translated():
            self._sessions.delete_one({"_id": digest})

    def remove_all(self, user: str, but: bytes | None = None) -> int:
        """End every session of an account, but one; how many there were."""
        asked: Document = {"user": user} if but is None else {"user": user, "_id": {"$ne": but}}
        with translated():
            return self._sessions.delete_many(asked).deleted_count


def grant_document(grant: Grant) -> Document:
    """A grant as stored: bounds that there are none of are left out."""
    return {"role": grant.role.value, "perimeter": grant.perimeter.document(), "ends": grant.ends}


def _user_document(user: StoredUser) -> Document:
    document = user._asdict()
    document["_id"] = document.pop("id")
    document["grants"] = [grant_document(each) for each in user.grants]
    return document


def _user(found: Document) -> StoredUser:
    grants = tuple(
        Grant(Role(each["role"]), Perimeter.of_document(each["perimeter"]), each["ends"]) for each in found["grants"]
    )
    return StoredUser(
        str(found["_id"]),
        bytes(found["login"]),
        bytes(found["profile"]),
        bytes(found["secrets"]),
        grants,
        found["created"],
        found["disabled"],
        int(found["n"]),
    )


def _session(found: Document) -> StoredSession:
    return StoredSession(
        bytes(found["_id"]),
        str(found["user"]),
        str(found["method"]),
        found["purpose"],
        found["created"],
        found["seen"],
        found["ends"],
        found["pending"],
    )
