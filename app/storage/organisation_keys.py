"""The wrapped keys of an organisation: made once, opened at every start. And the generations of its index key.

The document, beside ``keys`` (a wrapped key by purpose)::

    index: {generation  int     of keys.index
            stage       str     of a rotation, see ``Stage``; absent otherwise
            since       date    when it came to this; the database server's clock
            retired     [binary(12)]  tokens of sources under generations that are no more: what has them came late}

During a rotation ``keys`` has ``index-next`` too. Nobody uses what was read of this for longer than ``keep_seconds``,
so a stage that is older is known to every process: one that cannot look does not go on with what it knew.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

from pymongo.errors import DuplicateKeyError

from app.errors import DatabaseUnavailable, KeyMissing, KeyRefused
from app.storage import clock
from app.storage.connection import Document, Store, translated
from app.storage.declared import Declared
from app.vault.keys import (
    KEY_BYTES,
    IndexKey,
    IndexKeys,
    KeyCustody,
    KeyWrapping,
    OrganisationKeys,
    Wrapped,
    new_keys,
    organisation_place,
)
from app.vault.signing import SEED_BYTES

NAME = "organisation_keys"
COLLECTIONS = (Declared(NAME),)

INDEX = "index"
NEXT = "index-next"
SIGNING = "signing"
"""The purpose of the key that signs receipts and checkpoints: made at its first use, not with the others."""

_TRIES = 5


class Stage(StrEnum):
    """How far a rotation of the index key has come."""

    GIVEN_OUT = "given-out"
    """Every process searches by the next one too; statements still get the one before."""
    MOVING = "moving"
    """New statements get the next one; those that are there follow."""


class IndexState(NamedTuple):
    """The index key as MongoDB has it, less the key.

    Attributes:
        generation: Of the index key; during a rotation, of the one that is to go.
        stage: Of a rotation; None when there is none under way.
        seconds: For how long it has been so.
        retired: Tokens of sources under generations that are no more.
    """

    generation: int
    stage: Stage | None
    seconds: float
    retired: tuple[bytes, ...]


def ensure(store: Store, keks: KeyWrapping, organisation: str) -> OrganisationKeys:
    """The organisation's keys; made on first use, wrapped under the active key-encryption key."""
    made = new_keys(OrganisationKeys.PURPOSES, clock.random_bytes)
    places = [(organisation_place(organisation, purpose), key) for purpose, key in made.items()]
    document = {
        "_id": organisation,
        "created": clock.now(),
        "keys": {
            purpose: _stored(wrapped)
            for purpose, wrapped in zip(made, keks.wrap_all(places, clock.random_bytes), strict=True)
        },
        "index": {"generation": 1, "since": clock.now()},
    }
    # Made before, or by another host just now: then theirs are the ones.
    with translated(), suppress(DuplicateKeyError):
        store.collection(NAME).insert_one(document)
    return unlock(store, keks, organisation)


def unlock(store: Store, keks: KeyWrapping, organisation: str, *, keep_seconds: float = 5.0) -> OrganisationKeys:
    """Open the organisation's keys.

    Args:
        store: The store.
        keks: Opens them.
        organisation: Its id.
        keep_seconds: How long the generations of the index key are used without being looked up again.

    Raises:
        KeyMissing: the organisation has none yet.
        KeyRefused: the key-encryption key does not open them.
    """
    document = _document(store, organisation)
    index = _Generations(store, keks, organisation, keep_seconds)
    return OrganisationKeys(organisation, _others(document, keks, organisation), clock.random_bytes, index)


def opened(document: Document, keks: KeyWrapping, organisation: str) -> OrganisationKeys:
    """Open the keys in a document of this collection, wherever it was found.

    Raises:
        KeyRefused: the key-encryption key does not open them.
    """
    others = _others(document, keks, organisation)
    index = _index_of(document, keks, organisation, {})
    return OrganisationKeys(organisation, others, clock.random_bytes, lambda: index)


def _others(document: Document, keks: KeyWrapping, organisation: str) -> dict[str, bytes]:
    """The keys but for that of the index, which is opened by itself: it may be another one before long."""
    lacking = sorted(set(OrganisationKeys.PURPOSES) - document["keys"].keys())
    if lacking or "index" not in document:
        raise KeyRefused("This store was made by an unreleased build and lacks a key of later ones. Make it anew.")
    stored = {purpose: document["keys"][purpose] for purpose in OrganisationKeys.PURPOSES if purpose != INDEX}
    keys = keks.unwrap_all([_placed(organisation, purpose, each) for purpose, each in stored.items()])
    return dict(zip(stored, keys, strict=True))


