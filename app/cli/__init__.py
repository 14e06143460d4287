"""The ``sillage`` command: groups of commands, wired to the services, and nothing else."""

from __future__ import annotations

import os
import sys
import traceback

import click
from rich.console import Console

from app.cli import (
    accounts,
    backup,
    contracts,
    erasure,
    governance,
    jobs,
    keys,
    minors,
    nomenclature,
    person,
    person_access,
    profile,
    requests,
    research,
    restriction,
    server,
    simulate,
    sources,
)
from app.core import collector
from app.core.errors import SillageError
from app.factory import VERSION, Container
from app.settings import load
from app.web import logs

_console = Console(stderr=True, highlight=False, emoji=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="sillage")
@click.pass_context
def cli(context: click.Context) -> None:
    """A learning-trace (xAPI) record store for education. Settings come from SILLAGE_… variables."""
    if {"-h", "--help"} & set(sys.argv):
        return
    # What a command makes is its owner's alone; what it has to say goes to people.
    os.umask(0o077)
    logs.configure("warning", "console")
    container = Container(load(os.environ))
    context.obj = container
    context.call_on_close(container.close)


for part in (
    server,
    sources,
    minors,
    profile,
    nomenclature,
    governance,
    contracts,
    person,
    person_access,
    erasure,
    restriction,
    requests,
    accounts,
    keys,
    backup,
    research,
    jobs,
    simulate,
):
    for command in part.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """Run the command; an error becomes a sentence and exit code 2."""
    collector.spare_what_is_loaded()
    try:
        cli(standalone_mode=False)
    except SillageError as error:
        _console.print(f"[bold red]{error.title} / {error.title_fr}[/] ({error.code})")
        _console.print(error.detail, markup=False)
        for fault in error.faults:
            _console.print(f"  {fault.pointer or '/'}: {fault.message} [{fault.rule}, {fault.section}]", markup=False)
        sys.exit(2)
    except click.Abort:
        _console.print("Stopped. / Arrêté.")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as unforeseen:
        # Its text may quote stored values; where it happened says enough to whoever mends it.
        last = traceback.extract_tb(unforeseen.__traceback__)[-1]
        place = f"{last.filename.rpartition('/app/')[2]}:{last.lineno}"
        _console.print(
            f"Unforeseen failure / Défaillance imprévue: {type(unforeseen).__name__} at {place}", markup=False
        )
        sys.exit(70)
