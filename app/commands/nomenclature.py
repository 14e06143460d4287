"""``sillage nomenclature …``: the courses of study (MEF) and schools that statements may name, edition by edition."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from app.commands.container import Container
from app.commands.given import Moment
from app.commands.screen import out, table
from app.commands.words import N_, _, counted, number
from app.core.errors import FileRefused
from app.standards.france import mef

MEF, SCHOOLS = "mef", "schools"
_kind = click.option(
    "--kind",
    type=click.Choice([MEF, SCHOOLS]),
    default=MEF,
    show_default=True,
    help="Courses of study, or the directory of schools.",
)


@click.group()
def nomenclature() -> None:
    """The nomenclature of courses of study (MEF) and the directory of schools, with their history."""


@nomenclature.command()
@click.argument("file", type=click.Path(path_type=Path))
@_kind
@click.option(
    "--from",
    "since",
    type=Moment(),
    help="First day on which it is in force. Default: 1 September of the school year in the file's name; for schools, "
    "which are published each day, today.",
)
@click.pass_obj
def load(container: Container, file: Path, kind: str, since: datetime | None) -> None:
    """Load an edition from FILE, the published CSV. Earlier editions are kept: each statement is held to the one in
    force on its date.
    """
    try:
        content = file.read_bytes()
    except OSError as refused:
        raise FileRefused(f"{file} cannot be read: {refused.strerror}.") from None
    actor = "cli:nomenclature load"
    if kind == SCHOOLS:
        day = since.date() if since else container.platform.today()
        edition = container.schools.directory.load(content, day, actor=actor)
        click.echo(
            _("{schools}, in force from {since}.", schools=counted(edition.schools, "school"), since=edition.since)
        )
        return
    year: date | None = since.date() if since else mef.school_year(file.name)
    if year is None:
        raise click.UsageError(_("The file's name tells no school year: give --from, such as 2025-09-01."))
    loaded = container.traces.nomenclatures.load(content, year, actor=actor)
    click.echo(_("{codes} MEF codes, in force from {since}.", codes=number(loaded.codes), since=loaded.since))


@nomenclature.command("list")
@_kind
@click.pass_obj
def list_(container: Container, kind: str) -> None:
    """List every edition ever loaded; of those of one day, the last counts."""
    rows = table("in force from", "loaded")
    rows.add_column(N_("schools") if kind == SCHOOLS else N_("codes"), justify="right")
    if kind == SCHOOLS:
        for directory in container.schools.directory.list():
            rows.add_row(str(directory.since), f"{directory.loaded:%Y-%m-%d %H:%M}", number(directory.schools))
    else:
        for edition in container.traces.nomenclatures.list():
            rows.add_row(str(edition.since), f"{edition.loaded:%Y-%m-%d %H:%M}", number(edition.codes))
    out().print(rows)


COMMANDS = (nomenclature,)
