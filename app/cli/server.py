"""``sillage serve``, ``init``, ``migrate`` and ``settings``."""

from __future__ import annotations

import os

import click

from app.commands.screen import out, table
from app.commands.words import N_, _, detail
from app.core.errors import SettingsInvalid
from app.settings import describe
from app.wiring.container import Container


@click.command()
@click.pass_obj
def serve(container: Container) -> None:
    """Serve HTTP until SIGTERM or Ctrl-C; requests under way are finished first."""
    # Imported here: gunicorn is not there on every system where the other commands run.
    from app.serve.server import serve as run

    run(container.settings)


@click.command()
@click.pass_obj
def init(container: Container) -> None:
    """Make what a new store needs: data folder (0700), key file (0600), collections. Harmless on one that is there."""
    settings = container.settings
    try:
        done = container.lifecycle.initialise()
    except OSError as refused:
        raise SettingsInvalid(
            f"The data folder or the key file cannot be written ({refused.strerror}). Set SILLAGE_DATA_DIR or "
            "SILLAGE_KEY_FILE to a place that this account can write to."
        ) from refused
    console = out()
    console.print(_("Created: {done}", done=", ".join(map(_, done))) if done else _("Everything was there already."))
    console.print(_("Data folder: {data_dir}", data_dir=settings.data_dir.absolute()))
    for line in container.keys.provider.kept:
        console.print(detail(line))
    if not container.access.users.any():
        console.print(_("Nobody signs in to the pages yet: `sillage user add LOGIN --name NAME --role operator`."))


@click.command()
@click.pass_obj
def migrate(container: Container) -> None:
    """Bring the database to this version: create collections and indexes that are missing.

    Nothing is changed where `serve` would refuse the store: a wrong key, an unfinished restore, a later version.
    """
    done = container.lifecycle.migrate()
    out().print(_("Applied: {done}", done=", ".join(done)) if done else _("Nothing to apply."))


@click.command("settings")
@click.pass_obj
def show_settings(container: Container) -> None:
    """Print every setting with its value, where it comes from and what it is for; secrets are hidden."""
    rows = table("Setting", "Value", "Origin", "What it is for")
    for line in describe(container.settings, os.environ):
        value = _(line.value) if line.value in _UNSAID else line.value
        rows.add_row(line.name, value, _(_ORIGINS[line.origin]), _(line.doc))
    out().print(rows)


_MADE = (N_("data folder"), N_("key file"))
_UNSAID = {N_("(not set)"), N_("(set, hidden)")}
_ORIGINS = {"environment": N_("environment"), "file": N_("file"), "default": N_("default")}

COMMANDS = (serve, init, migrate, show_settings)
