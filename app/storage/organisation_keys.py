"""The wrapped keys of an organisation: made once, opened at every start."""

from __future__ import annotations

from contextlib import suppress

from pymongo.errors import DuplicateKeyError

from app.errors import KeyMissing
from app.storage import clock
from app.storage.connection import Store, translated
from app.storage.declared import Declared
from app.vault.keys import KeyEncryptionKeys, OrganisationKeys, Wrapped, new_keys, organisation_place

NAME = "organisation_keys"
COLLECTIONS = (Declared(NAME),)


def ensure(store: Store, keks: KeyEncryptionKeys, organisation: str) -> OrganisationKeys:
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


def unlock(store: Store, keks: KeyEncryptionKeys, organisation: str) -> OrganisationKeys:
    """Open the organisation's keys.

    Raises:
        KeyMissing: the organisation has none yet.
        KeyRefused: the key-encryption key does not open them.
    """
    with translated():
        document = store.collection(NAME).find_one({"_id": organisation})
    if document is None:
        raise KeyMissing("This database has no keys yet. Run `sillage init`.")
    place = _places(organisation)
    opened = {
        purpose: keks.unwrap(place[purpose], Wrapped(stored["version"], bytes(stored["sealed"])))
        for purpose, stored in document["keys"].items()
    }
    return OrganisationKeys(organisation, opened, clock.random_bytes)


def _places(organisation: str) -> dict[str, str]:
    return {purpose: organisation_place(organisation, purpose) for purpose in OrganisationKeys.PURPOSES}


def _stored(wrapped: Wrapped) -> dict[str, object]:
    return {"version": wrapped.version, "sealed": wrapped.sealed}


def present(store: Store, organisation: str) -> bool:
    """Whether the organisation has keys already."""
    with translated():
        return store.collection(NAME).count_documents({"_id": organisation}, limit=1) > 0
