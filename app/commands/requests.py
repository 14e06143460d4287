"""``sillage request``: data-subject requests, from receipt to answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from app.commands.container import Container
from app.commands.given import Moment, Number
from app.commands.person import NO_REQUEST, Meant, data_subject_options, for_each, read_request_ids
from app.commands.purpose import purpose_option
from app.commands.screen import instant, out, table
from app.commands.words import _, counted, detail, number, title
from app.core.atomic_file import new_file
from app.core.errors import PartlyDone, SillageError
from app.core.personal_data import GIVEN, DeclaredFile, Impersonal
from app.operations.figures import YearFigures
from app.people.finding.pseudonyms import IdentifiedDataSubject
from app.people.requests.steps import KINDS, PENDING, STATUSES, DataSubjectRequest

_day = Moment()


FILES = (DeclaredFile("*", GIVEN, Impersonal("`sillage request open --cases-to`: ids of requests, which are random")),)


@click.group()
def request() -> None:
    """Data-subject requests, with their due dates (GDPR article 12)."""


@request.command("open")
@click.argument("kind", type=click.Choice(KINDS))
@data_subject_options
@click.option("--received", type=_day, help="The day it came: the month runs from it.  [default: today]")
@click.option("--note", default="", help="How it came. Sealed; the person is given it with their data.")
@click.option(
    "--cases-to",
    "list_to",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --each: a new file for the ids of the requests, one a line in the order of the agents, and no name; "
    "--cases of other commands takes it.",
)
@purpose_option
@click.pass_obj
def open_request(
    container: Container, kind: str, who: Meant, received: datetime | None, note: str, list_to: Path | None
) -> None:
    """Note a request that came, and say when its answer is due.

    With --each a terminal shows whose each is, as given; a file or a pipe gets the place in the list alone.
    """
    day = None if received is None else received.date()

    def act(one: IdentifiedDataSubject) -> DataSubjectRequest:
        return container.people.requests.open(kind, one, received=day, note=note, actor="cli:request open")

    def describe(found: DataSubjectRequest) -> str:
        return _("Request {id} is open; its answer is due by {due}.", id=found.id, due=found.due)

    if not who.each:
        if list_to is not None:
            raise click.UsageError(_("--cases-to goes with --each."))
        out().print(describe(act(who.one)))
    elif list_to is None:
        for_each(who, lambda _, one: describe(act(one)), shown=True)
    else:
        _open_each(who, act, describe, list_to)
    _warn(note)


def _open_each(
    who: Meant,
    act: Callable[[IdentifiedDataSubject], DataSubjectRequest],
    describe: Callable[[DataSubjectRequest], str],
    file: Path,
) -> None:
    listed = [NO_REQUEST] * len(who.data_subjects)

    def opened(place: int, one: IdentifiedDataSubject) -> str:
        found = act(one)
        listed[place - 1] = found.id
        return describe(found)

    # The name is tried before anything is opened.
    with new_file(file) as written:
        try:
            for_each(who, opened, shown=True)
            failed = None
        except PartlyDone as some:
            failed = some
        written.write("".join(f"{each}\n" for each in listed).encode())
    out().print(_("The ids of the requests are in {file}, in the order of the agents: --cases takes it.", file=file))
    if failed is not None:
        raise failed


def requests_argument(command: Callable[..., object]) -> Callable[..., Any]:
    """Ids of requests, or a file of them; the command gets them as its argument ``ids``."""

    @wraps(command)
    def with_ids(*given: object, ids: tuple[str, ...], listed: Path | None, **named: object) -> object:
        read = () if listed is None else tuple(one for one in read_request_ids(listed) if one != NO_REQUEST)
        if bool(ids) == (listed is not None):
            raise click.UsageError(_("Give the ids of requests, or --cases FILE."))
        return command(*given, ids=tuple(dict.fromkeys(ids or read)), **named)

    made: Callable[..., Any] = with_ids
    for option in (
        click.option(
            "--cases",
            "listed",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="The ids, one a line, as `request open --cases-to` writes them.",
        ),
        click.argument("ids", metavar="[ID]...", nargs=-1),
    ):
        made = option(made)
    return made


@request.command("identify")
@requests_argument
@click.option(
    "--note",
    default="",
    help="How it was checked; not a copy of papers. Sealed; the person is given it with their data.",
)
@purpose_option
@click.pass_obj
def identify(container: Container, ids: tuple[str, ...], note: str) -> None:
    """Note that it was checked who makes each request; nothing is done for it before."""
    _take(ids, lambda one: container.people.requests.identify(one, note=note, actor="cli:request identify"), note)


@request.command("extend")
@requests_argument
@click.option("--reason", required=True, help="Why it takes longer, as the person is told. Sealed.")
@purpose_option
@click.pass_obj
def extend(container: Container, ids: tuple[str, ...], reason: str) -> None:
    """Take two further months; tell each person within the first (GDPR article 12(3))."""
    _take(ids, lambda one: container.people.requests.extend(one, reason=reason, actor="cli:request extend"), reason)


@request.command("done")
@requests_argument
@click.option("--note", default="", help="What was answered. Sealed; the person is given it with their data.")
@purpose_option
@click.pass_obj
def done(container: Container, ids: tuple[str, ...], note: str) -> None:
    """Close requests: what was asked was done, and each person told."""
    _take(ids, lambda one: container.people.requests.done(one, note=note, actor="cli:request done"), note)


@request.command("refuse")
@requests_argument
@click.option("--reason", required=True, help="Why, as the person is told (GDPR art. 12(4)). Sealed.")
@purpose_option
@click.pass_obj
def refuse(container: Container, ids: tuple[str, ...], reason: str) -> None:
    """Close requests: it will not be done; tell each person why, and where to complain."""
    _take(ids, lambda one: container.people.requests.refuse(one, reason=reason, actor="cli:request refuse"), reason)


def _take(ids: Sequence[str], step: Callable[[str], DataSubjectRequest], note: str) -> None:
    """Take a step for each request; what fails for one of several is told, and done for the others."""
    if len(ids) == 1:
        _show(step(ids[0]))
        _warn(note)
        return
    failed = 0
    for id in ids:
        try:
            _show(step(id))
        except SillageError as error:
            failed += 1
            out().print(
                _(
                    "Request {id}: not done. {title}: {detail} ({code})",
                    id=id,
                    title=title(error),
                    detail=detail(error.detail),
                    code=error.code,
                )
            )
    _warn(note)
    if failed:
        raise PartlyDone(
            f"{failed} of {counted(len(ids), 'request')} not done. Put right what the lines of these say, and give "
            "them again."
        )


def _days(_context: click.Context, _option: click.Parameter, given: str | None) -> int | None:
    if given is None:
        return None
    found = re.fullmatch(r"([0-9]{1,4})d", given)
    if found is None:
        raise click.BadParameter(_("a number of days, for example 7d"))
    return int(found[1])


@request.command("list")
@click.option("--due-within", callback=_days, metavar="DAYSd", help="Only those due within so many days, or late: 7d.")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Repeatable.  [default: pending]"
)
@purpose_option
@click.pass_obj
def list_requests(container: Container, due_within: int | None, statuses: tuple[str, ...]) -> None:
    """List requests, the most urgent first; without a word on whose they are. And how many are late, or were."""
    rows = table("id", "kind", "status", "received", "due", "answered")
    for one in container.people.requests.list(statuses or PENDING, due_within):
        due = Text(_("{due} (late)", due=one.due) if one.overdue else str(one.due), style="red" if one.overdue else "")
        late = one.answered is not None and one.late
        answered = Text(
            _("{answered} (late)", answered=one.answered) if late else str(one.answered or "-"),
            style="red" if late else "",
        )
        rows.add_row(one.id, one.kind, one.status, str(one.received), due, answered)
    console = out()
    console.print(rows)
    standing = container.people.requests.standing()
    console.print(
        _(
            "{wait} for an answer: {overdue} late, {due_soon} due soon. Of those kept, answered late: {answered_late}.",
            wait=counted(standing.pending, "request waits", "requests wait"),
            overdue=number(standing.overdue),
            due_soon=number(standing.due_soon),
            answered_late=number(standing.answered_late),
        )
    )


@request.command("show")
@click.argument("id", metavar="ID")
@purpose_option
@click.pass_obj
def show(container: Container, id: str) -> None:
    """Show a request in full: whose it is, and each step. The reading is itself recorded."""
    found = container.people.requests.show(id, actor="cli:request show")
    console = out()
    for name, value in (
        (_("request"), found.id),
        (_("kind"), found.kind),
        (_("status"), found.status),
        (_("received"), found.received),
        (_("due"), found.due),
        (_("extended"), found.extended or _("no")),
        (
            _("answered"),
            "-"
            if found.answered is None
            else _("{answered} (late)", answered=found.answered)
            if found.late
            else str(found.answered),
        ),
    ):
        console.print(f"{name:10} {value}")
    for identifier in found.identifiers:
        console.print(f"{_('person'):10} {identifier}")
    rows = table("at", "step", "by", "note")
    label = container.people.recipients.labels()
    for place, step in enumerate(found.steps):
        what = _("{what} (after the answer)", what=step.what) if found.after_answer(place) else step.what
        rows.add_row(instant(step.at), what, label(step.by), step.note or in_words(step.detail))
    console.print(rows)


@request.command("figures")
@click.option("--year", required=True, type=Number(2000, 9999), help="For example 2026.")
@click.pass_obj
def figures(container: Container, year: int) -> None:
    """Figures of a year for the DPO's report: requests by kind, erasures, restrictions, deletions. No persons."""
    found = container.operations.figures.of(year)
    console = out()
    rows = table(
        "requests", "opened", "done", "refused", "extended", "answered late", "median days", "waiting", "overdue"
    )
    for one in found.requests:
        days = "-" if one.median_days is None else f"{one.median_days:g}"
        counts = (one.opened, one.done, one.refused, one.extended, one.late)
        rows.add_row(one.kind, *map(str, counts), days, str(one.waiting), str(one.overdue))
    rows.title = _("{year}, until {until}", year=found.year, until=found.until)
    console.print(rows)
    console.print(
        _(
            "Opened and extended: of those received in the year. Done, refused, answered late, median days from "
            "receipt to answer: of those answered in it. Waiting, overdue: on its last day, or today."
        )
    )
    for line in _figure_lines(found):
        console.print(line)


