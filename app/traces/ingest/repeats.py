"""Repeats: statements of a batch that are there already, in the same words and taken in under the same conditions.

Told before anything else is done with them: what was valid, named nobody and got its verdict under the very rules of
now would come out as it did then (``docs/adr/0061-repeats-and-valid-statements-first.md``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from app.access.store import Source
from app.core.release import RELEASE
from app.crypto.keys import OrganisationKeys
from app.standards.xapi.content import members
from app.standards.xapi.decode import Decoded
from app.standards.xapi.versions import Version
from app.traces.statements.store import Known, Statements

Statement = dict[str, Any]

MIN_BATCH: Final = 25
"""Statements of a batch for which it is worth the round trip to ask whether it is a repeat."""

# xAPI-Data 4.4, as the schema has it: what ``UUID`` takes besides is refused later on.
_ID: Final = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
# The fingerprint leaves them out, so whether they are right is not known by it.
_BESIDE: Final = frozenset({"stored", "authority"})


def conditions(source: Source, version: Version, profiles: bytes) -> int:
    """The conditions under which statements of a source are taken in, as a number of 64 bits.

    Equal when nothing differs that decides what becomes of a statement.

    Args:
        source: The source.
        version: Of the request.
        profiles: Digest, 64 bytes at most, of what decides the verdicts.
    """
    # Not the policy about minors: none does anything to a statement that names nobody.
    said = "\0".join((RELEASE, version.value, source.mode)).encode()
    return int.from_bytes(blake2b(said, digest_size=8, key=profiles).digest(), "big", signed=True)


class Repeats:
    """Finds repeats. Safe to share between threads."""

    def __init__(self, statements: Statements, keys: OrganisationKeys) -> None:
        self._statements = statements
        self._keys = keys

    def of(self, decoded: Decoded, source: Source, under: int) -> Mapping[int, Known]:
        """The repeats in a batch of a source, by their places; none of a batch that it is not worth asking for.

        Args:
            decoded: The batch; nothing is known of its statements but that they are objects.
            source: Who sends it: what another one stored is no repeat.
            under: Its ``conditions``.
        """
        statements = decoded.statements
        if len(statements) < MIN_BATCH:
            return {}
        # A new batch costs three look-ups of the index, a repeated one as many as it has statements.
        asked = (statements[0], statements[len(statements) // 2], statements[-1])
        some = {UUID(id) for id in map(_id, asked) if id is not None}
        known = self._statements.known(some) if some else {}
        if not known:
            return {}
        named = _named(statements)
        known = {id: one for id, one in known.items() if id in named}
        known |= self._statements.known(id for id in named if id not in some)
        index = self._keys.index
        found = {}
        for id, one in known.items():
            place = named[id]
            if one.conditions != under or one.source != source.id:
                continue
            statement = statements[place]
            if one.fingerprint in index.fingerprints(members(statement, statement, decoded.written[place])):
                found[place] = one
        return found


def _id(statement: Statement) -> str | None:
    id = statement.get("id")
    return id if type(id) is str and _ID.fullmatch(id) else None


def _named(statements: Sequence[Statement]) -> dict[UUID, int]:
    """The ids of the statements that may be repeats, with their places; none when two statements have one id."""
    named: dict[UUID, int] = {}
    for place, statement in enumerate(statements):
        id = _id(statement)
        if id is None:
            continue
        key = UUID(id)
        if key in named:
            return {}
        named[key] = place
    # Only now: an id that is sent twice is refused, whichever statement it is of.
    return {key: place for key, place in named.items() if _BESIDE.isdisjoint(statements[place])}
