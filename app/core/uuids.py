"""UUIDs from their bytes."""

from __future__ import annotations

from uuid import UUID, SafeUUID

_make = object.__new__
_set_number = UUID.__dict__["int"].__set__
_set_safety = UUID.__dict__["is_safe"].__set__
_UNKNOWN = SafeUUID.unknown
_number = int.from_bytes


def uuid_of(content: bytes) -> UUID:
    """The UUID of 16 bytes, as ``UUID(bytes=content)``, which takes three times as long: pages are of a hundred."""
    made = _make(UUID)
    _set_number(made, _number(content, "big"))
    _set_safety(made, _UNKNOWN)
    return made
