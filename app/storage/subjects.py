"""The data keys of learners: one random AES-256 key each, wrapped, fetched and made by the batch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo.errors import BulkWriteError

from app.storage import clock
from app.storage.connection import Store, translated
from app.storage.declared import Declared
from app.vault.keys import KEY_BYTES, KeyEncryptionKeys, Wrapped, subject_place

NAME = "subjects"
COLLECTIONS = (Declared(NAME),)

DUPLICATE = 11000


class SubjectKeys:
    """Learners' keys by subject token, with a bounded cache of opened ones.

    An opened key stays in this process's memory for ``keep_seconds`` at most: that bounds how long a destroyed
    key could still be used. Safe to share between threads.
    """

    def __init__(
        self,
        store: Store,
        keks: KeyEncryptionKeys,
        organisation: str,
        *,
        capacity: int = 200_000,
        keep_seconds: float = 30.0,
    ) -> None:
        self._collection = store.collection(NAME)
        self._keks = keks
        self._organisation = organisation
        self._capacity = capacity
        self._keep = keep_seconds
        self._cache: OrderedDict[bytes, tuple[AESGCM, float]] = OrderedDict()
        self._lock = threading.Lock()

    def existing(self, subjects: Iterable[bytes]) -> dict[bytes, AESGCM]:
        """The keys of these learners; one that has no key (never had, or destroyed) is left out."""
        found, missing = self._cached(set(subjects))
        if missing:
            found.update(self._fetch(missing))
        return found

    def ensured(self, subjects: Iterable[bytes]) -> dict[bytes, AESGCM]:
        """The keys of these learners, made for those who have none: durable before this returns."""
        wanted = set(subjects)
        found = self.existing(wanted)
        missing = wanted - found.keys()
        if not missing:
            return found
        self._make(sorted(missing))
        # Read back rather than trusted: another process may have made one of them first.
        found.update(self._fetch(missing))
        return found

    def forget(self) -> None:
        """Drop every opened key from memory."""
        with self._lock:
            self._cache.clear()

    def _cached(self, wanted: set[bytes]) -> tuple[dict[bytes, AESGCM], set[bytes]]:
        now = clock.steady()
        found = {}
        with self._lock:
            for subject in wanted:
                entry = self._cache.get(subject)
                if entry is not None and entry[1] > now:
                    found[subject] = entry[0]
        return found, wanted - found.keys()

    def _fetch(self, subjects: set[bytes]) -> dict[bytes, AESGCM]:
        with translated():
            documents = list(self._collection.find({"_id": {"$in": list(subjects)}}, {"version": 1, "key": 1}))
        opened = {}
        for document in documents:
            subject = bytes(document["_id"])
            wrapped = Wrapped(document["version"], bytes(document["key"]))
            opened[subject] = AESGCM(self._keks.unwrap(subject_place(self._organisation, subject), wrapped))
        until = clock.steady() + self._keep
        with self._lock:
            for subject, key in opened.items():
                self._cache[subject] = (key, until)
                self._cache.move_to_end(subject)
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)
        return opened

    def _make(self, subjects: Sequence[bytes]) -> None:
        created = clock.now()
        documents = []
        for subject in subjects:
            wrapped = self._keks.wrap(
                subject_place(self._organisation, subject), clock.random_bytes(KEY_BYTES), clock.random_bytes
            )
            documents.append(
                {
                    "_id": subject,
                    "version": wrapped.version,
                    "key": wrapped.sealed,
                    "created": created,
                }
            )
        with translated():
            try:
                self._collection.insert_many(documents, ordered=False)
            except BulkWriteError as failed:
                # A key that another process made at the same moment is as good as ours.
                if any(error["code"] != DUPLICATE for error in failed.details["writeErrors"]):
                    raise
