"""Dated migrations: each module here has a docstring that says why, and ``apply(store)``.

They run in the order of their names, once each, under ``sillage migrate`` or at ``sillage init``; what was applied
is noted in the collection ``migrations``.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from pymongo import ASCENDING, IndexModel

from app.core import clock
from app.core.errors import MigrationMissing
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Store, translated

NOTES = "migrations"
_PACKED: dict[str, Any] = {"storageEngine": {"wiredTiger": {"configString": "block_compressor=zstd"}}}


def names() -> list[str]:
    """Every migration, oldest first."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def pending(store: Store) -> list[str]:
    """Migrations that this database has not had."""
    with translated():
        done = {note["_id"] for note in store.collection(NOTES).find({}, {"_id": 1})}
    return [name for name in names() if name not in done]


def refuse_other(store: Store) -> None:
    """Refuse a database that is no store, or that a later version has migrated: this one does not know what for.

    Raises:
        MigrationMissing: it is.
    """
    with translated():
        done = {str(note["_id"]) for note in store.collection(NOTES).find({}, {"_id": 1})}
    if not done:
        raise _nothing_there()
    later = sorted(done - set(names()))
    if later:
        raise MigrationMissing(
            f"This database is of a later version of Sillage ({later[-1]}). Use that version, or restore the backup "
            "made before it came."
        )


def _nothing_there() -> MigrationMissing:
    return MigrationMissing(
        "There is no store here yet. Run `sillage init`, or correct SILLAGE_MONGODB_URI, SILLAGE_ORGANISATION or "
        "SILLAGE_DATA_DIR."
    )


def migrate(store: Store) -> list[str]:
    """Apply what is pending, in order. Safe to run twice, or on two hosts at once.

    Returns:
        The names applied now.
    """
    applied = pending(store)
    for name in applied:
        apply = cast(Callable[[Store], None], import_module(f"{__name__}.{name}").apply)
        with translated():
            apply(store)
            store.collection(NOTES).update_one({"_id": name}, {"$setOnInsert": {"applied": clock.now()}}, upsert=True)
    return applied


def check(store: Store, declared: tuple[Declared, ...]) -> None:
    """Refuse to start on a database that lacks a migration or a declared index.

    Raises:
        MigrationMissing: says which, and which command creates it.
    """
    missing = pending(store)
    if missing == names():
        raise _nothing_there()
    with translated():
        for collection in declared:
            present = {index["name"] for index in store.collection(collection.name).list_indexes()}
            missing += [
                f"index {collection.name}.{index.name}" for index in collection.indexes if index.name not in present
            ]
    if missing:
        raise MigrationMissing(f"Missing: {', '.join(missing)}. Run `sillage migrate`.")


def create(store: Store, declared: tuple[Declared, ...]) -> None:
    """Create collections and indexes that are not there yet."""
    existing = set(store.db.list_collection_names())
    for collection in declared:
        if collection.name not in existing:
            # Creating an existing collection with the same options is a no-op since MongoDB 5.0; before, listed above.
            store.db.create_collection(collection.name, check_exists=False, **(_PACKED if collection.packed else {}))
        models = [
            IndexModel(
                [(key, ASCENDING if way > 0 else -1) for key, way in index.keys],
                name=index.name,
                unique=index.unique,
                **({"partialFilterExpression": {index.only_with: {"$exists": True}}} if index.only_with else {}),
                **(_PACKED if index.packed else {}),
            )
            for index in collection.indexes
        ]
        if models:
            store.collection(collection.name).create_indexes(models)
