"""``sillage minors …``: a policy about minors applied to what is stored."""

from __future__ import annotations

import click
from rich.progress import Progress

from app.commands.container import Container
from app.commands.screen import out, table
from app.commands.words import _, number


@click.group()
def minors() -> None:
    """Statements about minors that are stored already."""


@minors.command("apply")
@click.argument("id", metavar="SOURCE")
@click.option("--execute", is_flag=True, help="Change what is stored. Without it, only say what would be changed.")
@click.pass_obj
def apply(container: Container, id: str, execute: bool) -> None:
    """Apply the source's policy about minors to what it has stored; cut off, the same command goes on."""
    console = out()
    source = container.operations.sources.get(id)
    console.print(
        _(
            "Home page of the accounts that replace addresses: {home}",
            home=container.traces.pseudonym_home(),
        )
    )
    if container.traces.pseudonym_home.elsewhere:
        console.print(_("This store has used it before: it stays, though SILLAGE_PUBLIC_URL is another here."))
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(_("Going through statements"), total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        done = container.operations.minors_pass.apply(source, dry_run=not execute, progress=report)
    rows = table("what", "statements")
    for words, count in (
        (_("gone through"), done.seen),
        (
            _("{policy}: changed", policy=done.policy)
            if execute
            else _("{policy}: would be changed", policy=done.policy),
            done.changed,
        ),
        (_("of these, whose learner gets another account"), done.learners),
        (_("of these, with attachments, whose data are not looked at"), done.attachments),
        (_("left: signed"), done.signed),
        (_("left: of persons who are restricted or object"), done.held),
        (_("not looked at: they do not open"), done.unopened),
    ):
        rows.add_row(words, number(count))
    console.print(rows)
    console.print(
        _("Found: {found}.", found=", ".join(f"{kind} {number(count)}" for kind, count in done.found.items()))
    )
    console.print(
        _("Not looked at: documents of State and profiles, data of attachments, what is known of activities, backups.")
    )
    if not execute:
        console.print(_("Nothing was changed. Add --execute to change it."))


COMMANDS = (minors,)
