"""Backups and the way back, on a real MongoDB."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import orjson
import pytest
from bson import encode
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from pymongo import MongoClient

from app.core import clock
from app.core.errors import (
    BackupRefused,
    FileRefused,
    KeyRefused,
    MigrationMissing,
    RestoreRefused,
    RestoreUnfinished,
    SillageError,
)
from app.crypto.keys import OrganisationKeys
from app.governance.audit.log import BACKUP_RESTORED, BACKUP_WRITTEN
from app.keys import organisation as organisation_keys
from app.keys.wiring import KeyServices
from app.operations.backup import restoring, tombstone_file
from app.operations.backup.backup_file import BackupWriter, Heading
from app.operations.backup.restoring import Restoring
from app.operations.backup.service import Backups
from app.operations.backup.snapshot import LEFT_OUT
from app.operations.schema.catalogue import COLLECTIONS
from app.operations.schema.migrations import NOTES
from app.operations.schema.migrations import check as check_migrations
from app.people.erasure.tombstones import Tombstone, Tombstones
from app.people.finding.finder import data_subject_of
from app.platform.mongo.connection import Store
from app.settings import Settings, load
from app.wiring.container import Container
from app.wiring.lifecycle import Lifecycle
from tests.drills.drilling import until
from tests.migrations import later
from tests.stores import own_settings

# Changed by a restore itself: its entry in the log, the signing key kept. And kept by it: when a backup was made last.
_OF_THE_RESTORE = {"audit", "measures"}
STATEMENTS = 300
CODEC: CodecOptions[Any] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)


class House:
    """A store of its own, made anew as often as asked, as by commands one after the other."""

    def __init__(self, folder: Path, uri: str, database_name: str = "") -> None:
        self.folder = folder
        self.settings: Settings = own_settings(folder, uri, database_name)
        self._lent = bool(database_name)
        self.reapplied: list[int] = []
        self._made: list[Container] = []
        self.container().lifecycle.initialise()
        self.fill(STATEMENTS)

    def container(self) -> Container:
        made = Container(self.settings)
        self._made.append(made)
        return made

    @property
    def store(self) -> Store:
        return self._made[0].platform.store

    def backups(self, reapply: Callable[[Callable[[int], None]], int] | None = None) -> Backups:
        """Those of a new process; ``reapply`` instead of the erasures of the store."""
        made = self.container().operations.backups
        if reapply is not None:
            made._decisions.erase_again = reapply  # type: ignore[method-assign]
        return made

    def fill(self, statements: int) -> None:
        """Statements of as many learners, as the store would hold them."""
        subjects = [os.urandom(16) for _ in range(statements)]
        self._made[0].keys.subjects.ensured(subjects)
        self.store.collection("statements").insert_many(
            [
                {
                    "_id": uuid4(),
                    "stored": clock.now_us() + n,
                    "source": "ent",
                    "subject": one,
                    "t": [one[:12]],
                    "body": os.urandom(300),
                }
                for n, one in enumerate(subjects)
            ]
        )

    def backup(self) -> Path:
        return self.backups().create(self.folder).path

    def lose(self) -> None:
        self.store.client.drop_database(self.settings.database)

    def contents(self) -> dict[str, list[bytes]]:
        """Every document, as bytes, by collection."""
        names = self.store.db.list_collection_names()
        return {
            name: sorted(encode(one, codec_options=CODEC) for one in self.store.collection(name).find({}))
            for name in names
            if name not in LEFT_OUT | _OF_THE_RESTORE
        }

    def close(self) -> None:
        if not self._lent:
            self.lose()
        for made in self._made:
            made.close()


@pytest.fixture
def house(tmp_path: Path, mongodb_uri: str, database_name: str) -> Iterator[House]:
    made = House(tmp_path, mongodb_uri, database_name)
    yield made
    made.close()


def filled(contents: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    return {name: documents for name, documents in contents.items() if documents}


# --- out -------------------------------------------------------------------------------------------


def test_a_lost_database_comes_back_as_it_was(house: House) -> None:
    before = house.contents()
    written = house.backups().create(house.folder)
    assert written.path.name.startswith(f"sillage-{house.settings.organisation}-")
    assert written.bytes == written.path.stat().st_size
    house.lose()
    done = house.backups().restore(written.path)
    assert filled(house.contents()) == filled(before)
    assert done.documents == written.manifest.documents >= 2 * STATEMENTS
    check_migrations(house.store, COLLECTIONS)
    after = house.container()
    after.lifecycle.check()
    assert after.governance.audit.verify().intact
    kinds = [entry.kind for entry in after.governance.audit.newest((BACKUP_WRITTEN, BACKUP_RESTORED), None, 10)]
    assert kinds == [BACKUP_RESTORED, BACKUP_WRITTEN]


def test_nothing_in_a_backup_opens_it_or_is_in_clear(house: House) -> None:
    content = house.backup().read_bytes()
    assert orjson.loads(house.settings.key_path.read_bytes())["keys"][0]["key"].encode() not in content


def test_a_backup_never_replaces_a_file(house: House) -> None:
    path = house.folder / "mine"
    path.write_bytes(b"mine")
    with pytest.raises(FileRefused):
        house.backups().create(path)
    with pytest.raises(FileRefused):
        house.backups().create(house.folder / "nowhere" / "file")
    assert path.read_bytes() == b"mine"


def test_progress_comes_to_its_end(house: House) -> None:
    reported: list[tuple[int, int]] = []
    path = house.backups().create(house.folder, lambda *both: reported.append(both)).path
    assert [done for done, _ in reported] == sorted(done for done, _ in reported)
    assert reported[-1][0] == reported[-1][1]
    house.lose()
    steps: list[str] = []
    del reported[:]
    house.backups().restore(path, progress=lambda *both: reported.append(both), step=steps.append)
    assert steps == ["check", "load", "swap", "erase", "clean"]
    assert reported[-1][0] == reported[-1][1]


# --- checking --------------------------------------------------------------------------------------


def test_a_backup_is_checked_without_a_database_and_without_keys(house: House, tmp_path: Path) -> None:
    path = house.backup()
    alone = {"SILLAGE_ORGANISATION": house.settings.organisation, "SILLAGE_MONGODB_URI": "mongodb://127.0.0.1:1/"}
    with_keys = Container(load({**alone, "SILLAGE_DATA_DIR": str(house.settings.data_dir)}))
    assert with_keys.operations.backups.verify(path).opens is True
    without = Container(load({**alone, "SILLAGE_DATA_DIR": str(tmp_path / "empty")}))
    found = without.operations.backups.verify(path)
    assert found.opens is None
    assert found.manifest.parts["statements"].documents == STATEMENTS
    assert (found.manifest.organisation_versions, found.manifest.learner_versions) == ((1,), (1,))


def test_the_backup_of_another_organisation_is_refused(house: House, tmp_path: Path, mongodb_uri: str) -> None:
    other = House(tmp_path / "other", mongodb_uri)
    try:
        with pytest.raises(BackupRefused, match="another organisation"):
            house.backups().verify(other.backup())
    finally:
        other.close()


def rewritten(path: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> Path:
    """A copy with another manifest, in which all digests are right."""
    copy = path.with_name("rewritten.tar")
    with tarfile.open(path) as old, tarfile.open(copy, "w") as new:
        for member in old:
            file = old.extractfile(member)
            content = b"" if file is None else file.read()
            if member.name == "manifest.json":
                content = orjson.dumps(change(orjson.loads(content)))
            info = tarfile.TarInfo(member.name)
            info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    return copy


def strange(**sealed: object) -> dict[str, object]:
    stored = {"version": 1, "sealed": bytes(60), **sealed}
    return {"keys": dict.fromkeys((*OrganisationKeys.PURPOSES, "index"), stored), "index": {"generation": 1}}


@pytest.mark.parametrize(
    "hostile",
    [
        {},
        {"keys": 1},
        {"keys": {}, "index": {}},
        {"keys": {"index": 7}},
        # `bytes` of a number are as many zeros: gigabytes, or an OverflowError.
        strange(sealed=2**62),
        strange(sealed=2**36),
        strange(version=float("inf")),
        strange(version=[1]),
        strange(sealed=bytes(3)),
    ],
)
def test_keys_of_a_strange_form_in_a_backup_are_refused(house: House, hostile: dict[str, object]) -> None:
    moment = house.folder / "strange.tar"
    heading = Heading(str(uuid4()), house.settings.organisation, "2026-11-25T01:00:00Z", "0.1.0")
    with moment.open("wb") as file:
        writer = BackupWriter(file, heading)
        writer.begin("organisation_keys")
        writer.add(encode({"_id": house.settings.organisation, **hostile}))
        writer.finish((), (), (), lambda _: bytes(32))
    with pytest.raises((BackupRefused, KeyRefused)):
        house.backups().verify(moment)


@pytest.mark.parametrize(
    "hostile",
    [{"_id": 2**62}, {"_id": 2**36}, {"key": 2**36}, {"version": float("inf")}, {"version": "1"}, {"key": None}],
)
def test_learners_keys_of_a_strange_form_in_a_backup_are_refused(house: House, hostile: dict[str, object]) -> None:
    moment = house.folder / "strange.tar"
    heading = Heading(str(uuid4()), house.settings.organisation, "2026-11-25T01:00:00Z", "0.1.0")
    with moment.open("wb") as file:
        writer = BackupWriter(file, heading)
        writer.begin("subjects")
        writer.add(encode({"_id": bytes(16), "version": 1, "key": bytes(60), **hostile}))
        writer.finish((), (), (), lambda _: bytes(32))
    with pytest.raises(BackupRefused):
        house.backups().verify(moment)


def test_a_manifest_that_the_organisation_did_not_write_is_refused(house: House) -> None:
    copy = rewritten(house.backup(), lambda said: said | {"migrations": []})
    with pytest.raises(BackupRefused, match="altered"):
        house.backups().verify(copy)


def test_a_backup_of_a_later_version_is_refused(house: House) -> None:
    house.store.collection(NOTES).insert_one({"_id": "2099_01_01_later"})
    path = house.backup()
    house.lose()
    with pytest.raises(BackupRefused, match="2099_01_01_later"):
        house.backups().restore(path)
    assert set(house.store.db.list_collection_names()) <= LEFT_OUT


def test_migrations_that_came_later_are_applied(house: House, tmp_path: Path) -> None:
    path = house.backup()
    house.lose()
    name = "2099_01_01_marks"
    with later(tmp_path / "migrations", **{name: "store.collection('subjects').create_index('mark', name='mark')"}):
        assert house.backups().restore(path).migrations == (name,)
        check_migrations(house.store, COLLECTIONS)
    assert "mark" in house.store.collection("subjects").index_information()


# --- what is refused before anything is written ----------------------------------------------------


def test_a_damaged_backup_changes_nothing(house: House) -> None:
    path = house.backup()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    before = house.contents()
    with pytest.raises(BackupRefused):
        house.backups().restore(path, replace=True)
    assert house.contents() == before
    house.container().lifecycle.check()


def test_a_key_that_does_not_open_it_changes_nothing(house: House) -> None:
    path = house.backup()
    house.lose()
    kept = house.settings.key_path.read_bytes()
    house.settings.key_path.unlink()
    house.container().lifecycle.initialise()
    before = house.contents()
    with pytest.raises(KeyRefused):
        house.backups().restore(path)
    assert house.contents() == before
    house.settings.key_path.write_bytes(kept)
    # What `sillage init` made is nobody's.
    house.backups().restore(path)
    assert len(house.contents()["statements"]) == STATEMENTS


def test_a_version_that_is_not_at_hand_is_named(house: House) -> None:
    house.container().operations.key_service.rotate()
    path = house.backup()
    kept = orjson.loads(house.settings.key_path.read_bytes())
    kept["keys"] = [{**kept["keys"][0], "state": "active"}]
    house.settings.key_path.write_bytes(orjson.dumps(kept))
    with pytest.raises(KeyRefused, match="version 2"):
        house.backups().verify(path)


def test_a_store_that_holds_something_is_not_replaced_unless_told(house: House) -> None:
    path = house.backup()
    with pytest.raises(RestoreRefused, match="--replace"):
        house.backups().restore(path)
    house.container().lifecycle.check()


def test_a_store_that_serves_is_not_restored(house: House) -> None:
    path = house.backup()
    serving = house.container()
    serving.lifecycle.start()
    with pytest.raises(RestoreRefused, match="Stop all of them"):
        house.backups().restore(path, replace=True)
    serving.lifecycle.check()
    serving.close()
    house.backups().restore(path, replace=True)


def test_one_that_begins_to_serve_just_before_the_note_is_seen(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    path = house.backup()
    serving = house.container()
    begin = Restoring.begin

    def after(*given: object) -> object:
        serving.lifecycle.start()
        return begin(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Restoring, "begin", after)
    with pytest.raises(RestoreRefused, match="Stop all of them"):
        house.backups().restore(path, replace=True)
    serving.lifecycle.check()
    assert restoring.state(house.store) is None


def test_nothing_serves_while_a_restore_is_not_finished(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.store.collection("restore_state").insert_one(
        {"_id": "restore", "phase": "loading", "backup": "b", "created": "c", "parts": [], "loaded": [], "same": False}
    )
    late = house.container()
    for use in (
        late.lifecycle.check,
        late.lifecycle.start,
        late.lifecycle.initialise,
        lambda: late.keys.organisation,
        lambda: late.operations.backups.create(house.folder),
    ):
        with pytest.raises(RestoreUnfinished, match="not finished"):
            use()
    # Nor one that looked just before.
    monkeypatch.setattr(Lifecycle, "check", lambda _: None)
    keys = SimpleNamespace(mac=lambda *_: bytes(16))
    monkeypatch.setattr(KeyServices, "organisation", property(lambda _: keys))
    late = house.container()
    with pytest.raises(RestoreUnfinished):
        late.lifecycle.start()
    late.close()


# --- replacing -------------------------------------------------------------------------------------


def test_what_was_stored_since_goes_and_what_was_decided_since_stays(house: House) -> None:
    container = house.container()
    before = house.contents()["statements"]
    key = container.operations.sources.issue(source=None, label="dpo", scopes=("governance/read",), actor="tests")
    path = house.backup()
    house.fill(50)
    container.operations.sources.revoke(key.id, actor="tests")
    seed_made = house.store.collection("organisation_keys").update_one(
        {}, {"$set": {"keys.signing": {"version": 1, "sealed": b"s"}}}
    )
    assert seed_made.modified_count == 1
    container.governance.audit.append("audit-read", "tests", {"after": "the backup"})
    container.governance.audit.close()
    house.backups().restore(path, replace=True)
    assert house.contents()["statements"] == before
    credential = house.store.collection("credentials").find_one({"_id": key.id})
    assert credential is not None and credential["revoked"] is not None
    kept = house.store.collection("organisation_keys").find_one({})
    assert kept is not None and kept["keys"]["signing"]["sealed"] == b"s"
    # The log is never set back.
    house.store.collection("organisation_keys").update_one({}, {"$unset": {"keys.signing": ""}})
    after = house.container()
    assert {"after": "the backup"} in [
        entry.detail for entry in after.governance.audit.newest(("audit-read",), None, 5)
    ]
    assert after.governance.audit.verify().intact


def rotated(container: Container, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring a rotation of the documents key to a stage; ``done`` is its end."""
    monkeypatch.setattr(container.operations.documents_rotation, "_settle", 0.0)
    organisation = container.settings.organisation
    generation = container.operations.documents_rotation.status().generation
    if stage == "done":
        assert container.operations.documents_rotation.rotate().finished
    if stage in {"given-out", "moving"}:
        organisation_keys.begin_documents(container.platform.store, container.keys.keyring, organisation, generation)
    if stage == "moving":
        organisation_keys.move_documents(container.platform.store, organisation, generation)


