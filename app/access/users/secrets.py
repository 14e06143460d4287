"""Secrets of a local account: what its owner shows to sign in, as it is kept, sealed with the documents key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson


class Secrets(NamedTuple):
    """Secrets of an account; nothing in it, of one that a provider vouches for.

    Attributes:
        password: Hash of the password (Argon2id, PHC string); None: none was chosen yet.
        totp: Secret of the second factor (base32); None: none is set up.
        step: The last step of time whose code was used: neither it nor an earlier one is taken again.
        offered: A secret that was shown, and is not confirmed by a code yet.
        offered_in: The session that it was shown in: whoever began a set-up elsewhere knows nothing of this one.
        recovery: Digests of the recovery codes that are left, hexadecimal.
    """

    password: str | None = None
    totp: str | None = None
    step: int = 0
    offered: str | None = None
    offered_in: str | None = None
    recovery: tuple[str, ...] = ()

    def encoded(self) -> bytes:
        """JSON, without what there is none of."""
        return orjson.dumps({name: value for name, value in self._asdict().items() if value})

    @classmethod
    def decoded(cls, document: bytes) -> Secrets:
        """Undo ``encoded``."""
        found = orjson.loads(document)
        return cls(**{**found, "recovery": tuple(found.get("recovery", ()))})


def ways(secrets: Secrets, invited: datetime | None) -> Sequence[str]:
    """Ways in which the owner of an account signs in, of ``password``, ``second-factor``, ``invited``.

    Args:
        secrets: Of the account.
        invited: Until when an invitation of it is good; None: there is none.
    """
    held = (("password", secrets.password), ("second-factor", secrets.totp), ("invited", invited))
    return [way for way, there in held if there]
