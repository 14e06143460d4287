"""Sessions held to patterns; sources say how their statements are held to profiles, and whether they are of minors."""

from __future__ import annotations

from app.access import store as sources
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store
from app.traces.conformance.session_store import COLLECTIONS


def apply(store: Store) -> None:
    """Create the collections and indexes; give sources registered before what new ones have by default."""
    create(store, COLLECTIONS)
    for name, default in (("matching", "every"), ("patterns", "job"), ("minors", "off")):
        store.collection(sources.SOURCES).update_many({name: {"$exists": False}}, {"$set": {name: default}})
