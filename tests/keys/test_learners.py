"""Learners' keys under versions of the key-encryption key: counted by the index, replaced only as they were read."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pymongo import MongoClient

from app.core import clock
from app.core.errors import KeyRefused
from app.crypto.keys import KeyEncryptionKeys, Wrapped, subject_place
from app.keys.learners import Replacement, SubjectKeys, WrappedKeys
from app.platform.mongo.connection import Document, Store
from tests.keys.providers.test_file import versions
from tests.monitored import Commands

ONE = versions("active").keks
TWO = versions("decrypt-only", "active").keks


def make(store: Store, count: int, keks: object = ONE) -> list[bytes]:
    subjects = [os.urandom(16) for _ in range(count)]
    SubjectKeys(store, keks, "default").ensured(subjects)  # type: ignore[arg-type]
    return subjects


def test_keys_are_counted_by_version_and_listed_in_order(store: Store) -> None:
    old, new = make(store, 30), make(store, 12, TWO)
    keys = WrappedKeys(store)
    assert keys.versions() == [1, 2]
    assert [keys.count(version) for version in (1, 2, 3)] == [30, 12, 0]
    assert keys.total() == 42
    first = keys.under(1, None, 20)
    rest = keys.under(1, first[-1].subject, 20)
    assert [one.subject for one in first + rest] == sorted(old)
    assert [one.subject for one in keys.every(None, 100)] == sorted(old + new)


def test_the_edges_of_the_slices_are_counted_once(store: Store) -> None:
    for first in range(256):
        for rest in (bytes(15), b"\xff" * 15):
            store.collection("subjects").insert_one({"_id": bytes([first]) + rest, "version": 1, "key": b""})
    assert WrappedKeys(store).count(1) == 512


def test_counting_reads_the_index_alone(store: Store) -> None:
    make(store, 200)
    explained = store.db.command("explain", {"distinct": "subjects", "key": "version"}, verbosity="executionStats")
    assert explained["executionStats"]["totalDocsExamined"] == 0
    assert explained["executionStats"]["totalKeysExamined"] <= 2


def test_a_key_is_replaced_only_as_it_was_read(store: Store) -> None:
    make(store, 3)
    keys = WrappedKeys(store)
    rows = keys.under(1, None, 10)
    again = [
        Replacement(row.subject, row.wrapped, TWO.wrap(subject_place("default", row.subject), b"n" * 32, os.urandom))
        for row in rows
    ]
    store.collection("subjects").delete_one({"_id": rows[0].subject})
    store.collection("subjects").update_one({"_id": rows[1].subject}, {"$set": {"key": b"another"}})
    assert keys.replace(again) == 1
    stored = {one.subject: one.wrapped for one in keys.every(None, 10)}
    assert rows[0].subject not in stored
    assert stored[rows[1].subject] == Wrapped(1, b"another")
    assert stored[rows[2].subject] == again[2].after
    assert keys.replace([]) == 0


def test_a_version_that_is_not_held_is_named(store: Store) -> None:
    (subject,) = make(store, 1, TWO)
    with pytest.raises(KeyRefused, match="Version 2"):
        SubjectKeys(store, ONE, "default").existing([subject])


@pytest.fixture
def watched(store: Store, mongodb_uri: str) -> Iterator[tuple[Store, Commands]]:
    """The same database through a client whose commands on learners' keys are noted."""
    commands = Commands("subjects")
    client = MongoClient[Document](mongodb_uri, event_listeners=[commands], uuidRepresentation="standard")
    yield Store(client, store.db.name), commands
    client.close()


def test_keys_of_500_new_learners_take_one_read_and_one_write(watched: tuple[Store, Commands]) -> None:
    store, commands = watched
    subjects = [os.urandom(16) for _ in range(500)]
    keys = SubjectKeys(store, ONE, "default")
    made = keys.ensured(subjects)
    assert commands.seen == ["find", "insert"]
    again = keys.ensured(subjects)
    assert commands.seen == ["find", "insert"]
    # What was made is what is kept and stored: this process, and another, open what this one seals.
    nonce = bytes(12)
    for theirs in (again, SubjectKeys(store, ONE, "default").existing(subjects)):
        assert all(
            theirs[each].decrypt(nonce, made[each].encrypt(nonce, b"x", None), None) == b"x" for each in subjects
        )


def test_where_another_process_makes_some_of_the_keys_first_theirs_are_used(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = SubjectKeys(store, ONE, "default"), SubjectKeys(store, ONE, "default")
    subjects = [os.urandom(16) for _ in range(10)]
    real = one._make

    def late(missing: Sequence[bytes]) -> object:
        other.ensured(subjects[:4])
        return real(missing)

    monkeypatch.setattr(one, "_make", late)
    made, nonce = one.ensured(subjects), bytes(12)
    assert made.keys() == set(subjects)
    theirs = SubjectKeys(store, ONE, "default").existing(subjects)
    assert all(theirs[each].decrypt(nonce, made[each].encrypt(nonce, b"x", None), None) == b"x" for each in subjects)


def test_a_key_is_kept_from_when_it_was_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (subject,) = make(store, 1)
    keys = SubjectKeys(store, ONE, "default", keep_seconds=30)
    now = clock.steady()
    monkeypatch.setattr(clock, "steady", lambda: now)
    assert keys.existing([subject])
    store.collection("subjects").delete_one({"_id": subject})
    monkeypatch.setattr(clock, "steady", lambda: now + 29)
    assert keys.existing([subject])
    monkeypatch.setattr(clock, "steady", lambda: now + 30)
    assert not keys.existing([subject])


# --- destroyed keys ---------------------------------------------------------------------------------


def test_a_key_read_before_it_was_forgotten_is_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (subject,) = make(store, 1)
    keys = SubjectKeys(store, ONE, "default")
    real = KeyEncryptionKeys.unwrap

    def late(keks: KeyEncryptionKeys, place: str, wrapped: Wrapped) -> bytes:
        # Between the reading and the keeping: destroyed, and told.
        store.collection("subjects").delete_one({"_id": subject})
        keys.forget()
        return real(keks, place, wrapped)

    monkeypatch.setattr(KeyEncryptionKeys, "unwrap", late)
    assert subject in keys.existing([subject])
    assert keys.existing([subject]) == {}


def test_forgetting_shows(store: Store) -> None:
    keys = SubjectKeys(store, ONE, "default")
    before = keys.generation
    keys.forget()
    assert keys.generation != before


def test_a_key_that_another_made_and_that_is_gone_before_its_reading_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = SubjectKeys(store, ONE, "default")
    real = SubjectKeys._make
    made: list[int] = []

    def destroyed_at_first(self: SubjectKeys, subjects: list[bytes]) -> object:
        done = real(self, subjects)
        made.append(1)
        if len(made) > 1:
            return done
        store.collection("subjects").delete_many({})
        return {}

    monkeypatch.setattr(SubjectKeys, "_make", destroyed_at_first)
    assert bytes(16) in keys.ensured([bytes(16)])
    assert len(made) == 2


def test_the_keys_at_hand_take_little_memory(store: Store) -> None:
    # Ready to encrypt, one takes 2.5 KB: a sender who names as many learners as are kept took half a gigabyte.
    subjects = [os.urandom(16) for _ in range(20_000)]
    keys = SubjectKeys(store, ONE, "default")
    for start in range(0, 2_000, 500):
        keys.ensured(subjects[start : start + 500])
    before = _resident()
    for start in range(2_000, 20_000, 500):
        keys.ensured(subjects[start : start + 500])
    assert _resident() - before < 20 * 1024 * 1024


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
