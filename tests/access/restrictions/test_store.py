"""Restrictions and objections: what is kept, and what a process remembers."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from app.access.restrictions.store import (
    NOBODY,
    DataSubjectState,
    DataSubjectStateRepository,
    DataSubjectStates,
    SubjectIdentifiers,
)
from app.platform.mongo.connection import Store

AT = datetime(2026, 11, 25, 8, tzinfo=UTC)
LATER = AT + timedelta(days=1)


def id() -> SubjectIdentifiers:
    return SubjectIdentifiers(os.urandom(16), os.urandom(8))


@pytest.fixture
def repository(store: Store) -> DataSubjectStateRepository:
    return DataSubjectStateRepository(store)


def test_each_state_is_noted_and_undone_by_itself(repository: DataSubjectStateRepository) -> None:
    one, other = id(), id()
    repository.restrict([one, other], AT)
    repository.note_objection([one], LATER, ["research"])
    repository.refuse([one], LATER)
    assert repository.of([one.subject]) == [DataSubjectState(one.subject, AT, AT, ("research",), True, one.who)]
    states = repository.read()
    assert states.restricted == {one.subject, other.subject}
    assert set(repository.restricted()) == {one, other}
    assert (states.objecting, states.refusing) == ({one.subject}, {one.subject})
    assert states.out_of_research == states.restricted
    assert repository.lift([one.subject, other.subject]) == 2
    states = repository.read()
    assert (states.restricted, repository.restricted()) == (frozenset(), [])
    assert states.out_of_research == {one.subject}
    assert repository.withdraw([one.subject]) == 1
    assert repository.read() == NOBODY


def test_what_says_nothing_any_more_is_not_kept(repository: DataSubjectStateRepository, store: Store) -> None:
    one, other = id(), id()
    repository.restrict([one, other], AT)
    repository.note_objection([other], AT, ["research"])
    repository.lift([one.subject, other.subject])
    assert [bytes(kept["_id"]) for kept in store.collection("person_states").find({})] == [other.subject]


def test_restricting_again_keeps_the_first_date_and_undoing_again_undoes_nothing(
    repository: DataSubjectStateRepository,
) -> None:
    one = id()
    repository.restrict([one], AT)
    repository.restrict([one], LATER)
    assert repository.of([one.subject])[0].restricted == AT
    assert [repository.lift([one.subject]) for _ in range(2)] == [1, 0]
    assert repository.withdraw([one.subject]) == 0


def test_a_process_reads_them_once_until_it_is_told_to_forget(repository: DataSubjectStateRepository) -> None:
    states = DataSubjectStates(repository, lambda: True)
    assert states.current() == NOBODY
    one = id()
    repository.restrict([one], AT)
    assert states.current() == NOBODY
    states.forget()
    assert states.current().restricted == {one.subject}


def test_one_out_of_touch_reads_them_each_time(repository: DataSubjectStateRepository) -> None:
    states = DataSubjectStates(repository)
    assert states.current() == NOBODY
    one = id()
    repository.restrict([one], AT)
    assert states.current().restricted == {one.subject}


def test_a_reading_under_way_does_not_bring_back_what_was_forgotten(
    repository: DataSubjectStateRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = DataSubjectStates(repository, lambda: True)
    real = DataSubjectStateRepository.read
    one = id()

    def read_late(asked: DataSubjectStateRepository):
        found = real(asked)
        if found == NOBODY:
            repository.restrict([one], AT)
            states.forget()
        return found

    monkeypatch.setattr(DataSubjectStateRepository, "read", read_late)
    assert states.current() == NOBODY
    assert states.current().restricted == {one.subject}
