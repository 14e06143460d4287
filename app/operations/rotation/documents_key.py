"""The rotation of the documents key: given out, sealed with, followed by what is there, and the old one destroyed.

Order (``docs/adr/0041-keys-by-purpose.md``). The next key is made and given out: every process opens with both, and
seals with the one before. When every process knows it, it seals, and what is there follows, by the batch. When a pass
that began after nobody could seal with the old one any more has found nothing under it, it is destroyed. Each step is
one write; what is left to do is what the values themselves say: after a kill anywhere the same command, or the job
``rewrap``, goes on. With it the audit log gets a new key; those before prove what they wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.errors import DecryptionFailed
from app.crypto.keys import OrganisationKeys, sealed_by
from app.governance.audit.log import DOCUMENTS_KEY_GIVEN_OUT, DOCUMENTS_KEY_RETIRED
from app.keys import organisation as organisation_keys
from app.keys.key_service import KeyService
from app.keys.organisation import DocumentsState, Stage
from app.operations.rotation.shared_ciphertexts import KINDS, Change, Kind, Row, SharedCiphertexts
from app.platform.mongo.connection import Store

BATCH = 200
"""Documents opened and written at a time: parts of aggregates have some hundred kilobytes."""

_PAUSE_SECONDS = 0.2
# Clocks of two hosts may differ by this much: entries of the audit log say when they were written.
_CLOCK_MARGIN_US = 5 * 60 * 1_000_000

ProgressCallback = Callable[[int, int], None]


class Resealed(NamedTuple):
    """Outcome of a run.

    Attributes:
        generation: Of the documents key that is in force now.
        values: Documents of MongoDB whose values were sealed anew.
        unopened: Left as they are, because they are damaged: found so in the last pass.
        finished: Whether it destroyed the old key.
    """

    generation: int
    values: int
    unopened: int
    finished: bool


class DocumentsRotation:
    """Replaces the documents key of one organisation, and with it the key of its audit log."""

    def __init__(
        self,
        store: Store,
        keys: KeyService,
        organisation: str,
        audit: AuditSink,
        settle_seconds: float,
    ) -> None:
        """Nothing is read yet.

        Args:
            store: The store.
            keys: What wraps and opens the organisation's keys.
            organisation: Its id.
            audit: Takes an entry for each step.
            settle_seconds: After how long a change is known to every process, and what was begun before it has ended.
        """
        self._store = store
        self._keys = keys
        self._organisation = organisation
        self._audit = audit
        self._settle = settle_seconds
        self._ciphertexts = SharedCiphertexts(store)

    def status(self) -> DocumentsState:
        """The state of the documents key."""
        return organisation_keys.documents_state(self._store, self._organisation)

    def rotate(
        self,
        actor: str = "cli:keys rotate --documents",
        progress: ProgressCallback = lambda *_: None,
        check: Callable[[], None] = lambda: None,
    ) -> Resealed:
        """Replace the documents key, or finish a replacement that was cut off. Everybody goes on meanwhile.

        Args:
            actor: For the audit log.
            progress: Told how many documents a pass looked through, and about how many there are.
            check: Called before each batch, and while it waits; what it raises ends the run.
        """
        state = self.status()
        if state.stage is None:
            self._audit.append(DOCUMENTS_KEY_GIVEN_OUT, actor, {"generation": state.generation + 1})
            organisation_keys.begin_documents(self._store, self._keys.keyring, self._organisation, state.generation)
        return self.resume(actor, progress, check)

    def resume(
        self,
        actor: str = "job:rewrap",
        progress: ProgressCallback = lambda *_: None,
        check: Callable[[], None] = lambda: None,
    ) -> Resealed:
        """Finish a replacement that was cut off, if there is one; see ``rotate``."""
        state = self.status()
        before = state.generation
        while (state := self.status()).stage is Stage.GIVEN_OUT:
            check()
            if state.seconds >= self._settle:
                organisation_keys.move_documents(self._store, self._organisation, before)
            else:
                threading.Event().wait(_PAUSE_SECONDS)
        if state.stage is None or state.generation != before:
            # There is none, or another run has just ended it.
            return Resealed(state.generation, 0, 0, finished=False)
        # Not that of this process, which may have been read before: the generations as they are from now on.
        keys = organisation_keys.unlock(self._store, self._keys.keyring, self._organisation)
        values = 0
        while True:
            # Asked before the pass: what it does not meet then was sealed by nobody who could still use the old key.
            settled = self.status().seconds >= self._settle
            changed, left, unopened = self._pass(keys, before, progress, check)
            values += changed
            if settled and not left:
                break
            check()
            threading.Event().wait(_PAUSE_SECONDS)
        self._audit.append(DOCUMENTS_KEY_RETIRED, actor, {"generation": before, "values": values, "unopened": unopened})
        finished = organisation_keys.finish_documents(
            self._store, self._keys.keyring, self._organisation, before, clock.now_us() + _CLOCK_MARGIN_US
        )
        return Resealed(before + 1, values, unopened, finished)

    def _pass(
        self, keys: OrganisationKeys, before: int, progress: ProgressCallback, check: Callable[[], None]
    ) -> tuple[int, int, int]:
        """Look through everything once.

        Returns:
            How many documents were written, how many others changed at the same moment, how many do not open.
        """
        changed = left = unopened = looked = 0
        total = self._ciphertexts.total()
        for kind in KINDS:
            after: object | None = None
            while rows := self._ciphertexts.page(kind, after, BATCH):
                check()
                after = rows[-1].id
                changes = []
                for row in rows:
                    if all(sealed_by(value) != before for value in row.values.values()):
                        continue
                    try:
                        changes.append(Change(row, _anew(keys, kind, row)))
                    except DecryptionFailed:
                        unopened += 1
                done = self._ciphertexts.replace(kind, changes)
                changed += done
                left += len(changes) - done
                looked += len(rows)
                progress(min(looked, total), total)
        return changed, left, unopened


def _anew(keys: OrganisationKeys, kind: Kind, row: Row) -> dict[str, bytes]:
    places = {field: kind.place(row.id, field) for field in row.values}
    return {
        field: keys.encrypt(places[field], keys.decrypt(places[field], value)) for field, value in row.values.items()
    }
