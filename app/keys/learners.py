"""The data keys of learners: one random AES-256 key each, wrapped, fetched and made by the batch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from app.core import clock
from app.core.errors import DatabaseUnavailable
from app.core.personal_data import Personal, Restored
from app.crypto.keys import KEY_BYTES, Cipher, KeyPair, KeyWrapping, Wrapped, subject_place
from app.keys import rekeying
from app.platform.mongo.collection import Declared, Index
from app.platform.mongo.connection import Document, Store, translated

NAME = "subjects"
# Which keys are still under a version, in an order that a rewrap can go through and go on in.
COLLECTIONS = (
    Declared(
        NAME,
        Personal(
            what="data keys of learners, wrapped",
            locate="subject token",
            export="none: keys",
            erase="first of all",
            retain="with the last that is encrypted with it",
            restore="keys destroyed since do not come back: tombstones",
            apart={
                "locate": "none: keys; what they open is found where it is",
                "export": "none: keys",
                "erase": "`app/people/erasure/store.py`: first of all, in one transaction with the tombstones",
                "retain": "none: other data may be encrypted with it",
            },
        ),
        (Index("version", (("version", 1), ("_id", 1)), packed=True),),
        restored=Restored.BY_ITSELF,
    ),
)

KEEP_SECONDS = 30.0
"""Seconds that a process uses a learner's key without looking whether it is still there."""

DUPLICATE = 11000
# Between its making and its reading a key may be destroyed: then it is made again.
_MADE_AT_MOST = 5

# A learner's keys, opened: the one that seals; and, while it takes another's place, that other one.
_Opened = tuple[bytes, bytes | None]


