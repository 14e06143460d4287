"""Drill: files that are not what they should be, given to the commands that load files."""

from __future__ import annotations

import gzip
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import bson
import orjson
import pytest

from app import cli
from app.settings import load
from app.wiring.container import Container
from tests.places import ROOT
from tests.served import ACTIVITY

PROFILE = (ROOT / "schemas" / "profiles" / "ent.jsonld").read_bytes()
NOISE = hashlib.shake_256(b"noise").digest(4_000)


def spoilt(good: bytes) -> dict[str, bytes]:
    """Ways for a file to be wrong."""
    packed = gzip.compress(good)
    return {
        "empty": b"",
        "blank": b" \n",
        "truncated.json": good[: len(good) // 2],
        "truncated.gz": packed[: len(packed) // 2],
        "not-gzip.gz": b"this is no gzip",
        "only-the-magic.gz": b"\x1f\x8b",
        "binary": NOISE,
        "zeros": bytes(1_000),
        "utf-16": good.decode().encode("utf-16"),
        "latin-1": good.replace(b'"en"', '"é"'.encode("latin-1")),
        "nan": b'{"id": NaN}',
        "deep": b"[" * 100_000,
        "deep-and-closed": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "number": b"1",
        "null": b"null",
        "list": b"[]",
        "nothing-in-it": b"{}",
        "twice.json": good + good,
        "types": orjson.dumps({key: [[key]] for key in orjson.loads(good)}),
    }


@pytest.fixture
def installed(
    tmp_path: Path, mongodb_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Container]:
    """An installation with one activity and one profile, that the commands find in the environment."""
    given = {
        "SILLAGE_DATA_DIR": str(tmp_path / "data"),
        "SILLAGE_MONGODB_URI": mongodb_uri,
        "SILLAGE_ORGANISATION": database_name.removeprefix("sillage_"),
        "SILLAGE_HEARTBEAT_SECONDS": "0.05",
        "SILLAGE_PROCESS_TTL_SECONDS": "1",
    }
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    container = Container(load(given))
    container.lifecycle.initialise()
    container.governance.register.add(orjson.dumps(ACTIVITY))
    container.traces.profiles.add(PROFILE, actor="cli:drill")
    yield container
    container.close()


def contents(container: Container) -> dict[str, str]:
    """A digest of each collection."""
    database = container.platform.store.db
    return {
        name: hashlib.sha256(b"".join(sorted(bson.encode(one) for one in database[name].find({})))).hexdigest()
        for name in sorted(database.list_collection_names())
    }


@pytest.mark.parametrize("command", ["profile", "processing-activity"])
def test_a_bad_file_is_refused_with_a_sentence_and_changes_nothing(
    installed: Container,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = PROFILE if command == "profile" else orjson.dumps(ACTIVITY)
    before = contents(installed)
    files = [tmp_path / name for name in spoilt(good)]
    for file, content in zip(files, spoilt(good).values(), strict=True):
        file.write_bytes(content)
    (tmp_path / "folder").mkdir()
    for file in (*files, tmp_path / "folder", tmp_path / "absent"):
        monkeypatch.setattr(sys, "argv", ["sillage", command, "add", str(file)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code == 2, file.name
        assert "Traceback" not in said.err
        assert len(said.err.strip().splitlines()) >= 2, said.err
        assert len(said.err) < 20_000
    assert contents(installed) == before
