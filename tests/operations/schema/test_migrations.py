"""Migrations make a database, and bring an older one to this version."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest

from app.core.errors import MigrationMissing
from app.operations.schema.catalogue import COLLECTIONS
from app.operations.schema.migrations import NOTES, check, migrate, names, pending, refuse_other
from app.platform.mongo.connection import Store
from tests.migrations import later

FOUNDATION = "2026_11_30_foundation"
NOTE_THE_ORDER = "c = store.collection('order'); c.insert_one({'_id': c.count_documents({}), 'of': '%s'})"


@pytest.fixture
def empty(mongodb_uri: str) -> Iterator[Store]:
    """A database in which there is nothing."""
    opened = Store.open(mongodb_uri, f"sillage_t{uuid4().hex[:12]}", timeout_seconds=20)
    yield opened
    opened.client.drop_database(opened.db.name)
    opened.close()


def test_migrations_make_all_that_is_declared(empty: Store) -> None:
    assert names()[0] == FOUNDATION
    assert migrate(empty) == names()
    check(empty, COLLECTIONS)
    assert set(empty.db.list_collection_names()) == {each.name for each in COLLECTIONS} | {NOTES}
    for collection in COLLECTIONS:
        present = empty.collection(collection.name).index_information()
        assert set(present) == {"_id_", *(index.name for index in collection.indexes)}
        for index in collection.indexes:
            made = present[index.name]
            assert [key for key, _ in made["key"]] == [key for key, _ in index.keys]
            assert made.get("unique", False) == index.unique
    assert migrate(empty) == []


def test_the_foundation_does_no_harm_where_it_was_applied_already(store: Store) -> None:
    before = {each.name: store.collection(each.name).index_information() for each in COLLECTIONS}
    store.collection("sources").insert_one({"_id": "kept"})
    store.collection(NOTES).delete_one({"_id": FOUNDATION})
    assert migrate(store) == [FOUNDATION]
    assert {each.name: store.collection(each.name).index_information() for each in COLLECTIONS} == before
    assert store.collection("sources").count_documents({"_id": "kept"}) == 1


def test_later_ones_are_applied_once_each_in_the_order_of_their_names(empty: Store, tmp_path: Path) -> None:
    known = migrate(empty)
    second, first = "2099_01_02_second", "2099_01_01_first"
    with later(tmp_path, **{name: NOTE_THE_ORDER % name for name in (second, first)}):
        assert names() == [*known, first, second]
        assert pending(empty) == [first, second]
        with pytest.raises(MigrationMissing, match=first):
            check(empty, COLLECTIONS)
        assert migrate(empty) == [first, second]
        check(empty, COLLECTIONS)
        assert migrate(empty) == []
    assert [each["of"] for each in empty.collection("order").find().sort("_id")] == [first, second]
    notes = {note["_id"]: note["applied"] for note in empty.collection(NOTES).find()}
    assert set(notes) == {*known, first, second}
    assert all(isinstance(applied, datetime) for applied in notes.values())


def test_one_that_fails_is_not_noted_and_keeps_those_after_it_from_being_applied(empty: Store, tmp_path: Path) -> None:
    migrate(empty)
    failing, after = "2099_01_01_failing", "2099_01_02_after"
    with later(tmp_path, **{failing: "raise ZeroDivisionError", after: NOTE_THE_ORDER % after}):
        with pytest.raises(ZeroDivisionError):
            migrate(empty)
        assert pending(empty) == [failing, after]
    assert empty.collection("order").count_documents({}) == 0


def test_a_database_that_a_later_version_migrated_is_refused_by_the_former(empty: Store, tmp_path: Path) -> None:
    name = "2099_01_01_quantum"
    with later(tmp_path, **{name: "pass"}):
        migrate(empty)
        refuse_other(empty)
    with pytest.raises(MigrationMissing, match=f"later version.*{name}"):
        refuse_other(empty)


def test_a_declared_index_that_is_gone_is_missed(store: Store) -> None:
    store.collection("cases").drop_index("due")
    with pytest.raises(MigrationMissing, match=r"index cases\.due"):
        check(store, COLLECTIONS)
