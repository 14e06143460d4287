"""Passwords: which are refused (NIST SP 800-63B 5.1.1.2: no rule of composition), and how they are kept (Argon2id)."""

from __future__ import annotations

import base64
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.core.errors import Fault, Overloaded, PasswordRefused

MIN_CHARACTERS: Final = 12
MAX_CHARACTERS: Final = 256
# OWASP Password Storage Cheat Sheet: Argon2id with 19 MiB, two passes, one lane.
MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1
AT_ONCE: Final = 2
"""Passwords that one worker checks at a time: together they take 38 MiB, however many people sign in."""
WAITING: Final = 2
"""Threads of one worker that wait for their turn; whoever comes then is told at once, so that others are served."""
_WAIT_SECONDS: Final = 10.0
_SALT_BYTES, _HASH_BYTES = 16, 32
_MIN_DIFFERENT = 5
_MIN_PART = 4
_MIN_RUN = 8
_SECTION = "NIST SP 800-63B 5.1.1.2"

_COMMON: Final = Path(__file__).with_name("common_passwords.txt")
_ROWS: Final = ("azertyuiopqsdfghjklmwxcvbn", "qwertyuiopasdfghjklzxcvbnm", "abcdefghijklmnopqrstuvwxyz", "0123456789")


def normalised(password: str) -> str:
    """A password as it is hashed: the same whichever way a keyboard composes its letters (NFKC)."""
    return unicodedata.normalize("NFKC", password)


def require_good(password: str, *names: str) -> None:
    """Refuse a password that is too short, or that somebody would try first.

    Args:
        password: As typed.
        names: What it may not contain: the login, the name of its owner, that of the service.

    Raises:
        PasswordRefused: it is one of these; the rule of the fault says which.
    """
    chosen = normalised(password)
    if len(chosen) < MIN_CHARACTERS:
        raise _refused("password-short", f"A password has {MIN_CHARACTERS} characters at least.")
    # Of what is typed no more is looked at when it is compared.
    if max(len(password), len(chosen)) > MAX_CHARACTERS:
        raise _refused("password-long", f"A password has {MAX_CHARACTERS} characters at most.")
    plain = chosen.casefold()
    if any(part in plain for name in names for part in _parts(name)):
        raise _refused("password-named", "The password contains the login, or a name.")
    letters = "".join(sign for sign in plain if sign.isalpha())
    run = _runs(plain) or (len(letters) >= _MIN_RUN and _runs(letters))
    if run or len(set(plain)) < _MIN_DIFFERENT or letters in _common() or plain in _common():
        raise _refused("password-common", "The password is one of those that are tried first.")


@cache
def _common() -> frozenset[str]:
    """The letters of the commonest passwords of twelve signs and more, in French and in English: what stands around
    them (2026!, 123) makes none of them better.
    """
    return frozenset(_COMMON.read_text(encoding="ascii").split())


def _refused(rule: str, message: str) -> PasswordRefused:
    return PasswordRefused(message, faults=[Fault("/password", rule, _SECTION, message)])


def _parts(name: str) -> Iterator[str]:
    """The words of a name, or of an address before its @, that are long enough to tell."""
    first = name.casefold().partition("@")[0]
    for word in "".join(sign if sign.isalnum() else " " for sign in first).split():
        if len(word) >= _MIN_PART:
            yield word


def _runs(text: str) -> bool:
    """True of keys beside one another, forwards or backwards, from the first to the last."""
    rows = (*_ROWS, text[: len(text) // 2])
    return any(text in row * 3 or text[::-1] in row * 3 for row in rows)


class Passwords:
    """Hashes passwords, and compares them, a few at a time. Safe to share between threads."""

    def __init__(self, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._hasher = PasswordHasher(PASSES, MEMORY_KIB, LANES, _HASH_BYTES, _SALT_BYTES)
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._places = threading.BoundedSemaphore(AT_ONCE + WAITING)
        self._wait_seconds = wait_seconds

    def hashed(self, password: str) -> str:
        """The hash of a password (PHC string).

        Raises:
            Overloaded: others are at it.
        """
        with self._turn():
            return self._hasher.hash(normalised(password))

    def matches(self, password: str, stored: str | None) -> bool:
        """True if a password is that of a hash; None, of nobody, costs as much and matches nothing.

        Raises:
            Overloaded: others are at it.
        """
        asked = normalised(password[:MAX_CHARACTERS])
        with self._turn():
            try:
                return self._hasher.verify(stored or _OF_NOBODY, asked) and stored is not None
            except (VerificationError, InvalidHashError):
                return False

    def outdated(self, stored: str) -> bool:
        """True of a hash that was made with other parameters."""
        return self._hasher.check_needs_rehash(stored)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise _busy()
        try:
            if not self._turns.acquire(timeout=self._wait_seconds):
                raise _busy()
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()


def _busy() -> Overloaded:
    return Overloaded("Many people sign in at this moment. Try again in a few seconds.", retry_after=5)


def _base64(count: int) -> str:
    return base64.b64encode(bytes(count)).decode().rstrip("=")


_OF_NOBODY = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${_base64(_SALT_BYTES)}${_base64(_HASH_BYTES)}"
