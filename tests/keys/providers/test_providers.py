"""Providers of key-encryption keys: one that is added is a factory in the table, and nothing else."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.server import init
from app.core.errors import KeyMissing, SettingsInvalid
from app.keys import providers
from app.keys.keyring import Keyring
from app.keys.providers import PROVIDERS, chosen
from app.settings import Settings, load
from app.wiring.container import Container
from tests.keys.providers.test_file import versions
from tests.stores import lent

TEXT = f"1:{base64.b64encode(bytes(32)).decode()}"


class Fourth:
    """A provider that a test adds: one key, made when asked."""

    file: Path | None = None
    unchangeable = "The fourth provider changes its keys itself."
    kept = ("Key-encryption keys: with the fourth.",)

    def __init__(self, settings: Settings) -> None:
        self.organisation = settings.organisation
        self.made = False

    def lost(self) -> bool:
        return not self.made

    def create(self, random: Callable[[int], bytes], now: datetime) -> str:
        made, self.made = not self.made, True
        return "key of the fourth" if made else ""

    def open(self) -> Keyring:
        return Keyring(lambda: versions("decrypt-only", "active"), lambda: None, lambda: 0.0)


@pytest.fixture
def container(settings: Settings, database_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Container]:
    """A store with keys of the fourth provider, not initialised yet."""
    monkeypatch.setattr(providers, "PROVIDERS", {**PROVIDERS, "fourth": Fourth})
    made = lent(settings, database_name, key_provider="fourth")
    yield made
    made.close()


def test_a_store_is_made_and_opened_with_one_that_is_added(container: Container) -> None:
    said = CliRunner().invoke(init, [], obj=container).output
    assert "key of the fourth" in said
    assert "Key-encryption keys: with the fourth." in said
    assert not container.settings.key_path.exists()
    container.lifecycle.check()
    assert [use.number for use in container.operations.key_service.status().versions if use.organisation_keys] == [2]
    assert container.keys.subjects.ensured([os.urandom(16)])
    for command in (container.operations.key_service.rotate, lambda: container.operations.key_service.retire(1)):
        with pytest.raises(SettingsInvalid, match="changes its keys itself"):
            command()


def test_no_key_is_made_beside_data_sealed_with_a_lost_one(container: Container) -> None:
    container.lifecycle.initialise()
    assert isinstance(container.keys.provider, Fourth)
    container.keys.provider.made = False
    with pytest.raises(KeyMissing):
        container.lifecycle.initialise()
    assert not container.keys.provider.made


def test_the_settings_choose(settings: Settings) -> None:
    assert set(PROVIDERS) == {"file", "environment", "vault"}
    by_file = chosen(settings)
    assert by_file.file == settings.key_path
    assert by_file.lost()
    given = chosen(replace(settings, keys=TEXT))
    assert (given.file, given.lost()) == (None, False)
    assert given.open().current.active == 1
    away = chosen(replace(settings, key_provider="vault"))
    assert (away.file, away.lost()) == (None, False)


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_says_where_keys_are_and_what_is_refused(settings: Settings, name: str) -> None:
    each = chosen(replace(settings, key_provider=name, keys=TEXT if name == "environment" else ""))
    assert each.kept[0].startswith("Key-encryption keys: ")
    assert (each.file is None) == bool(each.unchangeable)
    if each.file is None:
        assert each.create(os.urandom, datetime.now()) == ""


def test_one_that_there_is_not_is_refused_at_once() -> None:
    with pytest.raises(SettingsInvalid, match="Must be one of: file, environment, vault"):
        Container(load({"SILLAGE_KEY_PROVIDER": "kms"}))


def test_what_one_needs_and_is_not_installed_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hvac", None)
    monkeypatch.delitem(sys.modules, "app.keys.providers.vault_transit", raising=False)
    with pytest.raises(SettingsInvalid, match=r"needs `hvac`: install `sillage\[vault\]`"):
        chosen(replace(settings, key_provider="vault"))


def test_what_only_one_needs_is_not_loaded_for_the_others() -> None:
    loaded = "import sys, app.wiring.container, app.keys.providers.file; print('hvac' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True).strip() == "False"
