"""Second factor: codes of an authenticator (TOTP, RFC 6238), and recovery codes for whoever has lost theirs."""

from __future__ import annotations

import base64
import hmac
from datetime import datetime
from typing import Final

import pyotp

from app.core import clock

STEP_SECONDS: Final = 30
SKEW: Final = 1
"""Steps by which the clock of a phone may differ (RFC 6238 5.2)."""
RECOVERY_CODES: Final = 10
_SECRET_BYTES: Final = 20
_DIGITS: Final = 6
_RECOVERY_BYTES: Final = 10
_GROUP: Final = 4


def new_secret() -> str:
    """A secret for an authenticator, base32: 160 bits (RFC 4226 4)."""
    return base64.b32encode(clock.random_bytes(_SECRET_BYTES)).decode()


def step_of(secret: str, code: str, now: datetime, last: int = 0) -> int | None:
    """The step of time whose code it is, later than the last one that was used; None: it is no such code.

    RFC 6238 5.2: a code is taken once.
    """
    typed = "".join(code.split())
    if len(typed) != _DIGITS or not typed.isascii() or not typed.isdigit():
        return None
    totp, current = pyotp.TOTP(secret), int(now.timestamp()) // STEP_SECONDS
    found = None
    for step in range(current - SKEW, current + SKEW + 1):
        if hmac.compare_digest(totp.generate_otp(step), typed) and step > last:
            found = step
    return found


def uri(secret: str, login: str, issuer: str) -> str:
    """The address that an authenticator takes the secret from (Key Uri Format)."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=issuer)


def grouped(secret: str) -> str:
    """A secret as people type it."""
    return " ".join(secret[place : place + _GROUP] for place in range(0, len(secret), _GROUP))


def new_recovery_codes() -> list[str]:
    """Recovery codes: 80 bits each, in letters and digits that are not mistaken for one another."""
    return [_lettered(clock.random_bytes(_RECOVERY_BYTES)) for _ in range(RECOVERY_CODES)]


def recovery_text(typed: str) -> str:
    """A recovery code as it is compared: without blanks and dashes, in lower case."""
    return "".join(sign for sign in typed.lower() if sign.isalnum())


def _lettered(content: bytes) -> str:
    text = base64.b32encode(content).decode().lower()
    return "-".join(text[place : place + _GROUP] for place in range(0, len(text), _GROUP))