def written_to(house: House, name: str) -> str:
    """A request, an entry of the log, and a definition, of a new process; the request's id."""
    container = house.container()
    container.governance.audit.append("audit-read", "tests", {"by": name})
    container.traces.activities.learn(
        [{"object": {"id": f"https://ent.example/{name}", "definition": {"name": {"en": name}}}}]
    )
    request = container.people.requests.open(
        "access", data_subject_of([{"mbox": "mailto:ana@ent.example"}]), actor="tests"
    )
    container.governance.audit.close()
    return request.id


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("", "done"),
        ("", "given-out"),
        ("", "moving"),
        ("given-out", "moving"),
        ("given-out", "done"),
        ("moving", "moving"),
        ("moving", "done"),
    ],
)
def test_a_backup_from_before_a_documents_key_opens_with_what_stays_and_is_moved_to_it(
    house: House, monkeypatch: pytest.MonkeyPatch, then: str, now: str
) -> None:
    container = house.container()
    rotated(container, then, monkeypatch)
    before = written_to(house, "before")
    path = house.backup()
    if now != then:
        if then and now == "moving":
            organisation_keys.move_documents(container.platform.store, container.settings.organisation, 1)
        else:
            rotated(container, now, monkeypatch)
    since = written_to(house, "since")
    house.backups().restore(path, replace=True)
    for finished in (False, True):
        after = house.container()
        monkeypatch.setattr(after.operations.documents_rotation, "_settle", 0.0)
        if finished:
            after.operations.documents_rotation.resume()
            assert after.operations.documents_rotation.status().stage is None
        # Data-subject requests are never set back, nor is the log; definitions are.
        assert [after.people.requests.show(request, actor="tests").status for request in (before, since)] == [
            "open",
            "open",
        ]
        known = dict(after.traces.activities.definitions(["https://ent.example/before", "https://ent.example/since"]))
        assert known == {"https://ent.example/before": {"name": {"en": "before"}}}
        said = [entry.detail for entry in after.governance.audit.newest(("audit-read",), None, 50)]
        assert {"by": "before"} in said and {"by": "since"} in said
        assert after.governance.audit.verify().intact
        after.governance.audit.close()
    assert after.operations.documents_rotation.rotate().finished
    assert after.governance.audit.verify().intact


