"""Sealing statement bodies by the batch."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from app.crypto.bodies import DICTIONARIES, LATEST, Bodies, format_of
from tests import formats
from tests.formats import FORMER

FILES = formats.dictionaries()
BODIES = Bodies("default", FILES, os.urandom)
FORMERLY = Bodies("default", FILES, os.urandom, writing=FORMER)
KEY = AESGCM(bytes(32))


@given(st.lists(st.tuples(st.uuids(), st.binary())))
def test_open_undoes_seal_for_a_whole_batch(items: list[tuple[UUID, bytes]]) -> None:
    keys = [KEY] * len(items)
    sealed = BODIES.encrypt(items, keys)
    again = [(id, body) for (id, _), body in zip(items, sealed, strict=True)]
    assert list(BODIES.decrypt(again, keys)) == [plain for _, plain in items]


def test_a_body_does_not_open_for_another_statement_organisation_or_learner() -> None:
    id = uuid4()
    (sealed,) = BODIES.encrypt([(id, b"{}")], [KEY])
    for bodies, owner, key in (
        (BODIES, uuid4(), KEY),
        (Bodies("other", FILES, os.urandom), id, KEY),
        (BODIES, id, AESGCM(bytes(31) + b"1")),
    ):
        assert list(bodies.decrypt([(owner, sealed)], [key])) == [None]


def test_every_byte_of_a_body_counts() -> None:
    id = uuid4()
    (sealed,) = BODIES.encrypt([(id, b'{"a":1}')], [KEY])
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        assert list(BODIES.decrypt([(id, bytes(altered)), (id, sealed)], [KEY, KEY])) == [None, b'{"a":1}']


def test_the_same_statement_sealed_twice_looks_different() -> None:
    id = uuid4()
    assert BODIES.encrypt([(id, b"{}")], [KEY]) != BODIES.encrypt([(id, b"{}")], [KEY])


def test_threads_share_one_instance() -> None:
    def turn(number: int) -> bool:
        id = uuid4()
        plain = str(number).encode() * 500
        (sealed,) = BODIES.encrypt([(id, plain)], [KEY])
        return next(BODIES.decrypt([(id, sealed)], [KEY])) == plain

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(turn, range(400)))


@given(st.lists(st.tuples(st.uuids(), st.binary(), st.booleans())))
def test_bodies_of_every_format_open_side_by_side(items: list[tuple[UUID, bytes, bool]]) -> None:
    sealed = [(id, (FORMERLY if former else BODIES).encrypt([(id, plain)], [KEY])[0]) for id, plain, former in items]
    assert [format_of(body) for _, body in sealed] == [FORMER if former else LATEST for *_, former in items]
    for bodies in (BODIES, FORMERLY):
        assert list(bodies.decrypt(sealed, [KEY] * len(sealed))) == [plain for _, plain, _ in items]


def test_a_body_does_not_pass_for_one_of_another_format() -> None:
    id = uuid4()
    (sealed,) = FORMERLY.encrypt([(id, b"{}")], [KEY])
    assert list(BODIES.decrypt([(id, bytes([LATEST]) + sealed[1:])], [KEY])) == [None]


def test_a_format_that_is_not_known_does_not_open() -> None:
    id = uuid4()
    (sealed,) = BODIES.encrypt([(id, b"{}")], [KEY])
    alone = Bodies("default", {FORMER: FILES[FORMER]}, os.urandom, writing=FORMER)
    assert list(alone.decrypt([(id, sealed), (id, b"")], [KEY, KEY])) == [None, None]
    assert format_of(b"") == 0


def test_what_is_written_is_the_newest_format_that_ships() -> None:
    assert max(DICTIONARIES) == LATEST
    (sealed,) = Bodies("default", FILES, os.urandom).encrypt([(uuid4(), b"{}")], [KEY])
    assert format_of(sealed) == LATEST


def test_a_body_moved_to_another_key_keeps_its_format() -> None:
    id, other = uuid4(), AESGCM(bytes(31) + b"1")
    (sealed,) = FORMERLY.encrypt([(id, b"{}")], [KEY])
    (moved,) = BODIES.moved([(id, sealed)], [KEY], [other])
    assert moved is not None
    assert format_of(moved) == FORMER
    assert list(BODIES.decrypt([(id, moved)], [other])) == [b"{}"]
