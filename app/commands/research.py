"""``sillage aggregate`` and ``sillage export``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.commands import screen
from app.commands.container import Container
from app.commands.given import Moment
from app.commands.purpose import purpose_option
from app.commands.words import _, counted, spoken

_DAY = Moment()


@click.group()
def aggregate() -> None:
    """Tables computed from statements, declared in schemas/aggregates."""


@aggregate.command("run")
@click.pass_obj
def aggregate_run(container: Container) -> None:
    """Count what has been stored since the last run. Safe beside the scheduler, and when stopped midway."""
    counting = container.people.counting
    with _bar("aggregating") as report:
        summary = counting.run(progress=report)
    console = screen.out()
    done = counted(summary.statements, "statement")
    console.print(_("{done} counted, through {through}", done=done, through=screen.instant(summary.through)))
    if summary.corrected:
        console.print(
            _(
                "{months} counted again: statements in them were voided or deleted",
                months=counted(summary.corrected, "month"),
            )
        )
    if summary.waiting:
        console.print(
            _(
                "{cells} with changes that wait: too few learners stand behind what would be seen",
                cells=counted(summary.waiting, "cell"),
            )
        )
    if summary.late:
        console.print(
            _(
                "{statements} came too late, for months whose learner keys are destroyed: not counted",
                statements=counted(summary.late, "statement"),
            )
        )
    if summary.settled:
        console.print(
            _("{months} settled: learner keys destroyed, figures kept", months=counted(summary.settled, "month"))
        )


@aggregate.command("status")
@click.pass_obj
def aggregate_status(container: Container) -> None:
    """Show how far each aggregate has come."""
    rows = screen.table("aggregate", "version", "counted through", "months", "settled", "late", "waiting")
    for line in container.research.aggregates.status():
        rows.add_row(
            line.definition.name,
            str(line.definition.version),
            _("never run to the end") if line.as_of is None else screen.instant(line.as_of),
            str(line.months),
            str(line.settled),
            str(line.late),
            str(line.waiting),
        )
    screen.out().print(rows)


@aggregate.command("list")
@click.pass_obj
def aggregate_list(container: Container) -> None:
    """List the aggregates with their dimensions and measures."""
    rows = screen.table("aggregate", "title", "period", "dimensions", "measures")
    for definition in container.research.aggregates.definitions():
        rows.add_row(
            definition.id,
            definition.title.fr if spoken() == "fr" else definition.title.en,
            definition.period,
            ", ".join(definition.dimension_names),
            ", ".join(measure.name for measure in definition.measures),
        )
    screen.out().print(rows)


@click.command()
@click.option("--aggregate", "names", multiple=True, help="Aggregate to export; default: all. Repeatable.")
@click.option("--from", "first", type=_DAY, help="First day: periods that start on or after it.")
@click.option("--to", "last", type=_DAY, help="Last day: periods that start on or before it.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder; default: exports, in the data folder."
)
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="TEXT",
    help="For whom it is: a function or an organisation, not a name. Repeatable.  [default: the organisation itself]",
)
@purpose_option
@click.pass_obj
def export(
    container: Container,
    names: tuple[str, ...],
    first: datetime | None,
    last: datetime | None,
    out: Path | None,
    recipients: tuple[str, ...],
) -> None:
    """Write a data package: Parquet, CSV, datapackage.json, codebook. Small groups are hidden.

    Who it is for stands in the package and in the audit log: persons are told it, and whoever erases them.
    """
    exports = container.research.exports
    with _bar("exporting") as report:
        package = exports.run(
            names,
            first=first.date() if first else None,
            last=last.date() if last else None,
            target=out,
            recipients=recipients,
            actor="cli:export",
            progress=report,
        )
    console = screen.out()
    console.print(str(package.path) if package.new else _("{path} (was there already, unchanged)", path=package.path))
    for name, rows in package.rows.items():
        console.print(f"  {name}: {counted(rows, 'cell')}")
    console.print(
        _(
            "  of these, {hidden} (small groups)",
            hidden=counted(package.hidden, "is hidden", "are hidden"),
        )
    )


COMMANDS = (aggregate, export)


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield report
