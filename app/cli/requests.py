"""``sillage request``: requests of persons, from receipt to answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Protocol

import click
from rich.text import Text

from app.cli.given import Moment, Number
from app.cli.person import Meant, for_each, people_options
from app.cli.purpose import purpose_option
from app.cli.screen import counted, instant, out, table
from app.operations.figures import Figures, YearFigures
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

    @property
    def figures(self) -> Figures:
        """Yearly figures."""


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
    for place, step in enumerate(case.steps):
        what = f"{step.what} (after the answer)" if case.after_answer(place) else step.what
        rows.add_row(instant(step.at), what, label(step.by), step.note or in_words(step.detail))
    console.print(rows)


@request.command("figures")
@click.option("--year", required=True, type=Number(2000, 9999), help="For example 2026.")
@purpose_option
@click.pass_obj
def figures(parts: Requests, year: int) -> None:
    """Figures of a year for the DPO's report: requests by kind, erasures, restrictions, deletions. No persons."""
    found = parts.figures.of(year)
    console = out()
    rows = table(
        "requests", "opened", "done", "refused", "extended", "answered late", "median days", "waiting", "overdue"
    )
    for one in found.requests:
        days = "-" if one.median_days is None else f"{one.median_days:g}"
        counts = (one.opened, one.done, one.refused, one.extended, one.late)
        rows.add_row(one.kind, *map(str, counts), days, str(one.waiting), str(one.overdue))
    rows.title = f"{found.year}, until {found.until}"
    console.print(rows)
    console.print(
        "Opened and extended: of those received in the year. Done, refused, answered late, median days from receipt to "
        "answer: of those answered in it. Waiting, overdue: on its last day, or today."
    )
    for line in _figure_lines(found):
        console.print(line)


def in_words(detail: object) -> str:
    """What an act noted, as it is read: ``keys: 1, statements: 5``; ``nobody`` for an empty list."""
    if isinstance(detail, Mapping):
        # What stands under a name of its own is told by the names in it.
        parts = (
            in_words(value) if isinstance(value, Mapping) else f"{str(name).replace('_', ' ')}: {in_words(value)}"
            for name, value in detail.items()
        )
        return ", ".join(part for part in parts if part)
    if isinstance(detail, list | tuple):
        return ", ".join(map(in_words, detail)) or "nobody"
    return f"{detail:,}" if isinstance(detail, int) else str(detail)


def _figure_lines(found: YearFigures) -> list[str]:
    lines = [f"Persons erased: {found.erasures:,}."]
    if found.erasures_repeated:
        lines[0] += f" Repeated by a restore, and not counted: {found.erasures_repeated:,}."
    lines.append(
        f"Now: identifiers restricted: {found.restricted:,}; that object to research: {found.objecting:,}; whose new "
        f"statements are refused: {found.refusing:,}. A person known by two counts twice."
    )
    kept = found.retention
    if kept is None:
        lines.append("Deleted by retention: no run in this year is on record.")
    else:
        lines.append(
            f"Deleted by retention: {counted(kept.statements, 'statement')}, {counted(kept.documents, 'document')}; "
            f"{counted(kept.runs, 'run')}, {kept.first:%Y-%m-%d} to {kept.last:%Y-%m-%d}."
        )
    lines.append(
        f"Deleted on the operator's word: {counted(found.acts_statements, 'statement')}, "
        f"{counted(found.acts_documents, 'document')}, "
        f"by {counted(found.acts, 'certificate')}."
    )
    if found.requests_since > date(found.year, 1, 1):
        lines.append(f"Answered requests received before {found.requests_since} were removed for their age.")
    if found.retention_since is not None and found.retention_since > date(found.year, 1, 1):
        lines.append(f"Runs of retention are on record since {found.retention_since}.")
    lines.append("Breaches are not counted here: they are in the controller's own register (GDPR art. 33(5)).")
    return lines


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
