"""``sillage person``: acts about one person. The group, how a person is said, and ``find``; other modules add to it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Protocol, TypeVar

import click
import orjson

from app.cli.purpose import purpose_option
from app.cli.screen import out, table
from app.errors import FileRefused
from app.governance.persons import Person, Persons, person_of

Command = TypeVar("Command", bound=Callable[..., object])
_MOST_BYTES = 1_000_000


class Finding(Protocol):
    """What these commands need of the parts that the factory builds."""

    @property
    def persons(self) -> Persons:
        """Finds persons."""


@click.group()
def person() -> None:
    """Rights of a person: find, and act on, what is kept of them. Nothing of what you type is kept in clear."""


def person_options(command: Command) -> Command:
    """Options that say who is meant; the command gets the ``Person`` as its argument ``who``."""

    @wraps(command)
    def with_person(
        *given: object,
        account: tuple[tuple[str, str], ...],
        mbox: tuple[str, ...],
        mbox_sha1sum: tuple[str, ...],
        openid: tuple[str, ...],
        agents: Path | None,
        **named: object,
    ) -> object:
        said: list[object] = [{"account": {"homePage": home, "name": name}} for home, name in account]
        said += [{"mbox": each if each.startswith("mailto:") else f"mailto:{each}"} for each in mbox]
        said += [{"mbox_sha1sum": each} for each in mbox_sha1sum]
        said += [{"openid": each} for each in openid]
        if agents is not None:
            said += _listed(agents)
        if not said:
            raise click.UsageError("Say who is meant: --account, --mbox, --mbox-sha1sum, --openid, or --agents FILE.")
        return command(*given, who=person_of(said), **named)

    made: Callable[..., object] = with_person
    for option in (
        click.option(
            "--agents",
            type=click.Path(path_type=Path, allow_dash=True),
            metavar="FILE",
            help="JSON array of xAPI Agents, or - for standard input, where other users of the host do not see them.",
        ),
        click.option("--openid", multiple=True, metavar="URI", help="OpenID. Repeatable."),
        click.option("--mbox-sha1sum", multiple=True, metavar="HEX", help="SHA-1 of an address. Repeatable."),
        click.option(
            "--mbox", multiple=True, metavar="ADDRESS", help="E-mail address; its SHA-1 sum is included. Repeatable."
        ),
        click.option(
            "--account", multiple=True, nargs=2, metavar="HOMEPAGE NAME", help="Account of a system. Repeatable."
        ),
    ):
        made = option(made)
    return made  # type: ignore[return-value]  # click's options wrap it; what it takes is what ``command`` takes


def _listed(path: Path) -> list[object]:
    try:
        content = sys.stdin.buffer.read(_MOST_BYTES) if str(path) == "-" else path.read_bytes()[:_MOST_BYTES]
        agents = orjson.loads(content)
    except OSError:
        raise FileRefused("The file of agents cannot be read.") from None
    except orjson.JSONDecodeError:
        raise FileRefused("The file of agents is not JSON.") from None
    return agents if isinstance(agents, list) else [agents]


@person.command("find")
@person_options
@purpose_option
@click.pass_obj
def find(parts: Finding, who: Person) -> None:
    """Count every place where a person stands. Several identifiers are one person. The question is recorded."""
    found = parts.persons.find(who, actor="cli:person find")
    rows = table("place", "number", title=f"A person of {len(who.identifiers)} identifiers")
    for name, number in found._asdict().items():
        rows.add_row(name.replace("_", " "), f"{number:,}")
    out().print(rows)


COMMANDS = (person,)
