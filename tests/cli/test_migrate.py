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
from app.factory import Parts
from app.operations.schema.migrations import NOTES
from app.settings import Settings
from tests.migrations import later
from tests.stores import initialised

INDEX = "due"
NAME = "2099_01_01_requests_found_by_what_is_due"
APPLY = "from app.operations.schema import migrations as m; from app.people.requests import store as cases; "
APPLY += "m.create(store, cases.COLLECTIONS)"


@pytest.fixture
def parts(settings: Settings, database_name: str, tmp_path: Path) -> Iterator[Parts]:
    """A store that lacks a migration: a collection's index, and its note."""
    with initialised(settings, database_name) as made:
        made.store.collection("cases").drop_index(INDEX)
        with later(tmp_path / "migrations", **{NAME: APPLY}):
            yield made


def run(settings: Settings) -> str:
    parts = Parts(settings)
    try:
        answer = CliRunner().invoke(migrate, [], obj=parts)
        if answer.exception is not None:
            raise answer.exception
        return answer.output
    finally:
        parts.close()


def migrated(parts: Parts) -> bool:
    return INDEX in parts.store.collection("cases").index_information()


def test_what_is_missing_is_made_and_then_the_store_may_serve(parts: Parts) -> None:
    with pytest.raises(MigrationMissing):
        parts.check()
    assert NAME in run(parts.settings)
    assert migrated(parts)
    parts.check()
    assert "Nothing to apply" in run(parts.settings)


def without_its_key(parts: Parts, _: pytest.MonkeyPatch) -> None:
    parts.settings.key_path.unlink()


def with_another_key(parts: Parts, _: pytest.MonkeyPatch) -> None:
    parts.settings.key_path.unlink()
    Parts(replace(parts.settings, organisation="another")).initialise()


def with_a_learners_key_of_a_later_rotation(parts: Parts, _: pytest.MonkeyPatch) -> None:
    parts.store.collection("subjects").insert_one({"_id": b"s" * 16, "version": 9, "key": b"k"})


def in_the_midst_of_a_restore(parts: Parts, _: pytest.MonkeyPatch) -> None:
    parts.store.collection("restore_state").insert_one(
        {"_id": "restore", "phase": "loading", "backup": "b", "created": "c", "parts": [], "loaded": [], "same": False}
    )


def of_a_later_version(parts: Parts, _: pytest.MonkeyPatch) -> None:
    parts.store.collection(NOTES).insert_one({"_id": "2099_01_02_quantum"})


def on_a_host_whose_clock_is_off(_: Parts, patch: pytest.MonkeyPatch) -> None:
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
    parts: Parts,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Parts, pytest.MonkeyPatch], None],
    error: type[SillageError],
) -> None:
    spoil(parts, monkeypatch)
    with pytest.raises(error) as refused:
        run(parts.settings)
    assert not migrated(parts)
    # And `serve` does refuse it.
    with pytest.raises(SillageError) as also:
        Parts(parts.settings).check()
    assert also.value.code in {refused.value.code, MigrationMissing.code}


def test_where_there_is_no_store_none_is_made(parts: Parts) -> None:
    mistyped = replace(parts.settings, organisation=f"{parts.settings.organisation}x")
    with pytest.raises(MigrationMissing, match="no store here"):
        run(mistyped)
    assert mistyped.database not in parts.store.client.list_database_names()


def test_a_store_of_a_later_version_is_not_served_but_one_that_serves_goes_on(
    settings: Settings, database_name: str
) -> None:
    running = Parts(replace(settings, organisation=database_name.removeprefix("sillage_"), heartbeat_seconds=0.05))
    running.initialise()
    running.start()
    try:
        of_a_later_version(running, pytest.MonkeyPatch())
        running.recheck()
        with pytest.raises(MigrationMissing, match="later version"):
            Parts(running.settings).check()
    finally:
        running.close()