@pytest.mark.parametrize(("then", "now"), [("moving", "done again"), ("", "mid again")])
def test_a_backup_that_would_need_a_third_documents_key_is_refused_before_anything_is_written(
    house: House, monkeypatch: pytest.MonkeyPatch, then: str, now: str
) -> None:
    container = house.container()
    rotated(container, then, monkeypatch)
    path = house.backup()
    rotated(container, "done", monkeypatch)
    rotated(container, "done" if now == "done again" else "moving", monkeypatch)
    before = house.contents()
    with pytest.raises(RestoreRefused, match="rotate --documents"):
        house.backups().restore(path, replace=True)
    assert house.contents() == before
    house.lose()
    house.backups().restore(path)


def test_the_log_of_another_store_is_not_taken_along(house: House) -> None:
    path = house.backup()
    house.lose()
    house.container().lifecycle.initialise()  # other keys under the same key-encryption key
    other = house.container()
    other.governance.audit.append("audit-read", "tests", {"of": "another store"})
    other.close()
    house.backups().restore(path)
    after = house.container()
    assert after.governance.audit.verify().intact
    assert [entry for entry in after.governance.audit.newest(("audit-read",), None, 5) if "of" in entry.detail] == []


# --- cut off ---------------------------------------------------------------------------------------


class Cut(Exception):
    """The process ended here."""


