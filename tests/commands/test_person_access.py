"""``sillage person access``: a file that appears whole, for its owner alone, or not at all."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from app.commands.person import person
from app.core.errors import DatabaseUnavailable, FileRefused
from app.governance.register.purposes import Purpose
from app.people.access_package.subject_access_export import Progress
from app.people.finding.finder import Reach
from app.people.finding.pseudonyms import IdentifiedDataSubject

ME = ["--account", "https://ent.example", "p-1"]


class Made:
    """Stands for the service, whose tests are elsewhere: two pieces, then an end or a failure."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.asked: list[tuple[IdentifiedDataSubject, str, str | None]] = []

    def write(
        self, data_subject: IdentifiedDataSubject, *, actor: str, request: str | None, progress: object
    ) -> Iterator[bytes]:
        self.asked.append((data_subject, actor, request))
        assert callable(progress)
        progress(Progress("statements", 1))
        yield b"one"
        if self.fails:
            raise DatabaseUnavailable("Gone.")
        yield b"two"


def run(made: Made, *words: str) -> str:
    persons = SimpleNamespace(reach=lambda person: Reach(False, ()))
    container = SimpleNamespace(
        people=SimpleNamespace(packages=made, finder=persons),
        governance=SimpleNamespace(purpose=Purpose(("rights-request",), required=False)),
    )
    answer = CliRunner().invoke(person, ["access", *words], obj=container)
    if answer.exception is not None:
        raise answer.exception
    return answer.output


def test_the_zip_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    made, target = Made(), tmp_path / "access.zip"
    reported = run(made, *ME, "--to", str(target), "--case", "r-1")
    assert "6 bytes" in reported
    assert "Nothing is held under these identifiers" in reported
    assert target.read_bytes() == b"onetwo"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert made.asked == [(IdentifiedDataSubject(("account:https://ent.example|p-1",)), "cli:person access", "r-1")]


def test_a_file_that_is_there_is_not_overwritten_and_nothing_is_read(tmp_path: Path) -> None:
    made, target = Made(), tmp_path / "access.zip"
    target.write_bytes(b"mine")
    with pytest.raises(FileRefused):
        run(made, *ME, "--to", str(target))
    assert (target.read_bytes(), made.asked) == (b"mine", [])


def test_what_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        run(Made(fails=True), *ME, "--to", str(tmp_path / "access.zip"))
    assert list(tmp_path.iterdir()) == []
