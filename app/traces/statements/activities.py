"""Activity definitions that the store knows: learnt from the statements that carry them, merged, sealed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import structlog

from app.core import clock, lossless
from app.core.errors import SillageError
from app.crypto.keys import OrganisationKeys
from app.standards.xapi import Statement
from app.standards.xapi.activities import Definition, definitions_of, merge
from app.traces.statements.activity_store import Defined, DefinitionRepository, place

MAX_BYTES = 64 * 1024
"""Of a definition's JSON: one that would become longer stays as it was."""

_REMEMBERED = 65_536
# What another process has learnt meanwhile is noticed after this long.
_REMEMBERED_SECONDS = 60.0
AT_ONCE = 256
"""Activities looked up together."""
# Different definitions of one activity in a batch that are merged: the last ones.
_MERGED_AT_ONCE = 100
_TRIES = 20
_TOKEN_BYTES = 12
_log = structlog.stdlib.get_logger("sillage.activities")


class Activities:
    """Learns and tells definitions. Safe to share between threads."""

    def __init__(self, repository: DefinitionRepository, keys: OrganisationKeys) -> None:
        self._repository = repository
        self._keys = keys
        # By a hash of the activity: what this process last merged of it, as a hash too, and until when that is taken to
        # stand. Most statements define activities that others defined before, in the same words.
        self._merged: dict[int, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def learn(self, statements: Sequence[Statement]) -> None:
        """Merge the definitions that statements carry into what is known; statements of a batch in their order.

        Never fails: the statements are stored by now. What could not be merged is, when it comes again.
        """
        now = clock.steady()
        unseen: dict[str, dict[int, Definition]] = {}
        last: dict[int, int] = {}
        for statement in statements:
            for id, definition in definitions_of(statement):
                written = lossless.dumps(definition)
                # Python's hashes of texts and bytes are keyed by a secret of the process.
                at, mark = hash(id), hash(written)
                if at in last:
                    if last[at] == mark:
                        continue
                else:
                    known = self._merged.get(at)
                    if known is not None and known[0] == mark and known[1] > now:
                        continue
                last[at] = mark
                if len(written) <= MAX_BYTES:
                    seen = unseen.setdefault(id, {})
                    seen.pop(mark, None)  # so that it is the last one
                    seen[mark] = definition
        if not last:
            return
        try:
            for some in _slices(list(unseen)):
                self._merge({id: list(unseen[id].values())[-_MERGED_AT_ONCE:] for id in some})
        except SillageError as failed:
            _log.warning("definitions not merged", code=failed.code, count=len(unseen))
            return
        with self._lock:
            for at, mark in last.items():
                self._merged.pop(at, None)
                if len(self._merged) >= _REMEMBERED:
                    del self._merged[next(iter(self._merged))]
                self._merged[at] = mark, now + _REMEMBERED_SECONDS

    def definitions(self, ids: Iterable[str]) -> Iterator[tuple[str, Definition]]:
        """The definitions of these activities (IRIs), in their order, one after the other; one never defined is left
        out.

        Whoever has enough stops: few are held at a time, sealed, and one opened.
        """
        for some in _slices(list(dict.fromkeys(ids))):
            tokens = {id: self._token(id) for id in some}
            found = self._repository.existing(tokens.values())
            for id, token in tokens.items():
                if token in found:
                    yield id, self._opened(token, found[token])

    def _merge(self, seen: Mapping[str, Sequence[Definition]]) -> None:
        by_token = {self._token(id): definitions for id, definitions in seen.items()}
        for _ in range(_TRIES):
            known = self._repository.existing(by_token)
            changes = {}
            for token, definitions in by_token.items():
                present = known.get(token)
                before: Definition = {} if present is None else self._opened(token, present)
                after = before
                for definition in definitions:
                    longer = merge(after, definition)
                    if len(lossless.dumps(longer)) <= MAX_BYTES:
                        after = longer
                if after != before:
                    revision = 1 if present is None else present.revision + 1
                    changes[token] = Defined(self._keys.encrypt(place(token), lossless.dumps(after)), revision)
            if not changes or self._repository.write(changes):
                return
        _log.warning("definitions not merged", code="contended", count=len(by_token))

    def _token(self, id: str) -> bytes:
        # Not of the index key: definitions that no statement carries any more could not follow when it is replaced.
        return self._keys.mac("activity-definition", id.encode())[:_TOKEN_BYTES]

    def _opened(self, token: bytes, defined: Defined) -> Definition:
        opened: dict[str, Any] = lossless.loads(self._keys.decrypt(place(token), defined.body))
        return opened


def _slices(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]
