"""The key-encryption keys with Vault, on a real server that speaks its protocol."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from app.core.errors import KeyMissing, KeyRefused, KeysUnavailable, SettingsInvalid
from app.crypto.keys import Wrapped
from app.keys.learners import WrappedKeys
from app.keys.providers import vault_transit as transit
from app.keys.providers.vault_transit import TransitKeys
from app.settings import Settings
from app.wiring.container import Container
from tests.served import serving, statement
from tests.vaults import BAO, Vault, running


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    if BAO is None:
        pytest.skip("there is no OpenBao for this platform")
    with running(tmp_path_factory.mktemp("vault")) as server:
        yield server


@pytest.fixture
def keys(vault: Vault) -> TransitKeys:
    return TransitKeys(vault.place())


def several(count: int) -> list[tuple[str, bytes]]:
    return [(f"subject:default:{number}", os.urandom(32)) for number in range(count)]


def placed(items: list[tuple[str, bytes]], wrapped: list[Wrapped]) -> list[tuple[str, Wrapped]]:
    return [(place, each) for (place, _), each in zip(items, wrapped, strict=True)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests to Vault, from here on."""
    seen: list[str] = []
    real = TransitKeys._ask

    def ask(self: TransitKeys, method: str, path: str, body: Any) -> Any:
        seen.append(path.split("/")[0])
        return real(self, method, path, body)

    monkeypatch.setattr(TransitKeys, "_ask", ask)
    return seen


def test_unwrapping_undoes_wrapping_in_one_request_each(keys: TransitKeys, asked: list[str]) -> None:
    items = several(transit.MAX_AT_ONCE)
    wrapped = keys.wrap_all(items, os.urandom)
    assert keys.unwrap_all(placed(items, wrapped)) == [key for _, key in items]
    assert asked == ["encrypt", "decrypt"]
    assert {each.version for each in wrapped} == {keys.active}
    assert keys.wrap_all([], os.urandom) == keys.unwrap_all([]) == []


def test_a_long_batch_is_asked_in_parts(keys: TransitKeys, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transit, "MAX_AT_ONCE", 4)
    items = several(10)
    assert keys.unwrap_all(placed(items, keys.wrap_all(items, os.urandom))) == [key for _, key in items]
    assert asked == ["encrypt"] * 3 + ["decrypt"] * 3


def test_a_wrapped_key_opens_only_at_its_place_and_whole(keys: TransitKeys) -> None:
    wrapped = keys.wrap("subject:default:aa", b"d" * 32, os.urandom)
    assert keys.unwrap("subject:default:aa", wrapped) == b"d" * 32
    altered = wrapped._replace(sealed=wrapped.sealed[:-1] + bytes([wrapped.sealed[-1] ^ 1]))
    for place, each in (
        ("subject:default:bb", wrapped),
        ("subject:default:aa", altered),
        ("subject:default:aa", wrapped._replace(version=99)),
    ):
        with pytest.raises(KeyRefused):
            keys.unwrap(place, each)
    with pytest.raises(KeyRefused):
        keys.unwrap_all([("subject:default:aa", wrapped), ("subject:default:bb", wrapped)])


def test_a_rotation_in_vault_is_followed_without_seeing_a_key(
    vault: Vault, keys: TransitKeys, asked: list[str]
) -> None:
    items = several(5)
    old = keys.wrap_all(items, os.urandom)
    before = keys.active
    vault.root.secrets.transit.rotate_key("sillage")
    keys.refresh()
    assert keys.active == before + 1
    assert [one.state for one in keys.listed()][-2:] == ["decrypt-only", "active"]
    assert all(one.created for one in keys.listed()[-2:])
    foreign = old[0]._replace(sealed=os.urandom(60))
    asked.clear()
    fresh = keys.rewrap_all([*placed(items, old), ("subject:default:x", foreign)], os.urandom)
    assert asked == ["rewrap"]
    assert fresh[-1] is None
    moved = [each for each in fresh if each is not None]
    assert {each.version for each in moved} == {before + 1}
    assert keys.unwrap_all(placed(items, moved)) == [key for _, key in items]
    vault.root.secrets.transit.update_key_configuration("sillage", min_decryption_version=before + 1)
    keys.refresh()
    assert before not in keys.opening()
    assert keys.listed()[before - 1].state == "destroyed"
    with pytest.raises(KeyRefused):
        keys.unwrap(items[0][0], old[0])


def test_a_sealed_vault_is_unavailable_and_serves_again_once_open(vault: Vault, keys: TransitKeys) -> None:
    wrapped = keys.wrap("place", b"d" * 32, os.urandom)
    with vault.sealed():
        for ask in (
            lambda: keys.unwrap("place", wrapped),
            lambda: keys.wrap("place", b"d" * 32, os.urandom),
            lambda: keys.rewrap_all([("place", wrapped)], os.urandom),
            keys.refresh,
            lambda: TransitKeys(vault.place()),
        ):
            with pytest.raises(KeysUnavailable) as refused:
                ask()
            assert refused.value.retry_after
    assert keys.unwrap("place", wrapped) == b"d" * 32


def test_a_vault_that_is_away_is_unavailable(vault: Vault) -> None:
    with pytest.raises(KeysUnavailable):
        TransitKeys(vault.place()._replace(address="http://127.0.0.1:9"))


def test_a_renewed_token_is_taken_from_its_file(vault: Vault, keys: TransitKeys) -> None:
    wrapped = keys.wrap("place", b"d" * 32, os.urandom)
    vault.root.auth.token.revoke(vault.token_file.read_text().strip())
    with pytest.raises(KeysUnavailable):
        keys.unwrap("place", wrapped)
    vault.token_file.write_text(vault.token() + "\n")
    assert keys.unwrap("place", wrapped) == b"d" * 32