CUTS = [
    ("begin", 1, "after", True),
    ("stage", 3, "before", False),
    ("complete", 1, "before", True),
    ("complete", 5, "after", False),
    ("_rename", 1, "before", False),
    ("_rename", 4, "after", True),
    ("modernise", 1, "after", False),
    ("finish", 1, "before", True),
]


@pytest.mark.parametrize(("step", "times", "when", "replace"), CUTS)
def test_one_that_is_cut_off_goes_on_when_run_again(
    house: House, step: str, times: int, when: str, replace: bool
) -> None:
    before = house.contents()
    path = house.backup()
    if replace:
        house.fill(20)
        present = house.contents()
    else:
        house.lose()
        present = {}
    whole = getattr(Restoring, step)
    left = [times]

    def cut(*given: object) -> object:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            raise Cut
        made = whole(*given)
        if left[0] == 0:
            raise Cut
        return made

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        patch.setattr(Restoring, step, cut)
        house.backups().restore(path, replace=replace)
    with pytest.raises((RestoreUnfinished, MigrationMissing)):
        house.container().lifecycle.check()
    if step in {"begin", "stage", "complete"} and replace:
        # Nothing of what is in force was touched yet.
        now = {name: documents for name, documents in house.contents().items() if not name.startswith("restoring.")}
        assert now == present
    house.backups().restore(path, replace=replace)
    assert filled(house.contents()) == filled(before)
    after = house.container()
    after.lifecycle.check()
    assert after.governance.audit.verify().intact