class SubjectKeys:
    """Learners' keys by subject token, with a bounded cache of opened ones.

    An opened key stays in this process's memory for ``keep_seconds`` at most: that bounds how long a destroyed key
    could still be used by a process that is not told. Keys are kept as bytes, 40 MB with all around them: ready to
    encrypt, one takes six times as much, and a sender names as many learners as it likes.

    While learners get new keys (``app/operations/rotation/rekey.py``) one has two: both open, and which of them seals
    is the same for every process, by the stage that this has reached. With the last stage the old one is not used any
    more.

    Safe to share between threads.

    Attributes:
        generation: Goes up each time the keys are forgotten. What was got under another one than the present may be
            a key that was destroyed since; whoever is about to seal with it, its stamp reserved, gets it again.
    """

    def __init__(
        self,
        store: Store,
        keks: KeyWrapping,
        organisation: str,
        *,
        capacity: int = 100_000,
        keep_seconds: float = KEEP_SECONDS,
        prefix: str = "",
    ) -> None:
        """``prefix``: of the names of collections; a restore fills others first."""
        self._collection = store.collection(prefix + NAME)
        self._rekeyings = store.collection(prefix + rekeying.NAME)
        self._keks = keks
        self._organisation = organisation
        self._capacity = capacity
        self._keep = keep_seconds
        self._cache: OrderedDict[bytes, tuple[_Opened, float]] = OrderedDict()
        self._lock = threading.Lock()
        self.generation = 0

    def existing(self, subjects: Iterable[bytes]) -> dict[bytes, Cipher]:
        """The keys of these learners; one that has no key (never had, or destroyed) is left out."""
        found, missing = self._cached(set(subjects))
        if missing:
            found.update(self._fetch(missing))
        return found

    def renewed(self, subjects: Iterable[bytes]) -> dict[bytes, Cipher]:
        """The keys of these learners as they are stored now, for what those at hand do not open."""
        wanted = set(subjects)
        found = self._fetch(wanted)
        with self._lock:
            for subject in wanted - found.keys():
                self._cache.pop(subject, None)
        return found

    def ensured(self, subjects: Iterable[bytes]) -> dict[bytes, Cipher]:
        """The keys of these learners, made for those who have none: durable before this returns."""
        wanted = set(subjects)
        found = self.existing(wanted)
        for _ in range(_MADE_AT_MOST):
            missing = wanted - found.keys()
            if not missing:
                return found
            made = self._make(sorted(missing))
            found.update(made)
            if len(made) < len(missing):
                # Another process made them first: theirs are the keys.
                found.update(self._fetch(missing - made.keys()))
        raise DatabaseUnavailable("A learner is being erased again and again. Send the same request later.")

    def both(self, subjects: Iterable[bytes]) -> dict[bytes, Cipher]:
        """The keys of these learners as they are stored now, for whoever moves what is sealed to the newer one.

        A ``KeyPair`` that seals with the newer one, whatever the stage, for those who have two.
        """
        documents = self._read(set(subjects))
        return {subject: _ready(keys) for subject, keys in self._unwrapped(documents, newer_encrypts=True).items()}

    def forget(self) -> None:
        """Drop every opened key from memory, and keep none that is being fetched now."""
        with self._lock:
            self.generation += 1
            self._cache.clear()

    def _cached(self, wanted: set[bytes]) -> tuple[dict[bytes, Cipher], set[bytes]]:
        now = clock.steady()
        found = {}
        with self._lock:
            for subject in wanted:
                entry = self._cache.get(subject)
                if entry is not None and entry[1] > now:
                    found[subject] = entry[0]
        return {subject: _ready(keys) for subject, keys in found.items()}, wanted - found.keys()

    def _fetch(self, subjects: set[bytes]) -> dict[bytes, Cipher]:
        generation = self.generation
        # Before the question is sent: a key that is destroyed meanwhile is kept no longer than another.
        began = clock.steady()
        documents = self._read(subjects)
        stage = None
        if any("next" in document for document in documents):
            # Asked after the keys: it is never behind what they are used for.
            stage = rekeying.stage(self._rekeyings)
        opened = self._unwrapped(documents, newer_encrypts=stage in rekeying.ENCRYPTING_ANEW)
        if stage is rekeying.Stage.CLOSING:
            # What is still under the old one came too late, and whoever wrote it is to notice (``rekey.py``).
            opened = {subject: (keys[0], None) for subject, keys in opened.items()}
        self._remember(opened, began, generation)
        return {subject: _ready(keys) for subject, keys in opened.items()}

    def _read(self, subjects: set[bytes]) -> list[Document]:
        with translated():
            wanted = {"_id": {"$in": list(subjects)}}
            return list(self._collection.find(wanted, {"version": 1, "key": 1, "next": 1}))

    def _unwrapped(self, documents: Sequence[Document], *, newer_encrypts: bool) -> dict[bytes, _Opened]:
        """Learners' keys as they are stored, opened in one go."""
        wrapped = [
            (subject_place(self._organisation, bytes(document["_id"])), Wrapped(document["version"], bytes(sealed)))
            for document in documents
            for sealed in (document["key"], document.get("next"))
            if sealed is not None
        ]
        keys = iter(self._keks.unwrap_all(wrapped))
        opened: dict[bytes, _Opened] = {}
        for document in documents:
            first, second = next(keys), next(keys) if "next" in document else None
            opened[bytes(document["_id"])] = (second, first) if second and newer_encrypts else (first, second)
        return opened

    def _remember(self, opened: Mapping[bytes, _Opened], began: float, generation: int) -> None:
        until = began + self._keep
        with self._lock:
            if generation != self.generation:
                # It may have been read before a destruction that this process was told of meanwhile.
                return
            for subject, keys in opened.items():
                self._cache[subject] = (keys, until)
                self._cache.move_to_end(subject)
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)

    def _make(self, subjects: Sequence[bytes]) -> dict[bytes, Cipher]:
        """Make keys, durable when this returns; those of learners for whom another process did are left out."""
        generation, began = self.generation, clock.steady()
        created = clock.now()
        keys = [clock.random_bytes(KEY_BYTES) for _ in subjects]
        places = [subject_place(self._organisation, subject) for subject in subjects]
        documents = [
            {"_id": subject, "version": wrapped.version, "key": wrapped.sealed, "created": created}
            for subject, wrapped in zip(
                subjects, self._keks.wrap_all(list(zip(places, keys, strict=True)), clock.random_bytes), strict=True
            )
        ]
        made = dict(zip(subjects, keys, strict=True))
        with translated():
            try:
                self._collection.insert_many(documents, ordered=False)
            except BulkWriteError as failed:
                # A key that another process made at the same moment is as good as ours.
                refused = any(error["code"] != DUPLICATE for error in failed.details["writeErrors"])
                if refused or failed.details["writeConcernErrors"]:
                    raise
                for error in failed.details["writeErrors"]:
                    del made[subjects[error["index"]]]
        self._remember({subject: (key, None) for subject, key in made.items()}, began, generation)
        return {subject: AESGCM(key) for subject, key in made.items()}


