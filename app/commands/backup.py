"""``sillage backup``, ``restore`` and ``tombstones``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.commands.container import Container
from app.commands.default_group import DefaultGroup
from app.commands.screen import out, table
from app.commands.words import N_, _, counted, number
from app.operations.backup.backup_file import Manifest

_STEPS = {
    "check": N_("Checking the backup"),
    "load": N_("Loading"),
    "swap": N_("Putting it in place"),
    "erase": N_("Erasing again who was erased since"),
    "clean": N_("Applying policies about minors again"),
}


@click.group(cls=DefaultGroup, default="create")
def backup() -> None:
    """Back up the database, sealed as it is stored, and check backups. The key file is not in it: keep a copy apart."""


@backup.command("create")
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@click.pass_obj
def backup_create(container: Container, destination: Path) -> None:
    """Write a backup to DEST, a new file or a folder, while the service goes on. Nothing in it opens without keys."""
    with _progress(_("Writing")) as report:
        done = container.operations.backups.create(destination, report)
    console = out()
    console.print(
        _(
            "{are} in {path} ({bytes} bytes).",
            are=counted(done.manifest.documents, "document is", "documents are"),
            path=done.path,
            bytes=number(done.bytes),
        )
    )
    console.print(
        _("The key file is NOT in it. Without it, or a `sillage keys backup` AND its passphrase, it is noise.")
    )
    console.print(_needed(done.manifest))


@backup.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def backup_verify(container: Container, file: Path) -> None:
    """Read the backup in FILE to its end: is it whole, and do the keys at hand open it? No database is needed."""
    with _progress(_("Reading")) as report:
        found = container.operations.backups.verify(file, report)
    manifest = found.manifest
    rows = table("collection", "documents", "bytes")
    for name, part in manifest.parts.items():
        rows.add_row(name, number(part.documents), number(part.bytes))
    console = out()
    console.print(rows)
    console.print(
        _(
            "Backup {id} of {created}, written by {release}.",
            id=manifest.heading.id,
            created=manifest.heading.created,
            release=manifest.heading.release,
        )
    )
    console.print(_needed(manifest))
    if found.opens:
        console.print(_("It is whole, it is this organisation's, and the keys at hand open it."))
    else:
        console.print(_("It is whole. There is no key file here, so whether the keys open it was not tried."))


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Lose what the database holds now. Asks for the organisation's name.")
@click.option(
    "--confirm", metavar="ORGANISATION", help="With --replace: the organisation's name, instead of being asked for it."
)
@click.option(
    "--tombstones",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Persons erased since, as `sillage tombstones export` wrote them. Repeatable. The file beside the key file is "
    "read without being named.",
)
@click.option("--abandon", is_flag=True, help="Give up a restore that is still loading; what was there before stays.")
@click.pass_obj
def restore(
    container: Container,
    file: Path | None,
    replace: bool,
    confirm: str | None,
    tombstones: tuple[Path, ...],
    abandon: bool,
) -> None:
    """Put the backup in FILE in place. Stop the service first; run it again if it was cut off.

    Who was erased since the backup is erased again before the store may serve; policies about minors that were applied
    since to what was stored are applied again, and what certificates say is done again.
    """
    console = out()
    if abandon:
        if file is not None:
            raise click.UsageError(_("Give --abandon alone."))
        container.operations.backups.abandon()
        console.print(_("The restore is given up. The database is as it was before."))
        return
    if file is None:
        raise click.UsageError(_("Give the FILE of the backup."))
    if replace:
        organisation = container.settings.organisation
        typed = confirm
        if typed is None:
            click.echo(_("Everything stored since the backup will be lost."), err=True)
            typed = click.prompt(
                _("To go on, type the name of the organisation ({organisation})", organisation=organisation), err=True
            )
        if typed != organisation:
            raise click.UsageError(_("That is not the organisation's name. Nothing was changed."))
    with _progress(_(_STEPS["check"])) as report:
        done = container.operations.backups.restore(
            file,
            replace=replace,
            erased=tombstones,
            progress=report,
            step=lambda name: report.describe(_(_STEPS[name])),
        )
    created = done.heading.created
    console.print(
        _(
            "The backup of {created} is in place: {documents}.",
            created=created,
            documents=counted(done.documents, "document"),
        )
        if done.documents
        else _("The backup of {created} is in place, which an earlier run had loaded.", created=created)
    )
    if done.migrations:
        console.print(_("Migrations applied: {migrations}", migrations=", ".join(done.migrations)))
    console.print(
        _(
            "Identifiers known to have been erased: {tombstones}; erased again now: {erased}.",
            tombstones=number(done.tombstones),
            erased=number(done.erased),
        )
    )
    if done.cleaned:
        console.print(
            _(
                "Statements that policies about minors, applied since, changed again: {cleaned}. The policies "
                "for what comes are those of the backup: see `sillage source list`.",
                cleaned=number(done.cleaned),
            )
        )
    console.print(
        _("Done again, as certificates say (deletions, sources closed or moved): {redone}.", redone=number(done.redone))
    )
    if done.rekey:
        console.print(
            _(
                "The backup brought back keys of learners that had been replaced since, or were being replaced. The "
                "job `rekey` replaces them again once the service runs; `sillage keys rekey-learners` does so at once."
            )
        )
    console.print(_("Credentials revoked since the backup: see `sillage source list` and `sillage credential list`."))


@click.group()
def tombstones() -> None:
    """Tombstones: keyed MACs of erased identifiers, by which a restore erases again."""


@tombstones.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def tombstones_export(container: Container, file: Path) -> None:
    """Write the tombstones of the database to FILE, for `sillage restore --tombstones` after its loss."""
    written = container.operations.backups.export_tombstones(file)
    out().print(
        _(
            "{are} in {file}. Keep it away from the database, beside its backups.",
            are=counted(written, "tombstone is", "tombstones are"),
            file=file,
        )
    )


def _needed(manifest: Manifest) -> str:
    versions = sorted({*manifest.organisation_versions, *manifest.learner_versions})
    return _("It needs version {versions} of the key-encryption key.", versions=", ".join(map(str, versions)))


class _Shown:
    """A bar of progress that says what it is about."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)

    def __call__(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def describe(self, what: str) -> None:
        """Go on with something else."""
        self._progress.reset(self._task, description=what, total=None)


@contextmanager
def _progress(what: str) -> Iterator[_Shown]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = out()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Shown(progress, what)


COMMANDS = (backup, restore, tombstones)
