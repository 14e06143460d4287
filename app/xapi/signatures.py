"""Signed statements (xAPI-Data 2.6): a JSON Web Signature, as an attachment, over the statement without it."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import jwt
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app import lossless
from app.errors import Fault
from app.xapi import Statement
from app.xapi.attachments import SIGNATURE, Declared
from app.xapi.content import content_print

SECTION = "xAPI-Data 2.6"
_ALGORITHMS = ["RS256", "RS384", "RS512"]
_LONGEST_CHAIN = 10
# Of a key of 1,024 bits, as in the example of xAPI-Data, Appendix D; RFC 7518 3.3 asks for twice that.
_SHORTEST_VALUE = 128
_JWS = jwt.PyJWS(algorithms=_ALGORITHMS)


def signature_faults(each: Declared, data: bytes, statement: Statement) -> list[Fault]:
    """What is wrong with a signature: its form, its algorithm, its certificates, what it signs.

    A signature without certificates (``x5c``) is held for its form and content: there is no key to verify it with.
    Nor is it asked here whether somebody trusts the certificates: a reader of the statement decides that.

    Args:
        each: The attachment that is the signature.
        data: Its data: a JWS in compact serialisation.
        statement: The statement, as sent or normalised.
    """
    try:
        token = data.decode("ascii")
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in _ALGORITHMS:
            return [_fault(each, "algorithm", "The signature must use RS256, RS384 or RS512.")]
        key = _leaf_key(header["x5c"]) if "x5c" in header else None
        if key is None:
            opened = _JWS.decode_complete(token, options={"verify_signature": False})
        else:
            opened = _JWS.decode_complete(token, key, algorithms=_ALGORITHMS)
        signed = lossless.loads(opened["payload"])
    except jwt.InvalidSignatureError:
        return [_fault(each, "value", "The signature is not one of its content by the key of its certificate.")]
    except _BadChain:
        return [_fault(each, "chain", "`x5c` must be a chain of certificates, each signed by the next, of RSA keys.")]
    except (ValueError, jwt.PyJWTError, UnsupportedAlgorithm, RecursionError):
        # Whatever the libraries find wrong with bytes that anybody can send.
        return [_fault(each, "form", "The signature must be a JWS in compact serialisation, of the statement's JSON.")]
    if len(opened["signature"]) < _SHORTEST_VALUE:
        return [_fault(each, "value", "The signature is shorter than any that an RSA key of 1,024 bits makes.")]
    if not _same(signed, statement):
        return [_fault(each, "content", "What is signed is not this statement without its signature.")]
    return []


class _BadChain(Exception):
    pass


def _leaf_key(chain: object) -> RSAPublicKey:
    # RFC 7515 4.1.6: the first certificate has the key; each is certified by the one that follows.
    if not isinstance(chain, list) or not 0 < len(chain) <= _LONGEST_CHAIN:
        raise _BadChain
    try:
        certificates = [x509.load_der_x509_certificate(base64.b64decode(each, validate=True)) for each in chain]
        for certificate, issuer in pairwise(certificates):
            certificate.verify_directly_issued_by(issuer)
        key = certificates[0].public_key()
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion) as refused:
        raise _BadChain from refused
    if not isinstance(key, RSAPublicKey):
        raise _BadChain
    return key


def _same(signed: Any, statement: Statement) -> bool:
    kept = [each for each in statement.get("attachments", ()) if each["usageType"] != SIGNATURE]
    plain = {name: part for name, part in statement.items() if name != "attachments"}
    if kept:
        plain["attachments"] = kept
    try:
        if "id" in signed and "id" in plain and signed["id"].lower() != plain["id"].lower():
            return False
        return content_print(signed) == content_print(plain)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        # Not even a statement.
        return False


def _fault(each: Declared, rule: str, message: str) -> Fault:
    # xAPI-Data 2.6: the LRS MUST reject requests to store Statements that contain malformed signatures.
    return Fault(each.pointer, f"signature-{rule}", SECTION, message)
