"""``sillage simulate``: write made-up statements, for trying the store out."""

from __future__ import annotations

import contextlib
import gzip
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.commands.given import Moment, Number
from app.commands.words import _, counted
from app.core.errors import FileRefused
from app.core.personal_data import GIVEN, DeclaredFile, Impersonal
from app.simulation.traces import Trace
from app.simulation.traces import simulate as traces


@click.command()
@click.option("--seed", type=Number(0), default=1, show_default=True, help="The same seed gives the same statements.")
@click.option("--pupils", type=Number(1, 10_000_000), default=200, show_default=True)
@click.option("--days", type=Number(1, 3_660), default=5, show_default=True, help="Weekends counted.")
@click.option("--start", type=Moment(), default="2026-09-07", show_default=True, help="First day.")
@click.option(
    "--source",
    type=click.Choice(["ent", "p2ia"]),
    help="Only the statements of the workspace (ent) or of the adaptive tools (p2ia).",
)
@click.option(
    "--out", default="-", show_default=True, help="File to write; gzip if it ends with .gz; - for standard output."
)
def simulate(seed: int, pupils: int, days: int, start: datetime, source: str | None, out: str) -> None:
    """Write realistic xAPI statements of made-up schools, one JSON object a line.

    They conform to the project's own ENT and P2IA profiles. Nobody in them is real.
    """
    written = 0
    with _target(out) as target:
        stream = traces(seed=seed, pupils=pupils, days=days, start=start.date())
        for trace in _watched(stream, start.date(), days):
            if source in (None, trace.source):
                target.write(orjson.dumps(trace.statement, option=orjson.OPT_APPEND_NEWLINE))
                written += 1
    Console(stderr=True, highlight=False).print(_("{statements} written", statements=counted(written, "statement")))


FILES = (DeclaredFile("*", GIVEN, Impersonal("`sillage simulate`: statements of persons who do not exist")),)


@contextlib.contextmanager
def _target(out: str) -> Iterator[BinaryIO]:
    if out == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with Path(out).open("wb") as plain:
            if out.endswith(".gz"):
                # No name and no time in the header: the same seed gives the same file.
                with gzip.GzipFile("", "wb", 6, plain, 0) as packed:
                    yield packed  # type: ignore[misc]  # a GzipFile writes bytes like any binary file
            else:
                yield plain
    except OSError as refused:
        raise FileRefused(f"The file given to --out cannot be written: {refused.strerror}.") from None


def _watched(stream: Iterator[Trace], start: date, days: int) -> Iterator[Trace]:
    """The traces, with a progress bar on standard error that moves day by day."""
    bar = Progress(
        TextColumn(_("Simulating")),
        BarColumn(),
        TextColumn(_("day {task.completed:.0f} of {task.total:.0f}")),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=days)
        today = ""
        for trace in stream:
            moment = str(trace.statement["timestamp"])
            if moment[:10] != today:
                today = moment[:10]
                bar.update(task, completed=(date.fromisoformat(today) - start).days + 1)
            yield trace
        bar.update(task, completed=days)


COMMANDS = (simulate,)
