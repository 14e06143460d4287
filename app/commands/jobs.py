"""``sillage scheduler`` and ``sillage jobs``."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from types import FrameType

import click

from app.commands.container import Container
from app.commands.given import Number
from app.commands.screen import instant, out, table
from app.commands.words import _
from app.core import clock
from app.core.errors import JobFailed, NotFound
from app.platform.jobs.run import Job, execute
from app.platform.jobs.store import SUCCEEDED
from app.platform.mongo.embedded import server as embedded
from app.web import logs


@click.command()
@click.pass_obj
def scheduler(container: Container) -> None:
    """Run the jobs on time, while this process leads, until it is told to stop."""
    logs.configure(container.settings.log_level, container.settings.log_format)
    embedded.warn_in_production(container.settings)
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    container.scheduler.run(stop)


@click.group()
def jobs() -> None:
    """The scheduled jobs."""


@jobs.command("list")
@click.pass_obj
def jobs_list(container: Container) -> None:
    """Show each job, its last run and its last error, and who leads."""
    rows = table("job", "schedule", "last run", "outcome", "last success", "last error", "runs")
    states = {state.name: state for state in container.platform.job_repository.states()}
    for job in container.jobs:
        state = states.get(job.name)
        if state is None:
            rows.add_row(job.name, job.cron, "-", "-", "-", "-", "0")
            continue
        rows.add_row(
            job.name,
            job.cron,
            instant(state.last_started),
            state.last_outcome or "-",
            instant(state.last_success),
            _error(state.last_error),
            str(state.runs),
        )
    console = out()
    console.print(rows)
    held = container.platform.leadership.held()
    console.print(_("Led by {holder}.", holder=held.holder) if held else _("No scheduler leads now."))


@jobs.command("history")
@click.argument("name")
@click.option("--limit", default=20, show_default=True, type=Number(1, 1_000))
@click.pass_obj
def jobs_history(container: Container, name: str, limit: int) -> None:
    """Show the newest runs of job NAME."""
    job = _job(container, name)
    rows = table("started", "seconds", "outcome", "summary", "error")
    for run in container.platform.job_repository.history(job.name, limit):
        seconds = "-" if run.finished is None else f"{(run.finished - run.started) / 1e6:.1f}"
        summary = ", ".join(f"{name}={value}" for name, value in run.summary.items())
        rows.add_row(instant(run.started), seconds, run.outcome, summary, _error(run.error))
    out().print(rows)


@jobs.command("run")
@click.argument("name")
@click.pass_obj
def jobs_run(container: Container, name: str) -> None:
    """Run job NAME now, unless a scheduler leads."""
    job = _job(container, name)
    with container.platform.leadership.require() as lease:
        container.platform.job_repository.declare({job.name: job.cron}, clock.now_us())
        container.platform.job_repository.interrupt(lease.fence, clock.now_us())
        run = execute(job, lease, container.platform.job_repository, clock.now_us)
    console = out()
    console.print(f"{job.name}: {run.outcome}")
    for key, value in run.summary.items():
        console.print(f"  {key}: {value}")
    if run.outcome != SUCCEEDED:
        raise JobFailed(f"{job.name} {run.outcome}: {_error(run.error)}. The log says where.")


COMMANDS = (scheduler, jobs)


def _job(container: Container, name: str) -> Job:
    for job in container.jobs:
        if job.name == name:
            return job
    raise NotFound(f"No job has that name. There are: {', '.join(job.name for job in container.jobs)}.")


def _error(error: Mapping[str, str] | None) -> str:
    return "-" if error is None else f"{error['class']} ({error['code']})"
