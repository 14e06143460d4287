"""Keys by purpose: no root key does anything itself, nothing is sealed twice with one key, cursors grow old."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import BadCursor, DecryptionFailed
from app.crypto import keys as rules
from app.crypto import purposes
from app.crypto.keys import CURSOR_DAYS, AuditKey, AuditKeys, Current, OrganisationKeys, first_generations, sealed_by
from app.crypto.purposes import EncryptionKey, EncryptionKeys, MacKey, derived

ROOTS = {purpose: bytes([number]) * 32 for number, purpose in enumerate(OrganisationKeys.PURPOSES, 1)}
KEYS = OrganisationKeys("org", ROOTS, os.urandom)
DAY = 20_000


def of_generations(writing: int, other: int | None = None) -> OrganisationKeys:
    """Keys in the midst of rotations: each generation has a root of its own."""

    def key(number: int) -> EncryptionKey:
        return EncryptionKey(number, bytes([100 + number]) * 32, "org")

    present = Current(
        first_generations("org", ROOTS).index,
        EncryptionKeys(key(writing), None if other is None else key(other)),
        first_generations("org", ROOTS).audit,
    )
    return OrganisationKeys("org", ROOTS, os.urandom, lambda: present)


def test_what_is_derived_is_that_of_the_standard() -> None:
    """RFC 5869: T(1) = HMAC(PRK, info || 0x01), PRK = HMAC(salt of zeros, root)."""
    extracted = hmac.digest(bytes(32), ROOTS["macs"], "sha256")
    expected = hmac.digest(extracted, b"sillage/1\0seal:case\0org\x01", "sha256")
    assert derived(ROOTS["macs"], "org", "seal:case") == expected


def test_keys_differ_by_root_purpose_and_organisation() -> None:
    purposes_used = ("seal:case", "seal:activity", "seal:cursor:20000", "seal:cursor:20001", "mac:case", "mac:audit")
    made = {
        derived(root, organisation, purpose)
        for root in ROOTS.values()
        for organisation in ("org", "other")
        for purpose in purposes_used
    }
    assert len(made) == len(ROOTS) * 2 * len(purposes_used)
    assert made.isdisjoint(ROOTS.values())


def test_no_root_is_a_key_of_aes_or_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key that seals or makes a MAC, caught where it is used: none is a root, and none does both."""
    sealing, macs = set(), set()
    digest = hmac.digest

    def aes(key: bytes) -> AESGCM:
        sealing.add(key)
        return AESGCM(key)

    def mac(key: bytes, message: bytes, name: str) -> bytes:
        macs.add(key)
        return digest(key, message, name)

    monkeypatch.setattr(purposes, "AESGCM", aes)
    monkeypatch.setattr(purposes.hmac, "digest", mac)
    for place in ("case:1", "activity:aa", "aggregate-part:x", "document:00:body"):
        KEYS.decrypt(place, KEYS.encrypt(place, b"x"))
    KEYS.decrypt_cursor("cursor:c", KEYS.encrypt_cursor("cursor:c", b"x", DAY), DAY)
    KEYS.mac("tombstone", b"x")
    KEYS.named("agent", "x")
    KEYS.audit_mac(b"x")
    assert sealing and macs
    assert sealing.isdisjoint(macs)
    assert (sealing | macs).isdisjoint(ROOTS.values())


def test_no_two_values_are_sealed_with_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def aes(key: bytes) -> AESGCM:
        seen.append(key)
        return AESGCM(key)

    monkeypatch.setattr(purposes, "AESGCM", aes)
    for _ in range(500):
        KEYS.encrypt("case:1", b"the same")
        KEYS.encrypt_cursor("cursor:c", b"the same", DAY)
    assert len(set(seen)) == len(seen) == 1_000


@given(st.binary(max_size=200), st.text(max_size=20), st.integers(0, 100_000))
def test_open_cursor_undoes_seal_cursor(plain: bytes, place: str, day: int) -> None:
    cursor = KEYS.encrypt_cursor(place, plain, day)
    assert KEYS.decrypt_cursor(place, cursor, day) == plain
    assert cursor.isascii() and not set("+/=&?#%") & set(cursor)


