"""The life of key-encryption keys: made, given out, active, decrypt-only, destroyed; and copies of them.

Order of a rotation (``docs/adr/0027-key-rotation.md``): the new version is written to the key file as decrypt-only;
every living process says that it holds it; the entry of the audit log is durable; the version becomes active; the
organisation's keys are wrapped with it. After a kill at any of these points the same command goes on from there.
Learners' keys follow in the background (``rewrap``).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.counted import counted
from app.core.errors import (
    DecryptionFailed,
    FileRefused,
    KeyBackupRefused,
    KeyInUse,
    KeyMissing,
    KeyNotShared,
    KeyRefused,
    KeysUnopened,
    NotFound,
    SettingsInvalid,
)
from app.crypto import key_backup
from app.crypto.keys import KEY_BYTES, KeyCustody, Wrapped, subject_place
from app.governance.audit.log import (
    KEY_RETIRED,
    KEYS_COPIED,
    KEYS_RESTORED,
    KEYS_REWRAP_STARTED,
    KEYS_REWRAPPED,
    KEYS_ROTATED,
    KEYS_SHOWN,
    KEYS_VERIFIED,
)
from app.keys import organisation as organisation_keys
from app.keys.holders import Holder, HolderRepository
from app.keys.key_service import KeyService
from app.keys.keyring import KeyHolding, Keyring, Listed
from app.keys.learners import Replacement, WrappedKey, WrappedKeys
from app.keys.providers import file as keyfile
from app.keys.providers.file import ACTIVE, DECRYPT_ONLY, DESTROYED, KeySet, KeyVersion
from app.operations.rotation import key_use
from app.platform.mongo.connection import Store
from app.traces.statements.stock import StatementStock

BATCH = 2_000
"""Learners' keys read, wrapped and written at a time."""

RETIREMENT_GRACE = timedelta(minutes=1)
"""Time that a version must have been decrypt-only before it may be destroyed: longer than any write under way."""

MIN_PASSPHRASE_LENGTH = 12
"""Characters that a passphrase has at least."""

_SHOWN = 20
_MARGIN_SECONDS = 5.0

ProgressCallback = Callable[[int, int], None]


class VersionUse(NamedTuple):
    """A version and what is wrapped with it.

    Attributes:
        number: The version.
        state: Its state; ``missing`` when something is wrapped with it and the key is not at hand.
        created: When it was made; unknown in files made before this was noted.
        since: When it got its state.
        organisation_keys: How many of the organisation's keys are under it.
        learners: How many learners' keys are under it.
        fingerprint: Tells whether two hosts have the same key; empty without a key.
        holders: How many of the living processes hold it.
    """

    number: int
    state: str
    created: datetime | None
    since: datetime | None
    organisation_keys: int
    learners: int
    fingerprint: str
    holders: int


class Status(NamedTuple):
    """Every version, and how many processes serve now."""

    versions: tuple[VersionUse, ...]
    processes: int


class Rotated(NamedTuple):
    """A rotation: the active version, the one before, and whether it had been begun by a command that was cut off."""

    version: int
    before: int
    resumed: bool


class Rewrapped(NamedTuple):
    """Outcome of a rewrap.

    Attributes:
        organisation_keys: Wrapped anew.
        learners: Wrapped anew.
        meanwhile: Left alone, because they were destroyed or changed between their reading and their writing.
        unopened: Left alone, because no key at hand opens them.
    """

    organisation_keys: int
    learners: int
    meanwhile: int
    unopened: int


class Verified(NamedTuple):
    """Outcome of a verification of keys.

    Attributes:
        organisation_opens: Whether the organisation's keys open.
        learners: Learners' keys tried.
        unopened: How many of them do not open, by version.
        subjects: The first of these, as tokens in hexadecimal digits.
        statements: Statements tried.
        damaged: Ids of those that do not open.
    """

    organisation_opens: bool
    learners: int
    unopened: Mapping[int, int]
    subjects: tuple[str, ...]
    statements: int
    damaged: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """True if everything that was tried opens."""
        return self.organisation_opens and not self.unopened and not self.damaged


