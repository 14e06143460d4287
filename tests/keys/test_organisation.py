"""The generations of the index key: each stage once, known to everybody before long, the old one gone at the end."""

from __future__ import annotations

import pytest

from app.core import clock
from app.core.errors import DatabaseUnavailable, KeyRefused
from app.crypto.keys import IndexKeys, KeyEncryptionKeys, OrganisationKeys, Wrapped, organisation_place
from app.keys import organisation as organisation_keys
from app.keys.organisation import Stage, begin_index, finish_index, index_keys, index_state, move_index
from app.platform.mongo.connection import Store

ORGANISATION = "default"


def generations(index: IndexKeys) -> tuple[int, int | None]:
    return index.writing.generation, index.other.generation if index.other else None


def test_each_stage_is_begun_once_and_says_what_to_write_and_search(
    store: Store, vault: OrganisationKeys, keks: KeyEncryptionKeys
) -> None:
    def now() -> tuple[int, int | None]:
        return generations(index_keys(store, keks, ORGANISATION))

    assert (index_state(store, ORGANISATION).stage, now()) == (None, (1, None))
    assert not move_index(store, ORGANISATION, 1)
    assert [begin_index(store, keks, ORGANISATION, 1) for _ in range(2)] == [True, False]
    assert (index_state(store, ORGANISATION).stage, now()) == (Stage.GIVEN_OUT, (1, 2))
    assert not finish_index(store, keks, ORGANISATION, 1, [])
    assert [move_index(store, ORGANISATION, 1) for _ in range(2)] == [True, False]
    assert (index_state(store, ORGANISATION).stage, now()) == (Stage.MOVING, (2, 1))
    next_one = index_keys(store, keks, ORGANISATION).writing.token("verb", "x")
    assert [finish_index(store, keks, ORGANISATION, 1, [b"old"]) for _ in range(2)] == [True, False]
    state = index_state(store, ORGANISATION)
    assert (state.generation, state.stage, state.retired) == (2, None, (b"old",))
    assert 0 <= state.seconds < 60
    assert now() == (2, None)
    assert index_keys(store, keks, ORGANISATION).writing.token("verb", "x") == next_one


def test_nothing_of_a_destroyed_index_key_is_left(
    store: Store, vault: OrganisationKeys, keks: KeyEncryptionKeys
) -> None:
    document = store.collection("organisation_keys").find_one({})
    assert document is not None
    stored = document["keys"]["index"]
    old = keks.unwrap(organisation_place(ORGANISATION, "index"), Wrapped(stored["version"], stored["sealed"]))
    begin_index(store, keks, ORGANISATION, 1)
    move_index(store, ORGANISATION, 1)
    finish_index(store, keks, ORGANISATION, 1, [])
    document = store.collection("organisation_keys").find_one({})
    assert document is not None
    assert set(document["keys"]) == set(OrganisationKeys.PURPOSES)
    opened = {
        purpose: keks.unwrap(organisation_place(ORGANISATION, purpose), Wrapped(each["version"], each["sealed"]))
        for purpose, each in document["keys"].items()
    }
    assert old not in opened.values()


def test_a_process_uses_what_it_read_for_no_longer_than_it_may(
    store: Store, vault: OrganisationKeys, keks: KeyEncryptionKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = clock.steady()
    keys = organisation_keys.unlock(store, keks, ORGANISATION, keep_seconds=60)
    before = keys.index
    begin_index(store, keks, ORGANISATION, 1)
    monkeypatch.setattr(clock, "steady", lambda: began + 59)
    assert keys.index is before
    monkeypatch.setattr(clock, "steady", lambda: began + 121)
    assert generations(keys.index) == (1, 2)
    # Known tokens stay at hand: the generation that goes on is the same object.
    assert keys.index.writing is before.writing


def test_a_process_that_cannot_look_does_not_go_on_with_what_it_knew(
    store: Store, vault: OrganisationKeys, keks: KeyEncryptionKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = organisation_keys.unlock(store, keks, ORGANISATION, keep_seconds=0)

    def away(*_: object) -> object:
        raise DatabaseUnavailable

    monkeypatch.setattr(organisation_keys, "_document", away)
    with pytest.raises(DatabaseUnavailable):
        _ = keys.index


def test_subjects_and_pseudonyms_outlive_the_index_key(
    store: Store, vault: OrganisationKeys, keks: KeyEncryptionKeys
) -> None:
    subject, token = vault.subject("account:x"), vault.index.writing.token("agent", "account:x")
    begin_index(store, keks, ORGANISATION, 1)
    move_index(store, ORGANISATION, 1)
    finish_index(store, keks, ORGANISATION, 1, [])
    again = organisation_keys.unlock(store, keks, ORGANISATION)
    assert again.subject("account:x") == subject
    assert again.pseudonym("study", subject) == vault.pseudonym("study", subject)
    assert again.index.writing.token("agent", "account:x") != token


def test_the_key_that_follows_is_wrapped_anew_with_the_others(
    store: Store, vault: OrganisationKeys, keks: KeyEncryptionKeys
) -> None:
    begin_index(store, keks, ORGANISATION, 1)
    both = KeyEncryptionKeys({1: keks.keys[1], 2: b"2" * 32}, 2)
    assert organisation_keys.rewrap(store, both, ORGANISATION) == len(OrganisationKeys.PURPOSES) + 1
    alone = KeyEncryptionKeys({2: b"2" * 32}, 2)
    assert generations(index_keys(store, alone, ORGANISATION)) == (1, 2)


def test_a_store_without_a_key_of_later_builds_is_refused(
    store: Store, vault: OrganisationKeys, keks: KeyEncryptionKeys
) -> None:
    store.collection("organisation_keys").update_one({}, {"$unset": {"keys.subjects": ""}})
    with pytest.raises(KeyRefused, match="unreleased"):
        organisation_keys.unlock(store, keks, ORGANISATION)