def test_another_backup_can_be_taken_while_it_loads_and_not_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = house.backup()
    house.fill(10)
    before = house.contents()
    second = house.backups().create(house.folder / "second.tar").path
    house.lose()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        patch.setattr(Restoring, "complete", lambda *_: (_ for _ in ()).throw(Cut()))
        house.backups().restore(first)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        patch.setattr(Restoring, "modernise", lambda *_: (_ for _ in ()).throw(Cut()))
        house.backups().restore(second)
    with pytest.raises(RestoreRefused, match="being put in place"):
        house.backups().restore(first)
    house.backups().restore(second)
    assert filled(house.contents()) == filled(before)


def test_a_restore_is_given_up_while_it_loads_and_not_later(house: House) -> None:
    path = house.backup()
    house.fill(10)
    before = house.contents()
    with pytest.raises(RestoreRefused, match="No restore"):
        house.backups().abandon()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        patch.setattr(Restoring, "complete", lambda *_: (_ for _ in ()).throw(Cut()))
        house.backups().restore(path, replace=True)
    house.backups().abandon()
    assert house.contents() == before
    house.container().lifecycle.check()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        patch.setattr(Restoring, "modernise", lambda *_: (_ for _ in ()).throw(Cut()))
        house.backups().restore(path, replace=True)
    with pytest.raises(RestoreRefused, match="too late"):
        house.backups().abandon()


