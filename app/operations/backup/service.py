"""Backups: one consistent moment of the database in one file, sealed as stored; and the way back.

What a backup holds is what the database holds: statements, documents and keys as they were sealed, and nothing is
opened to make it. It holds no key-encryption key, so it is worth nothing without the key file, and cannot betray it.

A restore comes back to a moment before some persons were erased. It must not bring them back: the tombstones of the
backup, those of the database that is there, those in the file beside the key file and those given to the command are
put together, and whoever has one is erased again before the store may serve
(``docs/adr/0031-backup-and-checkpoints.md``). Policies about minors that were applied since to what was stored are
applied again, for erasures of later name persons by what they became then (``docs/adr/0050-restores-clean-again.md``).
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol
from uuid import UUID

import structlog

from app.core import clock
from app.core.atomic_file import new_file, sweep
from app.core.audit_sink import AuditSink
from app.core.errors import BackupRefused, FileRefused, KeyMissing, KeyRefused, RestoreRefused, SillageError
from app.core.personal_data import Restored as AfterRestore
from app.crypto.keys import OrganisationKeys, Wrapped, subject_place
from app.governance.audit.log import BACKUP_RESTORED, BACKUP_WRITTEN, TOMBSTONES_EXPORTED
from app.keys import learners as subjects
from app.keys import organisation as organisation_keys
from app.keys import rekeying
from app.keys.holders import HolderRepository, HolderThread
from app.keys.key_service import KeyService
from app.keys.rekeying import RekeyRepository
from app.operations import minors_store as minors_passes
from app.operations.backup import restoring, tombstone_file
from app.operations.backup.backup_file import (
    BackupReader,
    BackupWriter,
    Chunk,
    Heading,
    Manifest,
    documents_of,
    reading,
)
from app.operations.backup.kept_ciphertexts import encrypt_kept
from app.operations.backup.restoring import ERASING, LOADING, Restoring, State
from app.operations.backup.snapshot import snapshot
from app.operations.measures import BackupMade, Measures
from app.operations.minors_store import Cleaning, MinorsRepository
from app.operations.schema import migrations
from app.operations.schema.catalogue import restored
from app.people.erasure import tombstones
from app.people.erasure.tombstones import Tombstone, Tombstones
from app.platform.cluster.low_watermark import Observer
from app.platform.mongo.connection import Store

MAC = "backup"
"""Purpose of the MAC over a manifest."""
TOMBSTONE_MAC = "tombstone-file"
"""Purpose of the MACs in a file of tombstones."""

ProgressCallback = Callable[[int, int], None]

# What was decided since the backup and a restore must not undo, where the database is still there to tell: each
# collection says whether it holds such.
_NEVER_TAKEN_BACK = restored(AfterRestore.IN_FORCE)
_MARGIN_SECONDS = 2.0
# Learners' keys of a backup that are tried before anything is written.
_SAMPLE = 1_000
_MAX_KEYS_BYTES = 1024 * 1024
_MAX_KEY_LENGTH = 10_000
_log = structlog.stdlib.get_logger("sillage.backup")


def _unreported(_done: int, _total: int) -> None:
    """Nobody asked."""


class Written(NamedTuple):
    """A backup that was written: where, what it holds, how long the file is in bytes."""

    path: Path
    manifest: Manifest
    bytes: int


class Checked(NamedTuple):
    """A backup that is whole.

    Attributes:
        manifest: What it holds.
        opens: Whether the keys at hand open it, and prove that it is the organisation's; None without any keys.
    """

    manifest: Manifest
    opens: bool | None


class Restored(NamedTuple):
    """Outcome of a restore.

    Attributes:
        heading: The backup's.
        documents: How many it held; 0 when an earlier run had loaded them.
        tombstones: How many persons erased before or after the backup are known.
        erased: How many of them the backup still had, and were erased again.
        migrations: Those applied, that came after the backup.
        redone: How many acts on the operator's word (deletions, sources closed or moved) were carried out again.
        cleaned: How many statements policies about minors, applied after the backup, changed again.
        rekey: Whether learners' keys are to be replaced now: they were since the backup, or it was made in the midst.
    """

    heading: Heading
    documents: int
    tombstones: int
    erased: int
    migrations: tuple[str, ...]
    redone: int
    cleaned: int
    rekey: bool


class _Captured:
    """Wrapped keys of a backup, collected while it goes by."""

    def __init__(self) -> None:
        self.organisation: dict[str, object] | None = None
        self.learners: list[tuple[bytes, Wrapped]] = []

    def see(self, chunk: Chunk, organisation: str) -> None:
        try:
            self._see(chunk, organisation)
        except (KeyError, TypeError, ValueError):
            raise _strange_keys() from None

    def _see(self, chunk: Chunk, organisation: str) -> None:
        if chunk.collection == organisation_keys.NAME:
            if len(chunk.content) > _MAX_KEYS_BYTES:
                raise _strange_keys()
            for document in documents_of(chunk):
                if document["_id"] == organisation:
                    self.organisation = document
        elif chunk.collection == subjects.NAME and not self.learners:
            self.learners = [
                (_bytes(one["_id"]), Wrapped(_version(one["version"]), _bytes(one["key"])))
                for one in documents_of(chunk, _SAMPLE)
            ]


class Database(Protocol):
    """The database, connected when it is first asked for."""

    @property
    def store(self) -> Store:
        """The connection."""


class RestoredStore(Protocol):
    """The life of the store that is restored."""

    def restored(self) -> None:
        """Note that the restored database is in force."""


class DecisionsSince(Protocol):
    """Carries out again what was decided since a backup."""

    def erase_again(self, progress: Callable[[int], None]) -> int:
        """Erase again whoever has a tombstone in the database in force; how many persons.

        ``progress`` is told how many statements were looked through.
        """

    def clean_again(self, progress: ProgressCallback) -> int:
        """Apply policies about minors again, as ``minors_passes`` notes them; how many statements that changed.

        ``progress`` is told how many were looked through, and how many there are.
        """

    def redo(self) -> int:
        """Carry out again what was done on the operator's word; how many acts it was."""