class Keys:
    """Looks after the key-encryption keys of one organisation."""

    def __init__(
        self,
        store: Store,
        keys: KeyService,
        organisation: str,
        audit: AuditSink,
        stock: StatementStock,
        process_ttl: float,
    ) -> None:
        """Nothing is read yet.

        Args:
            store: The store.
            keys: The keys, asked for when they are needed, for a restore has none; and where they are, asked for when
                they are to be changed or copied.
            organisation: Its id.
            audit: Takes an entry for each step.
            stock: The statements, of which some are opened to see that the keys do.
            process_ttl: Silence in seconds after which a process is declared dead.
        """
        self._store = store
        self._keys = keys
        self._organisation = organisation
        self._audit = audit
        self._stock = stock
        self._ttl = process_ttl
        self._learners = WrappedKeys(store)
        self._holders = HolderRepository(store)

    # --- looking --------------------------------------------------------------------------------

    def status(self, actor: str = "cli:keys status", progress: ProgressCallback = lambda *_: None) -> Status:
        """Each version, its state, and what is wrapped with it. Costs an index entry a key not under the active one.

        Args:
            actor: For the audit log.
            progress: Told how many keys were counted, and about how many there are.
        """
        self._audit.append(KEYS_SHOWN, actor, {})
        ring = self._keys.keyring
        ring.refresh()
        versions, active = {one.number: one for one in ring.listed()}, ring.current.active
        organisation = organisation_keys.versions(self._store)
        used = self._learners.versions()
        total = self._learners.total()
        learners: dict[int, int] = {}
        for number in used:
            if number != active:
                done = sum(learners.values())

                def report(counted: int, done: int = done) -> None:
                    progress(done + counted, total)

                learners[number] = self._learners.count(number, report)
        if active in used:
            # By far the most: what is left of the total, which MongoDB knows without counting.
            learners[active] = max(total - sum(learners.values()), 0)
        holders = self._living()
        numbers = versions.keys() | set(used) | set(organisation)
        return Status(
            tuple(
                _use(versions.get(number), number, organisation[number], learners.get(number, 0), holders)
                for number in sorted(numbers)
            ),
            len(holders),
        )

    def verify(
        self, sample: int = 200, actor: str = "cli:keys verify", progress: ProgressCallback = lambda *_: None
    ) -> Verified:
        """Decrypt every key of the organisation and of learners, and statements of ``sample`` learners at most.

        Args:
            sample: Statements to try, each of another learner.
            actor: For the audit log.
            progress: Told how many keys were tried, and about how many there are.
        """
        ring = self._keys.keyring
        try:
            organisation_keys.unlock(self._store, ring, self._organisation)
            organisation_opens = True
        except KeyRefused:
            organisation_opens = False
        tried, after, total = 0, None, self._learners.total()
        unopened: Counter[int] = Counter()
        subjects: list[str] = []
        while rows := self._learners.every(after, BATCH):
            for row in self._closed(rows, ring):
                unopened[row.wrapped.version] += 1
                if len(subjects) < _SHOWN:
                    subjects.append(row.subject.hex())
            tried, after = tried + len(rows), rows[-1].subject
            progress(tried, total)
        # What reads and what audits needs the organisation's keys.
        statements, damaged = self._try_statements(sample) if organisation_opens else (0, ())
        found = Verified(organisation_opens, tried, dict(unopened), tuple(subjects), statements, damaged)
        if organisation_opens:
            self._audit.append(
                KEYS_VERIFIED,
                actor,
                {
                    "learners": tried,
                    "unopened": unopened.total(),
                    "statements": statements,
                    "damaged": len(damaged),
                },
            )
        return found

    def _closed(self, rows: Sequence[WrappedKey], ring: KeyHolding) -> list[WrappedKey]:
        """Those of these keys that do not open; each is tried by itself only where not all do."""
        try:
            ring.unwrap_all(self._places(rows))
        except KeyRefused:
            if len(rows) == 1:
                return list(rows)
            middle = len(rows) // 2
            return self._closed(rows[:middle], ring) + self._closed(rows[middle:], ring)
        return []

    def _try_statements(self, sample: int) -> tuple[int, tuple[str, ...]]:
        damaged = []
        ids = key_use.sampled_statements(self._store, sample) if sample else []
        for id in ids:
            try:
                for row in self._stock.statements.some([id]):
                    self._stock.reader.one(row)
            except (DecryptionFailed, KeyRefused):
                damaged.append(str(id))
        return len(ids), tuple(damaged)

    # --- changing -------------------------------------------------------------------------------

    def rotate(self, actor: str = "cli:keys rotate") -> Rotated:
        """Make a new version active, and wrap the organisation's keys with it; or finish what was cut off.

        Raises:
            SettingsInvalid: the keys are in no file; the detail says how to rotate where they are.
            KeyNotShared: a process does not hold the new version; it is in the file and wraps nothing yet.
            KeysBusy, KeyMissing, KeyRefused: the file cannot be changed.
        """
        path = self._file()
        with keyfile.locked(path):
            versions = keyfile.read(path)
            self._keys.keyring.refresh()
            before = versions.active
            if set(organisation_keys.versions(self._store)) - {before}:
                # Cut off after the new version became active; or a database restored from before it did.
                self._rewrap_organisation()
                return Rotated(before, before, resumed=True)
            waiting = [one for one in versions.versions if one.state == DECRYPT_ONLY and one.number > before]
            resumed = bool(waiting)
            if waiting:
                new = waiting[-1]
            else:
                new = self._new(versions)
                given_out = KeySet((*versions.versions, new))
                keyfile.replace(path, versions, given_out)
                versions = given_out
            self._keys.keyring.refresh()
            self._wait_until_held(new)
            self._audit.append(KEYS_ROTATED, actor, {"version": new.number, "before": before})
            keyfile.replace(path, versions, _activated(versions, new.number))
            self._keys.keyring.refresh()
            self._rewrap_organisation()
        return Rotated(new.number, before, resumed)

    def rewrap(
        self,
        actor: str = "cli:keys rewrap",
        progress: ProgressCallback = lambda *_: None,
        check: Callable[[], None] = lambda: None,
    ) -> Rewrapped:
        """Wrap with the active version all that is under another one, in batches; writers go on meanwhile.

        May be cut off anywhere: what is done is done, and the next run finds what is left by the index.

        Args:
            actor: For the audit log, in which a run that has nothing to do leaves nothing.
            progress: Told how many learners' keys were gone through, and how many there were to begin with.
            check: Called before each batch; what it raises ends the run.
        """
        ring = self._keys.keyring
        ring.refresh()
        organisation = self._rewrap_organisation()
        stale = self._stale(ring.current)
        if not stale and not organisation:
            return Rewrapped(0, 0, 0, 0)
        self._audit.append(KEYS_REWRAP_STARTED, actor, {"version": ring.current.active, "from": stale})
        total = sum(self._learners.count(version) for version in stale)
        learners = meanwhile = unopened = 0
        while stale:
            changed = 0
            unopened = 0
            for version in stale:
                after = None
                while rows := self._learners.under(version, after, BATCH):
                    check()
                    ready = self._rewrapped(rows, ring)
                    done = self._learners.replace(ready)
                    changed += done
                    unopened += len(rows) - len(ready)
                    meanwhile += len(ready) - done
                    after = rows[-1].subject
                    progress(min(learners + changed + meanwhile + unopened, total), total)
            learners += changed
            # Again, for what a process that had not noticed the new version made behind us.
            ring.refresh()
            stale = self._stale(ring.current) if changed else []
        outcome = Rewrapped(organisation, learners, meanwhile, unopened)
        self._audit.append(KEYS_REWRAPPED, actor, outcome._asdict())
        return outcome

    def _stale(self, keks: KeyCustody) -> list[int]:
        return [version for version in self._learners.versions() if version != keks.active]

    def _rewrapped(self, rows: Sequence[WrappedKey], ring: KeyHolding) -> list[Replacement]:
        fresh = iter(ring.current.rewrap_all(self._places(rows), clock.random_bytes))
        ready = []
        for row in rows:
            made = [next(fresh) for _ in row.keys]
            wrapped = [one for one in made if one is not None]
            # Two keys of a learner stay under one version: Vault may have begun another one between them.
            if len(wrapped) == len(made) and len({one.version for one in wrapped}) == 1:
                ready.append(Replacement(row.subject, row.wrapped, wrapped[0], row.next, (*wrapped, None)[1]))
        return ready

    def _places(self, rows: Sequence[WrappedKey]) -> list[tuple[str, Wrapped]]:
        return [(subject_place(self._organisation, row.subject), wrapped) for row in rows for wrapped in row.keys]

    def retire(self, number: int, actor: str = "cli:keys retire") -> None:
        """Destroy a decrypt-only version that nothing is wrapped with.

        Raises:
            NotFound: there is no such version, or it was destroyed before.
            KeyInUse: it is active, something is wrapped with it, or something may still be.
            SettingsInvalid: the keys are in no file.
        """
        path = self._file()
        with keyfile.locked(path):
            versions = keyfile.read(path)
            old = versions.get(number)
            if old is None or old.state == DESTROYED:
                raise NotFound(f"There is no version {number} to destroy: `sillage keys status` lists them.")
            self._refuse_in_use(versions, old)
            # Only this command knows of the key from now on: what is under it was just counted as nothing.
            self._audit.append(KEY_RETIRED, actor, {"version": number})
            gone = replace(old, state=DESTROYED, key=None, since=_now())
            kept = tuple(gone if version.number == number else version for version in versions.versions)
            keyfile.replace(path, versions, KeySet(kept))

    def _refuse_in_use(self, versions: KeySet, old: KeyVersion) -> None:
        if old.state == ACTIVE:
            raise KeyInUse(f"Version {old.number} is active. Run `sillage keys rotate` first.")
        if old.since is not None and _now() - old.since < RETIREMENT_GRACE:
            raise KeyInUse(f"Version {old.number} changed less than a minute ago: a write may be under way. Wait.")
        # Before the counts: who wraps with it no more cannot add to them.
        late = sorted({holder.host for holder in self._living() if holder.active == old.number})
        if late:
            raise KeyInUse(
                f"Processes on {', '.join(late)} still wrap with version {old.number}. Copy the key file there again."
            )
        organisation = organisation_keys.versions(self._store)[old.number]
        learners = self._learners.count(old.number)
        if organisation or learners:
            raise KeyInUse(
                f"Wrapped with version {old.number}: {counted(organisation, 'key')} of the organisation, {learners:,} "
                "of learners. Run `sillage keys rewrap` first."
            )
        others = key_use.elsewhere(self._store, versions.keks, old.number)
        if others:
            raise KeyInUse(f"The organisations {', '.join(others)} share this key file and need version {old.number}.")

    # --- copies ---------------------------------------------------------------------------------

    def backup(self, file: Path, passphrase: str, actor: str = "cli:keys backup") -> tuple[int, ...]:
        """Write a copy of all keys, under a passphrase, to a file that is not there yet; the versions in it.

        Raises:
            KeyBackupRefused: the passphrase is too short.
            FileRefused: the file is there, or cannot be written.
            SettingsInvalid: the keys are kept where nothing gives them out.
        """
        if len(passphrase) < MIN_PASSPHRASE_LENGTH:
            raise KeyBackupRefused(f"The passphrase must have {MIN_PASSPHRASE_LENGTH} characters or more.")
        ring = self._keys.keyring
        if not isinstance(ring, Keyring):
            raise SettingsInvalid(self._keys.provider.unchangeable)
        # As the file is now: a version that was retired is in no copy made afterwards.
        ring.refresh()
        versions = ring.versions
        plain = keyfile.dump(versions)
        sealed = key_backup.encrypt(plain, passphrase, _now().strftime("%Y-%m-%dT%H:%M:%SZ"), clock.random_bytes)
        numbers = tuple(versions.fingerprints())
        if file.exists():
            raise FileRefused("There is a file of that name already. Nothing was written.")
        self._audit.append(KEYS_COPIED, actor, {"versions": list(numbers)})
        try:
            written = keyfile.write_new(file, sealed)
            # A copy is worth what can be read back from it.
            whole = written and key_backup.decrypt(file.read_bytes(), passphrase) == plain
        except OSError as refused:
            raise FileRefused(f"The copy cannot be written ({refused.strerror}).") from refused
        if not whole:
            raise FileRefused("The copy could not be written, or does not read back as it was written.")
        return numbers

    def restore(self, file: Path, passphrase: str, actor: str = "cli:keys restore") -> tuple[tuple[int, ...], bool]:
        """Write the key file from a copy, if there is none.

        Returns:
            The versions in it, and whether they were proved against the store: not if it has no keys yet.

        Raises:
            FileRefused: the copy cannot be read.
            KeyBackupRefused: it cannot be opened.
            KeyRefused: there is a key file, or the copy does not open the store.
        """
        path = self._file()
        there = KeyRefused("There is a key file already. Move it away first; a key file is never overwritten.")
        if path.exists():
            raise there
        try:
            content = file.read_bytes()
        except OSError:
            raise FileRefused("The copy cannot be read.") from None
        versions = keyfile.load(key_backup.decrypt(content, passphrase))
        missing = sorted(set(self._learners.versions()) - versions.keks.keys.keys())
        if missing:
            raise KeyRefused(
                f"The copy lacks version {', '.join(map(str, missing))}, which learners' keys are wrapped with: it is "
                "older than a rotation, or of another store. Nothing was written."
            )
        try:
            organisation_keys.unlock(self._store, versions.keks, self._organisation)
            proved = True
        except KeyMissing:
            proved = False
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not keyfile.write_new(path, keyfile.dump(versions)):
            raise there
        numbers = tuple(versions.fingerprints())
        if proved:
            self._audit.append(KEYS_RESTORED, actor, {"versions": list(numbers)})
        return numbers, proved

    # --- parts ----------------------------------------------------------------------------------

    def _file(self) -> Path:
        provider = self._keys.provider
        if provider.file is None:
            raise SettingsInvalid(provider.unchangeable)
        return provider.file

    def _new(self, versions: KeySet) -> KeyVersion:
        number = max(version.number for version in versions.versions) + 1
        return KeyVersion(number, DECRYPT_ONLY, clock.random_bytes(KEY_BYTES), _now(), _now())

    def _rewrap_organisation(self) -> int:
        return organisation_keys.rewrap(self._store, self._keys.keyring.current, self._organisation)

    def _living(self) -> list[Holder]:
        return self._holders.living(self._ttl)

    def _wait_until_held(self, new: KeyVersion) -> None:
        """Wait until no living process lacks the version; longer than one that was killed is held for alive."""
        until = clock.steady() + self._ttl + _MARGIN_SECONDS
        while True:
            late = sorted(
                {holder.host for holder in self._living() if holder.fingerprints.get(new.number) != new.fingerprint}
            )
            if not late:
                return
            if clock.steady() >= until:
                raise KeyNotShared(
                    f"Processes on {', '.join(late)} do not hold version {new.number} yet. It is in the key file and "
                    "wraps nothing so far. Copy the key file to these hosts, then run `sillage keys rotate` again."
                )
            threading.Event().wait(0.1)


