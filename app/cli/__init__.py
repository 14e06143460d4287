"""The ``sillage`` command: the commands of every feature, and those of a store's life."""

from __future__ import annotations

import os
import sys
import traceback

import click
from rich.console import Console

from app.cli import server
from app.commands import words
from app.commands.words import _
from app.core import collector
from app.core.errors import SillageError
from app.core.release import RELEASE
from app.settings import load
from app.web import logs
from app.wiring.container import Container
from app.wiring.feature import features_of

_console = Console(stderr=True, highlight=False, emoji=False)


def command_line(kind: type[Container] = Container) -> click.Group:
    """The command, with the commands of every feature that this container lists."""

    @click.group("sillage", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
    @click.version_option(RELEASE, prog_name="sillage")
    @click.pass_context
    def group(context: click.Context) -> None:
        """A learning-trace (xAPI) record store for education. Settings come from SILLAGE_… variables."""
        if {"-h", "--help"} & set(sys.argv):
            return
        # What a command makes is its owner's alone; what it has to say goes to people.
        os.umask(0o077)
        logs.configure("warning", "console")
        container = kind(load(os.environ))
        context.obj = container
        context.call_on_close(container.close)

    for command in server.COMMANDS:
        group.add_command(command)
    for feature in features_of(kind):
        for command in feature.commands:
            group.add_command(command)
    return group


cli = command_line()


def main() -> None:
    """Run the command, in the language of its locale; an error becomes a sentence and exit code 2."""
    collector.spare_what_is_loaded()
    words.speak(words.language_of(os.environ))
    words.localise(cli)
    try:
        cli(standalone_mode=False)
    except SillageError as error:
        _console.print(f"[bold red]{words.title(error)}[/] ({error.code})")
        _console.print(words.detail(error.detail), markup=False)
        for fault in error.faults:
            _console.print(f"  {fault.pointer or '/'}: {fault.message} [{fault.rule}, {fault.section}]", markup=False)
        sys.exit(2)
    except click.Abort:
        _console.print(_("Stopped."))
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
            _("Unforeseen failure: {kind} at {place}", kind=type(unforeseen).__name__, place=place), markup=False
        )
        sys.exit(70)
