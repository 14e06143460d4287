"""The end of a contract, and deletion on the operator's word: each with a signed certificate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.commands import signed
from app.commands.container import Container
from app.commands.given import Moment, Number
from app.commands.governance import processing_activity
from app.commands.screen import instant, out, table
from app.commands.sources import source
from app.commands.words import _, counted, number
from app.core.errors import BadRequest, FileRefused, NotFound
from app.retention.certificate_store import DELETING, Act
from app.retention.certificates import CERTIFICATE
from app.retention.deletions import Plan
from app.retention.service import RetentionLine

_DATES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")
_F = TypeVar("_F", bound=Callable[..., Any])


def word_options(command: _F) -> _F:
    """The options of every act on the operator's word."""
    for option in (
        click.option("--certificate", "file", type=click.Path(path_type=Path), help="Write the certificate here."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--execute", is_flag=True, help="Do it. Without it, only say what would be done."),
        click.option("--reason", default="", help="Why, for the certificate; nothing that tells a person."),
        click.option("--decided-by", "word", default="", help="Whose word it is done on: a function, not a name."),
    ):
        command = option(command)
    return command


# --- sources and entries of the register ----------------------------------------------------------------


@source.command("close")
@click.argument("id", metavar="ID")
@word_options
@click.pass_obj
def source_close(
    container: Container, id: str, word: str, reason: str, execute: bool, yes: bool, file: Path | None
) -> None:
    """Accept nothing of a source any more: every key of it is revoked, for good. A dry run without --execute.

    What is stored stays until its duration is over; `sillage source delete-data` deletes it before.
    """
    plan = container.retention.deletions.plan(id)
    out().print(
        _(
            "Source {id}: {statements} and {documents}.",
            id=id,
            statements=counted(plan.statements + plan.restricted, "statement"),
            documents=counted(plan.documents, "document"),
        )
    )
    out().print(_("They stay until the duration of the register's entry is over. The source gets no key any more."))
    if _confirmed(_("Close it?"), word, reason, execute, yes, file):
        _done(container.retention.contracts.close(id, word=word, reason=reason, actor="cli:source close"), file)


@source.command("move")
@click.argument("id", metavar="ID")
@click.option(
    "--to", "entry", required=True, metavar="PROCESSING_ACTIVITY", help="The entry of the register it belongs to now."
)
@word_options
@click.pass_obj
def source_move(
    container: Container, id: str, entry: str, word: str, reason: str, execute: bool, yes: bool, file: Path | None
) -> None:
    """Put a source under another entry of the register. A dry run without --execute.

    What was stored before follows the new entry too: look at what becomes due.
    """
    plan = container.retention.contracts.planned(id, entry)
    rows = table("entry", "duration", "statements", "due", "documents", "due")
    for line in (plan.now, plan.then):
        due, written = line.due + line.closed_due, line.documents_due + line.documents_closed_due
        rows.add_row(
            line.activity, _duration(line), number(line.kept), number(due), number(line.documents), number(written)
        )
    out().print(rows)
    out().print(
        _(
            "What was stored before follows {entry} from then on: its purposes, its recipients, and its "
            "duration. The job `retention` deletes what is due under it the next night.",
            entry=entry,
        )
    )
    out().print(
        _(
            "If its purposes are others: look whether they are compatible with the first ones (GDPR art. 5(1)(b), "
            "6(4)), and tell the persons before (art. 13(3), 14(4)). This command does neither."
        )
    )
    if _confirmed(_("Move it?"), word, reason, execute, yes, file):
        _done(container.retention.contracts.move(id, entry, word=word, reason=reason, actor="cli:source move"), file)


@source.command("delete-data")
@click.argument("id", metavar="ID")
@click.option("--from", "first", type=Moment(*_DATES), help="Stored at or after this, UTC.")
@click.option("--to", "last", type=Moment(*_DATES), help="Stored before this, UTC.")
@click.option("--all", "everything", is_flag=True, help="All that it ever sent.")
@word_options
@click.pass_obj
def source_delete_data(
    container: Container,
    id: str,
    first: datetime | None,
    last: datetime | None,
    everything: bool,
    word: str,
    reason: str,
    execute: bool,
    yes: bool,
    file: Path | None,
) -> None:
    """Delete what a source sent in a time: statements, their attachments, documents. A dry run without --execute.

    Statements by when they were stored, documents by when they were last written. Data of restricted persons stay. May
    be cut off and run again.
    """
    if everything == (first is not None or last is not None):
        raise click.UsageError(_("Give --from, --to or both; or --all."))
    since, until = 0 if first is None else _us(first), None if last is None else _us(last)
    _show_plan(id, container.retention.deletions.plan(id, since, until))
    if _confirmed(_("Delete it? Nothing brings it back."), word, reason, execute, yes, file):
        with _progress() as report:
            act = container.retention.deletions.delete_data(
                id, since, until, word=word, reason=reason, actor="cli:source delete-data", progress=report
            )
        _done(act, file)


@processing_activity.command("end")
@click.argument("id", metavar="ID")
@click.option("--on", "day", required=True, type=Moment(), help="First day on which nothing is accepted.")
@click.option("--delete-data", is_flag=True, help="Delete what its sources sent, too, at once.")
@word_options
@click.pass_obj
def processing_activity_end(
    container: Container,
    id: str,
    day: datetime,
    delete_data: bool,
    word: str,
    reason: str,
    execute: bool,
    yes: bool,
    file: Path | None,
) -> None:
    """End an entry of the register on a day: its sources are closed then. A dry run without --execute.

    What is stored stays until its duration is over, unless --delete-data is given, which needs a day that has come.
    """
    if delete_data and not container.retention.contracts.has_come(day.date()):
        raise click.UsageError(_("That day has not come: end the entry without --delete-data, and delete then."))
    entry, sources = container.retention.contracts.of(id)
    out().print(
        _("Entry {id}, sources: {sources}.", id=entry.id, sources=", ".join(one.id for one in sources) or _("none"))
    )
    for one in sources:
        _show_plan(one.id, container.retention.deletions.plan(one.id), kept=True)
    if not delete_data:
        out().print(
            _(
                "They stay until they are {days} old, as the entry says.",
                days=counted(entry.retention.active_days, "day"),
            )
        )
    question = _("End it, and delete all that its sources sent?") if delete_data else _("End it?")
    if not _confirmed(question, word, reason, execute, yes, file):
        return
    act = container.retention.contracts.end(
        id, day.date(), word=word, reason=reason, actor="cli:processing-activity end"
    )
    if act.document is None:
        out().print(
            _("Its sources are closed on {day} by the job `erasure`; its certificate is made then.", day=day.date())
        )
        return
    _done(act, file)
    for one in sources if delete_data else ():
        with _progress() as report:
            _done(
                container.retention.deletions.delete_data(
                    one.id, word=word, reason=reason, actor="cli:processing-activity end", progress=report
                ),
                None,
            )


# --- one statement --------------------------------------------------------------------------------------


@click.group()
def statement() -> None:
    """One statement."""


@statement.command("delete")
@click.argument("id", metavar="ID", type=click.UUID)
@word_options
@click.pass_obj
def statement_delete(
    container: Container, id: UUID, word: str, reason: str, execute: bool, yes: bool, file: Path | None
) -> None:
    """Delete one statement with its attachments. A dry run without --execute.

    A tool that sends it again stores it again. One that voids another may be deleted: that one stays voided.
    """
    found = container.retention.deletions.statement(id)
    out().print(
        _(
            "Statement {id} of source {source}, stored {stored}.",
            id=id,
            source=found.source,
            stored=instant(found.stored),
        )
    )
    if _confirmed(_("Delete it? Nothing brings it back."), word, reason, execute, yes, file):
        _done(
            container.retention.deletions.delete_statement(id, word=word, reason=reason, actor="cli:statement delete"),
            file,
        )


# --- certificates ---------------------------------------------------------------------------------------


@click.group()
def certificate() -> None:
    """Certificates of what was done on the operator's word: signed, and verified without the store."""


@certificate.command("list")
@click.option("--processing-activity", "entry", help="Of this entry of the register.")
@click.option("--limit", default=50, show_default=True, type=Number(1, 10_000))
@click.pass_obj
def certificate_list(container: Container, entry: str | None, limit: int) -> None:
    """Show the newest certificates, and what is under way."""
    rows = table("certificate", "asked", "what", "processing activity", "source", "phase", "statements", "documents")
    for act in container.retention.certificates.newest(limit, activity=entry):
        rows.add_row(
            str(act.id),
            f"{act.at:%Y-%m-%d %H:%M:%SZ}",
            act.kind,
            act.activity if act.to is None else _("{activity} to {to}", activity=act.activity, to=act.to),
            act.source or "-",
            act.phase if act.on is None else _("{phase}, on {on}", phase=act.phase, on=act.on),
            number(act.counts.get("statements", 0)),
            number(act.counts.get("documents", 0)),
        )
    out().print(rows)


@certificate.command("write")
@click.argument("id", metavar="CERTIFICATE", type=click.UUID)
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def certificate_write(container: Container, id: UUID, file: Path) -> None:
    """Write CERTIFICATE to FILE. Keep it away from the database: after its loss, `certificate reapply` goes by it."""
    act = container.retention.certificates.get(id)
    if act.document is None:
        raise NotFound("There is no certificate yet: it is under way.")
    signed.write(act.document, file, "certificate")


@certificate.command("verify")
@signed.verify_options
def certificate_verify(file: Path, public_key: Path) -> None:
    """Verify the signature of a certificate. Needs neither the store nor its keys."""
    found = signed.verified(file, public_key, "certificate")
    if found.format == CERTIFICATE:
        for name, value in found.content.items():
            shown = (
                ", ".join(f"{key} {number(each)}" for key, each in value.items()) if isinstance(value, dict) else value
            )
            out().print(f"  {name}: {', '.join(shown) if isinstance(shown, list) else shown}")


@certificate.command("reapply")
@click.argument("files", metavar="FILE...", nargs=-1, type=click.Path(path_type=Path))
@click.pass_obj
def certificate_reapply(container: Container, files: tuple[Path, ...]) -> None:
    """Do again what certificates say, in a store restored from an older backup: deletions, sources closed or moved.

    By those that the store has, and those given. `sillage restore` does it with those that the database still had.
    """
    done = container.retention.contracts.reapply(
        [signed.read(file, "certificate") for file in files], actor="cli:certificate reapply"
    )
    out().print(
        _(
            "{acts} carried out again.",
            acts=counted(len(done), "act that had something to change was", "acts that had something to change were"),
        )
    )
    for id in done:
        out().print(f"  {id}")


# --- words ----------------------------------------------------------------------------------------------


def _confirmed(question: str, word: str, reason: str, execute: bool, yes: bool, file: Path | None) -> bool:
    """True if the act is to be carried out."""
    if not execute:
        out().print(_("Nothing was done. Add --execute, --decided-by and --reason to do it."))
        return False
    if not word.strip() or not reason.strip():
        raise click.UsageError(_("Say on whose word and why: --decided-by, --reason. Both stand in the certificate."))
    if file is not None and file.exists():
        raise FileRefused("The file for the certificate is there already; it is not overwritten.")
    if not yes:
        click.confirm(question, abort=True, err=True)
    return True


def _show_plan(id: str, plan: Plan, *, kept: bool = False) -> None:
    console = out()
    statements, documents = counted(plan.statements, "statement"), counted(plan.documents, "document")
    console.print(
        _("{id}: {statements} and {documents} are stored.", id=id, statements=statements, documents=documents)
        if kept
        else _(
            "{id}: {statements} and {documents} would be deleted.", id=id, statements=statements, documents=documents
        )
    )
    if plan.restricted:
        console.print(
            _(
                "{id}: {statements} more of persons who are restricted: kept.",
                id=id,
                statements=counted(plan.restricted, "statement"),
            )
        )


def _done(act: Act, file: Path | None) -> None:
    console = out()
    if act.phase == DELETING:
        console.print(_("Deletion {id} is gone on with by another process: `sillage certificate list`.", id=act.id))
        return
    console.print(_("Done. Certificate {id} ({kind}).", id=act.id, kind=act.kind))
    for name, count in sorted(act.counts.items()):
        console.print(f"  {name}: {number(count)}")
    if file is not None:
        signed.write(act.document or b"", file, "certificate")


def _us(moment: datetime) -> int:
    found = round(moment.replace(tzinfo=UTC).timestamp() * 1_000_000)
    if found < 0:
        raise BadRequest("Nothing was stored before 1970.")
    return found


def _duration(line: RetentionLine) -> str:
    months = line.account_closed_months
    return counted(line.active_days, "day") + (
        "" if months is None else _(", or {months} after the account ended", months=counted(months, "month"))
    )


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = out()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(_("Deleting"), total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total or None)

        yield report


COMMANDS = (statement, certificate)
