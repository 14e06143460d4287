"""The wrapped keys of an organisation: made once, unwrapped at every start, with the generations of some.

The document, beside ``keys`` (a wrapped key by purpose)::

    index:     {generation  int     of keys.index
                stage       str     of a rotation, see ``Stage``; absent otherwise
                since       date    when it came to this; the database server's clock
                retired     [binary(12)]  tokens of sources under generations that are no more: what has them came late}
    documents: {generation, stage, since}  of keys.documents, likewise
                next        int     during a rotation: the generation of keys.documents-next
    audit:     {writing     int     number of the key of the audit log that writes}

During a rotation ``keys`` has ``index-next`` or ``documents-next`` too. Keys of the audit log are never destroyed, for
what they proved must be proved again: ``audit-1``, and once another writes, ``audit-1-until-`` and the last instant, in
microseconds since 1970 UTC, at which it may have written. The name is part of what the wrapping binds.

Nobody uses what was read of this for longer than ``keep_seconds``, so a stage that is older is known to every process:
one that cannot look does not go on with what it knew.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

from pymongo.errors import DuplicateKeyError

from app.core import clock
from app.core.errors import DatabaseUnavailable, KeyMissing, KeyRefused, RestoreRefused
from app.core.personal_data import Impersonal, Restored
from app.crypto.keys import (
    KEY_BYTES,
    Current,
    IndexKey,
    IndexKeys,
    KeyCustody,
    KeyWrapping,
    OrganisationKeys,
    Wrapped,
    new_keys,
    organisation_place,
)
from app.crypto.purposes import AuditKey, AuditKeys, EncryptionKey, EncryptionKeys, MacKey
from app.crypto.signing import SEED_BYTES
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Document, Store, translated

NAME = "organisation_keys"
COLLECTIONS = (Declared(NAME, Impersonal("wrapped keys of the organisation"), restored=Restored.BY_ITSELF),)

INDEX = "index"
NEXT = "index-next"
DOCUMENTS = "documents"
DOCUMENTS_NEXT = "documents-next"
AUDIT = "audit"
SIGNING = "signing"
"""The purpose of the key that signs receipts and checkpoints: made at its first use, not with the others."""

_AUDIT_KEY = re.compile(r"audit-([1-9][0-9]*)(?:-until-([0-9]+))?")
_TRIES = 5


class Stage(StrEnum):
    """Stage of a rotation of the index key, or of the documents key."""

    GIVEN_OUT = "given-out"
    """Every process searches by, or opens with, the next one too; what is new still gets the one before."""
    MOVING = "moving"
    """New entries get the next key; those that are there follow."""


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


class DocumentsState(NamedTuple):
    """The documents key as MongoDB has it, less the key.

    Attributes:
        generation: Of the documents key; during a rotation, of the one that is to go.
        stage: Of a rotation; None when there is none under way.
        seconds: For how long it has been so.
        next: The generation that takes its place; None without a rotation.
    """

    generation: int
    stage: Stage | None
    seconds: float
    next: int | None


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
        "documents": {"generation": 1, "since": clock.now()},
        "audit": {"writing": 1},
    }
    # Made before, or by another host just now: then theirs are the ones.
    with translated(), suppress(DuplicateKeyError):
        store.collection(NAME).insert_one(document)
    return unlock(store, keks, organisation)


def unlock(store: Store, keks: KeyWrapping, organisation: str, *, keep_seconds: float = 5.0) -> OrganisationKeys:
    """Unwrap the organisation's keys.

    Args:
        store: The store.
        keks: Opens them.
        organisation: Its id.
        keep_seconds: How long the generations of keys are used without being looked up again.

    Raises:
        KeyMissing: the organisation has none yet.
        KeyRefused: the key-encryption key does not open them.
    """
    document = _document(store, organisation)
    current = _Generations(store, keks, organisation, keep_seconds)
    return OrganisationKeys(organisation, _lasting(document, keks, organisation), clock.random_bytes, current)


def unwrapped(document: Document, keks: KeyWrapping, organisation: str) -> OrganisationKeys:
    """Unwrap the keys in a document of this collection, wherever it was found.

    Raises:
        KeyRefused: the key-encryption key does not open them.
    """
    lasting = _lasting(document, keks, organisation)
    current = _current_of(document, keks, organisation, None)
    return OrganisationKeys(organisation, lasting, clock.random_bytes, lambda: current)


def _lasting(document: Document, keks: KeyWrapping, organisation: str) -> dict[str, bytes]:
    """The keys that are never replaced; the others are unwrapped by themselves, being others before long."""
    wanted = {*OrganisationKeys.LASTING, INDEX, DOCUMENTS}
    if wanted - document["keys"].keys() or {INDEX, DOCUMENTS, AUDIT} - document.keys():
        raise KeyRefused("This store was made by an unreleased build and lacks a key of later ones. Make it anew.")
    stored = {purpose: document["keys"][purpose] for purpose in OrganisationKeys.LASTING}
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
    """The number of the organisation's keys under each version."""
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
    """True if the organisation has keys already."""
    with translated():
        return store.collection(NAME).count_documents({"_id": organisation}, limit=1) > 0


