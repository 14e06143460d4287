"""Stores of a test's own: what the fixtures of several files make."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from app.core import clock
from app.keys import organisation as organisation_keys
from app.settings import Settings, load
from app.wiring.container import Container
from tests.served import ACTIVITY


def own_settings(folder: Path, uri: str, database_name: str = "") -> Settings:
    """Settings of an organisation that no other test has, with processes that are soon declared dead.

    Its database is the one that is lent, if any is; else whoever makes it drops it.
    """
    return load(
        {
            "SILLAGE_DATA_DIR": str(folder / "data"),
            "SILLAGE_MONGODB_URI": uri,
            "SILLAGE_ORGANISATION": database_name.removeprefix("sillage_") or f"t{uuid4().hex[:10]}",
            "SILLAGE_HEARTBEAT_SECONDS": "0.05",
            "SILLAGE_PROCESS_TTL_SECONDS": "1",
        }
    )


def lent(settings: Settings, database_name: str, **changes: Any) -> Container:
    """The container of a store in a database that is lent (``tests/databases.py``); the test closes them."""
    given = {"organisation": database_name.removeprefix("sillage_"), "heartbeat_seconds": 0.05, **changes}
    return Container(replace(settings, **given))


@contextmanager
def initialised(settings: Settings, database_name: str, **changes: Any) -> Iterator[Container]:
    """The container of a store in a database that is lent, initialised; processes are soon held for dead."""
    made = lent(settings, database_name, **{"process_ttl_seconds": 1.0, **changes})
    made.lifecycle.initialise()
    try:
        yield made
    finally:
        made.close()


def settle(container: Container, seconds: float = 30.0) -> None:
    """Wait until nothing that was stored so far, or earlier, can still appear: jobs go up to there."""
    now, limit = clock.now_us(), time.monotonic() + seconds
    while container.traces.reader.consistent_through() <= now:
        assert time.monotonic() < limit, "the processes do not speak"
        time.sleep(0.01)


def look_after_keys(container: Container) -> None:
    """Have the container read the organisation's keys anew each time."""
    container.keys.__dict__["organisation"] = organisation_keys.unlock(
        container.platform.store, container.keys.keyring, container.settings.organisation, keep_seconds=0
    )


@contextmanager
def with_tutor(settings: Settings, database_name: str, **changes: Any) -> Iterator[Container]:
    """The container of the store of a database that is lent, with the source ``tutor``."""
    made = lent(settings, database_name, **changes)
    made.lifecycle.initialise()
    made.governance.register.add(orjson.dumps(ACTIVITY))
    made.operations.sources.add("tutor", name="Tutor", activity=ACTIVITY["id"], actor="cli:test")
    try:
        yield made
    finally:
        made.close()


@contextmanager
def started(settings: Settings, database_name: str) -> Iterator[Container]:
    """The container of a process that may write, in a database that is lent; its entry of the register is ``p2ia``."""
    made = lent(settings, database_name)
    made.lifecycle.initialise()
    made.lifecycle.start()
    made.governance.register.add(orjson.dumps(ACTIVITY))
    try:
        yield made
    finally:
        made.close()