def test_two_restores_at_once(house: House) -> None:
    path = house.backup()
    house.lose()
    found: list[type[SillageError]] = []

    def second(_done: int, _total: int) -> None:
        if restoring.state(house.store) is not None and not found:
            found.append(SillageError)
            with pytest.raises(RestoreRefused):
                house.backups().restore(path)

    house.backups().restore(path, progress=second)
    assert found
    house.container().lifecycle.check()


def test_a_restore_begun_while_another_checks_does_not_undo_it(house: House) -> None:
    path = house.backup()
    house.lose()
    refused: list[RestoreRefused] = []

    def second(name: str) -> None:
        if name == "check":
            with pytest.raises(RestoreRefused) as caught:
                house.backups().restore(path)
            refused.append(caught.value)

    house.backups().restore(path, step=second)
    assert len(refused) == 1
    assert house.store.collection("statements").count_documents({}) == STATEMENTS


@pytest.mark.parametrize("taken_over", [False, True])
def test_a_restore_that_was_held_for_dead_puts_nothing_in_place(house: House, *, taken_over: bool) -> None:
    """Paused for so long that another command gave it up, or began it again: what is in force is not touched."""
    path = house.backup()
    house.fill(10)
    before = house.contents()

    def away(name: str) -> None:
        if name == "swap":
            Restoring(house.store).abandon()
            if taken_over:
                Restoring(house.store).begin("another", "c", ["statements"], same=True)

    with pytest.raises(RestoreRefused, match="declared dead"):
        house.backups().restore(path, replace=True, step=away)
    after = house.contents()
    assert {name: after[name] for name in before} == before


