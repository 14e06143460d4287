"""Signed statements whose certificates are as slow to verify as keys of RSA may be."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from math import gcd
from typing import Any

import jwt
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.costs.meter import PERSON
from tests.multiparts import body_of, part_of, sha2_of

_CHAIN = 10
# OpenSSL takes a long exponent with moduli of up to 3,072 bits only.
_BITS = 3_072


@cache
def _heavy_key() -> rsa.RSAPrivateKey:
    usual = rsa.generate_private_key(65_537, _BITS).private_numbers()
    p, q = usual.p, usual.q
    modulus, order = p * q, (p - 1) * (q - 1)
    exponent = modulus >> 2 | 1
    while gcd(exponent, order) != 1:
        exponent += 2
    secret = pow(exponent, -1, order)
    public = rsa.RSAPublicNumbers(exponent, modulus)
    return rsa.RSAPrivateNumbers(
        p, q, secret, rsa.rsa_crt_dmp1(secret, p), rsa.rsa_crt_dmq1(secret, q), rsa.rsa_crt_iqmp(p, q), public
    ).private_key()


@cache
def _certificate() -> str:
    key = _heavy_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ent.example")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=3_650))
    signed = made.sign(key, hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.DER)).decode()


def _signed(place: int) -> tuple[dict[str, Any], bytes]:
    statement: dict[str, Any] = {
        "actor": PERSON,
        "verb": {"id": "https://ent.example/verbs/signed"},
        "object": {"id": f"https://ent.example/signed/{place}"},
    }
    # The issuer of each is itself: as many verifications as a chain may have, with one certificate.
    token = jwt.PyJWS().encode(
        orjson.dumps(statement), _heavy_key(), algorithm="RS256", headers={"x5c": [_certificate()] * _CHAIN}
    )
    data = token.encode()
    attachment = {
        "usageType": "http://adlnet.gov/expapi/attachments/signature",
        "display": {"en": "Signature"},
        "contentType": "application/octet-stream",
        "length": len(data),
        "sha2": sha2_of(data),
    }
    return {**statement, "attachments": [attachment]}, data


def signed_batch(count: int) -> bytes:
    """A multipart body of so many signed statements."""
    made = [_signed(place) for place in range(count)]
    return body_of(
        [each for each, _ in made], *(part_of(data, Content_Type="application/octet-stream") for _, data in made)
    )
