"""The life of key-encryption keys, on a real key file and a real MongoDB."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest

from app.core.errors import (
    FileRefused,
    KeyBackupRefused,
    KeyInUse,
    KeyMissing,
    KeyNotShared,
    KeyRefused,
    KeysBusy,
    KeysUnopened,
    NotFound,
    SettingsInvalid,
)
from app.crypto import key_backup
from app.crypto.keys import OrganisationKeys, subject_place
from app.keys import organisation as organisation_keys
from app.keys.holders import Holder, HolderRepository, HolderThread
from app.keys.providers import file as keyfile
from app.keys.providers.environment import EnvironmentProvider
from app.keys.providers.file import KeySet
from app.operations.rotation import kek as rules
from app.operations.rotation.kek import Keys, refuse_unopened
from app.settings import Settings, load
from app.wiring.container import Container
from tests.stores import initialised

PASSPHRASE = "une phrase que personne ne devine"


@pytest.fixture
def container(settings: Settings, database_name: str) -> Iterator[Container]:
    """The container of a store of its own, initialised."""
    with initialised(settings, database_name) as made:
        yield made


@pytest.fixture(autouse=True)
def cheap_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the keys that cost little to open; what they cost is held by ``tests/crypto/test_key_backup.py``."""
    encrypted = key_backup.encrypt
    monkeypatch.setattr(key_backup, "encrypt", lambda *given: encrypted(*given, cost=1 << 10))