def signing_seed(store: Store, keks: KeyWrapping, organisation: str) -> bytes:
    """The 32 secret bytes with which the organisation signs; made, and kept wrapped beside its keys, at the first use.

    Raises:
        KeyMissing: the organisation has no keys yet.
        KeyRefused: the key-encryption key does not open it.
    """
    for _ in range(2):
        stored = _document(store, organisation)["keys"].get(SIGNING)
        if stored is not None:
            return _opened(keks, organisation, SIGNING, stored)
        new = _wrapped(keks, organisation, SIGNING, clock.random_bytes(SEED_BYTES))
        # Only where there is none: one that another process made just now is the one.
        absent = {"_id": organisation, f"keys.{SIGNING}": {"$exists": False}}
        with translated():
            store.collection(NAME).update_one(absent, {"$set": {f"keys.{SIGNING}": new}})
    raise DatabaseUnavailable("The signing key was made and is not there. Run the command again.")


def versions(store: Store) -> Counter[int]:
    """How many of the organisation's keys are under each version."""
    with translated():
        documents = list(store.collection(NAME).find({}, {"keys": 1}))
    return Counter(int(stored["version"]) for document in documents for stored in document["keys"].values())


def rewrap(store: Store, keks: KeyCustody, organisation: str) -> int:
    """Wrap the organisation's keys under the active version; how many were not.

    Raises:
        KeyMissing: the organisation has none yet.
        KeyRefused: the keys given do not open them.
        DatabaseUnavailable: others change them all the time.
    """
    for _ in range(_TRIES):
        document = _document(store, organisation)
        stale = {name: stored for name, stored in document["keys"].items() if stored["version"] != keks.active}
        if not stale:
            return 0
        changed: dict[str, object] = {}
        asked: dict[str, object] = {"_id": organisation}
        places = [_placed(organisation, purpose, stored) for purpose, stored in stale.items()]
        for purpose, wrapped in zip(stale, keks.rewrap_all(places, clock.random_bytes), strict=True):
            if wrapped is None:
                raise KeyRefused("A key of the organisation does not open. Give every version of the key in use.")
            changed[f"keys.{purpose}"] = _stored(wrapped)
            asked[f"keys.{purpose}.sealed"] = stale[purpose]["sealed"]
        with translated():
            # Only as they were read: what another rotation made meanwhile stays.
            done = store.collection(NAME).update_one(asked, {"$set": changed}).modified_count
        if done:
            return len(stale)
    raise DatabaseUnavailable("The organisation's keys are being wrapped by another command. Run it again.")


def present(store: Store, organisation: str) -> bool:
    """Whether the organisation has keys already."""
    with translated():
        return store.collection(NAME).count_documents({"_id": organisation}, limit=1) > 0


# --- the index key ------------------------------------------------------------------------------


def index_state(store: Store, organisation: str) -> IndexState:
    """How far a rotation of the index key has come.

    Raises:
        KeyMissing: the organisation has no keys yet.
    """
    with translated():
        found = store.collection(NAME).find_one(
            {"_id": organisation}, {"index": 1, "age": {"$subtract": ["$$NOW", "$index.since"]}}
        )
    if found is None:
        raise KeyMissing("This database has no keys yet. Run `sillage init`.")
    index = found["index"]
    return IndexState(
        int(index["generation"]),
        Stage(index["stage"]) if "stage" in index else None,
        found["age"] / 1000,
        tuple(map(bytes, index.get("retired", ()))),
    )


def index_keys(
    store: Store, keks: KeyWrapping, organisation: str, known: Mapping[int, IndexKey] | None = None
) -> IndexKeys:
    """The generations of the index key as MongoDB has them now; those that are ``known`` are not opened again.

    Raises:
        KeyMissing, KeyRefused: as ``unlock``.
    """
    return _index_of(_document(store, organisation), keks, organisation, known or {})


def _index_of(document: Document, keks: KeyWrapping, organisation: str, known: Mapping[int, IndexKey]) -> IndexKeys:
    generation, stage = document["index"]["generation"], document["index"].get("stage")

    def key(number: int, purpose: str) -> IndexKey:
        held = known.get(number)
        return held or IndexKey(number, _opened(keks, organisation, purpose, document["keys"][purpose]))

    before = key(generation, INDEX)
    if stage is None:
        return IndexKeys(before)
    after = key(generation + 1, NEXT)
    return IndexKeys(after, before) if stage == Stage.MOVING else IndexKeys(before, after)


def begin_index(store: Store, keks: KeyWrapping, organisation: str, generation: int) -> bool:
    """Make the index key that is to follow ``generation``, given out; false when somebody else just did."""
    key = _wrapped(keks, organisation, NEXT, clock.random_bytes(KEY_BYTES))
    return _staged(store, organisation, generation, None, Stage.GIVEN_OUT, {f"keys.{NEXT}": {"$literal": key}})


