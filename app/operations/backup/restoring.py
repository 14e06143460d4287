"""A restore, step by step: each can be cut off, and what is in force is either all old or all new.

Documents go into collections beside those in force (``restoring.NAME``), with their indexes. Only when all of it is
there is each renamed over the one in force, which takes a moment whatever its size. What was reached stands in the one
document of ``restore_state``; while there is one, nothing serves or works on this database::

    _id     "restore"
    phase   "loading", "swapping" or "erasing"
    backup  str      id of the backup
    created str      when that was made
    parts   [str]    its collections
    loaded  [str]    those of them that are complete
    same    bool     what was in force is of the same store: its audit log and tombstones are kept
    run     str      the command that loads: one that was declared dead finds another one here, or nothing, and ends
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, cast

import pymongo
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne, UpdateOne
from pymongo.collection import Collection as Documents
from pymongo.errors import BulkWriteError, OperationFailure

from app.core import clock
from app.core.errors import RestoreRefused, RestoreUnfinished
from app.core.personal_data import Impersonal
from app.crypto.keys import KeyWrapping
from app.governance.audit import store as audit
from app.keys import holders as key_holders
from app.keys import learners as subjects
from app.keys import organisation as organisation_keys
from app.keys.rekeying import RekeyRepository
from app.operations import measures
from app.operations import minors_store as minors_passes
from app.operations.backup.backup_file import Chunk, split
from app.operations.minors_store import MinorsRepository
from app.operations.schema import migrations
from app.operations.schema.catalogue import COLLECTIONS
from app.operations.schema.migrations import NOTES, create
from app.people.erasure import tombstones
from app.people.erasure.tombstones import Tombstones
from app.platform.cluster import processes
from app.platform.jobs import store as jobs
from app.platform.mongo.collection import Declared
from app.platform.mongo.connection import Document, Store, translated
from app.traces.statements import store as statements

STATE = "restore_state"
LOADING = "loading"
SWAPPING = "swapping"
ERASING = "erasing"

STAGED = "restoring."
"""Prefix of the names of collections that are not in force yet."""
_AS_IN_BACKUP = Impersonal("a collection that this version does not know, while it is put in place")
_ID = "restore"
_DUPLICATE = 11000
_NAMESPACE_NOT_FOUND = 26
_WRITERS = 2
_AT_ONCE = 1_000
_WRITE_SECONDS = 600.0
_INDEX_SECONDS = 7 * 86_400.0
# What `sillage init`, a first start or a command leaves in a store that holds nothing of anybody yet.
_OF_NOBODY = frozenset(
    {
        NOTES,
        organisation_keys.NAME,
        audit.NAME,
        processes.NAME,
        processes.FENCES,
        key_holders.NAME,
        measures.NAME,
        STATE,
        *(declared.name for declared in jobs.COLLECTIONS),
    }
)


class State(NamedTuple):
    """Progress of a restore; see the module."""

    phase: str
    backup: str
    created: str
    parts: tuple[str, ...]
    loaded: tuple[str, ...]
    same: bool


def is_staged(name: str) -> bool:
    """True if a collection is one that a restore is filling."""
    return name.startswith(STAGED)


def state(store: Store) -> State | None:
    """The progress of a restore of this database; None when there is none."""
    with translated():
        found = store.collection(STATE).find_one({"_id": _ID})
    if found is None:
        return None
    return State(
        str(found["phase"]),
        str(found["backup"]),
        str(found["created"]),
        tuple(found["parts"]),
        tuple(found["loaded"]),
        bool(found["same"]),
    )


def refuse_unfinished(store: Store) -> None:
    """Refuse to work on a database that is being restored.

    Raises:
        RestoreUnfinished: it is, or the command that did was cut off.
    """
    found = state(store)
    if found is None:
        return
    give_up = " To keep what was there before: `sillage restore --abandon`." if found.phase == LOADING else ""
    raise RestoreUnfinished(
        f"A restore of the backup of {found.created} is not finished. If no `sillage restore` is running, run it again "
        f"with the same file; it goes on from where it was.{give_up}"
    )


class Restoring:
    """The steps of a restore of one database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state = store.collection(STATE)
        self._declared = {declared.name: declared for declared in COLLECTIONS}
        self._run = clock.random_bytes(8).hex()

    def holds_something(self) -> bool:
        """True if anything of anybody is in force."""
        with translated():
            names = [
                name
                for name in self._store.db.list_collection_names()
                if name not in _OF_NOBODY and not name.startswith("system.") and not is_staged(name)
            ]
            return any(self._store.collection(name).find_one({}, {"_id": 1}) is not None for name in names)

    # --- loading --------------------------------------------------------------------------------

    def begin(self, backup: str, created: str, parts: Sequence[str], same: bool) -> State:
        """Start, or go on with the loading of the same backup; what another one left is removed."""
        found = state(self._store)
        if found is not None and found.phase != LOADING:
            raise RestoreRefused("Another restore is being put in place.")
        if found is not None and found.backup == backup:
            own = {"_id": _ID, "phase": LOADING, "backup": backup}
            with translated():
                taken = self._state.update_one(own, {"$set": {"run": self._run}})
            if not taken.matched_count:
                raise _taken_over()
            return found
        with translated():
            # First the note: nothing begins to serve from now on.
            self._state.replace_one(
                {"_id": _ID},
                {
                    "phase": LOADING,
                    "backup": backup,
                    "created": created,
                    "parts": list(parts),
                    "loaded": [],
                    "same": same,
                    "run": self._run,
                },
                upsert=True,
            )
        self._drop_staged()
        return State(LOADING, backup, created, tuple(parts), (), same)

    def stage(self, name: str) -> None:
        """Make the collection that a part goes into, empty and without indexes."""
        declared = self._declared.get(name, Declared(name, _AS_IN_BACKUP))
        with translated(), pymongo.timeout(_WRITE_SECONDS):
            self._staged(name).drop()
            create(self._store, (Declared(STAGED + name, declared.holds, packed=declared.packed),))

    def loader(self) -> Loader:
        """Takes chunks in."""
        return Loader(self._store)

    def complete(self, name: str, documents: int) -> None:
        """A part has been loaded: count it, make its indexes, and note that it is complete.

        Args:
            name: The collection.
            documents: How many there must be.

        Raises:
            RestoreRefused: there are not that many.
        """
        with translated(), pymongo.timeout(_INDEX_SECONDS):
            found = self._staged(name).count_documents({})
            if found != documents:
                raise RestoreRefused(
                    f"{found} of {documents} documents of {name} arrived, so something else writes there, or the "
                    "backup holds one twice. Nothing was put in place."
                )
            declared = self._declared.get(name)
            if declared is not None:
                create(self._store, (declared._replace(name=STAGED + name),))
            done = self._state.update_one({"_id": _ID, "run": self._run}, {"$addToSet": {"loaded": name}})
        if not done.matched_count:
            raise _taken_over()

    def keep_present(self, name: str) -> int:
        """Add to a staged collection what only the one in force has; how many there were.

        For what is only ever added to, such as the audit log: a restore does not take it back.
        """
        added = 0
        with translated(), pymongo.timeout(_INDEX_SECONDS):
            for batch in self._store.collection(name).find_raw_batches({}):
                added += _insert(self._store, STAGED + name, cast(bytes, batch))
        return added

    def prefer_present(self, name: str) -> None:
        """Put each document that is in force in the place of the one that a staged collection has."""
        with translated(), pymongo.timeout(_INDEX_SECONDS):
            present = iter(self._store.collection(name).find({}))
            while some := [ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in islice(present, _AT_ONCE)]:
                self._staged(name).bulk_write(some, ordered=False)

    def keep_key(self, purpose: str, organisation: str) -> None:
        """Add one of the organisation's keys to the staged ones, when only those in force have it."""
        name = f"keys.{purpose}"
        with translated():
            found = self._store.collection(organisation_keys.NAME).find_one(
                {"_id": organisation, name: {"$exists": True}}
            )
            if found is not None:
                absent = {"_id": organisation, name: {"$exists": False}}
                self._staged(organisation_keys.NAME).update_one(absent, {"$set": {name: found["keys"][purpose]}})

    def merge_keys(self, keks: KeyWrapping, organisation: str) -> None:
        """Have the staged keys of the organisation also open, and prove, what stays of the database in force.

        Raises:
            RestoreRefused: they cannot.
        """
        with translated():
            present = self._store.collection(organisation_keys.NAME).find_one({"_id": organisation})
            staged = self._staged(organisation_keys.NAME).find_one({"_id": organisation})
        if present is not None and staged is not None:
            change = organisation_keys.restored(staged, present, keks, organisation)
            with translated():
                self._staged(organisation_keys.NAME).update_one({"_id": organisation}, change)

    def carry_learners(self, wanted: Collection[bytes]) -> None:
        """Add learners' keys to the staged ones, of those whom only the database in force knows."""
        with translated():
            found = self._store.collection(subjects.NAME).find({"_id": {"$in": list(wanted)}})
            changes = [
                UpdateOne(
                    {"_id": one["_id"]},
                    {"$setOnInsert": {name: value for name, value in one.items() if name != "_id"}},
                    upsert=True,
                )
                for one in found
            ]
            if changes:
                self._staged(subjects.NAME).bulk_write(changes, ordered=False)

    def rekey_again(self) -> None:
        """Begin a rekey of the staged learners, when those in force got keys that the staged ones have not."""
        present = RekeyRepository(self._store).latest()
        repository = RekeyRepository(self._store, STAGED)
        staged = repository.latest()
        if present is None or (staged is not None and staged.number >= present.number):
            return
        if staged is not None and staged.under_way:
            # It gives out keys that later rekeys replaced: it ends first, for a learner has two keys and not three.
            repository.follow_with(staged.number, present.number + 1)
            return
        # The keys of the backup may be what they were replaced for.
        repository.begin(present.number + 1)

    def staged_tombstones(self) -> Tombstones:
        """Those of the backup, to which later ones are added."""
        return Tombstones(self._store, STAGED + tombstones.NAME)

    def staged_passes(self) -> MinorsRepository:
        """The passes of policies about minors that the backup knows, to which later ones are added."""
        return MinorsRepository(self._store, STAGED + minors_passes.NAME)

    # --- putting in place -----------------------------------------------------------------------

    def swap(self) -> None:
        """Put every staged collection in place, and remove what the backup has not. May be cut off and done again.

        Raises:
            RestoreRefused: what was loaded is no longer this command's to put in place.
        """
        with translated(), pymongo.timeout(_INDEX_SECONDS):
            # Without its note nobody knows what of the database is to stay.
            ready = {"_id": _ID, "$or": [{"phase": LOADING, "run": self._run}, {"phase": SWAPPING}]}
            noted = self._state.find_one_and_update(ready, {"$set": {"phase": SWAPPING}})
            if noted is None:
                raise _taken_over()
            for name in self._store.db.list_collection_names():
                if is_staged(name):
                    self._rename(name, name.removeprefix(STAGED))
            # The living stay too: this command is one of them.
            kept = {STATE, tombstones.NAME, minors_passes.NAME, key_holders.NAME, *noted["parts"]}
            for name in self._store.db.list_collection_names():
                if name not in kept and not name.startswith("system."):
                    self._store.collection(name).drop()
            self._state.update_one({"_id": _ID}, {"$set": {"phase": ERASING}})

    def modernise(self) -> list[str]:
        """Apply the migrations that came after the backup; which."""
        with translated(), pymongo.timeout(_INDEX_SECONDS):
            applied = migrations.migrate(self._store)
            # Those of living processes, which no backup holds.
            create(self._store, COLLECTIONS)
        return applied

    def statements(self) -> int:
        """About how many statements are in force."""
        with translated():
            return self._store.collection(statements.NAME).estimated_document_count()

    def finish(self) -> None:
        """The store may serve again."""
        with translated():
            self._state.delete_one({"_id": _ID})

    def abandon(self) -> None:
        """Give a restore up that is still loading: what was in force before stays in force.

        Raises:
            RestoreRefused: there is none, or it is too late.
        """
        found = state(self._store)
        if found is None:
            raise RestoreRefused("No restore is under way here.")
        if found.phase != LOADING:
            raise RestoreRefused("It is too late to give it up: it is being put in place. Run `sillage restore` again.")
        self._drop_staged()
        self.finish()

    def _rename(self, staged: str, name: str) -> None:
        try:
            self._store.collection(staged).rename(name, dropTarget=True)
        except OperationFailure as failed:
            # Sent twice, when the first answer was lost: done.
            if failed.code != _NAMESPACE_NOT_FOUND:
                raise

    def _drop_staged(self) -> None:
        with translated(), pymongo.timeout(_WRITE_SECONDS):
            for name in self._store.db.list_collection_names():
                if is_staged(name):
                    self._store.collection(name).drop()

    def _staged(self, name: str) -> Documents[Document]:
        return self._store.collection(STAGED + name)


