"""``sillage account``: accounts that ended, in the place of sources that do not say so themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from app.commands.container import Container
from app.commands.given import Moment
from app.commands.screen import out
from app.commands.words import _, counted
from app.core.errors import FileRefused, RegisterInvalid
from app.people.finding.finder import data_subject_of
from app.retention.closed_accounts import CLOSED, REOPENED, Announced, Event, of_csv, of_json

_source = click.option("--source", required=True, metavar="ID", help="Whose accounts they are.")
_day = Moment()


@click.group()
def account() -> None:
    """Accounts that ended: how long statements are kept may count from there."""


@account.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_source
@click.pass_obj
def import_accounts(container: Container, file: Path, source: str) -> None:
    """Take in a FILE of accounts that ended or were opened again: CSV, or JSON as the API takes it."""
    _require_source(container, source)
    try:
        content = file.read_bytes()
    except OSError:
        raise FileRefused("The file of accounts cannot be read.") from None
    events = of_json(content) if content.lstrip()[:1] == b"{" else of_csv(content)
    _show(container.retention.accounts.announce(source, events, actor="cli:account import"))


@account.command("close")
@click.argument("home_page", metavar="HOMEPAGE")
@click.argument("name")
@_source
@click.option("--on", type=_day, help="The day it ended.  [default: today]")
@click.pass_obj
def close_account(container: Container, home_page: str, name: str, source: str, on: datetime | None) -> None:
    """Note that one account ended."""
    _announce(container, home_page, name, source, CLOSED, on, "cli:account close")


@account.command("reopen")
@click.argument("home_page", metavar="HOMEPAGE")
@click.argument("name")
@_source
@click.pass_obj
def reopen_account(container: Container, home_page: str, name: str, source: str) -> None:
    """Take back that an account ended."""
    _announce(container, home_page, name, source, REOPENED, None, "cli:account reopen")


def _announce(
    container: Container, home_page: str, name: str, source: str, event: str, on: datetime | None, actor: str
) -> None:
    _require_source(container, source)
    moment = None if on is None else round(on.replace(tzinfo=UTC).timestamp() * 1_000_000)
    agent = {"account": {"homePage": home_page, "name": name}}
    _show(container.retention.accounts.announce(source, [Event(data_subject_of([agent]), event, moment)], actor=actor))


def _require_source(container: Container, source: str) -> None:
    if container.access.sources_repository.get(source) is None:
        raise RegisterInvalid("No such source. `sillage source list` shows those that exist.")


def _show(done: Announced) -> None:
    out().print(
        _(
            "{accounts} noted as ended, {ends} taken back.",
            accounts=counted(done.closed, "account"),
            ends=counted(done.reopened, "end"),
        )
    )


COMMANDS = (account,)
