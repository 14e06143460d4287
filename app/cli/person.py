"""``sillage person``: acts about persons. The group, how they are said, ``find`` and ``recipients``.

Other modules add to the group. Several identifiers are one person; with ``--each`` each agent is a person of its own,
for a class: a line of outcome for each, and what fails for one is told and done for the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import click
import orjson

from app.cli.purpose import purpose_option
from app.cli.screen import instant, out, table
from app.core.errors import BadRequest, FileRefused, PartlyDone, SillageError
from app.people.access_package.recipients import Disclosures, Received, recipients_in
from app.people.finding.finder import Persons, Reach, person_of
from app.people.finding.pseudonyms import Person

_MOST_BYTES = 1_000_000


class Finding(Protocol):
    """What these commands need of the parts that the factory builds."""

    @property
    def persons(self) -> Persons:
        """Finds persons."""

    @property
    def disclosures(self) -> Disclosures:
        """Who received what."""


@click.group()
def person() -> None:
    """Rights of a person: find, and act on, what is kept of them. Nothing of what you type is kept in clear."""


class Meant(NamedTuple):
    """Who is meant.

    Attributes:
        people: Each, or why it cannot be anybody.
        each: Whether they are persons of their own; else there is one.
    """

    people: tuple[Person | SillageError, ...]
    each: bool

    @property
    def one(self) -> Person:
        """The only person."""
        (only,) = self.people
        if isinstance(only, SillageError):
            raise only
        return only


def people_options(command: Callable[..., object]) -> Callable[..., Any]:
    """Options that say who is meant, with ``--each``; the command gets ``Meant`` as its argument ``who``."""

    @wraps(command)
    def with_people(*given: object, each: bool, **named: object) -> object:
        said = _said(named)
        people = tuple(map(_one_of, said)) if each else (person_of(said),)
        return command(*given, who=Meant(people, each), **named)

    made: Callable[..., Any] = with_people
    for option in (
        click.option(
            "--each",
            is_flag=True,
            help="Each agent is a person of its own (an array within the array: one person of several): a line each.",
        ),
        click.option(
            "--agents",
            type=click.Path(path_type=Path, allow_dash=True),
            metavar="FILE",
            help="JSON array of xAPI Agents, or - for standard input, where other users of the host do not see them. "
            "They are one person, unless --each is given.",
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
    return made


def for_each(who: Meant, act: Callable[[int, Person], str]) -> None:
    """Act for each person, and print a line of what became of it; what fails for one is done for the others.

    Args:
        who: Those meant.
        act: Gets the place in the list, from 1, and the person; gives the outcome in words.

    Raises:
        PartlyDone: it failed for some; the lines say for which, by their places.
    """
    console = out()
    failed: list[int] = []
    done: dict[Person, int] = {}
    for place, one in enumerate(who.people, 1):
        try:
            if isinstance(one, SillageError):
                raise one
            told = f"the same as agent {done[one]}" if one in done else act(place, one)
            done.setdefault(one, place)
        except SillageError as error:
            failed.append(place)
            told = f"not done. {error.title}: {error.detail} ({error.code})"
        # No identifier: a terminal and its log are read by others.
        console.print(f"agent {place}: {told}")
    if failed:
        listed = ", ".join(map(str, failed))
        raise PartlyDone(
            f"{len(failed)} of {len(who.people)} could not be done: agents {listed}, counted from the first one given. "
            "The others are done; give these again once what their lines say is put right."
        )


def told_of(found: Reach) -> list[str]:
    """What there is to say of what identifiers reach, in sentences."""
    said = []
    if not found.held:
        said.append(
            "Nothing is held under these identifiers now. Check them against what the tool sends; "
            "what is noted for a person holds for what comes."
        )
    for one in found.sources:
        said.append(
            f"Also found under the pseudonym that this store made of what you gave, in statements of source {one}."
        )
    return said


def show_reach(found: Reach) -> None:
    """Say on standard error when nothing is held, or what is held stands under a pseudonym."""
    for sentence in told_of(found):
        click.echo(sentence, err=True)


def in_short(found: Reach) -> str:
    """The same for one of several, on one line; empty when there is nothing to say."""
    held = "" if found.held else "; nothing is held under these identifiers"
    return held + (f"; under pseudonyms of {', '.join(found.sources)}" if found.sources else "")


def _one_of(said: object) -> Person | SillageError:
    try:
        return person_of(said if isinstance(said, list) else [said])
    except BadRequest as refused:
        return refused


def _said(named: dict[str, Any]) -> list[object]:
    """The agents that the options name, which are taken out of what the command gets."""
    said: list[object] = [{"account": {"homePage": home, "name": name}} for home, name in named.pop("account")]
    said += [{"mbox": each if each.startswith("mailto:") else f"mailto:{each}"} for each in named.pop("mbox")]
    said += [{"mbox_sha1sum": each} for each in named.pop("mbox_sha1sum")]
    said += [{"openid": each} for each in named.pop("openid")]
    agents = named.pop("agents")
    if agents is not None:
        said += _listed(agents)
    if not said:
        raise click.UsageError("Say who is meant: --account, --mbox, --mbox-sha1sum, --openid, or --agents FILE.")
    return said


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
@people_options
@purpose_option
@click.pass_obj
def find(parts: Finding, who: Meant) -> None:
    """Count every place where a person stands. Several identifiers are one person. The question is recorded."""
    if who.each:

        def told(_: int, one: Person) -> str:
            found = parts.persons.find(one, actor="cli:person find")._asdict()
            listed = [f"{number:,} {name.replace('_', ' ')}" for name, number in found.items() if number]
            reach = parts.persons.reach(one)
            return (", ".join(listed) or "no place") + in_short(reach)

        for_each(who, told)
        return
    found = parts.persons.find(who.one, actor="cli:person find")
    rows = table("place", "number", title=f"A person of {len(who.one.identifiers)} identifiers")
    for name, number in found._asdict().items():
        rows.add_row(name.replace("_", " "), f"{number:,}")
    out().print(rows)
    show_reach(parts.persons.reach(who.one))


@person.command("recipients")
@people_options
@click.option("--case", metavar="ID", help="The request that it is asked for: the names of recipients go on it.")
@purpose_option
@click.pass_obj
def recipients(parts: Finding, who: Meant, case: str | None) -> None:
    """Tell who received a person's data, by the register of readings: to answer, or to tell them (GDPR art. 15, 19)."""
    if who.each:
        refuse_case(case)
        for_each(who, lambda _, one: in_words(parts.disclosures.of(one, actor="cli:person recipients")))
        return
    show_received(parts.disclosures.of(who.one, actor="cli:person recipients", case=case))
    show_reach(parts.persons.reach(who.one))


def refuse_case(case: str | None) -> None:
    """Refuse ``--case`` beside ``--each``: a request is of one person."""
    if case is not None:
        raise click.UsageError("A request is of one person: leave --case out, or act for that person alone.")


def in_words(found: Received) -> str:
    """Who received, on one line."""
    return ", ".join(recipients_in(found)) or "no recipient is on record"


def show_received(found: Received) -> None:
    """Print who received what."""
    console = out()
    if not found.readings and not found.exports:
        console.print("No recipient is on record.")
        return
    rows = table("recipient", "for", "how", "readings", "first", "last")
    for one in found.readings:
        rows.add_row(
            one.name, one.purpose or one.activity or "not said", one.way, f"{one.number:,}", one.first, one.last
        )
    if found.readings:
        console.print(rows)
    for export in found.exports:
        console.print(f"{export.package}, for {', '.join(export.recipients) or 'nobody named'} ({instant(export.at)})")


COMMANDS = (person,)
