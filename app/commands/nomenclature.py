"""``sillage nomenclature …``: the courses of study (MEF) that statements may name, edition by edition."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import click

from app.commands.container import Container
from app.commands.given import Moment
from app.commands.screen import out, table
from app.core.errors import FileRefused
from app.standards.france import mef


@click.group()
def nomenclature() -> None:
    """The nomenclature of courses of study (MEF), with its history."""


@nomenclature.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "since",
    type=Moment(),
    help="First day on which it is in force. Default: 1 September of the school year in the file's name.",
)
@click.pass_obj
def load(container: Container, file: Path, since: datetime | None) -> None:
    """Load an edition of the nomenclature from FILE, the published CSV. Earlier editions are kept: each statement is
    held to the one in force on its date.
    """
    day: date | None = since.date() if since else mef.school_year(file.name)
    if day is None:
        raise click.UsageError("The file's name tells no school year: give --from, such as 2025-09-01.")
    try:
        content = file.read_bytes()
    except OSError as refused:
        raise FileRefused(f"{file} cannot be read: {refused.strerror}.") from None
    loaded = container.traces.nomenclatures.load(content, day, actor="cli:nomenclature load")
    click.echo(f"{loaded.codes:,} MEF codes, in force from {loaded.since}.")


@nomenclature.command("list")
@click.pass_obj
def list_(container: Container) -> None:
    """List every edition ever loaded; of those of one day, the last counts."""
    rows = table("in force from", "loaded")
    rows.add_column("codes", justify="right")
    for edition in container.traces.nomenclatures.list():
        rows.add_row(str(edition.since), f"{edition.loaded:%Y-%m-%d %H:%M}", f"{edition.codes:,}")
    out().print(rows)


COMMANDS = (nomenclature,)
