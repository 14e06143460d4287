"""Exports: aggregates, protected, as a data package folder.

A package appears whole or not at all: it is written beside its place under a hidden name, then renamed. Its name ends
with a fingerprint of its content, so that an export of what was already exported finds it there and writes nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from app.core import clock
from app.core.audit_sink import AuditSink
from app.core.errors import NotFound, OperatorError
from app.core.personal_data import DeclaredFile, Impersonal
from app.research.aggregates import Aggregates
from app.research.disclosure import counts
from app.research.package import Stamp, Table, data_files, describing_files, fingerprint
from app.settings import Settings

WRITTEN = "export-written"
ABANDONED_SECONDS = 86_400
MAX_RECIPIENT_LENGTH = 200
_PARTIAL = ".partial-"

Progress = Callable[[int, int], None]


FILES = (
    DeclaredFile(
        "exports/**",
        "SILLAGE_DATA_DIR",
        Impersonal("data packages: figures after disclosure control; receipts of erasures name them"),
    ),
)


class Package(NamedTuple):
    """A data package on disk.

    Attributes:
        path: Its folder.
        new: False when the same content had been exported before.
        rows: Cells by aggregate.
        hidden: How many of them are hidden.
    """

    path: Path
    new: bool
    rows: dict[str, int]
    hidden: int


class Exports:
    """Writes data packages."""

    def __init__(self, aggregates: Aggregates, audit: AuditSink, settings: Settings, version: str) -> None:
        """``version``: the store's, for the source stamp; ``audit`` takes (kind, actor, detail)."""
        self._aggregates = aggregates
        self._audit = audit
        self._folder = settings.export_dir
        self._version = version
        self._timezone = settings.timezone

    def run(
        self,
        names: Sequence[str] = (),
        *,
        first: date | None = None,
        last: date | None = None,
        target: Path | None = None,
        recipients: Sequence[str] = (),
        actor: str,
        progress: Progress | None = None,
    ) -> Package:
        """Write a package of aggregates (by default all) for the periods that start from ``first`` to ``last``.

        Args:
            names: Aggregates, by name.
            first: First day; None: from the first period.
            last: Last day; None: to the last period.
            target: Folder to write in; None: the exports of the data folder.
            recipients: For whom it is, functions or organisations; none: the organisation itself.
            actor: Who asks, for the audit log.
            progress: Told (aggregates done, aggregates in all).

        Raises:
            NotFound: an aggregate doesn't exist, or has not been computed yet.
            OperatorError: the dates are the wrong way round, a recipient is blank or long, or the folder can't be
                written.
        """
        for_whom = tuple(sorted({" ".join(each.split()) for each in recipients}))
        if not all(0 < len(each) <= MAX_RECIPIENT_LENGTH and each.isprintable() for each in for_whom):
            raise OperatorError(
                f"A recipient is a function or an organisation, {MAX_RECIPIENT_LENGTH} characters at most."
            )
        if first and last and first > last:
            raise OperatorError("The first day of the period is after the last one.")
        wanted = sorted(set(names)) or [definition.name for definition in self._aggregates.definitions()]
        tables = []
        for done, name in enumerate(wanted):
            if progress:
                progress(done, len(wanted))
            tables.append(self._table(name, first, last))
        data = {path: content for table in tables for path, content in data_files(table).items()}
        base = tables[0].definition.name if len(tables) == 1 else "aggregates"
        version = str(tables[0].definition.version) if len(tables) == 1 else self._version
        parts = [base, f"v{version}", str(first or "start"), str(last or "end"), fingerprint(tables, data, for_whom)]
        folder = "-".join(parts)
        for_whom = for_whom or (self._aggregates.organisation,)
        stamp = Stamp(
            self._version,
            self._aggregates.organisation,
            first,
            last,
            _instant(clock.now_us()),
            self._timezone,
            for_whom,
        )
        files = {**data, **describing_files(tables, data, stamp, folder.lower())}
        path = (target or self._folder) / folder
        hidden = {table.definition.name: counts(table.cells) for table in tables}
        detail = {
            "package": folder,
            # GDPR art. 15(1)(c), 19: whom to name, and to tell.
            "recipients": [*for_whom],
            "aggregates": [table.definition.id for table in tables],
            "first": None if first is None else first.isoformat(),
            "last": None if last is None else last.isoformat(),
            "rows": sum(table.cells.height for table in tables),
            "hidden": sum(item["small_group"] + item["secondary"] for item in hidden.values()),
        }
        # On record before it exists: nothing leaves without a trace, whatever happens in between.
        self._audit.append(WRITTEN, actor, detail)
        new = _write(path, files)
        if progress:
            progress(len(wanted), len(wanted))
        return Package(
            path,
            new,
            {table.definition.name: table.cells.height for table in tables},
            sum(item["small_group"] + item["secondary"] for item in hidden.values()),
        )

    def _table(self, name: str, first: date | None, last: date | None) -> Table:
        definition, state = self._aggregates.served(name)
        if state is None or not state.complete:
            raise NotFound(
                f"{name} has not been computed yet. Run `sillage aggregate run`, or let the scheduler do it."
            )
        cells = list(self._aggregates.cells(definition, definition.dimension_names, first, last))
        whole = pl.concat(cells) if cells else self._aggregates.no_cells(definition)
        return Table(definition, whole, _instant(state.through), self._aggregates.minimum(definition))


def _write(path: Path, files: Mapping[str, bytes]) -> bool:
    if path.exists():
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(path.parent)
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=path.parent))
    except OSError:
        raise OperatorError("The export folder cannot be written by this user.") from None
    try:
        for name, content in files.items():
            place = partial / name
            place.parent.mkdir(exist_ok=True)
            with place.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        partial.rename(path)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if path.exists():
            # The same export, run elsewhere at the same moment, was first.
            return False
        raise OperatorError("The package could not be written: is the disk full? Nothing of it was kept.") from None
    return True


def _clear_abandoned(folder: Path) -> None:
    """Remove what exports killed long ago left behind."""
    for left in folder.glob(f"{_PARTIAL}*"):
        if clock.now_us() / 1_000_000 - left.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _instant(microseconds: int) -> str:
    moment = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
