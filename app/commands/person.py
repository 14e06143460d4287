"""``sillage person``: acts about persons. The group, how they are said, ``find`` and ``recipients``.

Other modules add to the group. Several identifiers are one person; with ``--each`` each agent is a person of its own,
for a class: a line of outcome for each, and what fails for one is told and done for the others. Their requests stand in
a file, one a line in the order of the agents: ``sillage request open --each --cases-to FILE`` writes it, and
``--cases FILE`` gives each act its own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson

from app.commands.container import Container
from app.commands.purpose import purpose_option
from app.commands.screen import instant, out, table
from app.commands.words import N_, _, counted, detail, number, title
from app.core.errors import BadRequest, FileRefused, PartlyDone, SillageError
from app.people.access_package.recipients import Received, recipients_in
from app.people.finding.finder import Reach, data_subject_of
from app.people.finding.pseudonyms import IdentifiedDataSubject

_MAX_BYTES = 1_000_000


@click.group()
def person() -> None:
    """Rights of a person: find, and act on, what is kept of them. Nothing of what you type is kept in clear."""


class Meant(NamedTuple):
    """The data subjects that a command is about.

    Attributes:
        data_subjects: Each, or why it cannot be anybody.
        each: Whether they are persons of their own; else there is one.
        given: Each as it was given, for the screen.
    """

    data_subjects: tuple[IdentifiedDataSubject | SillageError, ...]
    each: bool
    given: tuple[str, ...] = ()

    @property
    def one(self) -> IdentifiedDataSubject:
        """The only person."""
        (only,) = self.data_subjects
        if isinstance(only, SillageError):
            raise only
        return only


def data_subject_options(command: Callable[..., object]) -> Callable[..., Any]:
    """Options that say who is meant, with ``--each``; the command gets ``Meant`` as its argument ``who``."""

    @wraps(command)
    def with_data_subjects(*given: object, each: bool, **named: object) -> object:
        said = _said(named)
        meant = tuple(map(_one_of, said)) if each else (data_subject_of(said),)
        return command(*given, who=Meant(meant, each, tuple(map(_as_given, said))), **named)

    made: Callable[..., Any] = with_data_subjects
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


def request_options(command: Callable[..., object]) -> Callable[..., Any]:
    """Options that say which requests an act is for; the command gets ``RequestOf`` as its argument ``requests``.

    Inside of ``data_subject_options``, whose ``who`` it reads.
    """

    @wraps(command)
    def with_requests(*given: object, who: Meant, request: str | None, listed: Path | None, **named: object) -> object:
        if request is not None and who.each:
            raise click.UsageError(
                _("A request is of one person: give --cases FILE with --each, or act for that person.")
            )
        if listed is None:
            return command(*given, who=who, requests=RequestOf(request), **named)
        if not who.each:
            raise click.UsageError(_("--cases goes with --each; for one person give --case."))
        ids = read_request_ids(listed)
        if len(ids) != len(who.data_subjects):
            raise BadRequest(
                f"{counted(len(ids), 'request')} for {counted(len(who.data_subjects), 'agent')}. One a line, in the "
                "order of the agents; a dash where there is none."
            )
        return command(*given, who=who, requests=RequestOf(None, ids), **named)

    made: Callable[..., Any] = with_requests
    for option in (
        click.option(
            "--cases",
            "listed",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="With --each: the requests, one a line in the order of the agents (`request open --cases-to`).",
        ),
        click.option("--case", "request", metavar="ID", help="Request that this is done for (`sillage request list`)."),
    ):
        made = option(made)
    return made


class RequestOf(NamedTuple):
    """The data-subject request of an act: the only one, or by the place of the agent."""

    one: str | None
    listed: tuple[str, ...] | None = None

    def at(self, place: int) -> str | None:
        """The request of the agent at this place, from 1.

        Raises:
            BadRequest: there are requests, and none for this one.
        """
        if self.listed is None:
            return self.one
        if self.listed[place - 1] == NO_REQUEST:
            raise BadRequest("There is no request for this agent in the file of requests.")
        return self.listed[place - 1]


NO_REQUEST = "-"
"""Stands in a file of requests for an agent who has none."""


def read_request_ids(file: Path) -> tuple[str, ...]:
    """The ids of requests in a file, one a line.

    Raises:
        FileRefused: it cannot be read, or has something else in it.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise FileRefused("The file of requests cannot be read.") from None
    if not all(line == NO_REQUEST or re.fullmatch(r"[0-9A-Za-z-]{1,64}", line) for line in lines):
        raise FileRefused("The file of requests has something else in it than one id a line.")
    return tuple(lines)


def for_each(who: Meant, act: Callable[[int, IdentifiedDataSubject], str], *, shown: bool = False) -> None:
    """Act for each person, and print a line of what became of it; what fails for one is done for the others.

    Args:
        who: Those meant.
        act: Gets the place in the list, from 1, and the person; gives the outcome in words.
        shown: Whether a line says who it is about, as given; on a terminal, never in a file or a pipe.

    Raises:
        PartlyDone: it failed for some; the lines say for which, by their places.
    """
    console = out()
    failed: list[int] = []
    done: dict[IdentifiedDataSubject, int] = {}
    for place, one in enumerate(who.data_subjects, 1):
        try:
            if isinstance(one, SillageError):
                raise one
            outcome = _("the same as agent {place}", place=done[one]) if one in done else act(place, one)
            done.setdefault(one, place)
        except SillageError as error:
            failed.append(place)
            outcome = _(
                "not done. {title}: {detail} ({code})", title=title(error), detail=detail(error.detail), code=error.code
            )
        # No identifier where it is not needed: a terminal and its log are read by others.
        named = f" ({who.given[place - 1]})" if shown and console.is_terminal else ""
        console.print(_("agent {place}{named}: {outcome}", place=place, named=named, outcome=outcome))
    if failed:
        listed = ", ".join(map(str, failed))
        raise PartlyDone(
            f"{len(failed)} of {counted(len(who.data_subjects), 'agent')} not done: {listed}, counted from the first "
            "one given. Put right what the lines of these say, and give them again."
        )


