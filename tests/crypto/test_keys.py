"""Wrapping, tokens, pseudonyms, sealing."""

from __future__ import annotations

import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import DecryptionFailed, KeyMissing, KeyRefused
from app.crypto.keys import (
    KEY_BYTES,
    MAX_REMEMBERED_LENGTH,
    REMEMBERED,
    IndexKey,
    KeyEncryptionKeys,
    OrganisationKeys,
    new_keys,
)


def organisation(name: str = "default", seed: int = 0) -> OrganisationKeys:
    made = iter(range(seed, 256))
    return OrganisationKeys(name, new_keys(OrganisationKeys.PURPOSES, lambda n: bytes([next(made)]) * n), os.urandom)


KEYS = organisation()


def test_a_wrapped_key_opens_only_at_its_place() -> None:
    keks = KeyEncryptionKeys({1: b"k" * KEY_BYTES}, 1)
    wrapped = keks.wrap("subject:default:aa", b"d" * KEY_BYTES, os.urandom)
    assert keks.unwrap("subject:default:aa", wrapped) == b"d" * KEY_BYTES
    with pytest.raises(KeyRefused):
        keks.unwrap("subject:default:bb", wrapped)


def test_another_key_encryption_key_is_refused() -> None:
    wrapped = KeyEncryptionKeys({1: b"k" * KEY_BYTES}, 1).wrap("p", b"d" * KEY_BYTES, os.urandom)
    with pytest.raises(KeyRefused, match="does not open"):
        KeyEncryptionKeys({1: b"x" * KEY_BYTES}, 1).unwrap("p", wrapped)
    with pytest.raises(KeyRefused, match="Version 1"):
        KeyEncryptionKeys({2: b"k" * KEY_BYTES}, 2).unwrap("p", wrapped)


def test_old_versions_still_open_after_a_new_one_is_active() -> None:
    old = KeyEncryptionKeys({1: b"k" * KEY_BYTES}, 1)
    wrapped = old.wrap("p", b"d" * KEY_BYTES, os.urandom)
    both = KeyEncryptionKeys({1: b"k" * KEY_BYTES, 2: b"m" * KEY_BYTES}, 2)
    assert both.unwrap("p", wrapped) == b"d" * KEY_BYTES
    assert both.wrap("p", b"d" * KEY_BYTES, os.urandom).version == 2


@pytest.mark.parametrize(("keys", "active"), [({1: b"short"}, 1), ({}, 1), ({1: b"k" * KEY_BYTES}, 2)])
def test_impossible_key_sets_are_refused(keys: dict[int, bytes], active: int) -> None:
    with pytest.raises((KeyRefused, KeyMissing)):
        KeyEncryptionKeys(keys, active)


def test_keys_do_not_show_in_their_representation() -> None:
    assert "kkkk" not in repr(KeyEncryptionKeys({1: b"k" * KEY_BYTES}, 1))


@given(st.text(), st.text())
def test_tokens_are_equal_exactly_for_equal_texts(one: str, other: str) -> None:
    assert (KEYS.index.writing.token("agent", one) == KEYS.index.writing.token("agent", other)) is (one == other)


@given(st.text())
def test_tokens_differ_between_kinds_and_between_organisations(text: str) -> None:
    assert KEYS.index.writing.token("agent", text) != KEYS.index.writing.token("activity", text)
    assert KEYS.index.writing.token("agent", text) != organisation(seed=100).index.writing.token("agent", text)
    assert len(KEYS.index.writing.token("agent", text)) == 12
    assert len(KEYS.subject(text)) == 16


def test_pseudonyms_do_not_link_two_scopes() -> None:
    learner = KEYS.subject("account:a")
    assert KEYS.pseudonym("study-1", learner) == KEYS.pseudonym("study-1", learner)
    assert KEYS.pseudonym("study-1", learner) != KEYS.pseudonym("study-2", learner)


@given(st.binary(), st.text())
def test_open_undoes_seal(plain: bytes, place: str) -> None:
    assert KEYS.decrypt(place, KEYS.encrypt(place, plain)) == plain


def test_a_sealed_value_moved_or_altered_does_not_open() -> None:
    sealed = KEYS.encrypt("aggregate:a", b"secret")
    with pytest.raises(DecryptionFailed):
        KEYS.decrypt("aggregate:b", sealed)
    with pytest.raises(DecryptionFailed):
        organisation("other").decrypt("aggregate:a", sealed)
    for place in (0, 13, len(sealed) - 1):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises(DecryptionFailed):
            KEYS.decrypt("aggregate:a", bytes(altered))
    with pytest.raises(DecryptionFailed):
        KEYS.decrypt("aggregate:a", b"")


@pytest.mark.parametrize(("length", "count"), [(1_000_000, 40), (MAX_REMEMBERED_LENGTH + 1, 5_000)])
def test_the_token_of_a_long_text_is_made_anew_and_leaves_nothing_behind(length: int, count: int) -> None:
    index = IndexKey(1, b"k" * KEY_BYTES)
    tracemalloc.start()
    made = {index.token("agent", f"{number:0{length}}") for number in range(count)}
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made) == count
    assert index.token("agent", f"{0:0{length}}") in made
    # The tokens themselves, in the set.
    assert kept < count * 200 + 500_000


def test_the_texts_at_hand_are_bounded_in_bytes_whatever_they_hold() -> None:
    index = IndexKey(1, b"k" * KEY_BYTES)
    tracemalloc.start()
    for number in range(REMEMBERED + 1_000):
        index.token("agent", "\U0001f600" * (MAX_REMEMBERED_LENGTH - 8) + f"{number:08}")
    kept, _ = tracemalloc.get_traced_memory()
    assert kept < 32 * 1024 * 1024
    index.forget()
    assert tracemalloc.get_traced_memory()[0] < 1_000_000
    tracemalloc.stop()
