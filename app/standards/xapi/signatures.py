"""Signed statements (xAPI-Data 2.6): a JSON Web Signature, as an attachment, over the statement without it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import jwt
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.core import lossless
from app.core.errors import Fault
from app.standards.xapi import Statement
from app.standards.xapi.attachments import SIGNATURE, Declared
from app.standards.xapi.content import content_fingerprint

SECTION = "xAPI-Data 2.6"
_ALGORITHMS = ["RS256", "RS384", "RS512"]
_MAX_CHAIN_LENGTH = 10
# In base64; certificates have one to four thousand.
_MAX_CERTIFICATE_LENGTH = 24 * 1024
_MAX_KEY_LENGTH = 8_192
_MAX_EXPONENT_LENGTH = 33
# Of a key of 1,024 bits, as in the example of xAPI-Data, Appendix D; RFC 7518 3.3 asks for twice that.
_MIN_VALUE_LENGTH = 128
_JWS = jwt.PyJWS(algorithms=_ALGORITHMS)


def signature_faults(data: bytes, signed: Sequence[tuple[Declared, Statement]]) -> list[Fault]:
    """The faults of a signature: its form, its algorithm, its certificates, what it signs.

    A signature without certificates (``x5c``) is held for its form and content: there is no key to verify it with.
    Nor is it asked here whether somebody trusts the certificates: a reader of the statement decides that.

    Args:
        data: A JWS in compact serialisation. It is verified once, however many statements declare it.
        signed: Each attachment that is this signature, with its statement, as sent or normalised.
    """
    try:
        opened, content = _opened(data)
    except _Refused as refused:
        return [_fault(each, refused.rule, refused.words) for each, _ in signed]
    if len(opened["signature"]) < _MIN_VALUE_LENGTH:
        words = "The signature is shorter than any that an RSA key of 1,024 bits makes."
        return [_fault(each, "value", words) for each, _ in signed]
    words = "What is signed is not this statement without its signature."
    whole = _Signed(content)
    return [_fault(each, "content", words) for each, statement in signed if not whole.is_of(statement)]


class _Refused(Exception):
    """A signature that is none, whatever it signs: the rule that it breaks, and what is wrong."""

    def __init__(self, rule: str, words: str) -> None:
        self.rule = rule
        self.words = words


def _opened(data: bytes) -> tuple[dict[str, Any], Any]:
    """A signature that its certificate, if it has one, verifies; and what it signs."""
    try:
        token = data.decode("ascii")
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in _ALGORITHMS:
            raise _Refused("algorithm", "The signature must use RS256, RS384 or RS512.")
        key = _leaf_key(header["x5c"]) if "x5c" in header else None
        if key is None:
            opened = _JWS.decode_complete(token, options={"verify_signature": False})
        else:
            opened = _JWS.decode_complete(token, key, algorithms=_ALGORITHMS)
        return opened, lossless.loads(opened["payload"])
    except jwt.InvalidSignatureError:
        words = "The signature is not one of its content by the key of its certificate."
        raise _Refused("value", words) from None
    except _BadChain:
        words = (
            f"`x5c` must be a chain of at most {_MAX_CHAIN_LENGTH} certificates, each signed by the next; the first "
            f"has an RSA key, and none an unusual key: RSA has at most {_MAX_KEY_LENGTH:,} bits, its exponent 33."
        )
        raise _Refused("chain", words) from None
    except (ValueError, jwt.PyJWTError, UnsupportedAlgorithm, RecursionError):
        # Whatever the libraries find wrong with bytes that anybody can send.
        words = "The signature must be a JWS in compact serialisation, of the statement's JSON."
        raise _Refused("form", words) from None


class _BadChain(Exception):
    pass


def _leaf_key(chain: object) -> RSAPublicKey:
    # RFC 7515 4.1.6: the first certificate has the key; each is certified by the one that follows.
    if not isinstance(chain, list) or not 0 < len(chain) <= _MAX_CHAIN_LENGTH:
        raise _BadChain
    try:
        if any(len(each) > _MAX_CERTIFICATE_LENGTH for each in chain):
            raise _BadChain
        certificates = [x509.load_der_x509_certificate(base64.b64decode(each, validate=True)) for each in chain]
        # Before anything is verified: to verify by the key that its sender chose may take as long as he likes.
        keys = [certificate.public_key() for certificate in certificates]
        if not all(map(_usual, keys)):
            raise _BadChain
        for certificate, issuer in pairwise(certificates):
            certificate.verify_directly_issued_by(issuer)
        key = keys[0]
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion) as refused:
        raise _BadChain from refused
    if not isinstance(key, RSAPublicKey):
        raise _BadChain
    return key


def _usual(key: object) -> bool:
    """True if a public key is of a kind and size that certificates have, so that verifying by it costs little."""
    if isinstance(key, RSAPublicKey):
        # FIPS 186-5 A.1.1 bounds the exponent too; 65,537 is nearly everybody's, and the cost grows with its length.
        return key.key_size <= _MAX_KEY_LENGTH and key.public_numbers().e.bit_length() <= _MAX_EXPONENT_LENGTH
    return isinstance(key, EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey)


class _Signed:
    """The statement that a signature signs, to be compared with others."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._print: object = None

    def is_of(self, statement: Statement) -> bool:
        """True if it is this statement without its signature."""
        plain = _unsigned(statement)
        try:
            if "id" in self._content and "id" in plain and self._content["id"].lower() != plain["id"].lower():
                return False
            if self._print is None:
                self._print = content_fingerprint(self._content)
            return self._print == content_fingerprint(plain)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            # Not even a statement.
            return False


def _unsigned(statement: Statement) -> dict[str, Any]:
    kept = [each for each in statement.get("attachments", ()) if each["usageType"] != SIGNATURE]
    plain = {name: part for name, part in statement.items() if name != "attachments"}
    if kept:
        plain["attachments"] = kept
    return plain


def _fault(each: Declared, rule: str, message: str) -> Fault:
    # xAPI-Data 2.6: the LRS MUST reject requests to store Statements that contain malformed signatures.
    return Fault(each.pointer, f"signature-{rule}", SECTION, message)