def _ready(keys: _Opened) -> Cipher:
    encrypting, other = keys
    return AESGCM(encrypting) if other is None else KeyPair(AESGCM(encrypting), AESGCM(other))


class WrappedKey(NamedTuple):
    """A learner's key as stored.

    Attributes:
        subject: Token of 16 bytes.
        wrapped: The key, under a version.
        next: The key that takes its place, under the same version; None but during a rekey.
    """

    subject: bytes
    wrapped: Wrapped
    next: Wrapped | None = None

    @property
    def keys(self) -> tuple[Wrapped, ...]:
        """Both, or the one that there is."""
        return (self.wrapped,) if self.next is None else (self.wrapped, self.next)


class Replacement(NamedTuple):
    """A learner's key as it was read, and as it is to be; with the one that takes its place, if there is one."""

    subject: bytes
    before: Wrapped
    after: Wrapped
    next_before: Wrapped | None = None
    next_after: Wrapped | None = None


class WrappedKeys:
    """Learners' keys as they are stored, for those who look after what they are wrapped with."""

    def __init__(self, store: Store) -> None:
        self._collection = store.collection(NAME)

    def versions(self) -> list[int]:
        """The versions that something is wrapped with: one look into the index for each, however many learners."""
        with translated():
            return sorted(int(version) for version in self._collection.distinct("version"))

    def total(self) -> int:
        """About how many keys there are, at once."""
        with translated():
            return self._collection.estimated_document_count()

    def count(self, version: int, progress: Callable[[int], None] = lambda _: None) -> int:
        """The number of keys under a version: by the index alone, in slices that each take a moment.

        Args:
            version: The version.
            progress: Told how many were counted, now and then.
        """
        counted = 0
        for first in range(0, 256, _SLICE):
            # Tokens are spread evenly: a slice is a sixteenth.
            bounds = {"$gte": bytes([first]) + bytes(15)}
            if first + _SLICE < 256:
                bounds["$lt"] = bytes([first + _SLICE]) + bytes(15)
            with translated():
                counted += self._collection.count_documents({"version": version, "_id": bounds}, hint="version")
            progress(counted)
        return counted

    def under(self, version: int, after: bytes | None, limit: int) -> list[WrappedKey]:
        """The next keys under a version, in the order of their subjects."""
        asked: Document = {"version": version}
        if after is not None:
            asked["_id"] = {"$gt": after}
        return self._page(asked, "version", limit)

    def every(self, after: bytes | None, limit: int) -> list[WrappedKey]:
        """The next keys of all, in the order of their subjects."""
        return self._page({} if after is None else {"_id": {"$gt": after}}, "_id_", limit)

    def replace(self, replacements: Sequence[Replacement]) -> int:
        """Store keys in the place of what was read, in one write; how many were.

        One that was destroyed, or wrapped anew by another, since it was read stays as it is.
        """
        if not replacements:
            return 0
        writes = [_replaced(each) for each in replacements]
        with translated():
            return self._collection.bulk_write(writes, ordered=False).modified_count

    def _page(self, asked: Document, index: str, limit: int) -> list[WrappedKey]:
        fields = {"version": 1, "key": 1, "next": 1}
        with translated():
            found = list(self._collection.find(asked, fields).sort("_id", 1).hint(index).limit(limit))
        return [_wrapped_key(one) for one in found]


def _wrapped_key(found: Document) -> WrappedKey:
    version, coming = int(found["version"]), found.get("next")
    return WrappedKey(
        bytes(found["_id"]),
        Wrapped(version, bytes(found["key"])),
        None if coming is None else Wrapped(version, bytes(coming)),
    )


def _replaced(one: Replacement) -> UpdateOne:
    asked: Document = {"_id": one.subject, "version": one.before.version, "key": one.before.sealed}
    change: Document = {"version": one.after.version, "key": one.after.sealed}
    # None finds what is not there: both are under one version, so one never moves without the other.
    asked["next"] = None if one.next_before is None else one.next_before.sealed
    if one.next_after is not None:
        change["next"] = one.next_after.sealed
    return UpdateOne(asked, {"$set": change})


_SLICE = 16