@pytest.mark.parametrize("later", range(CURSOR_DAYS + 1))
def test_a_cursor_goes_on_for_days(later: int) -> None:
    assert KEYS.decrypt_cursor("c", KEYS.encrypt_cursor("c", b"x", DAY), DAY + later) == b"x"


def test_one_of_a_host_whose_clock_is_ahead_goes_on() -> None:
    assert KEYS.decrypt_cursor("c", KEYS.encrypt_cursor("c", b"x", DAY), DAY - 1) == b"x"


def test_an_old_cursor_is_refused_and_says_so() -> None:
    cursor = KEYS.encrypt_cursor("c", b"x", DAY)
    with pytest.raises(BadCursor, match="more than 7 days old"):
        KEYS.decrypt_cursor("c", cursor, DAY + CURSOR_DAYS + 1)


def test_a_cursor_given_another_day_does_not_open() -> None:
    import base64

    cursor = KEYS.encrypt_cursor("c", b"x", DAY)
    sealed = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    sealed[2:6] = (DAY + 5).to_bytes(4, "big")
    with pytest.raises(DecryptionFailed):
        KEYS.decrypt_cursor("c", base64.urlsafe_b64encode(bytes(sealed)).decode(), DAY + 5)


@pytest.mark.parametrize(
    "cursor", ["", "A", "AAAA", "AAEAAE4g", "!!!", "é", "AAEAAE4g" * 4, "_" * 400, "AAAAAE4g" + "A" * 80]
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(DecryptionFailed):
        KEYS.decrypt_cursor("c", cursor, DAY)


def test_during_a_rotation_both_open_and_the_one_in_force_seals() -> None:
    old, both, new = of_generations(1), of_generations(2, 1), of_generations(2)
    one, two = old.encrypt("case:1", b"x"), both.encrypt("case:1", b"y")
    assert (sealed_by(one), sealed_by(two), sealed_by(b"")) == (1, 2, 0)
    assert (both.decrypt("case:1", one), both.decrypt("case:1", two), new.decrypt("case:1", two)) == (b"x", b"y", b"y")
    given_out = of_generations(1, 2)
    assert (given_out.documents.writing.generation, given_out.decrypt("case:1", two)) == (1, b"y")
    for keys, sealed in ((old, two), (new, one)):
        with pytest.raises(DecryptionFailed):
            keys.decrypt("case:1", sealed)
    with pytest.raises(DecryptionFailed):
        both.decrypt("case:1", two[:1] + b"\x01" + two[2:])


def test_a_cursor_of_a_key_that_was_replaced_says_so() -> None:
    cursor = of_generations(1).encrypt_cursor("c", b"x", DAY)
    assert of_generations(2, 1).decrypt_cursor("c", cursor, DAY) == b"x"
    with pytest.raises(BadCursor, match="was replaced"):
        of_generations(2).decrypt_cursor("c", cursor, DAY)


def test_an_old_audit_key_proves_what_it_wrote_and_nothing_later() -> None:
    old = AuditKey(1, 1_000, MacKey(b"1" * 32, "org"))
    new = AuditKey(2, None, MacKey(b"2" * 32, "org"))
    both = AuditKeys(new, (new, old))
    assert both.genuine(1_000, b"entry", old.mac(b"entry"))
    assert not both.genuine(1_001, b"entry", old.mac(b"entry"))
    assert both.genuine(1_001, b"entry", new.mac(b"entry"))
    assert not both.genuine(1_000, b"other", old.mac(b"entry"))


@pytest.mark.parametrize("seal", [lambda: KEYS.encrypt("case:1", b""), lambda: KEYS.encrypt("case:1", bytes(1_000))])
def test_lengths_are_what_the_pages_say(seal: Callable[[], bytes]) -> None:
    assert len(seal()) < 2 + 24 + 16 + 40
    assert rules.CURSOR_DAYS == 7
