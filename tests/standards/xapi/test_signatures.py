"""Signed statements: what is accepted, and each reason to refuse."""

from __future__ import annotations

import base64
import math
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import NameOID

from app.standards.xapi.attachments import SIGNATURE, declared
from app.standards.xapi.signatures import signature_faults

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY, OTHER = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
STATEMENT: dict[str, Any] = {
    "id": "00000000-0000-4000-8000-00000000000a",
    "actor": {"mbox": "mailto:a@example.fr"},
    "verb": {"id": "https://example.fr/v"},
    "object": {"id": "https://example.fr/a"},
    "result": {"duration": "PT1.234S"},
}


def _certificate(subject: str, key: Any, issuer: str, signer: Any) -> str:
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (subject, issuer)]
    made = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(signer, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()


def _of_an_unknown_curve() -> str:
    """A certificate whose key is on a curve that nobody implements: its object identifier is altered in place."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = base64.b64decode(_certificate("exotic", key, "exotic", key))
    return base64.b64encode(der.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d03017f"))).decode()


EXOTIC = _of_an_unknown_curve()


def _long_exponent() -> rsa.RSAPrivateKey:
    """A key that works, with a public exponent of 2,000 bits: verifying by it takes a hundred times as long."""
    numbers = OTHER.private_numbers()
    p, q, e = numbers.p, numbers.q, (1 << 2_000) + 1
    order = math.lcm(p - 1, q - 1)
    while math.gcd(e, order) > 1:
        e += 2
    d = pow(e, -1, order)
    public = rsa.RSAPublicNumbers(e, p * q)
    made = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), numbers.iqmp, public)
    return made.private_key(unsafe_skip_rsa_key_validation=True)


SLOW, OLD = _long_exponent(), dsa.generate_private_key(1024)
OF_SLOW, OF_OLD = _certificate("leaf", KEY, "slow", SLOW), _certificate("leaf", KEY, "old", OLD)
SLOW_ROOT, OLD_ROOT = _certificate("slow", SLOW, "slow", SLOW), _certificate("old", OLD, "old", OLD)
LEAF, ROOT = _certificate("leaf", KEY, "root", OTHER), _certificate("root", OTHER, "root", OTHER)


def _faults(token: str | bytes, **changes: Any) -> list[str]:
    attachment = {
        "usageType": SIGNATURE,
        "display": {"en": "Signature"},
        "contentType": "application/octet-stream",
        "length": 1,
        "sha2": "0" * 64,
    }
    statement = {**STATEMENT, **changes, "attachments": [attachment]}
    data = token if isinstance(token, bytes) else token.encode()
    faults = signature_faults(data, [(declared([statement], many=False)[0], statement)])
    assert all(fault.section == "xAPI-Data 2.6" and fault.pointer == "/attachments/0" for fault in faults)
    return [fault.rule for fault in faults]


def _signed(payload: Any = STATEMENT, algorithm: str = "RS256", key: Any = KEY, **header: Any) -> str:
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return jwt.PyJWS(algorithms=["RS256", "RS384", "RS512", "HS256", "ES256", "none"]).encode(
        body, key, algorithm=algorithm, headers=header
    )


def _raw(header: bytes, value: bytes = b"v" * 256) -> str:
    """A token that no library would make."""
    return ".".join(
        base64.urlsafe_b64encode(each).decode().rstrip("=") for each in (header, orjson.dumps(STATEMENT), value)
    )


def _nested(levels: int) -> bytes:
    """A statement about a statement about a statement…"""
    start = b'{"actor":{"mbox":"mailto:a@example.fr"},"verb":{"id":"x:v"},"objectType":"SubStatement","object":'
    return start * levels + b'{"id":"x:a"}' + b"}" * levels


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
@pytest.mark.parametrize("header", [{}, {"x5c": [LEAF]}, {"x5c": [LEAF, ROOT]}])
def test_signatures_of_the_statement_are_accepted(algorithm: str, header: dict[str, Any]) -> None:
    assert _faults(_signed(algorithm=algorithm, **header)) == []


def test_durations_are_compared_to_a_hundredth_of_a_second() -> None:
    signed = _signed({**STATEMENT, "result": {"duration": "PT1.239S"}})
    assert _faults(signed) == []
    assert _faults(_signed({**STATEMENT, "result": {"duration": "PT1.24S"}})) == ["signature-content"]


@pytest.mark.parametrize(
    ("token", "rule"),
    [
        (_signed(algorithm="HS256", key="k" * 32), "signature-algorithm"),
        (_signed(algorithm="ES256", key=ec.generate_private_key(ec.SECP256R1())), "signature-algorithm"),
        (_signed(algorithm="none", key=None), "signature-algorithm"),
        (_signed(key=OTHER, x5c=[LEAF, ROOT]), "signature-value"),
        (_signed(x5c=[LEAF, LEAF]), "signature-chain"),
        (_signed(x5c=[ROOT, LEAF]), "signature-chain"),
        (_signed(x5c=[]), "signature-chain"),
        (_signed(x5c="no list"), "signature-chain"),
        (_signed(x5c=[7]), "signature-chain"),
        (_signed(x5c=["AAAA"]), "signature-chain"),
        (_signed(x5c=[LEAF] * 11), "signature-chain"),
        (_signed({**STATEMENT, "verb": {"id": "https://example.fr/other"}}), "signature-content"),
        (_signed({**STATEMENT, "id": "00000000-0000-4000-8000-00000000000b"}), "signature-content"),
        (_signed([STATEMENT]), "signature-content"),
        (_signed({}), "signature-content"),
        (_signed(7), "signature-content"),
        (_signed(b"{"), "signature-form"),
        (_signed(x5c=[EXOTIC]), "signature-chain"),
        (_signed(key=SLOW, x5c=[SLOW_ROOT]), "signature-chain"),
        (_signed(x5c=[OF_SLOW, SLOW_ROOT]), "signature-chain"),
        (_signed(x5c=[OF_OLD, OLD_ROOT]), "signature-chain"),
        (_signed(x5c=["A" * 100_000]), "signature-chain"),
        (_signed(_nested(1_015)), "signature-content"),
        (_raw(b'{"alg":"RS256","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "signature-form"),
        (_raw(b'{"alg":"RS256"}', value=b""), "signature-value"),
        (_raw(b'{"alg":"RS256"}', value=b"v" * 127), "signature-value"),
        (b"", "signature-form"),
        (b"a.b", "signature-form"),
        (b"\xff.\xff.\xff", "signature-form"),
    ],
)
def test_others_are_refused_with_their_reason(token: str | bytes, rule: str) -> None:
    assert _faults(token) == [rule]


def test_a_value_changed_after_signing_is_noticed_with_a_certificate() -> None:
    head, body, value = _signed(x5c=[LEAF, ROOT]).split(".")
    raw = bytearray(base64.urlsafe_b64decode(value + "=="))
    raw[0] ^= 1
    changed = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert _faults(f"{head}.{body}.{changed}") == ["signature-value"]


def test_a_signature_is_verified_once_however_many_statements_declare_it() -> None:
    # 1.5 MB of spaces around a small statement, which a thousand others want to have been signed.
    token = _signed(orjson.dumps(STATEMENT) + b" " * 1_500_000, x5c=[LEAF, ROOT]).encode()
    attachment = {
        "usageType": SIGNATURE,
        "display": {"en": "Signature"},
        "contentType": "application/octet-stream",
        "length": 1,
        "sha2": "0" * 64,
    }
    statements = [{**STATEMENT, "attachments": [attachment]} for _ in range(1_000)]
    signed = [(each, statements[each.statement]) for each in declared(statements, many=True)]
    before = time.process_time()
    assert signature_faults(token, signed) == []
    assert time.process_time() - before < 3


def test_the_largest_chain_that_is_verified_costs_little() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    token = _signed(key=key, x5c=[_certificate("a", key, "a", key)] * 10)
    before = time.process_time()
    for _ in range(50):
        assert _faults(token) == []
    assert time.process_time() - before < 2
