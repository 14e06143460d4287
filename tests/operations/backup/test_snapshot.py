"""One moment of a database that others write to."""

from __future__ import annotations

import threading

import bson
import pytest
from pymongo.errors import OperationFailure

from app.core.errors import BackupFailed
from app.operations.backup import snapshot as snapshots
from app.operations.backup.snapshot import snapshot
from app.platform.mongo.connection import Store


def documents(batches: object) -> list[dict[str, int]]:
    return [one for batch in batches for one in bson.decode_all(batch)]  # type: ignore[attr-defined]


def test_every_collection_is_read_at_one_moment(store: Store) -> None:
    """Two counters that one transaction always raises together are equal, however long the reading takes."""
    one, two = store.collection("sources"), store.collection("verdict_counts")
    one.insert_one({"_id": "n", "n": 0})
    two.insert_one({"_id": "n", "n": 0})
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with store.transaction() as session:
                one.update_one({"_id": "n"}, {"$inc": {"n": 1}}, session=session)
                two.update_one({"_id": "n"}, {"$inc": {"n": 1}}, session=session)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            with snapshot(store) as moment:
                (first,) = documents(moment.batches("sources"))
                before = one.find_one({"_id": "n"})
                while one.find_one({"_id": "n"}) == before:
                    pass
                (second,) = documents(moment.batches("verdict_counts"))
            assert first["n"] == second["n"]
    finally:
        stop.set()
        writer.join()
    last = one.find_one({"_id": "n"})
    assert last is not None and last["n"] > first["n"]


def test_what_was_acknowledged_before_is_in_it(store: Store) -> None:
    for n in range(20):
        store.collection("sources").insert_one({"_id": n})
        with snapshot(store) as moment:
            assert len(documents(moment.batches("sources"))) == n + 1


def test_what_says_who_lives_is_left_out(store: Store) -> None:
    store.collection("restore_state").insert_one({"_id": "restore"})
    store.collection("restoring.statements").insert_one({"_id": 1})
    with snapshot(store) as moment:
        names = moment.names
    assert {"statements", "subjects", "audit", "migrations"} <= set(names)
    assert not {"processes", "fences", "key_holders", "restore_state", "restoring.statements"} & set(names)


def test_old_versions_are_kept_for_as_long_as_it_takes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def window() -> int:
        return int(
            store.client.admin.command("getParameter", 1, minSnapshotHistoryWindowInSeconds=1)[snapshots._WINDOW]
        )

    now = [0.0]
    monkeypatch.setattr(snapshots.clock, "steady", lambda: now[0])
    store.collection("sources").insert_one({"_id": 1})
    before = window()
    with snapshot(store) as moment:
        now[0] = 10_000.0
        documents(moment.batches("sources"))
        assert window() > 10_000
    assert window() == before


def test_an_account_that_may_not_is_told_what_to_raise(store: Store) -> None:
    with pytest.raises(BackupFailed, match="minSnapshotHistoryWindowInSeconds"), snapshot(store):
        raise OperationFailure("snapshot too old", 239)