class Backups:
    """Makes, checks and restores the backups of one organisation."""

    def __init__(
        self,
        *,
        database: Database,
        keys: KeyService,
        organisation: str,
        release: str,
        tombstones_file: Path,
        audit: AuditSink,
        lifecycle: RestoredStore,
        decisions: DecisionsSince,
        heartbeat_seconds: float,
        process_ttl_seconds: float,
    ) -> None:
        """Nothing is opened yet.

        Args:
            database: Connects when it is asked for; a check of a file needs no database.
            keys: The key-encryption keys, and the organisation's, of the database in force.
            organisation: Its id.
            release: The version of Sillage.
            tombstones_file: The file of tombstones outside the database.
            audit: Takes an entry for each step.
            lifecycle: Told in a restore that the restored database is in force: ``audit``, ``keys`` and ``decisions``
                are asked after that alone, and may work on a database whose restore is not finished.
            decisions: Carries out again what was decided since the backup.
            heartbeat_seconds: How often processes say that they live.
            process_ttl_seconds: Silence after which one is declared dead.
        """
        self._database = database
        self._keys = keys
        self._organisation = organisation
        self._release = release
        self._tombstones_file = tombstones_file
        self._audit = audit
        self._lifecycle = lifecycle
        self._decisions = decisions
        self._interval = heartbeat_seconds
        self._ttl = process_ttl_seconds

    # --- out ------------------------------------------------------------------------------------

    def create(self, destination: Path, progress: ProgressCallback = _unreported, actor: str = "cli:backup") -> Written:
        """Write a backup of this moment, while others go on writing.

        Args:
            destination: A file that is not there yet, or a folder, in which it gets a name with the time.
            progress: Told how many documents were written, and about how many there are.
            actor: For the audit log.

        Raises:
            FileRefused: it cannot be written there; nothing is left.
            BackupFailed: MongoDB did not keep that moment for long enough.
            RestoreUnfinished: the database is being restored.
        """
        store, keys = self._database.store, self._keys.organisation
        created = clock.now()
        path = self._named(destination, created)
        heading = Heading(
            str(UUID(bytes=clock.random_bytes(16), version=4)),
            self._organisation,
            created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            self._release,
        )
        with new_file(path) as file:
            # Before the moment that is kept, so that the backup tells of itself.
            self._audit.append(BACKUP_WRITTEN, actor, {"backup": heading.id})
            writer = BackupWriter(file, heading)
            done = 0
            with snapshot(store) as moment:
                total = moment.estimate()
                for name in moment.names:
                    writer.begin(name)
                    for batch in moment.batches(name):
                        done += writer.add(batch)
                        progress(done, max(total, done))
                organisation, learners = moment.organisation_versions(), moment.learner_versions()
                applied = moment.migrations
            manifest = writer.finish(applied, organisation, learners, lambda message: keys.mac(MAC, message))
            size = file.tell()
        try:
            Measures(store).note_backup(BackupMade(clock.now_us(), size))
        except SillageError as failed:
            # The backup is whole; only `/metrics` does not know of it.
            _log.warning("the backup is not noted for the metrics", code=failed.code)
        return Written(path, manifest, size)

    def _named(self, destination: Path, created: datetime) -> Path:
        if not destination.is_dir():
            return destination
        prefix = f"sillage-{self._organisation}-"
        sweep(destination, prefix)
        return destination / f"{prefix}{created:%Y%m%dT%H%M%SZ}.tar"

    # --- checking -------------------------------------------------------------------------------

    def verify(self, file: Path, progress: ProgressCallback = _unreported) -> Checked:
        """Read a backup to its end and hold it to its manifest; no database is needed.

        Args:
            file: The backup.
            progress: Told how many documents were read, and how many there are.

        Raises:
            BackupRefused: it is not whole, or, where keys are at hand, not the organisation's.
        """
        with reading(file) as backup:
            self._require_ours(backup.heading)
            try:
                _ = self._keys.keyring
            except KeyMissing:
                return Checked(_verified(backup, progress, lambda _: None), None)
            manifest, _ = self._proved(backup, progress)
            return Checked(manifest, True)

    def _proved(self, backup: BackupReader, progress: ProgressCallback) -> tuple[Manifest, OrganisationKeys]:
        """The manifest and the organisation's keys of a backup that is whole, ours, and opens.

        Raises:
            BackupRefused: it is not whole, or the manifest was not written by this organisation.
            KeyRefused: the keys at hand do not open it.
        """
        captured = _Captured()
        manifest = _verified(backup, progress, lambda chunk: captured.see(chunk, self._organisation))
        ring = self._keys.keyring
        needed = {*manifest.organisation_versions, *manifest.learner_versions}
        lacking = sorted(needed - set(ring.current.opening()))
        if lacking:
            raise KeyRefused(
                f"The backup needs version {', '.join(map(str, lacking))} of the key-encryption key, which is not "
                "here. Restore a copy of the key file that has it: `sillage keys restore`."
            )
        if captured.organisation is None:
            raise BackupRefused("The backup holds no keys of this organisation, so nothing in it could be read.")
        try:
            keys = organisation_keys.unwrapped(captured.organisation, ring, self._organisation)
        except SillageError:
            raise
        except Exception:
            # Not proved yet to be of this organisation: they may say anything, and make any part fail in its own way.
            raise _strange_keys() from None
        if not hmac.compare_digest(keys.mac(MAC, manifest.canonical()).hex().encode(), manifest.mac.lower().encode()):
            raise BackupRefused("The manifest was altered since this organisation wrote it. Take another copy.")
        ring.unwrap_all(
            [(subject_place(self._organisation, subject), wrapped) for subject, wrapped in captured.learners]
        )
        return manifest, keys

    def _require_ours(self, heading: Heading) -> None:
        if heading.organisation != self._organisation:
            raise BackupRefused(
                "The backup is of another organisation, under whose name everything in it is sealed: set "
                "SILLAGE_ORGANISATION to the one that the file names."
            )

    # --- back -----------------------------------------------------------------------------------

    def restore(
        self,
        file: Path,
        *,
        replace: bool = False,
        erased: Sequence[Path] = (),
        progress: ProgressCallback = _unreported,
        step: Callable[[str], None] = lambda _: None,
        actor: str = "cli:restore",
    ) -> Restored:
        """Put a backup in force; whoever was erased since is erased again before the store may serve.

        Killed at any moment, it goes on when run again with the same file. Until then nothing serves, and until it has
        put the backup in place what was there before is untouched.

        Args:
            file: The backup.
            replace: What is in the database may be replaced.
            erased: Files of tombstones (``sillage tombstones export``), besides the one beside the key file.
            progress: Told how many documents were read, and how many there are: once to check, once to load.
            step: Told what is done next: ``check``, ``load``, ``swap``, ``erase``, ``clean``.
            actor: For the audit log.

        Raises:
            BackupRefused: the backup is not whole, or not this organisation's.
            KeyRefused, KeyMissing: the keys at hand do not open it. Nothing was written.
            RestoreRefused: the store is not empty, or a process serves it, or its documents key and that of the
                backup cannot be kept together.
            FileRefused: a file of tombstones is not this store's.
        """
        store = self._database.store
        store.require_transactions()
        # Now, and not when all is in place but its entry in the audit log.
        store.clock.require()
        steps = Restoring(store)
        with ExitStack() as living:
            with reading(file) as backup:
                self._require_ours(backup.heading)
                self._refuse_living(store)
                # Before the check, which may take an hour: whoever restores here meanwhile is to see this one.
                own = living.enter_context(self._alive(store))
                # Of two that looked at the same moment, neither goes on.
                self._refuse_living(store, own)
                found = restoring.state(store)
                if found is not None and found.backup != backup.heading.id and found.phase != LOADING:
                    raise RestoreRefused(
                        f"The backup of {found.created} is being put in place. Run `sillage restore` with that one "
                        "first."
                    )
                documents = 0
                if found is None or found.phase == LOADING:
                    resumed = found is not None and found.backup == backup.heading.id
                    if not resumed and not replace and steps.holds_something():
                        raise RestoreRefused(
                            "This database holds data. Restore into an empty one, or give --replace to lose what it "
                            "holds."
                        )
                    documents = self._load(store, steps, backup, own, erased, progress, step)
            if found is None or found.phase != ERASING:
                step("swap")
                steps.swap()
            step("erase")
            applied = steps.modernise()
            self._lifecycle.restored()
            total = Restoring(store).statements()
            again = self._erase_again(progress, total)
            step("clean")
            cleaned = self._decisions.clean_again(progress)
            if cleaned:
                # Whoever was erased after that is known by what they are now.
                step("erase")
                again += self._erase_again(progress, total)
            redone = self._decisions.redo()
            known = sum(1 for _ in Tombstones(store).every())
            said = {"backup": backup.heading.id, "created": backup.heading.created}
            latest = RekeyRepository(store).latest()
            rekey = latest is not None and latest.under_way
            counts = {"tombstones": known, "erased": again, "redone": redone, "cleaned": cleaned, "rekey": rekey}
            self._audit.append(BACKUP_RESTORED, actor, {**said, **counts})
            steps.finish()
        return Restored(backup.heading, documents, known, again, tuple(applied), redone, cleaned, rekey)

    def _erase_again(self, progress: ProgressCallback, total: int) -> int:
        return self._decisions.erase_again(lambda looked: progress(looked, max(looked, total)))

    def abandon(self) -> None:
        """Give a restore up that is still loading: what was there before is in force again.

        Raises:
            RestoreRefused: there is none, it is too late, or the command that restores still runs.
        """
        store = self._database.store
        self._refuse_living(store)
        Restoring(store).abandon()

    @contextmanager
    def _alive(self, store: Store) -> Iterator[str]:
        """Be among the processes that live, under the name given, so that no other command restores here meanwhile."""
        thread = HolderThread(HolderRepository(store), self._keys.keyring, interval=self._interval, ttl=self._ttl)
        thread.start()
        try:
            yield thread.id
        finally:
            thread.close()

    def _load(
        self,
        store: Store,
        steps: Restoring,
        backup: BackupReader,
        own: str,
        files: Sequence[Path],
        progress: ProgressCallback,
        step: Callable[[str], None],
    ) -> int:
        step("check")
        manifest, keys = self._proved(backup, progress)
        unknown = sorted(set(manifest.migrations) - set(migrations.names()))
        if unknown:
            raise BackupRefused(f"The backup was made by a later version of Sillage ({unknown[-1]}). Use that version.")
        outside, passes = self._outside(keys, files)
        present = self._of_same_store(store, keys)
        before = restoring.state(store)
        # Those that a backup of an earlier version has not are not taken back either.
        parts = {*manifest.parts, *((*_NEVER_TAKEN_BACK, rekeying.NAME) if present else ())}
        state = steps.begin(backup.heading.id, backup.heading.created, sorted(parts), present)
        # Once more: whoever looked just before the note was written may have begun to serve. What an earlier run has
        # loaded is kept for the next one.
        resumed = before is not None and before.backup == backup.heading.id
        self._refuse_living(store, own, None if resumed else steps)
        step("load")
        self._load_parts(steps, backup, manifest, state, progress)
        if state.same:
            for name in sorted(restored(AfterRestore.ADDED)):
                steps.keep_present(name)
            for name in sorted(_NEVER_TAKEN_BACK):
                if name not in manifest.parts:
                    steps.stage(name)
                steps.prefer_present(name)
            if rekeying.NAME not in manifest.parts:
                steps.stage(rekeying.NAME)
            steps.rekey_again()
            encrypt_kept(store, self._keys.keyring, steps, self._organisation, _NEVER_TAKEN_BACK)
            steps.keep_key(organisation_keys.SIGNING, self._organisation)
            steps.merge_keys(self._keys.keyring, self._organisation)
            outside += Tombstones(store).every()
            passes += MinorsRepository(store).begun()
        for name in (tombstones.NAME, minors_passes.NAME):
            if name not in manifest.parts:
                steps.stage(name)
        steps.staged_tombstones().keep(outside)
        steps.staged_passes().make_due(passes)
        return manifest.documents

    def _load_parts(
        self, steps: Restoring, backup: BackupReader, manifest: Manifest, state: State, progress: ProgressCallback
    ) -> None:
        loaded = set(state.loaded)
        for name, part in manifest.parts.items():
            if name not in loaded:
                steps.stage(name)
            if not part.documents and name not in loaded:
                steps.complete(name, 0)
        done, current = 0, ""
        with steps.loader() as loader:
            for chunk in backup.chunks():
                if current not in {"", chunk.collection} and current not in loaded:
                    loader.wait()
                    steps.complete(current, manifest.parts[current].documents)
                current = chunk.collection
                if current not in loaded:
                    loader.load(chunk)
                done += chunk.documents
                progress(done, manifest.documents)
            if current and current not in loaded:
                loader.wait()
                steps.complete(current, manifest.parts[current].documents)

    def _outside(self, keys: OrganisationKeys, files: Sequence[Path]) -> tuple[list[Tombstone], list[Cleaning]]:
        """Tombstones and cleanings in files: those given, and the one that erasures and passes on minors add to."""
        paths = [*files, *([self._tombstones_file] if self._tombstones_file.exists() else [])]
        lines = [one for path in paths for one in tombstone_file.read(path, _mac(keys))]
        return (
            [one for one in lines if isinstance(one, Tombstone)],
            [one for one in lines if isinstance(one, Cleaning)],
        )

    def _of_same_store(self, store: Store, keys: OrganisationKeys) -> bool:
        """True if the database in force has the root of MACs of the backup: then it is the same store, later.

        Raises:
            RestoreRefused: it is, and what stays of it would not open with the keys of the backup.
        """
        try:
            there = organisation_keys.unlock(store, self._keys.keyring, self._organisation)
        except (KeyMissing, KeyRefused):
            return False
        if not hmac.compare_digest(there.mac(MAC, b""), keys.mac(MAC, b"")):
            return False
        organisation_keys.require_two(keys.documents, there.documents)
        return True

    def _refuse_living(self, store: Store, own: str | None = None, begun: Restoring | None = None) -> None:
        """Refuse while a process serves or schedules; one that was killed is waited for until it is declared dead.

        Args:
            store: The database.
            own: Under which this command is among the living.
            begun: A restore that was just begun, to be given up then.
        """
        observer = Observer(store, interval=self._interval, ttl=self._ttl)
        holders = HolderRepository(store)
        until = clock.steady() + self._ttl + _MARGIN_SECONDS
        beats: dict[str, object] = {}
        while True:
            entries, _ = observer.read()
            held = holders.living(self._ttl, own)
            if not entries and not held:
                return
            moved = any(beats.setdefault(name, entry["beat"]) != entry["beat"] for name, entry in entries.items())
            if moved or clock.steady() > until:
                if begun is not None:
                    begun.abandon()
                hosts = ", ".join(sorted({holder.host for holder in held})) or "some host"
                raise RestoreRefused(f"Processes on {hosts} serve this store or run its jobs. Stop all of them first.")
            threading.Event().wait(self._interval)

    # --- tombstones outside ---------------------------------------------------------------------

    def export_tombstones(self, file: Path, actor: str = "cli:tombstones export") -> int:
        """Write every tombstone of the database to a new file, for a restore after its loss; how many.

        The passes about minors that were begun are written too: a restore needs them to find persons erased later.

        Raises:
            FileRefused: it cannot be written.
        """
        store, keys = self._database.store, self._keys.organisation
        self._audit.append(TOMBSTONES_EXPORTED, actor, {})
        passes = MinorsRepository(store).begun()
        return tombstone_file.write(file, chain(passes, Tombstones(store).every()), _mac(keys)) - len(passes)

    def note_tombstones(self, tombstones: Sequence[Tombstone]) -> None:
        """Add tombstones to the file outside the database, after an erasure.

        The erasure stands if that cannot be done: the log says so, and the tombstones are in the database.
        """
        self._note_outside(tombstones)

    def note_cleaning(self, cleaning: Cleaning) -> None:
        """Add a pass about minors to that file, before it changes anything.

        Raises:
            FileRefused: it cannot be written. Nothing was changed yet, so nothing is to be.
        """
        tombstone_file.append(self._tombstones_file, [cleaning], _mac(self._keys.organisation))

    def _note_outside(self, lines: Sequence[tombstone_file.Line]) -> None:
        try:
            tombstone_file.append(self._tombstones_file, lines, _mac(self._keys.organisation))
        except FileRefused as refused:
            _log.error("tombstones are not kept outside the database", code=refused.code, detail=refused.detail)


def _mac(keys: OrganisationKeys) -> Callable[[bytes], bytes]:
    return lambda message: keys.mac(TOMBSTONE_MAC, message)


def _bytes(value: object) -> bytes:
    # Of a number, `bytes` would make as many zeros.
    if not isinstance(value, bytes) or len(value) > _MAX_KEY_LENGTH:
        raise TypeError("not what a key is kept as")
    return value


def _version(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not a version")
    return int(value)


def _strange_keys() -> BackupRefused:
    return BackupRefused("The keys in the backup are not as Sillage keeps them. Take another copy.")


def _verified(backup: BackupReader, progress: ProgressCallback, seen: Callable[[Chunk], None]) -> Manifest:
    total = backup.manifest().documents
    return backup.verified(lambda done: progress(done, max(total, done)), seen)
