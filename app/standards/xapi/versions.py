"""The versions of xAPI spoken here, and how a request says which."""

from __future__ import annotations

import re
from enum import Enum

from app.core.errors import BadVersion


class Version(Enum):
    """A version of the standard; its value is what ``X-Experience-API-Version`` answers."""

    V1 = "1.0.3"
    V2 = "2.0.0"


SUPPORTED: tuple[Version, ...] = (Version.V1, Version.V2)

# xAPI-Communication 3.3: 1.0 means 1.0.0, and every 1.0.x speaks to every other; 2.0 likewise.
_SPOKEN = re.compile(r"([12])\.0(?:\.[0-9]{1,6})?")


def negotiate(header: str | None) -> Version:
    """The version of a request, from its ``X-Experience-API-Version`` header.

    Raises:
        BadVersion: no header, or a version not spoken here (xAPI-Communication 3.3).
    """
    if header is None:
        raise BadVersion("The X-Experience-API-Version header is missing. Send 1.0.3 or 2.0.0.")
    spoken = _SPOKEN.fullmatch(header)
    if spoken is None:
        raise BadVersion("The X-Experience-API-Version header names a version not supported. Send 1.0.3 or 2.0.0.")
    return Version.V1 if spoken[1] == "1" else Version.V2
