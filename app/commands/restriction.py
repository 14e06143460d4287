"""``sillage person restrict``, ``unrestrict``, ``object``, ``withdraw-objection``, ``standing`` and ``rectify``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import click

from app.access.restrictions.store import PURPOSES, RESEARCH
from app.commands.container import Container
from app.commands.person import (
    Meant,
    RequestOf,
    data_subject_options,
    for_each,
    in_short,
    in_words,
    person,
    request_options,
    show_reach,
    show_received,
)
from app.commands.purpose import purpose_option
from app.commands.screen import out
from app.commands.words import _
from app.core.errors import FileRefused
from app.people.finding.pseudonyms import IdentifiedDataSubject

request_option = click.option(
    "--case", "request", metavar="ID", help="Request that this is done for (`sillage request list`)."
)
"""Of an act on a statement; those on a person take ``request_options``."""


@person.command("restrict")
@data_subject_options
@request_options
@purpose_option
@click.pass_obj
def restrict(container: Container, who: Meant, requests: RequestOf) -> None:
    """Have a person's data only kept (GDPR article 18): out of queries, research and deletion, until lifted."""

    def act(one: IdentifiedDataSubject, request: str | None) -> None:
        container.people.restriction.restrict(one, actor="cli:person restrict", request=request)

    if who.each:
        for_each(who, lambda place, one: _with_recipients(container, _("restricted"), act, one, requests.at(place)))
        return
    act(who.one, requests.one)
    out().print(_("Restricted, in every process that serves. Jobs follow with their next step."))
    _tell(container, who.one, "cli:person restrict", requests.one)


@person.command("unrestrict")
@data_subject_options
@request_options
@purpose_option
@click.pass_obj
def unrestrict(container: Container, who: Meant, requests: RequestOf) -> None:
    """End a restriction; tell the person before (GDPR article 18(3))."""

    def act(one: IdentifiedDataSubject, request: str | None) -> str:
        lifted = container.people.restriction.lift(one, actor="cli:person unrestrict", request=request)
        return _("The restriction is lifted.") if lifted else _("This person was not restricted.")

    _act(container, who, requests, act)


@person.command("object")
@data_subject_options
@click.option(
    "--against",
    "purposes",
    multiple=True,
    type=click.Choice(PURPOSES),
    default=(RESEARCH,),
    show_default=True,
    help="What the person objects to. Repeatable.",
)
@click.option("--refuse-new", is_flag=True, help="Refuse new statements and documents of this person at the door.")
@request_options
@purpose_option
@click.pass_obj
def object_to(
    container: Container, who: Meant, purposes: tuple[str, ...], refuse_new: bool, requests: RequestOf
) -> None:
    """Note an objection (GDPR article 21): out of aggregates and exports from the next run on."""

    def act(one: IdentifiedDataSubject, request: str | None) -> None:
        container.people.restriction.note_objection(
            one, purposes=purposes, refuse_new=refuse_new, actor="cli:person object", request=request
        )

    said = _("objects to {purposes}", purposes=", ".join(purposes))
    if who.each:
        for_each(
            who, lambda place, one: _with_recipients(container, said, act, one, requests.at(place), _("they received"))
        )
    else:
        act(who.one, requests.one)
        out().print(_("The objection to {purposes} is noted.", purposes=", ".join(purposes)))
        # GDPR art. 19 is on rectification, erasure and restriction.
        out().print(_("These received the data; whether to tell them of an objection is for the controller to say:"))
        show_received(container.people.disclosures.of(who.one, actor="cli:person object", request=requests.one))
        show_reach(container.people.finder.reach(who.one))
    if refuse_new:
        out().print(
            _(
                "New statements are refused, and with each the whole batch that it came in (403, with its place): the "
                "tool sends the others again without it. Tell whoever runs the tool."
            )
        )


@person.command("withdraw-objection")
@data_subject_options
@request_options
@purpose_option
@click.pass_obj
def withdraw_objection(container: Container, who: Meant, requests: RequestOf) -> None:
    """Take back what a person objected to; new statements are taken again."""

    def act(one: IdentifiedDataSubject, request: str | None) -> str:
        withdrawn = container.people.restriction.withdraw_objection(
            one, actor="cli:person withdraw-objection", request=request
        )
        return _("The objection is withdrawn.") if withdrawn else _("This person had not objected.")

    _act(container, who, requests, act)


@person.command("standing")
@data_subject_options
@purpose_option
@click.pass_obj
def standing(container: Container, who: Meant) -> None:
    """Show whether a person is restricted, and what they object to."""

    def lines(one: IdentifiedDataSubject) -> list[tuple[str, str]]:
        found = container.people.restriction.standing(one, actor="cli:person standing")
        since = (
            _("no")
            if found.restricted is None
            else _("since {restricted:%Y-%m-%d %H:%M:%SZ}", restricted=found.restricted)
        )
        return [
            (_("restricted"), since),
            (_("objects to"), ", ".join(found.objects) or _("nothing")),
            (_("new statements"), _("refused") if found.refuses else _("stored")),
        ]

    if who.each:
        for_each(
            who,
            lambda _, one: (
                "; ".join(f"{name}: {value}" for name, value in lines(one))
                + in_short(container.people.finder.reach(one))
            ),
        )
        return
    for name, value in lines(who.one):
        out().print(f"{name:14}  {value}")
    show_reach(container.people.finder.reach(who.one))


def _act(
    container: Container, who: Meant, requests: RequestOf, act: Callable[[IdentifiedDataSubject, str | None], str]
) -> None:
    if who.each:
        for_each(who, lambda place, one: act(one, requests.at(place)) + in_short(container.people.finder.reach(one)))
    else:
        out().print(act(who.one, requests.one))
        show_reach(container.people.finder.reach(who.one))


def _with_recipients(
    container: Container,
    done: str,
    act: Callable[[IdentifiedDataSubject, str | None], None],
    one: IdentifiedDataSubject,
    request: str | None,
    heading: str | None = None,
) -> str:
    act(one, request)
    found = container.people.disclosures.of(one, actor="cli:person recipients", request=request)
    return f"{done}; {heading or _('to be told')}: {in_words(found)}{in_short(container.people.finder.reach(one))}"


def _tell(container: Container, who: IdentifiedDataSubject, actor: str, request: str | None) -> None:
    show_reach(container.people.finder.reach(who))
    out().print(_("Tell whoever received the data (GDPR art. 19):"))
    show_received(container.people.disclosures.of(who, actor=actor, request=request))


@person.command("rectify")
@click.argument("statement", metavar="STATEMENT_ID", type=click.UUID)
@click.argument("file", type=click.Path(path_type=Path))
@request_option
@purpose_option
@click.pass_obj
def rectify(container: Container, statement: UUID, file: Path, request: str | None) -> None:
    """Void a statement that is wrong and store the one in FILE (JSON) in its place, linked (GDPR article 16)."""
    try:
        content = file.read_bytes()
    except OSError:
        raise FileRefused("The file of the right statement cannot be read.") from None
    done = container.people.rectification.rectify(statement, content, actor="cli:person rectify", request=request)
    out().print(
        _("Stored as {statement}; {voiding} voids the wrong one.", statement=done.statement, voiding=done.voiding)
    )
    out().print(_("Tell whoever received the wrong one (GDPR art. 19):"))
    show_received(container.people.disclosures.of_statement(statement, actor="cli:person rectify", request=request))


COMMANDS = ()
