"""Stores of a test's own: what the fixtures of several files make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import orjson
from pymongo import MongoClient

from app.factory import Parts
from app.keys import organisation as organisation_keys
from app.settings import Settings, load
from tests.served import ACTIVITY


def own_settings(folder: Path, uri: str) -> Settings:
    """Settings of an organisation that no other test has, with processes that are soon declared dead."""
    return load(
        {
            "SILLAGE_DATA_DIR": str(folder / "data"),
            "SILLAGE_MONGODB_URI": uri,
            "SILLAGE_ORGANISATION": f"t{uuid4().hex[:10]}",
            "SILLAGE_HEARTBEAT_SECONDS": "0.05",
            "SILLAGE_PROCESS_TTL_SECONDS": "1",
        }
    )


@contextmanager
def initialised(folder: Path, uri: str) -> Iterator[Parts]:
    """The parts of a store of its own, initialised; its database is dropped afterwards."""
    made = Parts(own_settings(folder, uri))
    made.initialise()
    try:
        yield made
    finally:
        made.close()
        with MongoClient[dict[str, object]](uri) as client:
            client.drop_database(made.settings.database)


def look_after_keys(parts: Parts) -> None:
    """Have the parts read the organisation's keys anew each time."""
    parts.__dict__["keys"] = organisation_keys.unlock(
        parts.store, parts.keyring, parts.settings.organisation, keep_seconds=0
    )


@contextmanager
def with_tutor(settings: Settings, database_name: str) -> Iterator[Parts]:
    """The parts of the store of a database that is lent, with the source ``tutor``; the database is dropped."""
    made = Parts(replace(settings, organisation=database_name.removeprefix("sillage_"), heartbeat_seconds=0.05))
    made.initialise()
    made.register.add(orjson.dumps(ACTIVITY))
    made.sources.add("tutor", name="Tutor", activity=ACTIVITY["id"], actor="cli:test")
    try:
        yield made
    finally:
        # Some tests close them, as a restore by a command does.
        made.close()
        with MongoClient[dict[str, object]](made.settings.mongodb_uri) as client:
            client.drop_database(made.settings.database)


@contextmanager
def started(settings: Settings, database_name: str) -> Iterator[Parts]:
    """The parts of a process that may write, in a database that is lent; its entry of the register is ``p2ia``."""
    made = Parts(replace(settings, organisation=database_name.removeprefix("sillage_"), heartbeat_seconds=0.05))
    made.initialise()
    made.start()
    made.register.add(orjson.dumps(ACTIVITY))
    try:
        yield made
    finally:
        made.close()
