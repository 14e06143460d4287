"""Links of accounts to learners, and the attempts to make one, as stored.

``learner_links``::

    _id        binary(16)    random, public
    subjects   [binary(16)]  subject tokens of the learner, with the keys of all of which ``who`` is encrypted
    by         str           who asked for it: ``source:`` or ``provider:`` with its id
    role       str           whose account it is for: ``learner`` or ``guardian``
    asked      date          when the code was asked for
    code       binary(32)    MAC of the code; absent once it was given, or where there was none
    code_ends  date          last instant of the code; absent once it was given
    user       str           the account; absent until the code is given
    made       date          when it was
    ends       date          last instant of the link
    ended      date          when it was ended before that; absent: it was not
    who        binary        the learner's identifiers: JSON, encrypted
    called     binary        what the account's owner calls the learner, empty for nothing: encrypted

``link_attempts``::

    _id    str   account that gave a code that opens nothing
    n      int   how often, in this period
    until  date  end of the period
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pymongo import ReturnDocument

from app.core.personal_data import Personal, Restored
from app.crypto.documents import Layer, data_subject_layer
from app.platform.mongo.collection import DataContext, Declared, Index, UnderLearners
from app.platform.mongo.connection import Document, Store, translated
from app.platform.mongo.learner_collection import Export, LearnerCollection

LINKS = "learner_links"
ATTEMPTS = "link_attempts"


def place(id: bytes, field: str) -> str:
    """The place that an encrypted part of a link is bound to."""
    return f"link:{field}:{id.hex()}"


def _layers(found: Mapping[str, Any], field: str) -> tuple[Layer, ...]:
    bound = place(bytes(found["_id"]), field)
    return tuple(data_subject_layer(bound, bytes(subject)) for subject in found["subjects"])


def _by_subjects(subjects: Sequence[bytes]) -> Document:
    return {"subjects": {"$in": list(subjects)}}


def _item(found: Mapping[str, Any], _: Mapping[str, bytes]) -> Mapping[str, object]:
    # Whose the account is, and what a guardian calls the child, is of the guardian.
    return {
        "role": found["role"],
        "asked_by": found["by"],
        "asked": found["asked"].isoformat(),
        "made": found["made"].isoformat() if "made" in found else None,
        "ends": (found.get("ended") or found["ends"]).isoformat(),
    }


_UNDER = UnderLearners(("who", "called"), _layers, needs=("subjects",))
_WORDS = {"en": "links of accounts of families to you", "fr": "les comptes de famille reliés à vous"}


def _data(context: DataContext) -> LearnerCollection:
    export = Export("links/links", _item, words=_WORDS)
    return LearnerCollection(context, LINKS, _UNDER, counted="links", held=False, find=_by_subjects, export=export)


COLLECTIONS = (
    Declared(
        LINKS,
        Personal(
            what="links of accounts of learners and guardians to learners, and codes for them: "
            "the learner's identifiers encrypted with the learner's keys",
            locate="subject tokens",
            export="links",
            erase="with the keys, then the documents",
            retain="the end of the link, the end of the school year at the latest by default; a code, days",
            restore="one that was ended stays so",
            apart={"retain": "`app/people/family/links.py`: removed by the job `requests` on the day after its end"},
        ),
        (
            Index("subjects", (("subjects", 1),)),
            Index("code", (("code", 1),), unique=True, only_with="code"),
            Index("user", (("user", 1),), only_with="user"),
            Index("ends", (("ends", 1),)),
        ),
        under_learners=_UNDER,
        data=_data,
        restored=Restored.IN_FORCE,
    ),
    Declared(
        ATTEMPTS,
        Personal(
            what="accounts that gave a code that opens nothing, and how often",
            locate="the id of the account",
            export="none: of those who sign in",
            erase="an hour later",
            retain="an hour",
            apart={
                "locate": "none: of those who sign in, by the id of their account",
                "export": "none: it is gone within a day",
                "erase": "`app/people/family/links.py`: removed by the job `requests`",
                "retain": "`app/people/family/links.py`: it counts for an hour, and is removed by the job `requests`",
            },
        ),
        (Index("until", (("until", 1),)),),
        restored=Restored.NEVER,
    ),
)


class StoredLink(NamedTuple):
    """A link as stored; see the module's text."""

    id: bytes
    subjects: tuple[bytes, ...]
    by: str
    role: str
    asked: datetime
    ends: datetime
    who: bytes
    called: bytes
    code: bytes | None = None
    code_ends: datetime | None = None
    user: str | None = None
    made: datetime | None = None
    ended: datetime | None = None


