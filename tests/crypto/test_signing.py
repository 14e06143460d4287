"""Signed documents: what is signed verifies, and nothing else does."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import SignatureRefused
from app.crypto.signing import Signer, parse_public_key, verified, verify

SIGNER = Signer(bytes(range(32)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_the_signature_is_that_of_rfc_8032() -> None:
    # Section 7.1, test 2.
    signer = Signer(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert signer.public_key.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert signer.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@given(st.dictionaries(st.text(), VALUES))
def test_what_is_signed_comes_back(content: dict[str, object]) -> None:
    document = SIGNER.signed("sillage-test", content)
    assert verified(document, parse_public_key(SIGNER.pem.encode())) == ("sillage-test", content)


def test_white_space_and_the_order_of_members_do_not_matter() -> None:
    document = orjson.loads(SIGNER.signed("sillage-test", {"a": 1, "b": 2}))
    turned = orjson.dumps(dict(reversed(document.items())))
    assert verified(turned, SIGNER.public_key).content == {"a": 1, "b": 2}


@pytest.mark.parametrize("member", ["content", "format", "key", "signature", "version"])
def test_an_altered_member_is_refused(member: str) -> None:
    document = orjson.loads(SIGNER.signed("sillage-test", {"statements": 12}))
    other = {"content": {"statements": 13}, "format": "other", "key": "0" * 16, "version": 2}
    other["signature"] = base64.b64encode(bytes(64)).decode()
    with pytest.raises(SignatureRefused):
        verified(orjson.dumps({**document, member: other[member]}), SIGNER.public_key)
    with pytest.raises(SignatureRefused):
        verified(orjson.dumps({name: part for name, part in document.items() if name != member}), SIGNER.public_key)


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b"null", b'"x"', b"\xff", b"{" * 10_000])
def test_what_is_no_signed_document_is_refused(document: bytes) -> None:
    with pytest.raises(SignatureRefused):
        verified(document, SIGNER.public_key)


def test_another_key_does_not_verify() -> None:
    other = Signer(os.urandom(32))
    with pytest.raises(SignatureRefused, match="another key"):
        verified(SIGNER.signed("sillage-test", {}), other.public_key)
    assert not verify(other.public_key, b"x", SIGNER.sign(b"x"))
    assert verify(SIGNER.public_key, b"x", SIGNER.sign(b"x"))


def test_a_public_key_of_another_kind_is_refused() -> None:
    rsa = generate_private_key(65_537, 2_048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for pem in (b"", b"no key", rsa):
        with pytest.raises(SignatureRefused):
            parse_public_key(pem)


def test_openssl_verifies_it_too(tmp_path: Path) -> None:
    document = orjson.loads(SIGNER.signed("sillage-test", {"é": [1, "ç"]}))
    signature = base64.b64decode(document.pop("signature"))
    (tmp_path / "key.pem").write_text(SIGNER.pem)
    (tmp_path / "signature").write_bytes(signature)
    (tmp_path / "content").write_bytes(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "content"]
    try:
        done = subprocess.run([*command, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no openssl here")
    assert done.returncode == 0, done.stderr