# --- erasures --------------------------------------------------------------------------------------


def tombstone(number: int) -> Tombstone:
    return Tombstone(bytes([number]) * 16, bytes([number]) * 16, clock.now().replace(microsecond=0), number, uuid4())


def test_persons_erased_since_are_erased_again_before_anything_serves(house: House) -> None:
    """Those known to the backup, to the database that is replaced, to the file outside, and to a file that is given."""
    kept = Tombstones(house.store)
    kept.keep([tombstone(1)])
    path = house.backup()
    kept.keep([tombstone(2)])
    house.backups().note_tombstones([tombstone(3)])
    given = house.folder / "export.jsonl"
    mac = house.container().keys.organisation
    tombstone_file.write(given, [tombstone(4)], lambda message: mac.mac("tombstone-file", message))
    seen: list[tuple[set[int], str]] = []

    def reapply(_: object) -> int:
        state = restoring.state(house.store)
        assert state is not None, "the store could have served"
        seen.append(({one.until_stored for one in Tombstones(house.store).every()}, state.phase))
        return 3

    done = house.backups(reapply).restore(path, replace=True, erased=[given])
    assert seen == [({1, 2, 3, 4}, "erasing")]
    assert (done.tombstones, done.erased) == (4, 3)


def test_after_the_loss_of_the_database_the_file_beside_the_key_file_tells(house: House) -> None:
    path = house.backup()
    house.backups().note_tombstones([tombstone(3)])
    assert house.settings.tombstones_path.parent == house.settings.key_path.parent
    house.lose()
    assert house.backups(lambda _: 0).restore(path).tombstones == 1


def test_an_erasure_that_is_cut_off_is_done_again(house: House) -> None:
    path = house.backup()
    house.lose()

    def fails(_: object) -> int:
        raise Cut

    with pytest.raises(Cut):
        house.backups(fails).restore(path)
    with pytest.raises(RestoreUnfinished):
        house.container().lifecycle.check()
    again: list[bool] = []

    def works(_: object) -> int:
        again.append(True)
        return 0

    house.backups(works).restore(path)
    assert again == [True]


def test_a_file_of_tombstones_of_another_store_stops_the_restore(house: House) -> None:
    path = house.backup()
    given = house.folder / "export.jsonl"
    tombstone_file.write(given, [tombstone(4)], lambda _: bytes(32))
    with pytest.raises(FileRefused, match="Line 1"):
        house.backups().restore(path, replace=True, erased=[given])
    house.container().lifecycle.check()


def test_tombstones_are_exported(house: House) -> None:
    Tombstones(house.store).keep([tombstone(1), tombstone(2)])
    file = house.folder / "export.jsonl"
    assert house.backups().export_tombstones(file) == 2
    house.lose()


def test_an_erasure_stands_though_the_file_cannot_be_written(house: House) -> None:
    house.settings.tombstones_path.mkdir()
    house.backups().note_tombstones([tombstone(1)])
    assert list(house.settings.tombstones_path.iterdir()) == []


def test_a_killed_restore_of_another_process_is_waited_for(house: House) -> None:
    """Its note among the living is taken for living until it is old enough."""
    path = house.backup()
    house.lose()
    with MongoClient[dict[str, object]](house.settings.mongodb_uri) as client:
        holders = client[house.settings.database]["key_holders"]
        holders.update_one(
            {"_id": "killed"}, [{"$set": {"host": "h", "active": 1, "prints": [], "at": "$$NOW"}}], upsert=True
        )
        until(lambda: holders.count_documents({}) == 1)
        house.backups().restore(path)
    house.container().lifecycle.check()
