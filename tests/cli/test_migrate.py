"""``sillage migrate``: nothing is changed where ``serve`` would refuse the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.server import migrate
from app.core import clock
from app.core.errors import ClockOff, KeyMissing, KeyRefused, MigrationMissing, RestoreUnfinished, SillageError
from app.operations.schema.migrations import NOTES
from app.settings import Settings
from app.wiring.container import Container
from tests.migrations import later
from tests.stores import initialised

INDEX = "due"
NAME = "2099_01_01_requests_found_by_what_is_due"
APPLY = "from app.operations.schema import migrations as m; from app.people.requests import store as cases; "
APPLY += "m.create(store, cases.COLLECTIONS)"


@pytest.fixture
def container(settings: Settings, database_name: str, tmp_path: Path) -> Iterator[Container]:
    """A store that lacks a migration: a collection's index, and its note."""
    with initialised(settings, database_name) as made:
        made.platform.store.collection("cases").drop_index(INDEX)
        with later(tmp_path / "migrations", **{NAME: APPLY}):
            yield made


def run(settings: Settings) -> str:
    container = Container(settings)
    try:
        answer = CliRunner().invoke(migrate, [], obj=container)
        if answer.exception is not None:
            raise answer.exception
        return answer.output
    finally:
        container.close()


def migrated(container: Container) -> bool:
    return INDEX in container.platform.store.collection("cases").index_information()


def test_what_is_missing_is_made_and_then_the_store_may_serve(container: Container) -> None:
    with pytest.raises(MigrationMissing):
        container.lifecycle.check()
    assert NAME in run(container.settings)
    assert migrated(container)
    container.lifecycle.check()
    assert "Nothing to apply" in run(container.settings)


def without_its_key(container: Container, _: pytest.MonkeyPatch) -> None:
    container.settings.key_path.unlink()


def with_another_key(container: Container, _: pytest.MonkeyPatch) -> None:
    container.settings.key_path.unlink()
    Container(replace(container.settings, organisation="another")).lifecycle.initialise()


def with_a_learners_key_of_a_later_rotation(container: Container, _: pytest.MonkeyPatch) -> None:
    container.platform.store.collection("subjects").insert_one({"_id": b"s" * 16, "version": 9, "key": b"k"})


def in_the_midst_of_a_restore(container: Container, _: pytest.MonkeyPatch) -> None:
    container.platform.store.collection("restore_state").insert_one(
        {"_id": "restore", "phase": "loading", "backup": "b", "created": "c", "parts": [], "loaded": [], "same": False}
    )


def of_a_later_version(container: Container, _: pytest.MonkeyPatch) -> None:
    container.platform.store.collection(NOTES).insert_one({"_id": "2099_01_02_quantum"})


def on_a_host_whose_clock_is_off(_: Container, patch: pytest.MonkeyPatch) -> None:
    right = clock.now_us
    patch.setattr(clock, "now_us", lambda: right() + 172_800_000_000)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (without_its_key, KeyMissing),
        (with_another_key, KeyRefused),
        (with_a_learners_key_of_a_later_rotation, KeyRefused),
        (in_the_midst_of_a_restore, RestoreUnfinished),
        (of_a_later_version, MigrationMissing),
        (on_a_host_whose_clock_is_off, ClockOff),
    ],
    ids=lambda value: value.__name__ if not isinstance(value, type) else "",
)
def test_what_serve_would_refuse_is_refused_and_nothing_is_changed(
    container: Container,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Container, pytest.MonkeyPatch], None],
    error: type[SillageError],
) -> None:
    spoil(container, monkeypatch)
    with pytest.raises(error) as refused:
        run(container.settings)
    assert not migrated(container)
    # And `serve` does refuse it.
    with pytest.raises(SillageError) as also:
        Container(container.settings).lifecycle.check()
    assert also.value.code in {refused.value.code, MigrationMissing.code}


def test_where_there_is_no_store_none_is_made(container: Container) -> None:
    mistyped = replace(container.settings, organisation=f"{container.settings.organisation}x")
    with pytest.raises(MigrationMissing, match="no store here"):
        run(mistyped)
    assert mistyped.database not in container.platform.store.client.list_database_names()


def test_a_store_of_a_later_version_is_not_served_but_one_that_serves_goes_on(
    settings: Settings, database_name: str
) -> None:
    running = Container(replace(settings, organisation=database_name.removeprefix("sillage_"), heartbeat_seconds=0.05))
    running.lifecycle.initialise()
    running.lifecycle.start()
    try:
        of_a_later_version(running, pytest.MonkeyPatch())
        running.lifecycle.recheck()
        with pytest.raises(MigrationMissing, match="later version"):
            Container(running.settings).lifecycle.check()
    finally:
        running.close()
