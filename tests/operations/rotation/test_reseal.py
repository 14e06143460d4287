"""Statements move to a newer format of bodies: all that opens, as it was, whoever else is at it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.access.store import Source
from app.core import clock
from app.core.errors import KeysBusy, SettingsInvalid
from app.crypto.bodies import LATEST, Bodies, format_of
from app.operations.rotation import reseal as rules
from app.standards.xapi.versions import Version
from app.traces.statements import body_formats
from app.wiring.container import Container
from tests import formats as formats_known
from tests.formats import FORMER
from tests.operations.rotation.test_index_key import ANA, BO, container, send, source, stop_after
from tests.served import statement
from tests.stores import settle

__all__ = ("container", "source")


@pytest.fixture(autouse=True)
def two_formats(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(body_formats, "DICTIONARIES", formats_known.files(tmp_path))


def formerly(container: Container) -> Bodies:
    """Bodies encrypted in the former format."""
    return Bodies(container.settings.organisation, formats_known.dictionaries(), clock.random_bytes, writing=FORMER)


@pytest.fixture
def former(container: Container, source: Source) -> tuple[UUID, ...]:
    """Statements in the former format."""
    now = container.traces.bodies
    container.traces.__dict__["bodies"] = formerly(container)
    ids = send(container, source, *(statement(actor=ANA) for _ in range(5)), *(statement(actor=BO) for _ in range(4)))
    container.traces.__dict__["bodies"] = container.traces.recorder._bodies = now
    # A pass ends at the bound that this process has published: it may still be that of a moment before.
    settle(container)
    return ids


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "BATCH", 2)


def formats(container: Container) -> Counter[int]:
    return Counter(format_of(row.body) for row in container.traces.statements.span(None, 1 << 62, 1_000))


def plain(container: Container) -> dict[UUID, bytes]:
    return {
        one.id: one.body
        for one in container.traces.reader.decrypted(container.traces.statements.span(None, 1 << 62, 1_000))
    }


def test_everything_moves_and_says_what_it_said(container: Container, former: tuple[UUID, ...], source: Source) -> None:
    send(container, source, statement())
    settle(container)
    assert formats(container) == {FORMER: 9, LATEST: 1}
    before = plain(container)
    assert len(before) == 10
    reported: list[tuple[int, int]] = []
    done = container.operations.reseal.run(progress=lambda *now: reported.append(now))
    assert (done.format, done.seen, done.resealed, done.unopened, done.now) == (LATEST, 10, 9, 0, 10)
    assert reported[-1] == (10, 10)
    assert formats(container) == {LATEST: 10}
    assert plain(container) == before
    assert [entry.kind for entry in container.governance.audit.newest()].count("bodies-resealed") == 1
    # What was sent is sent again: it is known.
    assert container.operations.reseal.run().resealed == 0


def test_a_pass_that_is_stopped_goes_on_from_there(container: Container, former: tuple[UUID, ...]) -> None:
    with pytest.raises(KeysBusy):
        container.operations.reseal.run(check=stop_after(2))
    assert formats(container) == {LATEST: 4, FORMER: 5}
    done = container.operations.reseal.run()
    assert (done.seen, done.resealed, done.now) == (9, 9, 5)
    assert formats(container) == {LATEST: 9}


def test_what_was_written_but_not_noted_is_gone_through_again(
    container: Container, former: tuple[UUID, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: Any, **__: Any) -> None:
        raise KeysBusy("stop")

    with monkeypatch.context() as only:
        only.setattr(container.operations.reseal._repository, "mark", cut)
        with pytest.raises(KeysBusy):
            container.operations.reseal.run()
    assert formats(container) == {LATEST: 2, FORMER: 7}
    done = container.operations.reseal.run()
    assert (done.seen, done.resealed) == (9, 7)
    assert formats(container) == {LATEST: 9}


def test_what_does_not_open_is_left_and_counted(container: Container, former: tuple[UUID, ...]) -> None:
    container.platform.store.collection("subjects").delete_one(
        {"_id": container.keys.organisation.subject("account:https://ent.example|ana")}
    )
    container.keys.subjects.forget()
    container.platform.store.collection("statements").update_one(
        {"_id": former[-1]}, {"$set": {"body": bytes([FORMER]) + b"damaged" * 10}}
    )
    done = container.operations.reseal.run()
    assert (done.seen, done.resealed, done.unopened) == (9, 3, 6)
    assert formats(container) == {LATEST: 3, FORMER: 6}


def test_one_changed_between_its_reading_and_its_writing_keeps_the_change(
    container: Container, former: tuple[UUID, ...], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = container.platform.store.collection("statements")
    real, turns = container.operations.reseal._repository.write, []
    changed = orjson.dumps({**orjson.loads(plain(container)[former[0]]), "changed": True})

    def write(bodies: Any) -> int:
        if not turns:
            turns.append(True)
            (row,) = container.traces.statements.some([former[0]])
            key = container.keys.subjects.existing([row.subject])[row.subject]
            body = formerly(container).encrypt([(row.id, changed)], [key])[0]
            collection.update_one({"_id": row.id}, {"$set": {"body": body}})
            collection.delete_one({"_id": former[1]})
        return real(bodies)

    monkeypatch.setattr(container.operations.reseal._repository, "write", write)
    container.operations.reseal.run()
    assert formats(container) == {LATEST: 8}
    assert plain(container)[former[0]] == changed


def test_retries_are_known_after_the_move(container: Container, source: Source) -> None:
    sent = [statement(actor=ANA, id=str(UUID(int=n))) for n in range(1, 4)]
    send(container, source, *sent)
    container.operations.reseal.run()
    again = container.traces.recorder.record(orjson.dumps(sent), source, Version.V2)
    assert len(again.inserted.repeated) == 3


def test_the_job_moves_what_is_there_once_and_goes_on_when_it_was_cut_off(
    container: Container, former: tuple[UUID, ...]
) -> None:
    job = next(job for job in container.jobs if job.name == "reseal")
    leadership = container.platform.leadership.acquire()
    assert leadership is not None
    with leadership as lease:
        with pytest.raises(KeysBusy):
            container.operations.reseal.run(check=stop_after(1))
        assert formats(container)[FORMER]
        job.run(lease)
        assert formats(container) == {LATEST: len(former)}
        assert job.run(lease) == {"due": False}


def test_a_store_without_statements_has_nothing_to_move(container: Container) -> None:
    assert not container.operations.reseal.due()


def test_a_format_that_is_not_known_is_refused_at_the_start(container: Container) -> None:
    other = Container(replace(container.settings, statement_format=FORMER + 1))
    with pytest.raises(SettingsInvalid, match="SILLAGE_STATEMENT_FORMAT"):
        other.lifecycle.check()
    with pytest.raises(SettingsInvalid, match="SILLAGE_STATEMENT_FORMAT"):
        _ = other.traces.bodies
    other.close()


def test_what_is_written_is_what_the_setting_says(container: Container) -> None:
    other = Container(replace(container.settings, statement_format=FORMER))
    assert other.traces.bodies.writing == FORMER
    assert container.traces.bodies.writing == LATEST
