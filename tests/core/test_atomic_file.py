"""Large files that are written whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.atomic_file import new_file, sweep
from app.core.errors import FileRefused


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    with new_file(path) as file:
        file.write(b"one")
        assert not path.exists()
        file.write(b"two")
    assert path.read_bytes() == b"onetwo"
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["backup.tar"]


def test_what_a_killed_process_left_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    aside = tmp_path / ".backup.tar.part"
    aside.write_bytes(b"old")
    aside.chmod(0o666)
    with new_file(tmp_path / "backup.tar") as file:
        file.write(b"new")
    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600


def test_a_file_that_has_another_name_too_is_not_written_into(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"theirs")
    os.link(theirs, tmp_path / ".backup.tar.part")
    with pytest.raises(FileRefused, match="not this user's alone"), new_file(tmp_path / "backup.tar") as file:
        file.write(b"secret")
    assert theirs.read_bytes() == b"theirs"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_file(tmp_path / "backup.tar") as file:
        file.write(b"one")
        raise RuntimeError
    assert names(tmp_path) == []


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    path.write_bytes(b"mine")
    with pytest.raises(FileRefused, match="already"), new_file(path):
        pass
    other = tmp_path / "other.tar"
    with pytest.raises(FileRefused, match="meanwhile"), new_file(other) as file:
        file.write(b"one")
        other.write_bytes(b"theirs")
    assert (path.read_bytes(), other.read_bytes()) == (b"mine", b"theirs")
    assert names(tmp_path) == ["backup.tar", "other.tar"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused), new_file(tmp_path / "nowhere" / "backup.tar"):
        pass


def test_two_writers_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "backup.tar"
    with new_file(path) as file:
        file.write(b"first")
        with pytest.raises(FileRefused, match="Another process"), new_file(path):
            pass
    assert path.read_bytes() == b"first"


def test_what_a_killed_process_left_is_taken_over_or_swept(tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom app.core.atomic_file import new_file\n"
        "with new_file(Path(sys.argv[1])) as file:\n file.write(b'x' * 100)\n file.flush()\n os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "sillage-a.tar"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script, str(path)], env=os.environ, check=False)
        assert done.returncode == -signal.SIGKILL
        assert names(tmp_path) == [".sillage-a.tar.part"]
    with new_file(path) as file:
        file.write(b"short")
        sweep(tmp_path, "sillage-")
        assert names(tmp_path) == [".sillage-a.tar.part"], "what is being written was swept"
    assert path.read_bytes() == b"short"
    (tmp_path / ".sillage-b.tar.part").write_bytes(b"left")
    (tmp_path / ".other.part").write_bytes(b"of another")
    sweep(tmp_path, "sillage-")
    assert names(tmp_path) == [".other.part", "sillage-a.tar"]
