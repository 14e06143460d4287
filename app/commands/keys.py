"""``sillage keys``: the life of key-encryption keys, and of the index key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from app.commands.container import Container
from app.commands.given import Fraction, Number
from app.commands.screen import out, table
from app.commands.words import N_, _, counted, number
from app.core.errors import FileRefused, KeyBackupRefused, KeysUnopened
from app.keys.rekeying import Rekeying, Stage
from app.operations.rotation.kek import ProgressCallback, refuse_unopened
from app.operations.rotation.rekey import ProgressCallback as StageCallback

_MAX_PASSPHRASE = 4_096
Command = TypeVar("Command", bound=Callable[..., object])


@click.group()
def keys() -> None:
    """The key-encryption keys. Whoever loses the key file loses the data: keep a `sillage keys backup` elsewhere."""


@keys.command("status")
@click.pass_obj
def keys_status(container: Container) -> None:
    """Show each version of the key, its state, and what is wrapped with it."""
    with _progress(_("Counting")) as report:
        status = container.operations.key_service.status(progress=report)
    rows = table("version", "state", "made", "since", "organisation keys", "learners", "fingerprint", "held by")
    for one in status.versions:
        rows.add_row(
            str(one.number),
            Text(one.state, style={"active": "green", "missing": "red"}.get(one.state, "")),
            "-" if one.created is None else f"{one.created:%Y-%m-%d %H:%M:%SZ}",
            "-" if one.since is None else f"{one.since:%Y-%m-%d %H:%M:%SZ}",
            number(one.organisation_keys),
            number(one.learners),
            one.fingerprint or "-",
            _(
                "{holders} of {processes}",
                holders=one.holders,
                processes=counted(status.processes, "process", "processes"),
            ),
        )
    out().print(rows)
    with _progress(_("Counting statements")) as report:
        index = container.operations.index_rotation.status(lambda counted: report(counted, 0))
    said = _("Index key: generation {generation}", generation=index.generation)
    if index.stage is None:
        out().print(_("{said}, in force.", said=said))
    else:
        out().print(
            _(
                "{said}, being replaced by {generation} ({stage} since {seconds} s): {left} still under it. "
                "`sillage keys reindex` goes on.",
                said=said,
                generation=index.generation + 1,
                stage=index.stage,
                seconds=number(round(index.seconds)),
                left=counted(index.left, "statement is", "statements are"),
            )
        )
    documents = container.operations.documents_rotation.status()
    said = _("Documents key: generation {generation}", generation=documents.generation)
    if documents.stage is None:
        out().print(_("{said}, in force.", said=said))
    else:
        out().print(
            _(
                "{said}, being replaced by {next} ({stage} since {seconds} s). `sillage keys rotate "
                "--documents` goes on.",
                said=said,
                next=documents.next,
                stage=documents.stage,
                seconds=number(round(documents.seconds)),
            )
        )
    out().print(_learners_keys(container.operations.rekey.status()))
    missing = [str(one.number) for one in status.versions if one.state == "missing"]
    if missing:
        raise KeysUnopened(f"Something is wrapped with version {', '.join(missing)}, whose key is not at hand.")


@keys.command("rotate")
@click.option("--index", is_flag=True, help="Replace the index key, by which statements are found, instead.")
@click.option(
    "--documents", is_flag=True, help="Replace the documents key, which seals what is no single learner's, instead."
)
@click.pass_obj
def keys_rotate(container: Container, index: bool, documents: bool) -> None:
    """Make a new version active; the old one only opens from then on. Services notice without a restart."""
    console = out()
    if index and documents:
        raise click.UsageError(_("Give --index or --documents, not both: one rotation, then the other."))
    if documents:
        with _progress(_("Sealing anew")) as report:
            done_documents = container.operations.documents_rotation.rotate(progress=report)
        console.print(
            _(
                "Sealed anew with documents key {generation}: {documents}.",
                generation=done_documents.generation,
                documents=counted(done_documents.values, "document"),
            )
        )
        if done_documents.unopened:
            console.print(_("Left as they are, being damaged: {unopened}.", unopened=number(done_documents.unopened)))
        if done_documents.finished:
            console.print(_("The old documents key is destroyed; the audit log goes on under a new key."))
        else:
            console.print(_("Another run has just finished this rotation."))
        return
    if index:
        with console.status(_("Giving the new index key to every process")):
            generation = container.operations.index_rotation.rotate()
        console.print(
            _("New statements get tokens of index key {generation}; both are searched.", generation=generation)
        )
        console.print(_("Those stored before follow by the job `reindex`, or at once by `sillage keys reindex`."))
        return
    with console.status(_("Giving the new version to every process")):
        done = container.operations.key_service.rotate()
    if done.version == done.before:
        console.print(
            _("The rotation to version {version}, which had been cut off, is finished.", version=done.version)
        )
    else:
        console.print(
            _(
                "Version {version} is active; version {before} is decrypt-only.",
                version=done.version,
                before=done.before,
            )
        )
    console.print(_("Make a new copy now (`sillage keys backup`): older ones do not open what is written from now on."))
    console.print(_("Learners' keys follow by the job `rewrap`, or at once by `sillage keys rewrap`."))


@keys.command("rewrap")
@click.pass_obj
def keys_rewrap(container: Container) -> None:
    """Wrap every key that is under another version with the active one. May be cut off and run again."""
    with _progress(_("Wrapping learners' keys")) as report:
        done = container.operations.key_service.rewrap(progress=report)
    console = out()
    console.print(
        _(
            "Wrapped anew: {keys_of_learners}, {organisation_keys} of the organisation.",
            keys_of_learners=_keys_of_learners(done.learners),
            organisation_keys=done.organisation_keys,
        )
    )
    if done.meanwhile:
        console.print(
            _("Changed or destroyed meanwhile, and left as they are: {meanwhile}.", meanwhile=number(done.meanwhile))
        )
    if done.unopened:
        raise KeysUnopened(f"Not opened, and left: {_keys_of_learners(done.unopened)}. Run `sillage keys verify`.")


_share = click.option(
    "--share",
    default=1.0,
    show_default=True,
    type=Fraction(0.01, 1.0),
    help="Share of the time to work in; the rest is left to those who send and ask.",
)


@keys.command("reindex")
@_share
@click.pass_obj
def keys_reindex(container: Container, share: float) -> None:
    """Give every statement under the old index key tokens of the new one. May be cut off and run again."""
    with _progress(_("Making tokens anew")) as report:
        done = container.operations.index_rotation.reindex(progress=report, share=share)
    console = out()
    rate = _rate(done.statements, done.seconds)
    console.print(
        _(
            "Tokens made anew: {statements}{rate}; {referring} that refer to them.",
            statements=counted(done.statements, "statement"),
            rate=rate,
            referring=number(done.referring),
        )
    )
    if done.unopened:
        console.print(
            _(
                "Of these, being erased or damaged, not decrypted and found by their id alone: {unopened}.",
                unopened=number(done.unopened),
            )
        )
    console.print(_("The old index key is destroyed.") if done.finished else _("There is no old index key to destroy."))


@keys.command("reseal")
@_share
@click.pass_obj
def keys_reseal(container: Container, share: float) -> None:
    """Move every statement to the format in which they are written now. May be cut off and run again."""
    with _progress(_("Sealing anew")) as report:
        done = container.operations.reseal.run(progress=report, share=share)
    console = out()
    rate = _rate(done.now, done.seconds)
    console.print(
        _(
            "Gone through: {statements}{rate}. Moved to format {format}: {resealed}.",
            statements=counted(done.seen, "statement"),
            rate=rate,
            format=done.format,
            resealed=number(done.resealed),
        )
    )
    if done.unopened:
        console.print(_("Left as they are, being erased or damaged: {unopened}.", unopened=number(done.unopened)))


@keys.command("rekey-learners")
@click.option("--dry-run", is_flag=True, help="Say how much there is to go through, and change nothing.")
@_share
@click.pass_obj
def keys_rekey_learners(container: Container, dry_run: bool, share: float) -> None:
    """Give every learner a new key, and seal anew all that is under the old ones, which are destroyed.

    After a leak of the key file and of a copy of the database: run `sillage keys rotate` first, or the new keys are
    wrapped with what leaked. The service goes on meanwhile. May be cut off and run again.
    """
    console = out()
    standing = container.operations.rekey.standing()
    console.print(
        _(
            "{learners} and about {statements}. New keys are wrapped with version {active} of the key-encryption key.",
            learners=counted(standing.learners, "learner"),
            statements=counted(standing.statements, "statement"),
            active=standing.active,
        )
    )
    if dry_run:
        console.print(_learners_keys(standing.rekeying))
        console.print(_("Nothing was changed."))
        return
    with _stages() as report:
        done = container.operations.rekey.run(progress=report, share=share)
    if not done.finished:
        console.print(_("Another run has just ended this; rekey {number} is done.", number=done.number))
        return
    rate = _rate(done.statements, done.seconds)
    console.print(
        _(
            "Rekey {number} is done: {keys}; the old ones are destroyed.",
            number=done.number,
            keys=counted(done.learners, "learner has a new key", "learners have new keys"),
        )
    )
    console.print(
        _(
            "Sealed anew: {values}; this run went through {statements}{rate}.",
            values=counted(done.moved, "value"),
            statements=counted(done.statements, "statement"),
            rate=rate,
        )
    )
    if done.unopened:
        console.print(
            _(
                "Left as they are, being erased or damaged: {statements}.",
                statements=counted(done.unopened, "statement"),
            )
        )
    console.print(_("Backups from before hold the old keys, and what they open: make a new one, and destroy those."))


def _keys_of_learners(number: int) -> str:
    return counted(number, "learner's key", "learners' keys")


def _learners_keys(rekeying: Rekeying | None) -> str:
    if rekeying is None:
        return _("Learners' keys: those that they began with.")
    if rekeying.finished is not None:
        when = f"{rekeying.finished:%Y-%m-%d %H:%M:%SZ}"
        return _(
            "Learners' keys: replaced for the last time on {when} (rekey {number}).", when=when, number=rekeying.number
        )
    return _(
        "Learners' keys: being replaced (rekey {number}, {stage} since {seconds} s): {learners} two, "
        "{values} sealed anew. `sillage keys rekey-learners` goes on, or the job `rekey`.",
        number=rekeying.number,
        stage=rekeying.stage,
        seconds=number(round(rekeying.seconds)),
        learners=counted(rekeying.learners, "learner has", "learners have"),
        values=counted(rekeying.moved, "value is", "values are"),
    )


_STAGES = {
    Stage.GIVING: N_("Giving out new keys"),
    Stage.GIVEN: N_("Waiting until every process knows them"),
    Stage.MOVING: N_("Sealing anew"),
    Stage.CLOSING: N_("Destroying the old keys"),
}


@contextmanager
def _stages() -> Iterator[StageCallback]:
    with _bar() as progress:
        task = progress.add_task("", total=None)

        def report(stage: str, done: int, total: int) -> None:
            progress.update(task, description=_(_STAGES[Stage(stage)]), completed=done, total=total or None)

        yield report


@keys.command("verify")
@click.option(
    "--sample",
    default=200,
    show_default=True,
    type=Number(0, 100_000),
    help="Learners of whom one statement, taken at random, is opened too.",
)
@click.pass_obj
def keys_verify(container: Container, sample: int) -> None:
    """Decrypt every key of the organisation and of learners, and some statements; exit code 2 if one cannot be."""
    with _progress(_("Opening learners' keys")) as report:
        found = container.operations.key_service.verify(sample, progress=report)
    console = out()
    opened = found.learners - sum(found.unopened.values())
    console.print(
        _(
            "Opened: {opened} of {keys_of_learners}, ",
            opened=number(opened),
            keys_of_learners=_keys_of_learners(found.learners),
        )
    )
    console.print(
        _(
            "        {opened} of {statements} tried.",
            opened=number(found.statements - len(found.damaged)),
            statements=counted(found.statements, "statement"),
        )
    )
    for subject in found.subjects:
        console.print(_("Does not open: the key of learner {subject}", subject=subject))
    for id in found.damaged:
        console.print(_("Does not open: statement {id}", id=id))
    refuse_unopened(found)


@keys.command("public")
@click.pass_obj
def keys_public(container: Container) -> None:
    """Print the public key that receipts and checkpoints are verified with (PEM, Ed25519). Give it to whoever asks."""
    click.echo(container.keys.signer.pem, nl=False)


@keys.command("retire")
@click.argument("version", type=Number(1))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def keys_retire(container: Container, version: int, yes: bool) -> None:
    """Destroy VERSION, if it is decrypt-only and nothing is wrapped with it any more."""
    if not yes:
        click.confirm(
            _("Destroy version {version}? Backups that need it give nothing then.", version=version),
            abort=True,
            err=True,
        )
    container.operations.key_service.retire(version)
    out().print(_("Version {version} is destroyed. Copies of the key file made before still hold it.", version=version))
    out().print(_("Destroy them too, but not before every backup of the database that needs it has expired."))
    out().print(_("So does every `sillage keys backup` made before: make a new one now, and destroy those likewise."))


def _passphrase_options(command: Command) -> Command:
    for option in (
        click.option(
            "--passphrase-fd",
            type=Number(0),
            metavar="N",
            help="Read the passphrase from this file descriptor: its first line.",
        ),
        click.option(
            "--passphrase-file",
            type=click.Path(path_type=Path),
            help="Read the passphrase from this file: its first line.",
        ),
    ):
        command = option(command)
    return command


@keys.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@_passphrase_options
@click.pass_obj
def keys_backup(container: Container, file: Path, passphrase_file: Path | None, passphrase_fd: int | None) -> None:
    """Write a copy of all keys to FILE, under a passphrase. Keep it, and the passphrase, away from the data."""
    passphrase = _passphrase(passphrase_file, passphrase_fd, twice=True)
    versions = container.operations.key_service.backup(file, passphrase)
    console = out()
    console.print(
        _("Versions {versions} are in {file}, read back and whole.", versions=", ".join(map(str, versions)), file=file)
    )
    console.print(_("Without the key file, or such a copy AND its passphrase, nobody can read what is stored."))


@keys.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@_passphrase_options
@click.pass_obj
def keys_restore(container: Container, file: Path, passphrase_file: Path | None, passphrase_fd: int | None) -> None:
    """Write the key file from the copy in FILE. A key file that is there is never overwritten."""
    passphrase = _passphrase(passphrase_file, passphrase_fd, twice=False)
    versions, proved = container.operations.key_service.restore(file, passphrase)
    console = out()
    console.print(_("The key file holds versions {versions} again.", versions=", ".join(map(str, versions))))
    console.print(_("They open this store.") if proved else _("This database has no keys yet, so they were not tried."))


def _passphrase(file: Path | None, descriptor: int | None, *, twice: bool) -> str:
    if file is not None and descriptor is not None:
        raise click.UsageError(_("Give --passphrase-file or --passphrase-fd, not both."))
    if file is None and descriptor is None:
        typed: str = click.prompt(_("Passphrase"), hide_input=True, confirmation_prompt=twice, err=True)
        return typed
    try:
        # The number of an open descriptor is a name that the system knows.
        with (Path(f"/dev/fd/{descriptor}") if file is None else file).open("rb") as source:
            line = source.readline(_MAX_PASSPHRASE)
    except OSError:
        raise FileRefused("The passphrase cannot be read.") from None
    try:
        return line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        raise KeyBackupRefused("The passphrase is not UTF-8 text.") from None


def _rate(count: int, seconds: float) -> str:
    return _(", {rate} a second", rate=number(round(count / seconds))) if seconds else ""


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = out()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def _progress(what: str) -> Iterator[ProgressCallback]:
    with _bar() as progress:
        task = progress.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield report


COMMANDS = (keys,)
