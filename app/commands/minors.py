"""``sillage minors …``: a policy about minors applied to what is stored."""

from __future__ import annotations

import click
from rich.progress import Progress

from app.commands.container import Container
from app.commands.screen import out, table


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
    console.print(f"Home page of the accounts that replace addresses: {container.traces.pseudonym_home()}")
    if container.traces.pseudonym_home.elsewhere:
        console.print("This store has used it before: it stays, though SILLAGE_PUBLIC_URL is another here.")
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("Going through statements", total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        done = container.operations.minors_pass.apply(source, dry_run=not execute, progress=report)
    rows = table("what", "statements")
    for words, count in (
        ("gone through", done.seen),
        (f"{done.policy}: changed" if execute else f"{done.policy}: would be changed", done.changed),
        ("of these, whose learner gets another account", done.learners),
        ("of these, with attachments, whose data are not looked at", done.attachments),
        ("left: signed", done.signed),
        ("left: of persons who are restricted or object", done.held),
        ("not looked at: they do not open", done.unopened),
    ):
        rows.add_row(words, f"{count:,}")
    console.print(rows)
    console.print("Found: " + ", ".join(f"{kind} {count:,}" for kind, count in done.found.items()) + ".")
    console.print(
        "Not looked at: documents of State and profiles, data of attachments, what is known of activities, backups."
    )
    if not execute:
        console.print("Nothing was changed. Add --execute to change it.")


COMMANDS = (minors,)