@pytest.fixture
def service(container: Container, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """The service, small batches, and no minute to wait."""
    monkeypatch.setattr(rules, "BATCH", 7)
    monkeypatch.setattr(rules, "RETIREMENT_GRACE", timedelta(0))
    monkeypatch.setattr(rules, "_MARGIN_SECONDS", 0.0)
    return container.operations.key_service


def learners(container: Container, count: int) -> list[bytes]:
    subjects = [os.urandom(16) for _ in range(count)]
    container.keys.subjects.ensured(subjects)
    return subjects


def content(container: Container) -> KeySet:
    return keyfile.read(container.settings.key_path)


def opened(container: Container) -> dict[bytes, bytes]:
    """Every learner's key in clear, by subject."""
    keks = content(container).keks
    return {
        one.subject: keks.unwrap(subject_place(container.settings.organisation, one.subject), one.wrapped)
        for one in container.operations.key_service._learners.every(None, 10_000)
    }


def kinds(container: Container) -> list[str]:
    return [entry.kind for entry in reversed(container.governance.audit.newest()) if entry.kind.startswith("key")]


# --- rotation -----------------------------------------------------------------------------------


def test_a_rotation_makes_a_version_and_wraps_the_organisations_keys(container: Container, service: Keys) -> None:
    token = container.keys.organisation.index.tokens("agent", "x")
    done = service.rotate()
    assert (done.version, done.before, done.resumed) == (2, 1, False)
    assert [version.state for version in content(container).versions] == ["decrypt-only", "active"]
    assert set(organisation_keys.versions(container.platform.store)) == {2}
    again = organisation_keys.unlock(container.platform.store, content(container).keks, container.settings.organisation)
    assert again.index.tokens("agent", "x") == token
    assert kinds(container) == ["keys-rotated"]


def test_learners_keys_follow_and_stay_the_same(container: Container, service: Keys) -> None:
    learners(container, 30)
    before = opened(container)
    service.rotate()
    reported: list[tuple[int, int]] = []
    done = service.rewrap(progress=lambda *now: reported.append(now))
    assert (done.learners, done.meanwhile, done.unopened) == (30, 0, 0)
    assert reported[-1] == (30, 30)
    assert len(reported) == 5
    assert opened(container) == before
    assert container.operations.key_service._learners.versions() == [2]
    assert kinds(container) == ["keys-rotated", "keys-rewrap-started", "keys-rewrapped"]


def test_a_rewrap_with_nothing_to_do_leaves_no_trace(container: Container, service: Keys) -> None:
    learners(container, 3)
    assert service.rewrap() == (0, 0, 0, 0)
    assert kinds(container) == []


def test_a_rewrap_that_is_stopped_goes_on_from_there(container: Container, service: Keys) -> None:
    learners(container, 30)
    service.rotate()
    turns = iter([None, None, KeysBusy("stop")])

    def check() -> None:
        stop = next(turns, None)
        if stop is not None:
            raise stop

    with pytest.raises(KeysBusy):
        service.rewrap(check=check)
    assert [use.learners for use in service.status().versions] == [16, 14]
    assert service.rewrap().learners == 16


def test_what_does_not_open_is_left_and_counted(container: Container, service: Keys) -> None:
    damaged = learners(container, 20)[7]
    container.platform.store.collection("subjects").update_one({"_id": damaged}, {"$set": {"key": bytes(60)}})
    service.rotate()
    done = service.rewrap()
    assert (done.learners, done.unopened) == (19, 1)
    found = service.verify()
    assert (found.learners, found.unopened, found.subjects) == (20, {1: 1}, (damaged.hex(),))
    with pytest.raises(KeysUnopened, match="1 learner's key of version 1"):
        refuse_unopened(found)


def test_a_key_destroyed_during_a_rewrap_stays_destroyed(container: Container, service: Keys) -> None:
    subjects = sorted(learners(container, 5))
    service.rotate()
    replace = container.operations.key_service._learners.replace

    def slow(ready: object) -> int:
        container.platform.store.collection("subjects").delete_one({"_id": subjects[2]})
        return replace(ready)  # type: ignore[arg-type]

    service._learners.replace = slow  # type: ignore[method-assign]
    done = service.rewrap()
    assert (done.learners, done.meanwhile) == (4, 1)
    assert set(opened(container)) == set(subjects) - {subjects[2]}


def test_keys_made_behind_a_rewrap_by_a_process_that_had_not_noticed_follow_too(
    container: Container, service: Keys
) -> None:
    learners(container, 5)
    late = content(container).keks
    service.rotate()
    replace, made = container.operations.key_service._learners.replace, [3, 2]

    def beside(ready: object) -> int:
        done = replace(ready)  # type: ignore[arg-type]
        for _ in range(made.pop() if made else 0):
            subject = os.urandom(16)
            wrapped = late.wrap(subject_place(container.settings.organisation, subject), bytes(32), os.urandom)
            container.platform.store.collection("subjects").insert_one(
                {"_id": subject, "version": 1, "key": wrapped.sealed}
            )
        return done

    service._learners.replace = beside  # type: ignore[method-assign]
    assert service.rewrap().learners == 10
    assert service._learners.versions() == [2]


@pytest.mark.parametrize("written", [1, 2])
def test_a_rotation_that_was_cut_off_goes_on(
    container: Container, service: Keys, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Cut off once the new version is given out (1), once it is active (2)."""
    replace, done = keyfile.replace, []

    def cut(*given: object) -> None:
        replace(*given)  # type: ignore[arg-type]
        done.append(given)
        if len(done) == written:
            raise InterruptedError

    monkeypatch.setattr(keyfile, "replace", cut)
    with pytest.raises(InterruptedError):
        service.rotate()
    container.lifecycle.check()
    monkeypatch.setattr(keyfile, "replace", replace)
    assert service.rotate().resumed
    assert [version.state for version in content(container).versions] == ["decrypt-only", "active"]
    assert set(organisation_keys.versions(container.platform.store)) == {2}
    assert not service.rotate().resumed
    assert content(container).active == 3


def test_nothing_is_wrapped_with_what_another_process_lacks(container: Container, service: Keys) -> None:
    fingerprints = content(container).fingerprints()
    holders = HolderRepository(container.platform.store)
    stop = threading.Event()

    def other_host() -> None:
        while not stop.wait(0.2):
            holders.say("other", Holder("other-host", 1, fingerprints))

    speaking = threading.Thread(target=other_host)
    holders.say("other", Holder("other-host", 1, fingerprints))
    speaking.start()
    try:
        with pytest.raises(KeyNotShared, match="other-host"):
            service.rotate()
        assert content(container).active == 1
        assert set(organisation_keys.versions(container.platform.store)) == {1}
        learners(container, 1)
        assert service._learners.versions() == [1]
        fingerprints.update(content(container).fingerprints())  # the file is copied to the other host
        assert service.rotate() == (2, 1, True)
    finally:
        stop.set()
        speaking.join()


def test_another_key_under_the_same_number_is_not_the_new_version(container: Container, service: Keys) -> None:
    HolderRepository(container.platform.store).say(
        "other", Holder("other-host", 1, {1: content(container).fingerprints()[1], 2: "00"})
    )
    service._ttl = 0.5

    def again() -> None:
        HolderRepository(container.platform.store).say("other", Holder("other-host", 1, {1: "x", 2: "00"}))

    timer = threading.Timer(0.3, again)
    timer.start()
    with pytest.raises(KeyNotShared):
        service.rotate()
    timer.join()


def test_a_process_that_is_gone_is_not_waited_for(container: Container, service: Keys) -> None:
    HolderRepository(container.platform.store).say("other", Holder("other-host", 1, {}))
    assert service.rotate().version == 2


def test_a_living_process_takes_up_what_is_rotated(container: Container, service: Keys, mongodb_uri: str) -> None:
    other = Container(container.settings)
    thread = HolderThread(HolderRepository(other.platform.store), other.keys.keyring, interval=0.05, ttl=1)
    thread.start()
    try:
        service.rotate()
        (holder,) = HolderRepository(container.platform.store).living(1)
        assert set(holder.fingerprints) == {1, 2}
        learners(container, 1)
        subjects = [one.subject for one in service._learners.every(None, 10)]
        assert set(other.keys.subjects.existing(subjects)) == set(subjects)
    finally:
        thread.close()
        other.close()
    assert HolderRepository(container.platform.store).living(1) == []


def test_two_rotations_at_once_are_one(container: Container, service: Keys) -> None:
    with keyfile.locked(container.settings.key_path), pytest.raises(KeysBusy):
        service.rotate()


def test_keys_of_the_environment_are_not_changed_here(container: Container) -> None:
    service = Keys(
        container.platform.store,
        SimpleNamespace(keyring=container.keys.keyring, provider=EnvironmentProvider("")),  # type: ignore[arg-type]
        "x",
        container.governance.sink,
        container.traces,
        1,
    )
    for command in (service.rotate, lambda: service.retire(1)):
        with pytest.raises(SettingsInvalid, match="SILLAGE_KEYS"):
            command()


# --- states and counts ----------------------------------------------------------------------------


def test_status_counts_what_is_wrapped_with_each_version(container: Container, service: Keys) -> None:
    learners(container, 20)
    service.rotate()
    learners(container, 3)
    one, two = service.status().versions
    assert (one.number, one.state, one.organisation_keys, one.learners) == (1, "decrypt-only", 0, 20)
    assert (two.number, two.state, two.organisation_keys, two.learners) == (
        2,
        "active",
        len(OrganisationKeys.PURPOSES),
        3,
    )
    assert one.created is not None and two.since is not None
    assert "keys-shown" in kinds(container)


def test_status_shows_a_version_that_is_not_at_hand(container: Container, service: Keys) -> None:
    container.platform.store.collection("subjects").insert_one({"_id": bytes(16), "version": 9, "key": b""})
    nine = service.status().versions[-1]
    assert (nine.number, nine.state, nine.learners) == (9, "missing", 1)


# --- retirement -----------------------------------------------------------------------------------


def test_a_version_is_destroyed_once_nothing_needs_it(container: Container, service: Keys) -> None:
    learners(container, 3)
    service.rotate()
    with pytest.raises(KeyInUse, match="3 of learners"):
        service.retire(1)
    service.rewrap()
    service.retire(1)
    one, two = content(container).versions
    assert (one.state, one.key, two.state) == ("destroyed", None, "active")
    container.lifecycle.check()
    assert len(opened(container)) == 3
    with pytest.raises(NotFound):
        service.retire(1)
    assert kinds(container)[-1] == "key-retired"
    assert service.rotate().version == 3


def test_the_active_and_unknown_versions_are_not_destroyed(container: Container, service: Keys) -> None:
    with pytest.raises(KeyInUse, match="active"):
        service.retire(1)
    with pytest.raises(NotFound):
        service.retire(7)


def test_a_version_is_not_destroyed_while_a_process_wraps_with_it(container: Container, service: Keys) -> None:
    service.rotate()
    HolderRepository(container.platform.store).say("other", Holder("other-host", 1, {}))
    with pytest.raises(KeyInUse, match="other-host"):
        service.retire(1)
    assert content(container).get(1) is not None


def test_a_version_is_not_destroyed_at_once(
    container: Container, service: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.rotate()
    monkeypatch.setattr(rules, "RETIREMENT_GRACE", timedelta(minutes=1))
    with pytest.raises(KeyInUse, match="minute"):
        service.retire(1)


def test_a_version_that_another_organisation_needs_is_kept(container: Container, service: Keys, tmp_path: Path) -> None:
    given = {
        "SILLAGE_DATA_DIR": str(tmp_path / "second"),
        "SILLAGE_KEY_FILE": str(container.settings.key_path),
        "SILLAGE_MONGODB_URI": container.settings.mongodb_uri,
        "SILLAGE_ORGANISATION": f"t{uuid4().hex[:10]}",
    }
    second = Container(load(given))
    try:
        second.lifecycle.initialise()
        service.rotate()
        with pytest.raises(KeyInUse, match=second.settings.organisation):
            service.retire(1)
        second.operations.key_service.rewrap()
        service.retire(1)
        second.lifecycle.check()
    finally:
        second.platform.store.client.drop_database(second.settings.database)
        second.close()


# --- start-up ---------------------------------------------------------------------------------------


def test_a_start_needs_every_version_in_use(container: Container, service: Keys, mongodb_uri: str) -> None:
    learners(container, 3)
    old = container.settings.key_path.read_bytes()
    service.rotate()
    new = container.settings.key_path.read_bytes()
    container.settings.key_path.write_bytes(old)
    with pytest.raises(KeyRefused, match="Version 2"):
        Container(container.settings).lifecycle.check()
    container.settings.key_path.write_bytes(keyfile.dump(KeySet(keyfile.load(new).versions[1:])))
    with pytest.raises(KeyRefused, match="version 1"):
        Container(container.settings).lifecycle.check()
    container.settings.key_path.write_bytes(new)
    Container(container.settings).lifecycle.check()


# --- verification -----------------------------------------------------------------------------------


def test_everything_opens(container: Container, service: Keys) -> None:
    learners(container, 20)
    service.rotate()
    found = service.verify()
    assert found.whole
    assert found.learners == 20
    refuse_unopened(found)
    assert kinds(container)[-1] == "keys-verified"


def test_organisation_keys_that_do_not_open_are_reported(container: Container, service: Keys) -> None:
    learners(container, 2)
    container.platform.store.collection("organisation_keys").update_one({}, {"$set": {"keys.index.sealed": bytes(60)}})
    found = service.verify()
    assert not found.organisation_opens
    assert found.learners == 2
    with pytest.raises(KeysUnopened, match="organisation"):
        refuse_unopened(found)


# --- copies -----------------------------------------------------------------------------------------


def test_a_copy_brings_the_keys_back(container: Container, service: Keys, tmp_path: Path) -> None:
    learners(container, 2)
    service.rotate()
    before = content(container)
    copy = tmp_path / "copy.json"
    assert service.backup(copy, PASSPHRASE) == (1, 2)
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyRefused, match="already"):
        service.restore(copy, PASSPHRASE)
    container.settings.key_path.unlink()
    fresh = Container(container.settings)
    assert fresh.operations.key_service.restore(copy, PASSPHRASE) == ((1, 2), True)
    assert content(container) == before
    assert container.settings.key_path.stat().st_mode & 0o777 == 0o600
    fresh.lifecycle.check()
    assert kinds(container)[-2:] == ["keys-copied", "keys-restored"]
    fresh.close()


def test_a_copy_never_overwrites(container: Container, service: Keys, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("kept")
    with pytest.raises(FileRefused):
        service.backup(there, PASSPHRASE)
    assert there.read_text() == "kept"


def test_a_short_passphrase_is_refused(service: Keys, tmp_path: Path) -> None:
    with pytest.raises(KeyBackupRefused, match="12"):
        service.backup(tmp_path / "copy.json", "trop court")
    assert list(tmp_path.glob("copy*")) == []


def test_a_copy_that_does_not_open_the_store_is_not_put_in_place(
    container: Container, service: Keys, tmp_path: Path
) -> None:
    old, wrong = tmp_path / "old.json", tmp_path / "wrong.json"
    service.backup(old, PASSPHRASE)
    learners(container, 1)
    service.rotate()
    service.rewrap()
    container.settings.key_path.unlink()
    fresh = Container(container.settings)
    with pytest.raises(KeyRefused, match="lacks version 2"):
        fresh.operations.key_service.restore(old, PASSPHRASE)
    with pytest.raises(KeyBackupRefused, match="passphrase"):
        fresh.operations.key_service.restore(old, PASSPHRASE + "!")
    with pytest.raises(FileRefused):
        fresh.operations.key_service.restore(wrong, PASSPHRASE)
    assert not container.settings.key_path.exists()
    with pytest.raises(KeyMissing, match="keys restore"):
        fresh.lifecycle.initialise()
    fresh.close()


def test_no_entry_of_the_audit_log_holds_a_secret(container: Container, service: Keys, tmp_path: Path) -> None:
    learners(container, 3)
    service.rotate()
    service.rewrap()
    service.backup(tmp_path / "copy.json", PASSPHRASE)
    service.verify()
    service.status()
    service.retire(1)
    text = repr([(entry.kind, entry.actor, dict(entry.detail)) for entry in container.governance.audit.newest()])
    assert PASSPHRASE not in text
    assert all(word not in text for word in container.settings.key_path.read_text().split('"') if len(word) > 30)
