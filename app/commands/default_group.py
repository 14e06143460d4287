"""A group of commands that is a command itself: what is no name of a command goes to one of them."""

from __future__ import annotations

from typing import Any

import click


class DefaultGroup(click.Group):
    """``sillage backup DEST`` beside ``sillage backup verify FILE``: the first word decides.

    Attributes:
        default: Name of the command that takes words that name none.
    """

    def __init__(self, *args: Any, default: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.default = default

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words are for, and its words."""
        if args and self.get_command(ctx, args[0]) is None:
            return self.default, self.get_command(ctx, self.default), args
        return super().resolve_command(ctx, args)
