"""``sillage request``: requests of persons, from receipt to answer."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Protocol

import click
from rich.text import Text

from app.cli.given import Moment
from app.cli.person import Meant, for_each, people_options
from app.cli.purpose import purpose_option
from app.cli.screen import instant, out, table
from app.people.access_package.recipients import Recipients
from app.people.finding.pseudonyms import Person
from app.people.requests.service import Cases
from app.people.requests.steps import KINDS, PENDING, STATUSES, Case

_day = Moment()


class Requests(Protocol):
    """What these commands need of the parts that the factory builds."""

    @property
    def cases(self) -> Cases:
        """The requests of persons."""

    @property
    def recipients(self) -> Recipients:
        """What those are called who act."""


@click.group()
def request() -> None:
    """Requests of persons, with their due dates (GDPR art. 12)."""


@request.command("open")
@click.argument("kind", type=click.Choice(KINDS))
@people_options
@click.option("--received", type=_day, help="The day it came: the month runs from it.  [default: today]")
@click.option("--note", default="", help="How it came. Sealed; the person is given it with their data.")
@purpose_option
@click.pass_obj
def open_request(parts: Requests, kind: str, who: Meant, received: datetime | None, note: str) -> None:
    """Note a request that came, and say when its answer is due."""
    day = None if received is None else received.date()

    def act(one: Person) -> str:
        case = parts.cases.open(kind, one, received=day, note=note, actor="cli:request open")
        return f"Request {case.id} is open; its answer is due by {case.due}."

    if who.each:
        for_each(who, lambda _, one: act(one))
    else:
        out().print(act(who.one))
    _warn(note)


@request.command("identify")
@click.argument("identity", metavar="ID")
@click.option(
    "--note",
    default="",
    help="How it was checked; not a copy of papers. Sealed; the person is given it with their data.",
)
@purpose_option
@click.pass_obj
def identify(parts: Requests, identity: str, note: str) -> None:
    """Note that it was checked who makes the request; nothing is done for it before."""
    _told(parts.cases.identify(identity, note=note, actor="cli:request identify"), note)


@request.command("extend")
@click.argument("identity", metavar="ID")
@click.option("--reason", required=True, help="Why it takes longer, as the person is told. Sealed.")
@purpose_option
@click.pass_obj
def extend(parts: Requests, identity: str, reason: str) -> None:
    """Take two further months; tell the person within the first (GDPR art. 12(3))."""
    _told(parts.cases.extend(identity, reason=reason, actor="cli:request extend"), reason)


@request.command("done")
@click.argument("identity", metavar="ID")
@click.option("--note", default="", help="What was answered. Sealed; the person is given it with their data.")
@purpose_option
@click.pass_obj
def done(parts: Requests, identity: str, note: str) -> None:
    """Close a request: what was asked was done, and the person told."""
    _told(parts.cases.done(identity, note=note, actor="cli:request done"), note)


@request.command("refuse")
@click.argument("identity", metavar="ID")
@click.option("--reason", required=True, help="Why, as the person is told (GDPR art. 12(4)). Sealed.")
@purpose_option
@click.pass_obj
def refuse(parts: Requests, identity: str, reason: str) -> None:
    """Close a request: it will not be done; tell the person why, and where to complain."""
    _told(parts.cases.refuse(identity, reason=reason, actor="cli:request refuse"), reason)


def _days(_context: click.Context, _option: click.Parameter, given: str | None) -> int | None:
    if given is None:
        return None
    found = re.fullmatch(r"([0-9]{1,4})d", given)
    if found is None:
        raise click.BadParameter("a number of days, for example 7d")
    return int(found[1])


@request.command("list")
@click.option("--due-within", callback=_days, metavar="DAYSd", help="Only those due within so many days, or late: 7d.")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Repeatable.  [default: pending]"
)
@purpose_option
@click.pass_obj
def list_requests(parts: Requests, due_within: int | None, statuses: tuple[str, ...]) -> None:
    """List requests, the most urgent first; without a word on whose they are. And how many are late, or were."""
    rows = table("id", "kind", "status", "received", "due", "answered")
    for one in parts.cases.list(statuses or PENDING, due_within):
        due = Text(f"{one.due} (late)" if one.overdue else str(one.due), style="red" if one.overdue else "")
        late = one.answered is not None and one.late
        answered = Text(f"{one.answered or '-'}{' (late)' if late else ''}", style="red" if late else "")
        rows.add_row(one.id, one.kind, one.status, str(one.received), due, answered)
    console = out()
    console.print(rows)
    standing = parts.cases.standing()
    console.print(
        f"{standing.pending:,} wait for an answer: {standing.overdue:,} late, {standing.due_soon:,} due soon. "
        f"{standing.answered_late:,} of those kept were answered late."
    )


@request.command("show")
@click.argument("identity", metavar="ID")
@purpose_option
@click.pass_obj
def show(parts: Requests, identity: str) -> None:
    """Show a request in full: whose it is, and each step. The reading is itself recorded."""
    case = parts.cases.show(identity, actor="cli:request show")
    console = out()
    for name, value in (
        ("request", case.id),
        ("kind", case.kind),
        ("status", case.status),
        ("received", case.received),
        ("due", case.due),
        ("extended", case.extended or "no"),
        ("answered", "-" if case.answered is None else f"{case.answered}{' (late)' if case.late else ''}"),
    ):
        console.print(f"{name:9} {value}")
    for identifier in case.person:
        console.print(f"person    {identifier}")
    rows = table("at", "step", "by", "note")
    label = parts.recipients.labels()
    for step in case.steps:
        detail = ", ".join(f"{name}={value}" for name, value in step.detail.items())
        rows.add_row(instant(step.at), step.what, label(step.by), step.note or detail)
    console.print(rows)


def _warn(note: str) -> None:
    if note:
        # GDPR art. 15: notes on a person are data of theirs.
        out().print("What you noted is personal data: it is handed over with the person's package of access.")


def _told(case: Case, note: str = "") -> None:
    until = f"; its answer is due by {case.due}" if case.pending else ""
    late = f", answered late: it was due by {case.due}" if case.late and not case.pending else ""
    out().print(f"Request {case.id} is {case.status}{until}{late}.")
    _warn(note)


COMMANDS = (request,)
