"""``sillage profile``: load xAPI Profiles, list them, see how statements fare against them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from app.cli.screen import out, table
from app.errors import FileRefused
from app.factory import Parts


@click.group()
def profile() -> None:
    """The xAPI Profiles that sources promise to follow."""


@profile.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def add(parts: Parts, file: Path) -> None:
    """Load the xAPI Profile in FILE (JSON-LD), or a new version of one already loaded."""
    try:
        document = file.read_bytes()
    except OSError as refused:
        raise FileRefused(f"{file} cannot be read: {refused.strerror}.") from None
    added = parts.profiles.add(document, actor="cli:profile add")
    click.echo(f"{added.id}: version {added.version}, {len(added.templates)} statement templates")


@profile.command(name="list")
@click.pass_obj
def list_(parts: Parts) -> None:
    """List the profiles loaded."""
    rows = table("profile", "title", "version", "templates")
    for loaded in parts.profiles.list():
        rows.add_row(loaded.id, _title(loaded.label), loaded.version, str(len(loaded.templates)))
    out().print(rows)


@profile.command()
@click.option("--source", help="Only this source.")
@click.pass_obj
def report(parts: Parts, source: str | None) -> None:
    """Count statements per source, template and verdict."""
    rows = table("source", "template", "verdict")
    rows.add_column("statements", justify="right")
    for row in parts.profiles.counts(source):
        rows.add_row(row.source, row.template or "(whole statements)", row.outcome, f"{row.statements:,}")
    out().print(rows)


def _title(label: Mapping[str, str]) -> str:
    return label.get("en") or next(iter(label.values()), "")


COMMANDS = (profile,)
