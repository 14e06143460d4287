"""Every collection says what it holds of persons, and what it says holds of a store that has seen everything."""

from __future__ import annotations

import pytest

from app.core.personal_data import Impersonal, Personal
from app.factory import Parts
from app.keys import learners
from app.operations.schema.catalogue import COLLECTIONS
from app.operations.schema.migrations import NOTES
from app.platform.mongo.collection import Declared
from tests.operations.rotation.test_rekey import Sealed, fill, rekey
from tests.people.people import parts
from tests.values import bytes_in

__all__ = ("parts", "rekey")

DECLARED = {declared.name: declared for declared in COLLECTIONS}


def test_a_collection_that_says_neither_cannot_be_declared() -> None:
    with pytest.raises(TypeError):
        Declared("forgotten")  # type: ignore[call-arg]


@pytest.mark.parametrize("declared", COLLECTIONS, ids=lambda declared: declared.name)
def test_each_says_all(declared: Declared) -> None:
    assert isinstance(declared.holds, Personal | Impersonal)
    assert all(text.strip() for text in declared.holds)
    # What is a learner's is encrypted with their key.
    assert declared.under_learners is None or isinstance(declared.holds, Personal)


def test_what_is_said_holds_of_a_store_that_has_seen_everything(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sealed, "made", [])
    with monkeypatch.context() as recorded:
        recorded.setattr(learners, "AESGCM", Sealed)
        parts.subjects.forget()
        fill(parts)
    parts.subjects.forget()
    subjects = {bytes(one["_id"]) for one in parts.store.collection(learners.NAME).find({}, {"_id": 1})}
    assert len(subjects) > 4
    names = set(parts.store.db.list_collection_names())
    # Migrations note themselves before there is anything to declare.
    names -= {NOTES}
    assert names <= DECLARED.keys()
    of_persons, sealed = set(), set()
    for name in names:
        for found in parts.store.collection(name).find({}):
            for value in bytes_in(found):
                if value in subjects:
                    of_persons.add(name)
                if len(value) >= 28 and any(value.endswith(one) for one in Sealed.made):
                    sealed.add(name)
    assert {name for name, declared in DECLARED.items() if isinstance(declared.holds, Impersonal)}.isdisjoint(
        of_persons | sealed
    )
    # Statements and keys of attachments have formats of their own.
    assert sealed == {name for name, declared in DECLARED.items() if declared.under_learners} | {
        "statements",
        "attachments",
    }
