"""Sources say why they have another policy about minors than the one that their activity asks for.

A policy that was chosen before stays: another one would give learners who are known by addresses a second identity.
`sillage source list`, `source show` and the report of retention tell those without a reason.
"""

from __future__ import annotations

from app.access import store as sources
from app.operations import minors_store as minors_passes
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store


def apply(store: Store) -> None:
    """Give sources registered before an empty reason; create the collection of passes over what is stored."""
    create(store, minors_passes.COLLECTIONS)
    store.collection(sources.SOURCES).update_many(
        {"minors_reason": {"$exists": False}}, {"$set": {"minors_reason": ""}}
    )
