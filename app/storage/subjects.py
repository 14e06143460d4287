"""The data keys of learners: one random AES-256 key each, wrapped, fetched and made by the batch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from app.errors import DatabaseUnavailable
from app.storage import clock
from app.storage.connection import Document, Store, translated
from app.storage.declared import Declared, Index
from app.vault.keys import KEY_BYTES, KeyWrapping, Wrapped, subject_place

NAME = "subjects"
# Which keys are still under a version, in an order that a rewrap can go through and go on in.
COLLECTIONS = (Declared(NAME, (Index("version", (("version", 1), ("_id", 1)), packed=True),)),)

DUPLICATE = 11000
# Between its making and its reading a key may be destroyed: then it is made again.
_MADE_AT_MOST = 5


class SubjectKeys:
    """Learners' keys by subject token, with a bounded cache of opened ones.

    An opened key stays in this process's memory for ``keep_seconds`` at most: that bounds how long a destroyed key
    could still be used by a process that is not told. Keys are kept as bytes, 40 MB with all around them: ready to
    encrypt, one takes six times as much, and a sender names as many learners as it likes.

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
        keep_seconds: float = 30.0,
    ) -> None:
        self._collection = store.collection(NAME)
        self._keks = keks
        self._organisation = organisation
        self._capacity = capacity
        self._keep = keep_seconds
        self._cache: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        self._lock = threading.Lock()
        self.generation = 0

    def existing(self, subjects: Iterable[bytes]) -> dict[bytes, AESGCM]:
        """The keys of these learners; one that has no key (never had, or destroyed) is left out."""
        found, missing = self._cached(set(subjects))
        if missing:
            found.update(self._fetch(missing))
        return found

    def renewed(self, subjects: Iterable[bytes]) -> dict[bytes, AESGCM]:
        """The keys of these learners as they are stored now, for what those at hand do not open."""
        wanted = set(subjects)
        found = self._fetch(wanted)
        with self._lock:
            for subject in wanted - found.keys():
                self._cache.pop(subject, None)
        return found

    def ensured(self, subjects: Iterable[bytes]) -> dict[bytes, AESGCM]:
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

    def forget(self) -> None:
        """Drop every opened key from memory, and keep none that is being fetched now."""
        with self._lock:
            self.generation += 1
            self._cache.clear()

    def _cached(self, wanted: set[bytes]) -> tuple[dict[bytes, AESGCM], set[bytes]]:
        now = clock.steady()
        found = {}
        with self._lock:
            for subject in wanted:
                entry = self._cache.get(subject)
                if entry is not None and entry[1] > now:
                    found[subject] = entry[0]
        return {subject: AESGCM(key) for subject, key in found.items()}, wanted - found.keys()

    def _fetch(self, subjects: set[bytes]) -> dict[bytes, AESGCM]:
        generation = self.generation
        # Before the question is sent: a key that is destroyed meanwhile is kept no longer than another.
        began = clock.steady()
        with translated():
            documents = list(self._collection.find({"_id": {"$in": list(subjects)}}, {"version": 1, "key": 1}))
        subjects_found = [bytes(document["_id"]) for document in documents]
        keys = self._keks.unwrap_all(
            [
                (subject_place(self._organisation, subject), Wrapped(document["version"], bytes(document["key"])))
                for subject, document in zip(subjects_found, documents, strict=True)
            ]
        )
        opened = dict(zip(subjects_found, keys, strict=True))
        self._remember(opened, began, generation)
        return {subject: AESGCM(key) for subject, key in opened.items()}

    def _remember(self, opened: Mapping[bytes, bytes], began: float, generation: int) -> None:
        until = began + self._keep
        with self._lock:
            if generation != self.generation:
                # It may have been read before a destruction that this process was told of meanwhile.
                return
            for subject, key in opened.items():
                self._cache[subject] = (key, until)
                self._cache.move_to_end(subject)
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)

    def _make(self, subjects: Sequence[bytes]) -> dict[bytes, AESGCM]:
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
        self._remember(made, began, generation)
        return {subject: AESGCM(key) for subject, key in made.items()}


class WrappedKey(NamedTuple):
    """A learner's key as stored: subject token of 16 bytes, and the key under a version."""

    subject: bytes
    wrapped: Wrapped


class Replacement(NamedTuple):
    """A learner's key as it was read, and as it is to be."""

    subject: bytes
    before: Wrapped
    after: Wrapped


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
        """How many keys are under a version: by the index alone, in slices that each take a moment.

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
        writes = [
            UpdateOne(
                {"_id": subject, "version": before.version, "key": before.sealed},
                {"$set": {"version": after.version, "key": after.sealed}},
            )
            for subject, before, after in replacements
        ]
        with translated():
            return self._collection.bulk_write(writes, ordered=False).modified_count

    def destroy(self, subject: bytes, *, made_before: datetime) -> bool:
        """Destroy a key that was made before an instant; whether there was such a one."""
        with translated():
            return self._collection.delete_one({"_id": subject, "created": {"$lt": made_before}}).deleted_count == 1

    def _page(self, asked: Document, index: str, limit: int) -> list[WrappedKey]:
        with translated():
            found = list(self._collection.find(asked, {"version": 1, "key": 1}).sort("_id", 1).hint(index).limit(limit))
        return [WrappedKey(bytes(one["_id"]), Wrapped(int(one["version"]), bytes(one["key"]))) for one in found]


_SLICE = 16
