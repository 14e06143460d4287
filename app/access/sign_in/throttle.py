"""Throttle of sign-in: whoever guesses waits longer each time, and nobody is locked out for good.

Attempts are counted for the login that is tried and for the address that tries; for the login apart in a browser in
which its owner has signed in before, so that strangers who guess keep nobody from their account.
"""

from __future__ import annotations

import ipaddress
import math
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from app.access.sign_in.store import AttemptRepository, Limit
from app.core import clock
from app.core.clock import Now
from app.core.errors import SignInThrottled
from app.crypto.keys import OrganisationKeys

FORGOTTEN: Final = timedelta(days=1)
"""Attempts count no more when none was made for so long."""
LOGIN: Final = Limit(5, timedelta(seconds=5), timedelta(minutes=15))
SECOND_FACTOR: Final = Limit(5, timedelta(seconds=5), timedelta(minutes=15))
ADDRESS: Final = Limit(50, timedelta(seconds=1), timedelta(minutes=1))
"""Of an address: a school has one for hundreds, some of whom mistype."""
_NETWORK_BITS: Final = 64


class Tried(NamedTuple):
    """A thing that is tried: its kind, its text, its limit."""

    kind: str
    text: str
    limit: Limit


def of_login(login: str, browser: str | None) -> Tried:
    """A login, in a browser that is known for it or in any other."""
    return Tried("login" if browser is None else "browser", f"{browser or ''} {login.casefold()}", LOGIN)


def of_address(address: str | None) -> Tried | None:
    """An address; of IPv6 its network, since a host has 2^64 of them. None: nobody knows it."""
    with suppress(ValueError):
        given = ipaddress.ip_address(address or "")
        if isinstance(given, ipaddress.IPv6Address) and given.ipv4_mapped:
            given = given.ipv4_mapped
        if isinstance(given, ipaddress.IPv6Address):
            return Tried("address", str(ipaddress.ip_network((given, _NETWORK_BITS), strict=False)), ADDRESS)
        return Tried("address", str(given), ADDRESS)
    return None


def of_second_factor(user: str) -> Tried:
    """The second factor of an account."""
    return Tried("second-factor", user, SECOND_FACTOR)


class Attempt:
    """An attempt under way, counted as failed until it has succeeded."""

    def __init__(self, repository: AttemptRepository, keys: list[bytes], now: datetime) -> None:
        self._repository = repository
        self._keys = keys
        self._now = now

    def succeeded(self) -> None:
        """Forget the failures of the first thing that was tried; of the others take this attempt off again."""
        first, *others = self._keys
        self._repository.clear(first)
        for key in others:
            self._repository.give_back(key, self._now)

    def withdraw(self) -> None:
        """Take this attempt off again: it was not looked at."""
        for key in self._keys:
            self._repository.give_back(key, self._now)


class Throttle:
    """Counts attempts, and refuses those that come too soon. Safe to share between threads."""

    def __init__(self, repository: AttemptRepository, keys: OrganisationKeys, now: Now = clock.now) -> None:
        self._repository = repository
        self._keys = keys
        self._now = now

    def begin(self, tried: Tried, *others: Tried | None) -> Attempt:
        """Count an attempt.

        Args:
            tried: What it is counted for until it succeeds.
            others: What it is counted for besides, while it fails.

        Raises:
            SignInThrottled: it comes too soon; nothing was counted.
        """
        now, counted = self._now(), list[bytes]()
        self._repository.forget(now)
        # The first one last: it is not counted where another is refused.
        for each in (*others, tried):
            if each is None:
                continue
            key = self._keys.mac(f"attempt-{each.kind}", each.text.encode())
            until = self._repository.claim(key, each.limit, now, FORGOTTEN)
            if until is not None:
                for taken in counted:
                    self._repository.give_back(taken, now)
                seconds = max(1, math.ceil((until - now).total_seconds()))
                raise SignInThrottled(
                    "Too many attempts failed one after another. Wait as long as Retry-After says, and try again.",
                    retry_after=seconds,
                )
            counted.insert(0, key)
        return Attempt(self._repository, counted, now)
