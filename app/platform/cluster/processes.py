"""The collection of processes: an entry each with its heartbeat, their fences, and the epoch of access."""

from __future__ import annotations

from app.core.errors import DatabaseUnavailable
from app.core.personal_data import Impersonal, Restored
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Document, Store, translated

NAME = "processes"
# Of the process ``name``: ``name/0``, ``name/1``, …, so that its threads do not wait for each other.
FENCES = "fences"
COLLECTIONS = (
    Declared(NAME, Impersonal("processes"), restored=Restored.NEVER),
    Declared(FENCES, Impersonal("fences of processes"), restored=Restored.NEVER),
)

EPOCH = "epoch"


def removed(store: Store, entry: Document) -> bool:
    """Remove a process and its fences; false when it is not as described, or about to commit something."""
    try:
        with translated(), store.transaction() as session:
            if not store.collection(NAME).delete_one(entry, session=session).deleted_count:
                return False
            store.collection(FENCES).delete_many({"_id": {"$regex": f"^{entry['_id']}/"}}, session=session)
        return True
    except DatabaseUnavailable:
        # Another transaction holds one of them: it, or somebody who removes it as well. Whoever reads next looks again.
        return False


def current_epoch(store: Store) -> int:
    """The epoch announced last; 0 for none."""
    with translated():
        document = store.collection(NAME).find_one({"_id": EPOCH})
    return int((document or {"n": 0})["n"])


def next_epoch(store: Store) -> int:
    """Announce that credentials or sources changed, or a key was destroyed; returns the epoch to wait for."""
    with translated():
        document = store.collection(NAME).find_one_and_update(
            {"_id": EPOCH}, {"$inc": {"n": 1}}, upsert=True, return_document=True
        )
    return int((document or {"n": 0})["n"])


def notes(store: Store, name: str, ttl: float) -> list[object]:
    """Notes of living processes under a name (``Presence.note``): of those heard of in the last ``ttl`` seconds."""
    lives = {"$gt": ["$at", {"$subtract": ["$$NOW", round(ttl * 1_000)]}]}
    with translated():
        found = store.collection(NAME).find({name: {"$exists": True}, "$expr": lives}, {name: 1})
        return [document[name] for document in found]
