"""What the store knows of activities: learnt from the statements that define them, merged, sealed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
import structlog

from app.errors import SillageError
from app.storage.activity_definitions import Defined, DefinitionRepository
from app.vault.keys import OrganisationKeys
from app.xapi import Statement
from app.xapi.activities import Definition, definitions_of, merge

_REMEMBERED = 65_536
_TRIES = 20
_log = structlog.stdlib.get_logger("sillage.activities")


class Activities:
    """Learns and tells definitions. Safe to share between threads."""

    def __init__(self, repository: DefinitionRepository, keys: OrganisationKeys) -> None:
        self._repository = repository
        self._keys = keys
        # What this process has merged already: most statements define activities that others defined before.
        self._merged: dict[bytes, None] = {}
        self._lock = threading.Lock()

    def learn(self, statements: Sequence[Statement]) -> None:
        """Merge the definitions that statements carry into what is known; statements of a batch in their order.

        Never fails: the statements are stored by now. What could not be merged is, when it comes again.
        """
        unseen: dict[bytes, tuple[str, Definition]] = {}
        for statement in statements:
            for identity, definition in definitions_of(statement):
                mark = hashlib.blake2b(identity.encode() + b"\n" + orjson.dumps(definition), digest_size=16).digest()
                if mark not in self._merged:
                    unseen[mark] = identity, definition
        if not unseen:
            return
        try:
            self._merge(list(unseen.values()))
        except SillageError as failed:
            _log.warning("definitions not merged", code=failed.code, count=len(unseen))
            return
        with self._lock:
            for mark in unseen:
                if len(self._merged) >= _REMEMBERED:
                    del self._merged[next(iter(self._merged))]
                self._merged[mark] = None

    def definitions(self, identities: Iterable[str]) -> dict[str, Definition]:
        """What is known of these activities (IRIs), in one query; one never defined is left out."""
        tokens = {self._token(identity): identity for identity in identities}
        found = self._repository.existing(tokens) if tokens else {}
        return {tokens[token]: self._opened(token, defined) for token, defined in found.items()}

    def _merge(self, seen: Sequence[tuple[str, Definition]]) -> None:
        by_token: dict[bytes, list[Definition]] = {}
        for identity, definition in seen:
            by_token.setdefault(self._token(identity), []).append(definition)
        for _ in range(_TRIES):
            known = self._repository.existing(by_token)
            changes = {}
            for token, definitions in by_token.items():
                present = known.get(token)
                before = None if present is None else self._opened(token, present)
                after: Definition = before or {}
                for definition in definitions:
                    after = merge(after, definition)
                if after != before:
                    revision = 1 if present is None else present.revision + 1
                    changes[token] = Defined(self._keys.seal(_place(token), orjson.dumps(after)), revision)
            if not changes or self._repository.write(changes):
                return
        _log.warning("definitions not merged", code="contended", count=len(by_token))

    def _token(self, identity: str) -> bytes:
        return self._keys.token("definition", identity)

    def _opened(self, token: bytes, defined: Defined) -> Definition:
        opened: dict[str, Any] = orjson.loads(self._keys.open(_place(token), defined.body))
        return opened


def _place(token: bytes) -> str:
    return f"activity:{token.hex()}"