def _taken_over() -> RestoreRefused:
    return RestoreRefused(
        "Another command gave this restore up, or went on with it, while this one was declared dead. This one ends; "
        "see whether that one still runs, and run `sillage restore` again if not."
    )


class Loader:
    """Inserts chunks, some at a time beside the reading of the next; few are in memory at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="restore")
        self._under_way: list[Future[int]] = []

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def load(self, chunk: Chunk) -> None:
        """Insert a chunk into its staged collection, sooner or later; what is there already stays."""
        if len(self._under_way) > _WRITERS:
            self._under_way.pop(0).result()
        self._under_way.append(self._pool.submit(_insert, self._store, STAGED + chunk.collection, chunk.content))

    def wait(self) -> None:
        """Return when everything is stored."""
        for future in self._under_way:
            future.result()
        self._under_way = []


def _insert(store: Store, name: str, content: bytes) -> int:
    """Insert documents that are not there yet; how many were not."""
    documents = [RawBSONDocument(document) for document in split(content)]
    with translated(), pymongo.timeout(_WRITE_SECONDS):
        try:
            store.collection(name).insert_many(documents, ordered=False)
        except BulkWriteError as failed:
            errors = failed.details["writeErrors"]
            if failed.details["writeConcernErrors"] or any(error["code"] != _DUPLICATE for error in errors):
                raise
            return int(failed.details["nInserted"])
    return len(documents)
