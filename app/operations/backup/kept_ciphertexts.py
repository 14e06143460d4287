"""Encryption anew of what a restore keeps of the database it replaces, with learners' keys of the one that takes its
place.

Restrictions, ends of accounts and requests are not taken back by a restore (``backup.py``). Who they are of is sealed
with learners' keys: those of the backup are others when it was made before a rekey, and of learners who came later it
has none.
"""

from __future__ import annotations

from collections.abc import Collection

from app.core import clock
from app.crypto.documents import decrypt_layers, encrypt_layers
from app.keys.keyring import KeyHolding
from app.keys.learners import SubjectKeys
from app.operations.backup.restoring import STAGED, Restoring
from app.operations.rotation.learner_ciphertexts import KINDS, Change, LearnerCiphertexts
from app.platform.mongo.connection import Store

BATCH = 1_000
"""Documents looked at, at a time."""


def encrypt_kept(store: Store, ring: KeyHolding, steps: Restoring, organisation: str, names: Collection[str]) -> int:
    """Have what is kept open with the staged keys of learners; how many documents were sealed anew.

    May be cut off and done again. What does not open with the keys in force stays as it is.

    Args:
        store: Whose database is in force still.
        ring: Opens both databases' keys.
        steps: The restore; what is kept is staged.
        organisation: Its id.
        names: The collections that are kept.
    """
    present = SubjectKeys(store, ring, organisation, keep_seconds=0)
    staged = SubjectKeys(store, ring, organisation, keep_seconds=0, prefix=STAGED)
    kept, copies, done = LearnerCiphertexts(store), LearnerCiphertexts(store, STAGED), 0
    for kind in (kind for kind in KINDS if kind.collection in names):
        after: object | None = None
        while rows := kept.page(kind, after, BATCH):
            after = rows[-1].id
            subjects = {subject for row in rows for subject in row.subjects}
            steps.carry_learners(subjects)
            now, then = present.both(subjects), staged.existing(subjects)
            changes = []
            for row in rows:
                values: dict[str, bytes] = {}
                for field, (layers, sealed) in row.values.items():
                    if decrypt_layers(then, organisation, layers, sealed) is not None:
                        continue
                    plain = decrypt_layers(now, organisation, layers, sealed)
                    if plain is not None and all(layer.subject in then for layer in layers):
                        values[field] = encrypt_layers(then, organisation, layers, plain, clock.random_bytes)
                if values:
                    changes.append(Change(row, values))
            done += copies.replace(kind, changes)
    return done
