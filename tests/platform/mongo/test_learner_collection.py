"""The ordinary collection with personal data: what it gives, and what it deletes, by the page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from app.core.personal_data import DataSubject, Ended, Erasing
from app.crypto.documents import Layer, data_subject_layer
from app.crypto.keys import Cipher, KeyEncryptionKeys, OrganisationKeys
from app.keys.data_subject_cipher import DataSubjectCipher
from app.keys.learners import SubjectKeys
from app.platform.mongo import learner_collection
from app.platform.mongo.collection import DataContext, UnderLearners
from app.platform.mongo.connection import Store
from app.platform.mongo.learner_collection import Aged, Export, LearnerCollection

LEA, BO = bytes(16), bytes([1]) * 16


def _layers(found: Mapping[str, Any], _: str) -> tuple[Layer, ...]:
    return (data_subject_layer("note", bytes(found["subject"])),)


UNDER = UnderLearners(("note",), _layers, ("subject",))
EXPORT = Export("notes/notes", lambda _, opened: {"note": opened["note"].decode()}, ("note",))


class Notes:
    """A collection of notes, and what they are encrypted with."""

    def __init__(self, store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> None:
        self.learners = SubjectKeys(store, keks, "default", keep_seconds=0)
        self.context = DataContext(store, vault, self.learners)
        self.rows = store.collection("notes")
        self.keys = store.collection("subjects")
        self.cipher = DataSubjectCipher(self.learners, "default", os.urandom)

    @property
    def data(self) -> LearnerCollection:
        """Its part in the rights of persons."""
        return LearnerCollection(self.context, "notes", UNDER, export=EXPORT, aged=Aged())

    def write(self, subject: bytes, *texts: str, source: str = "tutor", updated: int = 0) -> None:
        """Notes on a learner."""
        for text in texts:
            note = self.cipher.encrypt("note", {subject: text.encode()})[subject]
            self.rows.insert_one(
                {"_id": os.urandom(16), "subject": subject, "source": source, "updated": updated, "note": note}
            )

    def left(self) -> list[str]:
        """The notes that open."""
        return sorted(
            value.decode()
            for row in self.rows.find({})
            for value in self.cipher.decrypt("note", {bytes(row["subject"]): bytes(row["note"])}).values()
        )

    def erase(self, *subjects: bytes, limit: int = 2) -> list[int]:
        """Erase what their present keys do not open; how many went, batch by batch."""
        return [each.number for each in self.data.erase(Erasing(DataSubject(subjects), 0, limit))]


@pytest.fixture
def notes(store: Store, keks: KeyEncryptionKeys, vault: OrganisationKeys) -> Notes:
    return Notes(store, keks, vault)


def test_what_the_destroyed_key_encrypted_goes_by_the_batch_and_what_came_since_stays(notes: Notes) -> None:
    notes.write(LEA, *(f"before {n}" for n in range(5)))
    notes.write(BO, "of another")
    notes.keys.delete_one({"_id": LEA})
    notes.write(LEA, "since")
    assert sum(notes.erase(LEA)) == 5
    assert notes.left() == ["of another", "since"]
    assert sum(notes.erase(LEA)) == 0
    # One batch after another, so that whoever erases can tell that it lives.
    notes.keys.delete_one({"_id": BO})
    assert notes.erase(BO, limit=1) == [1]


def test_what_was_written_anew_since_it_was_read_stays(notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    notes.write(LEA, "before")
    notes.keys.delete_one({"_id": LEA})
    real = notes.learners.existing

    def written_meanwhile(subjects: Iterable[bytes]) -> Mapping[bytes, Cipher]:
        found = real(subjects)
        monkeypatch.setattr(notes.learners, "existing", real)
        note = notes.cipher.encrypt("note", {LEA: b"anew"})[LEA]
        notes.rows.update_one({"subject": LEA}, {"$set": {"note": note}})
        return found

    monkeypatch.setattr(notes.learners, "existing", written_meanwhile)
    assert notes.erase(LEA) == [0]
    assert notes.left() == ["anew"]


def test_an_export_has_all_pages_and_tells_of_damage_and_not_of_who_was_erased(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner_collection, "_PAGE", 2)
    notes.write(LEA, *(f"note {n}" for n in range(4)))
    notes.write(BO, "of another")
    damaged = notes.rows.find_one({"subject": LEA}, sort=[("_id", -1)])
    assert damaged is not None
    notes.rows.update_one({"_id": damaged["_id"]}, {"$set": {"note": bytes(60)}})
    given = notes.data.export(DataSubject((LEA,)))
    assert given is not None
    items = list(given.items)
    assert items[-1] is None
    assert len({item["note"] for item in items if item is not None}) == 3
    notes.keys.delete_one({"_id": LEA})
    again = notes.data.export(DataSubject((LEA, BO)))
    assert again is not None and list(again.items) == [{"note": "of another"}]


def test_it_is_found_and_it_ages_by_source_and_by_the_end_of_an_account(notes: Notes) -> None:
    notes.write(LEA, "old", updated=10)
    notes.write(LEA, "new", updated=30)
    notes.write(BO, "old too", updated=10)
    notes.write(BO, "of another source", source="ent", updated=10)
    assert notes.data.locate(DataSubject((LEA,))) == {"notes": 2}
    assert [notes.data.holds(DataSubject((each,))) for each in (LEA, bytes([2]) * 16)] == [True, False]
    ageing = notes.data.ageing
    assert ageing is not None
    assert ageing.age("tutor", 20, 5) == (3, 10, 2, 0)
    assert ageing.count("tutor", 20, [BO]) == 1
    ended = [Ended(LEA, (), 40)]
    assert (ageing.count_ended("tutor", ended, 20), ageing.delete_ended("tutor", ended, 20, 10)) == (1, 1)
    assert (ageing.delete("tutor", 20, 10, [BO]), ageing.delete("tutor", 20, 10, [BO])) == (1, 0)
    assert notes.left() == ["of another source", "old too"]