class LinkRepository:
    """Reads and writes links, and counts attempts."""

    def __init__(self, store: Store) -> None:
        self._links = store.collection(LINKS)
        self._attempts = store.collection(ATTEMPTS)

    def add(self, link: StoredLink) -> None:
        """Store a new link."""
        document = {name: value for name, value in link._asdict().items() if value is not None}
        document["_id"] = document.pop("id")
        document["subjects"] = list(link.subjects)
        with translated():
            self._links.insert_one(document)

    def remove(self, id: bytes) -> None:
        """Remove a link."""
        with translated():
            self._links.delete_one({"_id": id})

    def by_code(self, code: bytes) -> StoredLink | None:
        """The link that waits for this code, or would if it had not ended."""
        with translated():
            found = self._links.find_one({"code": code})
        return None if found is None else _link(found)

    def give(self, link: StoredLink, *, user: str, made: datetime, called: bytes) -> bool:
        """Note whose account a link is to; False when the code was given or ended meanwhile."""
        set_to = {"user": user, "made": made, "called": called}
        change: Document = {"$set": set_to, "$unset": {"code": "", "code_ends": ""}}
        still: Document = {"_id": link.id, "code": link.code, "code_ends": {"$gt": made}, "ended": {"$exists": False}}
        with translated():
            return self._links.update_one(still, change).matched_count == 1

    def of_user(self, user: str, now: datetime) -> Sequence[StoredLink]:
        """The links of an account that are in force, the oldest first."""
        asked: Document = {"user": user, "ends": {"$gt": now}, "ended": {"$exists": False}}
        with translated():
            return [_link(found) for found in self._links.find(asked).sort([("made", 1), ("_id", 1)])]

    def to_end(
        self, by: str, now: datetime, *, id: bytes | None = None, subjects: Sequence[bytes] = ()
    ) -> Sequence[StoredLink]:
        """The links in force, and codes that wait, that one asked for: of an id, or of a learner."""
        asked: Document = {"by": by, "ends": {"$gt": now}, "ended": {"$exists": False}}
        asked |= {"_id": id} if id is not None else _by_subjects(subjects)
        with translated():
            return [_link(found) for found in self._links.find(asked)]

    def end(self, ids: Sequence[bytes], now: datetime) -> int:
        """End these links; how many were not ended before."""
        change: Document = {"$set": {"ended": now}, "$unset": {"code": "", "code_ends": ""}}
        with translated():
            return self._links.update_many(
                {"_id": {"$in": list(ids)}, "ended": {"$exists": False}}, change
            ).modified_count

    def remove_ended(self, now: datetime) -> int:
        """Remove links past their end, codes that nobody gave in time, and attempts that count no more."""
        # One that was ended before its day stays until then: a restore must not bring it back.
        unused: Document = {"code_ends": {"$lte": now}}
        with translated():
            gone = self._links.delete_many({"$or": [{"ends": {"$lte": now}}, unused]}).deleted_count
            self._attempts.delete_many({"until": {"$lte": now}})
        return gone

    def attempt(self, user: str, now: datetime, until: datetime) -> int:
        """Count an attempt of an account; how many there are of the period, this one included."""
        with translated():
            self._attempts.delete_one({"_id": user, "until": {"$lte": now}})
            found = self._attempts.find_one_and_update(
                {"_id": user},
                {"$inc": {"n": 1}, "$setOnInsert": {"until": until}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return int(found["n"]) if found else 1

    def forget_attempts(self, user: str) -> None:
        """Forget the attempts of an account."""
        with translated():
            self._attempts.delete_one({"_id": user})


def _link(found: Document) -> StoredLink:
    return StoredLink(
        bytes(found["_id"]),
        tuple(bytes(subject) for subject in found["subjects"]),
        found["by"],
        found["role"],
        found["asked"],
        found["ends"],
        bytes(found["who"]),
        bytes(found["called"]),
        bytes(found["code"]) if "code" in found else None,
        found.get("code_ends"),
        found.get("user"),
        found.get("made"),
        found.get("ended"),
    )