def sentences_on(found: Reach) -> list[str]:
    """The sentences that tell what identifiers reach."""
    said = []
    if not found.held:
        said.append(
            _(
                "Nothing is held under these identifiers now. Check them against what the tool sends; "
                "what is noted for a person holds for what comes."
            )
        )
    for one in found.sources:
        said.append(
            _(
                "Also found under the pseudonym that this store made of what you gave, in statements of "
                "source {source}.",
                source=one,
            )
        )
    return said


def show_reach(found: Reach) -> None:
    """Say on standard error when nothing is held, or what is held stands under a pseudonym."""
    for sentence in sentences_on(found):
        click.echo(sentence, err=True)


def in_short(found: Reach) -> str:
    """The same for one of several, on one line; empty when there is nothing to say."""
    held = "" if found.held else _("; nothing is held under these identifiers")
    return held + (_("; under pseudonyms of {sources}", sources=", ".join(found.sources)) if found.sources else "")


def _one_of(said: object) -> IdentifiedDataSubject | SillageError:
    try:
        return data_subject_of(said if isinstance(said, list) else [said])
    except BadRequest as refused:
        return refused


def _as_given(said: object) -> str:
    """An agent in the words of whoever gave it: the account, the address."""
    if isinstance(said, list):
        return ", ".join(map(_as_given, said))
    if not isinstance(said, Mapping):
        return "?"
    account = said.get("account")
    if isinstance(account, Mapping):
        return f"{account.get('homePage')} {account.get('name')}"
    values = (said.get(name) for name in ("mbox", "mbox_sha1sum", "openid"))
    return next((value.removeprefix("mailto:") for value in values if isinstance(value, str)), "?")


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
        raise click.UsageError(_("Say who is meant: --account, --mbox, --mbox-sha1sum, --openid, or --agents FILE."))
    return said


def _listed(path: Path) -> list[object]:
    try:
        content = sys.stdin.buffer.read(_MAX_BYTES) if str(path) == "-" else path.read_bytes()[:_MAX_BYTES]
        agents = orjson.loads(content)
    except OSError:
        raise FileRefused("The file of agents cannot be read.") from None
    except orjson.JSONDecodeError:
        raise FileRefused("The file of agents is not JSON.") from None
    return agents if isinstance(agents, list) else [agents]


@person.command("find")
@data_subject_options
@purpose_option
@click.pass_obj
def find(container: Container, who: Meant) -> None:
    """Count every place where a person stands. Several identifiers are one person. The question is recorded."""
    if who.each:

        def outcome(_place: int, one: IdentifiedDataSubject) -> str:
            found = container.people.finder.find(one, actor="cli:person find")
            listed = [f"{number(count)} {_place_named(name)}" for name, count in found.items() if count]
            reach = container.people.finder.reach(one)
            return (", ".join(listed) or _("no place")) + in_short(reach)

        for_each(who, outcome)
        return
    found = container.people.finder.find(who.one, actor="cli:person find")
    rows = table(
        "place",
        "number",
        title=_("A person of {identifiers}", identifiers=counted(len(who.one.identifiers), "identifier")),
    )
    for name, count in found.items():
        rows.add_row(_place_named(name), number(count))
    out().print(rows)
    show_reach(container.people.finder.reach(who.one))


@person.command("recipients")
@data_subject_options
@request_options
@purpose_option
@click.pass_obj
def recipients(container: Container, who: Meant, requests: RequestOf) -> None:
    """Tell who received a person's data, by the register of readings: to answer, or to tell them (GDPR article 15, 19).

    With --case their names go on the request.
    """
    actor = "cli:person recipients"
    if who.each:
        for_each(
            who,
            lambda place, one: in_words(container.people.disclosures.of(one, actor=actor, request=requests.at(place))),
        )
        return
    show_received(container.people.disclosures.of(who.one, actor=actor, request=requests.one))
    show_reach(container.people.finder.reach(who.one))


def in_words(found: Received) -> str:
    """The recipients, on one line."""
    return ", ".join(recipients_in(found)) or _("no recipient is on record")


def show_received(found: Received) -> None:
    """Print who received what."""
    console = out()
    if not found.readings and not found.exports:
        console.print(_("No recipient is on record."))
        return
    rows = table("recipient", "for", "how", "readings", "first", "last")
    for one in found.readings:
        rows.add_row(
            one.name, one.purpose or one.activity or _("not said"), one.way, number(one.number), one.first, one.last
        )
    if found.readings:
        console.print(rows)
    for export in found.exports:
        console.print(
            _(
                "{package}, for {recipients} ({at})",
                package=export.package,
                recipients=", ".join(export.recipients) or _("nobody named"),
                at=instant(export.at),
            )
        )


def _place_named(name: str) -> str:
    """The name of a place, as collections and statements have it."""
    return _(name.replace("_", " "))


_PLACES = (
    N_("own"),
    N_("mentions"),
    N_("referring"),
    N_("attachments"),
    N_("states"),
    N_("agent profiles"),
    N_("pattern sessions"),
    N_("restrictions"),
    N_("cases"),
    N_("links"),
    N_("ended accounts"),
    N_("messages"),
)
"""Names of places, for translation; one that is not here is shown in English."""

COMMANDS = (person,)
