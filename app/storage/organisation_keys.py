"""The wrapped keys of an organisation: made once, opened at every start."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from pymongo.errors import DuplicateKeyError

from app.errors import DatabaseUnavailable, KeyMissing
from app.storage import clock
from app.storage.connection import Document, Store, translated
from app.storage.declared import Declared
from app.vault.keys import KeyEncryptionKeys, KeyWrapping, OrganisationKeys, Wrapped, new_keys, organisation_place
from app.vault.signing import SEED_BYTES

NAME = "organisation_keys"
COLLECTIONS = (Declared(NAME),)

SIGNING = "signing"
"""The purpose of the key that signs receipts and checkpoints: made at its first use, not with the others."""

_TRIES = 5


def ensure(store: Store, keks: KeyWrapping, organisation: str) -> OrganisationKeys:
    """The organisation's keys; made on first use, wrapped under the active key-encryption key."""
    place = _places(organisation)
    document = {
        "_id": organisation,
        "created": clock.now(),
        "keys": {
            purpose: _stored(keks.wrap(place[purpose], key, clock.random_bytes))
            for purpose, key in new_keys(OrganisationKeys.PURPOSES, clock.random_bytes).items()
        },
    }
    # Made before, or by another host just now: then theirs are the ones.
    with translated(), suppress(DuplicateKeyError):
        store.collection(NAME).insert_one(document)
    return unlock(store, keks, organisation)


def unlock(store: Store, keks: KeyWrapping, organisation: str) -> OrganisationKeys:
    """Open the organisation's keys.

    Raises:
        KeyMissing: the organisation has none yet.
        KeyRefused: the key-encryption key does not open them.
    """
    with translated():
        document = store.collection(NAME).find_one({"_id": organisation})
    if document is None:
        raise KeyMissing("This database has no keys yet. Run `sillage init`.")
    return opened(document, keks, organisation)


def opened(document: Document, keks: KeyWrapping, organisation: str) -> OrganisationKeys:
    """Open the keys in a document of this collection, wherever it was found.

    Raises:
        KeyRefused: the key-encryption key does not open them.
    """
    place = _places(organisation)
    keys = {
        purpose: keks.unwrap(place[purpose], Wrapped(stored["version"], bytes(stored["sealed"])))
        for purpose, stored in document["keys"].items()
        if purpose in OrganisationKeys.PURPOSES
    }
    return OrganisationKeys(organisation, keys, clock.random_bytes)


def signing_seed(store: Store, keks: KeyWrapping, organisation: str) -> bytes:
    """The 32 secret bytes with which the organisation signs; made, and kept wrapped beside its keys, at the first use.

    Raises:
        KeyMissing: the organisation has no keys yet.
        KeyRefused: the key-encryption key does not open it.
    """
    place = _places(organisation)[SIGNING]
    collection = store.collection(NAME)
    with translated():
        for _ in range(2):
            document = collection.find_one({"_id": organisation})
            if document is None:
                raise KeyMissing("This database has no keys yet. Run `sillage init`.")
            stored = document["keys"].get(SIGNING)
            if stored is not None:
                return keks.unwrap(place, Wrapped(stored["version"], bytes(stored["sealed"])))
            new = _stored(keks.wrap(place, clock.random_bytes(SEED_BYTES), clock.random_bytes))
            # Only where there is none: one that another process made just now is the one.
            absent = {"_id": organisation, f"keys.{SIGNING}": {"$exists": False}}
            collection.update_one(absent, {"$set": {f"keys.{SIGNING}": new}})
    raise DatabaseUnavailable("The signing key was made and is not there. Run the command again.")


def versions(store: Store) -> Counter[int]:
    """How many of the organisation's keys are under each version."""
    with translated():
        documents = list(store.collection(NAME).find({}, {"keys": 1}))
    return Counter(int(stored["version"]) for document in documents for stored in document["keys"].values())


def rewrap(store: Store, keks: KeyEncryptionKeys, organisation: str) -> int:
    """Wrap the organisation's keys under the active version; how many were not.

    Raises:
        KeyMissing: the organisation has none yet.
        KeyRefused: the keys given do not open them.
        DatabaseUnavailable: others change them all the time.
    """
    place = _places(organisation)
    for _ in range(_TRIES):
        with translated():
            document = store.collection(NAME).find_one({"_id": organisation})
        if document is None:
            raise KeyMissing("This database has no keys yet. Run `sillage init`.")
        stale = {name: stored for name, stored in document["keys"].items() if stored["version"] != keks.active}
        if not stale:
            return 0
        changed: dict[str, object] = {}
        asked: dict[str, object] = {"_id": organisation}
        for purpose, stored in stale.items():
            key = keks.unwrap(place[purpose], Wrapped(stored["version"], bytes(stored["sealed"])))
            changed[f"keys.{purpose}"] = _stored(keks.wrap(place[purpose], key, clock.random_bytes))
            asked[f"keys.{purpose}.sealed"] = stored["sealed"]
        with translated():
            # Only as they were read: what another rotation made meanwhile stays.
            done = store.collection(NAME).update_one(asked, {"$set": changed}).modified_count
        if done:
            return len(stale)
    raise DatabaseUnavailable("The organisation's keys are being wrapped by another command. Run it again.")


def _places(organisation: str) -> dict[str, str]:
    return {purpose: organisation_place(organisation, purpose) for purpose in (*OrganisationKeys.PURPOSES, SIGNING)}


def _stored(wrapped: Wrapped) -> dict[str, object]:
    return {"version": wrapped.version, "sealed": wrapped.sealed}


def present(store: Store, organisation: str) -> bool:
    """Whether the organisation has keys already."""
    with translated():
        return store.collection(NAME).count_documents({"_id": organisation}, limit=1) > 0