def in_words(detail: object) -> str:
    """The note of an act in words: ``keys: 1, statements: 5``; ``nobody`` for an empty list."""
    if isinstance(detail, Mapping):
        # What stands under a name of its own is told by the names in it.
        parts = (
            in_words(value) if isinstance(value, Mapping) else f"{str(name).replace('_', ' ')}: {in_words(value)}"
            for name, value in detail.items()
        )
        return ", ".join(part for part in parts if part)
    if isinstance(detail, list | tuple):
        return ", ".join(map(in_words, detail)) or _("nobody")
    return number(detail) if isinstance(detail, int) else str(detail)


def _figure_lines(found: YearFigures) -> list[str]:
    lines = [_("Persons erased: {erasures}.", erasures=number(found.erasures))]
    if found.erasures_repeated:
        lines[0] += _(
            " Repeated by a restore, and not counted: {erasures_repeated}.",
            erasures_repeated=number(found.erasures_repeated),
        )
    lines.append(
        _(
            "Now: identifiers restricted: {restricted}; that object to research: {objecting}; whose new "
            "statements are refused: {refusing}. A person known by two counts twice.",
            restricted=number(found.restricted),
            objecting=number(found.objecting),
            refusing=number(found.refusing),
        )
    )
    kept = found.retention
    if kept is None:
        lines.append(_("Deleted by retention: no run in this year is on record."))
    else:
        lines.append(
            _(
                "Deleted by retention: {statements}, {documents}; {runs}, {first:%Y-%m-%d} to {last:%Y-%m-%d}.",
                statements=counted(kept.statements, "statement"),
                documents=counted(kept.documents, "document"),
                runs=counted(kept.runs, "run"),
                first=kept.first,
                last=kept.last,
            )
        )
    lines.append(
        _(
            "Deleted on the operator's word: {statements}, {documents}, by {certificates}.",
            statements=counted(found.acts_statements, "statement"),
            documents=counted(found.acts_documents, "document"),
            certificates=counted(found.acts, "certificate"),
        )
    )
    if found.requests_since > date(found.year, 1, 1):
        lines.append(
            _(
                "Answered requests received before {requests_since} were removed for their age.",
                requests_since=found.requests_since,
            )
        )
    if found.retention_since is not None and found.retention_since > date(found.year, 1, 1):
        lines.append(
            _("Runs of retention are on record since {retention_since}.", retention_since=found.retention_since)
        )
    lines.append(_("Breaches are not counted here: they are in the controller's own register (GDPR art. 33(5))."))
    return lines


def _warn(note: str) -> None:
    if note:
        # GDPR art. 15: notes on a person are data of theirs.
        out().print(_("What you noted is personal data: it is handed over with the person's subject access export."))


def _show(found: DataSubjectRequest) -> None:
    until = _("; its answer is due by {due}", due=found.due) if found.pending else ""
    late = _(", answered late: it was due by {due}", due=found.due) if found.late and not found.pending else ""
    out().print(_("Request {id} is {status}{until}{late}.", id=found.id, status=found.status, until=until, late=late))


COMMANDS = (request,)
