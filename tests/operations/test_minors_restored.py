"""A restore of a backup from before `minors apply`: whoever was erased since, by what they became, is erased again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from app.core.errors import RestoreUnfinished
from app.operations.backup.service import Restored
from app.operations.minors_store import MinorsRepository
from app.people.finding.finder import data_subject_of
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.settings import Settings
from app.standards.xapi.documents import Conditions, Content, Place, Resource
from app.standards.xapi.versions import Version
from app.traces.statements.attachments import Part
from app.wiring.container import Container
from tests.multiparts import attachment_of, sha2_of
from tests.served import ACTIVITY, statement
from tests.stores import own_settings

BY = "cli:test"
CHILD = {"name": "Camille Exemple", "mbox": "mailto:camille@ent.example"}
SISTER = {"name": "Zoe Exemple", "mbox": "mailto:zoe@ent.example"}
TEACHER = {"account": {"homePage": "https://ent.example", "name": "42"}}
DRAWING = b"a drawing of hers"


class Cut(Exception):
    """The command was killed here."""


class Organisation:
    """An organisation and its commands, each with a container of its own; statements are sent while it serves."""

    def __init__(self, folder: Path, uri: str, database_name: str) -> None:
        self.folder = folder
        self.settings: Settings = own_settings(folder, uri, database_name)
        with self.command() as container:
            container.lifecycle.initialise()
            container.governance.register.add(orjson.dumps(ACTIVITY))
            container.operations.sources.add("tutor", name="Tutor", activity=ACTIVITY["id"], actor=BY)

    @contextmanager
    def command(self, *, serving: bool = False) -> Iterator[Container]:
        made = Container(self.settings)
        try:
            if serving:
                made.lifecycle.start()
            yield made
        finally:
            made.close()

    def send(self, *statements: dict[str, Any], data: tuple[bytes, ...] = ()) -> None:
        with self.command(serving=True) as container:
            given = [Part(sha2_of(each), iter([each])) for each in data] or None
            container.traces.recorder.record(
                orjson.dumps(statements), container.operations.sources.get("tutor"), Version.V1, parts=given
            )

    def backup(self) -> Path:
        with self.command() as container:
            return container.operations.backups.create(self.folder / f"{uuid4()}.tar").path

    def apply(self) -> None:
        with self.command() as container:
            container.operations.minors_pass.apply(
                container.operations.sources.change("tutor", minors="pseudonymise", actor=BY), dry_run=False
            )

    def erase(self, person: IdentifiedDataSubject) -> None:
        with self.command() as container:
            container.people.erasures.advance(container.people.erasures.erase(person, actor=BY).id)

    def restore(self, file: Path, *, replace: bool = True) -> Restored:
        with self.command() as container:
            return container.operations.backups.restore(file, replace=replace)

    def lose(self) -> None:
        with self.command() as container:
            container.platform.store.client.drop_database(self.settings.database)

    def stored(self) -> dict[str, dict[str, Any]]:
        with self.command() as container:
            return {
                str(one.id): orjson.loads(one.body) for one in container.traces.reader.scan(None, 1 << 62, 1_000)[0]
            }

    def count(self, collection: str, **asked: object) -> int:
        with self.command() as container:
            return container.platform.store.collection(collection).count_documents(asked)


@pytest.fixture
def house(tmp_path: Path, mongodb_uri: str, database_name: str) -> Iterator[Organisation]:
    made = Organisation(tmp_path, mongodb_uri, database_name)
    yield made


def said(actor: dict[str, Any] = CHILD, **more: Any) -> dict[str, Any]:
    return statement(**{"id": str(uuid4()), "actor": actor, "timestamp": "2026-10-05T10:00:00Z", **more})


def account_of(house: Organisation, one: dict[str, Any]) -> dict[str, Any]:
    """The account that the learner of a statement has now."""
    account: dict[str, Any] = house.stored()[one["id"]]["actor"]["account"]
    return account


def test_a_child_erased_by_the_new_account_is_erased_again(house: Organisation) -> None:
    """Statements, attachments and documents; where others name the child, the name goes."""
    own, other = said(attachments=[attachment_of(DRAWING)]), said(SISTER, context={"instructor": TEACHER})
    naming = said(TEACHER, context={"instructor": CHILD})
    house.send(own, other, naming, data=(DRAWING,))
    before = house.backup()
    house.apply()
    child = account_of(house, own)
    house.erase(data_subject_of([{"account": child}]))
    assert set(house.stored()) == {other["id"], naming["id"]}
    after = house.stored()
    done = house.restore(before)
    assert (done.erased, done.cleaned) == (1, 3)
    kept = house.stored()
    assert set(kept) == set(after)
    assert kept[other["id"]] == after[other["id"]], "nothing of others is lost, and they are known as before"
    assert child not in [kept[naming["id"]]["context"]["instructor"].get("account")]
    assert b"amille" not in orjson.dumps(kept)
    assert house.count("attachments") == 0
    with house.command() as container:
        assert not container.keys.subjects.existing(
            container.people.finder.subjects(data_subject_of([{"account": child}]))
        )
        assert (
            container.operations.minors_pass.apply(
                container.operations.sources.change("tutor", minors="pseudonymise", actor=BY)
            ).changed
            == 0
        )


def test_documents_of_the_new_account_go_too(house: Organisation) -> None:
    own = said()
    house.send(own)
    # What the account will be: it is the same for ever.
    first = house.backup()
    house.apply()
    child = account_of(house, own)
    house.restore(first)
    place = Place(Resource.STATE, "https://ent.example/lessons/1", _identifier(child), None, "d", None)
    with house.command(serving=True) as container:
        container.traces.documents.put(
            place, Content("application/json", b"{}"), Conditions(), Version.V2, source="tutor", actor="sk-writer"
        )
    # Cleaned by the restore already: the statement and the document are of one account, the address is in neither.
    assert account_of(house, own) == child
    second = house.backup()
    house.erase(data_subject_of([{"account": child}]))
    assert (house.count("documents"), house.stored()) == (0, {})
    for file in (second, first):
        assert house.restore(file).erased == 1
        assert (house.count("documents"), house.stored()) == (0, {})


def test_the_file_beside_the_key_file_tells_after_the_loss_of_the_database(house: Organisation) -> None:
    own = said()
    house.send(own, said(SISTER))
    before = house.backup()
    house.apply()
    house.erase(data_subject_of([{"account": account_of(house, own)}]))
    left = house.stored()
    house.lose()
    done = house.restore(before, replace=False)
    assert (done.erased, done.cleaned) == (1, 2)
    assert house.stored() == left


def test_an_export_tells_when_that_file_is_lost_too(house: Organisation) -> None:
    own = said()
    house.send(own)
    before = house.backup()
    house.apply()
    house.erase(data_subject_of([{"account": account_of(house, own)}]))
    export = house.folder / "export.jsonl"
    with house.command() as container:
        assert container.operations.backups.export_tombstones(export) == 1
    house.lose()
    house.settings.tombstones_path.unlink()
    with house.command() as container:
        assert container.operations.backups.restore(before, erased=[export]).erased == 1
    assert house.stored() == {}


def test_whoever_was_erased_by_the_address_before_the_pass_is_found_by_it(house: Organisation) -> None:
    """Erasing again comes before the pass and after it: each finds those whom it alone knows."""
    own, other = said(), said(SISTER)
    house.send(own, other, said(TEACHER))
    before = house.backup()
    house.erase(data_subject_of([{"mbox": CHILD["mbox"]}]))
    house.apply()
    house.erase(data_subject_of([{"account": account_of(house, other)}]))
    left = house.stored()
    assert len(left) == 1
    assert house.restore(before).erased == 2
    assert house.stored() == left


def test_a_restore_cut_off_in_the_pass_goes_on(house: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.operations.minors.BATCH", 1)
    sent = [said() for _ in range(3)]
    house.send(*sent, said(SISTER))
    before = house.backup()
    house.apply()
    house.erase(data_subject_of([{"account": account_of(house, sent[0])}]))
    left = house.stored()

    def fails(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patched, house.command() as container:
        patched.setattr("app.operations.minors.MinorsPass._refer", fails)
        with pytest.raises(Cut):
            container.operations.backups.restore(before, replace=True)
    # All is cleaned, and the child is not erased yet: nothing serves.
    with house.command() as container, pytest.raises(RestoreUnfinished):
        container.lifecycle.check()
    assert house.restore(before).erased == 1
    assert house.stored() == left


def test_a_backup_from_after_the_pass_is_not_gone_through_again(house: Organisation) -> None:
    house.send(said())
    house.apply()
    after = house.backup()
    with house.command() as container:
        (noted,) = MinorsRepository(container.platform.store).begun()
    assert house.restore(after).cleaned == 0
    with house.command() as container:
        assert MinorsRepository(container.platform.store).begun() == [noted]
        assert MinorsRepository(container.platform.store).unfinished() == []
    assert house.count("audit", kind="minors-applied") == 1


def test_of_a_source_registered_since_nothing_is_looked_for(house: Organisation) -> None:
    before = house.backup()
    with house.command() as container:
        container.operations.sources.add("later", name="Later", activity=ACTIVITY["id"], actor=BY)
        container.operations.minors_pass.apply(
            container.operations.sources.change("later", minors="strip", actor=BY), dry_run=False
        )
    assert house.restore(before).cleaned == 0
    with house.command() as container:
        assert MinorsRepository(container.platform.store).unfinished() == []


def _identifier(account: dict[str, Any]) -> str:
    return f"account:{account['homePage']}|{account['name']}"
