"""The collections of sign-in, and what sessions lack to be in force, for a store that was there before."""

from __future__ import annotations

from app.access.sign_in import store as sign_in
from app.access.users import store as users
from app.operations.schema.migrations import create
from app.platform.mongo.connection import Store, translated


def apply(store: Store) -> None:
    """Create the collections, where they are not, and end sessions that do not say what they lack."""
    create(store, sign_in.COLLECTIONS)
    with translated():
        store.collection(users.SESSIONS).delete_many({"pending": {"$exists": False}})