def move_index(store: Store, organisation: str, generation: int) -> bool:
    """Have new statements get the next index key; false when somebody else just did."""
    return _staged(store, organisation, generation, Stage.GIVEN_OUT, Stage.MOVING, {})


def finish_index(store: Store, keks: KeyWrapping, organisation: str, generation: int, retired: Sequence[bytes]) -> bool:
    """Destroy the index key of ``generation`` and put the next one in its place; false when that was done already.

    Args:
        store: The store.
        keks: Opens and wraps.
        organisation: Its id.
        generation: The one that goes.
        retired: Tokens of sources under it.
    """
    for _ in range(_TRIES):
        document = _document(store, organisation)
        index = document["index"]
        if (index["generation"], index.get("stage")) != (generation, Stage.MOVING):
            return False
        stored = document["keys"][NEXT]
        key = _opened(keks, organisation, NEXT, stored)
        asked = {
            "_id": organisation,
            "index.generation": generation,
            "index.stage": Stage.MOVING,
            # Only as it was read: it may be wrapped anew meanwhile.
            f"keys.{NEXT}.sealed": stored["sealed"],
        }
        change: list[Document] = [
            {
                "$set": {
                    "keys.index": {"$literal": _wrapped(keks, organisation, INDEX, key)},
                    "index.generation": generation + 1,
                    "index.since": "$$NOW",
                    "index.retired": {"$literal": [*map(bytes, index.get("retired", ())), *retired]},
                }
            },
            {"$unset": [f"keys.{NEXT}", "index.stage"]},
        ]
        with translated():
            if store.collection(NAME).update_one(asked, change).modified_count:
                return True
    raise DatabaseUnavailable("The organisation's keys are being wrapped by another command. Run it again.")


def _staged(
    store: Store, organisation: str, generation: int, before: Stage | None, after: Stage, also: Document
) -> bool:
    asked: Document = {"_id": organisation, "index.generation": generation}
    asked["index.stage"] = {"$exists": False} if before is None else before
    change: list[Document] = [{"$set": {**also, "index.stage": after, "index.since": "$$NOW"}}]
    with translated():
        return store.collection(NAME).update_one(asked, change).modified_count > 0


class _Generations:
    """The generations of the index key, looked up again when what was read is too old. Shared between threads."""

    def __init__(self, store: Store, keks: KeyWrapping, organisation: str, keep_seconds: float) -> None:
        self._store = store
        self._keks = keks
        self._organisation = organisation
        self._keep = keep_seconds
        self._lock = threading.Lock()
        self._held: tuple[IndexKeys, float] | None = None

    def __call__(self) -> IndexKeys:
        held = self._held
        if held is not None and clock.steady() < held[1]:
            return held[0]
        with self._lock:
            # Whoever held the lock has just looked.
            held = self._held
            if held is not None and clock.steady() < held[1]:
                return held[0]
            # Before the question is sent: what is answered is as old as that, whenever it comes.
            asked_at = clock.steady()
            # What is destroyed goes from this memory too.
            made = index_keys(self._store, self._keks, self._organisation, _by_number(held))
            self._held = made, asked_at + self._keep
            return made


def _by_number(held: tuple[IndexKeys, float] | None) -> dict[int, IndexKey]:
    both = (held[0].writing, held[0].other) if held is not None else ()
    return {each.generation: each for each in both if each is not None}


def _document(store: Store, organisation: str) -> Document:
    with translated():
        document = store.collection(NAME).find_one({"_id": organisation})
    if document is None:
        raise KeyMissing("This database has no keys yet. Run `sillage init`.")
    return document


def _placed(organisation: str, purpose: str, stored: Document) -> tuple[str, Wrapped]:
    return organisation_place(organisation, purpose), Wrapped(int(stored["version"]), _sealed(stored["sealed"]))


def _sealed(value: object) -> bytes:
    # A backup may say anything: of a number, `bytes` would make as many zeros.
    if not isinstance(value, bytes):
        raise TypeError("not a sealed key")
    return value


def _opened(keks: KeyWrapping, organisation: str, purpose: str, stored: Document) -> bytes:
    return keks.unwrap(*_placed(organisation, purpose, stored))


def _wrapped(keks: KeyWrapping, organisation: str, purpose: str, key: bytes) -> Document:
    return _stored(keks.wrap(organisation_place(organisation, purpose), key, clock.random_bytes))


def _stored(wrapped: Wrapped) -> Document:
    return {"version": wrapped.version, "sealed": wrapped.sealed}