def test_a_token_that_others_may_read_or_that_is_not_there_is_refused(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(KeyMissing, match="SILLAGE_VAULT_TOKEN_FILE"):
        TransitKeys(vault.place()._replace(token_file=path))
    path.write_text(vault.token())
    path.chmod(0o604)
    with pytest.raises(KeyRefused, match="chmod"):
        TransitKeys(vault.place()._replace(token_file=path))


def test_a_key_that_is_not_there_or_not_derived_is_refused_with_what_to_do(vault: Vault, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.touch(mode=0o600)
    root.write_text("root")
    with pytest.raises(KeyMissing, match="derived=true"):
        TransitKeys(vault.place("absent")._replace(token_file=root))
    vault.root.secrets.transit.create_key("plain")
    with pytest.raises(KeyRefused, match="derived"):
        TransitKeys(vault.place("plain")._replace(token_file=root))


# --- the store ------------------------------------------------------------------------------------


@pytest.fixture
def given(vault: Vault, settings: Settings, database_name: str) -> Settings:
    return replace(
        settings,
        organisation=database_name.removeprefix("sillage_"),
        key_provider="vault",
        vault_address=vault.address,
        vault_token_file=vault.token_file,
        process_ttl_seconds=1,
        heartbeat_seconds=0.05,
    )


@pytest.fixture
def container(given: Settings) -> Iterator[Container]:
    made = Container(given)
    made.lifecycle.initialise()
    yield made
    made.close()


def test_a_store_is_made_opened_rotated_and_verified_with_vault(container: Container, vault: Vault) -> None:
    assert not container.settings.key_path.exists()
    container.lifecycle.check()
    subjects = [os.urandom(16) for _ in range(20)]
    made = container.keys.subjects.ensured(subjects)
    nonce = bytes(12)
    before = WrappedKeys(container.platform.store).versions()
    vault.root.secrets.transit.rotate_key("sillage")
    again = Container(container.settings)
    done = again.operations.key_service.rewrap()
    assert (done.learners, done.organisation_keys, done.unopened) == (20, 6, 0)
    (after,) = WrappedKeys(container.platform.store).versions()
    assert [after] == [before[0] + 1]
    found = again.operations.key_service.verify(0)
    assert (found.whole, found.learners) == (True, 20)
    theirs = again.keys.subjects.existing(subjects)
    assert all(theirs[each].decrypt(nonce, made[each].encrypt(nonce, b"x", None), None) == b"x" for each in subjects)
    use = {one.number: one for one in again.operations.key_service.status().versions}
    assert (use[after].state, use[after].learners, use[after].organisation_keys) == ("active", 20, 6)
    container.platform.store.collection("subjects").update_one({"_id": subjects[3]}, {"$set": {"key": bytes(60)}})
    found = again.operations.key_service.verify(0)
    assert (found.unopened, found.subjects) == ({after: 1}, (subjects[3].hex(),))
    again.close()


def test_keys_of_a_batch_are_a_request_for_each_200(container: Container, asked: list[str]) -> None:
    subjects = [os.urandom(16) for _ in range(500)]
    asked.clear()
    container.keys.subjects.ensured(subjects)
    assert asked == ["encrypt"] * 3
    container.keys.subjects.forget()
    container.keys.subjects.existing(subjects)
    container.keys.subjects.existing(subjects)
    assert asked == ["encrypt"] * 3 + ["decrypt"] * 3


def test_what_vault_does_itself_is_left_to_it(container: Container, tmp_path: Path) -> None:
    service = container.operations.key_service
    for act in (
        service.rotate,
        lambda: service.retire(1),
        lambda: service.backup(tmp_path / "copy", "une phrase que personne ne devine"),
        lambda: service.restore(tmp_path / "copy", "une phrase que personne ne devine"),
    ):
        with pytest.raises(SettingsInvalid, match="Vault"):
            act()


def test_a_process_does_not_start_on_a_key_that_does_not_open_its_store(container: Container, vault: Vault) -> None:
    container.lifecycle.check()
    vault.root.secrets.transit.create_key("other", key_type="aes256-gcm96", derived=True)
    root = vault.token_file.parent / "root"
    root.touch(mode=0o600)
    root.write_text("root")
    other = Container(replace(container.settings, vault_key="other", vault_token_file=root))
    with pytest.raises(KeyRefused):
        other.lifecycle.check()
    other.close()


def test_requests_are_refused_and_nothing_is_lost_while_vault_is_sealed(
    tmp_path: Path, mongodb_uri: str, vault: Vault
) -> None:
    with serving(
        tmp_path,
        mongodb_uri,
        key_provider="vault",
        vault_address=vault.address,
        vault_token_file=str(vault.token_file),
    ) as server:
        source, reader = server.source(), server.credential("statements/read")
        assert server.post(source, statement()).status_code == 200
        fresh = [statement(id=str(uuid4()), actor={"mbox": f"mailto:p{n}@ent.example"}) for n in range(5)]
        with vault.sealed():
            answer = server.post(source, fresh)
            assert (answer.status_code, answer.json()["code"]) == (503, "keys-unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            assert server.container.platform.store.collection("statements").count_documents({}) == 1
        answer = server.post(source, fresh)
        assert answer.status_code == 200, answer.text
        found = server.get(reader, limit=100).json()["statements"]
        assert {each["id"] for each in fresh} <= {each["id"] for each in found}
        assert len(found) == 6
        assert orjson.dumps(found[0])
