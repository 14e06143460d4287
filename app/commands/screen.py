"""Output of commands: lines and tables on standard output, progress on standard error."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from app.commands.words import _

# Nobody reads a pipe or a file in columns of 80: what goes there is not cut.
_WIDE = 400
# Python holds these for not printable; French has spaces that do not end a line.
_SPACES = "\n\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Screen(Console):
    """A console on which text is only text: names come from operators and from documents of others.

    Brackets and colons mean nothing in it, and what would drive a terminal shows as U+FFFD. Style is given with
    ``style`` or as a ``rich.text.Text``.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """The text to show for a string, on a line or in a table."""
        shown = "".join(char if char.isprintable() or char in _SPACES else "\N{REPLACEMENT CHARACTER}" for char in text)
        return super().render_str(shown, **{**options, "markup": False, "emoji": False})


def out() -> Console:
    """Standard output: as wide as the terminal, or as wide as needed where there is none."""
    return _Screen(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)


class _Table(Table):
    """A table whose columns are headed in the language that is spoken."""

    def add_column(self, header: RenderableType = "", *given: Any, **named: Any) -> None:
        """A column; its heading is marked for translation by being given here."""
        super().add_column(_(header) if isinstance(header, str) and header else header, *given, **named)


def table(*columns: str, title: str | None = None) -> Table:
    """A table that folds long values rather than hide them; its cells are text, or ``Text`` where they have a style.

    Columns are English, and shown in the language that is spoken.
    """
    made = _Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def instant(microseconds: int | None) -> str:
    """Microseconds since 1970 to the second, UTC; a dash for none, and for what lies outside the calendar."""
    try:
        moment = None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        moment = None
    return "-" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")
