"""``sillage person access``: everything that is held about one person, as a zip (GDPR art. 15 and 20)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.cli.person import person, person_options
from app.cli.purpose import purpose_option
from app.cli.screen import out
from app.governance.person_package import Packages
from app.governance.person_package import Progress as Stage
from app.governance.persons import Person
from app.storage.whole_file import new_file

_STAGES = {
    "statements": "statements",
    "references": "statements that refer to them",
    "documents": "documents",
    "audit": "entries of the audit log",
}


class Giving(Protocol):
    """What this command needs of the parts that the factory builds."""

    @property
    def packages(self) -> Packages:
        """Packages of access."""


@person.command("access")
@person_options
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="DEST.zip",
    help="Zip to write; a file that is there is never overwritten.",
)
@click.option("--case", metavar="ID", help="The request that it answers.")
@purpose_option
@click.pass_obj
def access(parts: Giving, who: Person, target: Path, case: str | None) -> None:
    """Write a zip of everything held about a person, other people masked. Readable pages in French and English."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    length = 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Reading", total=None)

        def told(stage: Stage) -> None:
            bar.update(task, description=f"Read: {stage.done:,} {_STAGES[stage.stage]}")

        # The name is tried before anything is read, and nothing has it before all is written.
        with new_file(target) as file:
            for piece in parts.packages.write(who, actor="cli:person access", case=case, progress=told):
                file.write(piece)
                length += len(piece)
    console = out()
    console.print(f"{target}: {length:,} bytes. Begin with index.fr.html or index.en.html in it.")
    console.print(
        "It holds personal data: give it to that person, or to those who answer for them, and delete it here."
    )


# The command is in the group ``person``.
COMMANDS: tuple[click.Command, ...] = ()