def refuse_unopened(found: Verified) -> None:
    """Turn what does not open into an error.

    Raises:
        KeysUnopened: says how much of what.
    """
    if found.whole:
        return
    said = [] if found.organisation_opens else ["the organisation's keys"]
    for version, count in sorted(found.unopened.items()):
        said.append(counted(count, "learner's key", "learners' keys") + f" of version {version}")
    if found.damaged:
        said.append(f"{len(found.damaged)} of {counted(found.statements, 'statement')} tried")
    raise KeysUnopened(f"What does not open: {', '.join(said)}. Give every version in use, or restore a backup.")


def _activated(versions: KeySet, number: int) -> KeySet:
    def moved(version: KeyVersion) -> KeyVersion:
        if version.number == number:
            return replace(version, state=ACTIVE, since=_now())
        if version.state == ACTIVE:
            return replace(version, state=DECRYPT_ONLY, since=_now())
        return version

    return KeySet(tuple(moved(version) for version in versions.versions))


def _use(
    version: Listed | None, number: int, organisation: int, learners: int, holders: Sequence[Holder]
) -> VersionUse:
    if version is None:
        return VersionUse(number, "missing", None, None, organisation, learners, "", 0)
    held = sum(
        1 for holder in holders if version.fingerprint and holder.fingerprints.get(number) == version.fingerprint
    )
    state = "missing" if version.state == DESTROYED and organisation + learners else version.state
    return VersionUse(number, state, version.created, version.since, organisation, learners, version.fingerprint, held)


def _now() -> datetime:
    return clock.now().replace(microsecond=0)
