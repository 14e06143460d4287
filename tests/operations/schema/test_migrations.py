"""Migrations bring an older database to this version."""

from __future__ import annotations

from app.governance.audit.store import COLLECTIONS
from app.operations.schema.migrations import NOTES, check, migrate
from app.platform.mongo.connection import Store
from app.traces.statements import store as statements


def test_the_indexes_of_statements_are_replaced(store: Store) -> None:
    kept = store.collection("statements")
    kept.drop_indexes()
    kept.create_index([("stored", 1), ("_id", 1)], name="order")
    kept.create_index([("t", 1), ("stored", 1), ("_id", 1)], name="tokens")
    store.collection(NOTES).delete_one({"_id": "2026_11_24_smaller_indexes"})
    assert migrate(store) == ["2026_11_24_smaller_indexes"]
    assert list(kept.index_information()["tokens"]["key"]) == [("t", 1), ("stored", 1)]
    assert list(kept.index_information()["order"]["key"]) == [("stored", 1)]
    check(store, statements.COLLECTIONS)
    assert migrate(store) == []


def test_the_indexes_of_the_audit_log_are_replaced(store: Store) -> None:
    audit = store.collection("audit")
    audit.drop_indexes()
    audit.create_index([("at", 1)], name="at")
    audit.create_index([("kind", 1), ("at", 1)], name="kind_at")
    store.collection(NOTES).delete_one({"_id": "2026_11_22_index_audit_places"})
    assert migrate(store) == ["2026_11_22_index_audit_places"]
    assert set(audit.index_information()) == {"_id_", "at_id", "kind_at_id"}
    check(store, COLLECTIONS)
    assert migrate(store) == []
