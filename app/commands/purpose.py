"""The option ``--purpose`` of commands that show or change what is kept of persons, or show who read it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import click

from app.commands.container import Container

Command = TypeVar("Command", bound=Callable[..., object])


def purpose_option(command: Command) -> Command:
    """Take ``--purpose``, and refuse before anything is done what is not a known code, or lacks where it is needed."""

    @wraps(command)
    def stating(*given: object, purpose: str | None, **named: object) -> object:
        container: Container = click.get_current_context().obj
        container.governance.purpose.state(purpose)
        return command(*given, **named)

    option = click.option(
        "--purpose",
        metavar="CODE",
        help="What it is done for: a code of SILLAGE_PURPOSES, kept in the audit log.",
    )
    return option(stating)  # type: ignore[return-value]  # click's option wraps it; what it takes is what ``command`` takes