# --- the index key ------------------------------------------------------------------------------


def index_state(store: Store, organisation: str) -> IndexState:
    """The progress of a rotation of the index key.

    Raises:
        KeyMissing: the organisation has no keys yet.
    """
    said, stage, seconds = _rotation(store, organisation, "index")
    return IndexState(int(said["generation"]), stage, seconds, tuple(map(bytes, said.get("retired", ()))))


def _rotation(store: Store, organisation: str, part: str) -> tuple[Document, Stage | None, float]:
    """The note of a key that is replaced by stages, its stage, and the seconds that it has been at it."""
    with translated():
        found = store.collection(NAME).find_one(
            {"_id": organisation}, {part: 1, "age": {"$subtract": ["$$NOW", f"${part}.since"]}}
        )
    if found is None:
        raise KeyMissing("This database has no keys yet. Run `sillage init`.")
    said = found[part]
    return said, Stage(said["stage"]) if "stage" in said else None, found["age"] / 1000


def index_keys(
    store: Store, keks: KeyWrapping, organisation: str, known: Mapping[int, IndexKey] | None = None
) -> IndexKeys:
    """The generations of the index key as MongoDB has them now; those that are ``known`` are not unwrapped again.

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
    """Make the index key that is to follow ``generation``, given out; false when another process just did."""
    key = _wrapped(keks, organisation, NEXT, clock.random_bytes(KEY_BYTES))
    return _staged(store, organisation, generation, None, Stage.GIVEN_OUT, {f"keys.{NEXT}": {"$literal": key}})


def move_index(store: Store, organisation: str, generation: int) -> bool:
    """Have new statements get the next index key; false when another process just did."""
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


# --- the documents key, and with it those of the audit log ------------------------------------------


def documents_state(store: Store, organisation: str) -> DocumentsState:
    """The progress of a rotation of the documents key.

    Raises:
        KeyMissing: the organisation has no keys yet.
    """
    said, stage, seconds = _rotation(store, organisation, "documents")
    return DocumentsState(int(said["generation"]), stage, seconds, said.get("next"))


def begin_documents(store: Store, keks: KeyWrapping, organisation: str, generation: int) -> bool:
    """Make the documents key that is to follow ``generation``, and the audit log's; false when another process did.

    Both are given out: every process opens, and proves, with them from now on.
    """
    document = _document(store, organisation)
    key = _wrapped(keks, organisation, DOCUMENTS_NEXT, clock.random_bytes(KEY_BYTES))
    also: Document = {f"keys.{DOCUMENTS_NEXT}": {"$literal": key}, "documents.next": generation + 1}
    audit = _audit_name(document["audit"]["writing"] + 1)
    # A restore may have left one that a rotation, undone with it, had made and used.
    if audit not in document["keys"]:
        also[f"keys.{audit}"] = {"$literal": _wrapped(keks, organisation, audit, clock.random_bytes(KEY_BYTES))}
    return _staged(store, organisation, generation, None, Stage.GIVEN_OUT, also, DOCUMENTS)


def move_documents(store: Store, organisation: str, generation: int) -> bool:
    """Have what is sealed, and audited, from now on get the next keys; false when another process just did."""
    also: Document = {"audit.writing": {"$add": ["$audit.writing", 1]}}
    return _staged(store, organisation, generation, Stage.GIVEN_OUT, Stage.MOVING, also, DOCUMENTS)


def finish_documents(store: Store, keks: KeyWrapping, organisation: str, generation: int, until: int) -> bool:
    """Destroy the documents key of ``generation`` and put the next in its place; false when that was done already.

    Args:
        store: The store.
        keks: Opens and wraps.
        organisation: Its id.
        generation: The one that goes.
        until: Microseconds since 1970 UTC; what is later in the audit log is not of the keys that wrote it so far.
    """
    for _ in range(_TRIES):
        document = _document(store, organisation)
        state, keys = document["documents"], document["keys"]
        if (state["generation"], state.get("stage")) != (generation, Stage.MOVING):
            return False
        ended = {
            name: f"{name}-until-{until}"
            for name in keys
            if (found := _AUDIT_KEY.fullmatch(name)) and not found[2] and int(found[1]) < document["audit"]["writing"]
        }
        renamed = {DOCUMENTS_NEXT: DOCUMENTS, **ended}
        asked: Document = {
            "_id": organisation,
            "documents.generation": generation,
            "documents.stage": Stage.MOVING,
            # Only as they were read: they may be wrapped anew meanwhile.
            **{f"keys.{name}.sealed": keys[name]["sealed"] for name in renamed},
        }
        fresh = {after: _renamed(keks, organisation, document, before, after) for before, after in renamed.items()}
        change: list[Document] = [
            {
                "$set": {
                    **{f"keys.{name}": {"$literal": key} for name, key in fresh.items()},
                    "documents.generation": state["next"],
                    "documents.since": "$$NOW",
                }
            },
            {"$unset": [*(f"keys.{name}" for name in renamed), "documents.stage", "documents.next"]},
        ]
        with translated():
            if store.collection(NAME).update_one(asked, change).modified_count:
                return True
    raise DatabaseUnavailable("The organisation's keys are being wrapped by another command. Run it again.")


def _documents_of(document: Document, keks: KeyWrapping, organisation: str, known: Current | None) -> EncryptionKeys:
    generation, stage = document["documents"]["generation"], document["documents"].get("stage")

    def key(number: int, purpose: str) -> EncryptionKey:
        held = None if known is None else known.documents.of(number)
        return held or EncryptionKey(
            number, _opened(keks, organisation, purpose, document["keys"][purpose]), organisation
        )

    before = key(generation, DOCUMENTS)
    if stage is None:
        return EncryptionKeys(before)
    after = key(document["documents"]["next"], DOCUMENTS_NEXT)
    return EncryptionKeys(after, before) if stage == Stage.MOVING else EncryptionKeys(before, after)


def _audit_of(document: Document, keks: KeyWrapping, organisation: str, known: Current | None) -> AuditKeys:
    held = {} if known is None else {(each.number, each.until): each for each in known.audit.proving}
    proving = []
    for name, stored in document["keys"].items():
        found = _AUDIT_KEY.fullmatch(name)
        if found is None:
            continue
        number, until = int(found[1]), None if found[2] is None else int(found[2])
        proving.append(
            held.get((number, until))
            or AuditKey(number, until, MacKey(_opened(keks, organisation, name, stored), organisation))
        )
    proving.sort(key=lambda each: each.number, reverse=True)
    writing = [each for each in proving if each.number == document["audit"]["writing"]]
    if not writing:
        raise KeyRefused("The key of the audit log is missing in this store. Restore a backup.")
    return AuditKeys(writing[0], tuple(proving))


def require_two(before: EncryptionKeys, there: EncryptionKeys) -> None:
    """Refuse to restore a backup with the keys ``before`` over a database with those ``there``, of the same store.

    Raises:
        RestoreRefused: more than two documents keys would be needed.
    """
    if there.fingerprints <= before.fingerprints:
        return
    later = there.writing.generation > before.writing.generation or there.other is not None
    if before.other is not None or len(there.fingerprints | before.fingerprints) > 2 or not later:
        raise RestoreRefused(
            "The documents key was being replaced when the backup was made, or is now, and no third one can be kept. "
            "Run `sillage keys rotate --documents` first; or restore into an empty database."
        )


def restored(backup: Document, present: Document, keks: KeyWrapping, organisation: str) -> Document:
    """The change to the keys of a backup after which they also open what stays of the database that is there.

    Args:
        backup: The document of this collection in the backup.
        present: The one that is there, of the same store.
        keks: Opens both.
        organisation: Its id.

    Returns:
        A change of MongoDB. What is sealed with the documents key of the backup follows as in a rotation that is under
        way. The keys of the audit log are the present ones, as that log is.

    Raises:
        RestoreRefused: more than two documents keys would be needed.
    """
    before = _documents_of(backup, keks, organisation, None)
    there = _documents_of(present, keks, organisation, None)
    kept = audit_keys(present)
    change: Document = {"audit": present["audit"], **{f"keys.{name}": key for name, key in kept.items()}}
    gone = {f"keys.{name}": "" for name in audit_keys(backup).keys() - kept.keys()}
    require_two(before, there)
    if not there.fingerprints <= before.fingerprints:
        if there.other is None:
            change |= {"documents.stage": Stage.MOVING, "documents.next": there.writing.generation}
            change[f"keys.{DOCUMENTS_NEXT}"] = _renamed(keks, organisation, present, DOCUMENTS, DOCUMENTS_NEXT)
        else:
            change |= {f"documents.{name}": present["documents"][name] for name in ("stage", "next")}
            change[f"keys.{DOCUMENTS_NEXT}"] = present["keys"][DOCUMENTS_NEXT]
        change["documents.since"] = clock.now()
    elif backup["documents"].get("stage") == Stage.GIVEN_OUT and present["audit"] != backup["audit"]:
        # The next keys have been in use since.
        change |= {"documents.stage": Stage.MOVING, "documents.since": clock.now()}
    return {"$set": change, **({"$unset": gone} if gone else {})}


def _renamed(keks: KeyWrapping, organisation: str, document: Document, before: str, after: str) -> Document:
    """A key wrapped under another name: the name is part of what the wrapping binds."""
    return _wrapped(keks, organisation, after, _opened(keks, organisation, before, document["keys"][before]))


def audit_keys(document: Document) -> dict[str, Document]:
    """The wrapped keys of the audit log, by name, in a document of this collection."""
    return {name: stored for name, stored in document["keys"].items() if _AUDIT_KEY.fullmatch(name)}


def _audit_name(number: int) -> str:
    return f"audit-{number}"


def _current_of(document: Document, keks: KeyWrapping, organisation: str, known: Current | None) -> Current:
    return Current(
        _index_of(document, keks, organisation, _by_number(known)),
        _documents_of(document, keks, organisation, known),
        _audit_of(document, keks, organisation, known),
    )


def _staged(
    store: Store,
    organisation: str,
    generation: int,
    before: Stage | None,
    after: Stage,
    also: Document,
    which: str = INDEX,
) -> bool:
    asked: Document = {"_id": organisation, f"{which}.generation": generation}
    asked[f"{which}.stage"] = {"$exists": False} if before is None else before
    change: list[Document] = [{"$set": {**also, f"{which}.stage": after, f"{which}.since": "$$NOW"}}]
    with translated():
        return store.collection(NAME).update_one(asked, change).modified_count > 0


class _Generations:
    """The generations of keys, looked up again when what was read is too old. Shared between threads."""

    def __init__(self, store: Store, keks: KeyWrapping, organisation: str, keep_seconds: float) -> None:
        self._store = store
        self._keks = keks
        self._organisation = organisation
        self._keep = keep_seconds
        self._lock = threading.Lock()
        self._held: tuple[Current, float] | None = None

    def __call__(self) -> Current:
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
            known = None if held is None else held[0]
            made = _current_of(_document(self._store, self._organisation), self._keks, self._organisation, known)
            self._held = made, asked_at + self._keep
            return made


def _by_number(known: Current | None) -> dict[int, IndexKey]:
    both = (known.index.writing, known.index.other) if known is not None else ()
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
