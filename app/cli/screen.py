"""Where the commands print: lines and tables on standard output, progress on standard error."""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.table import Table

# Nobody reads a pipe or a file in columns of 80: what goes there is not cut.
_WIDE = 400


def out() -> Console:
    """Standard output: as wide as the terminal, or as wide as needed where there is none."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)


def table(*columns: str, title: str | None = None) -> Table:
    """A table that folds long values rather than hide them."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made
