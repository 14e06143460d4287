"""The passphrase-protected copy of the keys."""

from __future__ import annotations

import hashlib
import os
import unicodedata

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import KeyBackupRefused
from app.crypto import key_backup

WORDS = "correct horse battery"
AT = "2026-11-24T08:00:00Z"


def sealed(content: bytes = b'{"keys": []}', passphrase: str = WORDS) -> bytes:
    return key_backup.encrypt(content, passphrase, AT, os.urandom, cost=2)


@settings(deadline=None)
@given(content=st.binary(max_size=2_000), passphrase=st.text())
def test_what_is_sealed_opens_with_its_passphrase(content: bytes, passphrase: str) -> None:
    assert key_backup.decrypt(sealed(content, passphrase), passphrase) == content


@settings(deadline=None)
@given(one=st.text(), other=st.text())
def test_no_other_passphrase_opens_it(one: str, other: str) -> None:
    if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other):
        assert key_backup.decrypt(sealed(passphrase=one), other)
    else:
        with pytest.raises(KeyBackupRefused, match="passphrase"):
            key_backup.decrypt(sealed(passphrase=one), other)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_cut_file_is_refused(data: st.DataObject) -> None:
    whole = sealed().rstrip()
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(KeyBackupRefused, match=r"not a copy"):
        key_backup.decrypt(whole[:length], WORDS)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_an_altered_file_never_gives_anything_else(data: st.DataObject) -> None:
    whole = sealed()
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    altered = whole[:place] + bytes([byte]) + whole[place + 1 :]
    try:
        found = key_backup.decrypt(altered, WORDS)
    except KeyBackupRefused:
        return
    # Space between the words of JSON, and nothing else.
    assert found == b'{"keys": []}'
    assert orjson.loads(altered) == orjson.loads(whole)


@settings(deadline=None)
@given(
    noise=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["format", "version", "kdf", "cipher", "sealed", "digest", "x"]), inner, max_size=6
            )
        ),
        max_leaves=8,
    ).map(orjson.dumps)
)
def test_anything_else_is_refused(noise: bytes) -> None:
    with pytest.raises(KeyBackupRefused):
        key_backup.decrypt(noise, WORDS)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"version": 2}, "later version"),
        ({"created": "2020-01-01T00:00:00Z"}, "passphrase"),
        ({"kdf": {"name": "scrypt", "n": 1 << 30, "r": 8, "p": 1, "salt": "AAAA"}}, "says nothing"),
        ({"kdf": {"name": "argon2", "n": 2, "r": 8, "p": 1, "salt": "AAAA"}}, "says nothing"),
        ({"kdf": []}, "says nothing"),
        ({"sealed": "!"}, "says nothing"),
        ({"sealed": "AAAA"}, "passphrase"),
    ],
)
def test_an_alteration_with_a_fitting_digest_is_refused(changed: dict[str, object], said: str) -> None:
    document = {**orjson.loads(sealed()), **changed}
    del document["digest"]
    document["digest"] = hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()
    with pytest.raises(KeyBackupRefused, match=said):
        key_backup.decrypt(orjson.dumps(document), WORDS)


def test_nothing_of_the_keys_stands_in_clear_and_two_copies_differ() -> None:
    content = b'{"keys": "' + b"secret" * 20 + b'"}'
    assert b"secret" not in sealed(content)
    assert orjson.loads(sealed(content))["sealed"] != orjson.loads(sealed(content))["sealed"]


def test_the_cost_is_what_the_page_says() -> None:
    assert orjson.loads(key_backup.encrypt(b"", WORDS, AT, os.urandom))["kdf"]["n"] == 131_072
