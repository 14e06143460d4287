"""``sillage keys``, on a real store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from app.commands.keys import keys
from app.core.errors import FileRefused, KeyBackupRefused, KeyRefused, KeysUnopened
from app.keys import organisation as organisation_keys
from app.keys.rekeying import RekeyRepository
from app.operations.rotation import kek as rules
from app.wiring.container import Container
from tests.operations.rotation.test_kek import PASSPHRASE, cheap_copies, container

__all__ = ("cheap_copies", "container")


def run(container: Container, *args: str, typed: str = "") -> str:
    answer = CliRunner().invoke(keys, args, obj=container, input=typed, env={"COLUMNS": "200"})
    if answer.exception is not None:
        raise answer.exception
    return answer.output


@pytest.fixture
def learner(container: Container) -> Iterator[bytes]:
    """A learner with a key."""
    subject = os.urandom(16)
    container.keys.subjects.ensured([subject])
    yield subject


def test_from_a_rotation_to_a_retirement(container: Container, learner: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "active" in run(container, "status")
    assert "Version 2 is active; version 1 is decrypt-only." in run(container, "rotate")
    assert "Wrapped anew: 1 learner's key, 0 of the organisation." in run(container, "rewrap")
    assert "1 of 1 learner's key" in run(container, "verify")
    monkeypatch.setattr(rules, "RETIREMENT_GRACE", timedelta(0))
    with pytest.raises(SystemExit):
        run(container, "retire", "1", typed="n\n")
    assert "Version 1 is destroyed" in run(container, "retire", "1", "--yes")
    assert "destroyed" in run(container, "status")


def test_a_copy_made_after_a_retirement_is_without_the_retired_version(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("four words and one more")
    run(container, "rotate")
    before = run(container, "backup", str(tmp_path / "provisional"), "--passphrase-file", str(passphrase))
    assert "Versions 1, 2 are in" in before
    monkeypatch.setattr(rules, "RETIREMENT_GRACE", timedelta(0))
    assert "make a new one now" in run(container, "retire", "1", "--yes")
    after = run(container, "backup", str(tmp_path / "kept"), "--passphrase-file", str(passphrase))
    assert "Versions 2 are in" in after


def test_the_index_key_from_a_rotation_to_its_end(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container.operations.index_rotation, "_settle", 0.0)
    assert "Index key: generation 1, in force." in run(container, "status")
    assert "There is no old index key to destroy." in run(container, "reindex")
    assert "New statements get tokens of index key 2" in run(container, "rotate", "--index")
    assert "generation 1, being replaced by 2 (moving" in run(container, "status")
    assert "The old index key is destroyed." in run(container, "reindex", "--share", "0.5")
    assert "Index key: generation 2, in force." in run(container, "status")


def test_the_documents_key_from_a_rotation_to_its_end(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container.operations.documents_rotation, "_settle", 0.0)
    assert "Documents key: generation 1, in force." in run(container, "status")
    organisation = container.settings.organisation
    organisation_keys.begin_documents(container.platform.store, container.keys.keyring, organisation, 1)
    assert "Documents key: generation 1, being replaced by 2 (given-out" in run(container, "status")
    said = run(container, "rotate", "--documents")
    assert "Sealed anew with documents key 2: 0 documents." in said
    assert "The old documents key is destroyed" in said
    assert "Documents key: generation 2, in force." in run(container, "status")
    with pytest.raises(SystemExit):
        run(container, "rotate", "--documents", "--index")


def test_new_keys_for_learners_from_a_look_to_the_end(
    container: Container, learner: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container.operations.rekey, "_settle", 0.0)
    before = container.platform.store.collection("subjects").find_one({"_id": learner})
    assert "Learners' keys: those that they began with." in run(container, "status")
    run(container, "rotate")
    said = run(container, "rekey-learners", "--dry-run")
    assert "1 learner and about 0 statements. New keys are wrapped with version 2" in said
    assert "Nothing was changed." in said
    assert container.platform.store.collection("subjects").find_one({"_id": learner}) == before
    RekeyRepository(container.platform.store).begin(1)
    assert "being replaced (rekey 1, giving-out since" in run(container, "status")
    assert "Rekey 1 is done: 1 learner has a new key" in run(container, "rekey-learners", "--share", "0.5")
    assert "Learners' keys: replaced for the last time on " in run(container, "status")
    assert "Rekey 2 is done" in run(container, "rekey-learners")


def test_what_does_not_open_is_named_and_an_error(container: Container, learner: bytes) -> None:
    container.platform.store.collection("subjects").update_one({"_id": learner}, {"$set": {"key": bytes(60)}})
    answer = CliRunner().invoke(keys, ["verify"], obj=container)
    assert isinstance(answer.exception, KeysUnopened)
    assert learner.hex() in answer.output


def test_a_missing_version_is_an_error_of_status(container: Container) -> None:
    container.platform.store.collection("subjects").insert_one({"_id": bytes(16), "version": 9, "key": b""})
    with pytest.raises(KeysUnopened, match="version 9"):
        run(container, "status")


def test_the_passphrase_is_asked_twice_and_not_shown(container: Container, tmp_path: Path) -> None:
    copy = tmp_path / "copy.json"
    with pytest.raises(SystemExit):
        run(container, "backup", str(copy), typed=f"{PASSPHRASE}\nanother\n")
    assert not copy.exists()
    said = run(container, "backup", str(copy), typed=f"{PASSPHRASE}\n{PASSPHRASE}\n")
    assert PASSPHRASE not in said
    container.settings.key_path.unlink()
    assert "They open this store." in run(Container(container.settings), "restore", str(copy), typed=f"{PASSPHRASE}\n")


def test_the_passphrase_comes_from_a_file_or_a_descriptor(container: Container, tmp_path: Path) -> None:
    secret, copy = tmp_path / "secret", tmp_path / "copy.json"
    secret.write_text(PASSPHRASE + "\n")
    run(container, "backup", str(copy), "--passphrase-file", str(secret))
    container.settings.key_path.unlink()
    reading, writing = os.pipe()
    os.write(writing, PASSPHRASE.encode() + b"\r\nnothing of this\n")
    os.close(writing)
    try:
        run(Container(container.settings), "restore", str(copy), "--passphrase-fd", str(reading))
    finally:
        os.close(reading)
    with pytest.raises(KeyRefused, match="already"):
        run(container, "restore", str(copy), "--passphrase-file", str(secret))
    with pytest.raises(click.UsageError):
        click_error(container, "backup", str(copy), "--passphrase-file", str(secret), "--passphrase-fd", "0")


def click_error(container: Container, *args: str) -> None:
    keys.main(list(args), obj=container, standalone_mode=False)


def test_a_passphrase_that_cannot_be_read_is_refused(container: Container, tmp_path: Path) -> None:
    copy, odd = str(tmp_path / "copy.json"), tmp_path / "odd"
    odd.write_bytes(b"\xff" * 20)
    with pytest.raises(FileRefused):
        run(container, "backup", copy, "--passphrase-file", str(tmp_path / "absent"))
    with pytest.raises(KeyBackupRefused, match="UTF-8"):
        run(container, "backup", copy, "--passphrase-file", str(odd))
