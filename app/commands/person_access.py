"""``sillage person access``: everything that is held about one person, as a zip (GDPR art. 15 and 20)."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.commands.container import Container
from app.commands.person import (
    Meant,
    RequestOf,
    data_subject_options,
    for_each,
    in_short,
    person,
    request_options,
    show_reach,
)
from app.commands.purpose import purpose_option
from app.commands.screen import out
from app.commands.words import N_, _, counted, number
from app.core.atomic_file import new_file
from app.core.errors import FileRefused
from app.core.personal_data import GIVEN, DeclaredFile, PersonalFile
from app.people.access_package.subject_access_export import Progress as Stage
from app.people.finding.pseudonyms import IdentifiedDataSubject

_STAGES = {
    "statements": "statements",
    "references": N_("statements that refer to them"),
    "documents": "documents",
    "audit": N_("entries of the audit log"),
}


FILES = (
    DeclaredFile(
        "*.zip",
        GIVEN,
        PersonalFile(
            what="`sillage person access`: a subject access export, all that is held of one person, in clear",
            retain="until it was given to the person: deleted by whoever wrote it, as the command says",
            erase="not reached: it is the person's copy",
            restore="untouched",
        ),
    ),
)


@person.command("access")
@data_subject_options
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DEST.zip",
    help="Zip to write; with --each, a folder that is there. A file that is there is never overwritten.",
)
@request_options
@purpose_option
@click.pass_obj
def access(container: Container, who: Meant, target: Path, requests: RequestOf) -> None:
    """Write a zip of everything held about a person, other people masked. Readable pages in French and English."""
    console = out()
    if who.each:
        if not target.is_dir():
            raise FileRefused("With --each, --to is a folder that is there.")

        def act(place: int, one: IdentifiedDataSubject) -> str:
            # By the place in the list: a name would stand in the folder, for whoever looks.
            file = target / f"agent-{place:04}.zip"
            length = _write(container, one, file, requests.at(place))
            return f"{file.name}, {counted(length, 'byte')}{in_short(container.people.finder.reach(one))}"

        for_each(who, act)
    else:
        if target.is_dir():
            raise click.UsageError(_("--to is a file; a folder goes with --each."))
        console.print(f"{target}: {counted(_write(container, who.one, target, requests.one), 'byte')}.")
        show_reach(container.people.finder.reach(who.one))
    console.print(
        _("Begin with index.fr.html or index.en.html in it. What was noted on requests of the person is in it, too.")
    )
    console.print(
        _("It holds personal data: give it to that person, or to those who answer for them, and delete it here.")
    )


def _write(container: Container, who: IdentifiedDataSubject, target: Path, request: str | None) -> int:
    """Write the zip of one person; how many bytes."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    length = 0
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(_("Reading"), total=None)

        def report(stage: Stage) -> None:
            bar.update(
                task, description=_("Read: {count} {what}", count=number(stage.done), what=_(_STAGES[stage.stage]))
            )

        # The name is tried before anything is read, and nothing has it before all is written.
        with new_file(target) as file:
            for piece in container.people.packages.write(
                who, actor="cli:person access", request=request, progress=report
            ):
                file.write(piece)
                length += len(piece)
    return length


# The command is in the group ``person``.
COMMANDS: tuple[click.Command, ...] = ()
