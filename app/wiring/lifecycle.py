"""The life of a store and of a process: made, migrated, checked, started, kept in order while it serves."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from app.core import clock
from app.core.errors import KeyMissing, KeyRefused
from app.keys import organisation as organisation_keys
from app.keys.learners import WrappedKeys
from app.operations.backup import restoring
from app.operations.schema import migrations
from app.operations.schema.catalogue import COLLECTIONS
from app.traces.statements.body_formats import require_statement_format

if TYPE_CHECKING:
    from app.wiring.container import Container

_log = structlog.stdlib.get_logger("sillage.lifecycle")


class Lifecycle:
    """Events in the life of a store, and of a process that serves it."""

    def __init__(self, container: Container) -> None:
        """Nothing is connected yet."""
        self._container = container
        self._settings = container.settings
        # Set by a restore, when what it put in place is in force: it alone works on a database that is being restored.
        self._restored = False

    # --- a store ------------------------------------------------------------------------------------

    def initialise(self) -> list[str]:
        """Make what a new store needs, or complete what is there: key file, collections, organisation keys.

        Returns:
            What was done, as words.
        """
        done = []
        folder, keys, store = self._settings.data_dir, self._container.keys, self._container.platform
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            done.append("data folder")
        # A new key beside data sealed with a lost one would hide the loss: the data decide.
        if keys.provider.lost() and organisation_keys.present(store.store, self._settings.organisation):
            raise KeyMissing(
                "The database has data but its key file is missing. Restore it: `sillage keys restore FILE`."
            )
        made = keys.provider.create(clock.random_bytes, clock.now())
        if made:
            done.append(made)
        store.store.require_transactions()
        store.store.clock.require()
        restoring.refuse_unfinished(store.store)
        done += migrations.migrate(store.store)
        organisation_keys.ensure(store.store, keys.keyring, self._settings.organisation)
        return done

    def migrate(self) -> list[str]:
        """Bring the database to this version; on one that ``check`` refuses for anything else, nothing is changed.

        Returns:
            The migrations applied.

        Raises:
            ClockOff, RestoreUnfinished, MigrationMissing, KeyMissing, KeyRefused: as ``check``.
        """
        store = self._container.platform.store
        store.require_transactions()
        store.clock.require()
        restoring.refuse_unfinished(store)
        migrations.refuse_other(store)
        # A database that these keys do not open is another store than the settings mean.
        self._require_keys()
        done = migrations.migrate(store)
        self.check()
        return done

    # --- whether it may be used ---------------------------------------------------------------------

    def check(self) -> None:
        """Refuse to go on with a database of another version, a key that does not open it, or a clock that is off.

        Raises:
            ClockOff, RestoreUnfinished, MigrationMissing, KeyMissing, KeyRefused: says what to do.
        """
        self._check(starting=True)

    def recheck(self) -> None:
        """``check``, in a service that runs: at once, when MongoDB did not answer the last beat."""
        self._container.platform.presence.require()
        self._check()

    def reach(self) -> None:
        """Ask MongoDB for a sign of life; at once, when it did not answer the last beat.

        Raises:
            DatabaseUnavailable: there is none.
        """
        self._container.platform.presence.require()
        self._container.platform.store.ping()

    def _check(self, *, starting: bool = False) -> None:
        store = self._container.platform.store
        store.require_transactions()
        if starting:
            require_statement_format(self._settings)
            store.clock.require()
        restoring.refuse_unfinished(store)
        if starting:
            # One that runs goes on while its host waits for the upgrade.
            migrations.refuse_other(store)
        migrations.check(store, COLLECTIONS)
        self._require_keys()

    def _require_keys(self) -> None:
        keys = self._container.keys
        _ = keys.organisation
        keys.keyring.refresh()
        wrapped = WrappedKeys(self._container.platform.store).versions()
        lacking = sorted(set(wrapped) - set(keys.keyring.current.opening()))
        if lacking:
            raise KeyRefused(
                f"Learners' keys are wrapped with version {', '.join(map(str, lacking))} of the key-encryption key, "
                "which does not open here. Give the key file as the last rotation left it, or the right Transit key."
            )

    def restored(self) -> None:
        """Note that the restored database is in force: this process alone works on it until the restore has ended."""
        self._restored = True

    def refuse_unfinished_restore(self) -> None:
        """Refuse to work on a database that is being restored, unless it is this process that restores it.

        Raises:
            RestoreUnfinished: it is being restored.
        """
        if not self._restored:
            restoring.refuse_unfinished(self._container.platform.store)

    # --- a process that serves ----------------------------------------------------------------------

    def start(self) -> None:
        """Check everything, and join the processes that serve."""
        container = self._container
        self.check()
        # Before the threads: what is made first is closed last, and an entry after the close would begin a new chain.
        _ = container.governance.audit
        container.keys.hold()
        container.platform.join(container.forget)
        home = container.traces.pseudonym_home
        if home.elsewhere:
            # What learners are known by must not change with an address.
            _log.info("accounts that replace addresses keep their home page", home_page=home())
        # A restore looks for living processes once it has noted itself, and this process, now that it is among them,
        # for that note: whichever came first, one of them sees the other.
        restoring.refuse_unfinished(container.platform.store)
        container.governance.start_spool()
        stop = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(stop,), name="housekeeping", daemon=True)
        keeper.start()
        container.closing.callback(keeper.join)
        container.closing.callback(stop.set)

    def _keep(self, stop: threading.Event) -> None:
        """Have features do their work at each heartbeat, beside the requests, and once more at the end."""
        ended = False
        while not ended:
            ended = stop.wait(self._settings.heartbeat_seconds)
            for name, keep in self._container.keeping():
                try:
                    keep(stop)
                except Exception as failed:
                    # What could not be written now is tried again; this thread must not end.
                    _log.warning("housekeeping failed", feature=name, kind=type(failed).__name__)
