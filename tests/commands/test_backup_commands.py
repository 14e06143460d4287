"""``sillage backup``, ``restore`` and ``tombstones``, on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.commands.backup import backup, restore, tombstones
from app.core.errors import FileRefused, KeyRefused, RestoreRefused
from app.wiring.container import Container
from tests.operations.backup.test_service import STATEMENTS, House

__all__ = ("House",)


@pytest.fixture
def house(tmp_path: Path, mongodb_uri: str) -> Iterator[House]:
    made = House(tmp_path, mongodb_uri)
    yield made
    made.close()


def run(container: Container, command: click.Command, *args: str, typed: str = "") -> str:
    answer = CliRunner().invoke(command, args, obj=container, input=typed, env={"COLUMNS": "200"})
    if answer.exception is not None:
        raise answer.exception
    return answer.output


def test_from_a_backup_to_a_restore(house: House) -> None:
    file = house.folder / "mine.tar"
    said = run(house.container(), backup, str(file))
    assert "NOT in it" in said
    assert "needs version 1 " in said
    said = run(house.container(), backup, "verify", str(file))
    assert "the keys at hand open it" in said
    assert f"{STATEMENTS}" in said
    house.lose()
    said = run(house.container(), restore, str(file))
    assert "is in place" in said
    assert "erased again now: 0" in said
    assert len(house.contents()["statements"]) == STATEMENTS


def test_a_folder_takes_one_backup_after_the_other(house: House) -> None:
    run(house.container(), backup, "create", str(house.folder))
    assert len(list(house.folder.glob("sillage-*.tar"))) == 1
    with pytest.raises(FileRefused):
        run(house.container(), backup, str(next(house.folder.glob("sillage-*.tar"))))


def test_replacing_asks_for_the_name_of_the_organisation(house: House) -> None:
    file = house.folder / "mine.tar"
    run(house.container(), backup, str(file))
    with pytest.raises(RestoreRefused):
        run(house.container(), restore, str(file))
    organisation = house.settings.organisation
    for args, typed in (((), "yes\n"), (("--confirm", "default"), "")):
        answer = CliRunner().invoke(restore, [str(file), "--replace", *args], obj=house.container(), input=typed)
        assert answer.exit_code == 2
        assert "Nothing was changed" in answer.output
    house.fill(5)
    assert "is in place" in run(house.container(), restore, str(file), "--replace", typed=f"{organisation}\n")
    assert len(house.contents()["statements"]) == STATEMENTS
    assert "is in place" in run(house.container(), restore, str(file), "--replace", "--confirm", organisation)


def test_abandoning_says_so(house: House) -> None:
    with pytest.raises(RestoreRefused):
        run(house.container(), restore, "--abandon")
    assert CliRunner().invoke(restore, [], obj=house.container()).exit_code == 2
    assert CliRunner().invoke(restore, ["--abandon", "file"], obj=house.container()).exit_code == 2
    house.store.collection("restore_state").insert_one(
        {"_id": "restore", "phase": "loading", "backup": "b", "created": "c", "parts": [], "loaded": [], "same": False}
    )
    assert "as it was before" in run(house.container(), restore, "--abandon")
    house.container().lifecycle.check()


def test_without_the_key_file_nothing_is_restored(house: House) -> None:
    file = house.folder / "mine.tar"
    run(house.container(), backup, str(file))
    house.lose()
    house.settings.key_path.unlink()
    assert "not tried" in run(house.container(), backup, "verify", str(file))
    house.container().lifecycle.initialise()
    with pytest.raises(KeyRefused):
        run(house.container(), restore, str(file))


def test_tombstones_are_exported(house: House) -> None:
    file = house.folder / "tombstones"
    assert "0 tombstones" in run(house.container(), tombstones, "export", str(file))
    assert file.exists()
